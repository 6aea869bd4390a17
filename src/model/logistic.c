/* logistic.c -- logistic regression (Cox 1958), multinomial for more than two classes.
 *
 *   p(class | x) = softmax(W x + b)        loss = -log p(the sample's class)
 *
 * Convex in W and b. Two classes have two rows of W, whose difference is the weight vector of the binary form. */
#include "model/parts.h"

static const tg_option options[] = {
    TG_MODEL_FEATURES,
    TG_MODEL_OUTPUTS("classes (0: as the data have them)"),
};

static const tg_config_key keys[] = {TG_KEYS_OF_SAMPLES};

const tg_model_type tg_model_logistic = {
    .info = {.name = "logistic",
             .help = "logistic regression: classes of samples by a softmax of linear scores",
             .architecture = "",
             .tasks = TG_CAN(TG_TASK_CLASSIFICATION),
             .options = {options, sizeof options / sizeof *options}},
    .hf_type = "logistic",
    .keys = keys,
    .key_count = sizeof keys / sizeof *keys,
    .complete = tg_part_complete,
    .declare = tg_part_declare_alone,
    .build = tg_part_build_alone,
};
