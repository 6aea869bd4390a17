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

/* What tg_code_magnitude gives for the largest code: 128^2 (255 + 6 * 127) and 64^2 (127 + 6 * 63). */
#define TG_CODE_TOP_UNSIGNED 16662528.0f
#define TG_CODE_TOP_SIGNED 2068480.0f

/* 8^e (1 + 7 f) of a magnitude code x = 2^e (1 + f): with p = 2^e it is p^2 (x + 6 (x - p)), and no operation rounds. */
static inline float tg_code_magnitude(float x)
{
    const float p = tg_float_from_bits(tg_bits_from_float(x) & 0xff800000u);
    return p * p * (x + 6.0f * (x - p));
}

/* The other way, in 256ths of a code, rounded to nearest even, in the lower 16 bits: of w = 4 * 8^e (1 + 7 f), 0 <= w <= 4 * 8^8.
 *
 * Four times the code lies on the line 2^e 24/7 + w 4^-e / 7 of its range; below 1 it is w itself, which lies under every
 * line there. A third of w's bits has e + 43 for an exponent, but for a few units in w's last 8 places: so near the end of
 * a range its line and the next differ by less than a 1000th of a code. The factors are put together as bits. */
static inline uint32_t tg_code_real(float w)
{
    const float third = (float)(int32_t)tg_bits_from_float(w) * (1.0f / 3.0f);
    const uint32_t range = (uint32_t)(int32_t)third & 0xff800000u, zero = 43u << 23;
    const float start = tg_float_from_bits(range + (0x405b6db7u - zero));       /* 2^e 24/7 */
    const float slope = tg_float_from_bits(0x3e124925u + 2 * zero - 2 * range); /* 4^-e 1/7 */
    const float line = start + w * slope, real = line < w ? line : w;
    return tg_bits_from_float(real + 0x1.8p17f); /* of that sum's bits the last is a 256th of a code */
}

#endif
