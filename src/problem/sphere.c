/* problem/sphere.c -- the sum of squares: what every method must solve. */
#include "problem/problem.h"

static const tg_option options[] = {TG_OPTION_VARIABLES(2, 1, 1e6)};

static double evaluate(const tg_problem *p, const double *x, double *g)
{
    double sum = 0;
    for (size_t i = 0; i < p->n; i++) {
        sum += x[i] * x[i];
        if (g != NULL)
            g[i] = 2 * x[i];
    }
    return sum;
}

const tg_problem_kind tg_problem_kind_sphere = {
    .info = {.name = "sphere",
             .title = "the sum of squares",
             .source = "De Jong 1975, function 1",
             .equations = "f = sum x_i^2;  minimum 0 at 0",
             .options = TG_PROBLEM_TABLE(options)},
    .period = 2,
    .start = {4.2, -3.1},
    .low = {-5.12, -5.12},
    .high = {5.12, 5.12},
    .minima = 1,
    .evaluate = evaluate,
};
