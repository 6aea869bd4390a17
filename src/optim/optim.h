/* optim/optim.h -- the driver's own view of an optimizer. */
#ifndef TG_OPTIM_OPTIM_H
#define TG_OPTIM_OPTIM_H

#include <omp.h>
#include <string.h>

#include "base/kernels.h"
#include "base/memory.h"
#include "dense/count.h"
#include "optim/rule.h"

/* Options every rule has, in the order of their table. */
enum {
    TG_COMMON_DECAY, TG_COMMON_MAXIMIZE, TG_COMMON_ROUNDING, TG_COMMON_STATE_FORMAT, TG_COMMON_GRADIENTS,
    TG_COMMON_GRADIENT_FORMAT, TG_COMMON_CLIP_NORM, TG_COMMON_CLIP_VALUE, TG_COMMON_CLIP_ADAPTIVE, TG_COMMON_NAN_GUARD, TG_COMMON_SHRINK,
    TG_COMMON_SHRINK_NOISE, TG_COMMON_NAN_BUDGET, TG_COMMON_SEED, TG_COMMON_THREADS, TG_COMMON_OPTIONS
};

typedef enum tg_guard { TG_GUARD_AUTO, TG_GUARD_SHRINK, TG_GUARD_SKIP, TG_GUARD_ERROR, TG_GUARD_OFF } tg_guard;

/* What a random stream is for. */
enum { TG_STREAM_WEIGHT = 1, TG_STREAM_FOLD, TG_STREAM_NOISE, TG_STREAM_GRADIENT, TG_STREAM_PROBE, TG_STREAM_SLOT = 16 };

#define TG_PIECE ((size_t)1 << 16)
#define TG_ALONE SIZE_MAX
#define TG_LAYER_ROWS ((size_t)256) /* of a layer's 16-bit inputs and gradients, widened at a time */
#define TG_SERIAL_VALUES ((size_t)1 << 14) /* fewer are not worth waking threads for */

/* fp16 states are stored times a power of two, so that they neither underflow nor overflow. */
typedef struct tg_range {
    int32_t exponent;
    float most;      /* largest |value| after the last update; 0: nothing but zeros, and the exponent is free */
    float gradient_most; /* largest |gradient|: folded, of the window's tiles; else of the last update */
    float next;      /* largest |value| that the update under way has seen so far */
} tg_range;

typedef struct tg_group {
    double value[TG_MAX_OPTIONS];
    double now[TG_MAX_OPTIONS]; /* value times the schedule's factor, set at each update */
} tg_group;

/* A slot of one tensor. */
typedef struct tg_state {
    void *data;             /* NULL: the tensor has no such slot */
    tg_format format;       /* TG_U8: codes of base/code8.h, `scale` for each TG_CODES of them */
    bool is_signed;         /* of codes */
    float *scale;
    tg_range *range;        /* fp16 only */
} tg_state;

/* A parameter and all that is kept about it. */
typedef struct tg_entry {
    tg_param param;             /* name is owned */
    size_t n;                   /* rows * cols */
    bool by_rows, lazy, row_rms; /* blocks end with rows; rows without a gradient are left alone; RMS per row */
    bool lines;                 /* has states per row or column */
    bool whole;                 /* a matrix that the rule works as one, or a bias worked with it */
    bool joined;                /* that bias */
    size_t mate;                /* entry index of a matrix's joined bias, and of that bias's matrix; TG_ALONE */
    size_t tall, wide;          /* rows and columns of a whole matrix with its bias */
    size_t left, right;         /* columns of left and right slots */
    size_t first_direction;     /* in the array of directions: 0 where all whole matrices share it in turn */
    double measure;             /* what the rule's `matrix` measured at this update */
    bool looks;                 /* the rule's `look` walks over it first */
    size_t row_blocks;          /* blocks of one row, when by_rows */
    size_t first_block, blocks; /* in the flat list of all tensors' blocks */

    tg_state state[TG_MAX_SLOTS];
    void *compensation;         /* rounding=kahan: in the weights' format */
    double *block_squares;      /* sum of squares of each block's weights as stored, when the rule uses RMS */
    double *row_rms_now;        /* row_rms: of each row, before the update under way */
    double *line_squares;       /* lines: mean squares of the gradient, of each row, then of each column */
    float *row_k;               /* lines: TG_ROW_SCALARS for each row, from the rule's `factors` */
    double *block_sums;         /* what the rule's `look` gave for each block */
    size_t first_piece, pieces; /* of TG_PIECE values: gradients are inspected by them */
    double *piece_squares;      /* sum of squares of each piece of a whole gradient; NaN: something is not finite */
    uint32_t *row_updates;      /* lazy: the tensor's update at which each row last moved */
    uint64_t *updates;          /* made on this tensor (in the optimizer's array) */
    uint32_t *bad_updates;      /* in a row (likewise) */

    void *gradient;             /* buffered, or released with many uses: (rows, cols) */
    uint8_t *row_tiles;         /* tiles each row has had in this window, 255 followed by 1; 0: none */
    double *row_squares;        /* of each buffered row, for the norms that clipping asks for */
    double gradient_squares;    /* of a whole gradient that was inspected for that */
    uint32_t accepted;          /* micro-steps of this window that gave a gradient */
    bool seen, bad;             /* in this micro-step: some tile was accepted; something was not finite */
    bool bad_in_window, released; /* released: this window's update is made */
} tg_entry;

