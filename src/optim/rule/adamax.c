/* adamax.c -- adam with the maximum norm in place of the second moment (Kingma & Ba 2015, arXiv:1412.6980, Alg. 2), as
 * torch.optim.Adamax.
 *
 *   m <- b1 m + (1-b1) g      n <- max(b2 n, |g| + eps)      x <- x - lr / (1 - b1^t) m / n
 *
 * The paper has no eps. State: 2 values per parameter. */
#include "optim/each.h"

enum { LR, BETA1, BETA2, EPS, DECAY };
enum { M, N };
enum { K_STEP, K_B1, K_A1, K_B2, K_EPS };

static const tg_option options[] = {
    TG_OPTION_LR(2e-3, 1e-5, 2e-2),
    TG_OPTION_BETA("beta1", 0.9, 0.8, 0.95, "decay of the average of gradients"),
    TG_OPTION_BETA("beta2", 0.999, 0.9, 0.9999, "decay of the largest gradient"),
    TG_OPTION_EPS(1e-8, "added to each gradient's size"),
    TG_OPTION_DECAY(0),
};

static const tg_slot slots[] = {{.name = "exp_avg"}, {.name = "exp_inf", .needs_range = true}};

static void prepare(float *k, const tg_view *v)
{
    const double b1 = v->option[BETA1];
    k[K_STEP] = (float)(v->option[LR] / (1 - pow(b1, (double)v->t)));
    k[K_B1] = (float)b1;
    k[K_A1] = (float)(1 - b1);
    k[K_B2] = (float)v->option[BETA2];
    k[K_EPS] = (float)v->option[EPS];
}

static inline void step(tg_element *e, const float *k)
{
    const float faded = k[K_B2] * e->slot[N], now = fabsf(e->g) + k[K_EPS];
    e->slot[M] = k[K_B1] * e->slot[M] + k[K_A1] * e->g;
    e->slot[N] = faded > now ? faded : now;
    e->x -= k[K_STEP] * (e->slot[M] / e->slot[N]);
}

static void block(const tg_block *b, const float *k) { tg_each(b, k, step, 1 << M | 1 << N, 1 << N); }

const tg_rule TG_PER_ISA(tg_rule_adamax) = {
    .info = {.name = "adamax",
             .title = "average of gradients over their largest size",
             .source = "Kingma & Ba 2015, arXiv:1412.6980, Alg. 2; torch.optim.Adamax",
             .equations = "m <- beta1 m + (1 - beta1) g\n"
                          "n <- max(beta2 n, |g| + eps)\n"
                          "x <- x - lr / (1 - beta1^t) m / n",
             .when_to_use = "embeddings, and gradients with rare large values, which cannot make a step larger than lr",
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
