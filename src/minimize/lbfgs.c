/* lbfgs.c -- limited-memory BFGS (Nocedal 1980, Math. Comp. 35, 773-782; Liu & Nocedal 1989, Math. Prog. 45; the two
 * loops are Algorithm 7.4 of Nocedal & Wright 2006).
 *
 *   d = -H g, H from the last m pairs s = change of x, y = change of g, begun from s.y / y.y      x <- x + t d
 *
 * t: the line search's. Without history d = -g and t is first 1/|g|. When a line search fails the history is dropped
 * and the steepest descent tried, once. Bounds: entries held at a bound (there, and the gradient pushes outwards) are
 * left out of the two loops, so that H is positive on the others, and the path is bent into the bounds (Bertsekas 1982,
 * SIAM J. Control Optim. 20). line_search=torch and none walk as torch.optim.LBFGS does, its first length and its test
 * of s.y included. Memory: 2 m + 6 numbers per entry of x. */
#include "minimize/lbfgs.h"

#include <float.h>
#include <string.h>

enum { PAIRS, NEWEST }; /* counts: pairs kept, where the newest is */

static const tg_option options[] = {TG_LBFGS_OPTIONS};

static bool as_torch(const tg_minimizer *m)
{
    return m->option[LBFGS_LINE_SEARCH] == TG_SEARCH_TORCH || m->option[LBFGS_LINE_SEARCH] == TG_SEARCH_NONE;
}

const char *tg_lbfgs_check(const tg_minimizer *m)
{
    return m->option[LBFGS_C1] < m->option[LBFGS_C2] ? NULL
                                                     : "c1 must be below c2: no step meets both conditions otherwise";
}

void tg_lbfgs_lay(tg_minimizer *m)
{
    const size_t pairs = (size_t)m->option[LBFGS_HISTORY];
    tg_line_lay(m, m->option[LBFGS_LINE_SEARCH] == TG_SEARCH_TORCH);
    tg_lay(m, LBFGS_S, pairs, m->n);
    tg_lay(m, LBFGS_Y, pairs, m->n);
    tg_lay(m, LBFGS_RHO, pairs, 1);
    tg_lay_scratch(m, LBFGS_ALPHA, pairs, 1);
    tg_lay_scratch(m, LBFGS_D, 1, m->n);
}

void tg_lbfgs_begin(tg_minimizer *m) { m->run->c[PAIRS] = m->run->c[NEWEST] = 0; }

bool tg_lbfgs_sound(const tg_minimizer *m, const tg_run *run)
{
    const uint64_t room = (uint64_t)m->option[LBFGS_HISTORY];
    return run->c[PAIRS] <= room && run->c[NEWEST] < room;
}

/* Where the pair `back` steps ago lies. */
static size_t pair(const tg_minimizer *m, size_t back)
{
    const size_t room = (size_t)m->option[LBFGS_HISTORY];
    return (m->run->c[NEWEST] + room - back) % room;
}

/* a.b over the entries that may move. */
static double dot(const tg_minimizer *m, const double *a, const double *b)
{
    if (!m->bounded)
        return tg_dot(m->n, a, b);
    double sum = 0;
    for (size_t i = 0; i < m->n; i++)
        sum += tg_held(m, m->at[TG_X], m->at[TG_G], i) ? 0 : a[i] * b[i];
    return sum;
}

/* d <- -H g. */
static void direct(tg_minimizer *m)
{
    const size_t n = m->n, pairs = m->run->c[PAIRS];
    double *d = m->at[LBFGS_D], *alpha = m->at[LBFGS_ALPHA], *rho = m->at[LBFGS_RHO], scale = 0;
    for (size_t i = 0; i < n; i++)
        d[i] = -m->at[TG_G][i];
    for (size_t back = 0; back < pairs; back++) {
        const size_t p = pair(m, back);
        const double *s = m->at[LBFGS_S] + p * n, *y = m->at[LBFGS_Y] + p * n;
        const double sy = dot(m, s, y), yy = dot(m, y, y);
        const bool sound = sy > DBL_EPSILON * yy * 1e-6 && yy > 0; /* over the entries that may move */
        rho[p] = sound ? 1 / sy : 0;
        alpha[p] = rho[p] * dot(m, s, d);
        tg_axpy(n, d, -alpha[p], y);
        if (sound && scale == 0)
            scale = sy / yy;
    }
    for (size_t i = 0; scale != 0 && i < n; i++)
        d[i] *= scale;
    for (size_t back = pairs; back-- > 0;) {
        const size_t p = pair(m, back);
        const double *s = m->at[LBFGS_S] + p * n, *y = m->at[LBFGS_Y] + p * n;
        tg_axpy(n, d, alpha[p] - rho[p] * dot(m, y, d), s);
    }
    for (size_t i = 0; m->bounded && i < n; i++)
        if (tg_held(m, m->at[TG_X], m->at[TG_G], i))
            d[i] = 0;
}

