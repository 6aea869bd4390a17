/* store/gguf_types.c -- the types of a GGUF file's tensors, by number, and how their blocks become fp32.
 *
 * d and m are fp16, one of each a block; q are codes of a few bits, s scales of a sub-block.
 *
 *   Q4_0  32 values, 18 bytes    d, 16 bytes: two codes each, the low half of value j, the high one of j + 16
 *                                x = d (q - 8)
 *   Q4_1  32, 20                 d, m, codes as above                      x = d q + m
 *   Q5_0  32, 22                 d, 32 fifth bits, four-bit parts as above x = d (q - 16)
 *   Q5_1  32, 24                 d, m, the same                            x = d q + m
 *   Q8_0  32, 34                 d, 32 signed bytes                        x = d q
 *   Q2_K  256, 84                16 bytes (low half s, high half t), 64 bytes of codes, d, m     x = d s q - m t
 *   Q3_K  256, 110               32 bytes of third bits, 64 of codes, 16 scales of six bits, d   x = d (s - 32) (q - 4)
 *   Q4_K  256, 144               d, m, 8 pairs (s, t) of six bits, 128 bytes of codes            x = d s q - m t
 *   Q5_K  256, 176               d, m, pairs, 32 bytes of fifth bits, 128 of codes               the same
 *   Q6_K  256, 210               128 bytes of low four bits, 64 of upper two, 16 signed s, d     x = d s (q - 32)
 *   Q8_K  256, 292               d in fp32, 256 signed bytes, 16 sums that are not needed        x = d q
 *   IQ4_NL 32, 18                as Q4_0, but q is looked up in 16 values further apart outside  x = d v[q]
 *   IQ4_XS 256, 136              d, 16 upper bits of 8 scales (two each), 32 lower ones, 128 bytes of codes
 *                                                                                                x = d (s - 32) v[q]
 *   MXFP4 32, 17                 a byte e, 16 bytes of codes of a four-bit float w               x = 2^(e - 127) w
 *
 * Products are rounded to fp32 in the order written. */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "store/encoding.h"

typedef unsigned char byte;

static float half(const byte *p) { return tg_half_widen((uint16_t)(p[0] | p[1] << 8)); }

static float signed_byte(byte b) { return (float)(b < 128 ? (int)b : (int)b - 256); }

/* ---- 32 values a block ---- */

/* x <- d (q + shift) + m; `high` has each value's fifth bit, or is 0. */
static void decode_32(float *x, const byte *codes, uint32_t high, float d, int shift, float m)
{
    for (unsigned j = 0; j < 16; j++) {
        const int low = (int)((codes[j] & 15u) | (high >> j & 1u) << 4);
        const int up = (int)((unsigned)codes[j] >> 4 | (high >> (j + 16) & 1u) << 4);
        x[j] = d * (float)(low + shift) + m;
        x[j + 16] = d * (float)(up + shift) + m;
    }
}

