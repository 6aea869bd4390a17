/* optim/layout.c -- one block of memory for all states and bookkeeping of an optimizer. */
#include "base/code8.h"
#include "base/fail.h"
#include "dense/dense.h"
#include "optim/optim.h"

/* Hands out aligned pieces of a block; with base NULL it only counts. */
typedef struct cursor {
    char *base;
    size_t used;
    bool overflow;
} cursor;

static void *take(cursor *c, size_t *kind, size_t count, size_t size)
{
    size_t bytes, used;
    if (!tg_multiply(&bytes, count, size) || bytes > SIZE_MAX - TG_CACHE_LINE ||
        !tg_add_size(&used, c->used, tg_round_up(bytes, TG_CACHE_LINE))) {
        c->overflow = true;
        return NULL;
    }
    void *piece = c->base == NULL ? NULL : c->base + c->used;
    *kind += used - c->used;
    c->used = used;
    return piece;
}

static tg_format slot_format(const tg_optim *o, const tg_entry *e, const tg_slot *slot)
{
    if (slot->codes != TG_CODES_NONE)
        return TG_U8;
    if (slot->shape != TG_SLOT_FULL)
        return slot->shape == TG_SLOT_SCALAR ? TG_F64 : TG_F32;
    switch ((int)o->common[TG_COMMON_STATE_FORMAT]) {
    case 1: return TG_F32;
    case 2: return TG_BF16;
    case 3: return TG_F16;
    default: return slot->needs_range ? TG_F32 : e->param.format;
    }
}

static bool has_slot(const tg_optim *o, const tg_entry *e, const tg_slot *slot)
{
    const tg_option_table *options = &o->rule->info.options;
    const bool matrix = e->param.rows > 1 && e->param.cols > 1;
    const bool owned[] = {[TG_SLOT_ALL] = true, [TG_SLOT_MATRICES] = matrix, [TG_SLOT_VECTORS] = !matrix,
                          [TG_SLOT_WHOLE] = e->whole, [TG_SLOT_REST] = !e->whole};
    if (!owned[slot->owner] || (e->joined && slot->shape != TG_SLOT_FULL))
        return false;
    if (tg_slot_is_square(slot) && (slot->shape == TG_SLOT_LEFT ? e->left : e->right) == 0)
        return false;
    if (e->whole && o->rule->keeps != NULL && !o->rule->keeps(o->group[e->param.group].value, (size_t)(slot - o->rule->info.slots)))
        return false;
    return slot->when == NULL || o->group[e->param.group].value[tg_option_find(options, slot->when)] != 0;
}

/* Whether some slot has a value per row or column: blocks then end with rows. */
static bool has_lines(const tg_optim *o, const tg_entry *e)
{
    for (size_t s = 0; s < o->rule->info.slot_count; s++) {
        const tg_slot *slot = &o->rule->info.slots[s];
        if ((slot->shape == TG_SLOT_ROW || slot->shape == TG_SLOT_COLUMN) && has_slot(o, e, slot))
            return true;
    }
    return false;
}

size_t tg_slot_values(const tg_entry *e, const tg_slot *slot)
{
    switch (slot->shape) {
    case TG_SLOT_ROW: return e->param.rows;
    case TG_SLOT_COLUMN: return e->param.cols;
    case TG_SLOT_SCALAR: return 1;
    case TG_SLOT_LEFT: return e->tall * e->left;
    case TG_SLOT_RIGHT: return e->wide * e->right;
    default: return e->n;
    }
}

size_t tg_slot_scales(const tg_entry *e) { return (e->n + TG_CODES - 1) / TG_CODES; }

/* One slot of all tensors, one behind the other: a walk over tensors then reads it as one long stream, which the
 * processor fetches ahead of the walk however small the tensors are. */
