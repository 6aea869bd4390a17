/* sgd.c -- stochastic gradient descent, with Polyak's or Nesterov's momentum, as torch.optim.SGD.
 *
 *   first update:  buf <- g               ema:  buf <- (1-mu) g
 *   later:         buf <- mu buf + (1-tau) g    buf <- mu buf + (1-mu) g
 *   x <- x - lr d,   d = g without momentum, buf, or with nesterov g + mu buf (ema: (1-mu) g + mu buf)
 *
 * Sources: Polyak 1964; Sutskever et al. 2013 (their v <- mu v - lr g is the same for constant lr). tau is the dampening.
 * State: 1 value per parameter, none without momentum. */
#include "optim/each.h"

enum { LR, MOMENTUM, DAMPENING, DECAY, NESTEROV, EMA };
enum { M };
enum { K_LR, K_KEEP, K_TAKE, K_MU, K_LOOK };

static const tg_option options[] = {
    TG_OPTION_LR(1e-3, 1e-4, 1),
    TG_OPTION_BETA("momentum", 0, 0.5, 0.99, "share of the old momentum that is kept; 0: no momentum"),
    {.name = "dampening", .kind = TG_REAL, .value = 0, .least = 0, .most = 1, .help = "gradient's share is 1 - dampening"},
    TG_OPTION_DECAY(0),
    {.name = "nesterov", .kind = TG_SWITCH, .value = 0, .least = 0, .most = 1, .help = "look one step ahead (needs momentum)"},
    {.name = "ema", .kind = TG_SWITCH, .value = 0, .least = 0, .most = 1, .help = "momentum is an average: gradients enter with 1 - momentum"},
};

static const tg_slot slots[] = {{.name = "momentum_buffer", .when = "momentum"}};

static const char *check(const double *option)
{
    if (option[NESTEROV] != 0 && (option[MOMENTUM] == 0 || (option[DAMPENING] != 0 && option[EMA] == 0)))
        return "nesterov needs a momentum above 0 and no dampening";
    return NULL;
}

static bool can_fold(const double *option) { return option[MOMENTUM] > 0 && option[NESTEROV] == 0; }

static void fold(const tg_view *v, double *decay, double *scale)
{
    const double mu = v->option[MOMENTUM];
    const bool first = v->t == 1, ema = v->option[EMA] != 0;
    *decay = first ? 0 : mu;
    *scale = ema ? 1 - mu : first ? 1 : 1 - v->option[DAMPENING];
}

static void prepare(float *k, const tg_view *v)
{
    double keep, take;
    fold(v, &keep, &take);
    const double mu = v->option[MOMENTUM];
    k[K_LR] = (float)v->option[LR];
    k[K_KEEP] = (float)keep;
    k[K_TAKE] = (float)take;
    /* d = LOOK g + MU buf */
    k[K_MU] = v->option[NESTEROV] != 0 ? (float)mu : 1.0f;
    k[K_LOOK] = v->option[NESTEROV] == 0 ? 0.0f : v->option[EMA] != 0 ? (float)(1 - mu) : 1.0f;
}

static inline void plain(tg_element *e, const float *k) { e->x -= k[K_LR] * e->g; }

static inline void with_momentum(tg_element *e, const float *k)
{
    e->slot[M] = k[K_KEEP] * e->slot[M] + k[K_TAKE] * e->g;
    e->x -= k[K_LR] * (k[K_LOOK] * e->g + k[K_MU] * e->slot[M]);
}

static inline void folded(tg_element *e, const float *k) { e->x -= k[K_LR] * e->slot[M]; }

static void block(const tg_block *b, const float *k)
{
    if (tg_is_folded(b))
        tg_each_folded(b, k, folded, false);
    else if (tg_has_slot(b, M))
        tg_each(b, k, with_momentum, 1 << M, 0);
    else
        tg_each(b, k, plain, 0, 0);
}

const tg_rule TG_PER_ISA(tg_rule_sgd) = {
    .info = {.name = "sgd",
             .title = "stochastic gradient descent, with momentum",
             .source = "Polyak 1964; Nesterov 1983; Sutskever et al. 2013; torch.optim.SGD",
             .equations = "buf <- momentum buf + (1 - dampening) g   (first update: buf <- g)\n"
                          "d    = nesterov ? g + momentum buf : buf\n"
                          "x   <- x - lr d",
             .when_to_use = "convolutional networks with normalisation, convex problems, fine-tuning with little state",
             .options = TG_TABLE(options),
             .slots = slots,
             .slot_count = 1,
             .folds = true},
    .decay = TG_DECAY_COUPLED,
    .lr = LR,
    .weight_decay = DECAY,
    .check = check,
    .can_fold = can_fold,
    .fold = fold,
    .prepare = prepare,
    .block = block,
    .each = true,
};
