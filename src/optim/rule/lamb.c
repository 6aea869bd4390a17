/* lamb.c -- adam's direction at the length of the weights (You et al. 2020, arXiv:1904.00962, Alg. 2), as optax.lamb.
 *
 *   m <- b1 m + (1-b1) g        v <- b2 v + (1-b2) g^2
 *   r = (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps) + weight_decay x
 *   x <- x - lr |x| / |r| r      matrices and embeddings; |x| / |r| is 1 for biases and gains, and where a norm is 0
 *
 * A first walk over the blocks moves m and v and gathers |r|^2, a second makes the step. State: 2 values per parameter. */
#include "optim/each.h"
#include "optim/rule/sums.h"

enum { LR, BETA1, BETA2, EPS, DECAY };
enum { M, V };
enum { K_STEP, K_MEAN, K_B1, K_A1, K_B2, K_A2, K_ROOT, K_EPS, K_WD };

static const tg_option options[] = {
    TG_OPTION_LR(1e-3, 1e-4, 1e-1),
    TG_OPTION_BETA("beta1", 0.9, 0.8, 0.95, "decay of the average of gradients"),
    TG_OPTION_BETA("beta2", 0.999, 0.9, 0.9999, "decay of the average of squared gradients"),
    TG_OPTION_EPS(1e-6, "added to the root"),
    TG_OPTION_DECAY(0),
};

static const tg_slot slots[] = {{.name = "exp_avg"}, {.name = "exp_avg_sq", .needs_range = true}};

static double trust(const tg_view *v)
{
    const double x = v->rms * sqrt((double)v->rows * (double)v->cols), r = sqrt(v->look);
    return v->role == TG_BIAS || v->role == TG_GAIN || x == 0 || r == 0 ? 1 : x / r;
}

static void prepare(float *k, const tg_view *v)
{
    const double b1 = v->option[BETA1], b2 = v->option[BETA2], t = (double)v->t;
    k[K_STEP] = (float)(v->option[LR] * trust(v));
    k[K_MEAN] = (float)(1 / (1 - pow(b1, t)));
    k[K_B1] = (float)b1;
    k[K_A1] = (float)(1 - b1);
    k[K_B2] = (float)b2;
    k[K_A2] = (float)(1 - b2);
    k[K_ROOT] = (float)(1 / sqrt(1 - pow(b2, t)));
    k[K_EPS] = (float)v->option[EPS];
    k[K_WD] = (float)v->option[DECAY];
}

static inline float direction(float m, float v, float x, const float *k)
{
    return k[K_MEAN] * m / (sqrtf(v) * k[K_ROOT] + k[K_EPS]) + k[K_WD] * x;
}

static inline void see(tg_element *e, const float *k)
{
    e->slot[M] = k[K_B1] * e->slot[M] + k[K_A1] * e->g;
    e->slot[V] = k[K_B2] * e->slot[V] + k[K_A2] * (e->g * e->g);
    e->x = direction(e->slot[M], e->slot[V], e->x, k);
}

static double look(const tg_block *b, const float *k)
{
    float r[TG_BLOCK];
    tg_each_look(b, k, see, 1 << M | 1 << V, 1 << V, r);
    return tg_block_sum_squares(r, b->n);
}

static inline void step(tg_element *e, const float *k)
{
    e->x -= k[K_STEP] * direction(e->slot[M], e->slot[V], e->x, k);
}

static void block(const tg_block *b, const float *k) { tg_each_moved(b, k, step, 1 << M | 1 << V, 1 << V); }

const tg_rule TG_PER_ISA(tg_rule_lamb) = {
    .info = {.name = "lamb",
             .title = "adam's direction, as long as each tensor's weights",
             .source = "You et al. 2020, arXiv:1904.00962, Alg. 2",
             .equations = "m <- beta1 m + (1 - beta1) g\n"
                          "v <- beta2 v + (1 - beta2) g^2\n"
                          "r = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay x\n"
                          "x <- x - lr |x| / |r| r   (biases and gains: x - lr r)",
             .when_to_use = "transformers at very large batches",
             .options = TG_TABLE(options),
             .slots = slots,
             .slot_count = 2},
    .decay = TG_DECAY_INNER,
    .uses_rms = true,
    .lr = LR,
    .weight_decay = DECAY,
    .prepare = prepare,
    .look = look,
    .look_moves = true,
    .block = block,
    .each = true,
};
