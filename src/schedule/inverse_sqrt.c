/* schedule/inverse_sqrt.c -- sqrt(U / max(u, U)): 1 for U updates, then falling as one over the root of the time
 * (Vaswani et al. 2017, arXiv:1706.03762, section 5.3).
 *
 * u counts from the stage's own start. Behind a warm-up of U updates, offset=U makes it count from the run's start, as
 * the paper does: "warmup:4000 > inverse_sqrt:4000,offset=4000". */
#include "schedule/schedule.h"

enum { UPDATES, TIMESCALE, OFFSET };

static const tg_option options[] = {
    [UPDATES] = TG_OPTION_STAGE_UPDATES,
    [TIMESCALE] = {.name = "timescale",
                   .kind = TG_INTEGER,
                   .value = NAN,
                   .least = 1,
                   .most = INFINITY,
                   .help = "U, updates before the fall begins"},
    [OFFSET] = {.name = "offset",
                .kind = TG_INTEGER,
                .value = 0,
                .least = 0,
                .most = INFINITY,
                .help = "updates to count as made before"},
};

static double factor(const tg_stage *stage, double u)
{
    const double U = stage->option[TIMESCALE], v = u + stage->option[OFFSET];
    return v <= U ? 1 : sqrt(U / v);
}

const tg_schedule_kind tg_schedule_kind_inverse_sqrt = {
    .info = {.name = "inverse_sqrt",
             .formula = "sqrt(U / max(u + offset, U)), U = timescale",
             .help = "falls as one over the root of the time",
             .first = "timescale",
             .options = TG_SCHEDULE_TABLE(options)},
    .factor = factor,
};
