/* schedule/cosine_restarts.c -- half waves from 1 to min, each period T_mult times as long as the one before
 * (Loshchilov & Hutter 2017, arXiv:1608.03983). PyTorch: CosineAnnealingWarmRestarts. */
#include "schedule/schedule.h"

enum { UPDATES, PERIOD, MULTIPLY, MIN };

static const tg_option options[] = {
    [UPDATES] = TG_OPTION_STAGE_UPDATES,
    [PERIOD] = {.name = "T_0",
                .kind = TG_INTEGER,
                .value = NAN,
                .least = 1,
                .most = INFINITY,
                .help = "updates of the first period"},
    [MULTIPLY] = {.name = "T_mult",
                  .kind = TG_INTEGER,
                  .value = 1,
                  .least = 1,
                  .most = INFINITY,
                  .help = "each period is so many times as long as the one before"},
    [MIN] = {.name = "min",
             .kind = TG_REAL,
             .value = 0,
             .least = 0,
             .most = INFINITY,
             .help = "factor at the end of a period"},
};

static double factor(const tg_stage *stage, double u)
{
    double period = stage->option[PERIOD];
    if (stage->option[MULTIPLY] == 1)
        u = fmod(u, period);
    for (; u >= period; period *= stage->option[MULTIPLY])
        u -= period;
    return tg_half_cosine(1, stage->option[MIN], u / period);
}

const tg_schedule_kind tg_schedule_kind_cosine_restarts = {
    .info = {.name = "cosine_restarts",
             .formula = "min + (1 - min) (1 + cos(pi v/P)) / 2, v updates into a period of P",
             .help = "half waves that begin anew",
             .first = "T_0",
             .options = TG_SCHEDULE_TABLE(options)},
    .factor = factor,
};
