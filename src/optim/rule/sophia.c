/* sophia.c -- second-order steps, clipped (Liu et al. 2023, arXiv:2305.14342, Alg. 3).
 *
 *   m <- b1 m + (1-b1) g
 *   every `interval` updates, from an estimate e of the Hessian's diagonal:  h <- b2 h + (1-b2) e
 *   x <- x - lr clip(m / max(rho h, eps), 1)          after decoupled decay
 *
 * The estimate is the caller's (tg_optim_observe): Gauss-Newton-Bartlett, e = N g'^2 with g' the gradient of the mean
 * loss over N labels drawn from the model's own output; or Hutchinson's, e = u (H u) with random signs u. State: 2 values
 * per parameter. */
#include "optim/each.h"

enum { LR, BETA1, BETA2, RHO, EPS, DECAY, INTERVAL, HESSIAN };
enum { M, H };
enum { K_LR, K_B1, K_A1, K_B2, K_A2, K_RHO, K_EPS };

static const tg_option options[] = {
    TG_OPTION_LR(4e-4, 1e-5, 1e-2),
    TG_OPTION_BETA("beta1", 0.965, 0.9, 0.98, "decay of the average of gradients"),
    TG_OPTION_BETA("beta2", 0.99, 0.95, 0.999, "decay of the average of estimates"),
    {.name = "rho", .kind = TG_REAL, .value = 0.04, .least = 0, .most = INFINITY, .search_least = 1e-2, .search_most = 1e-1,
     .search_log = 1, .help = "factor of the curvature: the larger, the fewer steps are clipped"},
    {.name = "eps", .kind = TG_REAL, .value = 1e-12, .least = 0, .most = 1, .above = 1,
     .help = "least curvature: below it steps are signs"},
    TG_OPTION_DECAY(0.1),
    {.name = "interval", .kind = TG_INTEGER, .value = 10, .least = 1, .most = 1e9, .help = "updates from estimate to estimate"},
    {.name = "hessian", .kind = TG_CHOICE, .value = 0, .most = 1, .choices = "gnb|hutchinson",
     .help = "Gauss-Newton-Bartlett from drawn labels, or Hutchinson's from differences of gradients"},
};

static const tg_slot slots[] = {{.name = "exp_avg"}, {.name = "hessian", .needs_range = true}};

static void prepare(float *k, const tg_view *v)
{
    k[K_LR] = (float)v->option[LR];
    k[K_B1] = (float)v->option[BETA1];
    k[K_A1] = (float)(1 - v->option[BETA1]);
    k[K_B2] = (float)v->option[BETA2];
    k[K_A2] = (float)(1 - v->option[BETA2]);
    k[K_RHO] = (float)v->option[RHO];
    k[K_EPS] = (float)v->option[EPS];
}

static inline void step(tg_element *e, const float *k)
{
    e->slot[M] = k[K_B1] * e->slot[M] + k[K_A1] * e->g;
    const float curved = k[K_RHO] * e->slot[H], by = curved > k[K_EPS] ? curved : k[K_EPS], d = e->slot[M] / by;
    e->x -= k[K_LR] * (d > 1.0f ? 1.0f : d < -1.0f ? -1.0f : d);
}

static void block(const tg_block *b, const float *k) { tg_each(b, k, step, 1 << M | 1 << H, 1 << H); }

static void observe(const tg_block *b, const float *k)
{
    float *restrict h = b->slot[H];
    const float *restrict e = b->g;
    for (size_t i = 0; i < b->n; i++)
        h[i] = k[K_B2] * h[i] + k[K_A2] * e[i];
}

const tg_rule TG_PER_ISA(tg_rule_sophia) = {
    .info = {.name = "sophia",
             .title = "momentum over the Hessian's diagonal, clipped",
             .source = "Liu et al. 2023, arXiv:2305.14342, Alg. 3",
             .equations = "m <- beta1 m + (1 - beta1) g\n"
                          "h <- beta2 h + (1 - beta2) e   every interval updates; e estimates the Hessian's diagonal\n"
                          "x <- (1 - lr weight_decay) x - lr clip(m / max(rho h, eps), 1)",
             .when_to_use = "language models, where a twentieth more work buys curvature",
             .options = TG_TABLE(options),
             .slots = slots,
             .slot_count = 2,
             .observes = true},
    .decay = TG_DECAY_DECOUPLED,
    .lr = LR,
    .weight_decay = DECAY,
    .prepare = prepare,
    .block = block,
    .each = true,
    .observe = observe,
};
