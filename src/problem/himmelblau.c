/* problem/himmelblau.c -- four minima of the same depth. */
#include "problem/problem.h"

static double evaluate(const tg_problem *p, const double *x, double *g)
{
    (void)p;
    const double first = x[0] * x[0] + x[1] - 11, second = x[0] + x[1] * x[1] - 7;
    tg_gradient2(g, 4 * x[0] * first + 2 * second, 2 * first + 4 * x[1] * second);
    return first * first + second * second;
}

const tg_problem_kind tg_problem_kind_himmelblau = {
    .info = {.name = "himmelblau",
             .title = "four minima of the same depth",
             .source = "Himmelblau 1972, Applied Nonlinear Programming",
             .equations = "f = (x^2 + y - 11)^2 + (x + y^2 - 7)^2\n"
                          "minima 0 at (3, 2), (-2.805, 3.131), (-3.779, -3.283), (3.584, -1.848)"},
    .n = 2,
    .period = 2,
    .start = {-0.4, -0.9},
    .low = {-5, -5},
    .high = {5, 5},
    .minima = 4,
    .minimum = {{3, 2},
                {-2.805118086952745, 3.131312518250573},
                {-3.779310253377747, -3.283185991286170},
                {3.584428340330492, -1.848126526964404}},
    .evaluate = evaluate,
};
