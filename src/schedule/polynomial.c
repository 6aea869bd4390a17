/* schedule/polynomial.c -- min + (1 - min) (1 - u/T)^power; power 1 is a line. PyTorch: PolynomialLR (min = 0). */
#include "schedule/schedule.h"

enum { UPDATES, POWER, MIN };

static const tg_option options[] = {
    [UPDATES] = TG_OPTION_STAGE_UPDATES,
    [POWER] =
        {.name = "power", .kind = TG_REAL, .value = 1, .least = 0, .most = INFINITY, .above = 1, .help = "1: a line"},
    [MIN] = TG_OPTION_MIN,
};

static double factor(const tg_stage *stage, double u)
{
    const double least = stage->option[MIN], left = 1 - tg_stage_progress(u, stage->length);
    return least + (1 - least) * pow(left, stage->option[POWER]);
}

const tg_schedule_kind tg_schedule_kind_polynomial = {
    .info = {.name = "polynomial",
             .formula = "min + (1 - min) (1 - u/T)^power",
             .help = "a line, or a power of it",
             .first = "power",
             .options = TG_SCHEDULE_TABLE(options)},
    .factor = factor,
};
