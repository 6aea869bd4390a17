/* graph/lives.c -- when each tensor is alive, and so where it lies.
 *
 * A tensor lives from the step that writes it to the last that reads it. Inside a recomputed group it has two lives, one
 * for the forward pass and one from its recomputation on. The scratch of a step is one more block, alive at that step
 * alone, so the space of gradients not yet born serves as scratch. */
#include "base/memory.h"
#include "graph/pack.h"
#include "graph/plan.h"

#define UNUSED SIZE_MAX

typedef struct lives {
    tg_graph *graph;
    tg_block_life *life; /* [2 * tensor + life], then [2 * tensors + step]: scratch */
    const bool *inner;   /* [tensor]: recomputed into a place of its own */
} lives;

static void touch(lives *l, int x, int life, size_t step)
{
    tg_block_life *b = &l->life[2 * (size_t)x + (size_t)(l->inner[x] ? life : 0)];
    if (b->first == UNUSED)
        b->first = step;
    b->last = step;
}

static void touch_forward(lives *l, const tg_op *op, int life, size_t s)
{
    for (int i = 0; i < TG_OP_INPUTS; i++)
        if (op->input[i] != TG_NONE)
            touch(l, op->input[i], life, s);
    for (int i = 0; i < TG_OP_OUTPUTS; i++)
        if (op->output[i] != TG_NONE)
            touch(l, op->output[i], life, s);
    for (int i = 0; i < TG_OP_SAVED; i++)
        if (op->saved[i] != TG_NONE)
            touch(l, op->saved[i], life, s);
}

static void touch_backward(lives *l, const tg_step *step, size_t s)
{
    const tg_graph *graph = l->graph;
    const tg_op *op = &graph->op[step->op];
    for (int i = 0; i < TG_OP_INPUTS; i++) {
        if (op->input[i] == TG_NONE)
            continue;
        if ((op->layer->keeps & TG_KEEPS_INPUT(i)) != 0)
            touch(l, op->input[i], step->life, s);
        if (step->gives[i])
            touch(l, graph->tensor[op->input[i]].gradient, 0, s);
    }
    for (int i = 0; i < TG_OP_OUTPUTS; i++) {
        if (op->output[i] == TG_NONE)
            continue;
        if ((op->layer->keeps & TG_KEEPS_OUTPUT(i)) != 0)
            touch(l, op->output[i], step->life, s);
        if (graph->tensor[op->output[i]].gradient != TG_NONE)
            touch(l, graph->tensor[op->output[i]].gradient, 0, s);
    }
    for (int i = 0; i < TG_OP_SAVED; i++)
        if (op->saved[i] != TG_NONE)
            touch(l, op->saved[i], step->life, s);
}

static tg_status place(lives *l)
{
    tg_graph *graph = l->graph;
    const size_t n = 2 * graph->tensors;
    for (size_t i = 0; i < n; i++) {
        tg_block_life *b = &l->life[i];
        if (b->first == UNUSED)
            *b = (tg_block_life){0}; /* never touched: needs no place */
        else
            b->bytes = graph->tensor[i / 2].bytes;
    }
    graph->scratch_bytes = 0;
    for (size_t s = 0; s < graph->steps; s++) {
        const tg_step *step = &graph->step[s];
        const size_t bytes = tg_round_up(graph->op[step->op].scratch_bytes[step->phase], TG_CACHE_LINE);
        l->life[n + s] = (tg_block_life){.bytes = bytes, .first = s, .last = s};
        graph->scratch_bytes = bytes > graph->scratch_bytes ? bytes : graph->scratch_bytes;
    }
    const tg_status status = tg_pack(l->life, n + graph->steps, &graph->arena_bytes);
    if (status != TG_OK)
        return status;
    for (size_t x = 0; x < graph->tensors; x++) {
        graph->tensor[x].offset[0] = l->life[2 * x].offset;
        graph->tensor[x].offset[1] = l->life[2 * x + (l->inner[x] ? 1 : 0)].offset;
    }
    for (size_t s = 0; s < graph->steps; s++)
        graph->step[s].scratch = l->life[n + s].offset;
    return TG_OK;
}

tg_status tg_plan_lives(tg_graph *graph, const bool *inner)
{
    const size_t blocks = 2 * graph->tensors + graph->steps;
    lives l = {.graph = graph, .life = tg_heap_alloc(blocks, sizeof *l.life), .inner = inner};
    if (l.life == NULL)
        return tg_no_memory("planning the arena", blocks * sizeof *l.life);
    for (size_t i = 0; i < blocks; i++)
        l.life[i].first = UNUSED;
    for (size_t s = 0; s < graph->steps; s++) {
        const tg_step *step = &graph->step[s];
        if (step->phase == TG_FORWARD)
            touch_forward(&l, &graph->op[step->op], step->life, s);
        else
            touch_backward(&l, step, s);
    }
    const tg_status status = place(&l);
    tg_heap_free(l.life);
    return status;
}
