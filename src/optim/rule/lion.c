/* lion.c -- sign of an interpolated momentum (Chen et al. 2023, arXiv:2302.06675, Alg. 2).
 *
 *   u <- sign(b1 m + (1-b1) g)      x <- x - lr (u + wd x)      m <- b2 m + (1-b2) g
 *
 * With b1 = b2 it is signum on every step. State: 1 value per parameter. */
#include "optim/each_codes.h"

enum { LR, BETA1, BETA2, DECAY };
enum { M };
enum { K_LR, K_B1, K_A1, K_B2, K_A2, K_WD };

static const tg_option options[] = {
    TG_OPTION_LR(1e-4, 1e-5, 1e-3),
    TG_OPTION_BETA("beta1", 0.9, 0.85, 0.97, "weight of the momentum in the step's sign"),
    TG_OPTION_BETA("beta2", 0.99, 0.95, 0.999, "decay of the momentum"),
    TG_OPTION_DECAY(0),
};

static const tg_preset presets[] = {{"language", "Chen et al. 2023, arXiv:2302.06675, section 5: for stability",
                                     TG_SETTINGS({"beta1", "0.95"}, {"beta2", "0.98"})}};

static const tg_slot slots[] = {{.name = "exp_avg"}};

static void prepare(float *k, const tg_view *v)
{
    k[K_LR] = (float)v->option[LR];
    k[K_B1] = (float)v->option[BETA1];
    k[K_A1] = (float)(1 - v->option[BETA1]);
    k[K_B2] = (float)v->option[BETA2];
    k[K_A2] = (float)(1 - v->option[BETA2]);
    k[K_WD] = (float)v->option[DECAY];
}

static inline void step(tg_element *e, const float *k)
{
    const float u = tg_sign(k[K_B1] * e->slot[M] + k[K_A1] * e->g);
    e->x -= k[K_LR] * (u + k[K_WD] * e->x);
    e->slot[M] = k[K_B2] * e->slot[M] + k[K_A2] * e->g;
}

static void block(const tg_block *b, const float *k) { tg_each(b, k, step, 1 << M, 0); }

static const tg_slot slots_8bit[] = {{.name = "exp_avg", .codes = TG_CODES_SIGNED}};

static void block_8bit(const tg_block *b, const float *k) { tg_each_codes(b, k, step, 1 << M, 0); }

#define EQUATIONS                                                                                                      \
    "u <- sign(beta1 m + (1 - beta1) g)\n"                                                                             \
    "x <- x - lr (u + weight_decay x)\n"                                                                               \
    "m <- beta2 m + (1 - beta2) g"

const tg_rule TG_PER_ISA(tg_rule_lion8bit) = {
    .info = {.name = "lion8bit",
             .title = "lion with a momentum of 8 bits",
             .source = "Chen et al. 2023, arXiv:2302.06675, Alg. 2; codes after Dettmers et al. 2022, arXiv:2110.02861",
             .equations = EQUATIONS,
             .when_to_use = "lion where memory is short: 1 byte of state a parameter",
             .options = TG_TABLE(options),
             TG_PRESETS(presets),
             .slots = slots_8bit,
             .slot_count = 1},
    .decay = TG_DECAY_OWN,
    .lr = LR,
    .weight_decay = DECAY,
    .prepare = prepare,
    .block = block_8bit,
    .each = true,
};

const tg_rule TG_PER_ISA(tg_rule_lion) = {
    .info = {.name = "lion",
             .title = "sign of an interpolated momentum",
             .source = "Chen et al. 2023, arXiv:2302.06675, Alg. 2",
             .equations = EQUATIONS,
             .when_to_use = "large batches, half of Adam's state; learning rate 3 to 10 times smaller than Adam's",
             .options = TG_TABLE(options),
             TG_PRESETS(presets),
             .slots = slots,
             .slot_count = 1},
    .decay = TG_DECAY_OWN,
    .lr = LR,
    .weight_decay = DECAY,
    .prepare = prepare,
    .block = block,
    .each = true,
};
