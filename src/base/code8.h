/* base/code8.h -- 8-bit codes for optimizer states: a dynamic map within blocks of TG_CODES values, after Dettmers et al.
 * 2022 (arXiv:2110.02861), with octal instead of decimal ranges, so that plain arithmetic codes and decodes.
 *
 *   magnitude of code c = 2^e (1 + f), 0 <= f < 1:   8^(e-E) (1 + 7 f) / C,   0 for c = 0;   largest code: 1
 *   unsigned: c of 8 bits, E = 7;  signed: c of 7 bits and a sign, E = 6
 *
 * The highest range, an eighth to one, has half of all codes; each lower one half as many, down to 1e-7 of the block's
 * largest magnitude, which is its scale. Between neighbouring codes the map is linear, so rounding a code up with the
 * probability of its fraction is unbiased. */
#ifndef TG_BASE_CODE8_H
#define TG_BASE_CODE8_H

#include <stdint.h>

#include "tiger/format.h"

#define TG_CODES ((size_t)256)

/* What the arithmetic below gives for the largest code: 1 + 7 * 127/128 and 1 + 7 * 63/64. */
#define TG_CODE_TOP_UNSIGNED 7.9453125f
#define TG_CODE_TOP_SIGNED 7.890625f

/* 8^(e-E) (1 + 7 f) of a magnitude code. */
static inline float tg_code_magnitude(uint32_t code, int is_signed)
{
    const uint32_t bits = tg_bits_from_float((float)(int32_t)code);
    const float mantissa = tg_float_from_bits((bits & 0x7fffffu) | 0x3f800000u);
    const uint32_t power = (3 * (bits >> 23) - 3 * 127 - (is_signed ? 18u : 21u) + 127) << 23;
    const float magnitude = (7.0f * mantissa - 6.0f) * tg_float_from_bits(power);
    return code == 0 ? 0.0f : magnitude;
}

/* The other way: a real-valued code of v = 8^(e-E) (1 + 7 f), v >= 0. */
static inline float tg_code_real(float v, int is_signed)
{
    const int32_t exponent = (int32_t)(tg_bits_from_float(v) >> 23) - 127 + (is_signed ? 18 : 21);
    const int32_t e = ((exponent < 0 ? 0 : exponent) * 43) >> 7; /* by 3, for all that can be */
    const float up = tg_float_from_bits((uint32_t)((is_signed ? 18 : 21) - 3 * e + 127) << 23);
    const float step = tg_float_from_bits((uint32_t)(e + 127) << 23);
    const float z = v * up; /* 1 .. 8, below 1 in the lowest range */
    return exponent < 0 ? z : step * ((z + 6.0f) * (1.0f / 7.0f));
}

#endif
