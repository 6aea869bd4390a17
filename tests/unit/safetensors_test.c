/* safetensors_test.c -- the reader against files made by hand, one for each defect; the writer; both without memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tiger/safetensors.h"

#define DATA "\x01\x02\x03\x04\x05\x06\x07\x08"
#define MANY 100000

/* ---- files made by hand ---- */

typedef struct bytes {
    unsigned char *at;
    size_t count;
} bytes;

/* Length, header and `count` bytes of data; the caller frees `at`. Exactly as large as it says, for the sanitizers. */
static bytes make(const char *header, size_t header_bytes, const void *data, size_t count)
{
    bytes b = {malloc(8 + header_bytes + count), 8 + header_bytes + count};
    assert_non_null(b.at);
    for (int i = 0; i < 8; i++)
        b.at[i] = (unsigned char)(header_bytes >> (8 * i));
    memcpy(b.at + 8, header, header_bytes);
    if (count > 0)
        memcpy(b.at + 8 + header_bytes, data, count);
    return b;
}

static tg_status open_text(tg_safetensors **file, bytes *b, const char *header, size_t data_bytes)
{
    static const char data[] = DATA DATA DATA DATA;
    *b = make(header, strlen(header), data, data_bytes);
    return tg_safetensors_open_memory(file, b->at, b->count, NULL);
}

/* Must be refused as a bad file, with every word of `words` (split at '|') in the message and the output untouched. */
static void refuse(const char *header, size_t data_bytes, const char *words)
{
    tg_safetensors *file = (tg_safetensors *)(void *)&file;
    bytes b;
    char copy[128];
    const tg_status status = open_text(&file, &b, header, data_bytes);
    if (status != TG_EFORMAT)
        fail_msg("status %s for %s", tg_status_name(status), header);
    assert_ptr_equal(file, &file);
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, "|"); word != NULL; word = strtok(NULL, "|"))
        if (strstr(tg_message(), word) == NULL)
            fail_msg("'%s' is not in the message '%s' for %s", word, tg_message(), header);
    assert_null(strchr(tg_message(), '\n'));
    free(b.at);
}

#define ONE(name, dtype, shape, offsets)                                                                               \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void good_headers(void **state)
{
    (void)state;
    static const struct { const char *header; size_t data, tensors;
    } good[] = {
        {"{}", 0, 0},
        {"{}      ", 0, 0},
        {"{\"__metadata__\":{}}", 0, 0},
        {"{" ONE("a", "F32", "[2]", "[0,8]") "}", 8, 1},
        {"{ \"a\" : {\t\"shape\" : [ 2 , 1 ] , \"data_offsets\":[ 0 , 8 ],\n\"dtype\" :\"F32\" } } \n ", 8, 1},
        {"{" ONE("a", "U8", "[]", "[0,1]") "}", 1, 1},                                     /* rank 0 */
        {"{" ONE("a", "F64", "[1,1,1,1,1,1,1,1]", "[0,8]") "}", 8, 1},                     /* rank 8 */
        {"{" ONE("b", "U8", "[3]", "[5,8]") "," ONE("a", "U8", "[5]", "[0,5]") "}", 8, 2}, /* any order */
        {"{" ONE("a", "F32", "[0,7]", "[3,3]") "," ONE("b", "U8", "[3]", "[0,3]") "," ONE("c", "I8", "[2]",
                                                                                          "[3,5]") "}",
         5, 3},
        {"{" ONE("e", "F32", "[0]", "[0,0]") "}", 0, 1},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        tg_safetensors *file = NULL;
        bytes b;
        if (open_text(&file, &b, good[i].header, good[i].data) != TG_OK)
            fail_msg("%s: %s", good[i].header, tg_message());
        assert_int_equal(tg_safetensors_count(file), good[i].tensors);
        assert_null(tg_safetensors_at(file, good[i].tensors));
        tg_safetensors_destroy(file);
        free(b.at);
    }
}

