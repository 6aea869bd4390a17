/* train/options.c -- the options of a run, and a run with all defaults. */
#include <string.h>

#include "attack/attack.h"
#include "tiger/engine/train.h"

#define WHOLE(name_, value_, least_, most_, help_)                                                                     \
    {.name = name_, .kind = TG_INTEGER, .value = value_, .least = least_, .most = most_, .help = help_}

static const tg_option options[TG_TRAIN_OPTIONS] = {
    [TG_TRAIN_BATCH] = WHOLE("batch", 12, 1, 1e6, "sequences of one micro-batch"),
    [TG_TRAIN_ACCUMULATE] = WHOLE("accumulate", 1, 1, 1e6, "micro-batches of one update"),
    [TG_TRAIN_UPDATES] = WHOLE("updates", 2000, 1, 4e9, "updates of the whole run"),
    [TG_TRAIN_PRECISION] = {.name = "precision", .kind = TG_CHOICE, .most = TG_PRECISION_COUNT - 1,
                            .choices = "fp32|mixed|bf16|fp16",
                            .help = "of weights and activations: fp32, fp32 with bf16, bf16, or fp16 with loss scaling"},
    [TG_TRAIN_RECOMPUTE] = {.name = "recompute", .kind = TG_CHOICE, .most = 2, .choices = "none|block|sqrt",
                            .help = "activations made again in backward instead of kept: same bits, less memory"},
    [TG_TRAIN_VALIDATION] = {.name = "validation", .kind = TG_REAL, .value = 0.1, .least = 0, .most = 0.9,
                             .help = "share of the text, at its end, that is held out"},
    [TG_TRAIN_SEED] = WHOLE("seed", 1, 0, TG_WHOLE_MOST, "of weights, batches, dropout and rounding"),
    [TG_TRAIN_THREADS] = WHOLE("threads", 0, 0, 1024, "0: as many as OpenMP says"),
    [TG_TRAIN_EVAL_EVERY] = WHOLE("eval_every", 250, 0, 4e9, "updates from one evaluation to the next; 0: at the end"),
    [TG_TRAIN_EVAL_BATCHES] = WHOLE("eval_batches", 0, 0, 4e9, "batches of an evaluation; 0: all held-out text"),
    [TG_TRAIN_SAVE_EVERY] = WHOLE("save_every", 500, 0, 4e9, "updates from one checkpoint to the next; 0: at the end"),
    [TG_TRAIN_KEEP] = WHOLE("keep", 2, 1, 1e6, "newest checkpoints that are kept"),
    [TG_TRAIN_LOG_EVERY] = WHOLE("log_every", 10, 1, 4e9, "updates from one line of metrics.jsonl to the next"),
    [TG_TRAIN_FORMAT] = {.name = "format", .kind = TG_CHOICE, .most = TG_FORMATS - 1, .choices = "text|lines|jsonl",
                         .help = "of the data: one text, a document a line, or JSON with \"text\" or \"prompt\" and "
                                 "\"response\""},
    [TG_TRAIN_MEMORY] = {.name = "memory", .kind = TG_BYTES, .most = TG_WHOLE_MOST,
                         .help = "plan to stay within this: choose what of recompute, and of batch x accumulate, is not "
                                 "said; a batch said alone is that of an update; 0: no limit"},
    [TG_TRAIN_SAVE] = {.name = "save", .kind = TG_SWITCH, .value = 1, .least = 0, .most = 1,
                       .help = "write checkpoints, and the best model; off: none, not even at the end, for trials"},
    [TG_TRAIN_LOSS_GUARD] = {.name = "loss_guard", .kind = TG_REAL, .value = 0, .least = 0, .most = 1e6,
                             .help = "leave out micro-batches whose loss is so many standard deviations above its "
                                     "running mean (6 is usual); 0: none"},
    [TG_TRAIN_KEEP_BEST] = {.name = "keep_best", .kind = TG_SWITCH, .value = 1,
                            .help = "keep the model of the least validation loss in OUT/best"},
    [TG_TRAIN_SAMPLE_EVERY] = WHOLE("sample_every", 0, 0, 4e9, "updates from one sample of text to the next; 0: none"),
    [TG_TRAIN_SAMPLE_TOKENS] = WHOLE("sample_tokens", 100, 1, 1e6, "tokens of a sample"),
    [TG_TRAIN_TENSORBOARD] = {.name = "tensorboard", .kind = TG_SWITCH, .value = 0,
                              .help = "write TensorBoard's event files into OUT: scalars, and statistics of tensors"},
    [TG_TRAIN_TENSORBOARD_EVERY] = WHOLE("tensorboard_every", 100, 1, 4e9,
                                         "updates from one set of tensors' statistics to the next"),
    [TG_TRAIN_MASK_RATE] = {.name = "mask_rate", .kind = TG_REAL, .value = 0.15, .least = 0, .above = 1, .most = 1,
                            .help = "share of the tokens to be guessed, by models that fill in masked ones (bert, "
                                    "gau_encoder)"},
    [TG_TRAIN_MASK_RANDOM] = {.name = "mask_random", .kind = TG_REAL, .value = 0.1, .least = 0, .most = 1,
                              .help = "share of those that another token stands for instead of the mask"},
    [TG_TRAIN_MASK_KEEP] = {.name = "mask_keep", .kind = TG_REAL, .value = 0.1, .least = 0, .most = 1,
                            .help = "share of those that stay as they are"},
    [TG_TRAIN_CLOSURE] = {.name = "closure", .kind = TG_CHOICE, .most = TG_CLOSURE_ALL,
                          .choices = "auto|fresh|fixed|all",
                          .help = "what a minimizer (lbfgs, cg, ...) evaluates the loss over: batch x accumulate "
                                  "sequences, fresh ones every update or fixed ones, or all of the text; auto: fresh, "
                                  "and fixed without gradients"},
    [TG_TRAIN_CROP] = WHOLE("crop", 0, 0, 65536,
                            "images are moved by up to this many pixels each way while training; black comes in"),
    [TG_TRAIN_FLIP] = {.name = "flip", .kind = TG_SWITCH, .value = 0,
                       .help = "images are mirrored, left for right, half of the time while training"},
    [TG_TRAIN_ADVERSARIAL] = {.name = "adversarial", .kind = TG_REAL, .value = 0, .least = 0, .most = 1e3,
                              .help = "train on adversarial images: each batch is attacked within this eps first, of "
                                      "pixels from 0 to 1; 0: not"},
    [TG_TRAIN_ADVERSARIAL_NORM] = {.name = "adversarial_norm", .kind = TG_CHOICE, .most = TG_BALL_COUNT - 1,
                                   .choices = TG_BALLS, .help = "in which eps is measured: any pixel, or the image"},
    [TG_TRAIN_ADVERSARIAL_STEPS] = WHOLE("adversarial_steps", 7, 1, 1e6, "forward and backward each, before an update"),
    [TG_TRAIN_ADVERSARIAL_STEP] = {.name = "adversarial_step", .kind = TG_REAL, .value = 0, .least = 0, .most = 1e3,
                                   .help = "length of such a step; 0: 2.5 eps / steps"},
};

static const struct {
    tg_format weights, activations;
} policy[TG_PRECISION_COUNT] = {
    [TG_PRECISION_FP32] = {TG_F32, TG_F32},
    [TG_PRECISION_MIXED] = {TG_F32, TG_BF16},
    [TG_PRECISION_BF16] = {TG_BF16, TG_BF16},
    [TG_PRECISION_FP16] = {TG_F16, TG_F16},
};

tg_format tg_precision_weights(tg_precision precision) { return policy[precision].weights; }
tg_format tg_precision_activations(tg_precision precision) { return policy[precision].activations; }

static const tg_option_table table = {options, TG_TRAIN_OPTIONS};

const tg_option_table *tg_train_options(void) { return &table; }

void tg_train_config_default(tg_train_config *config)
{
    memset(config, 0, sizeof *config);
    for (size_t i = 0; i < TG_TRAIN_OPTIONS; i++)
        config->option[i] = options[i].value;
    tg_model_config_default(&config->model, "gpt2"); /* the name is known: cannot fail */
}