static void lay_slot(tg_optim *o, size_t s, cursor *c, tg_optim_bytes *bytes)
{
    const tg_slot *slot = &o->rule->info.slots[s];
    for (size_t i = 0; i < o->entries; i++) {
        tg_entry *e = &o->entry[i];
        tg_state *state = &e->state[s];
        if (e->param.frozen)
            continue;
        *state = (tg_state){.format = slot_format(o, e, slot), .is_signed = slot->codes == TG_CODES_SIGNED};
        if (has_slot(o, e, slot))
            state->data = take(c, &bytes->states, tg_slot_values(e, slot), tg_format_bytes(state->format));
    }
}

/* What is beside a slot's values. */
static void lay_beside(const tg_optim *o, tg_entry *e, cursor *c, tg_optim_bytes *bytes)
{
    for (size_t s = 0; s < o->rule->info.slot_count; s++) {
        tg_state *state = &e->state[s];
        if (!has_slot(o, e, &o->rule->info.slots[s]))
            continue;
        if (state->format == TG_U8)
            state->scale = take(c, &bytes->states, tg_slot_scales(e), sizeof *state->scale);
        if (state->format == TG_F16)
            state->range = take(c, &bytes->bookkeeping, 1, sizeof *state->range);
    }
    e->compensation = NULL;
    if (o->rounding == TG_KAHAN && tg_is_half(e->param.format))
        e->compensation = take(c, &bytes->kahan, e->n, tg_format_bytes(e->param.format));
}

static void lay_bookkeeping(const tg_optim *o, tg_entry *e, cursor *c, tg_optim_bytes *bytes)
{
    const bool tiles = o->place != TG_ARRAYS;
    e->piece_squares = take(c, &bytes->bookkeeping, e->pieces, sizeof(double));
    const bool adaptive = o->common[TG_COMMON_CLIP_ADAPTIVE] > 0;
    e->block_squares = o->rule->uses_rms || adaptive ? take(c, &bytes->bookkeeping, e->blocks, sizeof(double)) : NULL;
    e->row_rms_now = e->row_rms ? take(c, &bytes->bookkeeping, e->param.rows, sizeof(double)) : NULL;
    e->line_squares = e->lines ? take(c, &bytes->bookkeeping, e->param.rows + e->param.cols, sizeof(double)) : NULL;
    e->row_k = e->lines ? take(c, &bytes->bookkeeping, e->param.rows, TG_ROW_SCALARS * sizeof(float)) : NULL;
    e->block_sums = e->looks ? take(c, &bytes->bookkeeping, e->blocks, sizeof(double)) : NULL;
    e->row_updates = e->lazy ? take(c, &bytes->bookkeeping, e->param.rows, sizeof(uint32_t)) : NULL;
    e->row_tiles = tiles ? take(c, &bytes->bookkeeping, e->param.rows, 1) : NULL;
    const bool norm = (o->place == TG_BUFFERED && o->common[TG_COMMON_CLIP_NORM] > 0) || (tiles && adaptive);
    e->row_squares = norm ? take(c, &bytes->bookkeeping, e->param.rows, sizeof(double)) : NULL;
    e->gradient = NULL;
    const bool rest = o->place == TG_FOLDED && o->rule->matrix != NULL && !e->whole && !o->rule->rest_folds;
    if (o->place == TG_BUFFERED || rest || (o->place == TG_RELEASED && e->param.many_uses))
        e->gradient = take(c, &bytes->gradients, e->n, tg_format_bytes(o->gradient_format));
}

/* What is known of a tensor before its states have a place. */
static void shape_entry(const tg_optim *o, tg_entry *e)
{
    const double *value = o->group[e->param.group].value;
    e->n = e->param.rows * e->param.cols;
    e->whole = o->rule->whole != NULL && e->param.rows > 1 && e->param.cols > 1 && o->rule->whole(value, &e->param);
    e->joined = false;
    e->mate = TG_ALONE;
    e->tall = e->param.rows;
    e->wide = e->param.cols;
}

