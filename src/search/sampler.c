/* search/sampler.c -- the list of samplers. */
#include <string.h>

#include "search/search.h"

#define TG_SAMPLER(name) extern const tg_sampler tg_sampler_##name;
#include "search/samplers.inc"
#undef TG_SAMPLER

#define TG_SAMPLER(name) &tg_sampler_##name,
static const tg_sampler *const samplers[] = {
#include "search/samplers.inc"
};
#undef TG_SAMPLER
#define SAMPLERS (sizeof samplers / sizeof *samplers)

const tg_sampler_info *tg_sampler_at(size_t index) { return index < SAMPLERS ? &samplers[index]->info : NULL; }

const tg_sampler *tg_sampler_find(const char *name)
{
    for (size_t i = 0; i < SAMPLERS; i++)
        if (strcmp(samplers[i]->info.name, name) == 0)
            return samplers[i];
    return NULL;
}

size_t tg_sampler_trials(const char *sampler, const tg_space *space)
{
    const tg_sampler *found = tg_sampler_find(sampler);
    return found != NULL && found->trials != NULL ? found->trials(space) : SIZE_MAX;
}
