/* engine_gguf_test.c -- the GGUF reader against files made by hand, one for each defect; values of every type; blocks
 * against their formulas; all of it without memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "store/gguf.h"

/* ---- files made by hand ---- */

static unsigned char made[1 << 16];
static size_t used;

static void put(uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        made[used++] = (unsigned char)(value >> (8 * i));
}

static void put_text(const char *text)
{
    put(strlen(text), 8);
    memcpy(made + used, text, strlen(text));
    used += strlen(text);
}

static void begin(uint64_t tensors, uint64_t pairs)
{
    used = 0;
    memcpy(made, "GGUF", 4);
    used = 4;
    put(3, 4);
    put(tensors, 8);
    put(pairs, 8);
}

static void pair(const char *key, tg_gguf_type type)
{
    put_text(key);
    put((uint64_t)type, 4);
}

static void number(const char *key, tg_gguf_type type, uint64_t bits)
{
    pair(key, type);
    put(bits, tg_gguf_type_bytes(type));
}

/* A matrix, sizes with the fastest first. */
static void tensor(const char *name, uint64_t cols, uint64_t rows, uint32_t type, uint64_t offset)
{
    put_text(name);
    put(2, 4);
    put(cols, 8);
    put(rows, 8);
    put(type, 4);
    put(offset, 8);
}

static void pad(size_t alignment)
{
    while (used % alignment != 0)
        made[used++] = 0;
}

static void data(size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        made[used++] = (unsigned char)(37 * i + 11);
}

/* Exactly as large as it says, for the sanitizers; released with *copy. */
static tg_status open_made(tg_gguf **file, unsigned char **copy, size_t bytes)
{
    *copy = malloc(bytes + (bytes == 0));
    memcpy(*copy, made, bytes);
    return tg_gguf_open_memory(file, *copy, bytes, "made");
}

/* Must be refused with every word of `words` (split at '|') in a message of one line, and the output untouched. */
static void refuse(tg_status wanted, const char *words)
{
    tg_gguf *file = (tg_gguf *)(void *)&file;
    unsigned char *copy;
    char word[128];
    const tg_status status = open_made(&file, &copy, used);
    if (status != wanted)
        fail_msg("%s instead of %s (%s): %s", tg_status_name(status), tg_status_name(wanted), words, tg_message());
    assert_ptr_equal(file, &file);
    snprintf(word, sizeof word, "'made'|%s", words);
    for (char *w = strtok(word, "|"); w != NULL; w = strtok(NULL, "|"))
        if (strstr(tg_message(), w) == NULL)
            fail_msg("'%s' is not in '%s'", w, tg_message());
    assert_null(strchr(tg_message(), '\n'));
    free(copy);
}

static tg_gguf *accept(unsigned char **copy)
{
    tg_gguf *file = NULL;
    if (open_made(&file, copy, used) != TG_OK)
        fail_msg("%s", tg_message());
    return file;
}

/* Metadata and two tensors, one in blocks. */
static void make_good(void)
{
    begin(2, 2);
    pair("general.architecture", TG_GGUF_STRING);
    put_text("llama");
    number("general.alignment", TG_GGUF_U32, 16);
    tensor("a", 32, 3, 2, 0); /* Q4_0: 3 blocks of 18 bytes */
    tensor("b", 5, 7, 0, 64);
    pad(16);
    data(3 * 18);
    pad(16);
    data(5 * 7 * 4);
}

static void good_file(void **state)
{
    (void)state;
    unsigned char *copy;
    make_good();
    tg_gguf *file = accept(&copy);
    assert_int_equal(tg_gguf_version(file), 3);
    assert_int_equal(tg_gguf_pairs(file), 2);
    assert_int_equal(tg_gguf_tensors(file), 2);
    const tg_gguf_tensor *a = tg_gguf_tensor_at(file, 0), *b = tg_gguf_tensor_at(file, 1);
    assert_string_equal(a->encoding->name, "Q4_0");
    assert_int_equal(a->shape[0], 3);
    assert_int_equal(a->shape[1], 32);
    assert_int_equal(a->bytes, 54);
    assert_int_equal(b->bytes, 140);
    assert_int_equal(b->data - a->data, 64);
    assert_int_equal(a->data[1], 48); /* 37 + 11 */
    assert_non_null(tg_gguf_find(file, "general.architecture"));
    assert_null(tg_gguf_find(file, "general.arch"));
    tg_gguf_destroy(file);
    free(copy);
}

/* Whatever is missing at its end, a file is refused. */
static void cut_short(void **state)
{
    (void)state;
    make_good();
    for (size_t bytes = 0; bytes < used; bytes++) {
        tg_gguf *file = NULL;
        unsigned char *copy;
        assert_int_equal(open_made(&file, &copy, bytes), TG_EFORMAT);
        assert_null(file);
        free(copy);
    }
}

