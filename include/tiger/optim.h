/* tiger/optim.h -- optimizers: weights, states and gradients of any mix of number formats, updated in place.
 *
 * Life of an optimizer:
 *
 *     tg_optim *o;
 *     tg_optim_create(&o, "tiger", NULL);
 *     tg_optim_set(o, TG_ALL_GROUPS, "lr", "1e-3");
 *     tg_optim_add(o, &(tg_param){.name = "w", .data = w, .format = TG_BF16, .rows = r, .cols = c}, NULL);  ...
 *     tg_optim_start(o);                                       the states are allocated; nothing is from here on
 *
 * Then, per update, either gradients as arrays:
 *
 *     tg_optim_step(o, grads);
 *
 * or tiles of gradients, as they are made, over k micro-steps; for rules that can, a tile goes straight into the
 * momentum and no gradient array exists (Tiger; Su Jianlin 2023, spaces.ac.cn/archives/9512):
 *
 *     tg_optim_begin(o, k);
 *     k times:  tg_optim_accumulate(o, param, row, rows, tile) ...;  tg_optim_micro_end(o);
 *     tg_optim_end(o);
 *
 * Results have the same bits on any number of threads and any instruction set. An optimizer may be used by one thread
 * at a time; different optimizers are independent. */
#ifndef TIGER_OPTIM_H
#define TIGER_OPTIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiger/format.h"
#include "tiger/memory.h"
#include "tiger/option.h"
#include "tiger/safetensors.h"
#include "tiger/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_optim tg_optim;

#define TG_ALL_GROUPS (-1)

/* What a tensor is to the model. Rules may treat roles differently; nothing guesses them from names. */
typedef enum tg_role {
    TG_MATRIX,    /* kernels of linear and convolution layers, tied embeddings */
    TG_EMBEDDING, /* tables of which a batch touches some rows */
    TG_BIAS,      /* biases and norm beta, centred at 0 */
    TG_GAIN,      /* norm gamma, centred at 1 */
    TG_ROLE_COUNT
} tg_role;

const char *tg_role_name(tg_role role); /* "matrix", ... */

/* How a linear layer holds its matrix. */
typedef enum tg_layer_form {
    TG_NO_LAYER,         /* none, or one that will hand nothing to tg_optim_observe_layer */
    TG_LAYER_OUT_BY_IN,  /* (out, in): y = x W^T + b */
    TG_LAYER_IN_BY_OUT,  /* (in, out): y = x W + b */
    TG_LAYER_FORM_COUNT
} tg_layer_form;

/* A tensor to train. Shape (rows, cols), row-major and contiguous; a vector is one row, a scalar rows = cols = 1; a
 * kernel of more dimensions has its first as rows. */
typedef struct tg_param {
    const char *name;  /* unique; copied */
    void *data;        /* rows * cols values, aligned to the format's size; the caller keeps it alive and may read it
                          between calls */
    tg_format format;  /* TG_F32, TG_BF16 or TG_F16 */
    size_t rows, cols; /* either may be 0: an empty tensor */
    tg_role role;
    int group;         /* from tg_optim_add_group; 0 exists from the start */
    size_t fan_in;     /* inputs to one output value; 0: cols */
    bool frozen;       /* never changed, needs no state */
    bool many_uses;    /* its gradient is completed only at the end of backward (a tied embedding) */
    bool mapped;       /* data is memory of an allocator with `mapped` set: what has been worked on is let go of */
    tg_layer_form layer; /* of a matrix: rules that work layers (kfac) get that layer's rows by tg_optim_observe_layer */
    const char *bias;  /* with `layer`: the name of the vector that the layer adds; such rules work both as one. NULL:
                          none. Copied */
} tg_param;

/* ---- the family ---------------------------------------------------------------------------------------------- */

typedef enum tg_slot_shape {
    TG_SLOT_FULL,   /* (rows, cols): a value for every weight */
    TG_SLOT_ROW,    /* (rows), fp32 */
    TG_SLOT_COLUMN, /* (cols), fp32 */
    TG_SLOT_SCALAR, /* one double for the tensor */
    TG_SLOT_LEFT,   /* (rows, rows), or (rows, 1) where a rule keeps a diagonal, or none, fp32 */
    TG_SLOT_RIGHT   /* (cols, cols), or (cols, 1), or none, fp32 */
} tg_slot_shape;

/* Tensors that have a slot: a matrix has more than one row and more than one column. Of a rule that works whole matrices:
 * those, and the rest, which the rule embedded in it works. */
typedef enum tg_slot_owner { TG_SLOT_ALL, TG_SLOT_MATRICES, TG_SLOT_VECTORS, TG_SLOT_WHOLE, TG_SLOT_REST } tg_slot_owner;

