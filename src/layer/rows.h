/* layer/rows.h -- maxima, sums and exponentials of fp32 rows, in 16 fixed lanes: vectorised, and the same bits on every
 * instruction set. Inline, because its users are compiled per instruction set. */
#ifndef TG_LAYER_ROWS_H
#define TG_LAYER_ROWS_H

#include <math.h>
#include <stddef.h>

#include "base/vecmath.h"

#define TG_ROW_LANES ((size_t)16)

/* Steps of a fixed tree over the lanes; written out by the callers, because compilers vectorise a loop of known length. */
static inline void tg_row_halve_max(float *restrict lane, size_t half)
{
    for (size_t l = 0; l < half; l++)
        lane[l] = lane[l + half] > lane[l] ? lane[l + half] : lane[l];
}

static inline void tg_row_halve_sum(float *restrict lane, size_t half)
{
    for (size_t l = 0; l < half; l++)
        lane[l] += lane[l + half];
}

/* -Inf when n = 0; NaN is passed over. */
static inline float tg_row_max(const float *restrict x, size_t n)
{
    float lane[TG_ROW_LANES];
    for (size_t l = 0; l < TG_ROW_LANES; l++)
        lane[l] = -INFINITY;
    size_t i = 0;
    for (; i + TG_ROW_LANES <= n; i += TG_ROW_LANES)
        for (size_t l = 0; l < TG_ROW_LANES; l++)
            lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    for (size_t l = 0; i + l < n; l++)
        lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    tg_row_halve_max(lane, 8);
    tg_row_halve_max(lane, 4);
    tg_row_halve_max(lane, 2);
    return lane[1] > lane[0] ? lane[1] : lane[0];
}

static inline float tg_row_lanes_total(float *restrict lane)
{
    tg_row_halve_sum(lane, 8);
    tg_row_halve_sum(lane, 4);
    tg_row_halve_sum(lane, 2);
    return lane[0] + lane[1];
}

static inline float tg_row_sum(const float *restrict x, size_t n)
{
    float lane[TG_ROW_LANES] = {0};
    size_t i = 0;
    for (; i + TG_ROW_LANES <= n; i += TG_ROW_LANES)
        for (size_t l = 0; l < TG_ROW_LANES; l++)
            lane[l] += x[i + l];
    for (size_t l = 0; i + l < n; l++)
        lane[l] += x[i + l];
    return tg_row_lanes_total(lane);
}

static inline float tg_row_dot(const float *restrict x, const float *restrict y, size_t n)
{
    float lane[TG_ROW_LANES] = {0};
    size_t i = 0;
    for (; i + TG_ROW_LANES <= n; i += TG_ROW_LANES)
        for (size_t l = 0; l < TG_ROW_LANES; l++)
            lane[l] += x[i + l] * y[i + l];
    for (size_t l = 0; i + l < n; l++)
        lane[l] += x[i + l] * y[i + l];
    return tg_row_lanes_total(lane);
}

/* No maximum, and its exp is 0. */
#define TG_ROW_NOTHING (-3e38f)

/* x <- exp(scale x - by); returns their sum. */
static inline float tg_row_exp_sum(float *restrict x, float scale, float by, size_t n)
{
    float lane[TG_ROW_LANES] = {0};
    size_t i = 0;
    for (; i + TG_ROW_LANES <= n; i += TG_ROW_LANES)
        for (size_t l = 0; l < TG_ROW_LANES; l++) {
            x[i + l] = tg_exp(scale * x[i + l] - by);
            lane[l] += x[i + l];
        }
    for (size_t l = 0; i + l < n; l++) {
        x[i + l] = tg_exp(scale * x[i + l] - by);
        lane[l] += x[i + l];
    }
    return tg_row_lanes_total(lane);
}

/* x <- exp(scale x - by); returns the product of x and y. n is a multiple of TG_ROW_LANES. */
static inline float tg_row_exp_dot(float *restrict x, const float *restrict y, float scale, float by, size_t n)
{
    float lane[TG_ROW_LANES] = {0};
    for (size_t i = 0; i < n; i += TG_ROW_LANES)
        for (size_t l = 0; l < TG_ROW_LANES; l++) {
            x[i + l] = tg_exp(scale * x[i + l] - by);
            lane[l] += x[i + l] * y[i + l];
        }
    return tg_row_lanes_total(lane);
}

/* y <- scale p (y - dot): softmax's derivative. n is a multiple of TG_ROW_LANES. */
static inline void tg_row_slope(float *restrict y, const float *restrict p, float dot, float scale, size_t n)
{
    for (size_t i = 0; i < n; i += TG_ROW_LANES)
        for (size_t l = 0; l < TG_ROW_LANES; l++)
            y[i + l] = scale * p[i + l] * (y[i + l] - dot);
}

#endif
