/* base/kernels.c -- widening, narrowing, sums and checks; compiled once per instruction set. */
#include "base/kernels.h"

#include "base/half.h"

#define LANES 16

static void widen(float *restrict dst, const void *restrict src, tg_format format, size_t n)
{
    const uint16_t *restrict h = src;
    if (format == TG_F32)
        memcpy(dst, src, n * sizeof *dst);
    else if (format == TG_BF16)
        for (size_t i = 0; i < n; i++)
            dst[i] = tg_bf16_to_f32(h[i]);
    else
        for (size_t i = 0; i < n; i++)
            dst[i] = tg_half_widen(h[i]);
}

static void narrow(void *restrict dst, const float *restrict src, tg_format format, size_t n)
{
    uint16_t *restrict h = dst;
    if (format == TG_F32)
        memcpy(dst, src, n * sizeof *src);
    else if (format == TG_BF16)
        for (size_t i = 0; i < n; i++)
            h[i] = tg_f32_to_bf16(src[i]);
    else
        for (size_t i = 0; i < n; i++)
            h[i] = tg_half_narrow(src[i]);
}

/* Values are taken in aligned groups of 2 * DRAWS. One draw serves two of a group, DRAWS apart: the first takes its low
 * half, the second its high half. Whole groups vectorise without shuffles, up to registers of 512 bits. */
#define DRAWS 32
#define GROUP (2 * DRAWS)

static uint16_t narrow_one(float f, tg_format format, tg_key key, uint32_t element)
{
    const uint32_t place = element % GROUP, draw = tg_random(key, element / GROUP * DRAWS + place % DRAWS);
    const uint32_t random = place < DRAWS ? draw & 0xffffu : draw >> 16;
    return format == TG_BF16 ? tg_f32_to_bf16_stochastic(f, random) : tg_half_narrow_stochastic(f, random);
}

/* No value is large enough to need care: adding to the bits cannot carry into Inf. */
static void narrow_groups_small_bf16(uint16_t *restrict h, const float *restrict src, size_t groups, tg_key key,
                                     uint32_t draw)
{
    for (size_t g = 0; g < groups; g++, h += GROUP, src += GROUP, draw += DRAWS)
        for (uint32_t l = 0; l < DRAWS; l++) {
            const uint32_t random = tg_random(key, draw + l);
            h[l] = (uint16_t)((tg_bits_from_float(src[l]) + (random & 0xffffu)) >> 16);
            h[l + DRAWS] = (uint16_t)((tg_bits_from_float(src[l + DRAWS]) + (random >> 16)) >> 16);
        }
}

static void narrow_groups_bf16(uint16_t *restrict h, const float *restrict src, size_t groups, tg_key key, uint32_t draw)
{
    for (size_t g = 0; g < groups; g++, h += GROUP, src += GROUP, draw += DRAWS)
        for (uint32_t l = 0; l < DRAWS; l++) {
            const uint32_t random = tg_random(key, draw + l);
            h[l] = tg_f32_to_bf16_stochastic(src[l], random & 0xffffu);
            h[l + DRAWS] = tg_f32_to_bf16_stochastic(src[l + DRAWS], random >> 16);
        }
}

static void narrow_groups_fp16(uint16_t *restrict h, const float *restrict src, size_t groups, tg_key key, uint32_t draw)
{
    for (size_t g = 0; g < groups; g++, h += GROUP, src += GROUP, draw += DRAWS)
        for (uint32_t l = 0; l < DRAWS; l++) {
            const uint32_t random = tg_random(key, draw + l);
            h[l] = tg_half_narrow_stochastic(src[l], random & 0xffffu);
            h[l + DRAWS] = tg_half_narrow_stochastic(src[l + DRAWS], random >> 16);
        }
}

static float max_abs(const float *restrict x, size_t n)
{
    uint32_t most = 0; /* the bits of non-negative floats are ordered as the floats; NaN's lie above Inf's */
    for (size_t i = 0; i < n; i++) {
        const uint32_t u = tg_bits_from_float(x[i]) & 0x7fffffffu;
        most = u > most ? u : most;
    }
    return tg_float_from_bits(most > 0x7f800000u ? 0x7f800000u : most);
}

/* n values of one 2^32-long part of the tensor. */
static void narrow_part(uint16_t *restrict h, const float *restrict src, tg_format format, size_t n, tg_key key,
                        uint32_t first)
{
    size_t i = 0;
    for (; i < n && (first + (uint32_t)i) % GROUP != 0; i++)
        h[i] = narrow_one(src[i], format, key, first + (uint32_t)i);
    const size_t groups = (n - i) / GROUP;
    const uint32_t draw = (first + (uint32_t)i) / GROUP * DRAWS;
    if (format != TG_BF16)
        narrow_groups_fp16(h + i, src + i, groups, key, draw);
    else if (max_abs(src + i, groups * GROUP) < 0x1.fcp127f)
        narrow_groups_small_bf16(h + i, src + i, groups, key, draw);
    else
        narrow_groups_bf16(h + i, src + i, groups, key, draw);
    for (i += groups * GROUP; i < n; i++)
        h[i] = narrow_one(src[i], format, key, first + (uint32_t)i);
}

