/* lars.c -- layer-wise adaptive rate scaling (You, Gitman & Ginsburg 2017, arXiv:1708.03888, Alg. 1).
 *
 *   trust = trust_coefficient |x| / (|g| + weight_decay |x| + eps)     matrices and embeddings; 1 where |x| or |g| is 0
 *   trust = 1                                                          biases and gains
 *   v <- mu v + lr trust (g + weight_decay x)      x <- x - v
 *
 * Norms are over the tensor, before the update. optax.lars has |g + weight_decay x| for the denominator's sum: the same
 * without decay. State: 1 value per parameter. */
#include "optim/each.h"
#include "optim/rule/sums.h"

enum { LR, MOMENTUM, DECAY, TRUST, EPS };
enum { K_TAKE, K_MU, K_WD };

static const tg_option options[] = {
    TG_OPTION_LR(0.1, 1e-2, 10),
    TG_OPTION_BETA("momentum", 0.9, 0.5, 0.99, "share of the old step that is kept"),
    TG_OPTION_DECAY(0),
    {.name = "trust_coefficient", .kind = TG_REAL, .value = 1e-3, .least = 0, .most = INFINITY, .search_least = 1e-4,
     .search_most = 1e-1, .search_log = 1, .help = "length of a step, relative to the weights' own, at lr 1"},
    TG_OPTION_EPS(1e-8, "added to the gradient's norm"),
};

static const tg_slot slots[] = {{.name = "momentum_buffer"}};

static inline void see(tg_element *e, const float *k)
{
    (void)k;
    e->x = e->g;
}

static double squares(const tg_block *b, const float *k)
{
    float g[TG_BLOCK];
    if (b->stored == NULL)
        return tg_block_sum_squares(b->g, b->n);
    tg_each_look(b, k, see, 0, 0, g);
    return tg_block_sum_squares(g, b->n);
}

static double trust(const tg_view *v)
{
    const double x = v->rms * sqrt((double)v->rows * (double)v->cols), g = sqrt(v->look);
    if (v->role == TG_BIAS || v->role == TG_GAIN || x == 0 || g == 0)
        return 1;
    return v->option[TRUST] * x / (g + v->option[DECAY] * x + v->option[EPS]);
}

static void prepare(float *k, const tg_view *v)
{
    k[K_TAKE] = (float)(v->option[LR] * trust(v));
    k[K_MU] = (float)v->option[MOMENTUM];
    k[K_WD] = (float)v->option[DECAY];
}

static inline void step(tg_element *e, const float *k)
{
    e->slot[0] = k[K_MU] * e->slot[0] + k[K_TAKE] * (e->g + k[K_WD] * e->x);
    e->x -= e->slot[0];
}

static void block(const tg_block *b, const float *k) { tg_each(b, k, step, 1, 0); }

const tg_rule TG_PER_ISA(tg_rule_lars) = {
    .info = {.name = "lars",
             .title = "momentum whose steps are as long as each tensor's norm allows",
             .source = "You, Gitman & Ginsburg 2017, arXiv:1708.03888, Alg. 1",
             .equations = "trust = trust_coefficient |x| / (|g| + weight_decay |x| + eps)   (biases and gains: 1)\n"
                          "v <- momentum v + lr trust (g + weight_decay x)\n"
                          "x <- x - v",
             .when_to_use = "convolutional networks at very large batches",
             .options = TG_TABLE(options),
             .slots = slots,
             .slot_count = 1},
    .decay = TG_DECAY_INNER,
    .uses_rms = true,
    .lr = LR,
    .weight_decay = DECAY,
    .prepare = prepare,
    .look = squares,
    .look_spares_x = true,
    .block = block,
    .each = true,
};
