/* layer/finish.h -- what follows a product: bias, addition, rounding to the activations' format; and sums over tokens.
 * Inline, because its users are compiled per instruction set. */
#ifndef TG_LAYER_FINISH_H
#define TG_LAYER_FINISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tiger/format.h"

#define TG_FINISH_SERIAL_BELOW ((size_t)1 << 15)

/* dst <- src + bias (+ dst), for a block of dst at (row, col). src may be that block itself. */
typedef struct tg_finish {
    void *dst;
    tg_format format;
    size_t ld, row, col;
    const float *src;
    size_t src_ld;
    const float *bias; /* of the block's columns; NULL: none */
    bool add;
} tg_finish;

static inline void tg_finish_f32(float *dst, const float *src, const float *bias, bool add, size_t n)
{
    if (bias != NULL && add)
        for (size_t i = 0; i < n; i++)
            dst[i] = dst[i] + (src[i] + bias[i]);
    else if (bias != NULL)
        for (size_t i = 0; i < n; i++)
            dst[i] = src[i] + bias[i];
    else if (add)
        for (size_t i = 0; i < n; i++)
            dst[i] = dst[i] + src[i];
    else
        memmove(dst, src, n * sizeof *dst);
}

static inline void tg_finish_bf16(uint16_t *restrict dst, const float *restrict src, const float *restrict bias,
                                  bool add, size_t n)
{
    if (bias != NULL && add)
        for (size_t i = 0; i < n; i++)
            dst[i] = tg_f32_to_bf16(tg_bf16_to_f32(dst[i]) + (src[i] + bias[i]));
    else if (bias != NULL)
        for (size_t i = 0; i < n; i++)
            dst[i] = tg_f32_to_bf16(src[i] + bias[i]);
    else if (add)
        for (size_t i = 0; i < n; i++)
            dst[i] = tg_f32_to_bf16(tg_bf16_to_f32(dst[i]) + src[i]);
    else
        for (size_t i = 0; i < n; i++)
            dst[i] = tg_f32_to_bf16(src[i]);
}

static inline void tg_finish_rows(const tg_finish *f, size_t rows, size_t cols)
{
#pragma omp parallel for schedule(static) if (rows * cols >= TG_FINISH_SERIAL_BELOW)
    for (size_t r = 0; r < rows; r++) {
        const size_t at = (f->row + r) * f->ld + f->col;
        const float *src = f->src + r * f->src_ld;
        if (f->format == TG_F32)
            tg_finish_f32((float *)f->dst + at, src, f->bias, f->add, cols);
        else
            tg_finish_bf16((uint16_t *)f->dst + at, src, f->bias, f->add, cols);
    }
}

#define TG_SUM_COLS ((size_t)64)
#define TG_SUM_ROWS ((size_t)32)

/* Sums of up to TG_SUM_COLS columns: 32 rows at a time, then those sums, so that rounding does not grow with rows. */
static inline void tg_sum_block(float *restrict sums, const void *x, tg_format format, size_t rows, size_t ld,
                                size_t cols)
{
    float total[TG_SUM_COLS] = {0};
    for (size_t r = 0; r < rows; r += TG_SUM_ROWS) {
        float part[TG_SUM_COLS] = {0};
        const size_t end = r + TG_SUM_ROWS < rows ? r + TG_SUM_ROWS : rows;
        for (size_t i = r; i < end; i++)
            if (format == TG_F32)
                for (size_t c = 0; c < cols; c++)
                    part[c] += ((const float *)x)[i * ld + c];
            else
                for (size_t c = 0; c < cols; c++)
                    part[c] += tg_bf16_to_f32(((const uint16_t *)x)[i * ld + c]);
        for (size_t c = 0; c < TG_SUM_COLS; c++)
            total[c] += part[c];
    }
    memcpy(sums, total, cols * sizeof *sums);
}

/* sums (cols) of x (rows, cols) over rows, in an order that does not depend on threads. */
static inline void tg_column_sums(float *sums, const void *x, tg_format format, size_t rows, size_t cols)
{
#pragma omp parallel for schedule(static) if (rows * cols >= TG_FINISH_SERIAL_BELOW)
    for (size_t c = 0; c < cols; c += TG_SUM_COLS) {
        const size_t now = cols - c < TG_SUM_COLS ? cols - c : TG_SUM_COLS;
        const size_t bytes = format == TG_F32 ? sizeof(float) : sizeof(uint16_t);
        tg_sum_block(sums + c, (const char *)x + c * bytes, format, rows, cols, now);
    }
}

#endif
