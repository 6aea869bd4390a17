/* engine_samples_test.c -- IDX files, tables, gzip, schemas, and batches that are a function of their number. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#ifdef TIGER_HAVE_ZLIB
#include <zlib.h>
#endif

#include "base/memory.h"
#include "base/random.h"
#include "data/cifar_files.h"
#include "data/csv.h"
#include "data/idx.h"
#include "data/packed.h"
#include "data/permute.h"
#include "data/schema.h"
#include "home_support.h"

static void put_file(const char *name, const void *bytes, size_t count)
{
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static void put_text(const char *name, const char *text) { put_file(name, text, strlen(text)); }

/* ---- IDX ---- */

static size_t head(unsigned char *to, unsigned rank, const uint32_t *shape)
{
    memcpy(to, (unsigned char[]){0, 0, 8, (unsigned char)rank}, 4);
    for (unsigned i = 0; i < rank; i++)
        for (int b = 0; b < 4; b++)
            to[4 + 4 * i + b] = (unsigned char)(shape[i] >> (24 - 8 * b));
    return 4 + 4 * rank;
}

static void idx_files(void **state)
{
    (void)state;
    unsigned char file[64];
    const size_t start = head(file, 3, (uint32_t[]){2, 3, 5});
    for (size_t i = 0; i < 30; i++)
        file[start + i] = (unsigned char)(7 * i + 3);
    tg_idx idx;
    ok(tg_idx_parse(&idx, (const char *)file, start + 30, "i"));
    assert_true(idx.rank == 3 && idx.shape[0] == 2 && idx.shape[1] == 3 && idx.shape[2] == 5 && idx.values == 30);
    assert_ptr_equal(idx.at, file + start);
    refused(tg_idx_parse(&idx, (const char *)file, start + 29, "i"), TG_EFORMAT, "'i'|cut off at byte 45|30|29");
    refused(tg_idx_parse(&idx, (const char *)file, start + 31, "i"), TG_EFORMAT, "byte 46|1 bytes too many");
    refused(tg_idx_parse(&idx, (const char *)file, 9, "i"), TG_EFORMAT, "cut off at byte 9");
    refused(tg_idx_parse(&idx, (const char *)file, 3, "i"), TG_EFORMAT, "3 bytes");
    file[2] = 13;
    refused(tg_idx_parse(&idx, (const char *)file, start + 30, "i"), TG_EUNSUPPORTED, "byte 2|0x0d|32-bit floats");
    file[2] = 8;
    file[3] = 5;
    refused(tg_idx_parse(&idx, (const char *)file, start + 30, "i"), TG_EFORMAT, "byte 3|5 dimensions");
    file[0] = 'P';
    refused(tg_idx_parse(&idx, (const char *)file, start + 30, "i"), TG_EFORMAT, "byte 0|50000805");
    head(file, 3, (uint32_t[]){2, 0, 5});
    refused(tg_idx_parse(&idx, (const char *)file, start + 30, "i"), TG_EFORMAT, "byte 8|empty");
    head(file, 3, (uint32_t[]){UINT32_MAX, UINT32_MAX, UINT32_MAX});
    refused(tg_idx_parse(&idx, (const char *)file, start + 30, "i"), TG_EFORMAT, "byte 8|larger than memory");
}

/* `count` images of 2 x 3 and their labels, (i / each), in i.idx and l.idx. */
static void make_images(size_t count, size_t each)
{
    static unsigned char images[16 + 6 * 300], labels[8 + 300];
    const size_t at = head(images, 3, (uint32_t[]){(uint32_t)count, 2, 3}),
                 first = head(labels, 1, (uint32_t[]){(uint32_t)count});
    for (size_t i = 0; i < 6 * count; i++)
        images[at + i] = (unsigned char)tg_random(tg_key_make(5, 5, 0, 0), (uint32_t)i);
    for (size_t i = 0; i < count; i++)
        labels[first + i] = (unsigned char)(i / each);
    put_file("i.idx", images, at + 6 * count);
    put_file("l.idx", labels, first + count);
}

static const tg_samples_source images = {.data = "i.idx", .labels = "l.idx"};

static void images_are_standardised(void **state)
{
    (void)state;
    enum { N = 50 };
    tg_samples *s = NULL;
    make_images(N, 20); /* three classes */
    ok(tg_samples_open(&s, &images, NULL, 0));
    const tg_schema *schema = tg_samples_schema(s);
    assert_true(schema->images && schema->channels == 1 && schema->rows == 2 && schema->cols == 3);
    assert_true(tg_schema_features(schema) == 6 && tg_schema_outputs(schema) == 3 && schema->class_name != NULL);
    assert_string_equal(schema->class_name[2], "2");
    double sum = 0, squares = 0;
    for (size_t i = 0; i < 6 * N; i++) {
        const double x = (unsigned char)tg_random(tg_key_make(5, 5, 0, 0), (uint32_t)i);
        sum += x;
        squares += x * x;
    }
    const double mean = sum / (6 * N), std = sqrt(squares / (6 * N) - mean * mean);
    assert_true(fabs(schema->channel[0].mean - mean) < 1e-9 && fabs(schema->channel[0].std - std) < 1e-9);
    float features[6 * 3];
    int32_t labels[3];
    tg_sample_batch batch = {features, labels, NULL, 3};
    tg_samples_window(s, TG_SPLIT_TRAIN, &batch, 48); /* two, and one place past the end */
    for (size_t i = 0; i < 12; i++) {
        const double x = (unsigned char)tg_random(tg_key_make(5, 5, 0, 0), (uint32_t)(6 * 48 + i));
        assert_true(fabs((double)features[i] - (x - mean) / std) < 1e-5);
    }
    assert_true(labels[0] == 2 && labels[1] == 2 && labels[2] == -1 && features[12] == 0 && features[17] == 0);
    tg_samples_destroy(s);
}

