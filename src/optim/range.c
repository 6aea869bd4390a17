/* optim/range.c -- the powers of two of fp16 states. A state is stored times 2^exponent, one exponent a tensor: chosen at the
 * first update, and moved when the largest magnitude nears either end of fp16's range. Moving is exact but for the last
 * places of what is subnormal there. */
#include <math.h>

#include "optim/optim.h"

#define GOAL 10      /* the largest magnitude is brought to 2^10, which leaves 2^5 above it and 2^34 below */
#define JUMP 4       /* gradients so many times larger than the last ones may need more room than that: squares 16 times */
#define FARTHEST 120 /* largest exponent: fp32 holds what it scales */

static int exponent_for(float most)
{
    int e;
    frexpf(most, &e);
    const int exponent = GOAL + 1 - e; /* at least GOAL - 127 */
    return exponent > FARTHEST ? FARTHEST : exponent;
}

void tg_range_note(const tg_optim *o, const tg_entry *e, const tg_block *b)
{
    if (e->state[0].range != NULL)
        tg_range_see(e->state[0].range, o->kernels->max_abs(b->slot[0], b->n));
}

static void move(const tg_optim *o, const tg_entry *e, const tg_state *state, int exponent)
{
    const float by = ldexpf(1, exponent - state->range->exponent);
    uint16_t *stored = state->data;
#pragma omp parallel for num_threads(tg_optim_threads(o)) schedule(static) if (e->n > TG_SERIAL_VALUES)
    for (size_t at = 0; at < e->n; at += TG_BLOCK) {
        float copy[TG_BLOCK];
        const size_t n = e->n - at < TG_BLOCK ? e->n - at : TG_BLOCK;
        o->kernels->widen(copy, stored + at, TG_F16, n);
        o->kernels->multiply(copy, by, n);
        o->kernels->narrow(stored + at, copy, TG_F16, n);
    }
    state->range->exponent = exponent;
}

/* What the update would make of a block's states, to fp32 copies. */
static void try_block(const tg_optim *o, size_t entry, size_t index, tg_workspace *w)
{
    const tg_entry *e = &o->entry[entry];
    const tg_pass *p = &o->pass[entry];
    const tg_place at = tg_block_place(e, index);
    if (tg_row_rests(e, p, at.row))
        return;
    tg_block b = {.n = at.n, .x = tg_block_weights(o, e, w, &at), .keep = 1, .scale = 1, .row_k = tg_row_scalars(e, at.row)};
    tg_block_states(o, e, w, &at, &b);
    b.g = tg_block_gradient(o, p, w, b.x, &at);
    b.d = !e->whole ? NULL : o->rule->look_moves ? w->d : tg_direction_of(o, e, &at, w, true);
    if (b.x != w->x)
        b.x = memcpy(w->x, b.x, at.n * sizeof *b.x);
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        if (b.slot[s] != NULL && o->rule->info.slots[s].shape == TG_SLOT_FULL && b.slot[s] != w->slot[s])
            b.slot[s] = memcpy(w->slot[s], b.slot[s], at.n * sizeof *b.slot[s]);
    if (e->looks && o->rule->look_moves)
        o->rule->look(&b, p->k);
    else
        o->rule->block(&b, p->k);
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        if (e->state[s].range != NULL)
            tg_range_see(e->state[s].range, o->kernels->max_abs(b.slot[s], at.n));
}

static float gradient_most(const tg_optim *o, size_t entry)
{
    const tg_entry *e = &o->entry[entry];
    float most = 0;
#pragma omp parallel num_threads(tg_optim_threads(o)) reduction(max : most) if (e->n > TG_SERIAL_VALUES)
    {
        tg_workspace w;
#pragma omp for schedule(static)
        for (size_t index = 0; index < e->blocks; index++) {
            const tg_place at = tg_block_place(e, index);
            if (tg_row_rests(e, &o->pass[entry], at.row))
                continue;
            const float *x = tg_block_weights(o, e, &w, &at);
            const float here = o->kernels->max_abs(tg_block_gradient(o, &o->pass[entry], &w, x, &at), at.n);
            most = here > most ? here : most;
        }
    }
    return most;
}

static void try_update(const tg_optim *o, size_t entry)
{
    const tg_entry *e = &o->entry[entry];
#pragma omp parallel num_threads(tg_optim_threads(o)) if (e->n > TG_SERIAL_VALUES)
    {
        tg_workspace w;
#pragma omp for schedule(static)
        for (size_t index = 0; index < e->blocks; index++)
            try_block(o, entry, index, &w);
    }
}

void tg_range_fit(tg_optim *o, size_t entry)
{
    const tg_entry *e = &o->entry[entry];
    for (size_t s = 0; s < o->rule->info.slot_count; s++) {
        tg_range *r = e->state[s].range;
        if (r == NULL)
            continue;
        if (r->most == 0 && r->next > 0)
            r->exponent = exponent_for(r->next);
        else if (ldexpf(r->next, r->exponent) > 0x1p15f)
            move(o, e, &e->state[s], exponent_for(r->next));
        r->next = 0;
    }
}

void tg_range_choose(tg_optim *o, size_t entry)
{
    const tg_entry *e = &o->entry[entry];
    tg_range *range[TG_MAX_SLOTS];
    size_t count = 0;
    bool any_free = false;
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        if (e->state[s].range != NULL) {
            any_free = any_free || e->state[s].range->most == 0;
            range[count++] = e->state[s].range;
        }
    if (count == 0 || o->pass[entry].gradient == NULL) /* tiles have made room in a folded state */
        return;
    const float most = gradient_most(o, entry);
    const bool jumps = most > JUMP * range[0]->gradient_most;
    if (any_free || jumps)
        try_update(o, entry);
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        if (e->state[s].range != NULL)
            e->state[s].range->gradient_most = most;
    tg_range_fit(o, entry);
}

void tg_range_after(tg_optim *o, size_t entry)
{
    const tg_entry *e = &o->entry[entry];
    for (size_t s = 0; s < o->rule->info.slot_count; s++) {
        tg_range *range = e->state[s].range;
        if (range == NULL)
            continue;
        range->most = e->lazy && range->most > range->next ? range->most : range->next; /* resting rows were not seen */
        range->next = 0;
        if (o->pass[entry].gradient == NULL)
            range->gradient_most = 0;
        const float stored = ldexpf(range->most, range->exponent);
        if (range->most > 0 && (stored < 0x1p4f || stored > 0x1p14f) && exponent_for(range->most) != range->exponent)
            move(o, e, &e->state[s], exponent_for(range->most));
    }
}

void tg_range_of_tile(tg_optim *o, size_t entry, const float *tile, size_t n, double scale, unsigned tiles)
{
    const tg_entry *e = &o->entry[entry];
    tg_range *range = e->state[0].range;
    if (range == NULL)
        return;
    const float most = o->kernels->max_abs(tile, n) * (float)fabs(scale);
    range->gradient_most = most > range->gradient_most ? most : range->gradient_most;
    const float bound = range->most + range->gradient_most * (float)tiles;
    if (range->most == 0 && range->next == 0 && bound > 0)
        range->exponent = exponent_for(bound);
    else if (ldexpf(bound, range->exponent) > 0x1p15f)
        move(o, e, &e->state[0], exponent_for(bound));
    range->next = bound > range->next ? bound : range->next;
}
