/* optim/guard.c -- what a gradient with NaN or Inf does to its tensor (spec: Su 2023; any other rule may use it).
 *
 *   bad:  m <- m,   x <- (x - c) s + c,   s = shrink, c = 1 for gains, else 0
 *
 * The scope is one tensor and one micro-step. A window without an accepted micro-step makes no update. */
#include <math.h>

#include "base/fail.h"
#include "optim/optim.h"

typedef struct shrinking {
    float factor, centre, noise;
    tg_key key;
} shrinking;

static void shrink_block(float *x, size_t n, size_t first, const void *ctx)
{
    const shrinking *s = ctx;
    for (size_t i = 0; i < n; i++)
        x[i] = (x[i] - s->centre) * s->factor + s->centre;
    for (size_t i = 0; s->noise > 0 && i < n; i++)
        x[i] += s->noise * tg_random_normal(s->key, (uint32_t)(first + i));
}

static void shrink(tg_optim *o, size_t entry)
{
    const uint64_t seed = (uint64_t)o->common[TG_COMMON_SEED], when = ((o->update + 1) << 32) | (o->micro_step + 1);
    const shrinking s = {
        .factor = (float)o->common[TG_COMMON_SHRINK],
        .centre = o->entry[entry].param.role == TG_GAIN ? 1.0f : 0.0f,
        .noise = (float)o->common[TG_COMMON_SHRINK_NOISE],
        .key = tg_key_make(seed, TG_STREAM_NOISE, when, 2 * entry),
    };
    tg_entry_map(o, entry, shrink_block, &s, tg_key_make(seed, TG_STREAM_NOISE, when, 2 * entry + 1));
}

tg_status tg_optim_guard_micro(tg_optim *o, size_t first, size_t end)
{
    tg_status status = TG_OK;
    for (size_t i = first; i < end; i++) {
        tg_entry *e = &o->entry[i];
        if (e->bad && !e->param.frozen) {
            tg_optim_tell(o, TG_EVENT_BAD_GRADIENT, e->param.name, *e->bad_updates + 1.0);
            e->bad_in_window = true;
            if (o->guard == TG_GUARD_SHRINK)
                shrink(o, i);
            if (o->guard == TG_GUARD_ERROR && status == TG_OK)
                status = tg_fail(TG_EDIVERGED, "the gradient of %s is not finite (update %llu, micro-step %u)",
                                 e->param.name, (unsigned long long)(o->update + 1), o->micro_step + 1);
        }
        e->accepted += e->seen && !e->bad;
        e->seen = e->bad = false;
    }
    return status;
}

tg_status tg_optim_guard_window(tg_optim *o)
{
    const double budget = o->common[TG_COMMON_NAN_BUDGET];
    tg_status status = TG_OK;
    for (size_t i = 0; i < o->entries; i++) {
        tg_entry *e = &o->entry[i];
        if (e->bad_in_window)
            ++*e->bad_updates;
        else if (e->accepted > 0)
            *e->bad_updates = 0;
        if (budget > 0 && e->bad_in_window && *e->bad_updates >= budget && status == TG_OK)
            status = tg_fail(TG_EDIVERGED,
                             "the gradient of %s was not finite in %u updates in a row (up to update %llu): lower lr, "
                             "clip gradients (clip_norm), look at the data, or calculate in fp32",
                             e->param.name, *e->bad_updates, (unsigned long long)(o->update + 1));
    }
    return status;
}
