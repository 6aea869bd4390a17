/* asgd.c -- stochastic gradient descent with an average of its weights (Polyak & Juditsky 1992; the schedules are
 * Bottou 2012, "Stochastic Gradient Descent Tricks", sec. 5), as torch.optim.ASGD.
 *
 *   x <- (1 - lambd eta) x - eta g      ax <- ax + mu (x - ax)
 *   then, for the next update:  eta <- lr / (1 + lambd lr t)^alpha      mu <- 1 / max(1, t - t0)
 *
 * eta begins at lr, mu at 1. Training goes on from x; the average ax is a state, to be read at the end, and fp32 unless
 * told otherwise: in 16 bits it would be as noisy as the weights. As in PyTorch a change of lr takes effect an update
 * later. State: 1 value per parameter and the two scalars. */
#include "optim/each.h"

enum { LR, LAMBD, ALPHA, T0, DECAY };
enum { AX, ETA, MU };
enum { K_ETA, K_KEEP, K_MU, K_OLD };

static const tg_option options[] = {
    TG_OPTION_LR(1e-2, 1e-4, 1),
    {.name = "lambd", .kind = TG_REAL, .value = 1e-4, .least = 0, .most = INFINITY,
     .help = "decay of the weights, and how fast eta falls"},
    {.name = "alpha", .kind = TG_REAL, .value = 0.75, .least = 0, .most = INFINITY, .help = "power by which eta falls"},
    {.name = "t0", .kind = TG_REAL, .value = 1e6, .least = 0, .most = INFINITY,
     .help = "update at which the average begins; until then it is the weights"},
    TG_OPTION_DECAY(0),
};

static const tg_slot slots[] = {
    {.name = "ax", .needs_range = true},
    {.name = "eta", .shape = TG_SLOT_SCALAR},
    {.name = "mu", .shape = TG_SLOT_SCALAR},
};

static void prepare(float *k, const tg_view *v)
{
    const double lr = v->option[LR], lambd = v->option[LAMBD], t = (double)v->t;
    const double eta = v->t == 1 ? lr : *v->scalar[ETA], mu = v->t == 1 ? 1 : *v->scalar[MU];
    k[K_ETA] = (float)eta;
    k[K_KEEP] = (float)(1 - lambd * eta);
    k[K_MU] = (float)mu;
    k[K_OLD] = k[K_MU] == 1.0f ? 0.0f : 1.0f; /* mu = 1: ax is x exactly */
    *v->scalar[ETA] = lr / pow(1 + lambd * lr * t, v->option[ALPHA]);
    *v->scalar[MU] = 1 / fmax(1, t - v->option[T0]);
}

static inline void step(tg_element *e, const float *k)
{
    const float now = k[K_KEEP] * e->x - k[K_ETA] * e->g, was = k[K_OLD] * e->slot[AX];
    e->x = now;
    e->slot[AX] = was + k[K_MU] * (now - was);
}

static void block(const tg_block *b, const float *k) { tg_each(b, k, step, 1 << AX, 1 << AX); }

const tg_rule TG_PER_ISA(tg_rule_asgd) = {
    .info = {.name = "asgd",
             .title = "stochastic gradient descent with an average of its weights",
             .source = "Polyak & Juditsky 1992; Bottou 2012, sec. 5; torch.optim.ASGD",
             .equations = "x  <- (1 - lambd eta) x - eta g\n"
                          "ax <- ax + mu (x - ax)\n"
                          "eta <- lr / (1 + lambd lr t)^alpha,   mu <- 1 / max(1, t - t0)   (for the next update)",
             .when_to_use = "convex problems with noisy gradients: the state ax, taken in place of the weights, is far "
                            "less noisy than they are; set t0 to where progress stalls",
             .options = TG_TABLE(options),
             .slots = slots,
             .slot_count = 3},
    .decay = TG_DECAY_COUPLED,
    .lr = LR,
    .weight_decay = DECAY,
    .prepare = prepare,
    .block = block,
    .each = true,
};
