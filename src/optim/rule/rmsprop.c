/* rmsprop.c -- steps over the root of an average of squared gradients (Tieleman & Hinton 2012, lecture 6.5; centered:
 * Graves 2013, arXiv:1308.0850, eq. 38-45), as torch.optim.RMSprop.
 *
 *   v <- alpha v + (1-alpha) g^2      centered: a <- alpha a + (1-alpha) g, and v - a^2 in place of v below
 *   d = g / (sqrt(v) + eps)           momentum: buf <- momentum buf + d, and buf in place of d below
 *   x <- x - lr d
 *
 * Graves puts eps inside the root; PyTorch and we outside. Deviation: where a gradient hardly varies, rounding can
 * leave v - a^2 below v / 2^24, or negative (PyTorch then steps by NaN): it counts as v / 2^24, about the least that
 * fp32 can tell from 0. State: 1 value per parameter, one more each for momentum and centered. */
#include "optim/rule.h"

enum { LR, ALPHA, EPS, DECAY, MOMENTUM, CENTERED };
enum { V, BUFFER, A };
enum { K_LR, K_KEEP, K_TAKE, K_EPS, K_MU };

static const tg_option options[] = {
    TG_OPTION_LR(1e-2, 1e-5, 1e-1),
    TG_OPTION_BETA("alpha", 0.99, 0.9, 0.999, "decay of the average of squared gradients"),
    TG_OPTION_EPS(1e-8, "added to the root"),
    TG_OPTION_DECAY(0),
    TG_OPTION_BETA("momentum", 0, 0.5, 0.99, "share of the old momentum that is kept; 0: no momentum"),
    {.name = "centered", .kind = TG_SWITCH, .value = 0, .least = 0, .most = 1,
     .help = "divide by the gradient's deviation from its average"},
};

static const tg_slot slots[] = {
    {.name = "square_avg", .needs_range = true},
    {.name = "momentum_buffer", .when = "momentum"},
    {.name = "grad_avg", .when = "centered", .needs_range = true},
};

static void prepare(float *k, const tg_view *v)
{
    k[K_LR] = (float)v->option[LR];
    k[K_KEEP] = (float)v->option[ALPHA];
    k[K_TAKE] = (float)(1 - v->option[ALPHA]);
    k[K_EPS] = (float)v->option[EPS];
    k[K_MU] = (float)v->option[MOMENTUM];
}

/* The four forms of the loop: the switches are constants at every call. */
static inline void walk(const tg_block *b, const float *restrict k, bool momentum, bool centered)
{
    float *restrict x = b->x, *restrict v = b->slot[V], *restrict m = b->slot[BUFFER], *restrict a = b->slot[A];
    const float *restrict g = b->g;
    const float lr = k[K_LR], keep = k[K_KEEP], take = k[K_TAKE], eps = k[K_EPS], mu = k[K_MU];
    const size_t n = b->n;
    for (size_t i = 0; i < n; i++) {
        v[i] = keep * v[i] + take * (g[i] * g[i]);
        float spread = v[i];
        if (centered) {
            a[i] = keep * a[i] + take * g[i];
            spread -= a[i] * a[i];
            spread = spread < v[i] * 0x1p-24f ? v[i] * 0x1p-24f : spread;
        }
        float d = g[i] / (sqrtf(spread) + eps);
        if (momentum)
            d = m[i] = mu * m[i] + d;
        x[i] -= lr * d;
    }
}

static void block(const tg_block *b, const float *restrict k)
{
    if (b->slot[BUFFER] == NULL && b->slot[A] == NULL)
        walk(b, k, false, false);
    else if (b->slot[BUFFER] == NULL)
        walk(b, k, false, true);
    else if (b->slot[A] == NULL)
        walk(b, k, true, false);
    else
        walk(b, k, true, true);
}

const tg_rule TG_PER_ISA(tg_rule_rmsprop) = {
    .info = {.name = "rmsprop",
             .title = "steps over the root of an average of squared gradients",
             .source = "Tieleman & Hinton 2012, lecture 6.5; Graves 2013, arXiv:1308.0850; torch.optim.RMSprop",
             .equations = "v <- alpha v + (1 - alpha) g^2\n"
                          "a <- alpha a + (1 - alpha) g              (centered: v - a^2 in place of v below)\n"
                          "d  = g / (sqrt(v) + eps)\n"
                          "buf <- momentum buf + d                   (momentum: buf in place of d below)\n"
                          "x <- x - lr d",
             .when_to_use = "recurrent networks and reinforcement learning, whose gradients' scale drifts",
             .options = TG_TABLE(options),
             .slots = slots,
             .slot_count = 3},
    .decay = TG_DECAY_COUPLED,
    .lr = LR,
    .weight_decay = DECAY,
    .prepare = prepare,
    .block = block,
};
