/* mse.c -- mean squared error: the loss of regression.
 *
 *   loss = mean over samples that count and over outputs of (x - v)^2        dx = 2 (x - v) / (N K)
 *
 * x (B,K), the run's values v (B,K); a sample with a negative target does not count, N do. Sums are double, in order.
 *
 * With draws_labels v is drawn from the model's own output: (x - v)^2 is the negative log-likelihood of a normal
 * distribution around x with variance 1/2, up to a constant. */
#include <math.h>

#include "base/random.h"
#include "layer/elements.h"
#include "layer/layers.h"

#define DRAWS 0x6d736564u /* purpose of a random stream: "msed" */
#define DRAWN_STD 0.70710678f

static size_t count_samples(const tg_call *call)
{
    size_t count = 0;
    for (size_t r = 0; r < call->in_shape[0]->rows; r++)
        count += call->run->targets[r] >= 0;
    return count;
}

/* Sum over the samples that count. */
static double sum_squares(const tg_call *call)
{
    const tg_tensor *x = call->in_shape[0];
    double sum = 0;
    for (size_t r = 0; r < x->rows; r++)
        for (size_t c = 0; c < x->cols && call->run->targets[r] >= 0; c += TG_PIECE) {
            const size_t n = tg_piece_length(x->cols, c), first = r * x->cols + c;
            float buffer[TG_PIECE];
            const float *p = tg_elements_read(buffer, call->in[0], x->format, first, n);
            for (size_t i = 0; i < n; i++) {
                const double d = (double)p[i] - (double)call->run->values[first + i];
                sum += d * d;
            }
        }
    return sum;
}

static tg_status forward(const tg_call *call)
{
    tg_run *run = call->run;
    const size_t count = count_samples(call), cols = call->in_shape[0]->cols;
    run->loss_sum = sum_squares(call) / (double)cols;
    run->targets_counted = count;
    run->loss = count == 0 ? 0.0 : run->loss_sum / (double)count;
    return TG_OK;
}

/* dx of a row's piece, without what is there already. */
static void slope(float *restrict dx, const tg_call *call, size_t row, size_t first, size_t n, float by)
{
    const tg_run *run = call->run;
    if (run->targets[row] < 0) {
        for (size_t i = 0; i < n; i++)
            dx[i] = 0.0f;
        return;
    }
    if (run->draws_labels) {
        const tg_key key = tg_key_make(run->seed, DRAWS, run->update, run->micro_step);
        for (size_t i = 0; i < n; i++)
            dx[i] =
                by * DRAWN_STD *
                tg_random_normal(tg_key_part(key, (uint64_t)(first + i) >> 31), (uint32_t)((first + i) & 0x7fffffffu));
        return;
    }
    float buffer[TG_PIECE];
    const float *x = tg_elements_read(buffer, call->in[0], call->in_shape[0]->format, first, n);
    for (size_t i = 0; i < n; i++)
        dx[i] = by * (x[i] - run->values[first + i]);
}

static tg_status backward(const tg_call *call)
{
    tg_run *run = call->run;
    const tg_tensor *x = call->in_shape[0];
    forward(call);
    run->spared =
        run->wants != NULL && isfinite(run->loss) && run->targets_counted > 0 && !run->wants(run->wants_ctx, run->loss);
    if (run->spared || call->din[0] == NULL)
        return TG_OK;
    const double scale = run->loss_scale > 0 ? run->loss_scale : 1.0, n = (double)run->targets_counted;
    const float by = run->targets_counted == 0 ? 0.0f : (float)(2.0 * scale / (n * (double)x->cols));
#pragma omp parallel for schedule(static) if (x->rows * x->cols > TG_PIECE)
    for (size_t r = 0; r < x->rows; r++)
        for (size_t c = 0; c < x->cols; c += TG_PIECE) {
            const size_t length = tg_piece_length(x->cols, c), first = r * x->cols + c;
            float buffer[TG_PIECE];
            float *dx = tg_elements_target(buffer, call->din[0], x->format, first, call->add[0]);
            slope(dx, call, r, first, length, by);
            tg_elements_write(call->din[0], dx, x->format, first, length, call->add[0]);
        }
    return TG_OK;
}

const tg_layer TG_PER_ISA(tg_layer_mse) = {
    .info = {.name = "mse",
             .help = "mean squared error against the samples' values",
             .equations = "loss = mean((x - v)^2)"},
    .keeps = TG_KEEPS_INPUT(0),
    .is_loss = true,
    .forward = forward,
    .backward = backward,
};
