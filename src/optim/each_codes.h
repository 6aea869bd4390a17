/* optim/each_codes.h -- the loop of optim/each.h for rules whose states are codes of 8 bits. For files built per
 * instruction set. */
#ifndef TG_OPTIM_EACH_CODES_H
#define TG_OPTIM_EACH_CODES_H

#include "base/codes.h"
#include "optim/each.h"

/* Of a block in codes so many scales' worth at a time. Measured: with more, memory waits too long for its turn. */
#define TG_SCALES ((size_t)2)

/* Some scales' worth of a block in codes: `n` values from `at` on. */
TG_INLINE void tg_each_scales(const tg_block *b, const float *k, tg_step *step, unsigned slots, unsigned positive,
                              size_t at, size_t n)
{
    _Alignas(64) float wide[2][TG_SCALES * TG_CODES];
    const size_t unit = n < TG_CODES ? n : TG_CODES;
    const tg_codes *c = b->codes;
    tg_stored stored;
    tg_block part = {.n = n, .keep = b->keep, .scale = b->scale};
    for (size_t s = 0; s < 2; s++)
        if ((slots >> s & 1) != 0) {
            for (size_t i = 0; i < n; i += unit)
                tg_codes_decode(wide[s] + i, c->code[s] + at + i, c->scale[s][(at + i) / TG_CODES],
                                (positive >> s & 1) == 0, unit);
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
        for (size_t i = 0; (slots >> s & 1) != 0 && i < n; i += unit)
            c->scale[s][(at + i) / TG_CODES] = tg_codes_scale(tg_max_abs(wide[s] + i, unit));
    for (size_t s = 0; s < 2; s++)
        for (size_t i = 0; (slots >> s & 1) != 0 && i < n; i += unit)
            tg_codes_encode(c->code[s] + at + i, wide[s] + i, c->scale[s][(at + i) / TG_CODES],
                            (positive >> s & 1) == 0, unit, c->key[s], c->first + at + i);
}

/* tg_each where all states, at most two, are codes; bit s of `positive`: state s has no sign. Codes become numbers for
 * a few scales' worth of weights at a time, which never leave the first-level cache. */
TG_INLINE void tg_each_codes(const tg_block *b, const float *k, tg_step *step, unsigned slots, unsigned positive)
{
    size_t at = 0;
    for (; at + TG_SCALES * TG_CODES <= b->n; at += TG_SCALES * TG_CODES)
        tg_each_scales(b, k, step, slots, positive, at, TG_SCALES * TG_CODES);
    for (; at + TG_CODES <= b->n; at += TG_CODES)
        tg_each_scales(b, k, step, slots, positive, at, TG_CODES);
    if (at < b->n)
        tg_each_scales(b, k, step, slots, positive, at, b->n - at);
}

#endif
