/* data/samples.c -- see tiger/engine/samples.h.
 *
 * Images stay bytes, as the file has them, and are standardised when they are drawn; a table becomes standardised fp32
 * when it is read. Which samples are held out is a permutation of all, drawn with a key of its own: files are often
 * sorted by class, and every seed of a race is to be judged by the same samples. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "data/cifar.h"
#include "data/cifar_files.h"
#include "data/idx.h"
#include "data/packed.h"
#include "data/permute.h"
#include "data/pixel.h"
#include "data/schema.h"
#include "data/table.h"

#define PURPOSE_SPLIT 0x73706c6974u /* "split" */
#define PURPOSE_ORDER 0x6f72646572u /* "order" */
#define PURPOSE_AUGMENT 0x61756765u /* "auge": how an image is changed */
#define LEAST_STD 1e-12             /* relative to the mean: below, a column never changes */

struct tg_samples {
    tg_schema *schema;
    tg_packed images, labels;        /* of files that stay open; {0} for a table */
    const unsigned char *pixel;      /* (features) of the first image, in `images` */
    const unsigned char *class_name; /* of the first image, in `labels` or `images`; NULL: a table */
    size_t pixel_step, class_step;   /* from one image to the next */
    float *value;                    /* (count, features) of a table, standardised */
    int32_t *label;                  /* (count) of a table; NULL: it has numbers */
    float *number;                   /* (count) of a table, standardised; NULL: it has classes */
    size_t count, features, held_out;
    bool own_split; /* the last held_out samples are: those of a test file */
    uint64_t hash;
};

/* ---- which samples are where ---- */

/* The sample at place `at` of a split. */
static size_t sample_at(const tg_samples *s, tg_split split, size_t at)
{
    const size_t place = split == TG_SPLIT_TRAIN ? at : s->count - s->held_out + at;
    if (s->held_out == 0 || s->own_split)
        return place;
    return (size_t)tg_permute(tg_key_make(0, PURPOSE_SPLIT, s->count, 0), place, s->count);
}

static tg_status split(tg_samples *s, double validation, const char *path)
{
    if (s->own_split)
        return TG_OK;
    s->held_out = (size_t)(validation * (double)s->count);
    if (validation > 0 && s->held_out == 0 && s->count > 1)
        s->held_out = 1;
    if (s->held_out < s->count)
        return TG_OK;
    return tg_fail(TG_EINVAL, "'%s': %zu samples are too few to train on and to hold some out", path, s->count);
}

/* ---- statistics of the training part ---- */

static double spread(double squares, double mean, size_t count)
{
    const double std = sqrt(squares / (double)count);
    return std > LEAST_STD * fabs(mean) ? std : 1;
}

/* Of one column of (count, stride) values, in two passes. */
static void column_statistics(double *mean, double *std, const tg_samples *s, const double *value, size_t stride)
{
    const size_t count = tg_samples_count(s, TG_SPLIT_TRAIN);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++)
        sum += value[sample_at(s, TG_SPLIT_TRAIN, i) * stride];
    *mean = sum / (double)count;
    for (size_t i = 0; i < count; i++) {
        const double d = value[sample_at(s, TG_SPLIT_TRAIN, i) * stride] - *mean;
        squares += d * d;
    }
    *std = spread(squares, *mean, count);
}

/* Of the pixels of every channel; sums of integers are exact. */
static void pixel_statistics(const tg_samples *s)
{
    tg_schema *schema = s->schema;
    const size_t count = tg_samples_count(s, TG_SPLIT_TRAIN), area = schema->rows * schema->cols;
    for (size_t c = 0; c < schema->channels; c++) {
        uint64_t sum = 0, squares = 0;
        for (size_t i = 0; i < count; i++) {
            const unsigned char *x = s->pixel + sample_at(s, TG_SPLIT_TRAIN, i) * s->pixel_step + c * area;
            for (size_t p = 0; p < area; p++) {
                sum += x[p];
                squares += (uint64_t)x[p] * x[p];
            }
        }
        const double n = (double)count * (double)area, mean = (double)sum / n;
        schema->channel[c].mean = mean;
        schema->channel[c].std = spread(fmax(0, (double)squares - n * mean * mean), mean, count * area);
    }
}

/* ---- images ---- */