/* ---- CIFAR ---- */

enum { RECORD = 3073, RECORDS = 20 };
static unsigned char cifar_file[RECORDS * (RECORD + 1)];

/* Records with `labels` bytes in front of each image, the last of which is the class, 3 i + 1. */
static size_t make_cifar(size_t count, size_t labels)
{
    const size_t step = labels + RECORD - 1;
    for (size_t i = 0; i < count * step; i++)
        cifar_file[i] = (unsigned char)tg_random(tg_key_make(6, 5, 0, 0), (uint32_t)i);
    for (size_t i = 0; i < count; i++) {
        cifar_file[i * step] = 2;
        cifar_file[i * step + labels - 1] = (unsigned char)(labels == 1 ? (3 * i + 1) % 10 : 3 * i + 1);
    }
    put_file("c.bin", cifar_file, count * step);
    return count * step;
}

static void cifar_files(void **state)
{
    (void)state;
    tg_cifar c;
    const char *bytes = (const char *)cifar_file;
    size_t size = make_cifar(4, 1);
    static const char idx[] = "\0\0\x08\x03\0\0", text[] = "\t\"a\";b\n1;2\n";
    assert_true(tg_cifar_looks(bytes, size) && tg_cifar_looks(bytes, size - 1) && !tg_cifar_looks(bytes, 0));
    assert_true(!tg_cifar_looks(idx, sizeof idx - 1) && !tg_cifar_looks(text, sizeof text - 1));
    ok(tg_cifar_parse(&c, bytes, size, "c"));
    assert_true(c.count == 4 && c.step == RECORD && c.classes == 10 && c.label == cifar_file &&
                c.image == cifar_file + 1);
    cifar_file[2 * RECORD] = 10;
    refused(tg_cifar_parse(&c, bytes, size, "c"), TG_EFORMAT, "'c' byte 6146|label 10|10 classes");
    refused(tg_cifar_parse(&c, bytes, size + 1, "c"), TG_EFORMAT, "'c' has 12293 bytes|3073|cut off");
    refused(tg_cifar_parse(&c, bytes, 0, "c"), TG_EFORMAT, "'c' has 0 bytes");
    cifar_file[0] = 'a';
    assert_false(tg_cifar_looks(bytes, size));
    size = make_cifar(7, 2);
    ok(tg_cifar_parse(&c, bytes, size, "c"));
    assert_true(c.count == 7 && c.classes == 100 && c.label[6 * c.step] == 19 && c.image == cifar_file + 2);
}

/* Labels stand between the images; channel statistics, pixels, order and hash see what belongs to them. */
static void cifar_samples(void **state)
{
    (void)state;
    static const tg_samples_source cifar = {.data = "c.bin"};
    for (size_t labels = 1; labels <= 2; labels++) {
        const size_t step = labels + RECORD - 1;
        tg_samples *s = NULL, *again = NULL;
        const size_t size = make_cifar(RECORDS, labels);
        ok(tg_samples_open(&s, &cifar, NULL, 0));
        const tg_schema *schema = tg_samples_schema(s);
        assert_true(schema->channels == 3 && schema->rows == 32 && schema->cols == 32);
        assert_true(schema->classes == (labels == 1 ? 10 : 100) && tg_samples_count(s, TG_SPLIT_TRAIN) == RECORDS);
        for (size_t c = 0; c < 3; c++) {
            double sum = 0, squares = 0;
            for (size_t i = 0; i < RECORDS; i++)
                for (size_t p = 0; p < 1024; p++) {
                    const double x = cifar_file[i * step + labels + c * 1024 + p];
                    sum += x / (RECORDS * 1024.0);
                    squares += x * x / (RECORDS * 1024.0);
                }
            assert_true(fabs(schema->channel[c].mean - sum) < 1e-9);
            assert_true(fabs(schema->channel[c].std - sqrt(squares - sum * sum)) < 1e-9);
        }
        static float x[2 * (RECORD - 1)];
        int32_t label[2];
        tg_samples_window(s, TG_SPLIT_TRAIN, &(tg_sample_batch){x, label, NULL, 2}, 5);
        assert_true(label[0] == (labels == 1 ? 6 : 16) && label[1] == (labels == 1 ? 9 : 19));
        for (size_t k = 0; k < 2 * (RECORD - 1); k++) {
            const tg_channel *by = &schema->channel[k % (RECORD - 1) / 1024];
            const double pixel = cifar_file[(5 + k / (RECORD - 1)) * step + labels + k % (RECORD - 1)];
            assert_true(fabs((double)x[k] - (pixel - by->mean) / by->std) < 1e-5);
        }
        ok(tg_samples_open(&again, &cifar, schema, 0.2));
        assert_true(tg_samples_hash(s) == tg_samples_hash(again) && tg_samples_count(again, TG_SPLIT_VALIDATION) == 4);
        tg_samples_destroy(again);
        const uint64_t hash = tg_samples_hash(s);
        tg_samples_destroy(s);
        cifar_file[(RECORDS - 1) * step + labels - 1] = 0; /* a label */
        put_file("c.bin", cifar_file, size);
        ok(tg_samples_open(&s, &cifar, NULL, 0));
        assert_true(tg_samples_hash(s) != hash);
        tg_samples_destroy(s);
    }
    tg_samples *s = NULL;
    refused(tg_samples_open(&s, &(tg_samples_source){.data = "c.bin", .kind = TG_TARGET_NUMBER}, NULL, 0), TG_EINVAL,
            "'c.bin'|images have classes");
}

