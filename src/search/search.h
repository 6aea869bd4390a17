/* search/search.h -- what samplers and pruners are: one const descriptor, one file, one line in the list. */
#ifndef TG_SEARCH_SEARCH_H
#define TG_SEARCH_SEARCH_H

#include "base/random.h"
#include "tiger/engine/search.h"

#define TG_STREAM_SEARCH UINT64_C(0x736561726368) /* "search": the purpose of keys */

/* What is known when a trial is to be proposed. Points lie in the unit cube: numbers in 0 .. 1 along their range (of its
 * logarithm), choice i of n at (i + 0.5) / n. */
typedef struct tg_past {
    const tg_space *space;
    size_t count;         /* trials that have ended, the best first: complete ones by value, then pruned ones, those that
                             came furthest first, by what they reported last, then diverged ones */
    const double *point;  /* (count, dimensions) */
    const double *value;  /* (count), finite and ascending: complete ones' own; a pruned one's last, or the one's before
                             it if that is larger */
    size_t running;       /* trials under way */
    const double *under_way; /* (running, dimensions) */
    size_t number;        /* of the trial to be proposed */
    uint64_t seed;
} tg_past;

typedef struct tg_sampler {
    tg_sampler_info info;
    size_t startup; /* so many trials must have ended before it is asked; random ones until then */
    size_t (*trials)(const tg_space *space); /* NULL: no end */
    /* point (dimensions) <- what to try next. */
    tg_status (*suggest)(double *point, const tg_past *past);
} tg_sampler;

const tg_sampler *tg_sampler_find(const char *name);

/* Draws of this trial: a stream of their own for every `purpose`. */
static inline tg_key tg_past_key(const tg_past *past, uint64_t purpose)
{
    return tg_key_make(past->seed, TG_STREAM_SEARCH, past->number, purpose);
}

typedef struct tg_pruner {
    tg_sampler_info info;
    /* Whether `trial`, which has just reported a step, is to end. */
    bool (*prunes)(const tg_study *study, const tg_trial *trial);
} tg_pruner;

const tg_pruner *tg_pruner_find(const char *name);

/* ---- points ---- */

double tg_dimension_to_unit(const tg_dimension *dimension, double value);
/* The value there, of reals to four digits: what is told is what is run. */
double tg_dimension_from_unit(const tg_dimension *dimension, double unit);
/* The choice at a point. */
size_t tg_dimension_choice(const tg_dimension *dimension, double unit);

/* The point itself, for sampler "random" and the first trials of others. */
tg_status tg_sampler_draw(double *point, const tg_past *past);

#endif
