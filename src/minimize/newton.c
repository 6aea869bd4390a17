/* newton.c -- Newton's method with a dense Hessian and Levenberg's damping (Levenberg 1944, Quart. Appl. Math. 2; the
 * damping is steered as by Marquardt 1963 and Nocedal & Wright 2006, Algorithm 4.1).
 *
 *   d = -(H + lambda D)^-1 g, by Cholesky      x <- x + d where f falls by at least 1e-4 of what the model promises
 *
 * D: the diagonal's magnitudes. lambda grows until H + lambda D is positive definite and the step is good, and shrinks,
 * to 0, while the model is right: on a quadratic the first step is the last. H comes from n products with unit vectors:
 * the caller's, or central differences of gradients (2 n evaluations). For n <= 2000; memory: 2 n^2 numbers. */
#include "minimize/curved.h"
#include "minimize/eigen.h"

#include <string.h>

enum { DAMPING, MAX_TRIES };
enum { HESSIAN = TG_OWN, FACTOR, STEP, WORK };
enum { K_LAMBDA };
#define LEAST 1e-6 /* below it a damping is as good as none */

static const tg_option options[] = {
    [DAMPING] = {.name = "damping", .kind = TG_REAL, .value = 0, .least = 0, .most = INFINITY,
                 .help = "lambda of the first step"},
    [MAX_TRIES] = {.name = "max_tries", .kind = TG_INTEGER, .value = 60, .least = 1, .most = 1000,
                   .help = "dampings tried in an iteration at most"},
};

static const char *check(const tg_minimizer *m)
{
    return m->n <= TG_DENSE_MOST ? NULL : "its matrix is for 2000 numbers at most: use newton_cg or lbfgs";
}

static void lay(tg_minimizer *m)
{
    tg_line_lay(m, false);
    tg_lay_scratch(m, HESSIAN, m->n, m->n);
    tg_lay_scratch(m, FACTOR, m->n, m->n);
    tg_lay_scratch(m, STEP, 1, m->n);
    tg_lay_scratch(m, WORK, 4, m->n + 8);
}

static void begin(tg_minimizer *m) { m->run->k[K_LAMBDA] = m->option[DAMPING]; }

/* step <- -(H + lambda D)^-1 g; false when that is not positive definite. */
static bool solve(tg_minimizer *m, double lambda)
{
    double floor = 0;
    const size_t n = m->n;
    double *l = m->at[FACTOR], *d = m->at[STEP];
    memcpy(l, m->at[HESSIAN], n * n * sizeof *l);
    for (size_t i = 0; i < n; i++)
        floor = fmax(floor, 1e-8 * fabs(l[i * n + i]));
    floor = floor > 0 ? floor : 1;
    for (size_t i = 0; i < n; i++) {
        l[i * n + i] += lambda * fmax(fabs(m->at[HESSIAN][i * n + i]), floor);
        d[i] = -m->at[TG_G][i];
    }
    if (!tg_cholesky(n, l))
        return false;
    tg_cholesky_solve(n, l, d);
    return isfinite(tg_dot(n, d, d));
}

/* What the model of the function promises of the step: g.d + d.H d / 2. */
static double promise(const tg_minimizer *m)
{
    const double *d = m->at[STEP];
    double sum = tg_dot(m->n, m->at[TG_G], d);
    for (size_t i = 0; i < m->n; i++)
        sum += 0.5 * d[i] * tg_dot(m->n, m->at[HESSIAN] + i * m->n, d);
    return sum;
}

/* The step with this damping: 0 not good, 1 taken, -1 stopped or given up. */
static int attempt(tg_minimizer *m, tg_line *l, double *lambda)
{
    if (!solve(m, *lambda))
        return 0;
    l->slope0 = tg_dot(m->n, m->at[TG_G], m->at[STEP]);
    const double promised = promise(m);
    const tg_line_end end = tg_line_try(m, l, 1);
    m->run->line = end == TG_LINE_NONE ? TG_LINE_FOUND : end;
    if (end != TG_LINE_NONE) {
        tg_line_give_up(m, l, end);
        return -1;
    }
    const bool level =
        !l->wrong && fabs(l->f - l->f0) <= m->noise * fabs(l->f0) && fabs(promised) <= m->noise * fabs(l->f0);
    if (level && tg_max_abs(m->n, m->at[TG_LINE_G]) >= tg_max_abs(m->n, m->at[TG_G])) {
        m->run->stop = TG_STOP_PRECISION;
        return -1;
    }
    if (!(l->f - l->f0 <= 1e-4 * promised) && !level)
        return 0;
    const double right = (l->f - l->f0) / promised;
    if (level || right > 0.75)
        *lambda = *lambda <= LEAST ? 0 : *lambda / 4;
    else if (right < 0.25)
        *lambda = fmax(4 * *lambda, LEAST);
    tg_line_take(m, l);
    return 1;
}

static void iterate(tg_minimizer *m)
{
    double *lambda = &m->run->k[K_LAMBDA];
    if (!tg_matrix(m, m->at[HESSIAN], false, m->at[WORK])) {
        if (m->run->stop == TG_STOP_NOT_YET)
            m->run->stop = TG_STOP_NOT_FINITE;
        return;
    }
    tg_line l = {.d = m->at[STEP], .f0 = m->run->f};
    for (int tries = 0; tries < (int)m->option[MAX_TRIES]; tries++) {
        if (attempt(m, &l, lambda) != 0)
            return;
        *lambda = fmax(8 * *lambda, LEAST);
    }
    m->run->line = TG_LINE_EVALUATIONS;
    tg_line_give_up(m, &l, TG_LINE_EVALUATIONS);
}

const tg_minimizer_kind tg_minimizer_kind_newton = {
    .info = {.name = "newton",
             .title = "Newton's method with a dense Hessian, damped",
             .source = "Levenberg 1944, Quart. Appl. Math. 2; Marquardt 1963; Nocedal & Wright 2006, Algorithm 4.1",
             .equations = "d = -(H + lambda D)^-1 g, lambda as small as lets the step be good\n"
                          "x <- x + d",
             .when_to_use = "up to 2000 numbers, where the last digits are wanted",
             .needs = TG_NEEDS_PRODUCT,
             .options = TG_MINIMIZER_TABLE(options)},
    .check = check,
    .lay = lay,
    .begin = begin,
    .iterate = iterate,
};