/* Records `from` ... `to` - 1 of those that make_cifar made. */
static void put_records(const char *name, size_t labels, size_t from, size_t to)
{
    const size_t step = labels + RECORD - 1;
    put_file(name, cifar_file + from * step, (to - from) * step);
}

/* The files of `where` have records 0 ... 12 in order, and those behind them are its test file's. */
static void check_directory(const char *where, size_t labels)
{
    enum { TRAIN = 13 };
    static float x[(RECORD - 1) * RECORDS], y[(RECORD - 1) * RECORDS];
    int32_t label[RECORDS], other[RECORDS];
    tg_samples *s = NULL, *one = NULL;
    put_records("train", labels, 0, TRAIN);
    put_records("held", labels, TRAIN, RECORDS);
    ok(tg_samples_open(&s, &(tg_samples_source){.data = where}, NULL, 0.1));
    ok(tg_samples_open(&one, &(tg_samples_source){.data = "train"}, NULL, 0));
    assert_true(tg_samples_own_split(s) && !tg_samples_own_split(one));
    assert_true(tg_samples_count(s, TG_SPLIT_TRAIN) == TRAIN &&
                tg_samples_count(s, TG_SPLIT_VALIDATION) == RECORDS - TRAIN);
    for (size_t c = 0; c < 3; c++) /* of the training part */
        assert_true(tg_samples_schema(s)->channel[c].mean == tg_samples_schema(one)->channel[c].mean &&
                    tg_samples_schema(s)->channel[c].std == tg_samples_schema(one)->channel[c].std);
    tg_samples_draw(s, &(tg_sample_batch){x, label, NULL, RECORDS}, NULL, 2385, 7); /* more than one time round */
    tg_samples_draw(one, &(tg_sample_batch){y, other, NULL, RECORDS}, NULL, 2385, 7);
    assert_memory_equal(x, y, sizeof x);
    assert_memory_equal(label, other, sizeof label);
    const uint64_t all = tg_samples_hash(s), train = tg_samples_hash(one);
    tg_samples *held = NULL, *alone = NULL, *without = NULL;
    ok(tg_samples_open(&held, &(tg_samples_source){.data = "held"}, tg_samples_schema(one), 0));
    ok(tg_samples_open(&alone, &(tg_samples_source){.data = where, .test = true}, tg_samples_schema(one), 0));
    ok(tg_samples_open(&without, &(tg_samples_source){.data = where}, NULL, 0));
    assert_true(tg_samples_hash(without) == train && all != train &&
                tg_samples_count(without, TG_SPLIT_VALIDATION) == 0);
    assert_true(tg_samples_hash(alone) == tg_samples_hash(held) && !tg_samples_own_split(alone));
    tg_samples_window(s, TG_SPLIT_VALIDATION, &(tg_sample_batch){x, label, NULL, RECORDS}, 0);
    tg_samples_window(held, TG_SPLIT_TRAIN, &(tg_sample_batch){y, other, NULL, RECORDS}, 0);
    assert_memory_equal(x, y, sizeof x);
    assert_memory_equal(label, other, sizeof label);
    assert_true(label[6] != -1 && label[7] == -1);
    tg_samples *const opened[] = {s, one, held, alone, without};
    for (size_t i = 0; i < 5; i++)
        tg_samples_destroy(opened[i]);
}

