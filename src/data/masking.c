/* data/masking.c -- see masking.h. */
#include "data/masking.h"

enum { CHOICE, FATE, OTHER, DRAWS = 4 }; /* of a place */

static bool may_be_chosen(const tg_masking *m, uint32_t token)
{
    return token >= m->vocab || (m->special[token / 64] >> token % 64 & 1) == 0;
}

/* What stands where a token is to be guessed. */
static uint32_t disguise(const tg_masking *m, uint32_t token, tg_key key, uint32_t place)
{
    const double fate = (double)tg_random_uniform(key, DRAWS * place + FATE); /* in (0, 1] */
    if (fate <= m->random)
        return (uint32_t)tg_random_below(key, DRAWS * place + OTHER, m->vocab);
    return fate <= m->random + m->keep ? token : m->mask;
}

void tg_mask_row(const tg_masking *m, uint32_t *tokens, int32_t *targets, size_t time, tg_key key, uint32_t first)
{
    size_t chosen = 0, nearest = time; /* the one that came nearest to being chosen, should none be */
    float least = 2;
    for (size_t t = 0; t < time; t++) {
        const uint32_t place = first + (uint32_t)t;
        const float draw = tg_random_uniform(key, DRAWS * place + CHOICE);
        if (targets[t] < 0 || !may_be_chosen(m, tokens[t])) {
            targets[t] = -1;
            continue;
        }
        if (draw < least) {
            least = draw;
            nearest = t;
        }
        chosen += (double)draw <= m->rate;
    }
    for (size_t t = 0; t < time; t++) {
        const uint32_t place = first + (uint32_t)t;
        const bool is_chosen =
            chosen == 0 ? t == nearest : (double)tg_random_uniform(key, DRAWS * place + CHOICE) <= m->rate;
        if (targets[t] >= 0 && is_chosen)
            tokens[t] = disguise(m, tokens[t], key, place);
        else
            targets[t] = -1;
    }
}
