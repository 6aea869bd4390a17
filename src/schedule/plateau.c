/* schedule/plateau.c -- falls when the evaluations stop getting better. PyTorch: ReduceLROnPlateau, mode min,
 * threshold_mode rel, eps 0.
 *
 *   an evaluation is a gain when loss < best (1 - threshold); best is the last gain's loss
 *   after more than `patience` evaluations in a row without one:  factor <- max(factor * by, min),  and the next
 * `cooldown` evaluations do not count as being without one
 *
 * The only schedule that remembers: the state is the caller's to save. A loss that is not finite is no gain. */
#include "schedule/schedule.h"

enum { UPDATES, BY, PATIENCE, THRESHOLD, COOLDOWN, MIN };

static const tg_option options[] = {
    [UPDATES] = TG_OPTION_STAGE_UPDATES,
    [BY] = {.name = "factor",
            .kind = TG_REAL,
            .value = 0.1,
            .least = 0,
            .most = 0x1.fffffffffffffp-1,
            .help = "what the factor is multiplied by"},
    [PATIENCE] = {.name = "patience",
                  .kind = TG_INTEGER,
                  .value = 10,
                  .least = 0,
                  .most = INFINITY,
                  .help = "evaluations without a gain that are borne"},
    [THRESHOLD] = {.name = "threshold",
                   .kind = TG_REAL,
                   .value = 1e-4,
                   .least = 0,
                   .most = 1,
                   .help = "share of the best loss that a gain must be"},
    [COOLDOWN] = {.name = "cooldown",
                  .kind = TG_INTEGER,
                  .value = 0,
                  .least = 0,
                  .most = INFINITY,
                  .help = "evaluations after a fall that do not count"},
    [MIN] =
        {.name = "min", .kind = TG_REAL, .value = 0, .least = 0, .most = 1, .help = "factor it does not fall below"},
};

static double factor(const tg_stage *stage, double u)
{
    (void)u;
    return stage->state == NULL ? 1 : stage->state->factor;
}

static void observe(const tg_stage *stage, tg_schedule_state *state, double loss)
{
    if (loss < state->best * (1 - stage->option[THRESHOLD])) {
        state->best = loss;
        state->waited = 0;
    } else {
        state->waited++;
    }
    if (state->cooldown > 0) {
        state->cooldown--;
        state->waited = 0;
    }
    if ((double)state->waited <= stage->option[PATIENCE])
        return;
    state->factor = fmax(state->factor * stage->option[BY], stage->option[MIN]);
    state->cooldown = (uint64_t)stage->option[COOLDOWN];
    state->waited = 0;
}

const tg_schedule_kind tg_schedule_kind_plateau = {
    .info = {.name = "plateau",
             .formula =
                 "1, times factor whenever more than patience evaluations bring no loss below best (1 - threshold)",
             .help = "falls when evaluations stop getting better",
             .first = "factor",
             .options = TG_SCHEDULE_TABLE(options)},
    .factor = factor,
    .observe = observe,
};
