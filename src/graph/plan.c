/* graph/plan.c -- the fixed order of work: forward, then the tape backward, with recomputed groups of blocks run again
 * just before their backward.
 *
 * recompute=block throws away all that lies inside a block of the model after its forward pass and makes it again from
 * the block's inputs (Chen et al. 2016, arXiv:1604.06174); recompute=sqrt does so for groups of about sqrt(blocks)
 * blocks. What is run again is exactly what ran before, so results have the same bits. */
#include "graph/plan.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

static tg_status plan_layers(tg_graph *graph)
{
    if (graph->open_block != TG_NONE)
        tg_graph_refuse(graph, "block %d of the model was not closed", graph->open_block);
    if (graph->ops == 0)
        tg_graph_refuse(graph, "the graph has no operations");
    if (graph->ops > 0 && tg_graph_goes_back(graph) && !graph->op[graph->ops - 1].layer->is_loss)
        tg_graph_refuse(graph, "a graph with gradients must end with its loss, not with '%s'",
                        graph->op[graph->ops - 1].name);
    for (size_t o = 0; o < graph->ops && graph->failed == TG_OK; o++) {
        tg_op *op = &graph->op[o];
        for (int i = 0; i < TG_OP_OUTPUTS; i++)
            if (op->output[i] != TG_NONE)
                graph->tensor[op->output[i]].maker = (int)o;
        const tg_status status = op->layer->plan == NULL ? TG_OK : op->layer->plan(graph, op);
        if (status != TG_OK)
            return status;
        for (int i = 0; i < TG_OP_SAVED && graph->failed == TG_OK; i++)
            if (op->saved[i] != TG_NONE)
                graph->tensor[op->saved[i]].maker = (int)o;
    }
    return graph->failed == TG_OK ? TG_OK : tg_fail(graph->failed, "%s", graph->failure);
}

/* Blocks that follow each other without anything between them form groups of about the root of their number. */
static void group_blocks(const tg_graph *graph, tg_op_plan *plan, tg_recompute recompute)
{
    const int size = recompute == TG_RECOMPUTE_SQRT ? (int)ceil(sqrt((double)graph->blocks)) : 1;
    int group = -1, in_group = 0;
    for (size_t o = 0; o < graph->ops; o++) {
        const int block = graph->op[o].block, before = o == 0 ? TG_NONE : graph->op[o - 1].block;
        plan[o].group = TG_NONE;
        if (recompute == TG_RECOMPUTE_NONE || !tg_graph_goes_back(graph) || block == TG_NONE)
            continue;
        if (before == TG_NONE || (block != before && in_group == size)) {
            group++;
            in_group = 0;
        }
        in_group += block != before;
        plan[o].group = group;
    }
}

/* True when every consumer of tensor x is in its maker's group: it need not survive the forward pass. */
static void find_inner(const tg_graph *graph, const tg_op_plan *plan, bool *inner)
{
    for (size_t x = 0; x < graph->tensors; x++)
        inner[x] = graph->tensor[x].maker != TG_NONE && plan[graph->tensor[x].maker].group != TG_NONE;
    for (size_t o = 0; o < graph->ops; o++)
        for (int i = 0; i < TG_OP_INPUTS; i++) {
            const int x = graph->op[o].input[i];
            if (x != TG_NONE && inner[x] && plan[graph->tensor[x].maker].group != plan[o].group)
                inner[x] = false;
        }
}

/* Which ops must run again: makers of inner tensors that backward reads, and of what those are made from. */
static void find_reruns(const tg_graph *graph, tg_op_plan *plan, const bool *inner, bool *needed)
{
    for (size_t o = 0; o < graph->ops; o++) {
        if (!tg_plan_steps_back(graph, plan, o))
            continue;
        const tg_op *op = &graph->op[o];
        for (int i = 0; i < TG_OP_INPUTS; i++)
            if (op->input[i] != TG_NONE && (op->layer->keeps & TG_KEEPS_INPUT(i)) != 0)
                needed[op->input[i]] = true;
        for (int i = 0; i < TG_OP_OUTPUTS; i++)
            if (op->output[i] != TG_NONE && (op->layer->keeps & TG_KEEPS_OUTPUT(i)) != 0)
                needed[op->output[i]] = true;
        for (int i = 0; i < TG_OP_SAVED; i++)
            if (op->saved[i] != TG_NONE)
                needed[op->saved[i]] = true;
    }
    for (size_t o = graph->ops; o-- > 0;) {
        const tg_op *op = &graph->op[o];
        if (plan[o].group == TG_NONE)
            continue;
        for (int i = 0; i < TG_OP_OUTPUTS; i++)
            plan[o].rerun |= op->output[i] != TG_NONE && inner[op->output[i]] && needed[op->output[i]];
        for (int i = 0; i < TG_OP_SAVED; i++)
            plan[o].rerun |= op->saved[i] != TG_NONE && needed[op->saved[i]];
        for (int i = 0; i < TG_OP_INPUTS && plan[o].rerun; i++)
            if (op->input[i] != TG_NONE)
                needed[op->input[i]] = true;
    }
}