/* An update under way: what every block of a tensor shares. */
typedef struct tg_pass {
    bool active;
    float k[TG_MAX_SCALARS];
    float keep, coupled;        /* 1 - lr * weight_decay; weight_decay: what the driver applies */
    float gradient_scale;       /* unscaling, clipping, maximize */
    float each_scale;           /* of it, what tg_each multiplies by; the rest is the driver's */
    bool in_storage;            /* blocks of an even length are worked where they are stored, by tg_each */
    const void *gradient;       /* NULL: folded */
    tg_format gradient_format;
    double row_decay;           /* lazy rows: what slot 0 decays by for every update missed; 1: nothing */
    tg_key weight_key, slot_key[TG_MAX_SLOTS];
    bool rows_from_gradient;    /* lazy: a row of zeros in `gradient` is an untouched row */
} tg_pass;

/* fp32 copies of one block, in the first-level cache. */
typedef struct tg_workspace {
    _Alignas(TG_CACHE_LINE) float x[TG_BLOCK];
    _Alignas(TG_CACHE_LINE) float g[TG_BLOCK];
    _Alignas(TG_CACHE_LINE) float slot[TG_MAX_SLOTS][TG_BLOCK];
    _Alignas(TG_CACHE_LINE) float d[TG_BLOCK]; /* of trials */
    _Alignas(TG_CACHE_LINE) uint16_t before[TG_BLOCK];
    uint64_t wanted, frozen; /* weights the rule moved; of those, lost in rounding */
} tg_workspace;

/* A block's place in its tensor. */
typedef struct tg_place {
    size_t row, first, n;
} tg_place;

struct tg_optim {
    tg_allocator allocator_copy;
    const tg_allocator *allocator; /* NULL: the heap */
    const tg_rule *rule;
    const tg_kernels *kernels;
    double common[TG_COMMON_OPTIONS];
    double factor[TG_MAX_OPTIONS];
    tg_group *group;
    size_t groups;
    tg_entry *entry;
    size_t entries, entry_room;

    bool started;
    int threads;
    tg_guard guard;
    tg_rounding rounding;
    tg_gradient_place place;
    tg_format gradient_format;
    size_t values, blocks, pieces; /* of all tensors */
    tg_pass *pass;               /* (entries) */
    void *memory;                /* one block with all states and bookkeeping */
    size_t memory_bytes;
    uint64_t *tensor_updates;    /* (entries) */
    uint32_t *tensor_bad;        /* (entries) */
    void *release_buffer;        /* shared by the tensors that are completed one by one */
    size_t release_owner;        /* entry index, or entries: free */
    float *direction;            /* of the whole matrix under way, the largest has room; of all, with a rule of layers */
    void *matrix_scratch;
    float *layer_rows;           /* (TG_LAYER_ROWS, the most inputs or outputs); NULL: no rule of layers */
    tg_status matrix_status;     /* the first failure of this update; its message is the thread's */
    tg_named_tensor *state;      /* views for save, load and introspection */
    char *state_names;
    size_t states;
    tg_optim_bytes bytes;
    tg_optim_operations operations;

