/* optim/rule.h -- what an optimizer rule is: one const descriptor, one file in optim/rule/, one line in rules.inc.
 *
 * The driver cuts every tensor into blocks, brings each into fp32 arrays in cache, calls `block`, and rounds back. A rule
 * that treats all weights alike gives tg_each (optim/each.h) what becomes of one, and is spared the arrays. A rule
 * knows nothing of number formats, threads, groups, accumulation or files. */
#ifndef TG_OPTIM_RULE_H
#define TG_OPTIM_RULE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/isa.h"
#include "base/random.h"
#include "tiger/optim.h"

#define TG_MAX_SLOTS 8
#define TG_MAX_SCALARS 16
#define TG_MAX_OPTIONS 24
#define TG_BLOCK 1024 /* x, g and two states in fp32: 16 KiB, half of the first-level cache of common machines */
#define TG_ROW_SCALARS 2

/* A block of weights in bf16, from an even index in its tensor on and of an even length. */
typedef struct tg_stored {
    uint16_t *x, *slot[TG_MAX_SLOTS];
    float *wide[TG_MAX_SLOTS];            /* in place of `slot`: states that stay in fp32 */
    const uint16_t *g;                    /* NULL: folded */
    uint32_t draw;                        /* of the first pair */
    tg_key x_key, slot_key[TG_MAX_SLOTS]; /* all with the same `a` */
} tg_stored;

/* States of a block in codes of base/code8.h. */
typedef struct tg_codes {
    uint8_t *code[TG_MAX_SLOTS];
    float *scale[TG_MAX_SLOTS];      /* one for each TG_CODES of them, from the block's first value on */
    const tg_key *key[TG_MAX_SLOTS]; /* codes are rounded under; NULL: to nearest */
    uint64_t first;                  /* index of the block's first value in its tensor */
} tg_codes;

/* At most TG_BLOCK values of one tensor, and of one row when the tensor is worked row by row. fp32, in cache, none
 * overlapping. */
typedef struct tg_block {
    size_t n;
    float *x;                  /* weights, updated in place */
    const float *g;            /* gradient; NULL when it is already folded into slot[0], which is then only read */
    const float *row_k;        /* TG_ROW_SCALARS of this row, from `factors`; NULL without */
    float *d;                  /* of a matrix that is worked whole: `look` writes its direction, `block` reads what
                                  `matrix` made of it (g is NULL then); NULL for the other tensors */
    float *slot[TG_MAX_SLOTS]; /* states, updated in place; NULL for a slot that does not exist. Full slots and columns:
                                  n values; a row's: one; a scalar's is NULL */
    float keep, scale;         /* what x and g are multiplied by first. For tg_each alone: otherwise both are done */
    const tg_stored *stored;   /* the block in bf16, in place of x, g and slot. For tg_each alone; else NULL */
    const tg_codes *codes;     /* in place of slot, for tg_each_codes alone; else NULL */
} tg_block;

/* What `prepare` is told about a tensor at an update. */
typedef struct tg_view {
    const double *option; /* the rule's options, in its table's order, schedules applied */
    uint64_t t;           /* this tensor's updates, from 1 */
    tg_role role;
    size_t rows, cols, fan_in;
    double rms;           /* of the weights before the update: whole tensor or row (traits) */
    double look;          /* sum of what `look` gave for every block; 0 before */
    double measured;      /* rules of layers: sum of what `matrix` measured of every layer; 0 before */
    double *scalar[TG_MAX_SLOTS]; /* scalar slots, which `prepare` moves on; NULL for other slots */
} tg_view;

/* What `factors` works on: lines of a matrix. */
typedef struct tg_factors {
    const double *row_squares, *col_squares; /* (rows), (cols): means of g^2 over the row, the column; for
                                                rules without a column slot the latter is NULL */
    float *slot[TG_MAX_SLOTS];               /* row and column slots, whole */
    float *row_k;                            /* (rows, TG_ROW_SCALARS), written: what blocks of a row see */
} tg_factors;

/* What `matrix` works on: a tensor as a whole. A layer's bias is its last column, or its last row where the matrix is (in,
 * out): `rows` and `cols` then are one more than the tensor's. */
typedef struct tg_matrix {
    size_t rows, cols;
    float *d;      /* (rows, cols): the direction as `look` wrote it, replaced */
    void *scratch; /* of `matrix_bytes`, aligned to a cache line */
    float *slot[TG_MAX_SLOTS]; /* left and right slots; NULL for others */
    int threads;
    double failures; /* written: not 0 tells that a root stayed the old one */
    bool still;      /* written: the weights stay as they are at this update, decay included */
    struct tg_optim *optim; /* whose tensor `entry` it is: for tg_matrix_walk */
    size_t entry;
    double measure;  /* written, by rules of layers */
} tg_matrix;

/* In `matrix`: one more walk over the tensor's blocks, in parallel. `step` gets the full slots, and as b->d the block's part
 * of `array` (rows, cols); b->x and b->g are NULL. What it makes of the slots is stored where it `moves` them. */
void tg_matrix_walk(const tg_matrix *m, float *array, void (*step)(const tg_block *b, const float *k), bool moves);

typedef enum tg_decay {
    TG_DECAY_COUPLED,   /* the driver adds weight_decay * x to g before the block */
    TG_DECAY_DECOUPLED, /* the driver takes lr * weight_decay * x off x before the block */
    TG_DECAY_OWN,       /* the block does it, decoupled; weight_decay is among its scalars */
    TG_DECAY_INNER      /* the block does it in a way of its own; weight_decay is among its scalars */
} tg_decay;