static tg_status check_shapes(const tg_idx *images, const tg_idx *labels, const tg_samples_source *source)
{
    if (images->rank < 2)
        return tg_fail(TG_EFORMAT, "'%s' has one number a sample: are these the labels?", source->data);
    if (labels->rank != 1)
        return tg_fail(TG_EFORMAT, "'%s' has %u dimensions, and labels have one: are these the images?", source->labels,
                       labels->rank);
    if (images->shape[0] != labels->shape[0])
        return tg_fail(TG_EFORMAT, "'%s' has %zu samples and '%s' %zu labels", source->data, images->shape[0],
                       source->labels, labels->shape[0]);
    if (images->values / images->shape[0] > TG_MOST_FEATURES)
        return tg_fail(TG_EUNSUPPORTED, "'%s': samples of %zu values are larger than %zu", source->data,
                       images->values / images->shape[0], TG_MOST_FEATURES);
    if (source->kind == TG_TARGET_NUMBER)
        return tg_fail(TG_EINVAL, "'%s': labels are classes, and a number is to be predicted", source->labels);
    return TG_OK;
}

static unsigned class_of(const tg_samples *s, size_t sample) { return s->class_name[sample * s->class_step]; }

/* What files say of their images. */
typedef struct image_shape {
    size_t channels, rows, cols;
    size_t classes; /* 0: as many as labels have */
} image_shape;

static image_shape shape_of(const tg_idx *images)
{
    return (image_shape){.channels = images->rank == 4 ? images->shape[1] : 1,
                         .rows = images->rank == 2 ? 1 : images->shape[images->rank - 2],
                         .cols = images->shape[images->rank - 1]};
}

/* A schema without statistics; classes are named by their numbers. */
static tg_status image_schema(tg_samples *s, const image_shape *shape)
{
    unsigned most = shape->classes > 0 ? (unsigned)shape->classes - 1 : 1; /* there are two classes at least */
    for (size_t i = 0; i < s->count; i++)
        most = class_of(s, i) > most ? class_of(s, i) : most;
    const size_t channels = shape->channels;
    tg_status status = tg_schema_create(&s->schema, channels, most + 1u);
    if (status != TG_OK)
        return status;
    tg_schema *schema = s->schema;
    bool all = true;
    schema->images = true;
    schema->rows = shape->rows;
    schema->cols = shape->cols;
    for (size_t c = 0; c < channels; c++)
        all = (schema->channel[c].name = tg_heap_text("")) != NULL && all;
    for (unsigned c = 0; c <= most; c++) {
        char name[8];
        snprintf(name, sizeof name, "%u", c);
        all = (schema->class_name[c] = tg_heap_text(name)) != NULL && all;
    }
    return all ? TG_OK : tg_no_memory("a schema", schema->classes);
}

static tg_status check_images(const tg_samples *s, const image_shape *shape, const tg_schema *known,
                              const tg_samples_source *source)
{
    if (!known->images)
        return tg_fail(TG_EINVAL, "'%s': the model was trained on a table, not on images", source->data);
    if (shape->channels != known->channels || shape->rows != known->rows || shape->cols != known->cols)
        return tg_fail(TG_EINVAL, "'%s' has images of %zu x %zu x %zu, the model was trained on %zu x %zu x %zu",
                       source->data, shape->channels, shape->rows, shape->cols, known->channels, known->rows,
                       known->cols);
    for (size_t i = 0; i < s->count; i++)
        if (class_of(s, i) >= known->classes)
            return tg_fail(TG_EINVAL, "'%s': sample %zu has label %u, and the model tells %zu classes apart",
                           source->labels != NULL ? source->labels : source->data, i, class_of(s, i), known->classes);
    return TG_OK;
}

/* Splits the images of an open file, and learns or compares what they are. */
static tg_status take_images(tg_samples *s, const image_shape *shape, const tg_samples_source *source,
                             const tg_schema *known, double validation)
{
    s->features = shape->channels * shape->rows * shape->cols;
    tg_status status = split(s, validation, source->data);
    if (status == TG_OK && known != NULL) {
        status = check_images(s, shape, known, source);
        return status == TG_OK ? tg_schema_copy(&s->schema, known) : status;
    }
    if (status == TG_OK)
        status = image_schema(s, shape);
    if (status == TG_OK)
        pixel_statistics(s);
    return status;
}