/* 8 bits a value, a scale for every 256 of them: base/code8.h. */
typedef enum tg_slot_codes { TG_CODES_NONE, TG_CODES_SIGNED, TG_CODES_UNSIGNED } tg_slot_codes;

/* One state of a rule. */
typedef struct tg_slot {
    const char *name; /* as in PyTorch's state_dict: "exp_avg" */
    const char *when; /* the option that must be non-zero for the slot to exist; NULL: always */
    bool needs_range; /* kept in fp32 unless told otherwise: bf16 would lose what the rule lives on */
    tg_slot_shape shape;
    tg_slot_owner owner;
    tg_slot_codes codes; /* of full slots */
} tg_slot;

/* Options of a rule that go together, as somebody published them. What it leaves out keeps its default. */
typedef struct tg_preset {
    const char *name, *source;
    const tg_setting *setting;
    size_t settings;
} tg_preset;

typedef struct tg_rule_info {
    const char *name, *title, *source; /* "lion", one line, paper and algorithm number */
    const char *equations;             /* plain text, a line each */
    const char *when_to_use;
    tg_option_table options;           /* the rule's own; tg_optim_common_options has the rest */
    const tg_preset *presets;
    size_t preset_count;
    const tg_slot *slots;
    size_t slot_count;
    bool folds;                        /* gradients can be folded into slots[0] (with some options) */
    bool matrices;                     /* works whole matrices; the shape of a tensor matters */
    bool observes;                     /* wants estimates of the Hessian's diagonal: tg_optim_observe */
    bool layers;                       /* wants what goes into layers and comes back: tg_optim_observe_layer */
} tg_rule_info;

size_t tg_rule_count(void);
const tg_rule_info *tg_rule_at(size_t index);       /* NULL past the end */
const tg_rule_info *tg_rule_find(const char *name); /* NULL when there is none */

/* A rule's preset by name; TG_ENOTFOUND, naming those that there are. */
tg_status tg_preset_find(const tg_preset **preset, const tg_rule_info *rule, const char *name);

/* Options every rule has: rounding, formats, where gradients go, guard, clipping, seed, threads. */
const tg_option_table *tg_optim_common_options(void);

/* ---- making one ---------------------------------------------------------------------------------------------- */

tg_status tg_optim_create(tg_optim **out, const char *rule, const tg_allocator *allocator);
void tg_optim_destroy(tg_optim *optim); /* NULL is fine; weights and gradients are the caller's */

/* A new group, with the values group 0 has now. */
tg_status tg_optim_add_group(tg_optim *optim, int *group);

/* Sets an option by name in one group or all. A rule's numbers may change at any time between updates; its switches and
 * choices, and the common options (for all groups only), are fixed by tg_optim_start. */
tg_status tg_optim_set(tg_optim *optim, int group, const char *option, const char *text);
tg_status tg_optim_set_number(tg_optim *optim, int group, const char *option, double value);
tg_status tg_optim_get(const tg_optim *optim, int group, const char *option, double *value);

/* Sets the options of a preset, before tg_optim_start; what is set afterwards wins over it. */
tg_status tg_optim_preset(tg_optim *optim, int group, const char *name);

/* Multiplies an option of the rule by `factor` from the next update on, in every group: what a schedule gives. */
tg_status tg_optim_scale(tg_optim *optim, const char *option, double factor);

tg_status tg_optim_add(tg_optim *optim, const tg_param *param, size_t *index);

/* Checks the options against each other, then allocates every state. */
tg_status tg_optim_start(tg_optim *optim);

/* ---- updating: gradients as arrays ----------------------------------------------------------------------------- */

/* A gradient of the mean loss, shape and order of the parameter. data NULL: no gradient this time, the tensor and its
 * states stay as they are. Never written. `scale` divides it first (loss scaling); 0 means 1. */
typedef struct tg_grad {
    const void *data;
    tg_format format;
    float scale;
} tg_grad;

/* One update. grads[i] belongs to parameter i, in order of tg_optim_add. For tensors whose rows are updated lazily a row of
 * zeros counts as a row without a gradient. A gradient with NaN or Inf meets the guard, for its tensor alone; the check
 * reads every gradient once more, nan_guard=off leaves it out. */
tg_status tg_optim_step(tg_optim *optim, const tg_grad *grads);

/* ---- updating: gradients in tiles ------------------------------------------------------------------------------ */

/* Opens a window of `micro_steps` >= 1, which make one update of their mean gradient. */
tg_status tg_optim_begin(tg_optim *optim, uint32_t micro_steps);

/* Tiles added from now on are gradients times `scale`: loss scaling; below 0 they are subtracted. Not 0. Said between
 * micro-steps. */
tg_status tg_optim_set_gradient_scale(tg_optim *optim, double scale);

