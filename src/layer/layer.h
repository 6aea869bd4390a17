/* layer/layer.h -- what a layer is: one const descriptor, one file, forward and backward together, one line in layers.inc.
 *
 * Activations are (rows, cols) = (tokens, features) in the graph's format (fp32 or bf16); statistics, softmax and loss are
 * fp32 in every precision. Layer files are compiled once per instruction set. A layer works on the calling thread and
 * with OpenMP; what it computes does not depend on the number of threads, products from the library apart. */
#ifndef TG_LAYER_LAYER_H
#define TG_LAYER_LAYER_H

#include "base/isa.h"
#include "graph/graph.h"
#include "graph/run.h"
#include "model/model.h"
#include "tiger/engine/model.h"

/* What backward reads besides saved tensors and output gradients: those tensors live until then. */
#define TG_KEEPS_INPUT(i) (1u << (i))
#define TG_KEEPS_OUTPUT(i) (1u << (8 + (i)))

typedef struct tg_layer {
    tg_layer_info info;
    unsigned keeps;
    bool passes_gradient; /* d input[i] = d output[0] for every input: the planner lets them share memory where that is
                             right, and calls backward for the inputs where it is not */
    bool is_loss;         /* ends the graph: where a run goes back its backward does loss and gradients in one go */
    bool reads_samples;   /* in TG_ATTACK its backward hands the gradient of the run's features out */
    /* Called by tg_graph_plan once the op is complete: makes saved tensors, sets scratch_bytes, adds to flops. The op
     * stays where it is; pointers to tensors do not. NULL: nothing to do. */
    tg_status (*plan)(tg_graph *graph, tg_op *op);
    tg_status (*forward)(const tg_call *call);
    tg_status (*backward)(const tg_call *call); /* writes din, hands weight gradients to the sink: graph/run.h */
} tg_layer;

/* What the optimizer is told of op->weight[slot], data included; NULL when the slot is empty. */
static inline const tg_param *tg_op_weight(const tg_graph *graph, const tg_op *op, int slot)
{
    return op->weight[slot] == TG_NONE ? NULL : &graph->model->weight[op->weight[slot]].param;
}

/* The layers of layers.inc: TG_LAYER_LINEAR, ... */
typedef enum tg_layer_id {
#define TG_LAYER(ID, name) TG_LAYER_##ID,
#include "layer/layers.inc"
#undef TG_LAYER
    TG_LAYER_COUNT
} tg_layer_id;

typedef struct tg_layer_table {
    const tg_layer *layer[TG_LAYER_COUNT];
} tg_layer_table;

TG_ISA_DECLARE(const tg_layer_table, tg_layers);

/* The layer as built for this process's instruction set. */
static inline const tg_layer *tg_layer_get(tg_layer_id id) { return TG_ISA_PICK(tg_layers)->layer[id]; }

#endif
