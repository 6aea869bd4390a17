/* setup.h -- what `train` and `plan` share: the flags that describe a run, and the run they describe. */
#ifndef TIGER_CLI_SETUP_H
#define TIGER_CLI_SETUP_H

#include "command.h"
#include "tiger/engine/train.h"

/* Adds the groups run, training, the chosen optimizer, all optimizers, the chosen model. */
int cli_setup_arrange(cli_args *args);

/* Fills *config from the flags. Its settings are heap: release with cli_setup_fini in any case. */
int cli_setup(tg_train_config *config, const cli_args *args);
void cli_setup_fini(tg_train_config *config);

/* The optimizer's or model's option that stands behind a flag of the command line, or NULL. */
const tg_option *cli_given_option(const cli_args *args, const cli_given *given);

/* Sets what was given of the model's options. */
int cli_setup_model(tg_model_config *model, const cli_args *args);

#endif
