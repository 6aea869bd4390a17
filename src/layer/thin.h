/* layer/thin.h -- products of a few rows with a whole weight, for generation: every value of the weight is used only a
 * few times, so it is widened a piece at a time into the first cache and never written out. The speed is the memory's.
 * Inline, because its users are compiled per instruction set. */
#ifndef TG_LAYER_THIN_H
#define TG_LAYER_THIN_H

#include "layer/rows.h"
#include "layer/work.h"

#define TG_THIN_ROWS ((size_t)4)   /* more rows than that go through the library */
#define TG_THIN_PIECE ((size_t)512) /* values */

/* n values of the weight from `index` on as fp32: where they are, or widened into room. */
static inline const float *tg_thin_values(float *room, const tg_param *w, size_t index, size_t n)
{
    if (w->format == TG_F32)
        return (const float *)w->data + index;
    TG_PER_ISA(tg_kernels).widen(room, tg_at(w->data, w->format, index), w->format, n);
    return room;
}

/* y[.][col] (m rows, ld n) = x (m,k) times row `col` of w (n,k). */
static inline void tg_thin_output(float *y, size_t n, const float *x, size_t m, const tg_param *w, size_t col)
{
    float room[TG_THIN_PIECE], sum[TG_THIN_ROWS] = {0};
    for (size_t i = 0; i < w->cols; i += TG_THIN_PIECE) {
        const size_t now = tg_least(TG_THIN_PIECE, w->cols - i);
        const float *piece = tg_thin_values(room, w, col * w->cols + i, now);
        for (size_t r = 0; r < m; r++)
            sum[r] += tg_row_dot(x + r * w->cols + i, piece, now);
    }
    for (size_t r = 0; r < m; r++)
        y[r * n + col] = sum[r];
}

/* y (m, n) = x (m,k) W^T of w (n,k). */
static inline void tg_thin_by_rows(float *y, const float *x, size_t m, const tg_param *w)
{
#pragma omp parallel for schedule(static) if (w->rows * w->cols >= TG_THIN_PIECE * 64)
    for (size_t col = 0; col < w->rows; col++)
        tg_thin_output(y, w->rows, x, m, w, col);
}

#define TG_THIN_PARTS ((size_t)8) /* of the weight's rows: fixed, so that the threads change no bit */

/* sum (m, n) = x (m,k) times the rows [first, end) of w (k,n). */
static inline void tg_thin_part(float *sum, const float *x, size_t m, const tg_param *w, size_t first, size_t end)
{
    float room[TG_THIN_PIECE];
    memset(sum, 0, m * w->cols * sizeof *sum);
    for (size_t i = first; i < end; i++)
        for (size_t at = 0; at < w->cols; at += TG_THIN_PIECE) {
            const size_t now = tg_least(TG_THIN_PIECE, w->cols - at);
            const float *restrict piece = tg_thin_values(room, w, i * w->cols + at, now);
            for (size_t r = 0; r < m; r++) {
                float *restrict y = sum + r * w->cols + at;
                const float by = x[r * w->rows + i];
                for (size_t c = 0; c < now; c++)
                    y[c] += by * piece[c];
            }
        }
}

/* y (m, n) = x (m,k) W of w (k,n); sums is room for (TG_THIN_PARTS, m, n). */
static inline void tg_thin_by_cols(float *y, float *sums, const float *x, size_t m, const tg_param *w)
{
    const size_t part = (w->rows + TG_THIN_PARTS - 1) / TG_THIN_PARTS, n = m * w->cols;
#pragma omp parallel for schedule(static) if (w->rows * w->cols >= TG_THIN_PIECE * 64)
    for (size_t p = 0; p < TG_THIN_PARTS; p++)
        tg_thin_part(sums + p * n, x, m, w, tg_least(p * part, w->rows), tg_least((p + 1) * part, w->rows));
    memcpy(y, sums, n * sizeof *y);
    for (size_t p = 1; p < TG_THIN_PARTS; p++)
        for (size_t i = 0; i < n; i++)
            y[i] += sums[p * n + i];
}

#endif
