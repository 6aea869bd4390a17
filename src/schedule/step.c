/* schedule/step.c -- gamma^floor(u / s): a stair with equal steps. PyTorch: StepLR. */
#include "schedule/schedule.h"

enum { UPDATES, STEP_SIZE, GAMMA };

static const tg_option options[] = {
    [UPDATES] = TG_OPTION_STAGE_UPDATES,
    [STEP_SIZE] = {.name = "step_size",
                   .kind = TG_INTEGER,
                   .value = NAN,
                   .least = 1,
                   .most = INFINITY,
                   .help = "s, updates between two steps"},
    [GAMMA] = TG_OPTION_GAMMA(0.1),
};

static double factor(const tg_stage *stage, double u)
{
    return pow(stage->option[GAMMA], floor(u / stage->option[STEP_SIZE]));
}

const tg_schedule_kind tg_schedule_kind_step = {
    .info = {.name = "step",
             .formula = "gamma^floor(u / step_size)",
             .help = "a stair with equal steps",
             .first = "step_size",
             .options = TG_SCHEDULE_TABLE(options)},
    .factor = factor,
};