static void cifar_directories(void **state)
{
    (void)state;
    static const size_t ends[] = {0, 3, 4, 8, 9, 13};
    tg_samples *s = NULL;
    char name[64];
    const tg_samples_source ten = {.data = "ten"}, hundred = {.data = "hundred"};
    assert_true(mkdir("ten", 0700) == 0 && mkdir("hundred", 0700) == 0 && mkdir("empty", 0700) == 0);
    make_cifar(RECORDS, 1);
    put_text("ten/readme.html", "<HTML>");
    for (size_t i = 1; i <= 5; i++) {
        if (i > 1)
            refused(tg_samples_open(&s, &ten, NULL, 0.1), TG_EINVAL, "'ten' has no data_batch_|commas");
        snprintf(name, sizeof name, "ten/data_batch_%zu.bin", i);
        put_records(name, 1, ends[i - 1], ends[i]);
    }
    ok(tg_samples_open(&s, &ten, NULL, 0.1)); /* without a test file a share is held out, and evaluation reads it all */
    assert_true(!tg_samples_own_split(s) && tg_samples_count(s, TG_SPLIT_VALIDATION) == 1);
    tg_samples_destroy(s);
    ok(tg_samples_open(&s, &(tg_samples_source){.data = "ten", .test = true}, NULL, 0));
    assert_true(tg_samples_count(s, TG_SPLIT_TRAIN) == 13);
    tg_samples_destroy(s);
    put_records("ten/test_batch.bin", 1, 13, RECORDS);
    check_directory("ten", 1);
    /* by name: in the order they are named, and nothing of a test file */
    make_cifar(RECORDS, 1);
    put_records("joined", 1, 0, 8);
    tg_samples *one = NULL;
    ok(tg_samples_open(&s,
                       &(tg_samples_source){.data = "ten/data_batch_1.bin,ten/data_batch_2.bin,ten/data_batch_3.bin"},
                       NULL, 0.25));
    ok(tg_samples_open(&one, &(tg_samples_source){.data = "joined"}, NULL, 0.25));
    assert_true(tg_samples_hash(s) == tg_samples_hash(one) && tg_samples_count(s, TG_SPLIT_VALIDATION) == 2);
    tg_samples_destroy(s);
    tg_samples_destroy(one);
    char *found = tg_cifar_files_absolute("ten/data_batch_1.bin,joined,nowhere");
    assert_true(found != NULL && found[0] == '/' && strstr(found, "/ten/data_batch_1.bin,/") != NULL &&
                strstr(found, "/joined,nowhere") != NULL);
    tg_heap_free(found);
    make_cifar(RECORDS, 2);
    put_records("hundred/train.bin", 2, 0, 13);
    put_records("hundred/test.bin", 2, 13, RECORDS);
    check_directory("hundred", 2);
    /* what is wrong is told of the file that has it */
    refused(tg_samples_open(&s, &(tg_samples_source){.data = "joined,hundred/train.bin"}, NULL, 0), TG_EFORMAT,
            "'hundred/train.bin' has images of 100 classes, and 'joined' of 10");
    refused(tg_samples_open(&s, &(tg_samples_source){.data = "joined,ten/data_batch_9.bin"}, NULL, 0), TG_ENOTFOUND,
            "'ten/data_batch_9.bin'");
    refused(tg_samples_open(&s, &(tg_samples_source){.data = "joined,,ten"}, NULL, 0), TG_EINVAL,
            "between commas has no name");
    refused(tg_samples_open(&s, &(tg_samples_source){.data = "empty"}, NULL, 0), TG_EINVAL,
            "'empty'|data_batch_1.bin|train.bin");
    put_file("ten/data_batch_4.bin", cifar_file, RECORD - 1);
    refused(tg_samples_open(&s, &ten, NULL, 0.1), TG_EFORMAT, "'ten/data_batch_4.bin' has 3072 bytes|cut off");
    put_file("ten/data_batch_4.bin", cifar_file, 0);
    refused(tg_samples_open(&s, &ten, NULL, 0.1), TG_EFORMAT, "'ten/data_batch_4.bin' is empty");
    cifar_file[1] = 100;
    put_file("hundred/train.bin", cifar_file, 13 * (RECORD + 1));
    refused(tg_samples_open(&s, &hundred, NULL, 0), TG_EFORMAT, "'hundred/train.bin' byte 1: label 100");
    put_file("hundred/train.bin", cifar_file, 13 * (RECORD + 1) - 5);
    refused(tg_samples_open(&s, &hundred, NULL, 0), TG_EFORMAT, "'hundred/train.bin' has 39957 bytes|cut off");
    put_file("c.bin", cifar_file, RECORD - 1);
    refused(tg_samples_open(&s, &(tg_samples_source){.data = "c.bin"}, NULL, 0), TG_EFORMAT,
            "'c.bin' has 3072 bytes|cut off");
}

/* An image that is drawn is one of the moved and mirrored ones, all of which come about equally often; which one is a
 * function of seed and number, and labels stay. */
static void images_are_moved_and_mirrored(void **state)
{
    (void)state;
    enum { N = 7, DRAWS = 3000, WAYS = 18 };
    tg_samples *s = NULL;
    make_images(N, 1);
    ok(tg_samples_open(&s, &images, NULL, 0));
    const tg_channel *channel = tg_samples_schema(s)->channel;
    static float features[6 * DRAWS], again[6 * DRAWS];
    static int32_t labels[DRAWS], plain[DRAWS];
    const tg_augmentation both = {.crop = 1, .flip = true}, none = {.crop = 0, .flip = false};
    tg_samples_draw(s, &(tg_sample_batch){features, labels, NULL, DRAWS}, &both, 2385, 11);
    size_t seen[WAYS] = {0};
    for (size_t d = 0; d < DRAWS; d++) {
        size_t fits = 0, way = 0;
        for (size_t w = 0; w < WAYS; w++) {
            const int down = (int)(w % 3) - 1, right = (int)(w / 3 % 3) - 1;
            bool same = true;
            for (int r = 0; r < 2; r++)
                for (int k = 0; k < 3; k++) {
                    const int a = r + down, b = (w >= 9 ? 2 - k : k) + right;
                    const double x =
                        a < 0 || a > 1 || b < 0 || b > 2
                            ? 0
                            : (unsigned char)tg_random(tg_key_make(5, 5, 0, 0), (uint32_t)(6 * labels[d] + 3 * a + b));
                    same = same && fabs((double)features[6 * d + 3 * (size_t)r + (size_t)k] -
                                        (x - channel->mean) / channel->std) < 1e-5;
                }
            fits += same;
            way = same ? w : way;
        }
        assert_int_equal(fits, 1);
        seen[way]++;
    }
    for (size_t w = 0; w < WAYS; w++)
        assert_true(seen[w] > DRAWS / WAYS / 2 && seen[w] < 2 * DRAWS / WAYS);
    for (size_t i = 0; i < DRAWS; i += 100)
        tg_samples_draw(s, &(tg_sample_batch){again + 6 * i, plain + i, NULL, 100}, &both, 2385, 11 + i);
    assert_memory_equal(features, again, sizeof features);
    assert_memory_equal(labels, plain, sizeof labels);
    tg_samples_draw(s, &(tg_sample_batch){features, labels, NULL, DRAWS}, &none, 2385, 11);
    tg_samples_draw(s, &(tg_sample_batch){again, plain, NULL, DRAWS}, NULL, 2385, 11);
    assert_memory_equal(features, again, sizeof features);
    assert_memory_equal(labels, plain, sizeof labels);
    tg_samples_destroy(s);
}

