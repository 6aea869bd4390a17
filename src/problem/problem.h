/* problem/problem.h -- what a textbook problem is: one const descriptor, one file in problem/, one line in problems.inc.
 */
#ifndef TG_PROBLEM_PROBLEM_H
#define TG_PROBLEM_PROBLEM_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "tiger/engine/problem.h"

#define TG_PROBLEM_OPTIONS 8
#define TG_PROBLEM_MINIMA 4
#define TG_PI 3.14159265358979323846

struct expression;

typedef struct tg_problem_kind {
    tg_problem_info info;
    size_t n; /* variables; 0: the option `n`, the first of the table, says */
    /* Start, box and minima of variable i stand at i modulo `period`, 1 or 2. */
    size_t period;
    double start[2], low[2], high[2];
    size_t minima;
    double minimum[TG_PROBLEM_MINIMA][2];
    double least; /* f there */
    /* For problems that are made from their options: fills data, minimum and least; NULL: nothing to do. */
    tg_status (*prepare)(tg_problem *problem);
    /* The same from a table; n, and the variables' names but the last, which stands for the constant, are there already.
     * NULL: the problem takes none. */
    tg_status (*take)(tg_problem *problem, const tg_problem_data *data);
    /* f(x); its gradient into g unless that is NULL. */
    double (*evaluate)(const tg_problem *problem, const double *x, double *g);
    /* product <- the Fisher matrix at x times v, for likelihoods; NULL: the problem is none. */
    void (*fisher)(const tg_problem *problem, double *product, const double *x, const double *v);
} tg_problem_kind;

struct tg_problem {
    const tg_problem_kind *kind;
    size_t n;
    double option[TG_PROBLEM_OPTIONS];
    double least;
    double *data;    /* what `prepare` made, heap */
    double *minimum; /* (n), heap; NULL: the kind's table has them */
    char *name;      /* of the table, heap; NULL: it is on none */
    char **variable; /* (n), heap; NULL: they have no names of their own */
    struct expression *expression;
};

#define TG_PROBLEM(name) extern const tg_problem_kind tg_problem_kind_##name;
#include "problem/problems.inc"
#undef TG_PROBLEM

/* Rows of the tables of options. */
#define TG_OPTION_VARIABLES(default_, least_, most_)                                                                   \
    {.name = "n", .kind = TG_INTEGER, .value = default_, .least = least_, .most = most_, .help = "variables"}
#define TG_OPTION_SEED                                                                                                 \
    {.name = "seed", .kind = TG_INTEGER, .value = 1, .least = 0, .most = TG_WHOLE_MOST, .help = "of what is drawn"}
#define TG_PROBLEM_TABLE(options) {options, sizeof(options) / sizeof *(options)}

static inline double tg_square(double v) { return v * v; }

/* The gradient of a function of two variables. */
static inline void tg_gradient2(double *g, double dx, double dy)
{
    if (g == NULL)
        return;
    g[0] = dx;
    g[1] = dy;
}

#endif
