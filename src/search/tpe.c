/* search/tpe.c -- tree-structured Parzen estimator (Bergstra, Bardenet, Bengio & Kegl 2011, NeurIPS 24).
 *
 *   good: the best min(ceil(n / 10), 25) trials that have ended; bad: the others, and those under way
 *   l, g: densities of the good and of the bad along each dimension
 *   try what has the largest l / g among 24 draws from l, in each dimension by itself
 *
 * A density of numbers is the mean of a normal around each trial, as wide as the way to its farther neighbour, cut at
 * the range's ends, and of one over the whole range; of choices, how often each was taken, and once more for each.
 * Trials under way count as bad, so that workers side by side do not try the same. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "search/search.h"

#define CANDIDATES 24
#define GOOD_MOST 25
#define TRIES 64 /* at least a third of a normal around a place in the range lies in the range */

/* Places along one dimension, ascending, with the width of the normal around each; the one over the
 * whole range is among them. */
typedef struct parzen {
    double *at, *width;
    size_t count;
} parzen;

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* at[] holds the trials' places; the middle of the range is put beside them. */
static void parzen_build(parzen *p)
{
    const double least = 1.0 / fmin(100, 1 + (double)p->count);
    p->at[p->count++] = 0.5;
    qsort(p->at, p->count, sizeof *p->at, ascending);
    for (size_t i = 0; i < p->count; i++) {
        const double before = i > 0 ? p->at[i] - p->at[i - 1] : p->at[i];
        const double behind = i + 1 < p->count ? p->at[i + 1] - p->at[i] : 1 - p->at[i];
        p->width[i] = fmin(1, fmax(least, fmax(before, behind)));
    }
    for (size_t i = 0; i < p->count; i++)
        if (p->at[i] == 0.5) {
            p->width[i] = 1;
            break;
        }
}

static double density(const parzen *p, double x)
{
    double sum = 0;
    for (size_t i = 0; i < p->count; i++) {
        const double z = (x - p->at[i]) / p->width[i], root = sqrt(2) * p->width[i];
        const double inside = 0.5 * (erf((1 - p->at[i]) / root) + erf(p->at[i] / root));
        sum += exp(-0.5 * z * z) / (p->width[i] * inside);
    }
    return sum / (double)p->count;
}

static double draw(const parzen *p, tg_key key, uint32_t candidate)
{
    const size_t i = tg_random_below(key, candidate, p->count);
    const tg_key own = tg_key_beside(key, candidate);
    double x = p->at[i];
    for (uint32_t t = 0; t < TRIES; t++) {
        x = p->at[i] + p->width[i] * (double)tg_random_normal(own, t);
        if (x >= 0 && x <= 1)
            return x;
    }
    return p->at[i];
}

static double best_number(const parzen *good, const parzen *bad, tg_key key)
{
    double best = 0.5, most = -INFINITY;
    for (uint32_t c = 0; c < CANDIDATES; c++) {
        const double x = draw(good, key, c), gain = log(density(good, x)) - log(density(bad, x));
        if (gain > most) {
            most = gain;
            best = x;
        }
    }
    return best;
}

/* The same for choices: places are those of choices. */
static double best_choice(const tg_dimension *d, const parzen *good, const parzen *bad, tg_key key)
{
    double best = 0.5, most = -INFINITY;
    for (uint32_t c = 0; c < CANDIDATES; c++) {
        const uint64_t from = tg_random_below(key, c, good->count + d->choices);
        const size_t choice =
            from < good->count ? tg_dimension_choice(d, good->at[from]) : (size_t)(from - good->count);
        double taken[2] = {1, 1};
        for (size_t i = 0; i < good->count; i++)
            taken[0] += tg_dimension_choice(d, good->at[i]) == choice;
        for (size_t i = 0; i < bad->count; i++)
            taken[1] += tg_dimension_choice(d, bad->at[i]) == choice;
        const double gain =
            log(taken[0] / (double)(good->count + d->choices)) - log(taken[1] / (double)(bad->count + d->choices));
        if (gain > most) {
            most = gain;
            best = ((double)choice + 0.5) / (double)d->choices;
        }
    }
    return best;
}

static void take(parzen *p, const double *point, size_t count, size_t dimensions, size_t d)
{
    for (size_t i = 0; i < count; i++)
        p->at[p->count++] = point[i * dimensions + d];
}

static tg_status suggest(double *point, const tg_past *past)
{
    const size_t n = past->count, dimensions = past->space->count, room = n + past->running + 2;
    const size_t tenth = (n + 9) / 10, good_count = tenth < GOOD_MOST ? tenth : GOOD_MOST;
    double *memory = tg_heap_alloc(4 * room, sizeof *memory);
    if (memory == NULL)
        return tg_no_memory("a sampler", 4 * room * sizeof *memory);
    for (size_t d = 0; d < dimensions; d++) {
        const tg_dimension *dimension = &past->space->at[d];
        const tg_key key = tg_past_key(past, 2 + d);
        parzen good = {.at = memory, .width = memory + room},
               bad = {.at = memory + 2 * room, .width = memory + 3 * room};
        take(&good, past->point, good_count, dimensions, d);
        take(&bad, past->point + good_count * dimensions, n - good_count, dimensions, d);
        take(&bad, past->under_way, past->running, dimensions, d);
        if (dimension->kind == TG_DIMENSION_CHOICE) {
            point[d] = best_choice(dimension, &good, &bad, key);
            continue;
        }
        parzen_build(&good);
        parzen_build(&bad);
        point[d] = best_number(&good, &bad, key);
    }
    tg_heap_free(memory);
    return TG_OK;
}

const tg_sampler tg_sampler_tpe = {
    .info = {"tpe", "where good trials lie close and bad ones far, option by option",
             "Bergstra, Bardenet, Bengio & Kegl 2011, NeurIPS 24"},
    .startup = 10,
    .suggest = suggest,
};
