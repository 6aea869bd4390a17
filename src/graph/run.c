/* graph/run.c -- the walk over the plan's steps, and the way of weight gradients to the sink. */
#include "graph/run.h"

#include <math.h>

#include "base/map.h"
#include "layer/layer.h"

bool tg_call_trains(const tg_call *call, int slot)
{
    const tg_param *p = tg_op_weight(call->graph, call->op, slot);
    return p != NULL && !p->frozen && p->rows * p->cols > 0 && call->run->sink.tile != NULL;
}

bool tg_call_observes(const tg_call *call, int slot)
{
    const tg_sink *sink = &call->run->sink;
    return sink->layer != NULL && call->op->weight[slot] != TG_NONE &&
           sink->observes(sink->ctx, (size_t)call->op->weight[slot]);
}

tg_status tg_call_layer(const tg_call *call, int slot, const void *inputs, const void *gradients, tg_format format,
                        const tg_layer_part *part)
{
    const tg_sink *sink = &call->run->sink;
    const size_t terms = call->run->targets_counted; /* the loss is their mean, and was made before */
    const tg_layer_rows layer = {.inputs = inputs,
                                 .gradients = gradients,
                                 .format = format,
                                 .rows = part->rows,
                                 .scale = (double)terms,
                                 .first = part->first,
                                 .all = part->all};
    return terms > 0 && tg_call_observes(call, slot)
               ? sink->layer(sink->ctx, (size_t)call->op->weight[slot], &layer)
               : TG_OK;
}

tg_status tg_call_tile(const tg_call *call, int slot, size_t row, size_t rows, const float *tile)
{
    const tg_sink *sink = &call->run->sink;
    return tg_call_trains(call, slot) ? sink->tile(sink->ctx, (size_t)call->op->weight[slot], row, rows, tile) : TG_OK;
}

tg_status tg_call_rows(const tg_call *call, int slot, const uint32_t *index, size_t rows, const float *tile)
{
    const tg_sink *sink = &call->run->sink;
    return tg_call_trains(call, slot) ? sink->rows(sink->ctx, (size_t)call->op->weight[slot], index, rows, tile) : TG_OK;
}

tg_status tg_call_reject(const tg_call *call, int slot)
{
    const tg_sink *sink = &call->run->sink;
    return tg_call_trains(call, slot) ? sink->reject(sink->ctx, (size_t)call->op->weight[slot]) : TG_OK;
}

tg_status tg_call_complete(const tg_call *call, int slot)
{
    const tg_sink *sink = &call->run->sink;
    if (!call->step->completes[slot] || !tg_call_trains(call, slot))
        return TG_OK;
    return sink->complete(sink->ctx, (size_t)call->op->weight[slot]);
}

static void *place_of(const tg_graph *graph, int x, int life)
{
    return x == TG_NONE ? NULL : (char *)graph->arena + graph->tensor[x].offset[life];
}

static void resolve(tg_call *call)
{
    const tg_graph *graph = call->graph;
    const tg_step *step = call->step;
    const tg_op *op = call->op;
    const bool backward = step->phase == TG_BACKWARD;
    for (int i = 0; i < TG_OP_INPUTS; i++) {
        if (op->input[i] == TG_NONE)
            continue;
        call->in_shape[i] = &graph->tensor[op->input[i]];
        if (!backward || (op->layer->keeps & TG_KEEPS_INPUT(i)) != 0)
            call->in[i] = place_of(graph, op->input[i], step->life);
        if (step->gives[i])
            call->din[i] = place_of(graph, graph->tensor[op->input[i]].gradient, 0);
        call->add[i] = step->add[i];
    }
    for (int i = 0; i < TG_OP_OUTPUTS; i++) {
        if (op->output[i] == TG_NONE)
            continue;
        call->out_shape[i] = &graph->tensor[op->output[i]];
        if (!backward || (op->layer->keeps & TG_KEEPS_OUTPUT(i)) != 0)
            call->out[i] = place_of(graph, op->output[i], step->life);
        if (backward)
            call->dout[i] = place_of(graph, graph->tensor[op->output[i]].gradient, 0);
    }
    for (int i = 0; i < TG_OP_SAVED; i++)
        call->saved[i] = place_of(graph, op->saved[i], step->life);
    call->scratch = (char *)graph->arena + step->scratch;
}

static tg_status check_run(const tg_graph *graph, const tg_run *run)
{
    if (graph->arena == NULL)
        return tg_fail(TG_ESTATE, "a graph must be planned and allocated before it is run");
    if (graph->mode != TG_GENERATE)
        return TG_OK;
    const tg_cache *cache = run->cache;
    if (cache != NULL && (cache->layers < graph->attentions || cache->used > cache->capacity ||
                          graph->time > cache->capacity - cache->used))
        return tg_fail(TG_EINVAL, "the cache has %zu of %zu positions used and cannot take %zu more", cache->used,
                       cache->capacity, graph->time);
    return TG_OK;
}

/* Weights that lie in a file need not stay in memory until they are used again. */
static void rest_weights(const tg_graph *graph, const tg_op *op)
{
    for (int slot = 0; slot < TG_OP_WEIGHTS; slot++) {
        const tg_param *w = tg_op_weight(graph, op, slot);
        if (w != NULL && w->mapped)
            tg_map_rest(w->data, w->rows * w->cols * tg_format_bytes(w->format));
    }
}

tg_status tg_graph_run(tg_graph *graph, struct tg_run *run)
{
    tg_status status = check_run(graph, run);
    for (size_t s = 0; s < graph->steps && status == TG_OK; s++) {
        const tg_step *step = &graph->step[s];
        const tg_op *op = &graph->op[step->op];
        tg_call call = {.op = op, .step = step, .graph = graph, .run = run};
        resolve(&call);
        status = step->phase == TG_FORWARD ? op->layer->forward(&call) : op->layer->backward(&call);
        rest_weights(graph, op);
        if (status == TG_OK && run->look != NULL && step->phase == TG_FORWARD && step->life == 0)
            run->look(run->look_ctx, &call);
        if (status != TG_OK || !tg_graph_goes_back(graph) || !op->layer->is_loss)
            continue;
        if (!isfinite(run->loss))
            return run->sink.tile == NULL ? TG_OK : run->sink.reject(run->sink.ctx, TG_ALL_PARAMS);
        if (run->spared)
            return TG_OK;
    }
    if (status == TG_OK && graph->mode == TG_GENERATE && run->cache != NULL)
        run->cache->used += graph->time;
    return status;
}
