/* pool2d.c -- the largest value, or the mean, of each channel under a window that slides over images.
 *
 *   max    y[place, c] = max over the window of x          dx = sum of dy of the windows whose largest value it is
 *   mean   y[place, c] = sum over the window of x / size   dx = sum of dy / size of the windows that see the place
 *
 * Of equal values a window takes the first. Outside of the image there is nothing for max and 0 for mean, which divides
 * by the whole window's size, as PyTorch does. A NaN under a window is its largest value. A window over the whole image
 * is global pooling.
 *
 * Backward gathers: a place looks at the windows that see it, in order, so threads share nothing and bits do not depend
 * on them. Saved in training, of max: which place of its window was taken, 16 bits a value. */
#include <stdint.h>
#include <string.h>

#include "layer/elements.h"
#include "layer/layers.h"

/* Along one side: first ... end - 1. */
typedef struct span {
    size_t first, end;
} span;

/* What a window sees. */
static span seen_by(const tg_window *w, int side, size_t window, size_t size)
{
    const size_t at = window * w->stride[side], pad = w->padding[side], end = at + w->kernel[side] - pad;
    return (span){at > pad ? at - pad : 0, end < size ? end : size};
}

/* The windows that see a place. */
static span seeing(const tg_window *w, int side, size_t place, size_t windows)
{
    const size_t at = place + w->padding[side], kernel = w->kernel[side], end = at / w->stride[side] + 1;
    return (span){at >= kernel ? (at - kernel) / w->stride[side] + 1 : 0, end < windows ? end : windows};
}

/* The place (row, col) of the image as a place of the window (window_row, window_col). */
static uint32_t place_in(const tg_window *w, size_t row, size_t window_row, size_t col, size_t window_col)
{
    const size_t i = row + w->padding[0] - window_row * w->stride[0];
    const size_t j = col + w->padding[1] - window_col * w->stride[1];
    return (uint32_t)(i * w->kernel[1] + j);
}

static tg_status plan(tg_graph *graph, tg_op *op)
{
    const tg_tensor *y = &graph->tensor[op->output[0]];
    const tg_window *w = &op->as.pool.window;
    if (op->as.pool.kind != TG_POOL_MAX || !tg_graph_goes_back(graph))
        return TG_OK;
    if (w->kernel[0] * w->kernel[1] > (size_t)UINT16_MAX + 1)
        return tg_fail(TG_EUNSUPPORTED, "%s: a window of %zu x %zu has more than %zu places", op->name, w->kernel[0],
                       w->kernel[1], (size_t)UINT16_MAX + 1);
    op->saved[0] = tg_graph_tensor(graph, TG_F16, y->rows, y->cols); /* for its 16 bits */
    return op->saved[0] == TG_NONE ? tg_fail(graph->failed, "%s", graph->failure) : TG_OK;
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* best <- the larger of best and x, which lies at place `at` of the window; the first of equal ones, and NaN stays. */
static void keep_largest(float *restrict best, uint32_t *restrict which, const float *restrict x, uint32_t at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const bool larger = x[i] > best[i] || x[i] != x[i];
        best[i] = larger ? x[i] : best[i];
        which[i] = larger ? at : which[i];
    }
}

/* n channels of window (row, col); `image` is the first value of these channels. */
static void largest(float *y, uint16_t *saved, const tg_call *call, size_t image, size_t row, size_t col, size_t n)
{
    const tg_tensor *x = call->in_shape[0];
    const tg_window *w = &call->op->as.pool.window;
    const span rows = seen_by(w, 0, row, x->height), cols = seen_by(w, 1, col, x->width);
    float buffer[TG_PIECE];
    uint32_t which[TG_PIECE];
    for (size_t r = rows.first; r < rows.end; r++)
        for (size_t c = cols.first; c < cols.end; c++) {
            const size_t at = image + (r * x->width + c) * x->cols;
            const float *value = tg_elements_read(buffer, call->in[0], x->format, at, n);
            const uint32_t place = place_in(w, r, row, c, col);
            if (r == rows.first && c == cols.first) {
                memcpy(y, value, n * sizeof *y);
                for (size_t i = 0; i < n; i++)
                    which[i] = place;
            } else {
                keep_largest(y, which, value, place, n);
            }
        }
    for (size_t i = 0; i < n && saved != NULL; i++)
        saved[i] = (uint16_t)which[i];
}

