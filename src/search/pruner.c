/* search/pruner.c -- when to end a trial before its time.
 *
 *   median: its best value so far is above the median of what complete trials had reported at that step (Golovin et al.
 *           2017, KDD), once five are complete
 *   asha:   its n-th report, n = 1, 4, 16, ..., is not among the best quarter of all n-th reports, the best one always
 * being (successive halving that waits for nobody: Li et al. 2020, MLSys) */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "search/study.h"

#define COMPLETE_LEAST 5
#define REDUCTION 4

static bool never(const tg_study *study, const tg_trial *trial) { return (void)study, (void)trial, false; }

/* The value reported at `step`; NaN: none. */
static double at_step(const tg_trial *t, uint64_t step)
{
    for (size_t i = 0; i < t->steps; i++)
        if (t->step[i].step == step)
            return t->step[i].value;
    return NAN;
}

/* How many complete trials reported less than `limit` at `step`, of *all that reported. */
static size_t count_below(size_t *all, const tg_study *s, uint64_t step, double limit)
{
    size_t below = 0;
    *all = 0;
    for (size_t i = 0; i < s->trials; i++) {
        const double value = s->trial[i].state == TG_TRIAL_COMPLETE ? at_step(&s->trial[i], step) : NAN;
        *all += !isnan(value);
        below += value < limit;
    }
    return below;
}

/* Above the median: more than half lie below. (Of an even count that is beyond the upper of the two in the middle.) */
static bool above_median(const tg_study *s, const tg_trial *trial)
{
    double best = INFINITY;
    size_t all;
    for (size_t i = 0; i < trial->steps; i++)
        best = fmin(best, trial->step[i].value);
    const size_t below = count_below(&all, s, trial->step[trial->steps - 1].step, best);
    return all >= COMPLETE_LEAST && 2 * below > all;
}

static bool not_promoted(const tg_study *s, const tg_trial *trial)
{
    const size_t report = trial->steps;
    size_t rung = 1, all = 0, below = 0;
    while (rung < report)
        rung *= REDUCTION;
    if (rung != report)
        return false;
    for (size_t i = 0; i < s->trials; i++)
        if (s->trial[i].steps >= report) {
            all++;
            below += s->trial[i].step[report - 1].value < trial->step[report - 1].value;
        }
    return below >= (all / REDUCTION > 0 ? all / REDUCTION : 1);
}

#define TG_PRUNER(name) extern const tg_pruner tg_pruner_##name;
#include "search/pruners.inc"
#undef TG_PRUNER

const tg_pruner tg_pruner_none = {.info = {"none", "every trial is made to its end", "-"}, .prunes = never};
const tg_pruner tg_pruner_median = {.info = {"median",
                                             "ends what is worse than half of the complete trials were at that time",
                                             "Golovin et al. 2017, KDD"},
                                    .prunes = above_median};
const tg_pruner tg_pruner_asha = {.info = {"asha",
                                           "goes on with the best quarter at the 1st, 4th, 16th, ... evaluation",
                                           "Li et al. 2020, MLSys, arXiv:1810.05934"},
                                  .prunes = not_promoted};

#define TG_PRUNER(name) &tg_pruner_##name,
static const tg_pruner *const pruners[] = {
#include "search/pruners.inc"
};
#undef TG_PRUNER
#define PRUNERS (sizeof pruners / sizeof *pruners)

const tg_sampler_info *tg_pruner_at(size_t index) { return index < PRUNERS ? &pruners[index]->info : NULL; }

const tg_pruner *tg_pruner_find(const char *name)
{
    for (size_t i = 0; i < PRUNERS; i++)
        if (strcmp(pruners[i]->info.name, name) == 0)
            return pruners[i];
    return NULL;
}
