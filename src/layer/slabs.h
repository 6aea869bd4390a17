/* layer/slabs.h -- what group and batch norm share: a slab is rows that are normalised together, a group is channels
 * that are. Group norm has a slab for each sample; batch norm has one, and a group for each channel.
 *
 *   m = mean(x)    v = mean((x - m)^2)    r = 1 / sqrt(v + eps)    n = (x - m) r    y = n g + b      over slab and
 * group
 *
 *   dg = sum over rows of dy n         db = sum over rows of dy
 *   dn = dy g                          dx = r (dn - mean(dn) - n mean(dn n))                         over slab and
 * group
 *
 * The variance is taken around the mean in a second pass: E[x^2] - m^2 would lose all digits for channels far from 0.
 * Sums run over fixed blocks of a slab's rows, within one over 32 rows at a time, and are added up in a fixed tree: the
 * number of threads does not enter. For layer files, which are compiled per instruction set. */
#ifndef TG_LAYER_SLABS_H
#define TG_LAYER_SLABS_H

#include <math.h>

#include "base/memory.h"
#include "layer/finish.h"
#include "layer/norm.h"

/* Slots of weights and of saved tensors, (slabs, groups) fp32 each. */
enum { TG_SLAB_GAIN, TG_SLAB_BIAS };
enum { TG_SLAB_MEAN, TG_SLAB_RSTD };

typedef struct tg_slabs {
    size_t slabs, rows, cols, groups;
    size_t group_cols, blocks, block_rows; /* of a group; of a slab; of a block, the last of a slab may have fewer */
} tg_slabs;

static inline tg_slabs tg_slabs_of(const tg_tensor *x, size_t slabs, size_t groups)
{
    tg_slabs s = {.slabs = slabs, .rows = x->rows / slabs, .cols = x->cols, .groups = groups};
    const size_t share = (TG_NORM_GROUPS + slabs - 1) / slabs, most = (s.rows + share - 1) / share;
    s.group_cols = s.cols / groups;
    s.block_rows = most > TG_SUM_ROWS ? most : TG_SUM_ROWS;
    s.blocks = (s.rows + s.block_rows - 1) / s.block_rows;
    return s;
}

/* `plan` of both. */
static inline tg_status tg_slabs_plan(tg_graph *graph, tg_op *op, const tg_slabs *s)
{
    for (int i = TG_SLAB_MEAN; i <= TG_SLAB_RSTD; i++)
        if ((op->saved[i] = tg_graph_tensor(graph, TG_F32, s->slabs, s->groups)) == TG_NONE)
            return tg_no_memory("a graph", sizeof(tg_tensor));
    op->scratch_bytes[TG_FORWARD] = (2 + s->slabs * s->blocks) * s->cols * sizeof(float);
    op->scratch_bytes[TG_BACKWARD] =
        ((1 + 2 * s->slabs * s->blocks) * s->cols + 2 * s->slabs * s->groups) * sizeof(float);
    return TG_OK;
}

/* A block of a slab, and up to TG_SUM_COLS of its columns. */
typedef struct tg_strip {
    size_t row, rows, col, cols;                /* row: of the tensor */
    size_t part;                                /* which block of all */
    float mean[TG_SUM_COLS], rstd[TG_SUM_COLS]; /* of these columns */
} tg_strip;

/* Statistics (slabs, groups) spread over the columns; NULL: not known yet. */
static inline tg_strip tg_strip_of(const tg_slabs *s, size_t block, size_t col, const float *mean, const float *rstd)
{
    const size_t slab = block / s->blocks, first = block % s->blocks * s->block_rows, left = s->rows - first;
    tg_strip t;
    t.row = slab * s->rows + first;
    t.rows = left < s->block_rows ? left : s->block_rows;
    t.col = col;
    t.cols = s->cols - col < TG_SUM_COLS ? s->cols - col : TG_SUM_COLS;
    t.part = block;
    for (size_t c = 0; c < t.cols; c++) {
        const size_t at = slab * s->groups + (col + c) / s->group_cols;
        t.mean[c] = mean == NULL ? 0 : mean[at];
        t.rstd[c] = rstd == NULL ? 1 : rstd[at];
    }
    return t;
}