/* Of every place one, whatever n: held out are always the same, and no sample is in both parts. */
static void splits_and_epochs(void **state)
{
    (void)state;
    enum { N = 101 };
    tg_samples *s = NULL, *again = NULL;
    make_images(N, 1); /* the label is the sample's number */
    ok(tg_samples_open(&s, &images, NULL, 0.237));
    ok(tg_samples_open(&again, &images, NULL, 0.237));
    const size_t held = tg_samples_count(s, TG_SPLIT_VALIDATION), train = tg_samples_count(s, TG_SPLIT_TRAIN);
    assert_true(held == 23 && train == N - 23);
    int32_t part[N], same[N], epoch[3][N];
    tg_sample_batch batch = {.labels = part, .size = N};
    bool seen[N] = {false};
    for (int split = 0; split < 2; split++) {
        batch.labels = part;
        tg_samples_window(s, (tg_split)split, &batch, 0);
        batch.labels = same;
        tg_samples_window(again, (tg_split)split, &batch, 0);
        assert_memory_equal(part, same, sizeof part);
        for (size_t i = 0; i < (split == 0 ? train : held); i++) {
            assert_false(seen[part[i]]);
            seen[part[i]] = true;
        }
    }
    size_t late = 0; /* of the held out, numbers in the last quarter: by chance, not the file's end */
    for (size_t i = 0; i < held; i++)
        late += part[i] >= 3 * N / 4;
    assert_true(late > 1 && late < 16);
    for (int e = 0; e < 3; e++) {
        bool drawn[N] = {false};
        batch = (tg_sample_batch){.labels = epoch[e], .size = train};
        tg_samples_draw(s, &batch, NULL, 2385, (uint64_t)e * train);
        for (size_t i = 0; i < train; i++) {
            assert_false(drawn[epoch[e][i]]);
            drawn[epoch[e][i]] = true;
        }
    }
    assert_memory_not_equal(epoch[0], epoch[1], train * sizeof(int32_t));
    int32_t parts[N];
    for (size_t i = 0; i < 2 * 39; i += 13) { /* in pieces it is the same row of samples */
        batch = (tg_sample_batch){.labels = parts + i, .size = 13};
        tg_samples_draw(s, &batch, NULL, 2385, train + i);
    }
    assert_memory_equal(parts, epoch[1], 78 * sizeof(int32_t));
    batch = (tg_sample_batch){.labels = parts, .size = train};
    tg_samples_draw(s, &batch, NULL, 2386, 0);
    assert_memory_not_equal(parts, epoch[0], train * sizeof(int32_t));
    tg_samples_destroy(s);
    tg_samples_destroy(again);
    for (uint64_t n = 1; n < 70; n++) { /* the permutation itself */
        bool there[70] = {false};
        for (uint64_t i = 0; i < n; i++) {
            const uint64_t to = tg_permute(tg_key_make(3, n, 0, 0), i, n);
            assert_true(to < n && !there[to]);
            there[to] = true;
        }
    }
}

static void bad_images(void **state)
{
    (void)state;
    tg_samples *s = NULL;
    make_images(40, 20);
    refused(tg_samples_open(&s, &(tg_samples_source){.data = "l.idx", .labels = "l.idx"}, NULL, 0), TG_EFORMAT,
            "l.idx|labels?");
    refused(tg_samples_open(&s, &(tg_samples_source){.data = "i.idx", .labels = "i.idx"}, NULL, 0), TG_EFORMAT,
            "i.idx|3 dimensions");
    refused(tg_samples_open(&s, &(tg_samples_source){.data = "i.idx", .labels = "none"}, NULL, 0), TG_ENOTFOUND,
            "none");
    refused(tg_samples_open(&s, &(tg_samples_source){.data = "i.idx"}, NULL, 0), TG_EINVAL,
            "'i.idx' is an IDX file|labels");
    refused(tg_samples_open(&s, &(tg_samples_source){.data = "i.idx", .target = "y"}, NULL, 0), TG_EINVAL,
            "IDX|labels");
    refused(tg_samples_open(&s, &(tg_samples_source){"i.idx", "l.idx", "y", TG_TARGET_AUTO, false}, NULL, 0), TG_EINVAL,
            "either");
    refused(tg_samples_open(&s, &(tg_samples_source){"i.idx", "l.idx", NULL, TG_TARGET_NUMBER, false}, NULL, 0),
            TG_EINVAL, "l.idx|number");
    refused(tg_samples_open(&s, &images, NULL, 1), TG_EINVAL, "validation");
    ok(tg_samples_open(&s, &images, NULL, 0));
    tg_schema *schema = NULL;
    ok(tg_schema_copy(&schema, tg_samples_schema(s)));
    tg_samples_destroy(s);
    s = NULL;
    schema->rows = 3;
    refused(tg_samples_open(&s, &images, schema, 0), TG_EINVAL, "1 x 2 x 3|1 x 3 x 3");
    schema->rows = 2;
    make_images(41, 20); /* a third class, of one */
    refused(tg_samples_open(&s, &images, schema, 0), TG_EINVAL, "sample 40|label 2|2 classes");
    unsigned char labels[16];
    const size_t first = head(labels, 1, (uint32_t[]){3});
    put_file("l.idx", labels, first + 3);
    refused(tg_samples_open(&s, &images, NULL, 0), TG_EFORMAT, "41 samples|3 labels");
    assert_null(s);
    tg_schema_destroy(schema);
}

