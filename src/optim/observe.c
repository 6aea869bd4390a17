/* optim/observe.c -- estimates of the Hessian's diagonal on their way into the states, and the probes behind Hutchinson's
 * (Hutchinson 1990): u random signs, E[u (H u)] = diag H. */
#include <math.h>

#include "base/fail.h"
#include "optim/optim.h"

static tg_key probe_key(const tg_optim *o, size_t entry)
{
    return tg_key_make((uint64_t)o->common[TG_COMMON_SEED], TG_STREAM_PROBE, o->update + 1, entry);
}

/* Element i's sign is bit i % 32 of draw i / 32. */
static float sign_of(tg_key key, size_t i)
{
    const tg_key part = tg_key_part(key, (uint64_t)i >> 37);
    return (tg_random(part, (uint32_t)(i / 32)) >> i % 32 & 1u) != 0 ? 1.0f : -1.0f;
}

typedef struct observation {
    tg_estimate estimate;
    float scale;
    tg_key probe;
} observation;

static const float *estimate_block(const observation *what, tg_workspace *w, const float *g, const tg_place *at)
{
    float *e = w->g; /* perhaps where g lies */
    switch (what->estimate) {
    case TG_ESTIMATE_SQUARES:
        for (size_t i = 0; i < at->n; i++)
            e[i] = what->scale * (g[i] * g[i]);
        return e;
    case TG_ESTIMATE_PROBE:
        for (size_t i = 0; i < at->n; i++)
            e[i] = what->scale * sign_of(what->probe, at->first + i) * g[i];
        return e;
    default: return g;
    }
}

/* Without `store` only sees what fp16 states would have to hold: those are copies. */
static void observe_block(tg_optim *o, size_t entry, size_t index, tg_workspace *w, const observation *what, bool store)
{
    const tg_entry *e = &o->entry[entry];
    const tg_pass *p = &o->pass[entry];
    const tg_place at = tg_block_place(e, index);
    tg_block b = {.n = at.n, .x = tg_block_weights(o, e, w, &at)};
    tg_block_states(o, e, w, &at, &b);
    b.g = estimate_block(what, w, tg_block_gradient(o, p, w, b.x, &at), &at);
    o->rule->observe(&b, p->k);
    if (store)
        tg_block_store_states(o, entry, &b, &at, 0);
    for (size_t s = 0; !store && s < o->rule->info.slot_count; s++)
        if (e->state[s].range != NULL)
            tg_range_see(e->state[s].range, o->kernels->max_abs(b.slot[s], at.n));
}

static void observe_blocks(tg_optim *o, size_t entry, const observation *what, bool store)
{
    const size_t blocks = o->entry[entry].blocks;
#pragma omp parallel num_threads(tg_optim_threads(o)) if (o->entry[entry].n > TG_SERIAL_VALUES)
    {
        tg_workspace w;
#pragma omp for schedule(static)
        for (size_t index = 0; index < blocks; index++)
            observe_block(o, entry, index, &w, what, store);
    }
}

/* Whether all states are fp16: a trial must not touch those that are worked in place. */
static bool all_ranged(const tg_optim *o, const tg_entry *e)
{
    bool all = true;
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        all = all && (e->state[s].data == NULL || e->state[s].range != NULL);
    return all;
}

void tg_observe_entry(tg_optim *o, size_t entry, const void *gradient, tg_format format, double unscale,
                      tg_estimate estimate, double scale)
{
    const tg_entry *e = &o->entry[entry];
    const observation what = {.estimate = estimate, .scale = (float)scale, .probe = probe_key(o, entry)};
    const tg_view view = tg_entry_view(o, e);
    o->pass[entry] = (tg_pass){.gradient = gradient, .gradient_format = format, .gradient_scale = (float)unscale};
    tg_block_keys(o, entry, &o->pass[entry]);
    o->rule->prepare(o->pass[entry].k, &view);
    if (all_ranged(o, e)) {
        observe_blocks(o, entry, &what, false);
        tg_range_fit(o, entry);
    }
    observe_blocks(o, entry, &what, true);
    tg_range_after(o, entry);
    tg_rest_entry(o, e);
}

typedef struct probe {
    float length;
    tg_key key;
} probe;

static void add_probe(float *x, size_t n, size_t first, const void *ctx)
{
    const probe *p = ctx;
    for (size_t i = 0; i < n; i++)
        x[i] += p->length * sign_of(p->key, first + i);
}

tg_status tg_optim_probe(tg_optim *o, double length)
{
    if (!o->started)
        return tg_fail(TG_ESTATE, "call tg_optim_start first");
    if (!isfinite(length))
        return tg_fail(TG_EINVAL, "the length of a probe must be a number, not %g", length);
    for (size_t i = 0; i < o->entries; i++)
        if (o->entry[i].param.format != TG_F32 && !o->entry[i].param.frozen)
            return tg_fail(TG_EUNSUPPORTED, "%s: probes are lost in 16-bit weights; use fp32 weights, or estimates from "
                                            "drawn labels",
                           o->entry[i].param.name);
    for (size_t i = 0; i < o->entries; i++) {
        const probe p = {(float)length, probe_key(o, i)};
        if (!o->entry[i].param.frozen)
            tg_entry_map(o, i, add_probe, &p, p.key);
    }
    return TG_OK;
}
