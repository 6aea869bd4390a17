/* args.h -- the command line against the groups of a command. */
#ifndef TIGER_CLI_ARGS_H
#define TIGER_CLI_ARGS_H

#include "command.h"

/* Parses argv (behind the command's name). CLI_OK, or prints one line and gives the exit status. Release with
 * cli_args_fini in any case. */
int cli_args_init(cli_args *args, const cli_command *command, int argc, char **argv);
void cli_args_fini(cli_args *args);

void cli_add_group(cli_args *args, const cli_group *group);

/* For `arrange`: the last value of a text flag, before the command line is parsed; `initial` when it is not there. */
const char *cli_peek(const cli_args *args, const char *name, const char *initial);
/* Likewise: whether a flag is there at all. */
bool cli_peek_flag(const cli_args *args, const char *name);

/* The last value given of a text flag, or its default (NULL when it has none, or the command has no such flag). A flag
 * without a value: "1" or NULL. */
const char *cli_text_of(const cli_args *args, const char *name);
/* The last value given of an option, or its default; NaN when the command has no such flag. */
double cli_number_of(const cli_args *args, const char *name);
bool cli_is_given(const cli_args *args, const char *name);

/* What the user types for a group's option or text flag, without the dashes in front: "weight-decay", "model-eps".
 * False when an earlier group hides it. */
bool cli_flag_name(char *name, size_t bytes, const cli_args *args, size_t group, bool is_option, size_t index);

/* Prints "tiger COMMAND: ..." on stderr and gives CLI_USAGE. */
int cli_usage(const cli_args *args, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What a call of the library comes to: CLI_OK, or its message is printed so, and what was asked for wrongly gives
 * CLI_USAGE, what went wrong CLI_FAILED. */
int cli_answer(const cli_args *args, tg_status status);
/* The exit status alone. */
int cli_exit_status(tg_status status);

#endif
