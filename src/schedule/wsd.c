/* schedule/wsd.c -- warm-up, stable, decay (Hu et al. 2024, arXiv:2404.06395; shapes: Hagele et al. 2024,
 * arXiv:2405.18392): a rise of W updates, 1, and over the last D updates, x = 0 .. 1, from 1 to min by
 *
 *   linear 1 - x      cosine (1 + cos(pi x)) / 2      sqrt 1 - sqrt(x)
 *
 * A run that is too short for both shortens the decay. */
#include "schedule/schedule.h"

enum { UPDATES, DECAY, WARMUP, MIN, SHAPE };
enum { LINEAR, COSINE, SQRT };

static const tg_option options[] = {
    [UPDATES] = TG_OPTION_STAGE_UPDATES,
    [DECAY] = {.name = "decay",
               .kind = TG_REAL,
               .value = 0.1,
               .least = 0,
               .most = INFINITY,
               .help = "D, as a number or a share of the run below 1"},
    [WARMUP] = {.name = "warmup",
                .kind = TG_REAL,
                .value = 0,
                .least = 0,
                .most = INFINITY,
                .help = "W, as a number or a share of the run below 1"},
    [MIN] = TG_OPTION_MIN,
    [SHAPE] = {.name = "shape", .kind = TG_CHOICE, .choices = "linear|cosine|sqrt", .help = "of the decay"},
};

static double factor(const tg_stage *stage, double u)
{
    const double W = tg_stage_updates(stage, stage->option[WARMUP]);
    const double start = fmax(W, stage->length - tg_stage_updates(stage, stage->option[DECAY]));
    if (u < W)
        return u / W;
    if (u <= start)
        return 1;
    const double x = tg_stage_progress(u - start, stage->length - start), least = stage->option[MIN];
    if (stage->option[SHAPE] == COSINE)
        return tg_half_cosine(1, least, x);
    return least + (1 - least) * (1 - (stage->option[SHAPE] == SQRT ? sqrt(x) : x));
}

const tg_schedule_kind tg_schedule_kind_wsd = {
    .info = {.name = "wsd",
             .formula = "u/W, then 1, then from 1 to min in the last D updates",
             .help = "warm-up, stable, decay",
             .first = "decay",
             .options = TG_SCHEDULE_TABLE(options)},
    .factor = factor,
};
