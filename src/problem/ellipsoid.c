/* problem/ellipsoid.c -- squares whose weights grow to a million along the axes: methods that scale every variable
 * alone see a sphere. */
#include "problem/problem.h"

enum { N, CONDITION };

static const tg_option options[] = {
    [N] = TG_OPTION_VARIABLES(2, 2, 1e6),
    [CONDITION] = {.name = "condition",
                   .kind = TG_REAL,
                   .value = 1e6,
                   .least = 1,
                   .most = 1e12,
                   .help = "the last weight; the first is 1"},
};

static double evaluate(const tg_problem *p, const double *x, double *g)
{
    const double last = (double)(p->n - 1);
    double sum = 0;
    for (size_t i = 0; i < p->n; i++) {
        const double weight = pow(p->option[CONDITION], (double)i / last);
        sum += weight * x[i] * x[i];
        if (g != NULL)
            g[i] = 2 * weight * x[i];
    }
    return sum;
}

const tg_problem_kind tg_problem_kind_ellipsoid = {
    .info = {.name = "ellipsoid",
             .title = "squares with weights from 1 to a million, along the axes",
             .source = "Hansen et al. 2009, BBOB f2, without its distortions",
             .equations = "f = sum condition^((i-1)/(n-1)) x_i^2;  minimum 0 at 0",
             .options = TG_PROBLEM_TABLE(options)},
    .period = 2,
    .start = {3.3, -2.7},
    .low = {-5, -5},
    .high = {5, 5},
    .minima = 1,
    .evaluate = evaluate,
};
