/* graph/plan.h -- the parts of tg_graph_plan. */
#ifndef TG_GRAPH_PLAN_H
#define TG_GRAPH_PLAN_H

#include "graph/graph.h"
#include "layer/layer.h"

/* What the planner works out per operation. */
typedef struct tg_op_plan {
    bool active;               /* takes part in backward */
    bool shares[TG_OP_INPUTS]; /* the input's gradient is the output's, in one place */
    int group;                 /* what is recomputed together, or TG_NONE */
    bool rerun;                /* recomputation runs it again */
} tg_op_plan;

/* Decides which operations take part in backward and which tensors get gradients, and makes those: tensor.gradient.
 * Where an op passes its gradient through, tensors share one if no step could see a difference. */
tg_status tg_plan_gradients(tg_graph *graph, tg_op_plan *plan);

/* True when the op's backward has something to compute for input i. */
static inline bool tg_plan_gives(const tg_graph *graph, const tg_op_plan *plan, size_t op, int i)
{
    const int x = graph->op[op].input[i];
    return plan[op].active && x != TG_NONE && graph->tensor[x].gradient != TG_NONE && !plan[op].shares[i];
}

/* True when backward has a step for the op. */
static inline bool tg_plan_steps_back(const tg_graph *graph, const tg_op_plan *plan, size_t op)
{
    if (!plan[op].active || !graph->op[op].layer->passes_gradient)
        return plan[op].active;
    for (int i = 0; i < TG_OP_INPUTS; i++)
        if (tg_plan_gives(graph, plan, op, i))
            return true;
    return false;
}

/* Lives of all tensors and of each step's scratch, and from them all offsets. inner[x]: tensor x is made and used within
 * one recomputed group only, so it has two lives. */
tg_status tg_plan_lives(tg_graph *graph, const bool *inner);

#endif
