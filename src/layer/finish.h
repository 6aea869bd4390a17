/* layer/finish.h -- what follows a product: bias, addition, rounding to the activations' format; and sums over tokens, a
 * bias' gradient.
 * Inline, because its users are compiled per instruction set. */
#ifndef TG_LAYER_FINISH_H
#define TG_LAYER_FINISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "layer/elements.h"
#include "layer/layer.h"

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

/* Values first .. first+n-1 of dst, of any format. */
static inline void tg_finish_row(void *dst, tg_format format, size_t first, const float *restrict src,
                                 const float *restrict bias, bool add, size_t n)
{
    float sum[TG_PIECE];
    if (format == TG_F32) {
        tg_finish_f32((float *)dst + first, src, bias, add, n);
        return;
    }
    for (size_t c = 0; c < n; c += TG_PIECE) {
        const size_t now = tg_piece_length(n, c);
        if (bias != NULL)
            for (size_t i = 0; i < now; i++)
                sum[i] = src[c + i] + bias[c + i];
        tg_elements_write(dst, bias != NULL ? sum : src + c, format, first + c, now, add);
    }
}

static inline void tg_finish_rows(const tg_finish *f, size_t rows, size_t cols)
{
#pragma omp parallel for schedule(static) if (rows * cols >= TG_FINISH_SERIAL_BELOW)
    for (size_t r = 0; r < rows; r++)
        tg_finish_row(f->dst, f->format, (f->row + r) * f->ld + f->col, f->src + r * f->src_ld, f->bias, f->add, cols);
}

#define TG_SUM_COLS ((size_t)64)
#define TG_SUM_ROWS ((size_t)32)

/* Sums of up to TG_SUM_COLS columns: 32 rows at a time, then those sums, so that rounding does not grow with rows. */
static inline void tg_sum_block(float *restrict sums, const void *x, tg_format format, size_t rows, size_t ld,
                                size_t cols)
{
    float total[TG_SUM_COLS] = {0}, wide[TG_SUM_COLS];
    for (size_t r = 0; r < rows; r += TG_SUM_ROWS) {
        float part[TG_SUM_COLS] = {0};
        const size_t end = r + TG_SUM_ROWS < rows ? r + TG_SUM_ROWS : rows;
        for (size_t i = r; i < end; i++) {
            const float *row = tg_elements_read(wide, x, format, i * ld, cols);
            for (size_t c = 0; c < cols; c++)
                part[c] += row[c];
        }
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
        tg_sum_block(sums + c, (const char *)x + c * tg_format_bytes(format), format, rows, cols, now);
    }
}

/* Gives the bias, weight `slot`, its gradient: the column sums of dy, for which `sums` is room. */
static inline tg_status tg_give_bias(const tg_call *call, int slot, float *sums)
{
    const tg_tensor *y = call->out_shape[0];
    if (!tg_call_trains(call, slot))
        return tg_call_complete(call, slot);
    tg_column_sums(sums, call->dout[0], y->format, y->rows, y->cols);
    const tg_status status = tg_call_tile(call, slot, 0, 1, sums);
    return status == TG_OK ? tg_call_complete(call, slot) : status;
}

#endif