static void without_memory(void **state)
{
    (void)state;
    make_good();
    for (long n = 1;; n++) {
        tg_gguf *file = NULL;
        unsigned char *copy;
        tg_memory_fail_at(n);
        const tg_status status = open_made(&file, &copy, used);
        tg_memory_fail_at(0);
        tg_gguf_destroy(file);
        free(copy);
        if (status == TG_OK) {
            assert_true(n > 6);
            break;
        }
        assert_int_equal(status, TG_ENOMEM);
        assert_null(file);
    }
}

/* ---- defects ---- */

static void bad_beginnings(void **state)
{
    (void)state;
    begin(0, 0);
    made[0] = 'g';
    refuse(TG_EFORMAT, "does not begin with 'GGUF'|byte 0");
    begin(0, 0);
    made[4] = 1;
    refuse(TG_EUNSUPPORTED, "version 1|2 and 3");
    begin(0, 0);
    memcpy(made + 4, "\0\0\0\3", 4);
    refuse(TG_EUNSUPPORTED, "big-endian");
    begin(UINT64_MAX, 0);
    refuse(TG_EFORMAT, "18446744073709551615 tensors|do not fit");
    begin(0, (uint64_t)1 << 61);
    refuse(TG_EFORMAT, "2305843009213693952 metadata pairs|do not fit");
    begin(0, 0);
    data(40);
    refuse(TG_EFORMAT, "follows the header");
}

static void bad_metadata(void **state)
{
    (void)state;
    begin(0, 1);
    pair("k", (tg_gguf_type)13);
    put(0, 8);
    refuse(TG_EFORMAT, "metadata key 'k'|type 13|byte 33");
    begin(0, 1);
    number("k", TG_GGUF_BOOL, 2);
    put(0, 8);
    refuse(TG_EFORMAT, "metadata key 'k'|truth value of 2");
    begin(0, 1);
    pair("k", TG_GGUF_STRING);
    put(1000, 8);
    put(0, 8);
    refuse(TG_EFORMAT, "metadata key 'k'|text of 1000 bytes|end of the file");
    begin(0, 1);
    pair("k", TG_GGUF_ARRAY);
    put(TG_GGUF_U64, 4);
    put((uint64_t)1 << 61, 8); /* times 8 is 0 in 64 bits */
    put(7, 8);
    refuse(TG_EFORMAT, "metadata key 'k'|values pass the end");
    begin(0, 1);
    pair("k", TG_GGUF_ARRAY);
    put(99, 4);
    put(1, 8);
    refuse(TG_EFORMAT, "metadata key 'k'|type 99");
    begin(0, 1);
    pair("k", TG_GGUF_ARRAY);
    for (int i = 0; i < 6; i++) {
        put(TG_GGUF_ARRAY, 4);
        put(1, 8);
    }
    data(64);
    refuse(TG_EFORMAT, "metadata key 'k'|deeper than 4");
    begin(0, 2);
    number("same", TG_GGUF_U8, 1);
    number("same", TG_GGUF_U8, 2);
    refuse(TG_EFORMAT, "'same' occurs twice");
    begin(0, 1);
    number("general.alignment", TG_GGUF_U32, 12);
    refuse(TG_EFORMAT, "general.alignment|multiple of 8");
    begin(0, 1);
    number("general.alignment", TG_GGUF_U32, 0);
    refuse(TG_EFORMAT, "general.alignment");
    begin(0, 1);
    number("\xff", TG_GGUF_U32, 0);
    refuse(TG_EFORMAT, "no UTF-8");
    begin(0, 1);
    number("a\nb", TG_GGUF_U32, 0);
    refuse(TG_EFORMAT, "control character");
    begin(0, 1);
    number("", TG_GGUF_U64, 0);
    refuse(TG_EFORMAT, "a name of 0 bytes");
}

static void one_tensor(uint64_t cols, uint64_t rows, uint32_t type, uint64_t offset, size_t bytes)
{
    begin(1, 0);
    tensor("t", cols, rows, type, offset);
    pad(32);
    data(bytes);
}