/* statistic (slabs, groups), `stride` apart <- the mean over slab and group of what `part` (slabs * blocks, width) has
 * summed by columns, `from` on, times `factor` of each column (NULL: 1). The sums over blocks are then in each slab's
 * first. */
static inline void tg_slabs_mean(float *statistic, size_t stride, const tg_slabs *s, const float *part, size_t width,
                                 size_t from, const float *factor)
{
    const double count = (double)s->rows * (double)s->group_cols;
#pragma omp parallel for schedule(static) if (s->slabs * s->cols > TG_PIECE)
    for (size_t slab = 0; slab < s->slabs; slab++) {
        const float *sums = part + slab * s->blocks * width + from;
        for (size_t g = 0; g < s->groups; g++) {
            double total = 0;
            for (size_t c = g * s->group_cols; c < (g + 1) * s->group_cols; c++)
                total += (double)sums[c] * (factor == NULL ? 1 : (double)factor[c]);
            statistic[(slab * s->groups + g) * stride] = (float)(total / count);
        }
    }
}

static inline void tg_slabs_add_blocks(float *part, const tg_slabs *s, size_t width)
{
    for (size_t slab = 0; slab < s->slabs; slab++)
        tg_norm_add_groups(part + slab * s->blocks * width, s->blocks, width);
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* Sums of (x - mean)^2, over the rows of a strip. */
static inline void tg_strip_squares(float *restrict sums, const tg_strip *t, const tg_call *call)
{
    const tg_tensor *x = call->in_shape[0];
    float total[TG_SUM_COLS] = {0}, wide[TG_SUM_COLS];
    for (size_t r = 0; r < t->rows; r += TG_SUM_ROWS) {
        float part[TG_SUM_COLS] = {0};
        const size_t end = r + TG_SUM_ROWS < t->rows ? r + TG_SUM_ROWS : t->rows;
        for (size_t i = r; i < end; i++) {
            const float *row = tg_elements_read(wide, call->in[0], x->format, (t->row + i) * x->cols + t->col, t->cols);
            for (size_t c = 0; c < t->cols; c++)
                part[c] += (row[c] - t->mean[c]) * (row[c] - t->mean[c]);
        }
        for (size_t c = 0; c < TG_SUM_COLS; c++)
            total[c] += part[c];
    }
    memcpy(sums, total, t->cols * sizeof *sums);
}

/* mean and variance (slabs, groups) of the call's input; part (slabs * blocks, cols) is room. */
static inline void tg_slabs_moments(float *mean, float *variance, const tg_slabs *s, const tg_call *call, float *part)
{
    const tg_tensor *x = call->in_shape[0];
    const char *values = call->in[0];
    const size_t blocks = s->slabs * s->blocks;
    for (int pass = 0; pass < 2; pass++) {
#pragma omp parallel for schedule(static) if (x->rows * x->cols > TG_PIECE)
        for (size_t b = 0; b < blocks; b++)
            for (size_t col = 0; col < s->cols; col += TG_SUM_COLS) {
                const tg_strip t = tg_strip_of(s, b, col, pass == 0 ? NULL : mean, NULL);
                float *sums = part + b * s->cols + col;
                if (pass == 0)
                    tg_sum_block(sums, values + (t.row * x->cols + col) * tg_format_bytes(x->format), x->format, t.rows,
                                 x->cols, t.cols);
                else
                    tg_strip_squares(sums, &t, call);
            }
        tg_slabs_add_blocks(part, s, s->cols);
        tg_slabs_mean(pass == 0 ? mean : variance, 1, s, part, s->cols, 0, NULL);
    }
}

/* rstd (n) <- of variances, which may be in the same place. */
static inline void tg_slabs_rstd(float *rstd, const float *variance, double eps, size_t n)
{
    for (size_t i = 0; i < n; i++)
        rstd[i] = 1.0f / sqrtf(variance[i] + (float)eps);
}

/* y of x and what is saved; scratch (2, cols) is room. */
static inline void tg_slabs_normalize(const tg_slabs *s, const tg_call *call, float *scratch)
{
    const tg_tensor *x = call->in_shape[0];
    const float *gain = tg_norm_weight(scratch, call, TG_SLAB_GAIN, s->cols);
    const float *bias = tg_norm_weight(scratch + s->cols, call, TG_SLAB_BIAS, s->cols);
#pragma omp parallel for schedule(static) if (x->rows * x->cols > TG_PIECE)
    for (size_t b = 0; b < s->slabs * s->blocks; b++)
        for (size_t col = 0; col < s->cols; col += TG_SUM_COLS) {
            const tg_strip t = tg_strip_of(s, b, col, call->saved[TG_SLAB_MEAN], call->saved[TG_SLAB_RSTD]);
            const float *restrict g = gain + col, *restrict shift = bias + col;
            float x_buffer[TG_SUM_COLS], y_buffer[TG_SUM_COLS];
            for (size_t r = 0; r < t.rows; r++) {
                const size_t at = (t.row + r) * s->cols + col;
                const float *from = tg_elements_read(x_buffer, call->in[0], x->format, at, t.cols);
                float *y = tg_elements_target(y_buffer, call->out[0], x->format, at, false);
                for (size_t c = 0; c < t.cols; c++)
                    y[c] = (from[c] - t.mean[c]) * t.rstd[c] * g[c] + shift[c];
                tg_elements_write(call->out[0], y, x->format, at, t.cols, false);
            }
        }
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

/* Sums of dy and of dy n over the rows of a strip. */
static inline void tg_strip_gather(float *restrict sum, float *restrict dot, const tg_strip *t, const tg_call *call)
{
    const tg_tensor *x = call->in_shape[0];
    float sum_total[TG_SUM_COLS] = {0}, dot_total[TG_SUM_COLS] = {0}, x_buffer[TG_SUM_COLS], dy_buffer[TG_SUM_COLS];
    for (size_t r = 0; r < t->rows; r += TG_SUM_ROWS) {
        float sum_part[TG_SUM_COLS] = {0}, dot_part[TG_SUM_COLS] = {0};
        const size_t end = r + TG_SUM_ROWS < t->rows ? r + TG_SUM_ROWS : t->rows;
        for (size_t i = r; i < end; i++) {
            const size_t at = (t->row + i) * x->cols + t->col;
            const float *restrict value = tg_elements_read(x_buffer, call->in[0], x->format, at, t->cols);
            const float *restrict dy = tg_elements_read(dy_buffer, call->dout[0], x->format, at, t->cols);
            for (size_t c = 0; c < t->cols; c++) {
                sum_part[c] += dy[c];
                dot_part[c] += dy[c] * ((value[c] - t->mean[c]) * t->rstd[c]);
            }
        }
        for (size_t c = 0; c < TG_SUM_COLS; c++) {
            sum_total[c] += sum_part[c];
            dot_total[c] += dot_part[c];
        }
    }
    memcpy(sum, sum_total, t->cols * sizeof *sum);
    memcpy(dot, dot_total, t->cols * sizeof *dot);
}

/* dx of a strip. means (slabs, groups, 2): of dn and dn n. */
static inline void tg_strip_give(const tg_strip *t, const tg_slabs *s, const tg_call *call, const float *gain,
                                 const float *means)
{
    const tg_tensor *x = call->in_shape[0];
    const size_t slab = t->part / s->blocks;
    float a[TG_SUM_COLS], b[TG_SUM_COLS], x_buffer[TG_SUM_COLS], dy_buffer[TG_SUM_COLS], dx_buffer[TG_SUM_COLS];
    for (size_t c = 0; c < t->cols; c++) {
        const float *mean = means + 2 * (slab * s->groups + (t->col + c) / s->group_cols);
        a[c] = mean[0];
        b[c] = mean[1];
    }
    for (size_t r = 0; r < t->rows; r++) {
        const size_t at = (t->row + r) * x->cols + t->col;
        const float *value = tg_elements_read(x_buffer, call->in[0], x->format, at, t->cols);
        const float *dy = tg_elements_read(dy_buffer, call->dout[0], x->format, at, t->cols);
        float *dx = tg_elements_target(dx_buffer, call->din[0], x->format, at, call->add[0]);
        for (size_t c = 0; c < t->cols; c++) {
            const float normal = (value[c] - t->mean[c]) * t->rstd[c];
            dx[c] = t->rstd[c] * (dy[c] * gain[t->col + c] - a[c] - normal * b[c]);
        }
        tg_elements_write(call->din[0], dx, x->format, at, t->cols, call->add[0]);
    }
}

/* dx, where anybody wants it. */
static inline void tg_slabs_give(const tg_slabs *s, const tg_call *call, const float *gain, const float *means)
{
    const size_t blocks = call->din[0] == NULL ? 0 : s->slabs * s->blocks;
    const float *mean = call->saved[TG_SLAB_MEAN], *rstd = call->saved[TG_SLAB_RSTD];
#pragma omp parallel for schedule(static) if (blocks > 1)
    for (size_t b = 0; b < blocks; b++)
        for (size_t col = 0; col < s->cols; col += TG_SUM_COLS) {
            const tg_strip t = tg_strip_of(s, b, col, mean, rstd);
            tg_strip_give(&t, s, call, gain, means);
        }
}

/* `backward` where the statistics are no function of x: dx alone, without the means that such a function brings in. */
static inline tg_status tg_slabs_backward_fixed(const tg_slabs *s, const tg_call *call)
{
    float *scratch = call->scratch, *means = scratch + s->cols;
    memset(means, 0, 2 * s->slabs * s->groups * sizeof *means);
    tg_slabs_give(s, call, tg_norm_weight(scratch, call, TG_SLAB_GAIN, s->cols), means);
    return TG_OK;
}

/* `backward` of both. */
static inline tg_status tg_slabs_backward(const tg_slabs *s, const tg_call *call)
{
    const size_t cols = s->cols, blocks = s->slabs * s->blocks;
    const float *mean = call->saved[TG_SLAB_MEAN], *rstd = call->saved[TG_SLAB_RSTD];
    float *scratch = call->scratch, *part = scratch + cols; /* (blocks, 2, cols): sums of dy and of dy n */
    float *means = part + 2 * blocks * cols;
    const float *gain = tg_norm_weight(scratch, call, TG_SLAB_GAIN, cols);
#pragma omp parallel for schedule(static) if (blocks > 1)
    for (size_t b = 0; b < blocks; b++)
        for (size_t col = 0; col < cols; col += TG_SUM_COLS) {
            const tg_strip t = tg_strip_of(s, b, col, mean, rstd);
            tg_strip_gather(part + 2 * b * cols + col, part + (2 * b + 1) * cols + col, &t, call);
        }
    tg_slabs_add_blocks(part, s, 2 * cols);
    tg_slabs_mean(means, 2, s, part, 2 * cols, 0, gain);
    tg_slabs_mean(means + 1, 2, s, part, 2 * cols, cols, gain);
    tg_slabs_give(s, call, gain, means);
    for (size_t slab = 1; slab < s->slabs; slab++) /* the slabs' sums side by side, for the tree over all */
        memmove(part + 2 * slab * cols, part + 2 * slab * s->blocks * cols, 2 * cols * sizeof *part);
    tg_norm_add_groups(part, s->slabs, 2 * cols);
    const tg_status status = tg_norm_hand_over(call, TG_SLAB_BIAS, part, cols);
    return status == TG_OK ? tg_norm_hand_over(call, TG_SLAB_GAIN, part + cols, cols) : status;
}

#endif
