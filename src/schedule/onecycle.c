/* schedule/onecycle.c -- one rise from 1/div_factor to 1 and one fall to 1/(div_factor final_div_factor)
 * (Smith & Topin 2018, arXiv:1708.07120). PyTorch: OneCycleLR, with its last update at T - 1.
 *
 * three_phase falls back to the start as long as it rose, and to the end in what is left. With counter it is the
 * momentum's half of the cycle: from 1 down to counter (PyTorch's base_momentum / max_momentum) where the rate rises,
 * and back to 1. */
#include "schedule/schedule.h"

enum { UPDATES, PCT_START, DIV_FACTOR, FINAL_DIV_FACTOR, ANNEAL_STRATEGY, THREE_PHASE, COUNTER };

static const tg_option options[] = {
    [UPDATES] = TG_OPTION_STAGE_UPDATES,
    [PCT_START] = {.name = "pct_start",
                   .kind = TG_REAL,
                   .value = 0.3,
                   .least = 0,
                   .most = 1,
                   .help = "share of the updates that rise"},
    [DIV_FACTOR] = {.name = "div_factor",
                    .kind = TG_REAL,
                    .value = 25,
                    .least = 0,
                    .most = INFINITY,
                    .above = 1,
                    .help = "starts at one over this"},
    [FINAL_DIV_FACTOR] = {.name = "final_div_factor",
                          .kind = TG_REAL,
                          .value = 1e4,
                          .least = 0,
                          .most = INFINITY,
                          .above = 1,
                          .help = "ends at the start over this"},
    [ANNEAL_STRATEGY] = {.name = "anneal_strategy",
                         .kind = TG_CHOICE,
                         .choices = "cos|linear",
                         .help = "shape of rise and fall"},
    [THREE_PHASE] = {.name = "three_phase", .kind = TG_SWITCH, .help = "a phase of its own below the start"},
    [COUNTER] = {.name = "counter",
                 .kind = TG_REAL,
                 .value = 0,
                 .least = 0,
                 .most = 1,
                 .help = "not 0: the counter-cycle, for momentum: from 1 down to this, and back"},
};

static double between(const tg_stage *stage, double from, double to, double x)
{
    return stage->option[ANNEAL_STRATEGY] == 0 ? tg_half_cosine(from, to, x) : from + (to - from) * x;
}

static double factor(const tg_stage *stage, double u)
{
    const bool counter = stage->option[COUNTER] != 0;
    const double start = counter ? 1 : 1 / stage->option[DIV_FACTOR], top = counter ? stage->option[COUNTER] : 1;
    const double end = counter ? 1 : start / stage->option[FINAL_DIV_FACTOR];
    const double last = stage->length - 1, risen = stage->option[PCT_START] * stage->length - 1;
    if (u <= risen)
        return between(stage, start, top, tg_stage_progress(u, risen));
    if (stage->option[THREE_PHASE] == 0)
        return between(stage, top, end, tg_stage_progress(u - risen, last - risen));
    const double back = 2 * risen; /* as many updates down to the start as up from it */
    if (u < back)
        return between(stage, top, start, tg_stage_progress(u - risen, back - risen));
    return between(stage, start, end, tg_stage_progress(u - back, last - back));
}

const tg_schedule_kind tg_schedule_kind_onecycle = {
    .info = {.name = "onecycle",
             .formula = "1/div_factor to 1 to 1/(div_factor final_div_factor); with counter 1 to counter to 1",
             .help = "one rise, one fall",
             .first = "pct_start",
             .options = TG_SCHEDULE_TABLE(options)},
    .factor = factor,
};
