/* store/gguf_value.c -- values of a GGUF file's metadata: numbers, texts, and either as a line for people. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/utf8.h"
#include "store/gguf.h"

static const struct {
    size_t bytes;
    bool integer, is_signed;
} types[TG_GGUF_TYPES] = {
    [TG_GGUF_U8] = {1, true, false},  [TG_GGUF_I8] = {1, true, true},   [TG_GGUF_U16] = {2, true, false},
    [TG_GGUF_I16] = {2, true, true},  [TG_GGUF_U32] = {4, true, false}, [TG_GGUF_I32] = {4, true, true},
    [TG_GGUF_U64] = {8, true, false}, [TG_GGUF_I64] = {8, true, true},  [TG_GGUF_F32] = {4, false, true},
    [TG_GGUF_F64] = {8, false, true}, [TG_GGUF_BOOL] = {1, false, false},
};

size_t tg_gguf_type_bytes(uint32_t type) { return type < TG_GGUF_TYPES ? types[type].bytes : 0; }

static uint64_t little(const unsigned char *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

/* The place of element `index` and its type; NULL when there is none of a fixed size. */
static const unsigned char *element(tg_gguf_type *type, const tg_gguf_value *value, uint64_t index)
{
    *type = value->type == TG_GGUF_ARRAY ? value->element : value->type;
    return types[*type].bytes == 0 || index >= value->count ? NULL : value->data + index * types[*type].bytes;
}

bool tg_gguf_integer(int64_t *out, const tg_gguf_value *value, uint64_t index)
{
    tg_gguf_type type;
    const unsigned char *at = element(&type, value, index);
    if (at == NULL || !types[type].integer)
        return false;
    const size_t bits = 8 * types[type].bytes;
    uint64_t bit = little(at, types[type].bytes);
    if (types[type].is_signed && bits < 64 && (bit >> (bits - 1) & 1) != 0)
        bit |= ~(uint64_t)0 << bits;
    if (!types[type].is_signed && bit > INT64_MAX)
        return false;
    memcpy(out, &bit, sizeof bit); /* two's complement */
    return true;
}

/* The double with the fewest digits that rounds to `value`. */
static double shortest(float value)
{
    for (int digits = 6; digits < 9 && isfinite(value); digits++) {
        char text[TG_NUMBER_BYTES];
        double back = 0;
        snprintf(text, sizeof text, "%.*e", digits - 1, (double)value);
        for (char *c = text; *c != 0; c++)
            if (*c == ',') /* other locales' point */
                *c = '.';
        if (tg_number_read(&back, text, strlen(text)) && (float)back == value)
            return back;
    }
    return (double)value;
}

bool tg_gguf_real(double *out, const tg_gguf_value *value, uint64_t index)
{
    tg_gguf_type type;
    int64_t integer;
    const unsigned char *at = element(&type, value, index);
    if (at == NULL)
        return false;
    if (type == TG_GGUF_F32)
        *out = shortest(tg_float_from_bits((uint32_t)little(at, 4)));
    else if (type == TG_GGUF_F64)
        memcpy(out, at, sizeof *out);
    else if (tg_gguf_integer(&integer, value, index))
        *out = (double)integer;
    else
        *out = (double)little(at, types[type].bytes); /* bool, and what is above INT64_MAX */
    return true;
}

bool tg_gguf_bool(bool *out, const tg_gguf_value *value)
{
    if (value->type != TG_GGUF_BOOL)
        return false;
    *out = *value->data != 0;
    return true;
}

bool tg_gguf_string(const char **text, size_t *bytes, const tg_gguf_value *value, size_t *offset)
{
    if (value->type == TG_GGUF_STRING) {
        *text = (const char *)value->data;
        *bytes = value->bytes;
        return (*offset)++ == 0;
    }
    if (value->type != TG_GGUF_ARRAY || value->element != TG_GGUF_STRING || *offset >= value->bytes)
        return false;
    *bytes = (size_t)little(value->data + *offset, 8); /* lies within: checked when the file was opened */
    *text = (const char *)value->data + *offset + 8;
    *offset += 8 + *bytes;
    return true;
}

static void print_string(tg_text *out, const char *text, size_t bytes, size_t most)
{
    const size_t shown = bytes < most ? bytes : most;
    size_t n;
    for (size_t i = 0; i < shown; i += n) {
        uint32_t c = 0;
        n = tg_utf8_decode(&c, text + i, bytes - i);
        if (n == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0)) {
            tg_text_format(out, c == '\n' && n == 1 ? "\\n" : "?");
            n = n == 0 ? 1 : n;
        } else
            tg_text_append(out, text + i, n);
    }
    if (shown < bytes)
        tg_text_append(out, "...", 3);
}

static void print_number(tg_text *out, const tg_gguf_value *value, uint64_t index)
{
    const tg_gguf_type type = value->type == TG_GGUF_ARRAY ? value->element : value->type;
    char text[TG_NUMBER_BYTES] = "";
    int64_t integer;
    double real = 0;
    if (tg_gguf_integer(&integer, value, index)) {
        tg_text_format(out, "%lld", (long long)integer);
        return;
    }
    tg_gguf_real(&real, value, index);
    if (type == TG_GGUF_U64)
        tg_text_format(out, "%llu", (unsigned long long)little(value->data + 8 * index, 8));
    else if (type == TG_GGUF_BOOL)
        tg_text_format(out, real != 0 ? "true" : "false");
    else if (!isfinite(real))
        tg_text_format(out, isnan(real) ? "nan" : real > 0 ? "inf" : "-inf");
    else {
        tg_number_print(text, real);
        tg_text_format(out, "%s", text);
    }
}

void tg_gguf_print(tg_text *out, const tg_gguf_value *value, size_t most)
{
    const char *text;
    size_t bytes, offset = 0;
    if (value->type == TG_GGUF_STRING) {
        print_string(out, (const char *)value->data, value->bytes, most);
        return;
    }
    if (value->type != TG_GGUF_ARRAY) {
        print_number(out, value, 0);
        return;
    }
    const uint64_t shown = value->element == TG_GGUF_ARRAY ? 0 : value->count < most ? value->count : most;
    tg_text_format(out, "%llu: [", (unsigned long long)value->count);
    for (uint64_t i = 0; i < shown; i++) {
        tg_text_append(out, ", ", i > 0 ? 2 : 0);
        if (value->element != TG_GGUF_STRING)
            print_number(out, value, i);
        else if (tg_gguf_string(&text, &bytes, value, &offset))
            print_string(out, text, bytes, 24);
    }
    tg_text_format(out, shown == value->count ? "]" : shown == 0 ? "...]" : ", ...]");
}
