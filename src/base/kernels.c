/* base/kernels.c -- widening, narrowing, sums and checks; compiled once per instruction set. */
#include "base/kernels.h"

#include <math.h>

#include "base/codes.h"
#include "base/half.h"
#include "base/largest.h"
#include "base/normal.h"
#include "base/pair.h"

#define LANES ((size_t)16) /* of double */

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

/* One draw serves a pair of neighbours, the first of even index: the first takes its low half, the second its high
 * half. */
static void narrow_pairs_bf16(uint16_t *restrict h, const float *restrict src, size_t pairs, tg_key key, uint32_t draw)
{
    const uint32_t turn = tg_pair_turn(key);
    for (size_t p = 0; p < pairs; p++, draw++)
        tg_pair_store(h + 2 * p,
                      tg_pair_round(tg_quiet(src[2 * p]), tg_quiet(src[2 * p + 1]), tg_random(key, draw) + turn));
}

/* The 13 bits that fp16 cuts: the upper ones, which a turn spreads best. */
static inline uint32_t fp16_chance(uint32_t chance) { return (chance & 0xffffu) >> 3; }

static void narrow_pairs_fp16(uint16_t *restrict h, const float *restrict src, size_t pairs, tg_key key, uint32_t draw)
{
    const uint32_t turn = tg_pair_turn(key);
    for (size_t p = 0; p < pairs; p++, draw++) {
        const uint32_t random = tg_random(key, draw) + turn;
        const uint32_t first = tg_half_narrow_stochastic(src[2 * p], fp16_chance(random));
        const uint32_t second = tg_half_narrow_stochastic(src[2 * p + 1], fp16_chance(random >> 16));
        tg_pair_store(h + 2 * p, first | second << 16);
    }
}

static void narrow_pairs(uint16_t *restrict h, const float *restrict src, tg_format format, size_t pairs, tg_key key,
                         uint32_t draw)
{
    if (format == TG_BF16)
        narrow_pairs_bf16(h, src, pairs, key, draw);
    else
        narrow_pairs_fp16(h, src, pairs, key, draw);
}

/* The one value of index `first`: as a whole pair, of which it is a half. */
static void narrow_one(uint16_t *restrict h, float value, tg_format format, tg_key key, uint32_t first)
{
    const float both[2] = {value, value};
    uint16_t narrowed[2];
    narrow_pairs(narrowed, both, format, 1, key, first / 2);
    *h = narrowed[first % 2];
}

