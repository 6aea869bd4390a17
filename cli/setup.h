/* setup.h -- what `train` and `plan` share: the flags that describe a run, and the run they describe. */
#ifndef TIGER_CLI_SETUP_H
#define TIGER_CLI_SETUP_H

#include "command.h"
#include "tiger/engine/train.h"

/* Adds the groups run, training, the chosen model, the chosen optimizer, all optimizers. */
int cli_setup_arrange(cli_args *args);

/* Fills *config from the flags. Its settings are heap: release with cli_setup_fini in any case. */
int cli_setup(tg_train_config *config, const cli_args *args);
void cli_setup_fini(tg_train_config *config);

/* The group of a model's options. A name that some optimizer has too means the optimizer, whichever is chosen; the
 * model's is then --model-NAME. */
void cli_setup_model_group(cli_args *args, const char *title, const tg_option_table *table);

/* Sets what was given of the model's options. */
int cli_setup_model(tg_model_config *model, const cli_args *args);

#endif
