/* schedule/as_lr.c -- goes the learning rate's way, or a power of it: (alpha_t / alpha)^power, alpha being lr's base
 * value.
 *
 * "warmup:100 > cosine; gamma=as_lr:0.5" anneals Tiger into SGD with momentum as the rate falls (Su Jianlin 2023,
 * spaces.ac.cn/archives/9512: powers 0.5, 1 and 2). */
#include <float.h>

#include "schedule/schedule.h"

enum { UPDATES, POWER };

static const tg_option options[] = {
    [UPDATES] = TG_OPTION_STAGE_UPDATES,
    [POWER] = {.name = "power",
               .kind = TG_REAL,
               .value = 1,
               .least = 0,
               .most = INFINITY,
               .above = 1,
               .help = "of the learning rate's factor"},
};

static double factor(const tg_stage *stage, double u)
{
    (void)u;
    return fmin(pow(stage->lr, stage->option[POWER]), DBL_MAX); /* factors are finite, whatever the power */
}

const tg_schedule_kind tg_schedule_kind_as_lr = {
    .info = {.name = "as_lr",
             .formula = "(factor of lr)^power",
             .help = "the learning rate's own course, or a power of it, for other options",
             .first = "power",
             .options = TG_SCHEDULE_TABLE(options)},
    .factor = factor,
    .follows_lr = true,
};
