/* optim/each_codes.h -- the loop of optim/each.h for rules whose states are codes of 8 bits. For files built per
 * instruction set. */
#ifndef TG_OPTIM_EACH_CODES_H
#define TG_OPTIM_EACH_CODES_H

#include "base/code8.h"
#include "base/kernels.h"
#include "optim/each.h"

/* Of a block in codes so many values at a time. Measured: with more, memory waits too long for its turn. */
#define TG_CODED (2 * TG_CODES)

/* Some of a block in codes: `n` values from `at` on. */
TG_INLINE void tg_each_coded(const tg_block *b, const float *k, tg_step *step, unsigned slots, unsigned positive,
                             size_t at, size_t n)
{
    _Alignas(64) float wide[2][TG_CODED];
    const tg_codes *c = b->codes;
    tg_stored stored;
    tg_block part = {.n = n, .keep = b->keep, .scale = b->scale};
    for (size_t s = 0; s < 2; s++)
        if ((slots >> s & 1) != 0) {
            TG_PER_ISA(tg_kernels).decode(wide[s], c->code[s] + at, c->scale[s] + at / TG_CODES,
                                          (positive >> s & 1) == 0, n);
            part.slot[s] = wide[s];
        }
    if (b->stored == NULL) {
        part.x = b->x + at, part.g = b->g + at;
        tg_each_float(&part, k, step, slots, true, NULL);
    } else {
        stored = (tg_stored){.x = b->stored->x + at,
                             .wide = {wide[0], wide[1]},
                             .g = b->stored->g + at,
                             .draw = b->stored->draw + (uint32_t)(at / 2),
                             .x_key = b->stored->x_key};
        part.stored = &stored;
        tg_each(&part, k, step, slots, slots);
    }
    for (size_t s = 0; s < 2; s++)
        if ((slots >> s & 1) != 0)
            TG_PER_ISA(tg_kernels).encode(c->code[s] + at, c->scale[s] + at / TG_CODES, wide[s],
                                          (positive >> s & 1) == 0, n, c->key[s], c->first + at);
}

/* tg_each where all states, at most two, are codes; bit s of `positive`: state s has no sign. Codes become numbers for
 * a few units' worth of weights at a time, which never leave the first-level cache. */
TG_INLINE void tg_each_codes(const tg_block *b, const float *k, tg_step *step, unsigned slots, unsigned positive)
{
    size_t at = 0;
    for (; at + TG_CODED <= b->n; at += TG_CODED)
        tg_each_coded(b, k, step, slots, positive, at, TG_CODED);
    if (at < b->n)
        tg_each_coded(b, k, step, slots, positive, at, b->n - at);
}

#endif