static void every_format(void **state)
{
    (void)state;
    for (int f = 0; f < TG_FORMAT_COUNT; f++) {
        char header[128];
        const size_t n = tg_format_bytes((tg_format)f);
        snprintf(header, sizeof header, "{" ONE("a", "%s", "[1]", "[0,%zu]") "}", tg_format_name((tg_format)f), n);
        tg_safetensors *file = NULL;
        bytes b;
        assert_int_equal(open_text(&file, &b, header, n), TG_OK);
        assert_int_equal(tg_safetensors_at(file, 0)->format, f);
        assert_memory_equal(tg_safetensors_at(file, 0)->data, DATA, n);
        tg_safetensors_destroy(file);
        free(b.at);
    }
}

static void bad_json(void **state)
{
    (void)state;
    refuse("", 0, "'{'");
    refuse(" {}", 0, "'{'|byte 8");
    refuse("[]", 0, "'{'");
    refuse("{", 0, "ends");
    refuse("{}x", 0, "follows|byte 10");
    refuse("{} {}", 0, "follows");
    refuse("{,}", 0, "byte 9");
    refuse("{" ONE("a", "U8", "[1]", "[0,1]") ",}", 1, "'\"'");
    refuse("{\"a\"}", 0, "':'");
    refuse("{\"a\":7}", 0, "tensor 'a'|'{'");
    refuse("{\"a\":{}}", 0, "tensor 'a'");
    refuse("{\"a", 0, "inside a text");
    refuse("{\"a\\", 0, "escape");
    refuse("{\"a\\x\":{}}", 0, "escape");
    refuse("{\"\\u12g4\":{}}", 0, "hexadecimal");
    refuse("{\"\\u12", 0, "hexadecimal");
    refuse("{\"\\ud800\":{}}", 0, "surrogate");
    refuse("{\"\\ud800\\n\":{}}", 0, "surrogate");
    refuse("{\"\\ud800\\u0041\":{}}", 0, "surrogate");
    refuse("{\"\\udc00\":{}}", 0, "surrogate");
    refuse("{\"\\u0000\":{}}", 0, "character 0");
    refuse("{\"a\nb\":{}}", 0, "control");
    refuse("{\"\xff\":{}}", 0, "UTF-8");
    refuse("{\"\xc0\xaf\":{}}", 0, "UTF-8");           /* overlong */
    refuse("{\"\xe0\x80\xaf\":{}}", 0, "UTF-8");
    refuse("{\"\xed\xa0\x80\":{}}", 0, "UTF-8");       /* a surrogate */
    refuse("{\"\xf4\x90\x80\x80\":{}}", 0, "UTF-8");   /* above U+10FFFF */
    refuse("{\"\xe2\x82\":{}}", 0, "UTF-8");           /* cut short */
    refuse("{\"\xe2\x82", 0, "UTF-8");
    tg_safetensors *file = NULL;
    bytes b = make("{\"a\0b\":{}}", 10, "", 0); /* the byte 0 */
    assert_int_equal(tg_safetensors_open_memory(&file, b.at, b.count, NULL), TG_EFORMAT);
    free(b.at);
}