static void narrow_stochastic(void *restrict dst, const float *restrict src, tg_format format, size_t n, tg_key key,
                              uint64_t first)
{
    if (format == TG_F32) {
        memcpy(dst, src, n * sizeof *src);
        return;
    }
    uint16_t *h = dst;
    while (n > 0) { /* a run that crosses a 2^32 boundary is cut there */
        const uint64_t left = (UINT64_C(1) << 32) - (first & 0xffffffffu);
        const size_t now = n < left ? n : (size_t)left;
        narrow_part(h, src, format, now, tg_key_part(key, first >> 32), (uint32_t)first);
        h += now, src += now, first += now, n -= now;
    }
}

static void widen_pair(float *restrict dst, const void *restrict x, const void *restrict c, tg_format format, size_t n)
{
    const uint16_t *restrict hx = x, *restrict hc = c;
    if (format == TG_BF16)
        for (size_t i = 0; i < n; i++)
            dst[i] = tg_bf16_to_f32(hx[i]) + tg_bf16_to_f32(hc[i]);
    else
        for (size_t i = 0; i < n; i++)
            dst[i] = tg_half_widen(hx[i]) + tg_half_widen(hc[i]);
}

static void narrow_pair(void *restrict x, void *restrict c, const float *restrict src, tg_format format, size_t n)
{
    uint16_t *restrict hx = x, *restrict hc = c;
    if (format == TG_BF16)
        for (size_t i = 0; i < n; i++) {
            hx[i] = tg_f32_to_bf16(src[i]);
            hc[i] = tg_f32_to_bf16(src[i] - tg_bf16_to_f32(hx[i]));
        }
    else
        for (size_t i = 0; i < n; i++) {
            hx[i] = tg_half_narrow(src[i]);
            hc[i] = tg_half_narrow(src[i] - tg_half_widen(hx[i]));
        }
}

static double fold_lanes(double *lane)
{
    for (size_t width = LANES / 2; width > 0; width /= 2)
        for (size_t l = 0; l < width; l++)
            lane[l] += lane[l + width];
    return lane[0];
}

static double sum_squares(const float *restrict x, size_t n)
{
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lane[l] += (double)x[i + l] * (double)x[i + l];
    for (size_t l = 0; i + l < n; l++)
        lane[l] += (double)x[i + l] * (double)x[i + l];
    return fold_lanes(lane);
}

/* Lanes of float hold 8 squares each before they go into lanes of double: a few units in the last place of a float are
 * lost at most, and the loop keeps up with memory. */
static double sum_squares_quick(const float *restrict x, size_t n)
{
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + 8 * LANES <= n; i += 8 * LANES) {
        float part[LANES] = {0};
        for (size_t j = 0; j < 8; j++)
            for (size_t l = 0; l < LANES; l++)
                part[l] += x[i + j * LANES + l] * x[i + j * LANES + l];
        for (size_t l = 0; l < LANES; l++)
            lane[l] += (double)part[l];
    }
    for (size_t l = 0; i < n; i++, l = (l + 1) % LANES)
        lane[l] += (double)x[i] * (double)x[i];
    return fold_lanes(lane);
}

static bool all_finite(const void *restrict x, tg_format format, size_t n)
{
    uint32_t bad = 0;
    if (format == TG_F32) {
        const uint32_t *restrict u = x;
        for (size_t i = 0; i < n; i++)
            bad |= (uint32_t)((u[i] & 0x7f800000u) == 0x7f800000u);
        return bad == 0;
    }
    const uint16_t *restrict h = x, exponent = format == TG_BF16 ? 0x7f80u : 0x7c00u;
    uint16_t bad16 = 0;
    for (size_t i = 0; i < n; i++)
        bad16 = (uint16_t)(bad16 | ((h[i] & exponent) == exponent));
    return bad16 == 0;
}

static void fold(float *restrict m, const float *restrict g, float decay, float scale, size_t n)
{
    if (decay == 0.0f) /* what m holds, NaN perhaps, does not matter */
        for (size_t i = 0; i < n; i++)
            m[i] = scale * g[i];
    else if (decay == 1.0f)
        for (size_t i = 0; i < n; i++)
            m[i] += scale * g[i];
    else
        for (size_t i = 0; i < n; i++)
            m[i] = decay * m[i] + scale * g[i];
}

const tg_kernels TG_PER_ISA(tg_kernels) = {
    .widen = widen,
    .narrow = narrow,
    .narrow_stochastic = narrow_stochastic,
    .widen_pair = widen_pair,
    .narrow_pair = narrow_pair,
    .sum_squares = sum_squares,
    .sum_squares_quick = sum_squares_quick,
    .max_abs = max_abs,
    .all_finite = all_finite,
    .fold = fold,
};
