/* minimize.h -- what `tiger minimize` is told and what it tells: the flags as runs, and their report. */
#ifndef TIGER_CLI_MINIMIZE_H
#define TIGER_CLI_MINIMIZE_H

#include "command.h"
#include "tiger/engine/descent.h"

#define CLI_METHODS 8 /* optimizers in one call */

/* One optimizer with its settings: what was given to all, then what was given to it alone. */
typedef struct cli_method {
    const char *name;
    bool in_double;             /* a minimizer; an optimizer's weights are as --weights says */
    char title[TG_TRACE_TITLE]; /* "adamw lr=0.05" */
    tg_setting *setting;        /* heap */
    size_t settings;
} cli_method;

/* One run. */
typedef struct cli_outcome {
    size_t method;
    tg_descent_result result;
} cli_outcome;

typedef struct cli_minimization {
    const cli_args *args;
    tg_problem *problem;
    size_t n, methods, starts;
    cli_method method[CLI_METHODS];
    double *start, *end;  /* (n) */
    cli_outcome *outcome; /* (methods * starts), those of a method one behind the other */
    tg_trace *trace;      /* likewise; NULL: nobody wants them */
} cli_minimization;

/* Fills everything from the flags; CLI_OK, or prints and gives the exit status. Release in any case. */
int cli_minimization_make(cli_minimization *m, const cli_args *args);
void cli_minimization_release(cli_minimization *m);

/* The path's head, a row of it, and how a single run ended. */
void cli_minimize_print_head(const cli_minimization *m);
void cli_minimize_print_point(const cli_minimization *m, const tg_descent_point *point);
void cli_minimize_print_end(const cli_minimization *m, const cli_outcome *outcome);
/* The table of several runs. */
void cli_minimize_print_table(const cli_minimization *m);

#endif
