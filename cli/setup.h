/* setup.h -- what `train` and `plan` share: the flags that describe a run, and the run they describe. */
#ifndef TIGER_CLI_SETUP_H
#define TIGER_CLI_SETUP_H

#include "command.h"
#include "tiger/engine/train.h"

/* Flags that several commands have. */
#define CLI_TEXT_DATA                                                                                                  \
    {                                                                                                                  \
        "data", "FILE", NULL,                                                                                          \
            "the text to train on; for mlp and its like images (IDX; CIFAR, or the directory of its files) or a "      \
            "table (CSV), perhaps gzipped"                                                                             \
    }
#define CLI_TEXT_LABELS {"labels", "FILE", NULL, "the classes of --data's images (IDX)"}
#define CLI_TEXT_TARGET                                                                                                \
    {"target", "COLUMN", NULL, "the column of --data's table that is to be told: classes or numbers"}
#define CLI_TEXT_EVAL_DATA                                                                                             \
    {"eval-data", "FILE", NULL,                                                                                        \
     "evaluate on this text, of the same --format, or on these samples, instead of holding out a part of --data"}
#define CLI_TEXT_EVAL_LABELS {"eval-labels", "FILE", NULL, "the classes of --eval-data's images"}
#define CLI_TEXT_MODEL {"model", "NAME", "gpt2", "model to build with fresh weights (see: tiger list models)"}
#define CLI_TEXT_INIT                                                                                                  \
    {"init", "DIR", NULL, "start from this model directory (Hugging Face layout) instead of fresh weights"}
#define CLI_TEXT_TOKENIZER                                                                                             \
    {"tokenizer", "byte|char|PATH", NULL,                                                                              \
     "what a token is: a byte, a Unicode character, or what a tokenizer.json or a directory with one says (default " \
     "char, or what --init has)"}
#define CLI_TEXT_OPTIMIZER {"optimizer", "NAME", "tiger", "the optimizer (see: tiger list optimizers)"}
/* Of the group of an optimizer. */
#define CLI_TEXT_PRESET                                                                                                \
    {"preset", "NAME", NULL,                                                                                           \
     "options of this optimizer that were published together; what is given beside it wins (see: tiger list "          \
     "optimizers NAME)"}
#define CLI_OPTION_VOCAB                                                                                               \
    {.name = "vocab", .kind = TG_INTEGER, .value = 0, .least = 0, .most = 1 << 24,                                     \
     .help = "pad the vocabulary to this size; 0: as the tokenizer has it"}

/* Adds the groups run, training, the chosen model, the chosen optimizer, all optimizers. */
int cli_setup_arrange(cli_args *args);
/* The last three. */
int cli_setup_arrange_chosen(cli_args *args);

/* Of commands that train many times: adds the group of these texts and of a training's options, with defaults for short
 * ones, in args->option; `seed` is the help of --seed. Then, of the training set up from them, how often it is evaluated. */
void cli_setup_trial_group(cli_args *args, const cli_text *text, size_t texts, const char *seed);
void cli_setup_trial(tg_train_config *config);

/* The model that --model names, or --init holds. */
int cli_setup_choose_model(const tg_model_info **model, const cli_args *args);

/* Fills *config from the flags that the command has. Its settings are heap: release with cli_setup_fini in any case. */
int cli_setup(tg_train_config *config, const cli_args *args);
void cli_setup_fini(tg_train_config *config);

/* The group of a model's options. A name that some optimizer or minimizer has too means that, whichever is chosen; the
 * model's is then --model-NAME. */
void cli_setup_model_group(cli_args *args, const char *title, const tg_option_table *table);

/* The same for any prefix: options that a rule has too are offered behind it only. */
void cli_setup_prefixed_group(cli_args *args, const char *title, const char *prefix, const tg_option_table *table);

/* Sets what was given of the model's options. */
int cli_setup_model(tg_model_config *model, const cli_args *args);

#endif
