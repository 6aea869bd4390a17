/* help.h -- `--help`, made from the tables. */
#ifndef TIGER_CLI_HELP_H
#define TIGER_CLI_HELP_H

#include <stdio.h>

#include "command.h"

void cli_help(FILE *to, const cli_args *args);
void cli_help_all(FILE *to);

/* A name at the left, its explanation at the right, wrapped to 100 columns. */
void cli_help_entry(FILE *to, const char *left, const char *right);
/* A paragraph, wrapped to 100 columns behind `indent` blanks; line breaks of the text stay. */
void cli_help_text(FILE *to, size_t indent, const char *text);
/* "one line of help (default 0.965; 0 <= beta < 1)". */
void cli_help_option(char *text, size_t bytes, const tg_option *option);

#endif