    double gradient_scale;       /* what tiles are multiplied by already: loss scaling */
    uint64_t update;             /* made so far */
    uint32_t window, micro_step; /* micro-steps of the open window (0: none open), ended so far */
    uint64_t moves_wanted, moves_frozen; /* rounding=nearest, first update: weights moved, and those put back */
    void (*event)(void *ctx, const tg_event *event);
    void *event_ctx;
};

/* options.c */
tg_status tg_optim_check_options(const tg_optim *o);

/* layout.c: sizes and addresses of everything, in one block. With `place` NULL only measures. */
tg_status tg_optim_layout(tg_optim *o);
size_t tg_slot_values(const tg_entry *e, const tg_slot *slot);
size_t tg_slot_scales(const tg_entry *e); /* of 8-bit codes */
void tg_optim_resolve(tg_optim *o);

/* Schedules applied to every group's values: at the start of each update. */
void tg_optim_schedule_groups(tg_optim *o);

/* place.c */
tg_place tg_block_place(const tg_entry *e, size_t index);
/* Whether the row stays as it is: lazy, and without a gradient. What lies in its place of a gradient array means nothing. */
bool tg_row_rests(const tg_entry *e, const tg_pass *p, size_t row);
double tg_tree_sum(const double *v, size_t n);         /* in a fixed order */
void tg_range_see(tg_range *range, float most);        /* from any thread */

/* block.c: one block between storage and fp32. */
/* The gradient as the rule wants it: scaled, clipped, decay coupled in. */
const float *tg_block_gradient(const tg_optim *o, const tg_pass *p, tg_workspace *w, const float *x, const tg_place *at);
float *tg_block_weights(const tg_optim *o, const tg_entry *e, tg_workspace *w, const tg_place *at);
void tg_block_states(const tg_optim *o, const tg_entry *e, tg_workspace *w, const tg_place *at, tg_block *b);
/* Returns the sum of squares of the weights as stored where the entry keeps it, else 0. */
double tg_block_store_weights(const tg_optim *o, const tg_entry *e, tg_workspace *w, const float *x, const tg_place *at,
                              tg_key key);
/* States from number `from` on. */
void tg_block_store_states(const tg_optim *o, size_t entry, const tg_block *b, const tg_place *at, size_t from);
double tg_block_squares(const tg_optim *o, const tg_entry *e, const tg_place *at); /* of the weights as stored */
/* Whether blocks can be worked where they are stored; and one of them, or NULL where its place or length is odd. */
bool tg_block_in_storage(const tg_optim *o, const tg_entry *e, const tg_pass *p);
const tg_stored *tg_block_stored(const tg_optim *o, size_t entry, const tg_place *at, tg_stored *stored);
/* Its states in codes, or NULL: there are none. */
const tg_codes *tg_block_codes(const tg_optim *o, size_t entry, const tg_place *at, tg_codes *codes);
void tg_block_keys(const tg_optim *o, size_t entry, tg_pass *p); /* of this update's random streams */

/* look.c: what a rule must know of a whole tensor before its first block. */
void tg_look(tg_optim *o, size_t entry, tg_view *view);

/* matrix.c: a whole matrix between `look` and its blocks. False, and told in matrix_status, when that failed. */
bool tg_matrix_work(tg_optim *o, size_t entry, const tg_view *view);
void tg_optim_take_count(tg_optim *o, const tg_dense_operations *before); /* what this thread did since */
/* A block's part of the direction, for a bias that is a column in w->d, filled if `filled`; and w->d back to its
 * column. */
float *tg_direction_of(const tg_optim *o, const tg_entry *e, const tg_place *at, tg_workspace *w, bool filled);
void tg_direction_keep(const tg_optim *o, const tg_entry *e, const tg_place *at, const tg_workspace *w);

/* layer.c: which biases are worked with which matrices. */
tg_status tg_layers_check(const tg_optim *o);
void tg_layers_join(tg_optim *o, size_t entry); /* once every entry knows whether it is whole */

