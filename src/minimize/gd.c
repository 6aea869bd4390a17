/* gd.c -- gradient descent with backtracking (Cauchy 1847; Armijo 1966, Pacific J. Math. 16; with bounds Bertsekas
 * 1976, IEEE Trans. Automat. Control 21).
 *
 *   x <- P(x - t g), t lowered until f(new) <= f(x) + c1 g.(new - x)      P: onto the bounds
 *
 * The first length tried is twice the last one taken, at the beginning `lr` or 1/|g|. Memory: 5 numbers per
 * entry of x. */
#include "minimize/minimize.h"

enum { LR, C1, MAX_LS };
enum { DIRECTION = TG_OWN };

static const tg_option options[] = {
    [LR] = {.name = "lr", .kind = TG_REAL, .value = 0, .least = 0, .most = INFINITY,
            .help = "first length tried; 0: 1/|g|"},
    [C1] = {.name = "c1", .kind = TG_REAL, .value = 1e-4, .least = 0, .above = 1, .most = 0.4999,
            .help = "share of the descent the slope promises that a step must make"},
    [MAX_LS] = {.name = "max_ls", .kind = TG_INTEGER, .value = 60, .least = 1, .most = 1000,
                .help = "evaluations in a line search at most"},
};

static void lay(tg_minimizer *m)
{
    tg_line_lay(m, false);
    tg_lay_scratch(m, DIRECTION, 1, m->n);
}

static void begin(tg_minimizer *m) { m->run->step = 0; }

static void iterate(tg_minimizer *m)
{
    double *d = m->at[DIRECTION];
    for (size_t i = 0; i < m->n; i++)
        d[i] = tg_held(m, m->at[TG_X], m->at[TG_G], i) ? 0 : -m->at[TG_G][i];
    const double slope = -tg_dot(m->n, d, d), start = m->option[LR] > 0 ? m->option[LR] : 1 / sqrt(-slope);
    tg_line l = {.d = d,
                 .f0 = m->run->f,
                 .slope0 = slope,
                 .t = m->run->step > 0 ? 2 * m->run->step : start,
                 .c1 = m->option[C1],
                 .max_ls = (int)m->option[MAX_LS]};
    tg_line_backtrack_or_stop(m, &l);
}

const tg_minimizer_kind tg_minimizer_kind_gd = {
    .info = {.name = "gd",
             .title = "gradient descent with backtracking",
             .source = "Cauchy 1847; Armijo 1966, Pacific J. Math. 16; Bertsekas 1976, IEEE Trans. Automat. Control 21",
             .equations = "x <- P(x - t g), t lowered until f(new) <= f(x) + c1 g.(new - x), P onto the bounds",
             .when_to_use = "a baseline; well-conditioned functions",
             .needs = TG_NEEDS_GRADIENT,
             .bounds = true,
             .options = TG_MINIMIZER_TABLE(options)},
    .lay = lay,
    .begin = begin,
    .iterate = iterate,
};