/* Opens what may be CIFAR's files and finds their records; records->count is 0 where it is something else. */
static tg_status find_records(tg_samples *s, tg_cifar *records, const tg_samples_source *source, double validation)
{
    const tg_cifar_part part = source->test ? TG_CIFAR_TEST : validation > 0 ? TG_CIFAR_TRAIN_AND_TEST : TG_CIFAR_TRAIN;
    tg_cifar_files files;
    *records = (tg_cifar){0};
    tg_status status = tg_cifar_files_find(&files, source->data, part);
    if (status != TG_OK)
        return status;
    if (files.count > 1) {
        status = tg_cifar_join(records, &s->held_out, &s->images, &files);
    } else {
        status = tg_packed_open(&s->images, files.path[0]);
        if (status == TG_OK && tg_cifar_looks(s->images.at, s->images.bytes))
            status = tg_cifar_parse(records, s->images.at, s->images.bytes, files.path[0]);
        else
            tg_packed_close(&s->images);
    }
    s->own_split = files.tests > 0;
    tg_cifar_files_fini(&files);
    return status;
}

/* Of CIFAR, in `images`. */
static tg_status open_records(tg_samples *s, const tg_cifar *records, const tg_samples_source *source,
                              const tg_schema *known, double validation)
{
    if (source->kind == TG_TARGET_NUMBER)
        return tg_fail(TG_EINVAL, "'%s': images have classes, and a number is to be predicted", source->data);
    s->count = records->count;
    s->pixel = records->image;
    s->class_name = records->label;
    s->pixel_step = s->class_step = records->step;
    const image_shape shape = {TG_CIFAR_CHANNELS, TG_CIFAR_SIDE, TG_CIFAR_SIDE, records->classes};
    return take_images(s, &shape, source, known, validation);
}

static tg_status open_images(tg_samples *s, const tg_samples_source *source, const tg_schema *known, double validation)
{
    tg_idx images, labels;
    tg_status status = tg_packed_open(&s->images, source->data);
    if (status == TG_OK)
        status = tg_packed_open(&s->labels, source->labels);
    if (status == TG_OK)
        status = tg_idx_parse(&images, s->images.at, s->images.bytes, source->data);
    if (status == TG_OK)
        status = tg_idx_parse(&labels, s->labels.at, s->labels.bytes, source->labels);
    if (status == TG_OK)
        status = check_shapes(&images, &labels, source);
    if (status != TG_OK)
        return status;
    s->count = images.shape[0];
    s->pixel = images.at;
    s->class_name = labels.at;
    s->pixel_step = images.values / images.shape[0];
    s->class_step = 1;
    const image_shape shape = shape_of(&images);
    return take_images(s, &shape, source, known, validation);
}

/* ---- tables ---- */

static void table_statistics(const tg_samples *s, const tg_table *t)
{
    for (size_t c = 0; c < t->features; c++)
        column_statistics(&s->schema->channel[c].mean, &s->schema->channel[c].std, s, t->value + c, t->features);
    if (t->target != NULL)
        column_statistics(&s->schema->target_mean, &s->schema->target_std, s, t->target, 1);
}

static tg_status standardise(tg_samples *s, tg_table *t)
{
    const tg_schema *schema = s->schema;
    s->value = tg_alloc(NULL, t->rows * t->features, sizeof *s->value);
    s->number = t->target == NULL ? NULL : tg_alloc(NULL, t->rows, sizeof *s->number);
    if (s->value == NULL || (t->target != NULL && s->number == NULL))
        return tg_no_memory("a table", t->rows * t->features * sizeof *s->value);
    for (size_t r = 0; r < t->rows; r++)
        for (size_t c = 0; c < t->features; c++) {
            const tg_channel *by = &schema->channel[c];
            s->value[r * t->features + c] = (float)((t->value[r * t->features + c] - by->mean) / by->std);
        }
    for (size_t r = 0; r < t->rows && t->target != NULL; r++)
        s->number[r] = (float)((t->target[r] - schema->target_mean) / schema->target_std);
    s->label = t->label;
    t->label = NULL;
    return TG_OK;
}

