/* layer/elements.h -- activations of either format as fp32 in cache, a piece at a time; and sums in a fixed order.
 *
 * For layer files, which are compiled per instruction set. fp32 is read and written in place; 16-bit values pass through
 * a buffer on the stack. Pieces are fixed by the data's size, never by the number of threads. */
#ifndef TG_LAYER_ELEMENTS_H
#define TG_LAYER_ELEMENTS_H

#include "base/kernels.h"

#define TG_PIECE ((size_t)1024) /* values: 4 KiB of fp32, so that several buffers fit in the first cache */
#define TG_LANES ((size_t)16)   /* partial sums; a divisor of TG_PIECE */

static inline size_t tg_pieces(size_t n) { return (n + TG_PIECE - 1) / TG_PIECE; }

static inline size_t tg_piece_length(size_t n, size_t first) { return n - first < TG_PIECE ? n - first : TG_PIECE; }

/* Values first .. first+n-1 as fp32: in place, or widened into buffer (TG_PIECE). */
static inline const float *tg_elements_read(float *buffer, const void *values, tg_format format, size_t first, size_t n)
{
    if (format == TG_F32)
        return (const float *)values + first;
    TG_PER_ISA(tg_kernels).widen(buffer, (const uint16_t *)values + first, format, n);
    return buffer;
}

/* Where to compute values first .. : in place when that is all there is to do, else in buffer (TG_PIECE). */
static inline float *tg_elements_target(float *buffer, void *values, tg_format format, size_t first, bool add)
{
    return format == TG_F32 && !add ? (float *)values + first : buffer;
}

/* Brings what was computed at tg_elements_target home: values = computed, or values += computed. */
static inline void tg_elements_write(void *values, const float *computed, tg_format format, size_t first, size_t n,
                                     bool add)
{
    if (format == TG_F32) {
        float *restrict x = (float *)values + first;
        if (add)
            for (size_t i = 0; i < n; i++)
                x[i] += computed[i];
        return;
    }
    uint16_t *home = (uint16_t *)values + first;
    if (add) {
        float sum[TG_PIECE];
        TG_PER_ISA(tg_kernels).widen(sum, home, format, n);
        for (size_t i = 0; i < n; i++)
            sum[i] += computed[i];
        TG_PER_ISA(tg_kernels).narrow(home, sum, format, n);
    } else {
        TG_PER_ISA(tg_kernels).narrow(home, computed, format, n);
    }
}

/* ---- sums: TG_LANES running sums, fed piece by piece, added up in a fixed tree ---- */

static inline void tg_lanes_sum(float *restrict lane, const float *restrict x, size_t n)
{
    size_t i = 0;
    for (; i + TG_LANES <= n; i += TG_LANES)
        for (size_t l = 0; l < TG_LANES; l++)
            lane[l] += x[i + l];
    for (size_t l = 0; i + l < n; l++)
        lane[l] += x[i + l];
}

/* Of (x - centre)^2. */
static inline void tg_lanes_squares(float *restrict lane, const float *restrict x, float centre, size_t n)
{
    size_t i = 0;
    for (; i + TG_LANES <= n; i += TG_LANES)
        for (size_t l = 0; l < TG_LANES; l++)
            lane[l] += (x[i + l] - centre) * (x[i + l] - centre);
    for (size_t l = 0; i + l < n; l++)
        lane[l] += (x[i + l] - centre) * (x[i + l] - centre);
}

/* One step of the tree; written out below, because compilers vectorise a loop of known length. */
static inline void tg_lanes_halve(float *restrict lane, size_t half)
{
    for (size_t l = 0; l < half; l++)
        lane[l] += lane[l + half];
}

static inline float tg_lanes_total(float *restrict lane)
{
    tg_lanes_halve(lane, 8);
    tg_lanes_halve(lane, 4);
    tg_lanes_halve(lane, 2);
    return lane[0] + lane[1];
}

#endif
