/* base/power.h -- |v|^p in plain float operations: loops over it vectorise, and every machine gives the same bits.
 *
 * v^p = 2^(p log2 v). log2 splits v = 2^e f, f in [sqrt(1/2), sqrt(2)), and sums the series of atanh in
 * s = (f-1)/(f+1); 2^t is a polynomial in t's fraction. Relative error below 4e-6 for |p log2 v| <= 126; v below the
 * smallest normal number counts as that number. */
#ifndef TG_BASE_POWER_H
#define TG_BASE_POWER_H

#include "tiger/format.h"

static inline float tg_exp2(float t)
{
    t = t < -126.0f ? -126.0f : t > 127.0f ? 127.0f : t;
    const float whole = (t + 0x1.8p23f) - 0x1.8p23f; /* to the nearest integer */
    const float y = (t - whole) * 0.693147181f;      /* in [-ln2/2, ln2/2] */
    const float p = 1.0f + y * (1.0f + y * (0.5f + y * (1.66666667e-1f + y * (4.16666667e-2f + y * (8.33333333e-3f +
                    y * 1.38888889e-3f)))));
    return p * tg_float_from_bits((uint32_t)((int32_t)whole + 127) << 23);
}

static inline float tg_log2(float v)
{
    const uint32_t u = tg_bits_from_float(v), lowest = 0x00800000u, bits = u < lowest ? lowest : u;
    const int32_t e = (int32_t)((bits - 0x3f3504f3u) >> 23) - (bits < 0x3f3504f3u ? 512 : 0); /* arithmetic shift by hand */
    const float f = tg_float_from_bits(bits - ((uint32_t)e << 23));
    const float s = (f - 1.0f) / (f + 1.0f), q = s * s;
    const float series = s * (1.0f + q * (0.333333333f + q * (0.2f + q * (0.142857143f + q * 0.111111111f))));
    return (float)e + 2.88539008f * series;
}

/* v > 0 */
static inline float tg_power(float v, float p) { return tg_exp2(p * tg_log2(v)); }

#endif