static tg_status open_table(tg_samples *s, const tg_samples_source *source, const tg_schema *known, double validation)
{
    tg_packed file = {0};
    tg_table table = {0};
    const char *target = source->target != NULL ? source->target : known != NULL ? known->target : NULL;
    if (known != NULL && known->images)
        return tg_fail(TG_EINVAL, "'%s': the model was trained on images: name their labels", source->data);
    tg_status status = tg_packed_open(&file, source->data);
    if (status == TG_OK && file.bytes > 2 && memcmp(file.at, "\0\0\x08", 3) == 0)
        status = tg_fail(TG_EINVAL, "'%s' is an IDX file, no table: name the labels of its images", source->data);
    if (status == TG_OK && target == NULL)
        status = tg_fail(TG_EINVAL,
                         "'%s': what is to be told is not said: the labels of images, or the target column of a table",
                         source->data);
    if (status == TG_OK && known != NULL && strcmp(known->target, target) != 0)
        status = tg_fail(TG_EINVAL, "the model tells '%.80s', not '%.80s'", known->target, target);
    if (status == TG_OK)
        status = tg_table_parse(&table, file.at, file.bytes, source->data, target, source->kind, known);
    if (status == TG_OK) {
        s->schema = table.schema;
        table.schema = NULL;
        s->count = table.rows;
        s->features = table.features;
        s->hash = tg_mix64(file.bytes);
        for (size_t i = 0; i < file.bytes; i++)
            s->hash = (s->hash ^ (unsigned char)file.at[i]) * UINT64_C(0x100000001b3);
        status = split(s, validation, source->data);
    }
    if (status == TG_OK && known == NULL)
        table_statistics(s, &table);
    if (status == TG_OK)
        status = standardise(s, &table);
    tg_table_fini(&table);
    tg_packed_close(&file);
    return status;
}

/* ---- life ---- */

/* Eight bytes at a time, the rest one by one. */
static uint64_t hash_bytes(uint64_t hash, const unsigned char *at, size_t count)
{
    uint64_t eight;
    for (; count >= sizeof eight; at += sizeof eight, count -= sizeof eight) {
        memcpy(&eight, at, sizeof eight);
        hash = tg_mix64(hash ^ eight);
    }
    for (; count > 0; at++, count--)
        hash = tg_mix64(hash ^ *at);
    return hash;
}

tg_status tg_samples_open(tg_samples **out, const tg_samples_source *source, const tg_schema *schema, double validation)
{
    if (!(validation >= 0 && validation < 1))
        return tg_fail(TG_EINVAL, "validation must be a share, 0 <= share < 1, not %g", validation);
    if (source->labels != NULL && source->target != NULL)
        return tg_fail(TG_EINVAL, "either labels, of images, or target, a column of a table");
    tg_samples *s = tg_heap_alloc(1, sizeof *s);
    if (s == NULL)
        return tg_no_memory("samples", sizeof *s);
    tg_status status = TG_OK;
    tg_cifar records = {0};
    if (source->labels == NULL && source->target == NULL && (schema == NULL || schema->images)) /* says it all itself */
        status = find_records(s, &records, source, validation);
    if (status == TG_OK)
        status = records.count > 0        ? open_records(s, &records, source, schema, validation)
                 : source->labels != NULL ? open_images(s, source, schema, validation)
                                          : open_table(s, source, schema, validation);
    if (status != TG_OK) {
        tg_samples_destroy(s);
        return status;
    }
    if (s->pixel != NULL) {
        const bool apart = s->class_step == 1; /* else labels stand between the images */
        const unsigned char *first = apart ? s->pixel : (const unsigned char *)s->images.at;
        s->hash = hash_bytes(tg_mix64(s->count), first, s->count * s->pixel_step);
        s->hash = hash_bytes(s->hash, s->class_name, apart ? s->count : 0);
    }
    *out = s;
    return TG_OK;
}

void tg_samples_destroy(tg_samples *s)
{
    if (s == NULL)
        return;
    tg_schema_destroy(s->schema);
    tg_packed_close(&s->images);
    tg_packed_close(&s->labels);
    tg_free(NULL, s->value, s->count * s->features, sizeof *s->value);
    tg_free(NULL, s->label, s->count, sizeof *s->label);
    tg_free(NULL, s->number, s->count, sizeof *s->number);
    tg_heap_free(s);
}

const tg_schema *tg_samples_schema(const tg_samples *s) { return s->schema; }

size_t tg_samples_count(const tg_samples *s, tg_split which)
{
    return which == TG_SPLIT_TRAIN ? s->count - s->held_out : s->held_out;
}

size_t tg_samples_bytes(const tg_samples *s)
{
    const tg_packed *const file[] = {&s->images, &s->labels};
    size_t bytes = sizeof *s + tg_schema_bytes(s->schema);
    for (size_t i = 0; i < 2; i++)
        bytes += file[i]->bytes + tg_alloc_slack(file[i]->bytes); /* of a block's room, what was written to */
    bytes += s->value == NULL ? 0 : s->count * s->features * sizeof *s->value;
    bytes += s->label == NULL ? 0 : s->count * sizeof *s->label;
    return bytes + (s->number == NULL ? 0 : s->count * sizeof *s->number);
}

