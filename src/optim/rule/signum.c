/* signum.c -- sign of the momentum (Bernstein et al. 2018, arXiv:1802.04434, Alg. 2).
 *
 *   m <- b m + (1-b) g      x <- x - lr (sign(m) + wd x)
 *
 * State: 1 value per parameter, which can take the gradients as they come. */
#include "optim/each.h"

enum { LR, BETA, DECAY };
enum { M };
enum { K_LR, K_B, K_A, K_WD };

static const tg_option options[] = {
    TG_OPTION_LR(1e-4, 1e-5, 1e-3),
    TG_OPTION_BETA("beta", 0.9, 0.85, 0.99, "decay of the momentum"),
    TG_OPTION_DECAY(0),
};

static const tg_slot slots[] = {{.name = "momentum_buffer"}};

static bool can_fold(const double *option) { return (void)option, true; }

static void fold(const tg_view *v, double *decay, double *scale)
{
    *decay = v->option[BETA];
    *scale = 1 - v->option[BETA];
}

static void prepare(float *k, const tg_view *v)
{
    k[K_LR] = (float)v->option[LR];
    k[K_B] = (float)v->option[BETA];
    k[K_A] = (float)(1 - v->option[BETA]);
    k[K_WD] = (float)v->option[DECAY];
}

static inline void sign_step(tg_element *e, const float *k)
{
    e->x -= k[K_LR] * (tg_sign(e->slot[M]) + k[K_WD] * e->x);
}

static inline void step(tg_element *e, const float *k)
{
    e->slot[M] = k[K_B] * e->slot[M] + k[K_A] * e->g;
    sign_step(e, k);
}

static void block(const tg_block *b, const float *k)
{
    if (tg_is_folded(b))
        tg_each_folded(b, k, sign_step, tg_is_calm(k[K_LR], k[K_WD]));
    else
        tg_each(b, k, step, 1 << M, 0);
}

const tg_rule TG_PER_ISA(tg_rule_signum) = {
    .info = {.name = "signum",
             .title = "sign of the momentum",
             .source = "Bernstein et al. 2018, arXiv:1802.04434, Alg. 2",
             .equations = "m <- beta m + (1 - beta) g\n"
                          "x <- x - lr (sign(m) + weight_decay x)",
             .when_to_use = "as tiger with scale=none; noisy or badly scaled gradients",
             .options = TG_TABLE(options),
             .slots = slots,
             .slot_count = 1,
             .folds = true},
    .decay = TG_DECAY_OWN,
    .lr = LR,
    .weight_decay = DECAY,
    .can_fold = can_fold,
    .fold = fold,
    .prepare = prepare,
    .block = block,
    .each = true,
};
