/* adagrad.c -- steps over the root of all squared gradients so far (Duchi, Hazan & Singer 2011, JMLR 12:2121, diagonal
 * form), as torch.optim.Adagrad, its sparse gradients included.
 *
 *   s <- max(s, s0) + g^2      x <- x - lr / (1 + (t-1) lr_decay) g / (sqrt(s) + eps)
 *
 * s0 is initial_accumulator_value. States begin as zeros: the maximum puts s0 there at the first gradient, of a tensor
 * or of a lazy row (PyTorch does it beforehand), and changes nothing later, for s only grows. Rows of embeddings that
 * have no gradient are left alone; without decay that is what zeros would do. State: 1 value per parameter. */
#include "optim/each.h"

enum { LR, LR_DECAY, DECAY, INITIAL, EPS, EMBEDDING_UPDATE };
enum { UPDATE_LAZY, UPDATE_DENSE };
enum { SUM };
enum { K_STEP, K_INITIAL, K_EPS };

static const tg_option options[] = {
    TG_OPTION_LR(1e-2, 1e-4, 1),
    {.name = "lr_decay", .kind = TG_REAL, .value = 0, .least = 0, .most = INFINITY,
     .help = "lr is divided by 1 + (updates before this one) times this"},
    TG_OPTION_DECAY(0),
    {.name = "initial_accumulator_value", .kind = TG_REAL, .value = 0, .least = 0, .most = INFINITY,
     .help = "where the sums of squared gradients begin"},
    TG_OPTION_EPS(1e-10, "added to the root"),
    {.name = "embedding_update", .kind = TG_CHOICE, .value = UPDATE_LAZY, .least = 0, .most = 1,
     .choices = "lazy|dense", .help = "update only rows with a gradient, or all"},
};

static const tg_slot slots[] = {{.name = "sum", .needs_range = true}};

static bool lazy_rows(const double *option, tg_role role)
{
    return role == TG_EMBEDDING && option[EMBEDDING_UPDATE] == UPDATE_LAZY;
}

static void prepare(float *k, const tg_view *v)
{
    k[K_STEP] = (float)(v->option[LR] / (1 + (double)(v->t - 1) * v->option[LR_DECAY]));
    k[K_INITIAL] = (float)v->option[INITIAL];
    k[K_EPS] = (float)v->option[EPS];
}

static inline void step(tg_element *e, const float *k)
{
    e->slot[SUM] = (e->slot[SUM] < k[K_INITIAL] ? k[K_INITIAL] : e->slot[SUM]) + e->g * e->g;
    e->x -= k[K_STEP] * (e->g / (sqrtf(e->slot[SUM]) + k[K_EPS]));
}

static void block(const tg_block *b, const float *k) { tg_each(b, k, step, 1 << SUM, 1 << SUM); }

const tg_rule TG_PER_ISA(tg_rule_adagrad) = {
    .info = {.name = "adagrad",
             .title = "steps over the root of the sum of squared gradients",
             .source = "Duchi, Hazan & Singer 2011, JMLR 12:2121; torch.optim.Adagrad",
             .equations = "s <- s + g^2   (s begins at initial_accumulator_value)\n"
                          "x <- x - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)",
             .when_to_use = "sparse features and embeddings, convex problems: what is rare keeps large steps",
             .options = TG_TABLE(options),
             .slots = slots,
             .slot_count = 1},
    .decay = TG_DECAY_COUPLED,
    .lr = LR,
    .weight_decay = DECAY,
    .lazy_rows = lazy_rows,
    .prepare = prepare,
    .block = block,
    .each = true,
};