static void bad_tensors(void **state)
{
    (void)state;
    one_tensor(5, 7, 4, 0, 140);
    refuse(TG_EFORMAT, "tensor 't'|type 4 is not known");
    one_tensor(33, 2, 2, 0, 64);
    refuse(TG_EFORMAT, "tensor 't'|rows of 33|Q4_0");
    one_tensor((uint64_t)1 << 33, (uint64_t)1 << 31, 0, 0, 64);
    refuse(TG_EFORMAT, "tensor 't'|overflows");
    one_tensor((uint64_t)1 << 61, 1, 0, 0, 64); /* the values do not, the bytes do */
    refuse(TG_EFORMAT, "tensor 't'|overflows");
    one_tensor(5, 7, 0, 4, 144);
    refuse(TG_EFORMAT, "tensor 't'|offset 4|alignment 32");
    one_tensor(5, 7, 0, 32, 172);
    refuse(TG_EFORMAT, "tensor 't'|behind a hole");
    one_tensor(5, 7, 0, UINT64_MAX - 31, 160);
    refuse(TG_EFORMAT, "tensor 't'|end of the file");
    one_tensor(5, 7, 0, 0, 139);
    refuse(TG_EFORMAT, "tensor 't'|140 bytes|end of the file");
    one_tensor(5, 7, 0, 0, 140 + 21);
    refuse(TG_EFORMAT, "last 21 bytes");
    begin(2, 0);
    tensor("t", 5, 7, 0, 0);
    tensor("u", 5, 7, 0, 128);
    pad(32);
    data(268);
    refuse(TG_EFORMAT, "tensor 'u'|inside another");
    begin(2, 0);
    tensor("t", 8, 2, 0, 0);
    tensor("t", 8, 2, 0, 64);
    pad(32);
    data(128);
    refuse(TG_EFORMAT, "tensor 't' occurs twice");
    begin(1, 0);
    put_text("t");
    put(5, 4);
    data(64);
    refuse(TG_EFORMAT, "tensor 't'|5 dimensions");
}

/* ---- values ---- */

static void values(void **state)
{
    (void)state;
    static const struct { tg_gguf_type type; uint64_t bits; bool integer; double real; const char *text;
    } of[] = {
        {TG_GGUF_U8, 201, true, 201, "201"},
        {TG_GGUF_I8, (uint64_t)-77, true, -77, "-77"},
        {TG_GGUF_U16, 51966, true, 51966, "51966"},
        {TG_GGUF_I16, (uint64_t)-12345, true, -12345, "-12345"},
        {TG_GGUF_U32, 4000000000, true, 4e9, "4000000000"},
        {TG_GGUF_I32, (uint64_t)-7, true, -7, "-7"},
        {TG_GGUF_I64, (uint64_t)-5000000000, true, -5e9, "-5000000000"},
        {TG_GGUF_U64, (uint64_t)1 << 63, false, 0x1p63, "9223372036854775808"},
        {TG_GGUF_F32, 0x3727c5ac, false, 1e-5, "1e-05"},
        {TG_GGUF_F64, 0x4003147ae147ae14, false, 2.385, "2.385"},
        {TG_GGUF_BOOL, 1, false, 1, "true"},
    };
    unsigned char *copy;
    begin(0, sizeof of / sizeof *of);
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%zu", i);
        number(key, of[i].type, of[i].bits);
    }
    tg_gguf *file = accept(&copy);
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        const char *key;
        const tg_gguf_value *v = tg_gguf_pair(file, i, &key);
        int64_t integer = 0;
        double real = 0;
        tg_text text = {0};
        assert_int_equal(tg_gguf_integer(&integer, v, 0), of[i].integer);
        assert_true(!of[i].integer || (double)integer == of[i].real);
        assert_true(tg_gguf_real(&real, v, 0));
        if (fabs(real - of[i].real) > 1e-15 * fabs(of[i].real))
            fail_msg("%.17g instead of %.17g", real, of[i].real);
        assert_false(tg_gguf_real(&real, v, 1));
        tg_gguf_print(&text, v, 8);
        if (text.used != strlen(of[i].text) || memcmp(text.at, of[i].text, text.used) != 0)
            fail_msg("'%.*s' instead of '%s'", (int)text.used, text.at, of[i].text);
        tg_text_free(&text);
    }
    tg_gguf_destroy(file);
    free(copy);
}

