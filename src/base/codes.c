/* base/codes.c -- see base/codes.h. Of four values whose codes share a word, number p has its code in bits 8 p to 8 p
 * + 7. */
#include "base/codes.h"

#include <string.h>

#include "base/largest.h"

/* ---- from codes ---- */

/* p is a constant when inlined, and so is is_signed. */
TG_INLINE float value_of(uint32_t word, unsigned p, bool is_signed, float unit)
{
    const uint32_t code = word >> 8 * p & (is_signed ? 127u : 255u);
    const uint32_t sign = is_signed ? word << (24 - 8 * p) & 0x80000000u : 0u;
    const float magnitude = tg_code_magnitude((float)(int32_t)code, unit);
    return tg_float_from_bits(tg_bits_from_float(magnitude) | sign);
}

TG_INLINE void decode_unit(float *restrict dst, const uint8_t *restrict codes, float unit, bool is_signed)
{
    float *restrict a = dst, *restrict b = a + TG_QUARTER, *restrict c = b + TG_QUARTER, *restrict d = c + TG_QUARTER;
    for (size_t i = 0; i < TG_QUARTER; i++) {
        uint32_t word;
        memcpy(&word, codes + 4 * i, sizeof word);
        a[i] = value_of(word, 0, is_signed, unit);
        b[i] = value_of(word, 1, is_signed, unit);
        c[i] = value_of(word, 2, is_signed, unit);
        d[i] = value_of(word, 3, is_signed, unit);
    }
}

TG_INLINE void decode(float *restrict dst, const uint8_t *restrict codes, const float *restrict scale, bool is_signed,
                      size_t n)
{
    for (size_t at = 0; at < n; at += TG_CODES, scale++) {
        const size_t now = n - at < TG_CODES ? n - at : TG_CODES;
        const float unit = *scale / (is_signed ? TG_CODE_TOP_SIGNED : TG_CODE_TOP_UNSIGNED);
        if (now == TG_CODES)
            decode_unit(dst + at, codes + at, unit, is_signed);
        else
            for (size_t i = 0; i < now; i++)
                dst[at + i] = value_of(codes[at + i], 0, is_signed, unit);
    }
}

void TG_PER_ISA(tg_codes_decode)(float *dst, const uint8_t *codes, const float *scale, bool is_signed, size_t n)
{
    if (is_signed)
        decode(dst, codes, scale, true, n);
    else
        decode(dst, codes, scale, false, n);
}

/* ---- to codes ---- */

/* What the largest magnitude makes the scale: NaN where it is not finite. */
static float scale_of(float most)
{
    const bool good = most >= 0x1p-100f && most < 0x1p126f; /* below, a state is as good as zero */
    return good ? most : most < 1.0f ? 0.0f : tg_float_from_bits(0x7fc00000u);
}

/* A value's code where it belongs in the word. What is added to 256ths of a code before they are cut is byte p of the
 * draw: one serves the four. */
TG_INLINE uint32_t code_of(float value, unsigned p, bool is_signed, float unit, uint32_t draw)
{
    const uint32_t bits = tg_bits_from_float(value), sign = is_signed ? bits & 0x80000000u : 0u;
    const float w = (is_signed ? tg_float_from_bits(bits & 0x7fffffffu) : value) * unit;
    /* Of the sum's bits the last is a 256th of a code. None passes the largest code. */
    const float chance = tg_float_from_bits(0x48400000u | (draw >> 8 * p & 255u));
    const uint32_t sum = tg_bits_from_float(tg_code_real(w) + chance), code = sum & 0xff00u;
    return (p == 0 ? code >> 8 : code << (8 * p - 8)) | sign >> (24 - 8 * p);
}

#define NEAREST 0x80808080u

TG_INLINE void encode_unit(uint8_t *restrict codes, const float *restrict src, float unit, bool is_signed,
                           bool stochastic, tg_key key, uint32_t draw)
{
    const float *restrict a = src, *restrict b = a + TG_QUARTER, *restrict c = b + TG_QUARTER,
                          *restrict d = c + TG_QUARTER;
    for (uint32_t i = 0; i < TG_QUARTER; i++) {
        const uint32_t drawn = stochastic ? tg_random(key, draw + i) : NEAREST;
        const uint32_t word = code_of(a[i], 0, is_signed, unit, drawn) | code_of(b[i], 1, is_signed, unit, drawn) |
                              code_of(c[i], 2, is_signed, unit, drawn) | code_of(d[i], 3, is_signed, unit, drawn);
        memcpy(codes + 4 * i, &word, sizeof word);
    }
}

TG_INLINE void encode(uint8_t *restrict codes, const float *restrict scale, const float *restrict src, bool is_signed,
                      size_t n, const tg_key *key, uint64_t first)
{
    const tg_key none = {0}, part = key == NULL ? none : tg_key_part(*key, first >> 32);
    for (size_t at = 0; at < n; at += TG_CODES, scale++) {
        const size_t now = n - at < TG_CODES ? n - at : TG_CODES;
        const uint32_t draw = (uint32_t)(first + at) / 4;
        const float unit = 4.0f * (is_signed ? TG_CODE_TOP_SIGNED : TG_CODE_TOP_UNSIGNED) / *scale;
        if (!(*scale > 0))
            memset(codes + at, 0, now);
        else if (now == TG_CODES && key != NULL)
            encode_unit(codes + at, src + at, unit, is_signed, true, part, draw);
        else if (now == TG_CODES)
            encode_unit(codes + at, src + at, unit, is_signed, false, part, draw);
        else
            for (uint32_t i = 0; i < now; i++)
                codes[at + i] = (uint8_t)code_of(src[at + i], 0, is_signed, unit,
                                                 key == NULL ? NEAREST : tg_random(part, draw + i / 4) >> i % 4 * 8);
    }
}

void TG_PER_ISA(tg_codes_encode)(uint8_t *codes, float *scale, const float *src, bool is_signed, size_t n,
                                 const tg_key *key, uint64_t first)
{
    /* All scales first: a sum is waited for longer than a loop over one unit takes. */
    size_t at = 0;
    for (; at + TG_CODES <= n; at += TG_CODES)
        scale[at / TG_CODES] = scale_of(tg_largest(src + at, TG_CODES));
    if (at < n)
        scale[at / TG_CODES] = scale_of(tg_largest(src + at, n - at));
    if (is_signed)
        encode(codes, scale, src, true, n, key, first);
    else
        encode(codes, scale, src, false, n, key, first);
}
