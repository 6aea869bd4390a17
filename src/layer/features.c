/* features.c -- the numbers of the run's samples, rounded to the graph's format: where models that read no text begin.
 *
 *   y[b] = x[b]
 *
 * A value that is not finite is refused here, by its place: it is the data's, not the training's. */
#include <math.h>

#include "layer/elements.h"
#include "layer/layers.h"

static tg_status find_bad(const tg_call *call)
{
    const tg_tensor *y = call->out_shape[0];
    for (size_t i = 0; i < y->rows * y->cols; i++)
        if (!isfinite(call->run->features[i]))
            return tg_fail(TG_EINVAL, "%s: feature %zu of sample %zu is not finite", call->op->name, i % y->cols,
                           i / y->cols);
    return TG_OK;
}

static tg_status forward(const tg_call *call)
{
    const tg_tensor *y = call->out_shape[0];
    const size_t n = y->rows * y->cols, bytes = tg_format_bytes(y->format);
    const float *x = call->run->features;
    int good = 1;
#pragma omp parallel for schedule(static) reduction(&& : good) if (n > TG_PIECE)
    for (size_t p = 0; p < tg_pieces(n); p++) {
        const size_t first = p * TG_PIECE, length = tg_piece_length(n, first);
        good = TG_PER_ISA(tg_kernels).all_finite(x + first, TG_F32, length) && good;
        TG_PER_ISA(tg_kernels).narrow((char *)call->out[0] + first * bytes, x + first, y->format, length);
    }
    return good ? TG_OK : find_bad(call);
}

/* Never called: nothing here depends on a weight. */
static tg_status backward(const tg_call *call)
{
    (void)call;
    return TG_OK;
}

const tg_layer TG_PER_ISA(tg_layer_features) = {
    .info = {.name = "features", .help = "the numbers of samples, where a model begins", .equations = "y[b] = x[b]"},
    .forward = forward,
    .backward = backward,
};
