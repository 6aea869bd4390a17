/* schedule/exponential.c -- gamma^u. PyTorch: ExponentialLR. */
#include "schedule/schedule.h"

enum { UPDATES, GAMMA };

static const tg_option options[] = {[UPDATES] = TG_OPTION_STAGE_UPDATES, [GAMMA] = TG_OPTION_GAMMA(NAN)};

static double factor(const tg_stage *stage, double u) { return pow(stage->option[GAMMA], u); }

const tg_schedule_kind tg_schedule_kind_exponential = {
    .info = {.name = "exponential",
             .formula = "gamma^u",
             .help = "the same share off at every update",
             .first = "gamma",
             .options = TG_SCHEDULE_TABLE(options)},
    .factor = factor,
};
