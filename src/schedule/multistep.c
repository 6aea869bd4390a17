/* schedule/multistep.c -- gamma^(given updates reached): a stair with its steps where one wants them.
 * PyTorch: MultiStepLR. */
#include "schedule/schedule.h"

enum { UPDATES, GAMMA };

static const tg_option options[] = {[UPDATES] = TG_OPTION_STAGE_UPDATES, [GAMMA] = TG_OPTION_GAMMA(0.1)};

static double factor(const tg_stage *stage, double u)
{
    size_t reached = 0;
    while (reached < stage->items && stage->list[reached] <= u)
        reached++;
    return pow(stage->option[GAMMA], (double)reached);
}

const tg_schedule_kind tg_schedule_kind_multistep = {
    .info = {.name = "multistep",
             .formula = "gamma^(number of the given updates reached)",
             .help = "a stair with steps at the given updates",
             .list = "UPDATE,...",
             .options = TG_SCHEDULE_TABLE(options)},
    .list_width = 1,
    .factor = factor,
};
