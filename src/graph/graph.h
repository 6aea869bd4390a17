/* graph/graph.h -- a static graph: tensors, the tape of operations, and the plan that lays both into one arena.
 *
 * A model's builder appends operations for one batch shape; tg_graph_plan then fixes the order of all work (forward,
 * backward, recomputation), the life of every tensor, and its offset in one arena. Running is a walk over that list: no
 * allocation, no decisions.
 *
 * A gradient tensor exists for every activation that needs one. Weight gradients are never stored here: layers hand tiles
 * of them to the sink of the run (graph/run.h). */
#ifndef TG_GRAPH_GRAPH_H
#define TG_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fail.h"
#include "graph/convolution.h"
#include "tiger/format.h"
#include "tiger/status.h"

#define TG_OP_INPUTS 4
#define TG_OP_OUTPUTS 2
#define TG_OP_WEIGHTS 4
#define TG_OP_SAVED 2
#define TG_NONE (-1)

struct tg_layer;
struct tg_model;
struct tg_products;
struct tg_run;

typedef enum tg_mode {
    TG_TRAIN,    /* loss and gradients */
    TG_EVALUATE, /* loss only; dropout off */
    TG_ATTACK,   /* loss and the gradient of the samples themselves; all else as in evaluation */
    TG_GENERATE  /* logits of the last position, keys and values cached (batch 1) */
} tg_mode;

typedef enum tg_recompute { TG_RECOMPUTE_NONE, TG_RECOMPUTE_BLOCK, TG_RECOMPUTE_SQRT } tg_recompute;

/* An activation, a saved statistic, or a gradient. */
typedef struct tg_tensor {
    tg_format format;
    size_t rows, cols;   /* (tokens, features): row-major */
    size_t height, width; /* of images: rows are the places of batch images, cols their channels; 0: no images */
    size_t bytes;        /* rounded up to a cache line */
    int maker;           /* the op that writes it in forward; of a gradient: TG_NONE */
    int gradient;        /* tensor id of its gradient, or TG_NONE; several tensors may share one */
    size_t offset[2];    /* in the arena: during forward, and during backward (differ under recomputation) */
} tg_tensor;

typedef struct tg_op {
    const struct tg_layer *layer;
    const char *name;              /* "h.3.attn"; for messages */
    int input[TG_OP_INPUTS], output[TG_OP_OUTPUTS], saved[TG_OP_SAVED]; /* tensor ids or TG_NONE */
    int weight[TG_OP_WEIGHTS];     /* indexes into the model's weights or TG_NONE */
    int block;                     /* of the model, or TG_NONE outside of all */
    size_t scratch_bytes[2];       /* forward, backward */
    union {                        /* the layer's own attributes; see the layer's file */
        struct { bool in_by_out; } linear;                       /* W is (in, out) instead of (out, in) */
        struct { int kind; } activation;
        struct { double eps; size_t groups; } norm;              /* groups: of channels, of group norm */
        struct { double rate; uint32_t index; } dropout;         /* index: which dropout of the graph */
        struct { size_t heads, kv_heads, head_dim; double rope_theta; const struct tg_rope_scaling *rope; bool causal;
                 size_t cache; int threads; } attention;
        struct { double rope_theta; bool causal; int kind; size_t cache; int threads; } gau;
        struct { double label_smoothing; } head;
        tg_window window;                                        /* of what slides over images */
        struct { tg_window window; int kind; } pool;
    } as;
} tg_op;

typedef enum tg_phase { TG_FORWARD, TG_BACKWARD } tg_phase;

/* One entry of the fixed order of work. `life` picks tensor.offset of what the op reads and writes. */
typedef struct tg_step {
    int op;
    tg_phase phase;
    int life;                      /* 0: forward proper; 1: recomputation and backward */
    bool gives[TG_OP_INPUTS];      /* backward: computes the input's gradient (not when it shares the output's) */
    bool add[TG_OP_INPUTS];        /* ... by adding to it, because an earlier step has written it */
    bool completes[TG_OP_WEIGHTS]; /* backward: the last step that contributes to the weight's gradient */
    size_t scratch;                /* offset of the op's scratch in the arena */
} tg_step;

