/* search/random.c -- every trial anywhere in the space: evenly along ranges or their logarithms, and among choices.
 *
 * The baseline that a sampler has to beat, and hard to beat where many options hardly matter (Bergstra & Bengio 2012,
 * JMLR 13:281). */
#include "search/search.h"

tg_status tg_sampler_draw(double *point, const tg_past *past)
{
    const tg_key key = tg_past_key(past, 0);
    for (size_t d = 0; d < past->space->count; d++)
        point[d] = ((double)tg_random(key, (uint32_t)d) + 0.5) * 0x1p-32;
    return TG_OK;
}

const tg_sampler tg_sampler_random = {
    .info = {"random", "anywhere, each trial by itself", "Bergstra & Bengio 2012, JMLR 13:281"},
    .suggest = tg_sampler_draw,
};
