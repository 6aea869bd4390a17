/* schedule/constant.c -- the same factor all the time. PyTorch: ConstantLR, whose stage ends after total_iters. */
#include "schedule/schedule.h"

enum { UPDATES, FACTOR };

static const tg_option options[] = {
    [UPDATES] = TG_OPTION_STAGE_UPDATES,
    [FACTOR] = {.name = "factor", .kind = TG_REAL, .value = 1, .least = 0, .most = INFINITY, .help = "the factor"},
};

static double factor(const tg_stage *stage, double u)
{
    (void)u;
    return stage->option[FACTOR];
}

const tg_schedule_kind tg_schedule_kind_constant = {
    .info = {.name = "constant",
             .formula = "factor",
             .help = "stays as it is",
             .first = "factor",
             .options = TG_SCHEDULE_TABLE(options)},
    .factor = factor,
};
