/* problem/rastrigin.c -- a bowl full of regular dents: whoever follows the gradient stays in the first. */
#include "problem/problem.h"

static const tg_option options[] = {TG_OPTION_VARIABLES(2, 1, 1e6)};

static double evaluate(const tg_problem *p, const double *x, double *g)
{
    double sum = 10 * (double)p->n;
    for (size_t i = 0; i < p->n; i++) {
        const double angle = 2 * TG_PI * x[i];
        sum += x[i] * x[i] - 10 * cos(angle);
        if (g != NULL)
            g[i] = 2 * x[i] + 20 * TG_PI * sin(angle);
    }
    return sum;
}

const tg_problem_kind tg_problem_kind_rastrigin = {
    .info = {.name = "rastrigin",
             .title = "a bowl full of dents",
             .source = "Rastrigin 1974; in n variables Muehlenbein, Schomisch & Born 1991",
             .equations = "f = 10 n + sum x_i^2 - 10 cos(2 pi x_i);  minimum 0 at 0",
             .options = TG_PROBLEM_TABLE(options)},
    .period = 2,
    .start = {3.2, -2.4},
    .low = {-5.12, -5.12},
    .high = {5.12, 5.12},
    .minima = 1,
    .evaluate = evaluate,
};
