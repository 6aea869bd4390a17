/* layernorm.c -- layer normalisation (Ba, Kiros & Hinton 2016, arXiv:1607.06450), over the C features of a token.
 *
 *   m = mean(x)    r = 1 / sqrt(mean((x - m)^2) + eps)    n = (x - m) r    y = n g + b
 *
 *   dg = sum over tokens of dy n       db = sum over tokens of dy
 *   dn = dy g                          dx = r (dn - mean(dn) - n mean(dn n))
 *
 * Saved: m and r, fp32, one each a token. The variance is taken around the mean in a second pass: E[x^2] - m^2 would
 * lose all digits for features far from 0. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "layer/layers.h"
#include "layer/norm.h"

enum { GAIN, BIAS };
enum { MEAN, RSTD };

static tg_status plan(tg_graph *graph, tg_op *op)
{
    const tg_tensor *x = &graph->tensor[op->input[0]];
    const size_t rows = x->rows, cols = x->cols; /* x moves when tensors are made */
    for (int s = MEAN; s <= RSTD; s++)
        if ((op->saved[s] = tg_graph_tensor(graph, TG_F32, rows, 1)) == TG_NONE)
            return tg_no_memory("a graph", sizeof *x);
    op->scratch_bytes[TG_FORWARD] = 2 * cols * sizeof(float);
    op->scratch_bytes[TG_BACKWARD] = (1 + 2 * tg_norm_groups(rows)) * cols * sizeof(float);
    return TG_OK;
}

/* Mean and 1/deviation of a row. Returns its last piece as fp32: all of it where it has no other. */
static const float *moments(float *mean, float *rstd, float *buffer, const tg_call *call, size_t row)
{
    const tg_format format = call->in_shape[0]->format;
    const size_t cols = call->in_shape[0]->cols, start = row * cols;
    float sum[TG_LANES] = {0}, squares[TG_LANES] = {0};
    const float *piece = NULL;
    for (size_t c = 0; c < cols; c += TG_PIECE) {
        piece = tg_elements_read(buffer, call->in[0], format, start + c, tg_piece_length(cols, c));
        tg_lanes_sum(sum, piece, tg_piece_length(cols, c));
    }
    const float centre = tg_lanes_total(sum) / (float)cols;
    for (size_t c = 0; c < cols; c += TG_PIECE) {
        if (cols > TG_PIECE)
            piece = tg_elements_read(buffer, call->in[0], format, start + c, tg_piece_length(cols, c));
        tg_lanes_squares(squares, piece, centre, tg_piece_length(cols, c));
    }
    *mean = centre;
    *rstd = 1.0f / sqrtf(tg_lanes_total(squares) / (float)cols + (float)call->op->as.norm.eps);
    return piece;
}

static void forward_row(const tg_call *call, const float *gain, const float *bias, size_t row)
{
    const tg_tensor *shape = call->in_shape[0];
    const size_t cols = shape->cols, start = row * cols;
    float m, r, x_buffer[TG_PIECE], y_buffer[TG_PIECE];
    const float *x = moments(&m, &r, x_buffer, call, row);
    ((float *)call->saved[MEAN])[row] = m;
    ((float *)call->saved[RSTD])[row] = r;
    for (size_t c = 0; c < cols; c += TG_PIECE) {
        const size_t n = tg_piece_length(cols, c);
        if (cols > TG_PIECE)
            x = tg_elements_read(x_buffer, call->in[0], shape->format, start + c, n);
        float *y = tg_elements_target(y_buffer, call->out[0], shape->format, start + c, false);
        if (bias != NULL)
            for (size_t i = 0; i < n; i++)
                y[i] = (x[i] - m) * r * gain[c + i] + bias[c + i];
        else
            for (size_t i = 0; i < n; i++)
                y[i] = (x[i] - m) * r * gain[c + i];
        tg_elements_write(call->out[0], y, shape->format, start + c, n, false);
    }
}

static tg_status forward(const tg_call *call)
{
    const size_t rows = call->in_shape[0]->rows, cols = call->in_shape[0]->cols;
    float *scratch = call->scratch;
    const float *gain = tg_norm_weight(scratch, call, GAIN, cols);
    const float *bias = tg_norm_weight(scratch + cols, call, BIAS, cols);
#pragma omp parallel for schedule(static) if (rows * cols > TG_PIECE)
    for (size_t row = 0; row < rows; row++)
        forward_row(call, gain, bias, row);
    return TG_OK;
}

