/* schedule/cosine.c -- min + (1 - min) (1 + cos(pi u/T)) / 2: half a wave from 1 to min (Loshchilov & Hutter 2017,
 * arXiv:1608.03983, eq. 5). PyTorch: CosineAnnealingLR, whose eta_min is a rate where `min` is a factor. */
#include "schedule/schedule.h"

enum { UPDATES, MIN };

static const tg_option options[] = {[UPDATES] = TG_OPTION_STAGE_UPDATES, [MIN] = TG_OPTION_MIN};

static double factor(const tg_stage *stage, double u)
{
    return tg_half_cosine(1, stage->option[MIN], tg_stage_progress(u, stage->length));
}

const tg_schedule_kind tg_schedule_kind_cosine = {
    .info = {.name = "cosine",
             .formula = "min + (1 - min) (1 + cos(pi u/T)) / 2",
             .help = "half a wave from 1 to min",
             .first = "min",
             .options = TG_SCHEDULE_TABLE(options)},
    .factor = factor,
};
