/* schedule/piecewise.c -- straight lines between knots (update, factor), constant after the last.
 *
 * Without a knot at update 0 the line begins at (0, 0): "1000=1,2000=0.1" warms up to 1000, then falls until 2000. That
 * is the format of the Tiger optimizer's first implementation (Su Jianlin 2023). */
#include "schedule/schedule.h"

static const tg_option options[] = {[TG_SCHEDULE_UPDATES] = TG_OPTION_STAGE_UPDATES};

static double factor(const tg_stage *stage, double u)
{
    double from = 0, from_factor = 0;
    for (size_t i = 0; i < stage->items; i++) {
        const double to = stage->list[2 * i], to_factor = stage->list[2 * i + 1];
        if (u < to)
            return from_factor + (to_factor - from_factor) * ((u - from) / (to - from));
        from = to;
        from_factor = to_factor;
    }
    return from_factor;
}

const tg_schedule_kind tg_schedule_kind_piecewise = {
    .info = {.name = "piecewise",
             .formula = "straight lines between the knots (update, factor)",
             .help = "any shape of straight lines; starts at 0=0 unless told otherwise",
             .list = "UPDATE=FACTOR,...",
             .options = TG_SCHEDULE_TABLE(options)},
    .list_width = 2,
    .factor = factor,
};