/* Adds a tile of this micro-step's gradient: `rows` whole rows from `row` on, (rows, cols) fp32. Tiles may come in any
 * order and may overlap (a sum is meant). A tile with NaN or Inf is dropped whole and marks its tensor bad: later tiles of
 * the micro-step are dropped too, earlier ones stay. Who can tell before the first tile calls tg_optim_reject instead. */
tg_status tg_optim_accumulate(tg_optim *optim, size_t param, size_t row, size_t rows, const float *tile);

/* The same for scattered rows: tile row i (cols values) belongs to row index[i]; indexes strictly ascending. */
tg_status tg_optim_accumulate_rows(tg_optim *optim, size_t param, const uint32_t *index, size_t rows,
                                   const float *tile);

/* Marks a tensor's gradient as bad for this micro-step, before anything of it was added. TG_ALL_PARAMS: every tensor. */
#define TG_ALL_PARAMS ((size_t)-1)
tg_status tg_optim_reject(tg_optim *optim, size_t param);

/* Says that this micro-step's gradient of `param` is whole. With gradients=released this is its update. */
tg_status tg_optim_complete(tg_optim *optim, size_t param);

/* Ends a micro-step: tensors marked bad meet the guard (option nan_guard). */
tg_status tg_optim_micro_end(tg_optim *optim);

/* Ends the window: the update. TG_ESTATE unless all its micro-steps were ended. TG_EDIVERGED, naming the tensor, when
 * the guard's budget is used up (the update itself was made). */
tg_status tg_optim_end(tg_optim *optim);

/* Gives up the open window, if there is one, without an update: for a pass that failed half way. Buffered gradients are
 * dropped. What was folded stays in the momentum; tensors that were released stay updated, which counts as an update. */
void tg_optim_abandon(tg_optim *optim);

/* ---- second order ------------------------------------------------------------------------------------------------ */

/* How arrays or tiles are an estimate of the Hessian's diagonal, for rules that observe (sophia). */
typedef enum tg_estimate {
    TG_ESTIMATE_PLAIN,   /* they are it */
    TG_ESTIMATE_SQUARES, /* it is scale g^2 (Gauss-Newton-Bartlett: g the gradient of the mean loss over `scale` labels
                            that were drawn from the model's own output) */
    TG_ESTIMATE_PROBE    /* it is scale u g, u the signs of tg_optim_probe (Hutchinson: scale g the Hessian times u) */
} tg_estimate;

/* Takes an estimate into the states, without an update. From whole arrays; or, with `grads` NULL, from the tiles of the open
 * window, which it ends in place of tg_optim_end. A tensor without a gradient, or with a bad one, keeps its state. */
tg_status tg_optim_observe(tg_optim *optim, const tg_grad *grads, tg_estimate estimate, double scale);

/* Adds `length` times random signs to every fp32 weight that is not frozen, the same signs until the next update: +1 and
 * then -2 times a length make central differences. The caller keeps what the weights were, and puts it back. */
tg_status tg_optim_probe(tg_optim *optim, double length);

/* What a layer saw of a batch. A row is a place: a sample, one of the steps in time of one, or the window of a convolution at
 * one of its places. */
typedef struct tg_layer_rows {
    const void *inputs;    /* (rows, in): what went into the layer, without the 1 that stands for its bias */
    const void *gradients; /* (rows, out): the loss's gradient at its output, times the scale of gradients that is set */
    tg_format format;      /* of both: fp32, bf16 or fp16 */
    size_t rows;
    double scale;          /* terms of the mean that the loss is: gradients of one term are `scale` times as large */
    size_t first, all;     /* of a batch that comes in parts, in their order: this one's first row, and the rows of all
                              parts; 0, 0: it comes at once, as it does where `all` is `rows` */
} tg_layer_rows;

/* Takes a batch into the averages of a layer's second moments, which rules that work layers (kfac) divide by:
 *
 *     A <- b A + (1-b) mean of a a^T        G <- b G + (1-b) scale (sum of g g^T)
 *
 * at any time between tg_optim_start and an update that uses them; whole arrays are read, and no copy of them is kept.
 * For the Fisher matrix the loss is that of labels drawn from the model's own output, with those of the data it is the
 * empirical one. Layers shared over time count every step as a sample of its own, as if all gradients came from
 * different samples (the "expand" setting of Eschenhagen et al. 2023, arXiv:2311.00636); so do convolutions with their
 * places, which is the approximation of Grosse & Martens 2016, arXiv:1602.01407, as places / samples of one side is
 * samples / places of the other. Rows with NaN or Inf are left out, all of them; in one of several parts they are
 * refused (TG_EINVAL), so look before the first. For a tensor that tg_optim_observes_layer denies, nothing is done. */