/* Likewise; a row of the window at a time, so that rounding does not grow with its size. */
static void mean(float *restrict y, const tg_call *call, size_t image, size_t row, size_t col, size_t n)
{
    const tg_tensor *x = call->in_shape[0];
    const tg_window *w = &call->op->as.pool.window;
    const span rows = seen_by(w, 0, row, x->height), cols = seen_by(w, 1, col, x->width);
    const float size = (float)(w->kernel[0] * w->kernel[1]);
    float buffer[TG_PIECE], part[TG_PIECE];
    memset(y, 0, n * sizeof *y);
    for (size_t r = rows.first; r < rows.end; r++) {
        memset(part, 0, n * sizeof *part);
        for (size_t c = cols.first; c < cols.end; c++) {
            const size_t at = image + (r * x->width + c) * x->cols;
            const float *value = tg_elements_read(buffer, call->in[0], x->format, at, n);
            for (size_t i = 0; i < n; i++)
                part[i] += value[i];
        }
        for (size_t i = 0; i < n; i++)
            y[i] += part[i];
    }
    for (size_t i = 0; i < n; i++)
        y[i] /= size;
}

static void forward_place(const tg_call *call, size_t place)
{
    const tg_tensor *x = call->in_shape[0], *y = call->out_shape[0];
    const size_t row = place / y->width % y->height, col = place % y->width;
    const size_t image = place / (y->height * y->width) * x->height * x->width * x->cols;
    float buffer[TG_PIECE];
    for (size_t c = 0; c < y->cols; c += TG_PIECE) {
        const size_t n = tg_piece_length(y->cols, c), at = place * y->cols + c;
        float *value = tg_elements_target(buffer, call->out[0], y->format, at, false);
        if (call->op->as.pool.kind == TG_POOL_MAX)
            largest(value, call->saved[0] == NULL ? NULL : (uint16_t *)call->saved[0] + at, call, image + c, row, col,
                    n);
        else
            mean(value, call, image + c, row, col, n);
        tg_elements_write(call->out[0], value, y->format, at, n, false);
    }
}

static tg_status forward(const tg_call *call)
{
    const size_t places = call->out_shape[0]->rows;
#pragma omp parallel for schedule(static) if (places > 1)
    for (size_t place = 0; place < places; place++)
        forward_place(call, place);
    return TG_OK;
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

static void add_taken(float *restrict dx, const float *restrict dy, const uint16_t *restrict which, uint32_t at,
                      size_t n)
{
    for (size_t i = 0; i < n; i++)
        dx[i] += which[i] == at ? dy[i] : 0.0f;
}

/* n channels of a place of an image; `image` is the first value of these channels in dy. */
static void gather(float *restrict dx, const tg_call *call, size_t image, size_t row, size_t col, size_t n)
{
    const tg_tensor *y = call->out_shape[0];
    const tg_window *w = &call->op->as.pool.window;
    const span rows = seeing(w, 0, row, y->height), cols = seeing(w, 1, col, y->width);
    const bool max = call->op->as.pool.kind == TG_POOL_MAX;
    const float size = max ? 1.0f : (float)(w->kernel[0] * w->kernel[1]);
    float buffer[TG_PIECE];
    memset(dx, 0, n * sizeof *dx);
    for (size_t r = rows.first; r < rows.end; r++)
        for (size_t c = cols.first; c < cols.end; c++) {
            const size_t at = image + (r * y->width + c) * y->cols;
            const float *dy = tg_elements_read(buffer, call->dout[0], y->format, at, n);
            if (max)
                add_taken(dx, dy, (const uint16_t *)call->saved[0] + at, place_in(w, row, r, col, c), n);
            else
                for (size_t i = 0; i < n; i++)
                    dx[i] += dy[i];
        }
    for (size_t i = 0; i < n && !max; i++)
        dx[i] /= size;
}

static void backward_place(const tg_call *call, size_t place)
{
    const tg_tensor *x = call->in_shape[0], *y = call->out_shape[0];
    const size_t row = place / x->width % x->height, col = place % x->width;
    const size_t image = place / (x->height * x->width) * y->height * y->width * y->cols;
    float buffer[TG_PIECE];
    for (size_t c = 0; c < x->cols; c += TG_PIECE) {
        const size_t n = tg_piece_length(x->cols, c), at = place * x->cols + c;
        float *dx = tg_elements_target(buffer, call->din[0], x->format, at, call->add[0]);
        gather(dx, call, image + c, row, col, n);
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

const tg_layer TG_PER_ISA(tg_layer_pool2d) = {
    .info = {.name = "pool2d",
             .help =
                 "the largest value or the mean under a window that slides over images: stride, padding; or over all",
             .equations = "y[place, c] = max of x, or sum of x / size, over the window"},
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
