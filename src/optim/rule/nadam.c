/* nadam.c -- adam with Nesterov's momentum and a momentum that grows (Dozat 2016, ICLR workshop, Alg. 8), as
 * torch.optim.NAdam.
 *
 *   mu_t = b1 (1 - 0.96^(t psi) / 2)      P_t = mu_1 mu_2 ... mu_t
 *   m <- b1 m + (1-b1) g      v <- b2 v + (1-b2) g^2
 *   x <- x - lr ((1 - mu_t) g / (1 - P_t) + mu_{t+1} m / (1 - P_t mu_{t+1})) / (sqrt(v / (1 - b2^t)) + eps)
 *
 * psi is momentum_decay. State: 2 values per parameter and the product P, which PyTorch keeps in fp32, we in double. */
#include "optim/each.h"

enum { LR, BETA1, BETA2, EPS, DECAY, PSI };
enum { M, V, PRODUCT };
enum { K_G, K_M, K_B1, K_A1, K_B2, K_A2, K_ROOT, K_EPS };

static const tg_option options[] = {
    TG_OPTION_LR(2e-3, 1e-5, 1e-2),
    TG_OPTION_BETA("beta1", 0.9, 0.8, 0.99, "decay of the average of gradients"),
    TG_OPTION_BETA("beta2", 0.999, 0.9, 0.9999, "decay of the average of squared gradients"),
    TG_OPTION_EPS(1e-8, "added to the root"),
    TG_OPTION_DECAY(0),
    {.name = "momentum_decay", .kind = TG_REAL, .value = 4e-3, .least = 0, .most = INFINITY, .search_least = 1e-3,
     .search_most = 1e-2, .search_log = 1, .help = "how fast the momentum grows from beta1 / 2 to beta1"},
};

static const tg_slot slots[] = {
    {.name = "exp_avg"},
    {.name = "exp_avg_sq", .needs_range = true},
    {.name = "mu_product", .shape = TG_SLOT_SCALAR},
};

static double momentum(const tg_view *v, double t)
{
    return v->option[BETA1] * (1 - 0.5 * pow(0.96, t * v->option[PSI]));
}

static void prepare(float *k, const tg_view *v)
{
    const double t = (double)v->t, lr = v->option[LR], b1 = v->option[BETA1], b2 = v->option[BETA2];
    const double mu = momentum(v, t), next = momentum(v, t + 1);
    const double product = v->t == 1 ? mu : *v->scalar[PRODUCT] * mu;
    *v->scalar[PRODUCT] = product;
    k[K_G] = (float)(lr * (1 - mu) / (1 - product));
    k[K_M] = (float)(lr * next / (1 - product * next));
    k[K_B1] = (float)b1;
    k[K_A1] = (float)(1 - b1);
    k[K_B2] = (float)b2;
    k[K_A2] = (float)(1 - b2);
    k[K_ROOT] = (float)(1 / sqrt(1 - pow(b2, t)));
    k[K_EPS] = (float)v->option[EPS];
}

static inline void step(tg_element *e, const float *k)
{
    e->slot[M] = k[K_B1] * e->slot[M] + k[K_A1] * e->g;
    e->slot[V] = k[K_B2] * e->slot[V] + k[K_A2] * (e->g * e->g);
    e->x -= (k[K_G] * e->g + k[K_M] * e->slot[M]) / (sqrtf(e->slot[V]) * k[K_ROOT] + k[K_EPS]);
}

static void block(const tg_block *b, const float *k) { tg_each(b, k, step, 1 << M | 1 << V, 1 << V); }

const tg_rule TG_PER_ISA(tg_rule_nadam) = {
    .info = {.name = "nadam",
             .title = "adam with Nesterov's momentum",
             .source = "Dozat 2016, ICLR workshop, Alg. 8; torch.optim.NAdam",
             .equations = "mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2),   P_t = mu_1 mu_2 ... mu_t\n"
                          "m <- beta1 m + (1 - beta1) g\n"
                          "v <- beta2 v + (1 - beta2) g^2\n"
                          "d  = (1 - mu_t) g / (1 - P_t) + mu_{t+1} m / (1 - P_t mu_{t+1})\n"
                          "x <- x - lr d / (sqrt(v / (1 - beta2^t)) + eps)",
             .when_to_use = "in place of adam, above all on recurrent networks: it answers to a new gradient at once",
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
