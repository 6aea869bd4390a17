/* cg.c -- nonlinear conjugate gradients (Fletcher & Reeves 1964, Comput. J. 7; Polak & Ribiere 1969; the line search's strong
 * Wolfe conditions and PR+ after Gilbert & Nocedal 1992, SIAM J. Optim. 2).
 *
 *   d <- -g + beta d      beta = g.g / g'.g' (fletcher_reeves), max(0, g.(g - g') / g'.g') (polak_ribiere); g' the last g
 *   x <- x + t d
 *
 * Begun anew with d = -g every `restart` iterations, when d does not descend, and when successive gradients are far from
 * orthogonal: |g.g'| >= 0.2 g.g (Powell 1977). On a quadratic, with exact lengths, the minimum is met in n steps: a small c2
 * asks for nearly exact ones. First length: the last one times the ratio of the slopes. Memory: 6 numbers per entry of x. */
#include "minimize/lbfgs.h"

#include <string.h>

enum { BETA, LINE_SEARCH, C1, C2, MAX_LS, RESTART };
enum { POLAK_RIBIERE, FLETCHER_REEVES };
enum { DIRECTION = TG_OWN, LAST };
enum { K_SLOPE };
enum { SINCE };

static const tg_option options[] = {
    [BETA] = {.name = "beta", .kind = TG_CHOICE, .choices = "polak_ribiere|fletcher_reeves",
              .help = "how the last direction enters"},
    TG_LINE_OPTIONS(LINE_SEARCH, C1, C2, MAX_LS, 0.1),
    [RESTART] = {.name = "restart", .kind = TG_INTEGER, .value = 0, .least = 0, .most = 1e15,
                 .help = "iterations from one steepest descent to the next; 0: n, at least 10"},
};

static const char *check(const tg_minimizer *m)
{
    if (m->option[LINE_SEARCH] == TG_SEARCH_NONE)
        return "conjugate directions need a line search: line_search=none goes with lbfgs alone";
    return m->option[C1] < m->option[C2] ? NULL : "c1 must be below c2: no step meets both conditions otherwise";
}

static void lay(tg_minimizer *m)
{
    tg_line_lay(m, m->option[LINE_SEARCH] == TG_SEARCH_TORCH);
    tg_lay(m, DIRECTION, 1, m->n);
    tg_lay(m, LAST, 1, m->n);
}

static void begin(tg_minimizer *m) { m->run->c[SINCE] = 0; }

/* beta of the new direction; 0: begin anew. */
static double beta(const tg_minimizer *m)
{
    const size_t n = m->n, every = m->option[RESTART] > 0 ? (size_t)m->option[RESTART] : n > 10 ? n : 10;
    const double *g = m->at[TG_G], *last = m->at[LAST];
    if (m->run->c[SINCE] % every == 0)
        return 0;
    const double new_square = tg_dot(n, g, g), old_square = tg_dot(n, last, last), cross = tg_dot(n, g, last);
    if (fabs(cross) >= 0.2 * new_square)
        return 0;
    return m->option[BETA] == FLETCHER_REEVES ? new_square / old_square : fmax(0, (new_square - cross) / old_square);
}

static void direct(tg_minimizer *m, double b)
{
    double *d = m->at[DIRECTION];
    for (size_t i = 0; i < m->n; i++)
        d[i] = b == 0 ? -m->at[TG_G][i] : b * d[i] - m->at[TG_G][i];
    m->run->c[SINCE] = b == 0 ? 0 : m->run->c[SINCE];
}

static void iterate(tg_minimizer *m)
{
    tg_run *r = m->run;
    const double *d = m->at[DIRECTION], *g = m->at[TG_G];
    tg_line_end end;
    tg_line l;
    double b = beta(m);
    do {
        direct(m, b);
        double slope = tg_dot(m->n, g, d);
        if (!(slope < 0) && b != 0) {
            direct(m, b = 0);
            slope = tg_dot(m->n, g, d);
        }
        l = (tg_line){.d = d, .f0 = r->f, .slope0 = slope, .c1 = m->option[C1], .c2 = m->option[C2],
                      .t = r->step > 0 ? r->step * fmin(r->k[K_SLOPE] / slope, 10) : 1 / sqrt(-slope),
                      .max_ls = (int)m->option[MAX_LS]};
        end = tg_line_search(m, &l, (int)m->option[LINE_SEARCH]);
        if (end == TG_LINE_FOUND || end == TG_LINE_BEST) {
            memcpy(m->at[LAST], g, m->n * sizeof *g);
            r->k[K_SLOPE] = l.slope0;
            r->c[SINCE]++;
            tg_line_take(m, &l);
            return;
        }
        if (b == 0 || r->stop != TG_STOP_NOT_YET) {
            tg_line_give_up(m, &l, end);
            return;
        }
        b = 0;
        r->step = 0;
        r->restarts++;
    } while (true);
}

const tg_minimizer_kind tg_minimizer_kind_cg = {
    .info = {.name = "cg",
             .title = "nonlinear conjugate gradients",
             .source = "Fletcher & Reeves 1964, Comput. J. 7; Polak & Ribiere 1969; Gilbert & Nocedal 1992, SIAM J. Optim. 2",
             .equations = "d <- -g + beta d, beta = max(0, g.(g - g') / g'.g') or g.g / g'.g', g' the last g\n"
                          "x <- x + t d, t by the line search",
             .when_to_use = "large functions where even the history of lbfgs is too much memory",
             .needs = TG_NEEDS_GRADIENT,
             .options = TG_MINIMIZER_TABLE(options)},
    .check = check,
    .lay = lay,
    .begin = begin,
    .iterate = iterate,
};
