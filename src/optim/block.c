/* optim/block.c -- one block between storage and fp32: widening, rounding back, codes, and the gradient on its way in.
 *
 * While a block is computed in the first-level cache, the memory of the next one is asked for: the copies are too short
 * for the processor's own prefetching to catch up. Asked for to be read, into the first level: measured, that beats
 * asking to write into the second. Loops that work storage in place (optim/each.h) are faster without any of it. */
#include "base/code8.h"
#include "optim/optim.h"

/* Asks for the bytes behind a block, as many as it has. */
static void ask_for_next(const char *block, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += TG_CACHE_LINE)
        __builtin_prefetch(block + bytes + i, 0, 3);
}

static const float *widened(const tg_optim *o, float *copy, const void *array, tg_format format, size_t first, size_t n)
{
    const char *source = (const char *)array + first * tg_format_bytes(format);
    if (format == TG_F32)
        return (const float *)(const void *)source;
    ask_for_next(source, n * tg_format_bytes(format));
    o->kernels->widen(copy, source, format, n);
    return copy;
}

const float *tg_block_gradient(const tg_optim *o, const tg_pass *p, tg_workspace *w, const float *x, const tg_place *at)
{
    const float limit = (float)o->common[TG_COMMON_CLIP_VALUE];
    const size_t n = at->n;
    const float *source = widened(o, w->g, p->gradient, p->gradient_format, at->first, n);
    if (p->gradient_scale == 1.0f && p->coupled == 0 && limit == 0)
        return source;
    float *restrict g = w->g;
    if (source != g)
        memcpy(g, source, n * sizeof *g);
    if (p->gradient_scale != 1.0f)
        o->kernels->multiply(g, p->gradient_scale, n);
    if (limit > 0)
        for (size_t i = 0; i < n; i++)
            g[i] = g[i] > limit ? limit : g[i] < -limit ? -limit : g[i];
    if (p->coupled != 0)
        for (size_t i = 0; i < n; i++)
            g[i] += p->coupled * x[i];
    return g;
}

float *tg_block_weights(const tg_optim *o, const tg_entry *e, tg_workspace *w, const tg_place *at)
{
    if (e->compensation == NULL)
        return (float *)widened(o, w->x, e->param.data, e->param.format, at->first, at->n);
    const uint16_t *x = (const uint16_t *)e->param.data + at->first, *c = (const uint16_t *)e->compensation + at->first;
    o->kernels->widen_pair(w->x, x, c, e->param.format, at->n);
    return w->x;
}

static float *full_state(const tg_optim *o, const tg_state *state, float *copy, const tg_place *at)
{
    float *values = (float *)widened(o, copy, state->data, state->format, at->first, at->n);
    if (state->range != NULL && state->range->exponent != 0)
        o->kernels->multiply(values, ldexpf(1, -state->range->exponent), at->n);
    return values;
}

void tg_block_states(const tg_optim *o, const tg_entry *e, tg_workspace *w, const tg_place *at, tg_block *b)
{
    const tg_rule_info *info = &o->rule->info;
    for (size_t s = 0; s < info->slot_count; s++) {
        const tg_state *state = &e->state[s];
        b->slot[s] = NULL;
        if (state->data == NULL)
            continue;
        switch (info->slots[s].shape) {
        case TG_SLOT_ROW:
            b->slot[s] = (float *)state->data + at->row;
            break;
        case TG_SLOT_COLUMN:
            b->slot[s] = (float *)state->data + (at->first - at->row * e->param.cols);
            break;
        case TG_SLOT_FULL:
            b->slot[s] = state->format == TG_U8 ? NULL : full_state(o, state, w->slot[s], at);
            break;
        default:
            break;
        }
    }
}

static void narrow(const tg_optim *o, void *target, const float *values, tg_format format, size_t n, tg_key key,
                   size_t first)
{
    if (o->rounding == TG_NEAREST)
        o->kernels->narrow(target, values, format, n);
    else
        o->kernels->narrow_stochastic(target, values, format, n, key, first);
}

/* Counts the weights that the rule moved and rounding put back. */
static void store_counting(const tg_optim *o, const tg_entry *e, tg_workspace *w, const float *x, const tg_place *at)
{
    uint16_t *stored = (uint16_t *)e->param.data + at->first;
    memcpy(w->before, stored, at->n * sizeof *stored);
    o->kernels->narrow(stored, x, e->param.format, at->n);
    for (size_t i = 0; i < at->n; i++) {
        const float was = e->param.format == TG_BF16 ? tg_bf16_to_f32(w->before[i]) : tg_f16_to_f32(w->before[i]);
        const bool moved = x[i] != was;
        w->wanted += moved;
        w->frozen += moved && stored[i] == w->before[i];
    }
}

double tg_block_squares(const tg_optim *o, const tg_entry *e, const tg_place *at)
{
    const char *stored = (const char *)e->param.data + at->first * tg_format_bytes(e->param.format);
    return o->kernels->squares_of_stored(stored, e->param.format, at->n);
}