/* ---- gzip ---- */

#ifdef TIGER_HAVE_ZLIB
/* Of the file, a gzip file of two members. */
static void pack(const char *to, const char *from)
{
    static char bytes[1 << 12];
    FILE *file = fopen(from, "rb");
    const size_t count = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    for (int member = 0; member < 2; member++) {
        gzFile out = gzopen(to, member == 0 ? "wb" : "ab");
        const size_t half = count / 2, n = member == 0 ? half : count - half;
        assert_int_equal(gzwrite(out, bytes + (member == 0 ? 0 : half), (unsigned)n), (int)n);
        gzclose(out);
    }
}
#endif

static void gzip_files(void **state)
{
    (void)state;
    make_images(211, 30);
#ifdef TIGER_HAVE_ZLIB
    tg_samples *s = NULL, *packed = NULL;
    const tg_samples_source other = {.data = "i.gz", .labels = "l.gz"};
    static char bytes[1 << 12];
    pack("i.gz", "i.idx");
    pack("l.gz", "l.idx");
    ok(tg_samples_open(&s, &images, NULL, 0));
    ok(tg_samples_open(&packed, &other, NULL, 0));
    assert_int_equal(tg_samples_hash(s), tg_samples_hash(packed));
    tg_samples_destroy(s);
    tg_samples_destroy(packed);
    FILE *file = fopen("i.gz", "rb");
    const size_t count = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    tg_packed whole = {0};
    for (size_t cut = 2; cut < count; cut += 57) { /* between members a file may end */
        put_file("cut.gz", bytes, cut);
        const tg_status status = tg_packed_open(&whole, "cut.gz");
        if (status != TG_OK)
            refused(status, TG_EFORMAT, "cut.gz|cut off after");
        tg_packed_close(&whole);
    }
    bytes[count / 4] ^= 0x55;
    put_file("bad.gz", bytes, count);
    refused(tg_packed_open(&whole, "bad.gz"), TG_EFORMAT, "bad.gz|damaged near byte");
#else
    put_file("i.gz", "\x1f\x8b\x08", 3);
    tg_packed whole = {0};
    assert_false(tg_packed_unpacks());
    refused(tg_packed_open(&whole, "i.gz"), TG_EUNSUPPORTED, "i.gz|zlib1g-dev");
#endif
}

/* ---- CSV ---- */

/* The cells of a text, each within brackets, rows by '/'. */
static void read_cells(char *out, size_t room, const char *text, size_t bytes)
{
    tg_csv csv;
    tg_cell cell;
    bool more = true;
    size_t used = 0;
    tg_csv_begin(&csv, text, bytes, "t");
    for (;;) {
        ok(tg_csv_next(&csv, &cell, &more));
        if (!more)
            break;
        used += (size_t)snprintf(out + used, room - used, "[%.*s]%s", (int)cell.bytes, cell.text, cell.last ? "/" : "");
    }
    out[used] = 0;
    tg_csv_end(&csv);
}

static void cells(void **state)
{
    (void)state;
    static const struct {
        const char *text, *cells;
    } cases[] = {
        {"a,b\n1,2\n", "[a][b]/[1][2]/"},
        {"a,b\r\n1,2", "[a][b]/[1][2]/"},
        {"a\rb\r", "[a]/[b]/"},
        {"a\tb\n\"x\ty\"\t\n", "[a][b]/[x\ty][]/"},
        {"\"a,b\",\"c\"\"d\"\n\"line\nend\",\n", "[a,b][c\"d]/[line\nend][]/"},
        {"a,,c,\n", "[a][][c][]/"},
        {"", ""},
        {"\n\n", ""},
    };
    static const char marked[] = "\xef\xbb\xbf"
                                 "a;b;c,d\n\n\n 1 ;2,5;3\n";
    char out[256];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        read_cells(out, sizeof out, cases[i].text, strlen(cases[i].text));
        assert_string_equal(out, cases[i].cells);
    }
    read_cells(out, sizeof out, marked, strlen(marked));
    assert_string_equal(out, "[a][b][c,d]/[1][2,5][3]/");
    static const struct {
        const char *text, *words;
    } bad[] = {{"a,\"b", "line 1, column 2|do not close"},
               {"a,b\n\"c\"d,2", "line 2, column 1|behind the quotes"},
               {"\"a\n\nb\",\"c", "line 3, column 2|close"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tg_csv csv;
        tg_cell cell;
        bool more = true;
        tg_status status = TG_OK;
        tg_csv_begin(&csv, bad[i].text, strlen(bad[i].text), "t");
        while (status == TG_OK && more)
            status = tg_csv_next(&csv, &cell, &more);
        refused(status, TG_EFORMAT, bad[i].words);
        tg_csv_end(&csv);
    }
}

/* ---- tables ---- */