static void lay_entry(const tg_optim *o, tg_entry *e, size_t *first_block, size_t *first_piece)
{
    const double *value = o->group[e->param.group].value;
    e->lazy = o->rule->lazy_rows != NULL && o->rule->lazy_rows(value, e->param.role);
    e->row_rms = o->rule->row_rms != NULL && o->rule->row_rms(value, e->param.role);
    e->left = e->whole && o->rule->width != NULL ? o->rule->width(value, e->tall, e->wide, false) : 0;
    e->right = e->whole && o->rule->width != NULL ? o->rule->width(value, e->tall, e->wide, true) : 0;
    e->looks = o->rule->look != NULL && (o->rule->matrix == NULL || e->whole);
    e->lines = has_lines(o, e);
    e->by_rows = e->lazy || e->row_rms || e->lines || e->wide != e->param.cols;
    e->row_blocks = (e->param.cols + TG_BLOCK - 1) / TG_BLOCK;
    e->blocks = e->by_rows ? e->param.rows * e->row_blocks : (e->n + TG_BLOCK - 1) / TG_BLOCK;
    e->pieces = (e->n + TG_PIECE - 1) / TG_PIECE;
    e->first_piece = *first_piece;
    *first_piece += e->pieces;
    e->first_block = *first_block;
    *first_block += e->blocks;
}

