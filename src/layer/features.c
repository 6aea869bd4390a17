/* features.c -- the numbers of the run's samples, rounded to the graph's format: where models that read no text begin.
 *
 *   y[b place, c] = x[b, c, place]
 *
 * Data have images channel by channel, layers have the channels of a place side by side. What is no image is one place.
 * A value that is not finite is refused here, by its place: it is the data's, not the training's. */
#include <math.h>

#include "layer/elements.h"
#include "layer/layers.h"

static tg_status find_bad(const tg_call *call, size_t count)
{
    for (size_t i = 0; i < call->graph->batch * call->graph->time * count; i++)
        if (!isfinite(call->run->features[i]))
            return tg_fail(TG_EINVAL, "%s: feature %zu of sample %zu is not finite", call->op->name, i % count,
                           i / count);
    return TG_OK;
}

/* y (n) <- values first ... of x (channels, places), in the order (places, channels). */
static void turn(float *restrict y, const float *restrict x, size_t channels, size_t places, size_t first, size_t n)
{
    size_t place = first / channels, channel = first % channels;
    for (size_t i = 0; i < n; i++) {
        y[i] = x[channel * places + place];
        channel = channel + 1 < channels ? channel + 1 : 0;
        place += channel == 0;
    }
}

static tg_status forward(const tg_call *call)
{
    const tg_tensor *y = call->out_shape[0];
    const size_t places = y->height == 0 ? 1 : y->height * y->width, count = places * y->cols;
    const size_t samples = y->rows / places, pieces = tg_pieces(count), bytes = tg_format_bytes(y->format);
    int good = 1;
#pragma omp parallel for collapse(2) schedule(static) reduction(&& : good) if (samples * count > TG_PIECE)
    for (size_t b = 0; b < samples; b++)
        for (size_t p = 0; p < pieces; p++) {
            float buffer[TG_PIECE];
            const float *x = call->run->features + b * count;
            const size_t first = p * TG_PIECE, length = tg_piece_length(count, first);
            if (places > 1 && y->cols > 1)
                turn(buffer, x, y->cols, places, first, length);
            const float *values = places > 1 && y->cols > 1 ? buffer : x + first;
            good = TG_PER_ISA(tg_kernels).all_finite(values, TG_F32, length) && good;
            TG_PER_ISA(tg_kernels)
                .narrow((char *)call->out[0] + (b * count + first) * bytes, values, y->format, length);
        }
    return good ? TG_OK : find_bad(call, count);
}

/* Called in TG_ATTACK alone: otherwise nothing here is differentiated. */
static tg_status backward(const tg_call *call)
{
    const tg_tensor *y = call->out_shape[0];
    const size_t places = y->height == 0 ? 1 : y->height * y->width, count = places * y->cols;
    const size_t samples = y->rows / places, bytes = tg_format_bytes(y->format);
#pragma omp parallel for schedule(static) if (samples * count > TG_PIECE)
    for (size_t b = 0; b < samples; b++) {
        float *dx = call->run->dfeatures + b * count;
        const char *dy = (const char *)call->dout[0] + b * count * bytes;
        float buffer[TG_PIECE];
        for (size_t p = 0; p < places; p++)
            for (size_t c = 0; c < y->cols; c += TG_PIECE) {
                const size_t n = tg_piece_length(y->cols, c);
                const float *values = tg_elements_read(buffer, dy, y->format, p * y->cols + c, n);
                for (size_t i = 0; i < n; i++)
                    dx[(c + i) * places + p] = values[i];
            }
    }
    return TG_OK;
}

const tg_layer TG_PER_ISA(tg_layer_features) = {
    .info = {.name = "features",
             .help = "the numbers of samples, where a model begins",
             .equations = "y[b place, c] = x[b, c, place]"},
    .reads_samples = true,
    .forward = forward,
    .backward = backward,
};
