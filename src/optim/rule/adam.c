/* adam.c -- adaptive moments (Kingma & Ba 2015, arXiv:1412.6980, Alg. 1); adamw, the same with decoupled decay
 * (Loshchilov & Hutter 2019, arXiv:1711.05101, Alg. 2); amsgrad (Reddi, Kale & Kumar 2018, arXiv:1904.09237, Alg. 2).
 * As torch.optim.Adam and AdamW.
 *
 *   m <- b1 m + (1-b1) g        v <- b2 v + (1-b2) g^2        amsgrad: h <- max(h, v), and h in place of v below
 *   x <- x - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
 *
 * As in PyTorch the maximum is of raw second moments. State: 2 values per parameter, 3 with amsgrad. */
#include "optim/each_codes.h"

enum { LR, BETA1, BETA2, EPS, DECAY, AMSGRAD };
enum { M, V, H, RANGED = 1 << V | 1 << H };
enum { K_STEP, K_B1, K_A1, K_B2, K_A2, K_ROOT, K_EPS };

#define ADAM_OPTIONS_PLAIN(decay)                                                                                      \
    TG_OPTION_LR(1e-3, 1e-5, 1e-2), TG_OPTION_BETA("beta1", 0.9, 0.8, 0.95, "decay of the average of gradients"),      \
        TG_OPTION_BETA("beta2", 0.999, 0.9, 0.9999, "decay of the average of squared gradients"),                      \
        TG_OPTION_EPS(1e-8, "added to the root"), TG_OPTION_DECAY(decay)
#define ADAM_OPTIONS(decay, amsgrad)                                                                                   \
    ADAM_OPTIONS_PLAIN(decay),                                                                                         \
        {.name = "amsgrad", .kind = TG_SWITCH, .value = amsgrad, .least = 0, .most = 1,                                \
         .help = "divide by the largest second moment so far"}

static const tg_option adam_options[] = {ADAM_OPTIONS(0, 0)};
static const tg_option adamw_options[] = {ADAM_OPTIONS(1e-2, 0)};
static const tg_preset adamw_presets[] = {{"language", "Brown et al. 2020, arXiv:2005.14165, appendix B",
                                           TG_SETTINGS({"beta2", "0.95"}, {"weight_decay", "0.1"})}};
static const tg_option amsgrad_options[] = {ADAM_OPTIONS(0, 1)};

static const tg_slot slots[] = {
    {.name = "exp_avg"},
    {.name = "exp_avg_sq", .needs_range = true},
    {.name = "max_exp_avg_sq", .when = "amsgrad", .needs_range = true},
};

static void prepare(float *k, const tg_view *v)
{
    const double b1 = v->option[BETA1], b2 = v->option[BETA2], t = (double)v->t;
    k[K_STEP] = (float)(v->option[LR] / (1 - pow(b1, t)));
    k[K_B1] = (float)b1;
    k[K_A1] = (float)(1 - b1);
    k[K_B2] = (float)b2;
    k[K_A2] = (float)(1 - b2);
    k[K_ROOT] = (float)(1 / sqrt(1 - pow(b2, t)));
    k[K_EPS] = (float)v->option[EPS];
}

static inline void plain(tg_element *e, const float *k)
{
    e->slot[M] = k[K_B1] * e->slot[M] + k[K_A1] * e->g;
    e->slot[V] = k[K_B2] * e->slot[V] + k[K_A2] * (e->g * e->g);
    e->x -= k[K_STEP] * (e->slot[M] / (sqrtf(e->slot[V]) * k[K_ROOT] + k[K_EPS]));
}

static inline void amsgrad(tg_element *e, const float *k)
{
    e->slot[M] = k[K_B1] * e->slot[M] + k[K_A1] * e->g;
    e->slot[V] = k[K_B2] * e->slot[V] + k[K_A2] * (e->g * e->g);
    e->slot[H] = e->slot[H] > e->slot[V] ? e->slot[H] : e->slot[V];
    e->x -= k[K_STEP] * (e->slot[M] / (sqrtf(e->slot[H]) * k[K_ROOT] + k[K_EPS]));
}

