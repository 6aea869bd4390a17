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
#include "tiger/engine/model.h"

/* What backward reads besides saved tensors and output gradients: those tensors live until then. */
#define TG_KEEPS_INPUT(i) (1u << (i))
#define TG_KEEPS_OUTPUT(i) (1u << (8 + (i)))

typedef struct tg_layer {
    tg_layer_info info;
    unsigned keeps;
    bool passes_gradient; /* d input[i] is d output[0] itself, for every input: no backward, the tensors are one */
    bool is_loss;         /* ends the graph: in TG_TRAIN its backward does loss and gradients in one go */
    /* Called by tg_graph_plan once the op is complete: makes saved tensors, sets scratch_bytes, adds to flops. */
    tg_status (*plan)(tg_graph *graph, tg_op *op);
    tg_status (*forward)(const tg_call *call);
    tg_status (*backward)(const tg_call *call); /* writes din, hands weight gradients to call->run->sink */
} tg_layer;

#endif