static void bad_entries(void **state)
{
    (void)state;
    refuse("{\"wte\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "tensor 'wte'|missing");
    refuse("{\"wte\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "tensor 'wte'|missing");
    refuse("{\"wte\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "tensor 'wte'|missing");
    refuse("{\"wte\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "twice");
    refuse("{\"wte\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"more\":[1]}}", 1, "tensor 'wte'|a key");
    refuse("{\"wte\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "tensor 'wte'|'\"'");
    refuse("{" ONE("wte", "F31", "[1]", "[0,1]") "}", 1, "tensor 'wte'|unknown dtype 'F31'|byte ");
    refuse("{" ONE("wte", "fp32", "[1]", "[0,4]") "}", 4, "unknown dtype");
    refuse("{" ONE("wte", "f32", "[1]", "[0,4]") "}", 4, "unknown dtype");
    refuse("{" ONE("wte", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, "tensor 'wte'|more than 8");
    refuse("{" ONE("wte", "U8", "[-1]", "[0,1]") "}", 1, "integer");
    refuse("{" ONE("wte", "U8", "[1.0]", "[0,1]") "}", 1, "integer");
    refuse("{" ONE("wte", "U8", "[1e0]", "[0,1]") "}", 1, "integer");
    refuse("{" ONE("wte", "U8", "[01]", "[0,1]") "}", 1, "integer");
    refuse("{" ONE("wte", "U8", "[true]", "[0,1]") "}", 1, "integer");
    refuse("{" ONE("wte", "U8", "[[1]]", "[0,1]") "}", 1, "integer");
    refuse("{" ONE("wte", "U8", "[1,]", "[0,1]") "}", 1, "integer");
    refuse("{" ONE("wte", "U8", "[1 1]", "[0,1]") "}", 1, "']'");
    refuse("{" ONE("wte", "U8", "[18446744073709551616]", "[0,1]") "}", 1, "2^64");
    refuse("{" ONE("wte", "U8", "[1]", "[0]") "}", 1, "two numbers");
    refuse("{" ONE("wte", "U8", "[1]", "[]") "}", 1, "two numbers");
    refuse("{" ONE("wte", "U8", "[1]", "[0,1,1]") "}", 1, "more than 2");
    refuse("{\"__metadata__\":{\"a\":7}}", 0, "'\"'");
    refuse("{\"__metadata__\":[]}", 0, "'{'");
    refuse("{\"__metadata__\":{\"a\":\"b\",\"c\":\"d\",\"a\":\"e\"}}", 0, "metadata key 'a'|twice");
    refuse("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "twice");
    refuse("{" ONE("a", "U8", "[1]", "[0,1]") "," ONE("b", "U8", "[1]", "[1,2]") "," ONE("a", "U8", "[1]", "[2,3]") "}",
           3, "tensor 'a'|twice");
    refuse("{" ONE("a", "U8", "[1]", "[0,1]") "," ONE("\\u0061", "U8", "[1]", "[1,2]") "}", 2, "tensor 'a'|twice");
}

static void bad_layouts(void **state)
{
    (void)state;
    refuse("{" ONE("a", "F32", "[2]", "[0,7]") "}", 7, "tensor 'a'|span 7|need 8");
    refuse("{" ONE("a", "F32", "[2]", "[8,0]") "}", 8, "backwards");
    refuse("{" ONE("a", "F32", "[2]", "[0,8]") "}", 5, "tensor 'a'|3 bytes behind the end");
    refuse("{" ONE("a", "F32", "[2]", "[0,8]") "}", 9, "last 1 bytes belong to no tensor");
    refuse("{}", 3, "last 3 bytes");
    refuse("{" ONE("a", "F32", "[2]", "[1,9]") "}", 9, "tensor 'a'|behind a hole");
    refuse("{" ONE("a", "U8", "[2]", "[0,2]") "," ONE("b", "U8", "[2]", "[3,5]") "}", 5, "tensor 'b'|behind a hole");
    refuse("{" ONE("a", "U8", "[3]", "[0,3]") "," ONE("b", "U8", "[3]", "[2,5]") "}", 5, "tensor 'b'|inside another");
    refuse("{" ONE("a", "U8", "[5]", "[0,5]") "," ONE("b", "U8", "[2]", "[1,3]") "}", 5, "tensor 'b'|inside another");
    refuse("{" ONE("a", "U8", "[5]", "[0,5]") "," ONE("b", "U8", "[5]", "[0,5]") "}", 5, "inside another");
    refuse("{" ONE("a", "U8", "[5]", "[0,5]") "," ONE("b", "U8", "[0]", "[2,2]") "}", 5, "tensor 'b'|inside another");
    refuse("{" ONE("a", "U8", "[4294967296,4294967296]", "[0,0]") "}", 0, "overflows");
    refuse("{" ONE("a", "F32", "[4611686018427387904]", "[0,0]") "}", 0, "overflows");
    refuse("{" ONE("a", "U8", "[0,4294967296,4294967296]", "[0,0]") "}", 0, "overflows");
    refuse("{" ONE("a", "U8", "[18446744073709551615]", "[1,0]") "}", 0, "backwards");
    refuse("{" ONE("a", "U8", "[18446744073709551615]", "[0,18446744073709551615]") "}", 8, "behind the end");
}

/* The eight bytes of the header's length. */
static void bad_lengths(void **state)
{
    (void)state;
    tg_safetensors *file = NULL;
    bytes b = make("{}", 2, "", 0);
    for (size_t n = 0; n < b.count; n++) /* every truncation, in a block of its own for the sanitizers */
    {
        unsigned char *cut = malloc(n + 1);
        memcpy(cut + 1, b.at, n);
        assert_int_equal(tg_safetensors_open_memory(&file, cut + 1, n, NULL), TG_EFORMAT);
        free(cut);
    }
    static const uint64_t lengths[] = {3, 100000000, 100000001, UINT64_MAX, UINT64_MAX - 7, 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (int k = 0; k < 8; k++)
            b.at[k] = (unsigned char)(lengths[i] >> (8 * k));
        assert_int_equal(tg_safetensors_open_memory(&file, b.at, b.count, NULL), TG_EFORMAT);
        assert_non_null(strstr(tg_message(), lengths[i] == 1           ? "ends"
                                             : lengths[i] <= 100000000 ? "cut short"
                                                                       : "limit"));
    }
    assert_null(file);
    free(b.at);
}

/* Every prefix of a sound file is refused, and every change of one byte gives an answer and no harm. */
static void damaged_anywhere(void **state)
{
    (void)state;
    static const char header[] = "{\"__metadata__\":{\"k\":\"v\\u00e9\"}," ONE(
        "a\\n", "BF16", "[2,1]", "[0,4]") "," ONE("b", "U8", "[3]", "[4,7]") "}";
    bytes b = make(header, sizeof header - 1, DATA, 7);
    for (size_t n = 0; n < b.count; n++) {
        unsigned char *cut = malloc(n + 1);
        memcpy(cut + 1, b.at, n);
        tg_safetensors *file = NULL;
        assert_int_equal(tg_safetensors_open_memory(&file, cut + 1, n, NULL), TG_EFORMAT);
        free(cut);
    }
    size_t opened = 0;
    for (size_t n = 0; n < b.count; n++)
        for (unsigned change = 1; change < 256; change++) {
            tg_safetensors *file = NULL;
            b.at[n] ^= (unsigned char)change;
            if (tg_safetensors_open_memory(&file, b.at, b.count, NULL) == TG_OK) {
                opened++;
                for (size_t i = 0; i < tg_safetensors_count(file); i++) {
                    const tg_named_tensor *t = tg_safetensors_at(file, i);
                    assert_true((const unsigned char *)t->data + t->bytes <= b.at + b.count);
                    assert_ptr_equal(tg_safetensors_find(file, t->name), t);
                }
            }
            tg_safetensors_destroy(file);
            b.at[n] ^= (unsigned char)change;
        }
    assert_true(opened > 7 * 255); /* all changes of the data, some of names */
    free(b.at);
}

static void names_are_decoded(void **state)
{
    (void)state;
    tg_safetensors *file = NULL;
    bytes b;
    assert_int_equal(open_text(&file, &b,
                               "{\"__metadata__\":{\"b\\tc\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"a\":\"\"},"
                               ONE("\\u20ac\\ud83d\\uDE00 \xc3\xa9", "U8", "[]", "[0,1]") "}", 1), TG_OK);
    assert_string_equal(tg_safetensors_at(file, 0)->name, "\xe2\x82\xac\xf0\x9f\x98\x80 \xc3\xa9");
    assert_non_null(tg_safetensors_find(file, "\xe2\x82\xac\xf0\x9f\x98\x80 \xc3\xa9"));
    assert_null(tg_safetensors_find(file, "\xe2\x82\xac"));
    assert_string_equal(tg_safetensors_metadata(file, "b\tc"), "\"\\/\b\f\n\r\t");
    assert_string_equal(tg_safetensors_metadata(file, "a"), "");
    assert_null(tg_safetensors_metadata(file, "b"));
    tg_safetensors_destroy(file);
    free(b.at);
}

/* ---- files on disk ---- */

static char directory[64];

static int enter(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/tiger-safetensors-XXXXXX");
    return mkdtemp(directory) == NULL ? -1 : chdir(directory);
}

static size_t files_here(void)
{
    size_t n = 0;
    DIR *d = opendir(".");
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

static int leave(void **state)
{
    (void)state;
    unlink("a.safetensors");
    return chdir("/") != 0 || rmdir(directory) != 0 ? -1 : 0;
}

static const float weights[] = {2.385f, -0.731f, 1e-7f, 4.19e8f, -3.25f, 0.0417f};
static const uint16_t halves[] = {0x4019, 0xbf3b, 0x7fc1};
static const tg_named_tensor sample[] = {
    {"odd", TG_U8, 1, {3}, "\x07\x0b\xfe", 3},
    {"h.0.attn.weight \xe2\x82\xac \"quoted\\\"\n", TG_F32, 2, {2, 3}, weights, sizeof weights},
    {"empty", TG_I64, 3, {4, 0, 5}, NULL, 0},
    {"scalar", TG_F64, 0, {0}, (const double[]){-2.718}, 8},
    {"half", TG_BF16, 3, {3, 1, 1}, halves, sizeof halves},
};
static const char *const notes[] = {"format", "pt", "a \"b\"", "\t\xc3\xa9"};
enum { SAMPLES = sizeof sample / sizeof *sample };

static void check_sample(const tg_safetensors *file)
{
    assert_int_equal(tg_safetensors_count(file), SAMPLES);
    for (size_t i = 0; i < SAMPLES; i++) {
        const tg_named_tensor *t = tg_safetensors_at(file, i);
        assert_string_equal(t->name, sample[i].name);
        assert_int_equal(t->format, sample[i].format);
        assert_int_equal(t->rank, sample[i].rank);
        for (unsigned k = 0; k < t->rank; k++)
            assert_int_equal(t->shape[k], sample[i].shape[k]);
        assert_int_equal(t->bytes, sample[i].bytes);
        if (t->bytes > 0)
            assert_memory_equal(t->data, sample[i].data, t->bytes);
        assert_ptr_equal(tg_safetensors_find(file, sample[i].name), t);
    }
    assert_string_equal(tg_safetensors_metadata(file, "format"), "pt");
    assert_string_equal(tg_safetensors_metadata(file, "a \"b\""), "\t\xc3\xa9");
}

static void round_trip(void **state)
{
    (void)state;
    tg_safetensors *file = NULL;
    for (int again = 0; again < 2; again++) /* the second time over the first file */
        assert_int_equal(tg_safetensors_write("a.safetensors", sample, SAMPLES, notes, 2), TG_OK);
    assert_int_equal(files_here(), 1);
    assert_int_equal(tg_safetensors_open(&file, "a.safetensors", NULL), TG_OK);
    check_sample(file);
    assert_int_equal((uintptr_t)tg_safetensors_at(file, 0)->data % 64, 0);
    tg_safetensors_destroy(file);
    assert_int_equal(tg_safetensors_write("a.safetensors", NULL, 0, NULL, 0), TG_OK);
    assert_int_equal(tg_safetensors_open(&file, "a.safetensors", NULL), TG_OK);
    assert_int_equal(tg_safetensors_count(file), 0);
    tg_safetensors_destroy(file);
}

static void refused_files(void **state)
{
    (void)state;
    tg_safetensors *file = NULL;
    assert_int_equal(tg_safetensors_open(&file, "none.safetensors", NULL), TG_ENOTFOUND);
    assert_non_null(strstr(tg_message(), "none.safetensors"));
    assert_int_equal(tg_safetensors_open(&file, ".", NULL), TG_EFORMAT);
    assert_int_equal(tg_safetensors_open(&file, "/dev/null", NULL), TG_EFORMAT);
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_int_equal(tg_safetensors_open(&file, "pipe", NULL), TG_EFORMAT);
    unlink("pipe");
    FILE *f = fopen("a.safetensors", "wb");
    fclose(f);
    assert_int_equal(tg_safetensors_open(&file, "a.safetensors", NULL), TG_EFORMAT);
    assert_int_equal(tg_safetensors_write("a.safetensors", sample, SAMPLES, notes, 2), TG_OK);
    assert_int_equal(truncate("a.safetensors", 500), 0);
    assert_int_equal(tg_safetensors_open(&file, "a.safetensors", NULL), TG_EFORMAT);
    assert_non_null(strstr(tg_message(), "a.safetensors"));
    assert_null(file);
}

static void refused_tensors(void **state)
{
    (void)state;
    tg_named_tensor bad[2] = {sample[0], sample[1]};
    static const char *const twice[] = {"k", "v", "k", "w"}, *const no_text[] = {"k", "\xff"};
    assert_int_equal(tg_safetensors_write("b.safetensors", sample, SAMPLES, twice, 2), TG_EINVAL);
    assert_int_equal(tg_safetensors_write("b.safetensors", sample, SAMPLES, no_text, 1), TG_EINVAL);
    bad[1].name = "odd";
    assert_int_equal(tg_safetensors_write("b.safetensors", bad, 2, NULL, 0), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "'odd'"));
    bad[1].name = "__metadata__";
    assert_int_equal(tg_safetensors_write("b.safetensors", bad, 2, NULL, 0), TG_EINVAL);
    bad[1].name = "a\xc3";
    assert_int_equal(tg_safetensors_write("b.safetensors", bad, 2, NULL, 0), TG_EINVAL);
    bad[1] = sample[1], bad[1].bytes--;
    assert_int_equal(tg_safetensors_write("b.safetensors", bad, 2, NULL, 0), TG_EINVAL);
    bad[1] = sample[1], bad[1].rank = 9;
    assert_int_equal(tg_safetensors_write("b.safetensors", bad, 2, NULL, 0), TG_EINVAL);
    bad[1] = sample[1], bad[1].format = TG_FORMAT_COUNT;
    assert_int_equal(tg_safetensors_write("b.safetensors", bad, 2, NULL, 0), TG_EINVAL);
    bad[1] = sample[1], bad[1].data = NULL;
    assert_int_equal(tg_safetensors_write("b.safetensors", bad, 2, NULL, 0), TG_EINVAL);
    bad[1] = sample[1], bad[1].shape[0] = UINT64_MAX / 2;
    assert_int_equal(tg_safetensors_write("b.safetensors", bad, 2, NULL, 0), TG_EINVAL);
    assert_int_equal(tg_safetensors_write("no/b.safetensors", sample, SAMPLES, NULL, 0), TG_ENOTFOUND);
    assert_int_equal(access("b.safetensors", F_OK), -1);
}

/* A limit on the size of files stands for a full disk. */
static void full_disk(void **state)
{
    (void)state;
    static unsigned char much[1 << 16];
    const tg_named_tensor large = {"large", TG_U8, 1, {sizeof much}, much, sizeof much};
    struct rlimit before, small;
    assert_int_equal(tg_safetensors_write("a.safetensors", sample, SAMPLES, notes, 2), TG_OK);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){30000, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const tg_status status = tg_safetensors_write("a.safetensors", &large, 1, NULL, 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, TG_EIO);
    assert_non_null(strstr(tg_message(), "a.safetensors"));
    assert_int_equal(files_here(), 1);
    tg_safetensors *file = NULL;
    assert_int_equal(tg_safetensors_open(&file, "a.safetensors", NULL), TG_OK);
    check_sample(file);
    tg_safetensors_destroy(file);
}

/* ---- no memory ---- */

static void reading_without_memory(void **state)
{
    (void)state;
    assert_int_equal(tg_safetensors_write("a.safetensors", sample, SAMPLES, notes, 2), TG_OK);
    long n = 1;
    for (;; n++) {
        tg_safetensors *file = NULL;
        tg_memory_fail_at(n);
        const tg_status status = tg_safetensors_open(&file, "a.safetensors", NULL);
        tg_memory_fail_at(0);
        if (status == TG_OK) {
            check_sample(file);
            tg_safetensors_destroy(file);
            break;
        }
        assert_int_equal(status, TG_ENOMEM);
        assert_null(file);
    }
    assert_true(n > 6);
}

static void writing_without_memory(void **state)
{
    (void)state;
    assert_int_equal(tg_safetensors_write("a.safetensors", sample, 1, NULL, 0), TG_OK);
    long n = 1;
    for (;; n++) {
        tg_memory_fail_at(n);
        const tg_status status = tg_safetensors_write("a.safetensors", sample, SAMPLES, notes, 2);
        tg_memory_fail_at(0);
        assert_int_equal(files_here(), 1);
        tg_safetensors *file = NULL;
        assert_int_equal(tg_safetensors_open(&file, "a.safetensors", NULL), TG_OK);
        if (status == TG_OK)
            check_sample(file);
        tg_safetensors_destroy(file);
        if (status == TG_OK)
            break;
        assert_int_equal(status, TG_ENOMEM);
    }
    assert_true(n > 4);
}

typedef struct ledger {
    size_t bytes, most;
} ledger;

static void *counted_alloc(void *ctx, size_t n, size_t align)
{
    ledger *l = ctx;
    l->bytes += n;
    l->most = l->bytes > l->most ? l->bytes : l->most;
    return aligned_alloc(align, n);
}

static void counted_free(void *ctx, void *memory, size_t n)
{
    ledger *l = ctx;
    l->bytes -= n;
    free(memory);
}

static void allocator_is_used(void **state)
{
    (void)state;
    ledger l = {0, 0};
    const tg_allocator allocator = {.alloc = counted_alloc, .free = counted_free, .ctx = &l};
    tg_safetensors *file = NULL;
    assert_int_equal(tg_safetensors_write("a.safetensors", sample, SAMPLES, notes, 2), TG_OK);
    assert_int_equal(tg_safetensors_open(&file, "a.safetensors", &allocator), TG_OK);
    check_sample(file);
    assert_true(l.bytes > 0);
    tg_safetensors_destroy(file);
    assert_int_equal(l.bytes, 0);
    bytes b;
    assert_int_equal(open_text(&file, &b, "{", 0), TG_EFORMAT);
    free(b.at);
    assert_int_equal(truncate("a.safetensors", 700), 0);
    assert_int_equal(tg_safetensors_open(&file, "a.safetensors", &allocator), TG_EFORMAT);
    assert_int_equal(l.bytes, 0);
    assert_true(l.most > 0);
}

/* Quadratic work would take minutes. Written in an order that is neither sorted nor reversed. */
static void many_tensors(void **state)
{
    (void)state;
    tg_named_tensor *tensors = calloc(MANY, sizeof *tensors);
    char (*names)[32] = malloc(MANY * sizeof *names);
    uint16_t *values = malloc(MANY * sizeof *values);
    for (size_t i = 0; i < MANY; i++) {
        const size_t k = i * 70001 % MANY; /* a permutation: 70001 is prime to MANY */
        snprintf(names[i], sizeof *names, "a.long.common.prefix.%zu", k);
        values[i] = (uint16_t)(k * 7919);
        tensors[i] = (tg_named_tensor){names[i], TG_U16, 1, {1}, &values[i], 2};
    }
    tg_safetensors *file = NULL;
    assert_int_equal(tg_safetensors_write("a.safetensors", tensors, MANY, NULL, 0), TG_OK);
    assert_int_equal(tg_safetensors_open(&file, "a.safetensors", NULL), TG_OK);
    for (size_t i = 0; i < MANY; i++) {
        const tg_named_tensor *t = tg_safetensors_find(file, names[i]);
        assert_ptr_equal(t, tg_safetensors_at(file, i));
        assert_memory_equal(t->data, &values[i], 2);
    }
    tg_safetensors_destroy(file);
    tensors[MANY - 1].name = names[MANY / 3];
    assert_int_equal(tg_safetensors_write("a.safetensors", tensors, MANY, NULL, 0), TG_EINVAL);
    free(values);
    free(names);
    free(tensors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_headers), cmocka_unit_test(every_format), cmocka_unit_test(bad_json),
        cmocka_unit_test(bad_entries), cmocka_unit_test(bad_layouts), cmocka_unit_test(bad_lengths),
        cmocka_unit_test(damaged_anywhere), cmocka_unit_test(names_are_decoded), cmocka_unit_test(round_trip),
        cmocka_unit_test(refused_files), cmocka_unit_test(refused_tensors), cmocka_unit_test(full_disk),
        cmocka_unit_test(reading_without_memory), cmocka_unit_test(writing_without_memory),
        cmocka_unit_test(allocator_is_used), cmocka_unit_test(many_tensors),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
