/* search/genetic.c -- children of good trials (Holland 1975; blend: Eshelman & Schaffer 1993).
 *
 *   parents: the better of two drawn from the best 20; child: each number anywhere between theirs and half as far again
 *   beyond, each choice one of theirs; each with chance 1/dimensions: a number + 0.1 z, a choice drawn anew */
#include <math.h>

#include "search/search.h"

#define POPULATION 20
#define BEYOND 0.5
#define MUTATION 0.1

static double uniform(tg_key key, uint32_t index) { return ((double)tg_random(key, index) + 0.5) * 0x1p-32; }

/* Trials are sorted: the better of two is the earlier one. */
static const double *parent(const tg_past *past, tg_key key, uint32_t which)
{
    const size_t among = past->count < POPULATION ? past->count : POPULATION;
    const uint64_t a = tg_random_below(key, 2 * which, among), b = tg_random_below(key, 2 * which + 1, among);
    return past->point + (a < b ? a : b) * past->space->count;
}

static tg_status suggest(double *point, const tg_past *past)
{
    const size_t dimensions = past->space->count;
    const tg_key chosen = tg_past_key(past, 2), mixed = tg_past_key(past, 3), changed = tg_past_key(past, 4);
    const double *a = parent(past, chosen, 0), *b = parent(past, chosen, 1);
    for (size_t i = 0; i < dimensions; i++) {
        const uint32_t d = (uint32_t)i;
        const bool choice = past->space->at[d].kind == TG_DIMENSION_CHOICE;
        const double share = (1 + 2 * BEYOND) * uniform(mixed, d) - BEYOND;
        const bool mutates = uniform(changed, 3 * d) * (double)dimensions < 1;
        if (choice)
            point[d] = mutates ? uniform(changed, 3 * d + 1) : share < 0.5 ? a[d] : b[d];
        else
            point[d] = a[d] + share * (b[d] - a[d]) +
                       (mutates ? MUTATION * (double)tg_random_normal(tg_key_beside(changed, d), 0) : 0);
        point[d] = fmin(1, fmax(0, point[d]));
    }
    return TG_OK;
}

const tg_sampler tg_sampler_genetic = {
    .info = {"genetic", "children of good trials, sometimes changed", "Holland 1975; Eshelman & Schaffer 1993"},
    .startup = 10,
    .suggest = suggest,
};
