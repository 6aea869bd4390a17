/* signsgd.c -- sign of the gradient (Bernstein et al. 2018, arXiv:1802.04434, Alg. 1).
 *
 *   x <- x - lr (sign(g) + wd x)
 *
 * It is signum with beta = 0. State: none. */
#include "optim/each.h"

enum { LR, DECAY };
enum { K_LR, K_WD };

static const tg_option options[] = {TG_OPTION_LR(1e-4, 1e-5, 1e-3), TG_OPTION_DECAY(0)};

static void prepare(float *k, const tg_view *v)
{
    k[K_LR] = (float)v->option[LR];
    k[K_WD] = (float)v->option[DECAY];
}

static inline void step(tg_element *e, const float *k) { e->x -= k[K_LR] * (tg_sign(e->g) + k[K_WD] * e->x); }

static void block(const tg_block *b, const float *k) { tg_each(b, k, step, 0, 0); }

const tg_rule TG_PER_ISA(tg_rule_signsgd) = {
    .info = {.name = "signsgd",
             .title = "sign of the gradient",
             .source = "Bernstein et al. 2018, arXiv:1802.04434, Alg. 1",
             .equations = "x <- x - lr (sign(g) + weight_decay x)",
             .when_to_use = "large batches, and no memory for any state; for small ones signum averages the noise",
             .options = TG_TABLE(options)},
    .decay = TG_DECAY_OWN,
    .lr = LR,
    .weight_decay = DECAY,
    .prepare = prepare,
    .block = block,
    .each = true,
};
