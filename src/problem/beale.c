/* problem/beale.c -- a flat plateau with steep corners. */
#include "problem/problem.h"

static double evaluate(const tg_problem *p, const double *x, double *g)
{
    (void)p;
    static const double target[] = {1.5, 2.25, 2.625};
    double sum = 0, dx = 0, dy = 0, power = 1; /* y^i */
    for (size_t i = 0; i < 3; i++) {
        const double slope = (double)(i + 1) * power;
        power *= x[1];
        const double residual = target[i] - x[0] * (1 - power);
        sum += residual * residual;
        dx -= 2 * residual * (1 - power);
        dy += 2 * residual * x[0] * slope;
    }
    tg_gradient2(g, dx, dy);
    return sum;
}

const tg_problem_kind tg_problem_kind_beale = {
    .info = {.name = "beale",
             .title = "a plateau with steep corners",
             .source = "Beale 1958; start as More, Garbow & Hillstrom 1981, no. 5",
             .equations =
                 "f = (1.5 - x (1-y))^2 + (2.25 - x (1-y^2))^2 + (2.625 - x (1-y^3))^2;  minimum 0 at (3, 0.5)"},
    .n = 2,
    .period = 2,
    .start = {1, 1},
    .low = {-4.5, -4.5},
    .high = {4.5, 4.5},
    .minima = 1,
    .minimum = {{3, 0.5}},
    .evaluate = evaluate,
};
