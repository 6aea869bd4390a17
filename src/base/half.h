/* base/half.h -- fp16 in 32-bit integer and float operations, without branches, so that loops over it vectorise. */
#ifndef TG_BASE_HALF_H
#define TG_BASE_HALF_H

#include "tiger/format.h"

#define TG_F16_INF 0x7c00u
#define TG_F16_MAX 0x7bffu

static inline float tg_half_widen(uint16_t h)
{
    const uint32_t magnitude = (uint32_t)(h & 0x7fffu) << 13, sign = (uint32_t)(h & 0x8000u) << 16;
    const float scaled = tg_float_from_bits(magnitude) * 0x1p112f; /* exact: rebases the exponent, subnormals too */
    const uint32_t special = magnitude | 0x7f800000u | ((magnitude & 0x7fffffu) != 0 ? 0x400000u : 0u);
    const uint32_t bits = magnitude >= 0x0f800000u ? special : tg_bits_from_float(scaled);
    return tg_float_from_bits(bits | sign);
}

static inline uint16_t tg_half_pack(uint32_t u, uint32_t normal, uint32_t subnormal, uint32_t largest)
{
    const uint32_t magnitude = u & 0x7fffffffu;
    const uint32_t quiet = 0x7e00u | ((u >> 13) & 0x3ffu);
    uint32_t h = magnitude < 0x38800000u ? subnormal : normal; /* 2^-14 */
    h = magnitude >= 0x477ff000u ? TG_F16_INF : h > largest ? largest : h; /* 65520 */
    h = magnitude > 0x7f800000u ? quiet : h;
    return (uint16_t)(h | ((u >> 16) & 0x8000u));
}

static inline uint16_t tg_half_narrow(float f)
{
    const uint32_t u = tg_bits_from_float(f), magnitude = u & 0x7fffffffu;
    const uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
    /* Adding 0.5, whose last place is fp16's smallest step, lets the adder round. */
    const uint32_t subnormal = tg_bits_from_float(tg_float_from_bits(magnitude) + 0.5f) - 0x3f000000u;
    return tg_half_pack(u, normal, subnormal, TG_F16_MAX);
}

static inline uint16_t tg_half_narrow_stochastic(float f, uint32_t random)
{
    const uint32_t u = tg_bits_from_float(f), magnitude = u & 0x7fffffffu;
    const uint32_t normal = (magnitude + (random & 0x1fffu) - 0x38000000u) >> 13;
    /* In units of 2^-32: the low 8 bits are the fraction of a step that chance decides on. */
    const float small = tg_float_from_bits(magnitude < 0x38800000u ? magnitude : 0u) * 0x1p32f;
    const uint32_t subnormal = ((uint32_t)(int32_t)small + (random & 0xffu)) >> 8;
    return tg_half_pack(u, normal, subnormal, TG_F16_MAX);
}

#endif
