/* gated.c -- the gate of SwiGLU (Shazeer 2020, arXiv:2002.05202).
 *
 *   y = silu(a) b,   silu(a) = a s,  s = 1/(1 + exp(-a))
 *   da = dy b s (1 + a (1 - s))        db = dy a s */
#include "base/vecmath.h"
#include "layer/elements.h"
#include "layer/layers.h"

static void value(float *restrict y, const float *restrict a, const float *restrict b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] * tg_logistic(a[i]) * b[i];
}

static void slope_a(float *restrict da, const float *restrict a, const float *restrict b, const float *restrict dy,
                    size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float s = tg_logistic(a[i]);
        da[i] = dy[i] * b[i] * (s * (1.0f + a[i] * (1.0f - s)));
    }
}

static void slope_b(float *restrict db, const float *restrict a, const float *restrict dy, size_t n)
{
    for (size_t i = 0; i < n; i++)
        db[i] = dy[i] * (a[i] * tg_logistic(a[i]));
}

static tg_status forward(const tg_call *call)
{
    const tg_tensor *shape = call->out_shape[0];
    const size_t n = shape->rows * shape->cols;
#pragma omp parallel for schedule(static) if (n > TG_PIECE)
    for (size_t p = 0; p < tg_pieces(n); p++) {
        float a_buffer[TG_PIECE], b_buffer[TG_PIECE], y_buffer[TG_PIECE];
        const size_t first = p * TG_PIECE, length = tg_piece_length(n, first);
        const float *a = tg_elements_read(a_buffer, call->in[0], shape->format, first, length);
        const float *b = tg_elements_read(b_buffer, call->in[1], shape->format, first, length);
        float *y = tg_elements_target(y_buffer, call->out[0], shape->format, first, false);
        value(y, a, b, length);
        tg_elements_write(call->out[0], y, shape->format, first, length, false);
    }
    return TG_OK;
}

static tg_status backward(const tg_call *call)
{
    const tg_tensor *shape = call->in_shape[0];
    const size_t n = shape->rows * shape->cols;
#pragma omp parallel for schedule(static) if (n > TG_PIECE)
    for (size_t p = 0; p < tg_pieces(n); p++) {
        float a_buffer[TG_PIECE], b_buffer[TG_PIECE], dy_buffer[TG_PIECE], dx_buffer[TG_PIECE];
        const size_t first = p * TG_PIECE, length = tg_piece_length(n, first);
        const float *a = tg_elements_read(a_buffer, call->in[0], shape->format, first, length);
        const float *b = tg_elements_read(b_buffer, call->in[1], shape->format, first, length);
        const float *dy = tg_elements_read(dy_buffer, call->dout[0], shape->format, first, length);
        for (int side = 0; side < 2; side++) {
            if (call->din[side] == NULL)
                continue;
            float *dx = tg_elements_target(dx_buffer, call->din[side], shape->format, first, call->add[side]);
            if (side == 0)
                slope_a(dx, a, b, dy, length);
            else
                slope_b(dx, a, dy, length);
            tg_elements_write(call->din[side], dx, shape->format, first, length, call->add[side]);
        }
    }
    return TG_OK;
}

const tg_layer TG_PER_ISA(tg_layer_gated) = {
    .info = {.name = "gated", .help = "one input gated by the silu of the other", .equations = "y = silu(a) b"},
    .keeps = TG_KEEPS_INPUT(0) | TG_KEEPS_INPUT(1),
    .forward = forward,
    .backward = backward,
};