double tg_block_store_weights(const tg_optim *o, const tg_entry *e, tg_workspace *w, const float *x, const tg_place *at,
                              tg_key key)
{
    char *target = (char *)e->param.data + at->first * tg_format_bytes(e->param.format);
    const bool squares = e->block_squares != NULL;
    if (e->param.format == TG_F32) /* worked in place */
        return squares ? o->kernels->sum_squares_quick(x, at->n) : 0;
    if (e->compensation != NULL)
        o->kernels->narrow_pair(target, (uint16_t *)e->compensation + at->first, x, e->param.format, at->n);
    else if (o->rounding == TG_NEAREST && o->update == 0)
        store_counting(o, e, w, x, at);
    else
        narrow(o, target, x, e->param.format, at->n, key, at->first);
    return squares ? tg_block_squares(o, e, at) : 0;
}

/* Weights have a stream of their own for every update; or (weyl) one for all of them, which turns. States: the former.
 */
void tg_block_keys(const tg_optim *o, size_t entry, tg_pass *p)
{
    const uint64_t seed = (uint64_t)o->common[TG_COMMON_SEED], update = o->update + 1;
    const bool weyl = o->rounding == TG_WEYL;
    const tg_key key = tg_key_make(seed, TG_STREAM_WEIGHT, weyl ? 0 : update, entry);
    p->weight_key = weyl ? tg_key_turned(key, update) : key;
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        p->slot_key[s] = tg_key_beside(key, weyl ? tg_mix64(update) ^ (TG_STREAM_SLOT + s) : TG_STREAM_SLOT + s);
}

static void store_state(const tg_optim *o, const tg_state *state, float *values, const tg_place *at, tg_key key)
{
    if (state->format == TG_F32 || state->format == TG_U8) /* worked in place */
        return;
    char *target = (char *)state->data + at->first * tg_format_bytes(state->format);
    if (state->range != NULL) {
        tg_range_see(state->range, o->kernels->max_abs(values, at->n));
        if (state->range->exponent != 0)
            o->kernels->multiply(values, ldexpf(1, state->range->exponent), at->n);
    }
    narrow(o, target, values, state->format, at->n, key, at->first);
}

void tg_block_store_states(const tg_optim *o, size_t entry, const tg_block *b, const tg_place *at, size_t from)
{
    const tg_entry *e = &o->entry[entry];
    for (size_t s = from; s < o->rule->info.slot_count; s++)
        if (e->state[s].data != NULL && o->rule->info.slots[s].shape == TG_SLOT_FULL)
            store_state(o, &e->state[s], b->slot[s], at, o->pass[entry].slot_key[s]);
}

bool tg_block_in_storage(const tg_optim *o, const tg_entry *e, const tg_pass *p)
{
    const bool late = p->gradient != NULL && p->row_decay != 1; /* rows catch up in fp32 */
    bool all = o->rule->each && (o->rounding == TG_STOCHASTIC || o->rounding == TG_WEYL) &&
               e->param.format == TG_BF16 && e->compensation == NULL &&
               (p->gradient == NULL || p->gradient_format == TG_BF16) && p->gradient_scale == 1 && p->coupled == 0 &&
               o->common[TG_COMMON_CLIP_VALUE] == 0 && !late;
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        if (e->state[s].data != NULL && o->rule->info.slots[s].shape == TG_SLOT_FULL)
            all = all && (e->state[s].format == TG_U8 ||
                          e->state[s].format == (o->rule->info.slots[s].needs_range ? TG_F32 : TG_BF16));
    return all;
}

const tg_stored *tg_block_stored(const tg_optim *o, size_t entry, const tg_place *at, tg_stored *stored)
{
    const tg_entry *e = &o->entry[entry];
    const tg_pass *p = &o->pass[entry];
    if (!p->in_storage || at->first % 2 != 0 || at->n % 2 != 0 || at->first > UINT32_MAX)
        return NULL;
    *stored = (tg_stored){.x = (uint16_t *)e->param.data + at->first,
                          .g = p->gradient == NULL ? NULL : (const uint16_t *)p->gradient + at->first,
                          .draw = (uint32_t)(at->first / 2),
                          .x_key = p->weight_key};
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        if (e->state[s].data != NULL && o->rule->info.slots[s].shape == TG_SLOT_FULL) {
            if (e->state[s].format == TG_U8)
                continue;
            if (e->state[s].format == TG_F32)
                stored->wide[s] = (float *)e->state[s].data + at->first;
            else
                stored->slot[s] = (uint16_t *)e->state[s].data + at->first;
            stored->slot_key[s] = p->slot_key[s];
        }
    return stored;
}

const tg_codes *tg_block_codes(const tg_optim *o, size_t entry, const tg_place *at, tg_codes *codes)
{
    const tg_entry *e = &o->entry[entry];
    bool any = false;
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        if (e->state[s].scale != NULL) {
            codes->code[s] = (uint8_t *)e->state[s].data + at->first;
            codes->scale[s] = e->state[s].scale + at->first / TG_CODES;
            codes->key[s] = o->rounding == TG_NEAREST ? NULL : &o->pass[entry].slot_key[s];
            codes->first = at->first;
            any = true;
        }
    return any ? codes : NULL;
}
