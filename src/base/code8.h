/* base/code8.h -- 8-bit codes for optimizer states: a dynamic map within units of TG_CODES values, after Dettmers et
 * al. 2022 (arXiv:2110.02861), with octal instead of decimal ranges, so that plain arithmetic codes and decodes.
 *
 *   magnitude of code c = 2^e (1 + f), 0 <= f < 1:   8^(e-E) (1 + 7 f) / C,   0 for c = 0;   largest code: 1
 *   unsigned: c of 8 bits, E = 7;  signed: c of 7 bits and a sign, E = 6
 *
 * The highest range, an eighth to one, has half of all codes; each lower one half as many, down to 1e-7 of the unit's
 * largest magnitude, which is its scale. Between neighbouring codes the map is linear, so rounding a code up with the
 * probability of its fraction is unbiased. */
#ifndef TG_BASE_CODE8_H
#define TG_BASE_CODE8_H

#include <stddef.h>
#include <stdint.h>

#include "tiger/format.h"

#define TG_CODES ((size_t)256)
#define TG_QUARTER (TG_CODES / 4)

/* Where among a tensor's n codes that of value i lies. In a whole unit those of four values a quarter apart are
 * neighbours, one 32-bit word: loops over words then find every value in its lane, and nothing is shuffled. What a
 * tensor has beyond its last whole unit is in order. */
static inline size_t tg_code_place(size_t i, size_t n)
{
    const size_t in = i % TG_CODES, start = i - in;
    return n - start < TG_CODES ? i : start + in % TG_QUARTER * 4 + in / TG_QUARTER;
}

/* What tg_code_magnitude gives for the largest code and a unit of 1: 128^2 (255 + 6 * 127) and 64^2 (127 + 6 * 63). */
#define TG_CODE_TOP_UNSIGNED 16662528.0f
#define TG_CODE_TOP_SIGNED 2068480.0f

/* a b + c where no operation rounds: fused, where that is an instruction, it is the same. */
#if defined(__FMA__) || defined(__aarch64__)
#define TG_EXACT_FMA(a, b, c) __builtin_fmaf(a, b, c)
#else
#define TG_EXACT_FMA(a, b, c) ((a) * (b) + (c))
#endif

/* 8^e (1 + 7 f) of a magnitude code x = 2^e (1 + f), times a unit: with p = 2^e it is p^2 unit (x + 6 (x - p)), and
 * only the last product rounds. */
static inline float tg_code_magnitude(float x, float unit)
{
    const float p = tg_float_from_bits(tg_bits_from_float(x) & 0xff800000u);
    return TG_EXACT_FMA(6.0f, x - p, x) * (p * (p * unit));
}

/* The other way, four times the code of w = 4 * 8^e (1 + 7 f), 0 <= w <= 4 * 8^8. It lies on the line
 * 2^e 24/7 + w 4^-e / 7 of its range; below 4 it is w itself, which there lies under every line.
 *
 * w's exponent is 3 e + 2, 3 e + 3 or 3 e + 4, and with its bias of 127 a third of that is e + 43; 171 / 512 is a third
 * of what has 8 bits. The factors are put together as bits. */
static inline float tg_code_real(float w)
{
    const uint32_t range = (tg_bits_from_float(w) >> 23) * (171u << 14) & 0xff800000u, zero = 43u << 23;
    const float start = tg_float_from_bits(range + (0x405b6db7u - zero));       /* 2^e 24/7 */
    const float slope = tg_float_from_bits(0x3e124925u + 2 * zero - 2 * range); /* 4^-e 1/7 */
    const float line = start + w * slope;
    return line < w ? line : w;
}

#endif