static void arrays(void **state)
{
    (void)state;
    static const char *const words[] = {"tiger", "", "\xc3\xa9\n"};
    const char *text;
    size_t bytes, offset = 0;
    unsigned char *copy;
    int64_t integer;
    begin(0, 2);
    pair("texts", TG_GGUF_ARRAY);
    put(TG_GGUF_STRING, 4);
    put(3, 8);
    for (size_t i = 0; i < 3; i++)
        put_text(words[i]);
    pair("numbers", TG_GGUF_ARRAY);
    put(TG_GGUF_I16, 4);
    put(2, 8);
    put(17, 2);
    put((uint64_t)-4, 2);
    tg_gguf *file = accept(&copy);
    const tg_gguf_value *texts = tg_gguf_find(file, "texts"), *numbers = tg_gguf_find(file, "numbers");
    for (size_t i = 0; i < 3; i++) {
        assert_true(tg_gguf_string(&text, &bytes, texts, &offset));
        assert_int_equal(bytes, strlen(words[i]));
        assert_memory_equal(text, words[i], bytes);
    }
    assert_false(tg_gguf_string(&text, &bytes, texts, &offset));
    assert_true(tg_gguf_integer(&integer, numbers, 1));
    assert_int_equal(integer, -4);
    assert_false(tg_gguf_integer(&integer, numbers, 2));
    assert_false(tg_gguf_integer(&integer, texts, 0));
    tg_text line = {0};
    tg_gguf_print(&line, texts, 3);
    assert_int_equal(line.used, strlen("3: [tiger, , \xc3\xa9\\n]"));
    assert_memory_equal(line.at, "3: [tiger, , \xc3\xa9\\n]", line.used);
    tg_text_free(&line);
    tg_gguf_destroy(file);
    free(copy);
}

/* ---- blocks: chosen codes against the formulas; random ones are compared with the package gguf in oracle/ ---- */

static void blocks(void **state)
{
    (void)state;
    static const struct { uint32_t number; size_t at; unsigned char byte; size_t value; float x;
    } of[] = {
        /* d = 1.5 (0x3e00); every other byte is 0. */
        {2, 2, 0x3f, 0, 1.5f * 7}, {2, 2, 0x3f, 16, 1.5f * -5}, {2, 17, 0x91, 31, 1.5f * 1},
        {8, 5, 0xfd, 3, 1.5f * -3}, {8, 33, 0x7f, 31, 1.5f * 127},
        {6, 3, 0x02, 9, 1.5f * 0}, {6, 5, 0x80, 31, 1.5f * 0}, {6, 6, 0x09, 0, 1.5f * -7},
    };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        const tg_encoding *e = tg_encoding_of_gguf(of[i].number);
        unsigned char block[64] = {0x00, 0x3e};
        float x[TG_BLOCK_MOST];
        block[of[i].at] = of[i].byte;
        e->decode(x, block, 1);
        if (x[of[i].value] != of[i].x)
            fail_msg("%s: value %zu is %g instead of %g", e->name, of[i].value, (double)x[of[i].value],
                     (double)of[i].x);
    }
    assert_null(tg_encoding_of_gguf(4));
    assert_null(tg_encoding_of_gguf(UINT32_MAX));
    assert_ptr_equal(tg_encoding_of_gguf(30), tg_encoding_of_format(TG_BF16));
}

static void plain_formats(void **state)
{
    (void)state;
    static const struct { tg_format format; unsigned char bytes[8]; float x;
    } of[] = {
        {TG_F32, {0x3d, 0x0a, 0x19, 0x40}, 2.3912499f},
        {TG_I8, {0x80}, -128}, {TG_I16, {0x00, 0x80}, -32768}, {TG_I32, {0xfe, 0xff, 0xff, 0xff}, -2},
        {TG_I64, {0, 0, 0, 0, 0, 0, 0, 0x80}, -0x1p63f}, {TG_U64, {0, 0, 0, 0, 0, 0, 0, 0x80}, 0x1p63f},
        {TG_U16, {0x39, 0x30}, 12345}, {TG_BOOL, {1}, 1}, {TG_F64, {0, 0, 0, 0, 0, 0, 0x06, 0xc0}, -2.75f},
        {TG_F8_E4M3, {0x7e}, 448}, {TG_F8_E4M3, {0x81}, -0x1p-9f}, {TG_F8_E4M3, {0x3b}, 1.375f},
        {TG_F8_E5M2, {0x7b}, 57344}, {TG_F8_E5M2, {0xbd}, -1.25f}, {TG_F8_E5M2, {0x01}, 0x1p-16f},
    };
    float x;
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        tg_encoding_of_format(of[i].format)->decode(&x, of[i].bytes, 1);
        if (fabsf(x - of[i].x) > 1e-6f * fabsf(of[i].x))
            fail_msg("%s: %.9g instead of %.9g", tg_format_name(of[i].format), (double)x, (double)of[i].x);
    }
    tg_encoding_of_format(TG_F8_E4M3)->decode(&x, (const unsigned char[]){0xff}, 1);
    assert_true(isnan(x));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_file),    cmocka_unit_test(cut_short),   cmocka_unit_test(without_memory),
        cmocka_unit_test(bad_beginnings), cmocka_unit_test(bad_metadata), cmocka_unit_test(bad_tensors),
        cmocka_unit_test(values),       cmocka_unit_test(arrays),      cmocka_unit_test(blocks),
        cmocka_unit_test(plain_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
