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
#include "optim/each.h"

enum { LR, ALPHA, EPS, DECAY, MOMENTUM, CENTERED };
enum { V, BUFFER, A, RANGED = 1 << V | 1 << A };
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
static inline float root(tg_element *e, const float *k)
{
    e->slot[V] = k[K_KEEP] * e->slot[V] + k[K_TAKE] * (e->g * e->g);
    return sqrtf(e->slot[V]) + k[K_EPS];
}

static inline float centered_root(tg_element *e, const float *k)
{
    e->slot[V] = k[K_KEEP] * e->slot[V] + k[K_TAKE] * (e->g * e->g);
    e->slot[A] = k[K_KEEP] * e->slot[A] + k[K_TAKE] * e->g;
    const float spread = e->slot[V] - e->slot[A] * e->slot[A], least = e->slot[V] * 0x1p-24f;
    return sqrtf(spread < least ? least : spread) + k[K_EPS];
}

static inline void move(tg_element *e, const float *k, float d)
{
    e->slot[BUFFER] = k[K_MU] * e->slot[BUFFER] + d;
    e->x -= k[K_LR] * e->slot[BUFFER];
}

static inline void plain(tg_element *e, const float *k) { e->x -= k[K_LR] * (e->g / root(e, k)); }
static inline void centered(tg_element *e, const float *k) { e->x -= k[K_LR] * (e->g / centered_root(e, k)); }
static inline void momentum(tg_element *e, const float *k) { move(e, k, e->g / root(e, k)); }
static inline void both(tg_element *e, const float *k) { move(e, k, e->g / centered_root(e, k)); }

static void block(const tg_block *b, const float *k)
{
    const bool buffer = tg_has_slot(b, BUFFER), average = tg_has_slot(b, A);
    if (!buffer && !average)
        tg_each(b, k, plain, 1 << V, RANGED);
    else if (!buffer)
        tg_each(b, k, centered, 1 << V | 1 << A, RANGED);
    else if (!average)
        tg_each(b, k, momentum, 1 << V | 1 << BUFFER, RANGED);
    else
        tg_each(b, k, both, 1 << V | 1 << BUFFER | 1 << A, RANGED);
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
    .each = true,
};
