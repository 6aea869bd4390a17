/* layer/norm.h -- what layer norm and RMS norm share: rows at a time, and the sums over tokens that make the gradients of
 * gain and bias.
 *
 * Those sums run over fixed groups of rows, one partial sum a group, added up in a fixed tree: the number of threads
 * does not enter. */
#ifndef TG_LAYER_NORM_H
#define TG_LAYER_NORM_H

#include "layer/elements.h"
#include "layer/layer.h"

#define TG_NORM_GROUPS ((size_t)64)   /* at most */
#define TG_NORM_GROUP_ROWS ((size_t)8) /* at least, as far as there are rows */

static inline size_t tg_norm_group_rows(size_t rows)
{
    const size_t share = (rows + TG_NORM_GROUPS - 1) / TG_NORM_GROUPS;
    return share > TG_NORM_GROUP_ROWS ? share : TG_NORM_GROUP_ROWS;
}

static inline size_t tg_norm_groups(size_t rows)
{
    return (rows + tg_norm_group_rows(rows) - 1) / tg_norm_group_rows(rows);
}

/* A weight vector (cols) as fp32: in place, or widened into buffer (cols). NULL for a weight that does not exist. */
static inline const float *tg_norm_weight(float *buffer, const tg_call *call, int slot, size_t cols)
{
    const tg_param *param = tg_op_weight(call->graph, call->op, slot);
    if (param == NULL)
        return NULL;
    if (param->format == TG_F32)
        return param->data;
    TG_PER_ISA(tg_kernels).widen(buffer, param->data, param->format, cols);
    return buffer;
}

/* partial (groups, n): row 0 becomes the sum of all rows. */
static inline void tg_norm_add_groups(float *partial, size_t groups, size_t n)
{
#pragma omp parallel for schedule(static) if (n > TG_PIECE)
    for (size_t p = 0; p < tg_pieces(n); p++) {
        const size_t first = p * TG_PIECE, length = tg_piece_length(n, first);
        for (size_t stride = 1; stride < groups; stride *= 2)
            for (size_t g = 0; g + stride < groups; g += 2 * stride) {
                float *restrict x = partial + g * n + first;
                const float *restrict y = partial + (g + stride) * n + first;
                for (size_t i = 0; i < length; i++)
                    x[i] += y[i];
            }
    }
}

/* Hands the gradient (cols) of a weight vector to the sink. Looking at the finished sum is enough: a NaN or Inf in what
 * came in is one in it. */
static inline tg_status tg_norm_hand_over(const tg_call *call, int slot, const float *gradient, size_t cols)
{
    const bool finite = TG_PER_ISA(tg_kernels).all_finite(gradient, TG_F32, cols);
    const tg_status status = finite ? tg_call_tile(call, slot, 0, 1, gradient) : tg_call_reject(call, slot);
    return status == TG_OK ? tg_call_complete(call, slot) : status;
}

#endif
