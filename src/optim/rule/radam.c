/* radam.c -- rectified adam (Liu et al. 2020, arXiv:1908.03265, Alg. 2), as torch.optim.RAdam.
 *
 *   m <- b1 m + (1-b1) g      v <- b2 v + (1-b2) g^2      M = m / (1 - b1^t)
 *   rho_inf = 2 / (1-b2) - 1      rho = rho_inf - 2 t b2^t / (1 - b2^t)
 *   rho > 5:  x <- x - lr r M sqrt(1 - b2^t) / (sqrt(v) + eps)
 *             r^2 = (rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho)
 *   else:     x <- x - lr M
 *
 * The paper switches at rho > 4; 5 is PyTorch's. State: 2 values per parameter. */
#include "optim/each.h"

enum { LR, BETA1, BETA2, EPS, DECAY };
enum { M, V };
enum { K_STEP, K_B1, K_A1, K_B2, K_A2, K_EPS, K_RECTIFIED };

static const tg_option options[] = {
    TG_OPTION_LR(1e-3, 1e-5, 1e-2),
    TG_OPTION_BETA("beta1", 0.9, 0.8, 0.95, "decay of the average of gradients"),
    TG_OPTION_BETA("beta2", 0.999, 0.9, 0.9999, "decay of the average of squared gradients"),
    TG_OPTION_EPS(1e-8, "added to the root"),
    TG_OPTION_DECAY(0),
};

static const tg_slot slots[] = {{.name = "exp_avg"}, {.name = "exp_avg_sq", .needs_range = true}};

static void prepare(float *k, const tg_view *v)
{
    const double b1 = v->option[BETA1], b2 = v->option[BETA2], t = (double)v->t;
    const double fading = pow(b2, t), rho_inf = 2 / (1 - b2) - 1, rho = rho_inf - 2 * t * fading / (1 - fading);
    double step = v->option[LR] / (1 - pow(b1, t));
    if (rho > 5)
        step *= sqrt((1 - fading) * (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho));
    k[K_STEP] = (float)step;
    k[K_B1] = (float)b1;
    k[K_A1] = (float)(1 - b1);
    k[K_B2] = (float)b2;
    k[K_A2] = (float)(1 - b2);
    k[K_EPS] = (float)v->option[EPS];
    k[K_RECTIFIED] = rho > 5;
}

static inline void averages(tg_element *e, const float *k)
{
    e->slot[M] = k[K_B1] * e->slot[M] + k[K_A1] * e->g;
    e->slot[V] = k[K_B2] * e->slot[V] + k[K_A2] * (e->g * e->g);
}

static inline void rectified(tg_element *e, const float *k)
{
    averages(e, k);
    e->x -= k[K_STEP] * (e->slot[M] / (sqrtf(e->slot[V]) + k[K_EPS]));
}

static inline void plain(tg_element *e, const float *k)
{
    averages(e, k);
    e->x -= k[K_STEP] * e->slot[M];
}

static void block(const tg_block *b, const float *k)
{
    if (k[K_RECTIFIED] != 0)
        tg_each(b, k, rectified, 1 << M | 1 << V, 1 << V);
    else
        tg_each(b, k, plain, 1 << M | 1 << V, 1 << V);
}

const tg_rule TG_PER_ISA(tg_rule_radam) = {
    .info = {.name = "radam",
             .title = "adam whose early steps make up for how little the second moment knows",
             .source = "Liu et al. 2020, arXiv:1908.03265, Alg. 2; torch.optim.RAdam",
             .equations = "m <- beta1 m + (1 - beta1) g\n"
                          "v <- beta2 v + (1 - beta2) g^2\n"
                          "rho_inf = 2 / (1 - beta2) - 1\n"
                          "rho = rho_inf - 2 t beta2^t / (1 - beta2^t)\n"
                          "r = sqrt((rho-4) (rho-2) rho_inf / ((rho_inf-4) (rho_inf-2) rho))\n"
                          "x <- x - lr m / (1 - beta1^t) (rho > 5 ? r sqrt(1 - beta2^t) / (sqrt(v) + eps) : 1)",
             .when_to_use = "in place of adam with a warmup; decay=decoupled makes it the rectified adamw",
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