typedef struct tg_graph {
    struct tg_model *model;
    tg_mode mode;
    tg_format format;    /* of activations */
    size_t batch, time;  /* B, T */
    tg_tensor *tensor;
    size_t tensors, tensor_room;
    tg_op *op;
    size_t ops, op_room;
    tg_step *step;
    size_t steps, forward_steps; /* steps before forward_steps are the forward pass */
    int blocks, open_block;
    bool training_differs; /* the loss in training is another function than in evaluation */
    bool mixes_samples;  /* a sample's loss in training depends on the others of its batch */
    char advice[256];    /* what a builder has to tell the user of this shape; "" for nothing */
    size_t attentions, dropouts; /* how many of each: their cache's and their stream's index */
    size_t arena_bytes;  /* tensors and scratch */
    size_t scratch_bytes; /* the largest scratch of one step, part of arena_bytes */
    size_t library_bytes; /* what the product library takes beside the arena while it works, at most */
    double flops;        /* of the products of one run (forward, backward, without recomputation) */
    void *arena;         /* by tg_graph_allocate or tg_graph_share */
    bool borrowed;       /* the arena is another graph's */
    struct tg_products *products; /* graph/product.h */
    tg_convolutions *convolutions;
    tg_status failed;    /* the first failure while building; tg_graph_plan returns it with `failure` as its message */
    char failure[256];
} tg_graph;

/* Whether a run goes back from the loss. */
static inline bool tg_graph_goes_back(const tg_graph *graph)
{
    return graph->mode == TG_TRAIN || graph->mode == TG_ATTACK;
}

/* The work of a run, as often as it has that of forward: the gradients of inputs and of weights are as much each. */
static inline double tg_graph_passes(const tg_graph *graph)
{
    return graph->mode == TG_TRAIN ? 3.0 : graph->mode == TG_ATTACK ? 2.0 : 1.0;
}

tg_status tg_graph_create(tg_graph **out, struct tg_model *model, tg_mode mode, tg_format activations, size_t batch,
                          size_t time);
void tg_graph_destroy(tg_graph *graph);

/* ---- for model builders (through the functions of layer/layers.h) ---- */

/* A new tensor (rows, cols) in `format`; its id, or TG_NONE when there is no memory (remembered: the plan fails). */
int tg_graph_tensor(tg_graph *graph, tg_format format, size_t rows, size_t cols);
/* Appends an operation with all ids TG_NONE; NULL when there is no memory (remembered). `name` is copied. The pointer
 * is good until the next call: make the tensors first. */
tg_op *tg_graph_op(tg_graph *graph, const struct tg_layer *layer, const char *name);
/* Remembers a mistake of the builder (shapes that do not fit); tg_graph_plan will report the first. */
void tg_graph_refuse(tg_graph *graph, const char *format, ...) TG_PRINTF(2, 3);
/* Remembers what a user should know of the graph; the first that is said. */
void tg_graph_advise(tg_graph *graph, const char *format, ...) TG_PRINTF(2, 3);
/* Brackets what recomputation may throw away and make again: all between is one block. */
void tg_graph_block_begin(tg_graph *graph);
void tg_graph_block_end(tg_graph *graph);

/* ---- planning and running ---- */

tg_status tg_graph_plan(tg_graph *graph, tg_recompute recompute);
tg_status tg_graph_allocate(tg_graph *graph); /* the arena, on huge pages */
/* Instead: lays the graph into the arena of `lender`, which is allocated, outlives it and never runs at the same time;
 * into an arena of its own where that is too small. */
tg_status tg_graph_share(tg_graph *graph, const tg_graph *lender);
/* Forward, and in TG_TRAIN and TG_ATTACK backward unless the loss is not finite (then everything is rejected at the
 * run's sink) or the run does not want its gradient. In TG_GENERATE the cache's `used` is advanced by the graph's time.
 */
tg_status tg_graph_run(tg_graph *graph, struct tg_run *run);

#endif