typedef struct tg_rule {
    tg_rule_info info;
    tg_decay decay;
    bool uses_rms;     /* tg_view.rms is wanted */
    bool spares_vectors; /* weight_decay is not for biases and gains */
    bool shrinks;      /* nan_guard=auto means shrink (otherwise skip) */
    size_t lr, weight_decay; /* their indexes among the options */
    size_t rest_lr, rest_decay; /* with `matrix`: factor of lr, and weight decay, of the tensors that are not whole */
    bool rest_folds;         /* with `matrix`: gradients of those can be folded too */
    const char *fixed;       /* the name of a number that tg_optim_start fixes; NULL: none */

    /* What is wrong with options taken together, or NULL; NULL function: nothing can be. */
    const char *(*check)(const double *option);
    /* rms per row for this tensor; NULL: never. */
    bool (*row_rms)(const double *option, tg_role role);
    /* Rows without a gradient in the window are left alone, their states catching up later; NULL: never. */
    bool (*lazy_rows)(const double *option, tg_role role);
    /* Whether gradients can be folded into slot[0] under these options; NULL: never. */
    bool (*can_fold)(const double *option);
    /* How the mean gradient enters slot[0] when it is folded: m <- decay m + scale g. */
    void (*fold)(const tg_view *view, double *decay, double *scale);
    /* Moves row and column slots on, for tensors that have them, before `prepare`; NULL: there are none. */
    void (*factors)(const tg_factors *f, const tg_view *view);
    /* The step's scalars k[TG_MAX_SCALARS], computed in double. With `look`, called before it and again after it. */
    void (*prepare)(float *k, const tg_view *view);
    /* A first walk over all blocks, for rules that need a sum over the whole tensor; NULL: one walk is enough. Where
     * `look_moves` is set it, or walks of `matrix`, moves the full slots, and `block` only reads them; otherwise it writes
     * nothing. */
    double (*look)(const tg_block *b, const float *k);
    bool look_moves;
    bool look_spares_x; /* reads no weights: b->x may be NULL */
    /* Rules of whole matrices: whether this tensor is one (the others are blocks alone: an embedded rule); bytes of scratch
     * for it; and what happens between `look`, which moves the slots and writes the direction, and `block`, which applies
     * it. When it fails, the weights stay as they are. Results may not depend on the number of threads. NULL: no such rule. */
    bool (*whole)(const double *option, const tg_param *param);
    /* Columns of left or right slots: as many as the side has rows, 1, or 0 for none. */
    size_t (*width)(const double *option, size_t rows, size_t cols, bool right);
    bool (*keeps)(const double *option, size_t slot);   /* which slots whole matrices have; NULL: all of theirs */
    size_t (*matrix_bytes)(const double *option, size_t rows, size_t cols);
    bool lapack; /* `matrix` needs it, else products in bf16 */
    tg_status (*matrix)(tg_matrix *m, const tg_view *view);
    /* Rules of layers: the share of the old factors that stays when a batch of rows enters, A <- kept A + (1 - kept) E[a a^T].
     * Slot `factor` has the rows' factor, the one behind it the columns', slot `batches` counts, this batch too. Such rules
     * work a layer's bias with its matrix, have an option `interval`, and weigh the steps of all layers together: `prepare`
     * is called once more when `matrix` has measured all. NULL: no such rule. */
    double (*kept)(const tg_view *view);
    size_t factor, batches;
    /* Takes an estimate of the Hessian's diagonal, in place of g, into the states; NULL: the rule has no use for it. */
    void (*observe)(const tg_block *b, const float *k);
    void (*block)(const tg_block *b, const float *k);
    bool each; /* `block` is nothing but a loop of optim/each.h over all states that there are; `look` takes either form too */
} tg_rule;

/* The rules of one instruction set (rule/table.c); NULL behind the last. */
typedef struct tg_rule_table {
    const tg_rule *at[64];
} tg_rule_table;

/* -1, 0 or 1; NaN gives 0. One comparison and a mask, no branch. */
static inline float tg_sign(float v)
{
    const float one = tg_float_from_bits((tg_bits_from_float(v) & 0x80000000u) | 0x3f800000u);
    return __builtin_islessgreater(v, 0.0f) ? one : 0.0f;
}

/* Where a row of the options table of a rule starts from: the common ones. */
#define TG_OPTION_LR(default_, lo, hi)                                                                                 \
    {.name = "lr", .kind = TG_REAL, .value = default_, .least = 0, .most = INFINITY, .search_least = lo,               \
     .search_most = hi, .search_log = 1, .help = "learning rate"}
#define TG_OPTION_DECAY(default_)                                                                                      \
    {.name = "weight_decay", .kind = TG_REAL, .value = default_, .least = 0, .most = INFINITY,                         \
     .search_least = 1e-3, .search_most = 1, .search_log = 1, .help = "weight decay"}
#define TG_OPTION_EPS(default_, help_)                                                                                 \
    {.name = "eps", .kind = TG_REAL, .value = default_, .least = 0, .most = 1, .search_least = 1e-10,                  \
     .search_most = 1e-6, .search_log = 1, .help = help_}
#define TG_OPTION_BETA(name_, default_, lo, hi, help_)                                                                 \
    {.name = name_, .kind = TG_REAL, .value = default_, .least = 0, .most = 0x1.fffffffffffffp-1, .search_least = lo,  \
     .search_most = hi, .help = help_}
/* The end of a row of the presets of a rule: TG_SETTINGS({"beta", "0.945"}) */
#define TG_SETTINGS(...)                                                                                               \
    (const tg_setting[]){__VA_ARGS__}, sizeof((const tg_setting[]){__VA_ARGS__}) / sizeof(tg_setting)
#define TG_PRESETS(table) .presets = table, .preset_count = sizeof(table) / sizeof *(table)
#define TG_TABLE(options) {options, sizeof(options) / sizeof *(options)}

#endif
