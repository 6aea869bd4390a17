/* layer/rope.h -- rotary positions (Su et al. 2021, arXiv:2104.09864), in the order of halves that the Llama family uses.
 *
 *   angle(t, i) = t theta^(-2i/D),  i < D/2
 *   y[i] = x[i] cos - x[i + D/2] sin        y[i + D/2] = x[i + D/2] cos + x[i] sin
 *
 * The table holds D values a position: cosines, then sines. Backward rotates the other way. */
#ifndef TG_LAYER_ROPE_H
#define TG_LAYER_ROPE_H

#include <math.h>
#include <stddef.h>

/* table (count, dim) for positions first .. first + count - 1. */
static inline void tg_rope_table(float *table, size_t first, size_t count, size_t dim, double theta)
{
#pragma omp parallel for schedule(static) if (count * dim >= 4096)
    for (size_t t = 0; t < count; t++)
        for (size_t i = 0; i < dim / 2; i++) {
            const double angle = (double)(first + t) * pow(theta, -2.0 * (double)i / (double)dim);
            table[t * dim + i] = (float)cos(angle);
            table[t * dim + dim / 2 + i] = (float)sin(angle);
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
