/* tiger.c -- the tight-fisted optimizer (Su Jianlin 2023, spaces.ac.cn/archives/9512): Lion with beta1 = beta2, a learning
 * rate relative to each tensor's own scale, and momentum that takes the gradients as they come.
 *
 *   m <- beta m + (1-beta) g                     g: mean gradient of the window's micro-batches
 *   x <- x - eta (sign(m) |m|^(1-gamma) + lambda x)
 *
 *   role               eta                              lambda
 *   matrix, embedding  lr max(RMS(x), rms_floor)        weight_decay     scale=dim: lr / sqrt(fan_in); none: lr
 *   bias, gain         lr bias_lr                       0
 *
 * gamma = 1 is Tiger, gamma = 0 SGD with momentum. RMS is over the tensor (or, for embeddings, per row) before the update.
 * Deviations from the reference code: a floor under the RMS, so that a matrix of zeros can move; embeddings without a
 * gradient in the window are left alone (embedding_update=lazy). sign(m) + lambda x is formed before eta multiplies it:
 * 1 - eta lambda would lose most digits in fp32. State: 1 value per parameter. */
#include "base/power.h"
#include "optim/each.h"

enum { LR, BETA, DECAY, GAMMA, SCALE, RMS_FLOOR, BIAS_LR, EMBEDDING_RMS, EMBEDDING_UPDATE };
enum { SCALE_RMS, SCALE_DIM, SCALE_NONE };
enum { RMS_TABLE, RMS_ROW };
enum { UPDATE_LAZY, UPDATE_DENSE };
enum { M };
enum { K_ETA, K_B, K_A, K_WD, K_POWER };

static const tg_option options[] = {
    TG_OPTION_LR(1e-2, 1e-3, 3e-2),
    TG_OPTION_BETA("beta", 0.965, 0.9, 0.98, "decay of the momentum (0.945 for images)"),
    TG_OPTION_DECAY(0.01),
    {.name = "gamma", .kind = TG_REAL, .value = 1, .least = 0, .most = 1,
     .help = "step is sign(m) |m|^(1-gamma): 1 is Tiger, 0 is SGD with momentum"},
    {.name = "scale", .kind = TG_CHOICE, .value = SCALE_RMS, .least = 0, .most = 2, .choices = "rms|dim|none",
     .help = "steps of matrices relative to their RMS, to 1/sqrt(inputs), or absolute"},
    {.name = "rms_floor", .kind = TG_REAL, .value = 1e-3, .least = 0, .most = 1,
     .help = "least RMS a step is relative to; 0 is the reference's choice"},
    {.name = "bias_lr", .kind = TG_REAL, .value = 0.05, .least = 0, .most = INFINITY,
     .help = "learning rate of biases and norm gains, as a factor of lr"},
    {.name = "embedding_rms", .kind = TG_CHOICE, .value = RMS_TABLE, .least = 0, .most = 1, .choices = "table|row",
     .help = "RMS of embeddings over the table or of each row"},
    {.name = "embedding_update", .kind = TG_CHOICE, .value = UPDATE_LAZY, .least = 0, .most = 1, .choices = "lazy|dense",
     .help = "update only rows with a gradient, or all"},
};

#define SU "Su Jianlin 2023, spaces.ac.cn/archives/9512"

static const tg_preset presets[] = {
    {"reference", SU " and his code, github.com/bojone/tiger",
     TG_SETTINGS({"lr", "1e-3"}, {"beta", "0.965"}, {"weight_decay", "0.01"}, {"bias_lr", "0.5"}, {"rms_floor", "0"},
                 {"embedding_rms", "row"}, {"embedding_update", "dense"})},
    {"finetune", "docs/measurements.md, a pretrained model", TG_SETTINGS({"lr", "3e-4"}, {"bias_lr", "0.5"})},
    {"small_batch", "docs/evidence.md, batches of some hundred tokens",
     TG_SETTINGS({"lr", "2e-2"}, {"beta", "0.8"}, {"bias_lr", "0.02"})},
    {"language", SU, TG_SETTINGS({"beta", "0.965"})},
    {"vision", SU, TG_SETTINGS({"beta", "0.945"})},
};

static const tg_slot slots[] = {{.name = "exp_avg"}};

static bool row_rms(const double *option, tg_role role)
{
    return role == TG_EMBEDDING && option[SCALE] == SCALE_RMS && option[EMBEDDING_RMS] == RMS_ROW;
}

