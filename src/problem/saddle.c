/* problem/saddle.c -- a saddle between two minima; the standard start lies next to the ridge, where the gradient leads
 * to the saddle first. */
#include "problem/problem.h"

static double evaluate(const tg_problem *p, const double *x, double *g)
{
    (void)p;
    const double a = x[0], b = x[1];
    tg_gradient2(g, a, b * b * b - b);
    return a * a / 2 - b * b / 2 + b * b * b * b / 4;
}

const tg_problem_kind tg_problem_kind_saddle = {
    .info = {.name = "saddle",
             .title = "a saddle between two minima",
             .source = "the double well",
             .equations = "f = x^2/2 - y^2/2 + y^4/4;  saddle at (0, 0), minima -1/4 at (0, -1) and (0, 1)"},
    .n = 2,
    .period = 2,
    .start = {-1.5, 0.01},
    .low = {-2, -1.6},
    .high = {2, 1.6},
    .minima = 2,
    .minimum = {{0, -1}, {0, 1}},
    .least = -0.25,
    .evaluate = evaluate,
};