static uint32_t bits_32(const byte *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void decode_q4_0(float *x, const byte *b, size_t count)
{
    for (size_t i = 0; i < count; i++, b += 18)
        decode_32(x + 32 * i, b + 2, 0, half(b), -8, 0);
}

static void decode_q4_1(float *x, const byte *b, size_t count)
{
    for (size_t i = 0; i < count; i++, b += 20)
        decode_32(x + 32 * i, b + 4, 0, half(b), 0, half(b + 2));
}

static void decode_q5_0(float *x, const byte *b, size_t count)
{
    for (size_t i = 0; i < count; i++, b += 22)
        decode_32(x + 32 * i, b + 6, bits_32(b + 2), half(b), -16, 0);
}

static void decode_q5_1(float *x, const byte *b, size_t count)
{
    for (size_t i = 0; i < count; i++, b += 24)
        decode_32(x + 32 * i, b + 8, bits_32(b + 4), half(b), 0, half(b + 2));
}

static void decode_q8_0(float *x, const byte *b, size_t count)
{
    for (size_t i = 0; i < count; i++, b += 34)
        for (unsigned j = 0; j < 32; j++)
            x[32 * i + j] = half(b) * signed_byte(b[2 + j]);
}

/* x (32) <- d times the values that codes stand for. */
static void look_up_32(float *x, const byte *codes, const signed char *value, float d)
{
    for (unsigned j = 0; j < 32; j++)
        x[j] = d * (float)value[(unsigned)codes[j % 16] >> (4 * (j / 16)) & 15];
}

static const signed char apart[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static void decode_iq4_nl(float *x, const byte *b, size_t count)
{
    for (; count > 0; count--, b += 18, x += 32)
        look_up_32(x, b + 2, apart, half(b));
}

/* Twice a float of a sign, two bits of exponent and one of fraction: 2^(e - 128) makes up for it. */
static const signed char small_float[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static void decode_mxfp4(float *x, const byte *b, size_t count)
{
    for (; count > 0; count--, b += 17, x += 32)
        look_up_32(x, b + 1, small_float, ldexpf(1.0f, (int)b[0] - 128));
}

/* ---- 256 values a block ---- */

static void decode_iq4_xs(float *x, const byte *b, size_t count)
{
    for (; count > 0; count--, b += 136, x += 256)
        for (unsigned sub = 0; sub < 8; sub++) {
            const unsigned low = (unsigned)b[4 + sub / 2] >> (4 * (sub % 2)) & 15;
            const unsigned high = ((unsigned)b[2] | (unsigned)b[3] << 8) >> (2 * sub) & 3;
            look_up_32(x + 32 * sub, b + 8 + 16 * sub, apart, half(b) * (float)((int)(low | high << 4) - 32));
        }
}

static void decode_q8_k(float *x, const byte *b, size_t count)
{
    for (; count > 0; count--, b += 292, x += 256) {
        float d;
        memcpy(&d, b, sizeof d);
        for (unsigned i = 0; i < 256; i++)
            x[i] = d * signed_byte(b[4 + i]);
    }
}

/* Two-bit codes stand in two halves of 128 values: byte l of a half has those of values l, l + 32, l + 64, l + 96. */
static int two_bits(const byte *codes, unsigned value)
{
    const unsigned half_block = value / 128, part = value % 128 / 32, l = value % 32;
    return codes[32 * half_block + l] >> (2 * part) & 3;
}

static void decode_q2_k(float *x, const byte *b, size_t count)
{
    for (; count > 0; count--, b += 84, x += 256) {
        const float d = half(b + 80), m = half(b + 82);
        for (unsigned i = 0; i < 256; i++) {
            const float scale = d * (float)(b[i / 16] & 15), least = m * (float)(b[i / 16] >> 4);
            x[i] = scale * (float)two_bits(b + 16, i) - least;
        }
    }
}

/* Six bits each, of 16 scales: the low four in two rounds over 8 bytes, the upper two in four rounds over 4. */
static int scale_q3(const byte *s, unsigned i)
{
    const unsigned low = (unsigned)s[i % 8] >> (4 * (i / 8)) & 15, high = (unsigned)s[8 + i % 4] >> (2 * (i / 4)) & 3;
    return (int)(low | high << 4) - 32;
}

static void decode_q3_k(float *x, const byte *b, size_t count)
{
    for (; count > 0; count--, b += 110, x += 256) {
        const float d = half(b + 108);
        for (unsigned i = 0; i < 256; i++) {
            const int third = b[i % 32] >> (i / 32) & 1;
            const float scale = d * (float)scale_q3(b + 96, i / 16);
            x[i] = scale * (float)(two_bits(b + 32, i) + 4 * third - 4);
        }
    }
}

/* Six bits each, of 8 scales and 8 minima: the first four of each whole, the upper bits of the others above them. */
static void pair_q4(float *scale, float *least, const byte *s, unsigned i)
{
    const unsigned q = i < 4 ? s[i] & 63u : (s[i + 4] & 15u) | (unsigned)s[i - 4] >> 6 << 4;
    const unsigned t = i < 4 ? s[i + 4] & 63u : (unsigned)s[i + 4] >> 4 | (unsigned)s[i] >> 6 << 4;
    *scale = (float)q;
    *least = (float)t;
}

/* A block of Q4_K, or of Q5_K with its fifth bits. Sub-blocks 2p and 2p + 1 are the low and high halves of 32 bytes. */
static void decode_pairs(float *x, const byte *b, const byte *fifth, const byte *codes)
{
    const float d = half(b), m = half(b + 2);
    for (unsigned sub = 0; sub < 8; sub++) {
        float scale, least;
        pair_q4(&scale, &least, b + 4, sub);
        scale *= d;
        least *= m;
        for (unsigned l = 0; l < 32; l++) {
            const unsigned low = (unsigned)codes[32 * (sub / 2) + l] >> (4 * (sub % 2)) & 15;
            const unsigned high = fifth == NULL ? 0 : (unsigned)fifth[l] >> sub & 1;
            x[32 * sub + l] = scale * (float)(low | high << 4) - least;
        }
    }
}

static void decode_q4_k(float *x, const byte *b, size_t count)
{
    for (; count > 0; count--, b += 144, x += 256)
        decode_pairs(x, b, NULL, b + 16);
}

static void decode_q5_k(float *x, const byte *b, size_t count)
{
    for (; count > 0; count--, b += 176, x += 256)
        decode_pairs(x, b, b + 16, b + 48);
}

/* In each half of 128 values: low bits of values l and l + 64 share byte l of 64, upper bits of l, l + 32, l + 64 and
 * l + 96 byte l of 32. */
static void decode_q6_k(float *x, const byte *b, size_t count)
{
    for (; count > 0; count--, b += 210, x += 256) {
        const float d = half(b + 208);
        for (unsigned i = 0; i < 256; i++) {
            const unsigned in = i % 128, h = i / 128;
            const unsigned low = (unsigned)b[64 * h + in % 64] >> (4 * (in / 64)) & 15;
            const unsigned high = (unsigned)b[128 + 32 * h + in % 32] >> (2 * (in / 32)) & 3;
            const float scale = d * signed_byte(b[192 + i / 16]);
            x[i] = scale * (float)((int)(low | high << 4) - 32);
        }
    }
}

/* ---- the table ---- */

/* Types without `decode` and `block_bytes` are plain: their encoding is that of the format. */
static const tg_encoding types[] = {
    [0] = {.name = "F32", .format = TG_F32},
    [1] = {.name = "F16", .format = TG_F16},
    [2] = {"Q4_0", TG_FORMAT_COUNT, 32, 18, decode_q4_0},
    [3] = {"Q4_1", TG_FORMAT_COUNT, 32, 20, decode_q4_1},
    [6] = {"Q5_0", TG_FORMAT_COUNT, 32, 22, decode_q5_0},
    [7] = {"Q5_1", TG_FORMAT_COUNT, 32, 24, decode_q5_1},
    [8] = {"Q8_0", TG_FORMAT_COUNT, 32, 34, decode_q8_0},
    [10] = {"Q2_K", TG_FORMAT_COUNT, 256, 84, decode_q2_k},
    [11] = {"Q3_K", TG_FORMAT_COUNT, 256, 110, decode_q3_k},
    [12] = {"Q4_K", TG_FORMAT_COUNT, 256, 144, decode_q4_k},
    [13] = {"Q5_K", TG_FORMAT_COUNT, 256, 176, decode_q5_k},
    [14] = {"Q6_K", TG_FORMAT_COUNT, 256, 210, decode_q6_k},
    [15] = {"Q8_K", TG_FORMAT_COUNT, 256, 292, decode_q8_k},
    [20] = {"IQ4_NL", TG_FORMAT_COUNT, 32, 18, decode_iq4_nl},
    [23] = {"IQ4_XS", TG_FORMAT_COUNT, 256, 136, decode_iq4_xs},
    [39] = {"MXFP4", TG_FORMAT_COUNT, 32, 17, decode_mxfp4},
    /* Of these the sizes are known, so that a file that holds them can be listed. */
    [16] = {"IQ2_XXS", TG_FORMAT_COUNT, 256, 66, NULL},
    [17] = {"IQ2_XS", TG_FORMAT_COUNT, 256, 74, NULL},
    [18] = {"IQ3_XXS", TG_FORMAT_COUNT, 256, 98, NULL},
    [19] = {"IQ1_S", TG_FORMAT_COUNT, 256, 50, NULL},
    [21] = {"IQ3_S", TG_FORMAT_COUNT, 256, 110, NULL},
    [22] = {"IQ2_S", TG_FORMAT_COUNT, 256, 82, NULL},
    [24] = {.name = "I8", .format = TG_I8},
    [25] = {.name = "I16", .format = TG_I16},
    [26] = {.name = "I32", .format = TG_I32},
    [27] = {.name = "I64", .format = TG_I64},
    [28] = {.name = "F64", .format = TG_F64},
    [29] = {"IQ1_M", TG_FORMAT_COUNT, 256, 56, NULL},
    [30] = {.name = "BF16", .format = TG_BF16},
    [34] = {"TQ1_0", TG_FORMAT_COUNT, 256, 54, NULL},
    [35] = {"TQ2_0", TG_FORMAT_COUNT, 256, 66, NULL},
};

const tg_encoding *tg_encoding_of_gguf(uint32_t number)
{
    if (number >= sizeof types / sizeof *types || types[number].name == NULL)
        return NULL;
    return types[number].block_bytes == 0 ? tg_encoding_of_format(types[number].format) : &types[number];
}