tg_status tg_optim_observe_layer(tg_optim *optim, size_t param, const tg_layer_rows *rows);
/* Whether this tensor is worked as a layer: a rule that does, tg_param.layer, and the rule's limits. */
bool tg_optim_observes_layer(const tg_optim *optim, size_t param);
/* Whether rows are due before the next update: every `interval` updates, and as long as a layer has had none. */
bool tg_optim_layers_due(const tg_optim *optim);

/* ---- looking inside --------------------------------------------------------------------------------------------- */

typedef enum tg_event_kind {
    TG_EVENT_BAD_GRADIENT, /* NaN or Inf: the tensor was guarded; value = its bad micro-steps in a row */
    TG_EVENT_FROZEN_SHARE, /* rounding=nearest: share of weights the first update could not move */
    TG_EVENT_STALE_ROOT,   /* a factor had no root, basis or inverse: the last good one stays; value = how often, for this
                            * tensor */
} tg_event_kind;

typedef struct tg_event {
    tg_event_kind kind;
    uint64_t update;    /* from 1 */
    uint32_t micro_step; /* from 1 */
    const char *param;
    double value;
} tg_event;

/* Called from inside the updating calls, on the calling thread. */
void tg_optim_on_event(tg_optim *optim, void (*event)(void *ctx, const tg_event *event), void *ctx);

uint64_t tg_optim_updates(const tg_optim *optim); /* made so far */
size_t tg_optim_param_count(const tg_optim *optim);
const tg_param *tg_optim_param(const tg_optim *optim, size_t index);

/* RMS of a tensor's weights as the rule sees it at the next update. */
tg_status tg_optim_rms(const tg_optim *optim, size_t param, double *rms);

/* Arrays: the caller brings whole gradients to tg_optim_step, and there are no tiles. The other three take tiles:
 * into slot 0; into an array of the optimizer's; into one array that serves tensor after tensor (one micro-step a window).
 * All four take whole gradients too. */
typedef enum tg_gradient_place { TG_ARRAYS, TG_FOLDED, TG_BUFFERED, TG_RELEASED } tg_gradient_place;
tg_gradient_place tg_optim_gradient_place(const tg_optim *optim); /* as the options say now */

/* Bytes this optimizer holds, or will hold after start: by kind. `beside`: what comes to it in a process, at most: the
 * rest of its last page, and what libraries take while they work matrices. */
typedef struct tg_optim_bytes {
    size_t states, kahan, gradients, bookkeeping, beside;
} tg_optim_bytes;
tg_status tg_optim_measure(const tg_optim *optim, tg_optim_bytes *bytes);

/* Floating-point operations so far that rules of matrices asked for: in products of bf16 matrices, and in others of
 * products, eigenproblems (9 n^3), orthonormal bases (8/3 n^3) and inverses (n^3) of n x n matrices. A multiply and an
 * add are two; of symmetric products what is computed. 0 of rules that treat weight by weight. */
typedef struct tg_optim_operations {
    double bf16, wide;
} tg_optim_operations;
void tg_optim_count(const tg_optim *optim, tg_optim_operations *operations);

/* States as named arrays: "PARAM/exp_avg", "PARAM/updates", ...; enough to go on exactly. NULL past the end. The data
 * may be read between updates, and written, in place of a file, by who keeps copies of his own; tg_optim_refresh is due
 * then. "row_updates" must not exceed the tensor's "tensor_updates". An fp16 state is stored times 2^exponent; beside it
 * "PARAM/SLOT_range" has {exponent, bits of the fp32 value of the largest magnitude before scaling, 0, 0}. */
size_t tg_optim_state_count(const tg_optim *optim);
const tg_named_tensor *tg_optim_state(const tg_optim *optim, size_t index);

/* The true values of a state that has one for every weight, row, column or tensor, as fp32: fp16 without its power of two,
 * codes decoded. `values` has room for the state's shape. TG_EINVAL for what is no such state (counts, scales). */
tg_status tg_optim_state_values(const tg_optim *optim, size_t index, float *values);
/* The same of `count` places among them, where nobody wants a copy of the whole; TG_EINVAL for a place past the end. */
tg_status tg_optim_state_values_at(const tg_optim *optim, size_t index, const size_t *at, size_t count, float *values);

/* Saves the states crash-safely; loads them into a started optimizer of the same rule, parameters and formats. A file
 * that does not fit is refused with the first difference named, and nothing is changed. After loading, and after the
 * caller has changed weights by other means, tg_optim_refresh recomputes what is remembered of the weights. */
tg_status tg_optim_save(const tg_optim *optim, const char *path);
tg_status tg_optim_load(tg_optim *optim, const char *path);
tg_status tg_optim_refresh(tg_optim *optim);

/* Goes on after `updates` updates, when the caller has written the states himself: randomness is keyed by their number. */
tg_status tg_optim_set_updates(tg_optim *optim, uint64_t updates);

#ifdef __cplusplus
}
#endif
#endif
