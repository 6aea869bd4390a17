/* groupnorm.c -- group normalisation (Wu & He 2018, arXiv:1803.08494): groups of neighbouring channels, each over all
 * places of a sample. One group is layer norm over the whole image, as many groups as channels are instance norm
 * (Ulyanov et al. 2016, arXiv:1607.08022).
 *
 *   y = (x - mean) / sqrt(var + eps) g + b      mean, var: of the group's channels in the sample; g, b: of the channel
 *
 * Saved: mean and 1/deviation, fp32, of each group of each sample. Equations of backward: layer/slabs.h. */
#include "layer/layers.h"
#include "layer/slabs.h"

static tg_slabs slabs_of(const tg_graph *graph, const tg_op *op)
{
    return tg_slabs_of(&graph->tensor[op->input[0]], graph->batch, op->as.norm.groups);
}

static tg_status plan(tg_graph *graph, tg_op *op)
{
    const tg_slabs s = slabs_of(graph, op);
    return tg_slabs_plan(graph, op, &s);
}

static tg_status forward(const tg_call *call)
{
    const tg_slabs s = slabs_of(call->graph, call->op);
    float *mean = call->saved[TG_SLAB_MEAN], *rstd = call->saved[TG_SLAB_RSTD], *scratch = call->scratch;
    tg_slabs_moments(mean, rstd, &s, call, scratch + 2 * s.cols);
    tg_slabs_rstd(rstd, rstd, call->op->as.norm.eps, s.slabs * s.groups);
    tg_slabs_normalize(&s, call, scratch);
    return TG_OK;
}

static tg_status backward(const tg_call *call)
{
    const tg_slabs s = slabs_of(call->graph, call->op);
    return tg_slabs_backward(&s, call);
}

const tg_layer TG_PER_ISA(tg_layer_groupnorm) = {
    .info = {.name = "groupnorm",
             .help = "normalises groups of channels over all places of a sample, then scales and shifts; a group for "
                     "each channel is instance norm",
             .equations = "y = (x - mean) / sqrt(var + eps) g + b"},
    .keeps = TG_KEEPS_INPUT(0),
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