/* range.c: the powers of two of fp16 states. */
void tg_range_choose(tg_optim *o, size_t entry);    /* before an update: those that are free */
void tg_range_fit(tg_optim *o, size_t entry);       /* makes room for what was seen while nothing was stored */
void tg_range_after(tg_optim *o, size_t entry);     /* after an update: moves those that near an end */
/* Before a tile is folded: makes room for it. The tile has n values; with it `tiles` lie on each other at most. */
void tg_range_of_tile(tg_optim *o, size_t entry, const float *tile, size_t n, double scale, unsigned tiles);
void tg_range_note(const tg_optim *o, const tg_entry *e, const tg_block *b); /* of slot 0, which was read */

/* pass.c: one walk over blocks. */
double tg_entry_rms(const tg_optim *o, const tg_entry *e); /* of the weights as they are stored */
tg_view tg_entry_view(const tg_optim *o, const tg_entry *e);
/* `whole`: the gradient is the caller's array, in which a row of zeros means no gradient where rows are lazy. */
void tg_pass_prepare(tg_optim *o, size_t entry, const void *gradient, tg_format format, double scale, bool whole);
void tg_pass_run(tg_optim *o, size_t first_entry, size_t end_entry); /* all active passes among them, then inactive */
void tg_pass_agree(tg_optim *o, size_t first_entry, size_t end_entry); /* rules of layers: before, once all are prepared */
void tg_entry_measure(tg_optim *o, tg_entry *e);       /* recomputes block_squares */
/* Changes the weights from outside any rule: `map` gets fp32 blocks, `first` is the first value's index. */
void tg_entry_map(tg_optim *o, size_t entry, void (*map)(float *x, size_t n, size_t first, const void *ctx), const void *ctx,
                  tg_key key);

/* inspect.c */
/* Of values in any format, for any magnitudes. */
double tg_sum_squares(const tg_optim *o, const void *values, tg_format format, size_t n);
/* Before whole gradients of tensors first..end-1 are used. Marks tensors bad; the norm of the good ones. */
double tg_inspect(tg_optim *o, const tg_grad *grads, size_t first, size_t end);

/* observe.c */
void tg_observe_entry(tg_optim *o, size_t entry, const void *gradient, tg_format format, double unscale,
                      tg_estimate estimate, double scale);

/* update.c */
void tg_optim_update_entry(tg_optim *o, size_t entry); /* released: now, from its gradient array */
void tg_optim_tell(const tg_optim *o, tg_event_kind kind, const char *param, double value);

/* tiles.c */
void tg_tiles_settle(tg_optim *o, tg_entry *e);        /* rows without a tile in this window, before the update */
void *tg_tiles_gradient(const tg_optim *o, const tg_entry *e);

/* rest.c: of memory in mapped files, what need not stay in RAM for now. */
bool tg_rests(const tg_optim *o, const tg_entry *e); /* whether some of the entry's arrays are mapped */
void tg_rest_values(const tg_optim *o, const tg_entry *e, size_t first, size_t n); /* weights, full states, gradient */
void tg_rest_entry(const tg_optim *o, const tg_entry *e);

/* state.c */
tg_status tg_optim_describe_states(tg_optim *o);

/* guard.c */
tg_status tg_optim_guard_micro(tg_optim *o, size_t first, size_t end); /* at the end of a micro-step, tensors first..end-1 */
tg_status tg_optim_guard_window(tg_optim *o);          /* after the update */

static inline int tg_optim_threads(const tg_optim *o) { return o->threads > 0 ? o->threads : omp_get_max_threads(); }

/* Whether the rule's `matrix` works it: not a bias, which its matrix takes along. */
static inline bool tg_entry_is_matrix(const tg_entry *e) { return e->whole && !e->joined; }

static inline bool tg_slot_is_square(const tg_slot *s) { return s->shape == TG_SLOT_LEFT || s->shape == TG_SLOT_RIGHT; }

/* Whether tiles of this tensor go into its slot 0. */
static inline bool tg_entry_folds(const tg_optim *o, const tg_entry *e)
{
    return o->place == TG_FOLDED && e->gradient == NULL;
}

static inline const float *tg_row_scalars(const tg_entry *e, size_t row)
{
    return e->row_k == NULL ? NULL : e->row_k + row * TG_ROW_SCALARS;
}

static inline bool tg_is_half(tg_format f) { return f == TG_BF16 || f == TG_F16; }

#endif
