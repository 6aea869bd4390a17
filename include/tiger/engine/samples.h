/* tiger/engine/samples.h -- images and tables as samples: numbers that go in, and a class or a number to be told.
 *
 * What a sample is made of, and how numbers of a file become those that a model sees, is its schema: learned from the
 * training part, kept beside the model, and used by everything that is read later. */
#ifndef TIGER_ENGINE_SAMPLES_H
#define TIGER_ENGINE_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiger/engine/data.h"
#include "tiger/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- schema ------------------------------------------------------------------------------------------------------ */

/* Numbers are standardised, (x - mean) / std, by the training part's mean and standard deviation. */
typedef struct tg_channel {
    char *name;       /* of a table's column; "" of an image */
    double mean, std; /* std is 1 for what never changes */
} tg_channel;

typedef struct tg_schema {
    bool images;                 /* else a table */
    tg_channel *channel;         /* of an image's pixels, or the columns of a table but its target */
    size_t channels, rows, cols; /* of one sample; a table has one row and one column of each channel */
    char *target;                /* the column to be told; NULL with images */
    char **class_name;           /* names of the classes, in order; NULL: a number is to be told */
    size_t classes;
    double target_mean, target_std; /* of that number, standardised as the others are */
} tg_schema;

size_t tg_schema_features(const tg_schema *schema); /* channels * rows * cols */
size_t tg_schema_outputs(const tg_schema *schema);  /* classes, or 1 */
size_t tg_schema_bytes(const tg_schema *schema);    /* memory it holds */

/* DIRECTORY/samples.json. TG_EFORMAT, naming the key, for one that is not what it should be. */
tg_status tg_schema_read(tg_schema **out, const char *directory);
tg_status tg_schema_write(const tg_schema *schema, const char *directory);
void tg_schema_destroy(tg_schema *schema);

/* ---- samples ----------------------------------------------------------------------------------------------------- */

/* What a table's target is taken for. Words are classes, always. */
typedef enum tg_target_kind {
    TG_TARGET_AUTO, /* classes where it has words, else numbers */
    TG_TARGET_CLASS,
    TG_TARGET_NUMBER /* refused where it has words, and for images */
} tg_target_kind;

/* Files may be compressed by gzip, where this was built with zlib. Of CIFAR's files there may be several, with commas
 * between them, or the directory that an archive unpacks to. */
typedef struct tg_samples_source {
    const char *data;   /* images as an IDX file (the MNIST family) or CIFAR's, or a table with a header: CSV */
    const char *labels; /* images: the IDX file of their classes; NULL: `data` is a table, or has them as CIFAR's files do */
    const char *target; /* table: the name of the column to be told; NULL: images, or as the schema says */
    tg_target_kind kind;
    bool test; /* of a directory that has a test file: that alone */
} tg_samples_source;

typedef struct tg_samples tg_samples;

/* Reads all samples. A share `validation` of them (0 <= share < 1), drawn by chance but always the same, is held out;
 * of a directory that has a test file, that file whatever the share, unless it is 0: then it is not read. `schema`
 * NULL: learned from the rest, else copied, and the files must fit it: the same shape, or columns of its names in any
 * order; other columns are then not read. TG_EFORMAT, with file, offset or line and cause, for files that are not what
 * they should be. */
tg_status tg_samples_open(tg_samples **out, const tg_samples_source *source, const tg_schema *schema,
                          double validation);
void tg_samples_destroy(tg_samples *samples);

const tg_schema *tg_samples_schema(const tg_samples *samples);
size_t tg_samples_count(const tg_samples *samples, tg_split split);
bool tg_samples_own_split(const tg_samples *samples); /* a directory's test file is held out */
size_t tg_samples_bytes(const tg_samples *samples);  /* memory it holds, mapped pages included */
uint64_t tg_samples_hash(const tg_samples *samples); /* of the files: does a resumed run see the same? */

/* Some samples, as a model sees them. What is not needed may be NULL. */
typedef struct tg_sample_batch {
    float *features; /* (B, features): channel by channel, each row by row */
    int32_t *labels; /* (B): the class; 0 where a number is to be told; -1: there is no sample */
    float *values;   /* (B): the number, standardised; 0 where a class is to be told */
    size_t size;     /* B */
} tg_sample_batch;

/* How images are changed when they are drawn: by chance, anew each time. */
typedef struct tg_augmentation {
    size_t crop; /* moved by -crop ... crop rows and as many columns; what comes in is black, 0 in the file */
    bool flip;   /* mirrored, left for right, half of the time */
} tg_augmentation;

/* Fills the batch with numbers `first` ... `first` + B - 1 of an endless row of samples of the training part: all of
 * them in an order drawn by (seed, 0), then all of them in one drawn by (seed, 1), and so on. What becomes
 * of an image depends on seed and number alone. `augmentation` NULL: they stay as they are, as tables do always. */
void tg_samples_draw(const tg_samples *samples, tg_sample_batch *batch, const tg_augmentation *augmentation,
                     uint64_t seed, uint64_t first);

/* Fills the batch with samples `first` ... of a split, in order; past its end there is none. */
void tg_samples_window(const tg_samples *samples, tg_split split, tg_sample_batch *batch, size_t first);

#ifdef __cplusplus
}
#endif
#endif
