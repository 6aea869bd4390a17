/* batchnorm.c -- batch normalisation (Ioffe & Szegedy 2015, arXiv:1502.03167): each channel over all places of all
 * samples of a batch.
 *
 *   training     y = (x - mean) / sqrt(var + eps) g + b       mean, var: of the channel in the micro-batch
 *                running_mean <- 0.9 running_mean + 0.1 mean  running_var <- 0.9 running_var + 0.1 var n / (n - 1)
 *   evaluation   y = (x - running_mean) / sqrt(running_var + eps) g + b      dx = dy g / sqrt(running_var + eps)
 *
 * n values of a channel are in a batch; what normalises is the biased variance, what runs along the unbiased one, as in
 * PyTorch. The running statistics are frozen fp32 weights. They move in forward proper, not when a block is computed
 * again, and not by statistics that are NaN or Inf, which would never leave them. Saved: mean and 1/deviation, fp32, of
 * each channel. Equations of backward: layer/slabs.h. */
#include "layer/layers.h"
#include "layer/slabs.h"

#define MOMENTUM 0.1f

enum { RUNNING_MEAN = TG_SLAB_BIAS + 1, RUNNING_VAR };

static tg_slabs slabs_of(const tg_graph *graph, const tg_op *op)
{
    const tg_tensor *x = &graph->tensor[op->input[0]];
    return tg_slabs_of(x, 1, x->cols);
}

static tg_status plan(tg_graph *graph, tg_op *op)
{
    const tg_slabs s = slabs_of(graph, op);
    return tg_slabs_plan(graph, op, &s);
}

static float *running(const tg_call *call, int slot) { return tg_op_weight(call->graph, call->op, slot)->data; }

static void run_along(float *running_mean, float *running_var, const float *mean, const float *variance,
                      const tg_slabs *s)
{
    const float unbiased = (float)((double)s->rows / ((double)s->rows - 1));
    for (size_t c = 0; c < s->cols; c++) {
        if (!isfinite(mean[c]) || !isfinite(variance[c]))
            continue;
        running_mean[c] += MOMENTUM * (mean[c] - running_mean[c]);
        running_var[c] += MOMENTUM * (variance[c] * unbiased - running_var[c]);
    }
}

static tg_status forward(const tg_call *call)
{
    const tg_slabs s = slabs_of(call->graph, call->op);
    float *mean = call->saved[TG_SLAB_MEAN], *rstd = call->saved[TG_SLAB_RSTD], *scratch = call->scratch;
    float *running_mean = running(call, RUNNING_MEAN), *running_var = running(call, RUNNING_VAR);
    if (call->graph->mode == TG_TRAIN) {
        tg_slabs_moments(mean, rstd, &s, call, scratch + 2 * s.cols);
        if (call->step->life == 0)
            run_along(running_mean, running_var, mean, rstd, &s);
        tg_slabs_rstd(rstd, rstd, call->op->as.norm.eps, s.cols);
    } else {
        memcpy(mean, running_mean, s.cols * sizeof *mean);
        tg_slabs_rstd(rstd, running_var, call->op->as.norm.eps, s.cols);
    }
    tg_slabs_normalize(&s, call, scratch);
    return TG_OK;
}

static tg_status backward(const tg_call *call)
{
    const tg_slabs s = slabs_of(call->graph, call->op);
    return call->graph->mode == TG_TRAIN ? tg_slabs_backward(&s, call) : tg_slabs_backward_fixed(&s, call);
}

const tg_layer TG_PER_ISA(tg_layer_batchnorm) = {
    .info = {.name = "batchnorm",
             .help = "normalises each channel over all places of a batch, or by running statistics in evaluation, then "
                     "scales and shifts",
             .equations = "y = (x - mean) / sqrt(var + eps) g + b"},
    .keeps = TG_KEEPS_INPUT(0),
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
