/* search/anneal.c -- near a good trial, ever nearer (as hyperopt's anneal; simulated annealing: Kirkpatrick et al.
 * 1983).
 *
 *   from: trial i of those sorted by value, i geometric with mean 1.5; number: + r z, choice: drawn anew with chance r
 *   r = 1 / (1 + n / 10) falls with the number n of trials that have ended
 *
 * The trial it begins at is a worse one now and then: that is the temperature. */
#include <math.h>

#include "search/search.h"

#define COOLING 10.0
#define WORSE 0.6 /* the chance to go on to the next worse one */

static double uniform(tg_key key, uint32_t index) { return ((double)tg_random(key, index) + 0.5) * 0x1p-32; }

static tg_status suggest(double *point, const tg_past *past)
{
    const size_t dimensions = past->space->count;
    const tg_key key = tg_past_key(past, 2);
    const double reach = 1 / (1 + (double)past->count / COOLING);
    const size_t drawn = (size_t)(log(uniform(key, 0)) / log(WORSE));
    const double *from = past->point + (drawn < past->count ? drawn : past->count - 1) * dimensions;
    for (size_t i = 0; i < dimensions; i++) {
        const uint32_t d = (uint32_t)i;
        if (past->space->at[d].kind == TG_DIMENSION_CHOICE)
            point[d] = uniform(key, 3 * d + 1) < reach ? uniform(key, 3 * d + 2) : from[d];
        else
            point[d] = fmin(1, fmax(0, from[d] + 0.5 * reach * (double)tg_random_normal(tg_key_beside(key, d), 0)));
    }
    return TG_OK;
}

const tg_sampler tg_sampler_anneal = {
    .info = {"anneal", "near a good trial, ever nearer", "Kirkpatrick, Gelatt & Vecchi 1983, Science 220"},
    .startup = 5,
    .suggest = suggest,
};