static void table_of_numbers(void **state)
{
    (void)state;
    tg_samples *s = NULL, *other = NULL;
    put_text("t.csv", "a,y,b,same\n1.5,10,-3,7\n2.5,20,4,7\n-3.25,45,8e1,7\n");
    ok(tg_samples_open(&s, &(tg_samples_source){.data = "t.csv", .target = "y"}, NULL, 0));
    const tg_schema *schema = tg_samples_schema(s);
    assert_true(!schema->images && schema->channels == 3 && schema->class_name == NULL &&
                tg_schema_outputs(schema) == 1);
    assert_string_equal(schema->channel[1].name, "b");
    assert_true(fabs(schema->channel[0].mean - 0.25) < 1e-12 && fabs(schema->channel[1].mean - 27) < 1e-12);
    assert_true(fabs(schema->target_mean - 25) < 1e-12 && fabs(schema->target_std - sqrt(650.0 / 3)) < 1e-12);
    assert_true(schema->channel[2].mean == 7 && schema->channel[2].std == 1); /* never changes */
    float features[9], values[3];
    int32_t labels[3];
    tg_sample_batch batch = {features, labels, values, 3};
    tg_samples_window(s, TG_SPLIT_TRAIN, &batch, 0);
    const double std = sqrt((30.0 * 30 + 23 * 23 + 53 * 53) / 3);
    assert_true(fabs((double)features[7] - 53 / std) < 1e-6 && features[8] == 0 && labels[2] == 0);
    assert_true(fabs((double)values[0] + 15 / sqrt(650.0 / 3)) < 1e-6);
    /* Another file by the same schema: other columns, in another order. */
    put_text("u.csv", "name;b;same;a;y\nx;27;7;0.25;25\n");
    ok(tg_samples_open(&other, &(tg_samples_source){.data = "u.csv"}, schema, 0));
    batch.size = 1;
    tg_samples_window(other, TG_SPLIT_TRAIN, &batch, 0);
    assert_true(features[0] == 0 && features[1] == 0 && features[2] == 0 && values[0] == 0);
    tg_samples_destroy(other);
    put_text("u.csv", "b,same,y\n1,2,3\n");
    refused(tg_samples_open(&other, &(tg_samples_source){.data = "u.csv"}, schema, 0), TG_EINVAL,
            "u.csv|no column 'a'|b, same, y");
    refused(tg_samples_open(&other, &(tg_samples_source){.data = "u.csv", .target = "b"}, schema, 0), TG_EINVAL,
            "'y'|'b'");
    refused(tg_samples_open(&other, &(tg_samples_source){.data = "u.csv", .labels = "u.csv"}, schema, 0), TG_EFORMAT,
            "IDX");
    tg_samples_destroy(s);
}

/* Statistics are the training part's: what is held out does not move them. */
static void statistics_are_of_the_training_part(void **state)
{
    (void)state;
    enum { N = 40 };
    FILE *file = fopen("t.csv", "w");
    for (int i = -1; i < N; i++)
        if (i < 0)
            fputs("x,y\n", file);
        else
            fprintf(file, "%d,%d\n", i * i, 3 * i);
    fclose(file);
    tg_samples *s = NULL;
    ok(tg_samples_open(&s, &(tg_samples_source){.data = "t.csv", .target = "y"}, NULL, 0.3));
    const tg_schema *schema = tg_samples_schema(s);
    float x[N], y[N];
    double sum = 0, squares = 0, all = 0;
    tg_sample_batch batch = {x, NULL, y, 28};
    tg_samples_window(s, TG_SPLIT_TRAIN, &batch, 0);
    for (size_t i = 0; i < 28; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    assert_true(fabs(sum) < 1e-4 && fabs(squares / 28 - 1) < 1e-5);
    for (int i = 0; i < N; i++)
        all += i * i;
    assert_true(fabs(schema->channel[0].mean - all / N) > 1); /* not that of all */
    tg_samples_destroy(s);
}

static void table_of_classes(void **state)
{
    (void)state;
    tg_samples *s = NULL, *other = NULL;
    put_text("t.csv", "kind,x\nlion,1\n\"tiger, big\",2\nant,3\nlion,4\n");
    ok(tg_samples_open(&s, &(tg_samples_source){.data = "t.csv", .target = "kind"}, NULL, 0));
    const tg_schema *schema = tg_samples_schema(s);
    assert_true(schema->classes == 3);
    assert_string_equal(schema->class_name[0], "ant");
    assert_string_equal(schema->class_name[2], "tiger, big");
    int32_t labels[4];
    tg_sample_batch batch = {.labels = labels, .size = 4};
    tg_samples_window(s, TG_SPLIT_TRAIN, &batch, 0);
    assert_true(labels[0] == 1 && labels[1] == 2 && labels[2] == 0 && labels[3] == 1);
    put_text("u.csv", "kind,x\nlion,1\ncat,2\n");
    refused(tg_samples_open(&other, &(tg_samples_source){.data = "u.csv"}, schema, 0), TG_EFORMAT,
            "u.csv|line 3, column 1|'cat'|3 classes");
    ok(tg_schema_write(schema, "m"));
    tg_schema *back = NULL;
    ok(tg_schema_read(&back, "m"));
    assert_true(back->classes == 3 && !back->images && back->channel[0].std == schema->channel[0].std);
    assert_string_equal(back->class_name[2], "tiger, big");
    assert_string_equal(back->target, "kind");
    assert_string_equal(back->channel[0].name, "x");
    tg_schema_destroy(back);
    tg_samples_destroy(s);
    put_text("t.csv", "k,x\n0,1\n1,2\n");
    ok(tg_samples_open(&s, &(tg_samples_source){.data = "t.csv", .target = "k", .kind = TG_TARGET_CLASS}, NULL, 0));
    assert_int_equal(tg_schema_outputs(tg_samples_schema(s)), 2);
    tg_samples_destroy(s);
}

static void bad_tables(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        tg_status status;
        const char *words;
    } bad[] = {
        {"y,x\n1,2\n3,four\n", TG_EFORMAT, "'t.csv'|line 3, column 2 (x)|'four'"},
        {"y,x\n1,\n", TG_EFORMAT, "line 2, column 2 (x)|empty"},
        {"y,x\n1,nan\n", TG_EFORMAT, "line 2|'nan' is no number"},
        {"y,x\n1,1e39\n", TG_EFORMAT, "line 2|'1e39'"},
        {"y,x\n1\n", TG_EFORMAT, "line 2|only 1 cells|2"},
        {"y,x\n1,2,3\n", TG_EFORMAT, "line 2|more than 2"},
        {"y,y\n1,2\n", TG_EFORMAT, "line 1|columns 1 and 2|'y'"},
        {"x,z\n1,2\n", TG_EINVAL, "no column 'y'|x, z"},
        {"y\n1\n", TG_EFORMAT, "0 columns beside 'y'"},
        {"y,x\n", TG_EFORMAT, "no row"},
        {"y,x\na,1\na,2\n", TG_EFORMAT, "1 class"},
        {"y,x\n,1\n", TG_EFORMAT, "line 2, column 1|target is empty"},
        {"y,\xff\n1,1\n", TG_EFORMAT, "line 1, column 2|no UTF-8"},
        {"\n", TG_EFORMAT, "no line"},
    };
    tg_samples *s = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_text("t.csv", bad[i].text);
        refused(tg_samples_open(&s, &(tg_samples_source){.data = "t.csv", .target = "y"}, NULL, 0), bad[i].status,
                bad[i].words);
    }
    put_text("t.csv", "y,x\none,1\n2,2\n");
    refused(
        tg_samples_open(&s, &(tg_samples_source){.data = "t.csv", .target = "y", .kind = TG_TARGET_NUMBER}, NULL, 0),
        TG_EINVAL, "'y' has words");
    put_file("t.csv", "y,x\n1,\0\n", 8);
    refused(tg_samples_open(&s, &(tg_samples_source){.data = "t.csv", .target = "y"}, NULL, 0), TG_EFORMAT,
            "byte of 0");
    assert_null(s);
}

