/* problem/matyas.c -- a flat tilted bowl of condition 25. */
#include "problem/problem.h"

static double evaluate(const tg_problem *p, const double *x, double *g)
{
    (void)p;
    tg_gradient2(g, 0.52 * x[0] - 0.48 * x[1], 0.52 * x[1] - 0.48 * x[0]);
    return 0.26 * (x[0] * x[0] + x[1] * x[1]) - 0.48 * x[0] * x[1];
}

const tg_problem_kind tg_problem_kind_matyas = {
    .info = {.name = "matyas",
             .title = "a flat tilted bowl",
             .source = "Jamil & Yang 2013, arXiv:1308.4008, no. 71",
             .equations = "f = 0.26 (x^2 + y^2) - 0.48 x y;  minimum 0 at (0, 0)"},
    .n = 2,
    .period = 2,
    .start = {8, -3},
    .low = {-10, -10},
    .high = {10, 10},
    .minima = 1,
    .evaluate = evaluate,
};