static bool lazy_rows(const double *option, tg_role role)
{
    return role == TG_EMBEDDING && option[EMBEDDING_UPDATE] == UPDATE_LAZY;
}

static bool can_fold(const double *option) { return (void)option, true; }

static void fold(const tg_view *v, double *decay, double *scale)
{
    *decay = v->option[BETA];
    *scale = 1 - v->option[BETA];
}

static double relative_to(const tg_view *v)
{
    if (v->role == TG_BIAS || v->role == TG_GAIN)
        return v->option[BIAS_LR];
    if (v->option[SCALE] == SCALE_RMS)
        return fmax(v->rms, v->option[RMS_FLOOR]);
    return v->option[SCALE] == SCALE_DIM ? 1 / sqrt((double)v->fan_in) : 1;
}

static void prepare(float *k, const tg_view *v)
{
    const bool vector = v->role == TG_BIAS || v->role == TG_GAIN;
    k[K_ETA] = (float)(v->option[LR] * relative_to(v));
    k[K_B] = (float)v->option[BETA];
    k[K_A] = (float)(1 - v->option[BETA]);
    k[K_WD] = vector ? 0.0f : (float)v->option[DECAY];
    k[K_POWER] = (float)(1 - v->option[GAMMA]);
}

static inline void average(tg_element *e, const float *k) { e->slot[M] = k[K_B] * e->slot[M] + k[K_A] * e->g; }

static inline void sign_step(tg_element *e, const float *k)
{
    e->x -= k[K_ETA] * (tg_sign(e->slot[M]) + k[K_WD] * e->x);
}

static inline void momentum_step(tg_element *e, const float *k) /* gamma = 0 */
{
    e->x -= k[K_ETA] * (e->slot[M] + k[K_WD] * e->x);
}

static inline void power_step(tg_element *e, const float *k)
{
    e->x -= k[K_ETA] * (tg_sign(e->slot[M]) * tg_power(fabsf(e->slot[M]), k[K_POWER]) + k[K_WD] * e->x);
}

static inline void sign_of_average(tg_element *e, const float *k) { average(e, k), sign_step(e, k); }
static inline void momentum_of_average(tg_element *e, const float *k) { average(e, k), momentum_step(e, k); }
static inline void power_of_average(tg_element *e, const float *k) { average(e, k), power_step(e, k); }

static void folded(const tg_block *b, const float *k)
{
    if (k[K_POWER] == 0.0f)
        tg_each_folded(b, k, sign_step, tg_is_calm(k[K_ETA], k[K_WD]));
    else if (k[K_POWER] == 1.0f)
        tg_each_folded(b, k, momentum_step, false);
    else
        tg_each_folded(b, k, power_step, false);
}

static void block(const tg_block *b, const float *k)
{
    if (tg_is_folded(b))
        folded(b, k);
    else if (k[K_POWER] == 0.0f)
        tg_each(b, k, sign_of_average, 1 << M, 0);
    else if (k[K_POWER] == 1.0f)
        tg_each(b, k, momentum_of_average, 1 << M, 0);
    else
        tg_each(b, k, power_of_average, 1 << M, 0);
}

const tg_rule TG_PER_ISA(tg_rule_tiger) = {
    .info = {.name = "tiger",
             .title = "sign of the momentum, steps relative to each tensor's scale, gradients folded into the momentum",
             .source = SU,
             .equations = "m <- beta m + (1 - beta) g\n"
                          "x <- x - eta (sign(m) |m|^(1-gamma) + weight_decay x)\n"
                          "eta = lr max(RMS(x), rms_floor)   for matrices and embeddings\n"
                          "eta = lr bias_lr, no decay        for biases and norm gains",
             .when_to_use = "when memory is the limit: weights and momentum are all the training state, whatever the batch",
             .options = TG_TABLE(options),
             TG_PRESETS(presets),
             .slots = slots,
             .slot_count = 1,
             .folds = true},
    .decay = TG_DECAY_OWN,
    .uses_rms = true,
    .spares_vectors = true,
    .shrinks = true,
    .lr = LR,
    .weight_decay = DECAY,
    .row_rms = row_rms,
    .lazy_rows = lazy_rows,
    .can_fold = can_fold,
    .fold = fold,
    .prepare = prepare,
    .block = block,
    .each = true,
};
