/* choose.h -- names of families (optimizers, models, schedules, layers) on the command line. */
#ifndef TIGER_CLI_CHOOSE_H
#define TIGER_CLI_CHOOSE_H

#include "command.h"
#include "tiger/engine/method.h"
#include "tiger/engine/model.h"

typedef const char *(*cli_name_at)(size_t index);

/* CLI_OK, or prints that there is no such name, with the nearest or all of them. */
int cli_choose(size_t *index, const cli_args *args, const char *what, const char *name, size_t count, cli_name_at at);

/* A rule or a minimizer. */
int cli_choose_method(tg_method *method, const cli_args *args, const char *name);
/* A rule alone. */

int cli_choose_rule(const tg_rule_info **rule, const cli_args *args, const char *name);
/* The model directory that a positional names, or with --best the best one of that run. */
#define CLI_TEXT_BEST {"best", NULL, NULL, "the model of the least validation loss: DIR/best, which tiger train keeps"}
#define CLI_PATH_BYTES 4096
int cli_choose_directory_at(char directory[CLI_PATH_BYTES], const cli_args *args, size_t positional);
int cli_choose_directory(char directory[CLI_PATH_BYTES], const cli_args *args); /* of the first */

int cli_choose_model(const tg_model_info **model, const cli_args *args, const char *name);

#endif
