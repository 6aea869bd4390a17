/* schedule/warmup.c -- linear rise over the first U updates; what follows it is the next stage's.
 *
 *   u / U, or (u + 1) / (U + 1) with from = 1, which makes no update with a rate of 0.
 *
 * A published formula has max(u/U, 1) where min(u/U, 1) is meant: it starts at U times the rate. PyTorch: LinearLR. */
#include "schedule/schedule.h"

enum { UPDATES, FROM };

static const tg_option options[] = {
    [UPDATES] = TG_OPTION_UPDATES(NAN, "U, as a number or a share of the run below 1"),
    [FROM] = {.name = "from",
              .kind = TG_INTEGER,
              .value = 0,
              .least = 0,
              .most = 1,
              .help = "1: the first update is not lost on a rate of 0"},
};

static double factor(const tg_stage *stage, double u)
{
    const double from = stage->option[FROM], U = tg_stage_updates(stage, stage->option[UPDATES]);
    return tg_stage_progress(u + from, U + from);
}

const tg_schedule_kind tg_schedule_kind_warmup = {
    .info = {.name = "warmup",
             .formula = "(u + from) / (U + from)",
             .help = "rises in a line to 1",
             .first = "updates",
             .options = TG_SCHEDULE_TABLE(options)},
    .factor = factor,
};
