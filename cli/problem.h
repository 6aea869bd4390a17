/* problem.h -- flags that say which textbook problem, or which function, is meant. */
#ifndef TIGER_CLI_PROBLEM_H
#define TIGER_CLI_PROBLEM_H

#include "command.h"
#include "tiger/engine/problem.h"

#define CLI_TEXT_FUNCTION                                                                                              \
    {                                                                                                                  \
        "f", "EXPRESSION", NULL, "the function, instead of a problem: \"100*(y-x^2)^2 + (1-x)^2\""                     \
    }

/* Adds the options of the problem `name`; CLI_OK, or prints and gives the exit status. */
int cli_problem_arrange(cli_args *args, const char *name);

/* The problem `name` with the options given, or the function that the flag --f spells: one of them. Destroy in any
 * case. */
int cli_problem_make(tg_problem **problem, const cli_args *args, const char *name);

#endif