static void add_step(tg_graph *graph, size_t op, tg_phase phase, int life)
{
    graph->step[graph->steps++] = (tg_step){.op = (int)op, .phase = phase, .life = life};
}

static void order_steps(tg_graph *graph, const tg_op_plan *plan)
{
    graph->steps = 0;
    for (size_t o = 0; o < graph->ops; o++)
        if (!tg_graph_goes_back(graph) || !graph->op[o].layer->is_loss)
            add_step(graph, o, TG_FORWARD, 0);
    graph->forward_steps = graph->steps;
    if (!tg_graph_goes_back(graph))
        return;
    int open = TG_NONE;
    for (size_t o = graph->ops; o-- > 0;) {
        if (!tg_plan_steps_back(graph, plan, o))
            continue;
        if (plan[o].group != TG_NONE && plan[o].group != open) {
            size_t first = o;
            while (first > 0 && plan[first - 1].group == plan[o].group)
                first--;
            for (size_t r = first; r < graph->ops && plan[r].group == plan[o].group; r++)
                if (plan[r].rerun)
                    add_step(graph, r, TG_FORWARD, 1);
        }
        open = plan[o].group;
        add_step(graph, o, TG_BACKWARD, 1);
    }
}

/* First writers write, later ones add; the last user of a weight completes it. */
static void mark_steps(tg_graph *graph, const tg_op_plan *plan, bool *written)
{
    for (size_t s = graph->forward_steps; s < graph->steps; s++) {
        tg_step *step = &graph->step[s];
        const tg_op *op = &graph->op[step->op];
        for (int i = 0; i < TG_OP_INPUTS && step->phase == TG_BACKWARD; i++) {
            step->gives[i] = tg_plan_gives(graph, plan, (size_t)step->op, i);
            if (!step->gives[i])
                continue;
            bool *once = &written[graph->tensor[op->input[i]].gradient];
            step->add[i] = *once;
            *once = true;
        }
        for (int i = 0; i < TG_OP_WEIGHTS && step->phase == TG_BACKWARD; i++) {
            bool later = op->weight[i] == TG_NONE;
            for (size_t t = s + 1; t < graph->steps && !later; t++)
                for (int k = 0; k < TG_OP_WEIGHTS && graph->step[t].phase == TG_BACKWARD; k++)
                    later = later || graph->op[graph->step[t].op].weight[k] == op->weight[i];
            step->completes[i] = !later;
        }
    }
}

tg_status tg_graph_plan(tg_graph *graph, tg_recompute recompute)
{
    if (graph->steps != 0)
        return tg_fail(TG_ESTATE, "the graph is planned already");
    tg_status status = plan_layers(graph);
    if (status != TG_OK)
        return status;
    tg_op_plan *plan = tg_heap_alloc(graph->ops, sizeof *plan);
    bool *flags = NULL;
    if (plan == NULL) {
        status = tg_no_memory("planning", graph->ops * sizeof *plan);
        goto done;
    }
    if (tg_graph_goes_back(graph) && (status = tg_plan_gradients(graph, plan)) != TG_OK)
        goto done;
    const size_t n = graph->tensors;
    flags = tg_heap_alloc(3 * n, sizeof *flags);
    graph->step = tg_heap_alloc(3 * graph->ops, sizeof *graph->step); /* forward, again, backward */
    if (flags == NULL || graph->step == NULL) {
        status = tg_no_memory("planning", 3 * graph->ops * sizeof *graph->step);
        goto done;
    }
    group_blocks(graph, plan, recompute);
    find_inner(graph, plan, flags);
    find_reruns(graph, plan, flags, flags + n);
    order_steps(graph, plan);
    mark_steps(graph, plan, flags + 2 * n);
    status = tg_plan_lives(graph, flags);
done:
    if (status != TG_OK) {
        tg_heap_free(graph->step);
        graph->step = NULL;
        graph->steps = 0;
    }
    tg_heap_free(plan);
    tg_heap_free(flags);
    return status;
}