static void bad_schemas(void **state)
{
    (void)state;
#define BEGIN "{\"kind\":\"table\",\"rows\":1,\"cols\":1,"
#define CHANNEL "\"channels\":[{\"name\":\"x\",\"mean\":0.5,\"std\":2}],"
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"[", "line 1"},
        {"{}", "kind"},
        {"{\"kind\":\"text\"}", "kind"},
        {"{\"kind\":\"table\",\"rows\":0,\"cols\":1}", "rows"},
        {BEGIN "\"channels\":[],\"target\":{}}", "channels"},
        {BEGIN
         "\"channels\":[{\"name\":\"x\",\"mean\":0.5,\"std\":0}],\"target\":{\"name\":\"y\",\"mean\":0,\"std\":1}}",
         "channels"},
        {BEGIN CHANNEL "\"target\":{\"mean\":0,\"std\":1}}", "target"},
        {BEGIN CHANNEL "\"target\":{\"name\":\"y\",\"mean\":0}}", "target"},
        {BEGIN CHANNEL "\"target\":{\"name\":\"y\",\"classes\":[\"a\"]}}", "target"},
        {BEGIN CHANNEL "\"target\":{\"name\":\"y\",\"classes\":[\"a\",7]}}", "target"},
        {"{\"kind\":\"images\",\"rows\":4194304,\"cols\":4194304," CHANNEL "\"target\":{}}", "channels"},
    };
    tg_schema *s = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(tg_schema_parse(&s, bad[i].text, strlen(bad[i].text), "s.json"), TG_EFORMAT, bad[i].words);
    assert_null(s);
}

/* Every allocation fails once: a status, and nothing is lost. */
static void no_memory(void **state)
{
    (void)state;
    put_text("t.csv", "kind,x,z\nlion,1,2\nant,2,5\nbee,3,1\n");
    make_images(7, 2);
    const tg_samples_source source[] = {{.data = "t.csv", .target = "kind"}, {.data = "t.csv", .target = "x"}, images};
    for (size_t i = 0; i < 3; i++) {
        if (i == 1)
            put_text("t.csv", "x,z\n1,2\n2,5\n3,1\n");
        tg_samples *s = NULL;
        tg_status status = TG_ENOMEM;
        long n = 1;
        for (; status == TG_ENOMEM; n++) {
            tg_memory_fail_at(n);
            status = tg_samples_open(&s, &source[i], NULL, 0);
            tg_memory_fail_at(0);
        }
        ok(status);
        assert_true(n > 5);
        tg_samples_destroy(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idx_files),
        cmocka_unit_test(images_are_standardised),
        cmocka_unit_test(images_are_moved_and_mirrored),
        cmocka_unit_test(cifar_files),
        cmocka_unit_test(cifar_samples),
        cmocka_unit_test(cifar_directories),
        cmocka_unit_test(splits_and_epochs),
        cmocka_unit_test(bad_images),
        cmocka_unit_test(gzip_files),
        cmocka_unit_test(cells),
        cmocka_unit_test(table_of_numbers),
        cmocka_unit_test(statistics_are_of_the_training_part),
        cmocka_unit_test(table_of_classes),
        cmocka_unit_test(bad_tables),
        cmocka_unit_test(bad_schemas),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
