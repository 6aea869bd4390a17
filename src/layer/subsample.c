/* subsample.c -- every stride-th place of images, along both sides, and channels of zeros behind those that there are.
 *
 *   y[place, c] = x[stride place, c], 0 for channels that x has not        dx = dy at places that were taken, else 0
 *
 * The shortcut without weights of He et al. 2016 (arXiv:1512.03385, section 3.3, option A), where a block halves the
 * image and widens it. */
#include <string.h>

#include "layer/elements.h"
#include "layer/layers.h"

/* The place of the images x that a place of y is taken from. */
static size_t source(const tg_call *call, size_t place)
{
    const tg_tensor *x = call->in_shape[0], *y = call->out_shape[0];
    const tg_window *w = &call->op->as.window;
    const size_t row = place / y->width % y->height, col = place % y->width, image = place / (y->height * y->width);
    return (image * x->height + row * w->stride[0]) * x->width + col * w->stride[1];
}

static void forward_place(const tg_call *call, size_t place)
{
    const tg_tensor *x = call->in_shape[0], *y = call->out_shape[0];
    const size_t from = source(call, place) * x->cols;
    float buffer[TG_PIECE], wide[TG_PIECE];
    for (size_t c = 0; c < y->cols; c += TG_PIECE) {
        const size_t n = tg_piece_length(y->cols, c), there = c >= x->cols ? 0 : x->cols - c < n ? x->cols - c : n;
        float *value = tg_elements_target(buffer, call->out[0], y->format, place * y->cols + c, false);
        if (there > 0)
            memcpy(value, tg_elements_read(wide, call->in[0], x->format, from + c, there), there * sizeof *value);
        memset(value + there, 0, (n - there) * sizeof *value);
        tg_elements_write(call->out[0], value, y->format, place * y->cols + c, n, false);
    }
}

static tg_status forward(const tg_call *call)
{
    const tg_tensor *y = call->out_shape[0];
#pragma omp parallel for schedule(static) if (y->rows * y->cols > TG_PIECE)
    for (size_t place = 0; place < y->rows; place++)
        forward_place(call, place);
    return TG_OK;
}

/* A place of x: what of dy was taken from it, or nothing. */
static void backward_place(const tg_call *call, size_t place)
{
    const tg_tensor *x = call->in_shape[0], *y = call->out_shape[0];
    const tg_window *w = &call->op->as.window;
    const size_t row = place / x->width % x->height, col = place % x->width, image = place / (x->height * x->width);
    const bool taken = row % w->stride[0] == 0 && col % w->stride[1] == 0;
    const size_t to = (image * y->height + row / w->stride[0]) * y->width + col / w->stride[1];
    float buffer[TG_PIECE], wide[TG_PIECE];
    if (!taken && call->add[0])
        return;
    for (size_t c = 0; c < x->cols; c += TG_PIECE) {
        const size_t n = tg_piece_length(x->cols, c), at = place * x->cols + c;
        float *dx = tg_elements_target(buffer, call->din[0], x->format, at, call->add[0]);
        if (taken)
            memcpy(dx, tg_elements_read(wide, call->dout[0], y->format, to * y->cols + c, n), n * sizeof *dx);
        else
            memset(dx, 0, n * sizeof *dx);
        tg_elements_write(call->din[0], dx, x->format, at, n, call->add[0]);
    }
}

static tg_status backward(const tg_call *call)
{
    const tg_tensor *x = call->in_shape[0];
    if (call->din[0] == NULL)
        return TG_OK;
#pragma omp parallel for schedule(static) if (x->rows * x->cols > TG_PIECE)
    for (size_t place = 0; place < x->rows; place++)
        backward_place(call, place);
    return TG_OK;
}

const tg_layer TG_PER_ISA(tg_layer_subsample) = {
    .info = {.name = "subsample",
             .help = "every stride-th place of images, with channels of zeros behind those that there are",
             .equations = "y[place, c] = x[stride place, c], or 0"},
    .forward = forward,
    .backward = backward,
};
