/* problem/ackley.c -- a dented plain with a funnel in its middle. At the funnel's tip there is no gradient: 0 is given.
 */
#include "problem/problem.h"

static const tg_option options[] = {TG_OPTION_VARIABLES(2, 1, 1e6)};

static double evaluate(const tg_problem *p, const double *x, double *g)
{
    const double n = (double)p->n;
    double squares = 0, waves = 0;
    for (size_t i = 0; i < p->n; i++) {
        squares += x[i] * x[i] / n;
        waves += cos(2 * TG_PI * x[i]) / n;
    }
    const double radius = sqrt(squares), funnel = 20 * exp(-0.2 * radius), dents = exp(waves);
    for (size_t i = 0; i < p->n && g != NULL; i++)
        g[i] = (radius > 0 ? 0.2 * funnel * x[i] / (n * radius) : 0) + dents * 2 * TG_PI * sin(2 * TG_PI * x[i]) / n;
    return 20 - funnel + exp(1) - dents;
}

const tg_problem_kind tg_problem_kind_ackley = {
    .info = {.name = "ackley",
             .title = "a dented plain with a funnel in its middle",
             .source = "Ackley 1987, A Connectionist Machine for Genetic Hillclimbing",
             .equations = "f = 20 - 20 exp(-0.2 sqrt(mean x_i^2)) + e - exp(mean cos(2 pi x_i));  minimum 0 at 0",
             .options = TG_PROBLEM_TABLE(options)},
    .period = 2,
    .start = {2.7, -3.4},
    .low = {-5, -5},
    .high = {5, 5},
    .minima = 1,
    .evaluate = evaluate,
};