/* n values of one 2^32-long part of the tensor. */
static void narrow_part(uint16_t *restrict h, const float *restrict src, tg_format format, size_t n, tg_key key,
                        uint32_t first)
{
    const size_t head = first % 2 < n ? first % 2 : n, pairs = (n - head) / 2, tail = head + 2 * pairs;
    if (head > 0)
        narrow_one(h, *src, format, key, first);
    narrow_pairs(h + head, src + head, format, pairs, key, (first + (uint32_t)head) / 2);
    if (tail < n)
        narrow_one(h + tail, src[tail], format, key, first + (uint32_t)tail);
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

static void multiply(float *restrict x, float by, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= by;
}

static double fold_lanes(double *lane)
{
    for (size_t l = 0; l < 8; l++)
        lane[l] += lane[l + 8];
    for (size_t l = 0; l < 4; l++)
        lane[l] += lane[l + 4];
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

static inline void lane_squares(double *restrict lane, const float *restrict x, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lane[l] += (double)x[i + l] * (double)x[i + l];
    for (size_t l = 0; i + l < n; l++)
        lane[l] += (double)x[i + l] * (double)x[i + l];
}

static double sum_squares(const float *restrict x, size_t n)
{
    double lane[LANES] = {0};
    lane_squares(lane, x, n);
    return fold_lanes(lane);
}

/* The quick sums: each lane of double takes the squares of QUICK / LANES values at a time, summed up in float. A few
 * units in the last place of a float are lost at most, and the loops keep up with memory. The rest at the end goes one
 * by one. */
#define QUICK (16 * LANES)

static inline float squares_of_8(const float *x, size_t stride)
{
    const float a = x[0] * x[0] + x[stride] * x[stride],
                b = x[2 * stride] * x[2 * stride] + x[3 * stride] * x[3 * stride];
    x += 4 * stride;
    const float c = x[0] * x[0] + x[stride] * x[stride],
                d = x[2 * stride] * x[2 * stride] + x[3 * stride] * x[3 * stride];
    return (a + b) + (c + d);
}

static double sum_squares_quick(const float *restrict x, size_t n)
{
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + QUICK <= n; i += QUICK)
        for (size_t l = 0; l < LANES; l++)
            lane[l] += (double)(squares_of_8(x + i + l, LANES) + squares_of_8(x + i + l + QUICK / 2, LANES));
    lane_squares(lane, x + i, n - i);
    return fold_lanes(lane);
}

static inline float squares_of_pair(const uint16_t *h)
{
    const uint32_t pair = tg_pair_load(h);
    const float first = tg_pair_first(pair), second = tg_pair_second(pair);
    return first * first + second * second;
}

static inline float squares_of_4_pairs(const uint16_t *h, size_t stride)
{
    return (squares_of_pair(h) + squares_of_pair(h + stride)) +
           (squares_of_pair(h + 2 * stride) + squares_of_pair(h + 3 * stride));
}

static double squares_of_pairs(const uint16_t *restrict h, size_t n)
{
    float rest[QUICK];
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + QUICK <= n; i += QUICK)
        for (size_t l = 0; l < LANES; l++)
            lane[l] += (double)(squares_of_4_pairs(h + i + 2 * l, 2 * LANES) +
                                squares_of_4_pairs(h + i + 2 * l + QUICK / 2, 2 * LANES));
    widen(rest, h + i, TG_BF16, n - i);
    lane_squares(lane, rest, n - i);
    return fold_lanes(lane);
}

static double squares_of_stored(const void *stored, tg_format format, size_t n)
{
    float copy[QUICK];
    double sum = 0;
    if (format == TG_F32)
        return sum_squares_quick(stored, n);
    if (format == TG_BF16)
        return squares_of_pairs(stored, n);
    for (size_t i = 0; i < n; i += QUICK) {
        const size_t now = n - i < QUICK ? n - i : QUICK;
        widen(copy, (const uint16_t *)stored + i, format, now);
        sum += sum_squares_quick(copy, now);
    }
    return sum;
}

static double add_squares(double *restrict sums, const void *x, tg_format format, size_t n)
{
    float copy[QUICK];
    double lane[LANES] = {0};
    for (size_t at = 0; at < n; at += QUICK) {
        const size_t now = n - at < QUICK ? n - at : QUICK;
        const float *restrict values = copy;
        if (format == TG_F32)
            values = (const float *)x + at;
        else
            widen(copy, (const uint16_t *)x + at, format, now);
        lane_squares(lane, values, now);
        for (size_t i = 0; i < now; i++)
            sums[at + i] += (double)values[i] * (double)values[i];
    }
    return fold_lanes(lane);
}

static bool all_finite(const void *restrict x, tg_format format, size_t n)
{
    if (format == TG_F32)
        return tg_largest(x, n) < HUGE_VALF;
    const uint16_t *restrict h = x, least = format == TG_BF16 ? 0x7f80u : 0x7c00u;
    uint16_t most = 0;
    for (size_t i = 0; i < n; i++) {
        const uint16_t magnitude = h[i] & 0x7fffu;
        most = magnitude > most ? magnitude : most;
    }
    return most < least;
}

static void fold_f32(float *restrict m, const float *restrict g, float decay, float scale, size_t n)
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

#define FOLD_AT_ONCE ((size_t)1024)

