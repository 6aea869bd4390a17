/* add.c -- residual addition.
 *
 *   y = a + b        da = dy,  db = dy
 *
 * Mostly backward is nothing at all, because the planner lets the inputs' gradients be the output's own. */
#include "layer/elements.h"
#include "layer/layers.h"

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
        for (size_t i = 0; i < length; i++)
            y[i] = a[i] + b[i];
        tg_elements_write(call->out[0], y, shape->format, first, length, false);
    }
    return TG_OK;
}

static tg_status backward(const tg_call *call)
{
    const tg_tensor *shape = call->out_shape[0];
    const size_t n = shape->rows * shape->cols;
    for (int side = 0; side < 2; side++) {
        if (call->din[side] == NULL)
            continue;
#pragma omp parallel for schedule(static) if (n > TG_PIECE)
        for (size_t p = 0; p < tg_pieces(n); p++) {
            float dy_buffer[TG_PIECE], dx_buffer[TG_PIECE];
            const size_t first = p * TG_PIECE, length = tg_piece_length(n, first);
            const float *dy = tg_elements_read(dy_buffer, call->dout[0], shape->format, first, length);
            float *dx = tg_elements_target(dx_buffer, call->din[side], shape->format, first, call->add[side]);
            memcpy(dx, dy, length * sizeof *dx);
            tg_elements_write(call->din[side], dx, shape->format, first, length, call->add[side]);
        }
    }
    return TG_OK;
}

const tg_layer TG_PER_ISA(tg_layer_add) = {
    .info = {.name = "add", .help = "residual addition", .equations = "y = a + b"},
    .passes_gradient = true,
    .forward = forward,
    .backward = backward,
};
