/* optim/each.h -- the loop of rules that treat every weight alike: the rule says what becomes of one weight, tg_each
 * does it to all of a block. For files built per instruction set.
 *
 * A block comes as fp32 arrays, or as it is stored in bf16. Then two neighbours are widened, updated and rounded
 * stochastically in registers: as many arrays as a rule has pass through the processor once, not three times.
 * Everything is inlined into one loop, which vectorises: `step` must be a function the compiler sees, without branches.
 */
#ifndef TG_OPTIM_EACH_H
#define TG_OPTIM_EACH_H

#include "base/pair.h"
#include "base/random.h"
#include "optim/rule.h"

/* One weight, its gradient and its states. */
typedef struct tg_element {
    float x, g, slot[TG_MAX_SLOTS];
} tg_element;

typedef void tg_step(tg_element *e, const float *k);

static inline bool tg_is_folded(const tg_block *b) { return b->stored != NULL ? b->stored->g == NULL : b->g == NULL; }

static inline bool tg_has_slot(const tg_block *b, size_t slot)
{
    return b->stored != NULL ? b->stored->slot[slot] != NULL || b->stored->wide[slot] != NULL : b->slot[slot] != NULL;
}

/* `slots`: bits of the states that are read; with a gradient they are moved too. Both are constants when inlined. What the
 * step leaves in x becomes the weight or, where `seen` is not NULL, goes there. */
TG_INLINE void tg_each_float(const tg_block *b, const float *own_k, tg_step *step, unsigned slots, bool gradient,
                             float *restrict seen)
{
    float *restrict x = b->x, *restrict s0 = b->slot[0], *restrict s1 = b->slot[1], *restrict s2 = b->slot[2];
    float *restrict s3 = b->slot[3], k[TG_MAX_SCALARS];
    const float *restrict g = b->g, keep = b->keep, scale = b->scale;
    const size_t n = b->n;
    memcpy(k, own_k, sizeof k); /* nothing that is written can lie there */
    for (size_t i = 0; i < n; i++) {
        tg_element e = {.x = keep * x[i],
                        .g = gradient ? scale * g[i] : 0.0f,
                        .slot[0] = (slots & 1) != 0 ? s0[i] : 0.0f,
                        .slot[1] = (slots & 2) != 0 ? s1[i] : 0.0f,
                        .slot[2] = (slots & 4) != 0 ? s2[i] : 0.0f,
                        .slot[3] = (slots & 8) != 0 ? s3[i] : 0.0f};
        step(&e, k);
        *(seen != NULL ? &seen[i] : &x[i]) = e.x;
        if (gradient && (slots & 1) != 0)
            s0[i] = e.slot[0];
        if (gradient && (slots & 2) != 0)
            s1[i] = e.slot[1];
        if (gradient && (slots & 4) != 0)
            s2[i] = e.slot[2];
        if (gradient && (slots & 8) != 0)
            s3[i] = e.slot[3];
    }
}

/* Pair p of a state, from fp32 (wide) or bf16, into two elements; and back. */
TG_INLINE void tg_read_slot(tg_element *e, tg_element *f, size_t slot, bool wide, const float *w, const uint16_t *s,
                            size_t p)
{
    const uint32_t pair = wide ? 0 : tg_pair_load(s + 2 * p);
    e->slot[slot] = wide ? w[2 * p] : tg_pair_first(pair);
    f->slot[slot] = wide ? w[2 * p + 1] : tg_pair_second(pair);
}

TG_INLINE void tg_write_slot(float *w, uint16_t *s, size_t p, const tg_element *e, const tg_element *f, size_t slot,
                             bool wide, uint32_t last)
{
    if (wide)
        w[2 * p] = e->slot[slot], w[2 * p + 1] = f->slot[slot];
    else
        tg_pair_store(s + 2 * p, tg_pair_round_last(e->slot[slot], f->slot[slot], last));
}

/* Constants when inlined, for the same bits by fewer instructions. `plain`: keep and scale are 1 and the draws do not turn,
 * as mostly. `calm`: and no weight is rounded to Inf, see tg_is_calm. */
