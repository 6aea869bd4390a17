/* rmsnorm.c -- root-mean-square normalisation (Zhang & Sennrich 2019, arXiv:1910.07467), over the C features of a token.
 *
 *   r = 1 / sqrt(mean(x^2) + eps)     n = x r     y = n g
 *
 *   dg = sum over tokens of dy n      dn = dy g   dx = r (dn - n mean(dn n))
 *
 * Saved: r, fp32, one a token. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "layer/layers.h"
#include "layer/norm.h"

static tg_status plan(tg_graph *graph, tg_op *op)
{
    const tg_tensor *x = &graph->tensor[op->input[0]];
    const size_t rows = x->rows, cols = x->cols; /* x moves when tensors are made */
    if ((op->saved[0] = tg_graph_tensor(graph, TG_F32, rows, 1)) == TG_NONE)
        return tg_no_memory("a graph", sizeof *x);
    op->scratch_bytes[TG_FORWARD] = cols * sizeof(float);
    op->scratch_bytes[TG_BACKWARD] = (1 + tg_norm_groups(rows)) * cols * sizeof(float);
    return TG_OK;
}

static void forward_row(const tg_call *call, const float *gain, size_t row)
{
    const tg_tensor *shape = call->in_shape[0];
    const size_t cols = shape->cols, start = row * cols;
    float x_buffer[TG_PIECE], y_buffer[TG_PIECE], squares[TG_LANES] = {0};
    const float *x = NULL;
    for (size_t c = 0; c < cols; c += TG_PIECE) {
        x = tg_elements_read(x_buffer, call->in[0], shape->format, start + c, tg_piece_length(cols, c));
        tg_lanes_squares(squares, x, 0.0f, tg_piece_length(cols, c));
    }
    const float r = 1.0f / sqrtf(tg_lanes_total(squares) / (float)cols + (float)call->op->as.norm.eps);
    ((float *)call->saved[0])[row] = r;
    for (size_t c = 0; c < cols; c += TG_PIECE) {
        const size_t n = tg_piece_length(cols, c);
        if (cols > TG_PIECE)
            x = tg_elements_read(x_buffer, call->in[0], shape->format, start + c, n);
        float *y = tg_elements_target(y_buffer, call->out[0], shape->format, start + c, false);
        for (size_t i = 0; i < n; i++)
            y[i] = x[i] * r * gain[c + i];
        tg_elements_write(call->out[0], y, shape->format, start + c, n, false);
    }
}

static tg_status forward(const tg_call *call)
{
    const size_t rows = call->in_shape[0]->rows, cols = call->in_shape[0]->cols;
    const float *gain = tg_norm_weight(call->scratch, call, 0, cols);
#pragma omp parallel for schedule(static) if (rows * cols > TG_PIECE)
    for (size_t row = 0; row < rows; row++)
        forward_row(call, gain, row);
    return TG_OK;
}

/* Adds the row's part to dg, and its sum of dn n to the lanes. */
static void gather(float *restrict dg, float *restrict dot, const float *restrict x, const float *restrict dy,
                   const float *restrict gain, float r, size_t n)
{
    float product[TG_PIECE];
    for (size_t i = 0; i < n; i++) {
        product[i] = dy[i] * (x[i] * r);
        dg[i] += product[i];
        product[i] *= gain[i];
    }
    tg_lanes_sum(dot, product, n);
}

static void backward_row(const tg_call *call, float *dg, const float *gain, size_t row)
{
    const tg_tensor *shape = call->in_shape[0];
    const size_t cols = shape->cols, start = row * cols;
    const float r = ((const float *)call->saved[0])[row];
    float x_buffer[TG_PIECE], dy_buffer[TG_PIECE], dx_buffer[TG_PIECE], dot[TG_LANES] = {0};
    const float *x = NULL, *dy = NULL;
    for (size_t c = 0; c < cols; c += TG_PIECE) {
        const size_t n = tg_piece_length(cols, c);
        x = tg_elements_read(x_buffer, call->in[0], shape->format, start + c, n);
        dy = tg_elements_read(dy_buffer, call->dout[0], shape->format, start + c, n);
        gather(dg + c, dot, x, dy, gain + c, r, n);
    }
    if (call->din[0] == NULL)
        return;
    const float b = tg_lanes_total(dot) / (float)cols;
    for (size_t c = 0; c < cols; c += TG_PIECE) {
        const size_t n = tg_piece_length(cols, c);
        if (cols > TG_PIECE) {
            x = tg_elements_read(x_buffer, call->in[0], shape->format, start + c, n);
            dy = tg_elements_read(dy_buffer, call->dout[0], shape->format, start + c, n);
        }
        float *dx = tg_elements_target(dx_buffer, call->din[0], shape->format, start + c, call->add[0]);
        for (size_t i = 0; i < n; i++)
            dx[i] = r * (dy[i] * gain[c + i] - x[i] * r * b);
        tg_elements_write(call->din[0], dx, shape->format, start + c, n, call->add[0]);
    }
}

static tg_status backward(const tg_call *call)
{
    const size_t rows = call->in_shape[0]->rows, cols = call->in_shape[0]->cols;
    const size_t groups = tg_norm_groups(rows), group_rows = tg_norm_group_rows(rows);
    float *scratch = call->scratch, *partial = scratch + cols; /* (groups, cols) */
    const float *gain = tg_norm_weight(scratch, call, 0, cols);
#pragma omp parallel for schedule(static) if (groups > 1)
    for (size_t g = 0; g < groups; g++) {
        float *dg = partial + g * cols;
        memset(dg, 0, cols * sizeof *dg);
        for (size_t row = g * group_rows; row < rows && row < (g + 1) * group_rows; row++)
            backward_row(call, dg, gain, row);
    }
    tg_norm_add_groups(partial, groups, cols);
    return tg_norm_hand_over(call, 0, partial, cols);
}

const tg_layer TG_PER_ISA(tg_layer_rmsnorm) = {
    .info = {.name = "rmsnorm",
             .help = "divides the features of a token by their root mean square, then scales",
             .equations = "y = x / sqrt(mean(x^2) + eps) g"},
    .keeps = TG_KEEPS_INPUT(0),
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