bool tg_samples_own_split(const tg_samples *s) { return s->own_split; }

uint64_t tg_samples_hash(const tg_samples *s) { return s->hash; }

/* ---- batches ---- */

/* Where an image's pixel comes from: row + down, and column + right, counted from the other side when mirrored. Places
 * outside of the image are black. */
typedef struct view {
    ptrdiff_t down, right;
    bool mirrored;
} view;

static const view as_it_is = {0, 0, false};

static view view_of(const tg_augmentation *a, uint64_t seed, uint64_t number)
{
    const tg_key key = tg_key_make(seed, PURPOSE_AUGMENT, number, 0);
    if (a == NULL)
        return as_it_is;
    const ptrdiff_t crop = (ptrdiff_t)a->crop;
    return (view){.down = (ptrdiff_t)tg_random_below(key, 0, 2 * a->crop + 1) - crop,
                  .right = (ptrdiff_t)tg_random_below(key, 1, 2 * a->crop + 1) - crop,
                  .mirrored = a->flip && (tg_random(key, 2) & 1) != 0};
}

/* A row of `cols` pixels; NULL: all black. */
static void read_row(float *restrict x, const unsigned char *pixel, size_t cols, const view *v, tg_pixel_scale scale)
{
    for (size_t k = 0; k < cols; k++) {
        const size_t from = (v->mirrored ? cols - 1 - k : k) + (size_t)v->right; /* wraps: outside */
        x[k] = tg_pixel_feature(pixel != NULL && from < cols ? (float)pixel[from] : 0, scale);
    }
}

static void read_pixels(float *restrict x, const tg_samples *s, size_t sample, const view *v)
{
    const size_t rows = s->schema->rows, cols = s->schema->cols;
    for (size_t c = 0; c < s->schema->channels; c++) {
        const tg_pixel_scale scale = tg_pixel_scale_of(&s->schema->channel[c]);
        const unsigned char *pixel = s->pixel + sample * s->pixel_step + c * rows * cols;
        for (size_t r = 0; r < rows; r++) {
            const size_t from = r + (size_t)v->down;
            read_row(x + (c * rows + r) * cols, from < rows ? pixel + from * cols : NULL, cols, v, scale);
        }
    }
}

/* Sample number `sample` into row r. */
static void read_sample(const tg_samples *s, tg_sample_batch *batch, size_t r, size_t sample, const view *v)
{
    if (batch->features != NULL && s->pixel != NULL)
        read_pixels(batch->features + r * s->features, s, sample, v);
    else if (batch->features != NULL)
        memcpy(batch->features + r * s->features, s->value + sample * s->features, s->features * sizeof(float));
    if (batch->labels != NULL)
        batch->labels[r] = s->class_name != NULL ? (int32_t)class_of(s, sample)
                           : s->label != NULL    ? s->label[sample]
                                                 : 0;
    if (batch->values != NULL)
        batch->values[r] = s->number != NULL ? s->number[sample] : 0;
}

void tg_samples_draw(const tg_samples *s, tg_sample_batch *batch, const tg_augmentation *augmentation, uint64_t seed,
                     uint64_t first)
{
    const uint64_t count = tg_samples_count(s, TG_SPLIT_TRAIN);
    for (size_t r = 0; r < batch->size; r++) {
        const uint64_t number = first + r;
        const tg_key key = tg_key_make(seed, PURPOSE_ORDER, number / count, 0);
        const view v = view_of(augmentation, seed, number);
        read_sample(s, batch, r, sample_at(s, TG_SPLIT_TRAIN, (size_t)tg_permute(key, number % count, count)), &v);
    }
}

void tg_samples_window(const tg_samples *s, tg_split which, tg_sample_batch *batch, size_t first)
{
    const size_t count = tg_samples_count(s, which);
    for (size_t r = 0; r < batch->size; r++) {
        if (first < count && r < count - first) {
            read_sample(s, batch, r, sample_at(s, which, first + r), &as_it_is);
            continue;
        }
        if (batch->features != NULL)
            memset(batch->features + r * s->features, 0, s->features * sizeof(float));
        if (batch->labels != NULL)
            batch->labels[r] = -1;
        if (batch->values != NULL)
            batch->values[r] = 0;
    }
}
