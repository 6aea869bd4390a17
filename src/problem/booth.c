/* problem/booth.c -- a tilted quadratic bowl of condition 9. */
#include "problem/problem.h"

static double evaluate(const tg_problem *p, const double *x, double *g)
{
    (void)p;
    const double first = x[0] + 2 * x[1] - 7, second = 2 * x[0] + x[1] - 5;
    tg_gradient2(g, 2 * first + 4 * second, 4 * first + 2 * second);
    return first * first + second * second;
}

const tg_problem_kind tg_problem_kind_booth = {
    .info = {.name = "booth",
             .title = "a tilted bowl",
             .source = "Jamil & Yang 2013, arXiv:1308.4008, no. 17",
             .equations = "f = (x + 2y - 7)^2 + (2x + y - 5)^2;  minimum 0 at (1, 3)"},
    .n = 2,
    .period = 2,
    .start = {-6, -8},
    .low = {-10, -10},
    .high = {10, 10},
    .minima = 1,
    .minimum = {{1, 3}},
    .evaluate = evaluate,
};
