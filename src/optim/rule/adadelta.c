/* adadelta.c -- steps in the weights' own units (Zeiler 2012, arXiv:1212.5701, Alg. 1), as torch.optim.Adadelta.
 *
 *   v <- rho v + (1-rho) g^2      d = sqrt((u + eps) / (v + eps)) g      u <- rho u + (1-rho) d^2      x <- x - lr d
 *
 * The paper has no lr: it is 1. State: 2 values per parameter. */
#include "optim/each.h"

enum { LR, RHO, EPS, DECAY };
enum { V, U };
enum { K_LR, K_KEEP, K_TAKE, K_EPS };

static const tg_option options[] = {
    TG_OPTION_LR(1, 1e-2, 10),
    TG_OPTION_BETA("rho", 0.9, 0.8, 0.99, "decay of the averages of squared gradients and of squared steps"),
    {.name = "eps", .kind = TG_REAL, .value = 1e-6, .least = 0, .most = 1, .above = 1, .search_least = 1e-8,
     .search_most = 1e-4, .search_log = 1, .help = "added under both roots; with 0 no step would ever be made"},
    TG_OPTION_DECAY(0),
};

static const tg_slot slots[] = {
    {.name = "square_avg", .needs_range = true},
    {.name = "acc_delta", .needs_range = true},
};

static void prepare(float *k, const tg_view *v)
{
    k[K_LR] = (float)v->option[LR];
    k[K_KEEP] = (float)v->option[RHO];
    k[K_TAKE] = (float)(1 - v->option[RHO]);
    k[K_EPS] = (float)v->option[EPS];
}

static inline void step(tg_element *e, const float *k)
{
    e->slot[V] = k[K_KEEP] * e->slot[V] + k[K_TAKE] * (e->g * e->g);
    const float d = sqrtf((e->slot[U] + k[K_EPS]) / (e->slot[V] + k[K_EPS])) * e->g;
    e->slot[U] = k[K_KEEP] * e->slot[U] + k[K_TAKE] * (d * d);
    e->x -= k[K_LR] * d;
}

static void block(const tg_block *b, const float *k) { tg_each(b, k, step, 1 << V | 1 << U, 1 << V | 1 << U); }

const tg_rule TG_PER_ISA(tg_rule_adadelta) = {
    .info = {.name = "adadelta",
             .title = "steps as large as past steps were, over past gradients",
             .source = "Zeiler 2012, arXiv:1212.5701, Alg. 1; torch.optim.Adadelta",
             .equations = "v <- rho v + (1 - rho) g^2\n"
                          "d  = sqrt((u + eps) / (v + eps)) g\n"
                          "u <- rho u + (1 - rho) d^2\n"
                          "x <- x - lr d",
             .when_to_use = "when no learning rate is known: 1 works, slowly at first, for steps grow from sqrt(eps)",
             .options = TG_TABLE(options),
             .slots = slots,
             .slot_count = 2},
    .decay = TG_DECAY_COUPLED,
    .lr = LR,
    .weight_decay = DECAY,
    .prepare = prepare,
    .block = block,
    .each = true,
};
