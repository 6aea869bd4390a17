/* base/vecmath.h -- exp, tanh, erf and the logistic function without branches or calls, so that loops over them vectorise;
 * the same bits on every instruction set.
 *
 * exp: x = n ln 2 + r with |r| <= ln 2 / 2, Taylor's series of degree 7 in r, then one scaling by 2^n, whose exponent
 * field makes it Inf for n = 128 and 0 for n = -127: so beyond 88.3 the result is Inf, below -87.6 it is 0, and never
 * subnormal. Within 2 units in the last place; NaN stays NaN.
 * erf: below 1 a polynomial in x^2; above, 1 - exp(-x^2) Q(1/x). Both interpolate at Chebyshev nodes (error 1.2e-9). */
#ifndef TG_BASE_VECMATH_H
#define TG_BASE_VECMATH_H

#include "tiger/format.h"

#define TG_LOG2E 0x1.715476p+0f
#define TG_LN2_HIGH 0x1.62e4p-1f /* few bits: n * high is exact */
#define TG_LN2_LOW 0x1.7f7d1cp-20f
#define TG_ROUNDER 0x1.8p+23f /* adding it rounds to a whole number, kept in the low bits */

/* exp(x) = 2^*n (1 + the value returned); |x| < 2^21. */
static inline float tg_exp_reduce(float x, int32_t *n)
{
    const float shifted = x * TG_LOG2E + TG_ROUNDER, whole = shifted - TG_ROUNDER;
    const float r = (x - whole * TG_LN2_HIGH) - whole * TG_LN2_LOW;
    *n = (int32_t)(tg_bits_from_float(shifted) - 0x4b400000u);
    const float tail = 1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720 + r * (1.0f / 5040)));
    return r + r * r * (0.5f + r * (1.0f / 6 + r * tail));
}

static inline float tg_power_of_2(int32_t n) { return tg_float_from_bits((uint32_t)(n + 127) << 23); } /* -127..128 */

static inline float tg_exp(float x)
{
    int32_t n;
    const float low = x < -88.0f ? -88.0f : x;
    const float rest = tg_exp_reduce(low > 89.0f ? 89.0f : low, &n);
    return (1.0f + rest) * tg_power_of_2(n);
}

/* 1 / (1 + exp(-x)) */
static inline float tg_logistic(float x) { return 1.0f / (1.0f + tg_exp(-x)); }

/* e / (e + 2) with e = exp(2|x|) - 1: accurate near 0 too. */
static inline float tg_tanh(float x)
{
    int32_t n;
    const float magnitude = tg_float_from_bits(tg_bits_from_float(x) & 0x7fffffffu);
    const float rest = tg_exp_reduce(2.0f * (magnitude > 10.0f ? 10.0f : magnitude), &n);
    const float scale = tg_power_of_2(n & 63), e = scale * rest + (scale - 1.0f); /* & 63: NaN leaves rubbish in n */
    const float value = e / (e + 2.0f);
    return tg_float_from_bits(tg_bits_from_float(value) | (tg_bits_from_float(x) & 0x80000000u));
}

static inline float tg_erf(float x)
{
    const float magnitude = tg_float_from_bits(tg_bits_from_float(x) & 0x7fffffffu);
    const float clamped = magnitude > 4.0f ? 4.0f : magnitude; /* beyond, 1 in fp32 */
    const float z = clamped * clamped, t = 1.0f / (clamped < 1.0f ? 1.0f : clamped);
    float p = 7.875875062685488e-05f, q = -0.019605029369706144f;
    p = p * z - 0.000801686428716587f;
    p = p * z + 0.005189087423433974f;
    p = p * z - 0.026854212010626412f;
    p = p * z + 0.11283594715160218f;
    p = p * z - 0.37612626666720334f;
    p = p * z + 1.1283791658483509f;
    q = q * t + 0.12847945060292618f;
    q = q * t - 0.36856255862597054f;
    q = q * t + 0.5898971730107935f;
    q = q * t - 0.5138991224025817f;
    q = q * t + 0.05359949362280515f;
    q = q * t + 0.5572926350496831f;
    q = q * t + 0.00038153229441997627f;
    const float large = 1.0f - tg_exp(-z) * q, value = magnitude < 1.0f ? clamped * p : large;
    return tg_float_from_bits(tg_bits_from_float(value) | (tg_bits_from_float(x) & 0x80000000u));
}

#endif