/* The pair of the step from x to the point of the line search, before that is taken. */
static void remember(tg_minimizer *m)
{
    tg_run *r = m->run;
    const size_t n = m->n, room = (size_t)m->option[LBFGS_HISTORY],
                 p = r->c[PAIRS] == 0 ? 0 : (r->c[NEWEST] + 1) % room;
    double *s = m->at[LBFGS_S] + p * n, *y = m->at[LBFGS_Y] + p * n;
    for (size_t i = 0; i < n; i++) {
        s[i] = m->at[TG_LINE_X][i] - m->at[TG_X][i];
        y[i] = m->at[TG_LINE_G][i] - m->at[TG_G][i];
    }
    const double sy = tg_dot(n, s, y);
    const double least = as_torch(m) ? 1e-10 : DBL_EPSILON * sqrt(tg_dot(n, s, s) * tg_dot(n, y, y));
    if (!(sy > least)) { /* a full history has lost its oldest pair to this one */
        r->c[PAIRS] -= r->c[PAIRS] == room;
        return;
    }
    r->c[NEWEST] = p;
    r->c[PAIRS] += r->c[PAIRS] < room;
}

/* The first length without history. */
static double first(const tg_minimizer *m)
{
    const double *d = m->at[LBFGS_D];
    double sum = 0;
    if (!as_torch(m))
        return 1 / sqrt(tg_dot(m->n, d, d));
    for (size_t i = 0; i < m->n; i++)
        sum += fabs(d[i]);
    return fmin(1, 1 / sum) * m->option[LBFGS_LR];
}

void tg_lbfgs_iterate(tg_minimizer *m)
{
    tg_run *r = m->run;
    tg_line_end end;
    tg_line l;
    do {
        direct(m);
        l = (tg_line){.d = m->at[LBFGS_D],
                      .f0 = r->f,
                      .slope0 = tg_dot(m->n, m->at[TG_G], m->at[LBFGS_D]),
                      .t = r->c[PAIRS] == 0 && (!as_torch(m) || r->iterations == 0) ? first(m) : m->option[LBFGS_LR],
                      .c1 = m->option[LBFGS_C1],
                      .c2 = m->option[LBFGS_C2],
                      .max_ls = (int)m->option[LBFGS_MAX_LS],
                      .tolerance = 1e-9};
        end = tg_line_search(m, &l, (int)m->option[LBFGS_LINE_SEARCH]);
        if (end == TG_LINE_FOUND || end == TG_LINE_BEST) {
            remember(m);
            tg_line_take(m, &l);
            return;
        }
        if (r->c[PAIRS] == 0 || r->stop != TG_STOP_NOT_YET) {
            tg_line_give_up(m, &l, end);
            return;
        }
        r->c[PAIRS] = 0;
        r->restarts++;
    } while (true);
}

const tg_minimizer_kind tg_minimizer_kind_lbfgs = {
    .info = {.name = "lbfgs",
             .title = "quasi-Newton steps from the last few changes of the gradient",
             .source =
                 "Nocedal 1980, Math. Comp. 35; Liu & Nocedal 1989; line search: More & Thuente 1994, ACM TOMS 20(3)",
             .equations = "d = -H g, H from the last history_size pairs s = change of x, y = change of g\n"
                          "x <- x + t d, t by the line search",
             .when_to_use = "the first choice for smooth functions with gradients, of any size; whole batches",
             .needs = TG_NEEDS_GRADIENT,
             .bounds = true,
             .options = TG_MINIMIZER_TABLE(options)},
    .check = tg_lbfgs_check,
    .lay = tg_lbfgs_lay,
    .begin = tg_lbfgs_begin,
    .iterate = tg_lbfgs_iterate,
    .sound = tg_lbfgs_sound,
};
