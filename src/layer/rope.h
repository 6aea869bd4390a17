/* layer/rope.h -- rotary positions (Su et al. 2021, arXiv:2104.09864), in the order of halves that the Llama family uses.
 *
 *   angle(t, i) = t theta^(-2i/D),  i < D/2
 *   y[i] = x[i] cos - x[i + D/2] sin        y[i + D/2] = x[i + D/2] cos + x[i] sin
 *
 * Stretched positions have other frequencies f_i = theta^(-2i/D), w_i = 2 pi / f_i, n the length first trained with:
 *
 *   linear   f / factor                                                       (kaiokendev 2023)
 *   llama3   f where n / w > high, f / factor where n / w < low, between them both mixed   (Llama 3.1)
 *   yarn     f and f / factor mixed by a ramp over i, and cosines and sines times `attention` (arXiv:2309.00071)
 *
 * The table holds D values a position: cosines, then sines. Backward rotates the other way. */
#ifndef TG_LAYER_ROPE_H
#define TG_LAYER_ROPE_H

#include <math.h>
#include <stddef.h>

#include "tiger/engine/model.h"

#define TG_ROPE_PI 3.14159265358979323846

/* The feature that turns `turns` times in the length first trained with. */
static inline double tg_rope_feature(double turns, size_t dim, double theta, double original)
{
    return (double)dim * log(original / (turns * 2 * TG_ROPE_PI)) / (2 * log(theta));
}

/* How much of feature i is stretched by yarn, in [0, 1]. */
static inline double tg_rope_ramp(size_t i, size_t dim, double theta, const tg_rope_scaling *rope)
{
    double low = tg_rope_feature(rope->fast, dim, theta, rope->original);
    double high = tg_rope_feature(rope->slow, dim, theta, rope->original);
    if (rope->whole) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, (double)dim - 1);
    if (low == high)
        high += 0.001; /* as transformers does */
    return fmin(fmax(((double)i - low) / (high - low), 0), 1);
}

static inline double tg_rope_frequency(size_t i, size_t dim, double theta, const tg_rope_scaling *rope)
{
    const double f = pow(theta, -2.0 * (double)i / (double)dim);
    double share = 0; /* of it that is stretched */
    if (rope == NULL || rope->type == TG_ROPE_DEFAULT || rope->type == TG_ROPE_DYNAMIC)
        return f;
    if (rope->type == TG_ROPE_LINEAR)
        share = 1;
    else if (rope->type == TG_ROPE_LLAMA3)
        share = fmin(fmax((rope->high - rope->original * f / (2 * TG_ROPE_PI)) / (rope->high - rope->low), 0), 1);
    else if (rope->type == TG_ROPE_YARN)
        share = tg_rope_ramp(i, dim, theta, rope);
    return share * f / rope->factor + (1 - share) * f;
}

/* table (count, dim) for positions first .. first + count - 1. */
static inline void tg_rope_table(float *table, size_t first, size_t count, size_t dim, double theta,
                                 const tg_rope_scaling *rope)
{
    const double scale = rope == NULL || rope->type != TG_ROPE_YARN ? 1 : rope->attention;
#pragma omp parallel for schedule(static) if (count * dim >= 4096)
    for (size_t t = 0; t < count; t++)
        for (size_t i = 0; i < dim / 2; i++) {
            const double angle = (double)(first + t) * tg_rope_frequency(i, dim, theta, rope);
            table[t * dim + i] = (float)(scale * cos(angle));
            table[t * dim + dim / 2 + i] = (float)(scale * sin(angle));
        }
}

/* x (dim) in place, at the position of `table` (dim). */
static inline void tg_rope(float *restrict x, const float *restrict table, size_t dim)
{
    const size_t half = dim / 2;
    for (size_t i = 0; i < half; i++) {
        const float a = x[i], b = x[i + half], c = table[i], s = table[i + half];
        x[i] = a * c - b * s;
        x[i + half] = b * c + a * s;
    }
}

static inline void tg_rope_back(float *restrict x, const float *restrict table, size_t dim)
{
    const size_t half = dim / 2;
    for (size_t i = 0; i < half; i++) {
        const float a = x[i], b = x[i + half], c = table[i], s = table[i + half];
        x[i] = a * c + b * s;
        x[i + half] = b * c - a * s;
    }
}

#endif