/* Adds the row's part to dg and db, and its sums of dn and dn n to the lanes. */
static void gather(float *restrict dg, float *restrict db, float *restrict sum, float *restrict dot,
                   const float *restrict x, const float *restrict dy, const float *restrict gain, float m, float r,
                   size_t n)
{
    float dn[TG_PIECE], product[TG_PIECE];
    for (size_t i = 0; i < n; i++) {
        const float normal = (x[i] - m) * r;
        dg[i] += dy[i] * normal;
        db[i] += dy[i];
        dn[i] = dy[i] * gain[i];
        product[i] = dn[i] * normal;
    }
    tg_lanes_sum(sum, dn, n);
    tg_lanes_sum(dot, product, n);
}

static void backward_row(const tg_call *call, float *dg, float *db, const float *gain, size_t row)
{
    const tg_tensor *shape = call->in_shape[0];
    const size_t cols = shape->cols, start = row * cols;
    const float m = ((const float *)call->saved[MEAN])[row], r = ((const float *)call->saved[RSTD])[row];
    float x_buffer[TG_PIECE], dy_buffer[TG_PIECE], dx_buffer[TG_PIECE], sum[TG_LANES] = {0}, dot[TG_LANES] = {0};
    const float *x = NULL, *dy = NULL;
    for (size_t c = 0; c < cols; c += TG_PIECE) {
        const size_t n = tg_piece_length(cols, c);
        x = tg_elements_read(x_buffer, call->in[0], shape->format, start + c, n);
        dy = tg_elements_read(dy_buffer, call->dout[0], shape->format, start + c, n);
        gather(dg + c, db + c, sum, dot, x, dy, gain + c, m, r, n);
    }
    if (call->din[0] == NULL)
        return;
    const float a = tg_lanes_total(sum) / (float)cols, b = tg_lanes_total(dot) / (float)cols;
    for (size_t c = 0; c < cols; c += TG_PIECE) {
        const size_t n = tg_piece_length(cols, c);
        if (cols > TG_PIECE) {
            x = tg_elements_read(x_buffer, call->in[0], shape->format, start + c, n);
            dy = tg_elements_read(dy_buffer, call->dout[0], shape->format, start + c, n);
        }
        float *dx = tg_elements_target(dx_buffer, call->din[0], shape->format, start + c, call->add[0]);
        for (size_t i = 0; i < n; i++)
            dx[i] = r * (dy[i] * gain[c + i] - a - (x[i] - m) * r * b);
        tg_elements_write(call->din[0], dx, shape->format, start + c, n, call->add[0]);
    }
}

static tg_status backward(const tg_call *call)
{
    const size_t rows = call->in_shape[0]->rows, cols = call->in_shape[0]->cols;
    const size_t groups = tg_norm_groups(rows), group_rows = tg_norm_group_rows(rows);
    float *scratch = call->scratch, *partial = scratch + cols; /* (groups, 2, cols): dg, db */
    const float *gain = tg_norm_weight(scratch, call, GAIN, cols);
#pragma omp parallel for schedule(static) if (groups > 1)
    for (size_t g = 0; g < groups; g++) {
        float *dg = partial + 2 * g * cols, *db = dg + cols;
        memset(dg, 0, 2 * cols * sizeof *dg);
        for (size_t row = g * group_rows; row < rows && row < (g + 1) * group_rows; row++)
            backward_row(call, dg, db, gain, row);
    }
    tg_norm_add_groups(partial, groups, 2 * cols);
    const tg_status status = tg_norm_hand_over(call, GAIN, partial, cols);
    return status == TG_OK ? tg_norm_hand_over(call, BIAS, partial + cols, cols) : status;
}

const tg_layer TG_PER_ISA(tg_layer_layernorm) = {
    .info = {.name = "layernorm",
             .help = "normalises the features of a token to mean 0 and variance 1, then scales and shifts",
             .equations = "y = (x - mean) / sqrt(var + eps) g + b"},
    .keeps = TG_KEEPS_INPUT(0),
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
