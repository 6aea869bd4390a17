/* layer/rows.h -- maxima, sums and exponentials of fp32 rows, in 16 fixed lanes: vectorised, and the same bits on every
 * instruction set. Inline, because its users are compiled per instruction set. */
#ifndef TG_LAYER_ROWS_H
#define TG_LAYER_ROWS_H

#include <math.h>
#include <stddef.h>

#include "base/vecmath.h"

#define TG_ROW_LANES ((size_t)16)

/* ---- what a row is reduced to: lanes, then their tree ---- */

static inline void tg_row_max_lanes(float *restrict lane, const float *restrict x, size_t n)
{
    float most[TG_ROW_LANES];
    for (size_t l = 0; l < TG_ROW_LANES; l++)
        most[l] = -INFINITY;
    size_t i = 0;
    for (; i + TG_ROW_LANES <= n; i += TG_ROW_LANES)
        for (size_t l = 0; l < TG_ROW_LANES; l++)
            most[l] = x[i + l] > most[l] ? x[i + l] : most[l];
    for (size_t l = 0; i + l < n; l++)
        most[l] = x[i + l] > most[l] ? x[i + l] : most[l];
    for (size_t l = 0; l < TG_ROW_LANES; l++)
        lane[l] = most[l];
}

/* One step of the tree for the lanes of many rows (rows, TG_ROW_LANES). Rows go together through memory: a tree of one
 * row alone compilers take apart into scalars. */
static inline void tg_rows_halve_max(float *restrict lane, size_t rows, size_t half)
{
    for (size_t r = 0; r < rows; r++, lane += TG_ROW_LANES)
        for (size_t l = 0; l < half; l++)
            lane[l] = lane[l + half] > lane[l] ? lane[l + half] : lane[l];
}

static inline void tg_rows_halve_sum(float *restrict lane, size_t rows, size_t half)
{
    for (size_t r = 0; r < rows; r++, lane += TG_ROW_LANES)
        for (size_t l = 0; l < half; l++)
            lane[l] += lane[l + half];
}

/* Every row's maximum or sum to its first lane. */
static inline void tg_rows_max(float *lane, size_t rows)
{
    tg_rows_halve_max(lane, rows, 8);
    tg_rows_halve_max(lane, rows, 4);
    tg_rows_halve_max(lane, rows, 2);
    tg_rows_halve_max(lane, rows, 1);
}

static inline void tg_rows_total(float *lane, size_t rows)
{
    tg_rows_halve_sum(lane, rows, 8);
    tg_rows_halve_sum(lane, rows, 4);
    tg_rows_halve_sum(lane, rows, 2);
    tg_rows_halve_sum(lane, rows, 1);
}

/* ---- single rows ---- */

/* -Inf when n = 0; NaN is passed over. */
static inline float tg_row_max(const float *restrict x, size_t n)
{
    float lane[TG_ROW_LANES];
    tg_row_max_lanes(lane, x, n);
    tg_rows_max(lane, 1);
    return lane[0];
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
    tg_rows_total(lane, 1);
    return lane[0];
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
    tg_rows_total(lane, 1);
    return lane[0];
}

/* No maximum, and its exp is 0. */
#define TG_ROW_NOTHING (-3e38f)

/* x <- exp(scale x - by); their sum in lanes. */
static inline void tg_row_exp_lanes(float *restrict lane, float *restrict x, float scale, float by, size_t n)
{
    float sum[TG_ROW_LANES] = {0};
    size_t i = 0;
    for (; i + TG_ROW_LANES <= n; i += TG_ROW_LANES)
        for (size_t l = 0; l < TG_ROW_LANES; l++) {
            x[i + l] = tg_exp(scale * x[i + l] - by);
            sum[l] += x[i + l];
        }
    for (size_t l = 0; i + l < n; l++) {
        x[i + l] = tg_exp(scale * x[i + l] - by);
        sum[l] += x[i + l];
    }
    for (size_t l = 0; l < TG_ROW_LANES; l++)
        lane[l] = sum[l];
}

static inline float tg_row_exp_sum(float *restrict x, float scale, float by, size_t n)
{
    float lane[TG_ROW_LANES];
    tg_row_exp_lanes(lane, x, scale, by, n);
    tg_rows_total(lane, 1);
    return lane[0];
}

/* x <- exp(scale x - by); the product of x and y in lanes. n is a multiple of TG_ROW_LANES. */
static inline void tg_row_exp_dot_lanes(float *restrict lane, float *restrict x, const float *restrict y, float scale,
                                        float by, size_t n)
{
    float sum[TG_ROW_LANES] = {0};
    for (size_t i = 0; i < n; i += TG_ROW_LANES)
        for (size_t l = 0; l < TG_ROW_LANES; l++) {
            x[i + l] = tg_exp(scale * x[i + l] - by);
            sum[l] += x[i + l] * y[i + l];
        }
    for (size_t l = 0; l < TG_ROW_LANES; l++)
        lane[l] = sum[l];
}

/* y <- scale p (y - dot): softmax's derivative. n is a multiple of TG_ROW_LANES. */
static inline void tg_row_slope(float *restrict y, const float *restrict p, float dot, float scale, size_t n)
{
    for (size_t i = 0; i < n; i += TG_ROW_LANES)
        for (size_t l = 0; l < TG_ROW_LANES; l++)
            y[i + l] = scale * p[i + l] * (y[i + l] - dot);
}

#endif
