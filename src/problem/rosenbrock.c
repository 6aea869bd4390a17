/* problem/rosenbrock.c -- the curved valley; in n variables the chained form. */
#include "problem/problem.h"

static const tg_option options[] = {TG_OPTION_VARIABLES(2, 2, 1e6)};

static double evaluate(const tg_problem *p, const double *x, double *g)
{
    double sum = 0;
    for (size_t i = 0; i < p->n && g != NULL; i++)
        g[i] = 0;
    for (size_t i = 0; i + 1 < p->n; i++) {
        const double across = x[i + 1] - x[i] * x[i], along = 1 - x[i];
        sum += 100 * across * across + along * along;
        if (g != NULL) {
            g[i] -= 400 * across * x[i] + 2 * along;
            g[i + 1] += 200 * across;
        }
    }
    return sum;
}

const tg_problem_kind tg_problem_kind_rosenbrock = {
    .info = {.name = "rosenbrock",
             .title = "a curved, nearly flat valley",
             .source = "Rosenbrock 1960; start as More, Garbow & Hillstrom 1981, no. 1",
             .equations = "f = sum over i < n of 100 (x_(i+1) - x_i^2)^2 + (1 - x_i)^2;  minimum 0 at (1, ..., 1)",
             .options = TG_PROBLEM_TABLE(options)},
    .period = 2,
    .start = {-1.2, 1},
    .low = {-2, -1},
    .high = {2, 3},
    .minima = 1,
    .minimum = {{1, 1}},
    .evaluate = evaluate,
};