static void fold_pairs_bf16(uint16_t *restrict h, const float *restrict g, float decay, float scale, size_t pairs,
                            tg_key key, uint32_t draw)
{
    for (size_t p = 0; p < pairs; p++) {
        const uint32_t pair = tg_pair_load(h + 2 * p);
        const float first = decay * tg_pair_first(pair) + scale * g[2 * p];
        const float second = decay * tg_pair_second(pair) + scale * g[2 * p + 1];
        tg_pair_store(h + 2 * p, tg_pair_round(first, second, tg_random(key, draw + (uint32_t)p)));
    }
}

static void fold_slow(void *restrict m, tg_format format, const float *restrict g, float decay, float scale, size_t n,
                      const tg_key *key, uint64_t first)
{
    float copy[FOLD_AT_ONCE];
    uint16_t *stored = m;
    for (size_t at = 0; at < n; at += FOLD_AT_ONCE) {
        const size_t now = n - at < FOLD_AT_ONCE ? n - at : FOLD_AT_ONCE;
        widen(copy, stored + at, format, now);
        fold_f32(copy, g + at, decay, scale, now);
        if (key == NULL)
            narrow(stored + at, copy, format, now);
        else
            narrow_stochastic(stored + at, copy, format, now, *key, first + at);
    }
}

static void fold(void *restrict m, tg_format format, const float *restrict g, float decay, float scale, size_t n,
                 const tg_key *key, uint64_t first)
{
    const size_t head = first % 2, pairs = n < head ? 0 : (n - head) / 2, tail = head + 2 * pairs;
    if (format == TG_F32) {
        fold_f32(m, g, decay, scale, n);
        return;
    }
    if (format != TG_BF16 || key == NULL || decay == 0.0f || pairs == 0 ||
        (first & 0xffffffffu) + n > UINT64_C(1) << 32) {
        fold_slow(m, format, g, decay, scale, n, key, first);
        return;
    }
    uint16_t *h = m;
    const tg_key part = tg_key_part(*key, first >> 32);
    fold_slow(h, format, g, decay, scale, head, key, first);
    fold_pairs_bf16(h + head, g + head, decay, scale, pairs, part, (uint32_t)(first + head) / 2);
    fold_slow(h + tail, format, g + tail, decay, scale, n - tail, key, first + tail);
}

static float max_abs(const float *restrict x, size_t n) { return tg_largest(x, n); }

static void normal(float *restrict x, float std, size_t n, tg_key key, uint32_t first)
{
    enum { AT_ONCE = 128 };
    double u[AT_ONCE], turn[AT_ONCE];
    for (size_t at = 0; at < n; at += AT_ONCE) {
        const uint32_t now = n - at < AT_ONCE ? (uint32_t)(n - at) : AT_ONCE, from = 2 * (first + (uint32_t)at);
        for (uint32_t i = 0; i < now; i++) {
            u[i] = ((double)tg_random(key, from + 2 * i) + 1.0) * 0x1p-32;
            turn[i] = (double)tg_random(key, from + 2 * i + 1) * 0x1p-32;
        }
        for (uint32_t i = 0; i < now; i++)
            x[at + i] = std * (float)(sqrt(-2.0 * tg_log(u[i])) * tg_cos_turn(turn[i]));
    }
}

const tg_kernels TG_PER_ISA(tg_kernels) = {
    .widen = widen,
    .narrow = narrow,
    .narrow_stochastic = narrow_stochastic,
    .widen_pair = widen_pair,
    .narrow_pair = narrow_pair,
    .multiply = multiply,
    .sum_squares = sum_squares,
    .sum_squares_quick = sum_squares_quick,
    .squares_of_stored = squares_of_stored,
    .add_squares = add_squares,
    .max_abs = max_abs,
    .all_finite = all_finite,
    .decode = TG_PER_ISA(tg_codes_decode),
    .encode = TG_PER_ISA(tg_codes_encode),
    .fold = fold,
    .normal = normal,
};
