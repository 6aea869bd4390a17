/* amos.c -- weights decay adaptively towards a scale that the model's architecture gives (Tian & Parikh 2022,
 * arXiv:2210.11693, Alg. 1, with the decay factors of section 4).
 *
 *   s = mean of g^2 over the row        v <- beta v + (1-beta) s        w = (1 - beta^t) / v
 *   c = 1 / sqrt(1 + zeta sqrt(lr) b)   d = 1 / (1 + zeta sqrt(lr eta) b)
 *   gamma = c lr^2 w s                  step = d (lr eta sqrt(w) g + gamma x / 2)
 *   b <- b + gamma (1 + b)              momentum: m <- mu m + (1-mu) step, and m in place of step
 *   x <- x - step
 *
 * eta, the scale that entries grow to: 1/sqrt(inputs) for matrices and embeddings, 1/2 for biases, 1 for gains, times the
 * option eta. A vector is one row. State: 2 values per row, 1 more per parameter with momentum. */
#include "optim/each.h"

enum { LR, BETA, ZETA, ETA, MOMENTUM, DECAY };
enum { V, B, M };
enum { K_MU, K_TAKE, K_G, K_X }; /* the latter two are a row's own */
enum { ROW_G, ROW_X };

static const tg_option options[] = {
    TG_OPTION_LR(1e-2, 1e-3, 1e-1),
    TG_OPTION_BETA("beta", 0.999, 0.9, 0.9999, "decay of the average of squared gradients"),
    {.name = "zeta", .kind = TG_REAL, .value = 0.25, .least = 0, .most = INFINITY,
     .help = "how fast steps and decay shrink as training goes on"},
    {.name = "eta", .kind = TG_REAL, .value = 1, .least = 0, .most = INFINITY, .above = 1, .search_least = 0.1,
     .search_most = 10, .search_log = 1, .help = "factor of the scale the model's shape gives"},
    TG_OPTION_BETA("momentum", 0, 0, 0.95, "decay of the average of steps; 0: none"),
    TG_OPTION_DECAY(0),
};

static const tg_slot slots[] = {
    [V] = {.name = "exp_avg_sq", .shape = TG_SLOT_ROW},
    [B] = {.name = "decay", .shape = TG_SLOT_ROW},
    [M] = {.name = "exp_avg", .when = "momentum"},
};

static double scale_of(const tg_view *v)
{
    const double eta = v->option[ETA];
    return v->role == TG_BIAS ? eta / 2 : v->role == TG_GAIN ? eta : eta / sqrt((double)v->fan_in);
}

static void factors(const tg_factors *f, const tg_view *v)
{
    const double lr = v->option[LR], beta = v->option[BETA], zeta = v->option[ZETA], step = lr * scale_of(v);
    const double correction = 1 - pow(beta, (double)v->t);
    for (size_t r = 0; r < v->rows; r++) {
        const double s = f->row_squares[r], mean = beta * (double)f->slot[V][r] + (1 - beta) * s;
        const double w = correction / fmax(mean, 0x1p-125), b = (double)f->slot[B][r];
        const double gamma = lr * lr * w * s / sqrt(1 + zeta * sqrt(lr) * b), d = 1 / (1 + zeta * sqrt(step) * b);
        f->slot[V][r] = (float)mean;
        f->slot[B][r] = (float)(b + gamma * (1 + b));
        f->row_k[r * TG_ROW_SCALARS + ROW_G] = (float)(d * step * sqrt(w));
        f->row_k[r * TG_ROW_SCALARS + ROW_X] = (float)(d * gamma / 2);
    }
}

static void prepare(float *k, const tg_view *v)
{
    k[K_MU] = (float)v->option[MOMENTUM];
    k[K_TAKE] = (float)(1 - v->option[MOMENTUM]);
}

static inline void plain(tg_element *e, const float *k) { e->x -= k[K_G] * e->g + k[K_X] * e->x; }

static inline void averaged(tg_element *e, const float *k)
{
    e->slot[M] = k[K_MU] * e->slot[M] + k[K_TAKE] * (k[K_G] * e->g + k[K_X] * e->x);
    e->x -= e->slot[M];
}

static void block(const tg_block *b, const float *shared_k)
{
    float k[TG_MAX_SCALARS];
    memcpy(k, shared_k, sizeof k);
    k[K_G] = b->row_k[ROW_G], k[K_X] = b->row_k[ROW_X];
    if (tg_has_slot(b, M))
        tg_each(b, k, averaged, 1 << M, 0);
    else
        tg_each(b, k, plain, 0, 0);
}

const tg_rule TG_PER_ISA(tg_rule_amos) = {
    .info = {.name = "amos",
             .title = "adaptive rates and decay towards the scale that the model's shape gives",
             .source = "Tian & Parikh 2022, arXiv:2210.11693, Alg. 1",
             .equations = "s = mean of g^2 over the row;  v <- beta v + (1 - beta) s;  w = (1 - beta^t) / v\n"
                          "gamma = lr^2 w s / sqrt(1 + zeta sqrt(lr) b)\n"
                          "x <- x - (lr eta sqrt(w) g + gamma x / 2) / (1 + zeta sqrt(lr eta) b)\n"
                          "b <- b + gamma (1 + b)",
             .when_to_use = "pre-training with next to no state, without a decay or a schedule to choose",
             .options = TG_TABLE(options),
             .slots = slots,
             .slot_count = 3},
    .decay = TG_DECAY_DECOUPLED,
    .lr = LR,
    .weight_decay = DECAY,
    .factors = factors,
    .prepare = prepare,
    .block = block,
    .each = true,
};
