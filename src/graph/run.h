/* graph/run.h -- what one run of a graph reads and yields, and what a layer sees of it. */
#ifndef TG_GRAPH_RUN_H
#define TG_GRAPH_RUN_H

#include "base/random.h"
#include "graph/graph.h"
#include "tiger/optim.h"

/* Where weight gradients go: the optimizer in training, arrays in tests and `tiger check`. The functions have the
 * meaning of tg_optim_accumulate, _accumulate_rows, _reject, _complete; `weight` is an index into the model's weights.
 * `tile` NULL: no weight's gradient is wanted, and none is made. */
typedef struct tg_sink {
    tg_status (*tile)(void *ctx, size_t weight, size_t row, size_t rows, const float *tile);
    tg_status (*rows)(void *ctx, size_t weight, const uint32_t *index, size_t rows, const float *tile);
    tg_status (*reject)(void *ctx, size_t weight); /* TG_ALL_PARAMS: every weight */
    tg_status (*complete)(void *ctx, size_t weight);
    void *ctx;
    /* tg_optim_observe_layer, of the layers whose weights `observes` names; NULL: nobody wants their rows. */
    tg_status (*layer)(void *ctx, size_t weight, const tg_layer_rows *rows);
    bool (*observes)(void *ctx, size_t weight);
} tg_sink;

struct tg_call;

/* Keys and values of past positions, for TG_GENERATE: per attention op (kv_heads, capacity, head_dim) fp32 each; gau's
 * values have another width than its keys. */
typedef struct tg_cache {
    float **key, **value; /* [attention op] */
    size_t layers, capacity, used;
} tg_cache;

typedef struct tg_run {
    const uint32_t *tokens;  /* (B,T) */
    const int32_t *targets;  /* (B,T); negative: ignored. NULL in TG_GENERATE */
    const float *features;   /* (B*T, F): of samples, instead of tokens; finite */
    float *dfeatures;        /* TG_ATTACK: (B*T, F), written: the loss's gradient */
    const float *values;     /* (B*T, K): what a regression is to tell, beside targets, which say what counts */
    uint64_t seed, update;   /* keys of dropout */
    uint32_t micro_step;
    double loss_scale;       /* gradients are times this; 0 means 1. The loss itself is not */
    tg_sink sink;            /* TG_TRAIN */
    bool draws_labels;       /* TG_TRAIN: targets that count are replaced by draws from the model's own output */
    bool (*wants)(void *ctx, double loss); /* TG_TRAIN: asked once the loss is known, before the first tile; false ends
                                              the run there, without a gradient. NULL: always */
    void *wants_ctx;
    bool spared;             /* written with `wants`: it said no */
    void (*look)(void *ctx, const struct tg_call *call); /* shown every op whose forward is done; NULL: nobody looks */
    void *look_ctx;
    const uint32_t *lengths; /* (B): tokens of each sequence, the rest is padding that attention does not see, unless it
                                is causal: then nothing sees what comes later anyway. NULL: all of T; 0 counts as 1 */
    tg_cache *cache;         /* TG_GENERATE: appended to; NULL: all there is to see is in this run */
    float *logits;           /* TG_GENERATE: (vocab), of the last position, written, */
    size_t places_back;      /* or of the one that many before it */
    double loss;             /* written: mean over the targets that count, in nats; 0 when none does */
    double loss_sum;         /* written: their sum */
    size_t targets_counted;  /* written */
    bool wants_hits;         /* TG_EVALUATE: the targets that are the model's first choice are to be counted */
    size_t hits;             /* written with `wants_hits`, */
    int32_t *choices;        /* (B,T): the model's first choices, where they are wanted too; NULL: they are not */
} tg_run;

/* What a layer's forward and backward see: pointers resolved, shapes at hand. */
typedef struct tg_call {
    const tg_op *op;
    const tg_step *step;
    const tg_graph *graph;
    tg_run *run;
    const tg_tensor *in_shape[TG_OP_INPUTS], *out_shape[TG_OP_OUTPUTS];
    void *in[TG_OP_INPUTS];    /* NULL in backward when the layer does not keep it */
    void *out[TG_OP_OUTPUTS];  /* likewise */
    void *saved[TG_OP_SAVED];
    const void *dout[TG_OP_OUTPUTS]; /* NULL: nobody differentiates this output */
    void *din[TG_OP_INPUTS];   /* NULL: nobody wants it */
    bool add[TG_OP_INPUTS];    /* din += instead of din = */
    void *scratch;             /* op->scratch_bytes[phase] bytes, 64-byte aligned, contents undefined */
} tg_call;

/* For layers in backward: op->weight[slot]'s gradient, or part of it, to the sink. All do nothing where the slot is
 * empty or its weight frozen.
 *
 * Order that layers keep: first compute every din, then per slot hand over all tiles and say tg_call_complete, which
 * may change the weight on the spot (gradients=released). The last user of a shared weight completes it. */
bool tg_call_trains(const tg_call *call, int slot);
tg_status tg_call_tile(const tg_call *call, int slot, size_t row, size_t rows, const float *tile);
tg_status tg_call_rows(const tg_call *call, int slot, const uint32_t *index, size_t rows, const float *tile);
tg_status tg_call_reject(const tg_call *call, int slot);
tg_status tg_call_complete(const tg_call *call, int slot);
/* Rows that a layer hands over: `rows` from `first` on, of `all` that the batch has. */
typedef struct tg_layer_part {
    size_t first, rows, all;
} tg_layer_part;

/* Whether the sink wants the rows of the layer whose matrix is op->weight[slot]; and these rows to it, which are
 * `inputs` (rows,in) and the gradient of the output (rows,out), in one format; all parts in their order, finite where
 * they are several. */
bool tg_call_observes(const tg_call *call, int slot);
tg_status tg_call_layer(const tg_call *call, int slot, const void *inputs, const void *gradients, tg_format format,
                        const tg_layer_part *part);

#endif