/* What libraries take while matrices are worked. */
static size_t library_bytes(const tg_optim *o)
{
    size_t most = 0;
    for (size_t i = 0; i < o->entries; i++) {
        const tg_entry *e = &o->entry[i];
        if (!tg_entry_is_matrix(e) || e->param.frozen)
            continue;
        const size_t left = e->left > 0 ? e->tall : 0, right = e->right > 0 ? e->wide : 0;
        const size_t bytes = o->rule->lapack ? tg_dense_lapack_bytes(left > right ? left : right)
                                             : tg_dense_product_bytes(TG_BF16, e->tall, e->wide, tg_optim_threads(o));
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* What whole matrices share: each is worked alone. The steps of layers are weighed together, and all wait for that. */
static void lay_matrices(tg_optim *o, cursor *c, tg_optim_bytes *bytes)
{
    size_t values = 0, scratch = 0, side = 0;
    for (size_t i = 0; i < o->entries; i++) {
        tg_entry *e = &o->entry[i];
        if (!tg_entry_is_matrix(e) || e->param.frozen)
            continue;
        const size_t wanted = o->rule->matrix_bytes(o->group[e->param.group].value, e->tall, e->wide);
        const size_t n = tg_round_up(e->tall * e->wide, TG_CACHE_LINE / sizeof *o->direction), all = values + n;
        e->first_direction = o->rule->kept == NULL ? 0 : values;
        values = o->rule->kept != NULL ? all : n > values ? n : values;
        scratch = wanted > scratch ? wanted : scratch;
        side = e->tall > side ? e->tall : side;
        side = e->wide > side ? e->wide : side;
    }
    o->direction = take(c, &bytes->bookkeeping, values, sizeof *o->direction);
    o->matrix_scratch = take(c, &bytes->bookkeeping, scratch, 1);
    o->layer_rows = NULL;
    if (o->rule->kept != NULL)
        o->layer_rows = take(c, &bytes->bookkeeping, side * TG_LAYER_ROWS, sizeof *o->layer_rows);
}

/* Sets every address from `base` on; returns the size. */
static size_t lay(tg_optim *o, char *base, tg_optim_bytes *bytes, bool *overflow)
{
    cursor c = {.base = base};
    size_t block = 0, piece = 0, values = 0, largest = 0;
    *bytes = (tg_optim_bytes){0};
    o->tensor_updates = take(&c, &bytes->bookkeeping, o->entries, sizeof *o->tensor_updates);
    o->tensor_bad = take(&c, &bytes->bookkeeping, o->entries, sizeof *o->tensor_bad);
    o->pass = take(&c, &bytes->bookkeeping, o->entries, sizeof *o->pass);
    for (size_t i = 0; i < o->entries; i++)
        shape_entry(o, &o->entry[i]);
    for (size_t i = 0; i < o->entries; i++)
        tg_layers_join(o, i);
    for (size_t i = 0; i < o->entries; i++) {
        tg_entry *e = &o->entry[i];
        lay_entry(o, e, &block, &piece);
        values += e->n;
        e->updates = base == NULL ? NULL : &o->tensor_updates[i];
        e->bad_updates = base == NULL ? NULL : &o->tensor_bad[i];
    }
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        lay_slot(o, s, &c, bytes);
    for (size_t i = 0; i < o->entries; i++) {
        tg_entry *e = &o->entry[i];
        if (e->param.frozen)
            continue;
        lay_beside(o, e, &c, bytes);
        lay_bookkeeping(o, e, &c, bytes);
        largest = e->n > largest && !e->param.many_uses ? e->n : largest;
    }
    lay_matrices(o, &c, bytes);
    o->blocks = block;
    o->pieces = piece;
    o->values = values;
    o->release_buffer = o->place == TG_RELEASED
                            ? take(&c, &bytes->gradients, largest, tg_format_bytes(o->gradient_format))
                            : NULL;
    bytes->beside = library_bytes(o) + (o->allocator == NULL ? tg_alloc_slack(c.used) : 0);
    *overflow = c.overflow;
    return c.used;
}

/* What follows from the common options. */
void tg_optim_resolve(tg_optim *o)
{
    static const tg_gradient_place places[] = {TG_ARRAYS, TG_FOLDED, TG_BUFFERED, TG_RELEASED};
    static const tg_format formats[] = {TG_F32, TG_F32, TG_BF16, TG_F16};
    o->rounding = (tg_rounding)(int)o->common[TG_COMMON_ROUNDING];
    o->gradient_format = formats[(int)o->common[TG_COMMON_GRADIENT_FORMAT]];
    o->guard = (tg_guard)(int)o->common[TG_COMMON_NAN_GUARD];
    if (o->guard == TG_GUARD_AUTO)
        o->guard = o->rule->shrinks ? TG_GUARD_SHRINK : TG_GUARD_SKIP;
    o->place = places[(int)o->common[TG_COMMON_GRADIENTS]];
    if (o->common[TG_COMMON_GRADIENTS] == 0) {
        o->place = TG_FOLDED;
        if (tg_optim_check_options(o) != TG_OK)
            o->place = TG_ARRAYS;
    }
}

tg_status tg_optim_layout(tg_optim *o)
{
    bool overflow;
    tg_optim_bytes bytes;
    const size_t total = lay(o, NULL, &bytes, &overflow);
    if (overflow)
        return tg_fail(TG_EINVAL, "the optimizer's states would be larger than memory can be addressed");
    char *memory = tg_alloc(o->allocator, total, 1);
    if (memory == NULL)
        return tg_no_memory("the optimizer's states", total);
    lay(o, memory, &bytes, &overflow);
    o->memory = memory;
    o->memory_bytes = total;
    o->bytes = bytes;
    return TG_OK;
}

tg_status tg_optim_measure(const tg_optim *o, tg_optim_bytes *bytes)
{
    if (o->started) {
        *bytes = o->bytes;
        return TG_OK;
    }
    tg_optim copy = *o;
    bool overflow;
    copy.entry = tg_heap_alloc(o->entries, sizeof *copy.entry);
    if (copy.entry == NULL)
        return tg_no_memory("a plan of the optimizer", o->entries * sizeof *copy.entry);
    for (size_t i = 0; i < o->entries; i++)
        copy.entry[i] = o->entry[i];
    tg_optim_resolve(&copy);
    tg_optim_bytes measured;
    const tg_status status = tg_optim_check_options(&copy);
    if (status == TG_OK)
        lay(&copy, NULL, &measured, &overflow);
    tg_heap_free(copy.entry);
    if (status == TG_OK)
        *bytes = measured;
    return status;
}