TG_INLINE void tg_each_pair(const tg_block *b, const float *own_k, tg_step *step, unsigned slots, unsigned ranged,
                            bool gradient, bool plain, bool calm, float *restrict seen)
{
    const tg_stored *at = b->stored;
    uint16_t *restrict x = at->x, *restrict s0 = at->slot[0], *restrict s1 = at->slot[1], *restrict s2 = at->slot[2];
    float *restrict w0 = at->wide[0], *restrict w1 = at->wide[1], *restrict w2 = at->wide[2];
    const uint16_t *restrict g = at->g;
    const uint32_t a = at->x_key.a, kx = at->x_key.b, turn = tg_pair_turn(at->x_key);
    const uint32_t k0 = at->slot_key[0].b, k1 = at->slot_key[1].b, k2 = at->slot_key[2].b;
    const float keep = plain ? 1.0f : b->keep, scale = plain ? 1.0f : b->scale;
    const size_t pairs = b->n / 2;
    uint32_t draw = at->draw; /* counts beside p, of 64 bits, which vectors of draws would be made of at a cost */
    float k[TG_MAX_SCALARS];
    memcpy(k, own_k, sizeof k);
    for (size_t p = 0; p < pairs; p++, draw++) {
        const uint32_t px = tg_pair_load(x + 2 * p), pg = gradient ? tg_pair_load(g + 2 * p) : 0;
        tg_element e = {.x = keep * tg_pair_first(px), .g = scale * tg_pair_first(pg)};
        tg_element f = {.x = keep * tg_pair_second(px), .g = scale * tg_pair_second(pg)};
        if ((slots & 1) != 0)
            tg_read_slot(&e, &f, 0, (ranged & 1) != 0, w0, s0, p);
        if ((slots & 2) != 0)
            tg_read_slot(&e, &f, 1, (ranged & 2) != 0, w1, s1, p);
        if ((slots & 4) != 0)
            tg_read_slot(&e, &f, 2, (ranged & 4) != 0, w2, s2, p);
        step(&e, k);
        step(&f, k);
        const uint32_t begun = tg_random_begin(a, draw), last = tg_random_last(kx, begun);
        if (seen != NULL)
            seen[2 * p] = e.x, seen[2 * p + 1] = f.x;
        else
            tg_pair_store(x + 2 * p, calm    ? tg_pair_round_calm_last(e.x, f.x, last)
                                     : plain ? tg_pair_round_last(e.x, f.x, last)
                                             : tg_pair_round(e.x, f.x, tg_random_spread(last) + turn));
        if (gradient && (slots & 1) != 0)
            tg_write_slot(w0, s0, p, &e, &f, 0, (ranged & 1) != 0, tg_random_last(k0, begun));
        if (gradient && (slots & 2) != 0)
            tg_write_slot(w1, s1, p, &e, &f, 1, (ranged & 2) != 0, tg_random_last(k1, begun));
        if (gradient && (slots & 4) != 0)
            tg_write_slot(w2, s2, p, &e, &f, 2, (ranged & 4) != 0, tg_random_last(k2, begun));
    }
}

TG_INLINE bool tg_is_plain(const tg_block *b)
{
    return b->keep == 1.0f && b->scale == 1.0f && b->stored->x_key.turn == 0;
}

/* Moves x and states of every weight of the block. Constants: bit s of `slots`: the step has state s; of `ranged`: the
 * state needs_range. */
TG_INLINE void tg_each(const tg_block *b, const float *k, tg_step *step, unsigned slots, unsigned ranged)
{
    if (b->stored == NULL)
        tg_each_float(b, k, step, slots, true, NULL);
    else if (tg_is_plain(b))
        tg_each_pair(b, k, step, slots, ranged, true, true, false, NULL);
    else
        tg_each_pair(b, k, step, slots, ranged, true, false, false, NULL);
}

/* For a `look` that moves states: what the step leaves in x goes to `seen` (n), the weights stay. */
TG_INLINE void tg_each_look(const tg_block *b, const float *k, tg_step *step, unsigned slots, unsigned ranged,
                            float *restrict seen)
{
    if (b->stored == NULL)
        tg_each_float(b, k, step, slots, true, seen);
    else
        tg_each_pair(b, k, step, slots, ranged, true, true, false, seen);
}

/* Behind it: moves x, and reads the states. */
TG_INLINE void tg_each_moved(const tg_block *b, const float *k, tg_step *step, unsigned slots, unsigned ranged)
{
    if (b->stored == NULL)
        tg_each_float(b, k, step, slots, false, NULL);
    else if (tg_is_plain(b))
        tg_each_pair(b, k, step, slots, ranged, false, true, false, NULL);
    else
        tg_each_pair(b, k, step, slots, ranged, false, false, false, NULL);
}

/* Whether weights in bf16 stay what rounding needs no care with under x -= eta (s + decay x), |s| <= 1. None grows but by
 * eta, and the largest do not by that little, as their last place is worth 2^104; Inf becomes NaN. */
static inline bool tg_is_calm(float eta, float decay) { return eta < 0x1p20f && decay <= 1.0f && eta * decay <= 1.0f; }

/* The same of a block whose gradient is folded into slot 0, which is only read. */
TG_INLINE void tg_each_folded(const tg_block *b, const float *k, tg_step *step, bool calm)
{
    if (b->stored == NULL)
        tg_each_float(b, k, step, 1, false, NULL);
    else if (!tg_is_plain(b))
        tg_each_pair(b, k, step, 1, 0, false, false, false, NULL);
    else if (calm)
        tg_each_pair(b, k, step, 1, 0, false, true, true, NULL);
    else
        tg_each_pair(b, k, step, 1, 0, false, true, false, NULL);
}

#endif
