/* problem/ravine.c -- a long valley: steep across, nearly flat along. Gradient descent zigzags, momentum does not. */
#include "problem/problem.h"

static const tg_option options[] = {
    {.name = "condition",
     .kind = TG_REAL,
     .value = 20,
     .least = 1,
     .most = 1e9,
     .help = "how much steeper it is across than along"},
};

static double evaluate(const tg_problem *p, const double *x, double *g)
{
    const double along = 1 / p->option[0];
    tg_gradient2(g, 2 * along * x[0], 2 * x[1]);
    return along * x[0] * x[0] + x[1] * x[1];
}

const tg_problem_kind tg_problem_kind_ravine = {
    .info = {.name = "ravine",
             .title = "a long narrow valley along an axis",
             .source = "the textbooks' picture of momentum",
             .equations = "f = x^2 / condition + y^2;  minimum 0 at (0, 0)",
             .options = TG_PROBLEM_TABLE(options)},
    .n = 2,
    .period = 2,
    .start = {-7, 2},
    .low = {-10, -5},
    .high = {10, 5},
    .minima = 1,
    .evaluate = evaluate,
};
