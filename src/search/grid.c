/* search/grid.c -- every combination of five values of each number, ends included, and of all choices.
 *
 * In an order that is drawn, so that a search that is stopped has looked everywhere a little. */
#include <string.h>

#include "base/memory.h"
#include "search/search.h"

#define POINTS 5

static size_t along(const tg_dimension *d)
{
    const double whole = d->high - d->low + 1;
    if (d->kind == TG_DIMENSION_CHOICE)
        return d->choices;
    if (d->low == d->high)
        return 1;
    return d->kind == TG_DIMENSION_WHOLE && whole < POINTS ? (size_t)whole : POINTS;
}

static size_t trials(const tg_space *space)
{
    size_t all = 1;
    for (size_t d = 0; d < space->count; d++)
        if (!tg_multiply(&all, all, along(&space->at[d])))
            return SIZE_MAX;
    return all;
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        const uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Trial `number` of `all` in an order that goes round all of them: by a stride without a common divisor. */
static size_t shuffled(size_t number, size_t all, uint64_t seed)
{
    const tg_key key = tg_key_make(seed, TG_STREAM_SEARCH, 0, 1);
    uint64_t stride = 1 + tg_random_below(key, 0, all);
    while (common_divisor(stride, all) != 1)
        stride++;
    return (size_t)(((tg_uint128)stride * (number % all) + tg_random_below(key, 1, all)) % all);
}

/* The cell's point, as it is once its values have been written down. */
static void place(double *point, const tg_space *space, size_t cell)
{
    for (size_t d = 0; d < space->count; d++) {
        const tg_dimension *dimension = &space->at[d];
        const size_t n = along(dimension), i = cell % n;
        cell /= n;
        const double unit = dimension->kind == TG_DIMENSION_CHOICE ? ((double)i + 0.5) / (double)n
                            : n == 1                               ? 0
                                                                   : (double)i / (double)(n - 1);
        point[d] = tg_dimension_to_unit(dimension, tg_dimension_from_unit(dimension, unit));
    }
}

static bool is_among(const double *point, size_t dimensions, const double *points, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(point, points + i * dimensions, dimensions * sizeof *point) == 0)
            return true;
    return false;
}

/* A point that nobody has tried, while there is one: trials that failed leave theirs to others. */
static tg_status suggest(double *point, const tg_past *past)
{
    const size_t all = trials(past->space), dimensions = past->space->count;
    for (size_t i = 0; i < all; i++) {
        place(point, past->space, shuffled(past->number + i, all, past->seed));
        if (!is_among(point, dimensions, past->point, past->count) &&
            !is_among(point, dimensions, past->under_way, past->running))
            break;
    }
    return TG_OK;
}

const tg_sampler tg_sampler_grid = {
    .info = {"grid", "every combination of five values a number and of all choices, in a drawn order", "-"},
    .trials = trials,
    .suggest = suggest,
};
