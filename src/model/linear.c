/* linear.c -- linear regression by least squares (Legendre 1805).
 *
 *   output = W x + b        loss = mean((output - value)^2)
 *
 * The loss is a convex quadratic of W and b: with standardised features every optimizer has one minimum to go to. */
#include "model/parts.h"

static const tg_option options[] = {
    TG_MODEL_FEATURES,
    TG_MODEL_OUTPUTS("numbers to be told (0: as the data have them)"),
};

static const tg_config_key keys[] = {TG_KEYS_OF_SAMPLES};

const tg_model_type tg_model_linear = {
    .info = {.name = "linear",
             .help = "linear regression: numbers of samples by least squares",
             .architecture = "",
             .tasks = TG_CAN(TG_TASK_REGRESSION),
             .options = {options, sizeof options / sizeof *options}},
    .hf_type = "linear",
    .keys = keys,
    .key_count = sizeof keys / sizeof *keys,
    .complete = tg_part_complete,
    .declare = tg_part_declare_alone,
    .build = tg_part_build_alone,
};
