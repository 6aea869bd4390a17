/* schedule/inverse_time.c -- 1 / (1 + k u), the classic rate of stochastic approximation (Robbins & Monro 1951). */
#include "schedule/schedule.h"

enum { UPDATES, K };

static const tg_option options[] = {
    [UPDATES] = TG_OPTION_STAGE_UPDATES,
    [K] = {.name = "k",
           .kind = TG_REAL,
           .value = NAN,
           .least = 0,
           .most = INFINITY,
           .help = "decay: the factor is halved after 1/k updates"},
};

static double factor(const tg_stage *stage, double u) { return 1 / (1 + stage->option[K] * u); }

const tg_schedule_kind tg_schedule_kind_inverse_time = {
    .info = {.name = "inverse_time",
             .formula = "1 / (1 + k u)",
             .help = "falls as one over the time",
             .first = "k",
             .options = TG_SCHEDULE_TABLE(options)},
    .factor = factor,
};