static void block(const tg_block *b, const float *k)
{
    if (tg_has_slot(b, H))
        tg_each(b, k, amsgrad, 1 << M | RANGED, RANGED);
    else
        tg_each(b, k, plain, 1 << M | 1 << V, RANGED);
}

#define EQUATIONS                                                                                                      \
    "m <- beta1 m + (1 - beta1) g\n"                                                                                   \
    "v <- beta2 v + (1 - beta2) g^2\n"                                                                                 \
    "x <- x - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)"

const tg_rule TG_PER_ISA(tg_rule_adam) = {
    .info = {.name = "adam",
             .title = "adaptive moments; weight decay enters the gradient",
             .source = "Kingma & Ba 2015, arXiv:1412.6980, Alg. 1; torch.optim.Adam",
             .equations = EQUATIONS,
             .when_to_use = "a first try on almost anything, when memory for two states is there",
             .options = TG_TABLE(adam_options),
             .slots = slots,
             .slot_count = 3},
    .decay = TG_DECAY_COUPLED,
    .lr = LR,
    .weight_decay = DECAY,
    .prepare = prepare,
    .block = block,
    .each = true,
};

const tg_rule TG_PER_ISA(tg_rule_adamw) = {
    .info = {.name = "adamw",
             .title = "adaptive moments with decoupled weight decay",
             .source = "Loshchilov & Hutter 2019, arXiv:1711.05101, Alg. 2; torch.optim.AdamW",
             .equations = "x <- (1 - lr weight_decay) x\n" EQUATIONS,
             .when_to_use = "the usual choice for transformers",
             .options = TG_TABLE(adamw_options),
             TG_PRESETS(adamw_presets),
             .slots = slots,
             .slot_count = 3},
    .decay = TG_DECAY_DECOUPLED,
    .lr = LR,
    .weight_decay = DECAY,
    .prepare = prepare,
    .block = block,
    .each = true,
};

static const tg_slot slots_8bit[] = {
    {.name = "exp_avg", .codes = TG_CODES_SIGNED},
    {.name = "exp_avg_sq", .codes = TG_CODES_UNSIGNED},
};

static void block_8bit(const tg_block *b, const float *k) { tg_each_codes(b, k, plain, 1 << M | 1 << V, 1 << V); }

static const tg_option adamw8bit_options[] = {ADAM_OPTIONS_PLAIN(1e-2)};

const tg_rule TG_PER_ISA(tg_rule_adamw8bit) = {
    .info = {.name = "adamw8bit",
             .title = "adamw with states of 8 bits",
             .source = "Loshchilov & Hutter 2019, arXiv:1711.05101, Alg. 2; codes after Dettmers et al. 2022, arXiv:2110.02861",
             .equations = "x <- (1 - lr weight_decay) x\n" EQUATIONS,
             .when_to_use = "adamw where memory is short: 2 bytes of state a parameter instead of 8",
             .options = TG_TABLE(adamw8bit_options),
             TG_PRESETS(adamw_presets),
             .slots = slots_8bit,
             .slot_count = 2},
    .decay = TG_DECAY_DECOUPLED,
    .lr = LR,
    .weight_decay = DECAY,
    .prepare = prepare,
    .block = block_8bit,
    .each = true,
};

const tg_rule TG_PER_ISA(tg_rule_amsgrad) = {
    .info = {.name = "amsgrad",
             .title = "adam whose step sizes never grow again",
             .source = "Reddi, Kale & Kumar 2018, arXiv:1904.09237, Alg. 2; torch.optim.Adam(amsgrad=True)",
             .equations = "m <- beta1 m + (1 - beta1) g\n"
                          "v <- beta2 v + (1 - beta2) g^2\n"
                          "h <- max(h, v)\n"
                          "x <- x - lr (m / (1 - beta1^t)) / (sqrt(h / (1 - beta2^t)) + eps)",
             .when_to_use = "where adam fails to settle because it forgets rare large gradients; costs a third state",
             .options = TG_TABLE(amsgrad_options),
             .slots = slots,
             .slot_count = 3},
    .decay = TG_DECAY_COUPLED,
    .lr = LR,
    .weight_decay = DECAY,
    .prepare = prepare,
    .block = block,
    .each = true,
};
