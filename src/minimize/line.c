/* minimize/line.c -- what line searches share: trying a length, taking a step, giving up; and the two plain ones.
 *
 * A point that is not finite counts as infinitely high. Where the values of start and trial differ by less than their
 * rounding, the slopes decide (the approximate Wolfe conditions of Hager & Zhang 2005, SIAM J. Optim. 16(1), 4.1). */
#include <string.h>

#include "minimize/minimize.h"

void tg_line_lay(tg_minimizer *m, bool torch)
{
    tg_lay(m, TG_G, 1, m->n);
    tg_lay_scratch(m, TG_LINE_X, 1, m->n);
    tg_lay_scratch(m, TG_LINE_G, 1, m->n);
    if (torch) {
        tg_lay_scratch(m, TG_LINE_LOW, 1, m->n);
        tg_lay_scratch(m, TG_LINE_HIGH, 1, m->n);
    }
}

tg_line_end tg_line_try(tg_minimizer *m, tg_line *l, double t)
{
    l->t = t;
    if (!tg_point(m, m->at[TG_LINE_X], m->at[TG_X], t, l->d))
        return TG_LINE_PRECISION;
    if (!tg_evaluate_at(m, &l->f, m->at[TG_LINE_G], m->at[TG_LINE_X]))
        return m->run->stop == TG_STOP_CALLER ? TG_LINE_CALLER : TG_LINE_EVALUATIONS;
    l->tried = true;
    l->finite |= isfinite(l->f) != 0;
    l->slope = isfinite(l->f) ? tg_dot(m->n, m->at[TG_LINE_G], l->d) : NAN;
    const double promised = 0.5 * t * fabs(l->slope0), rounding = 4 * m->noise * fabs(l->f0);
    if (fabs(l->slope - l->slope0) < 0.5 * fabs(l->slope0) && promised > rounding && l->f > l->f0 + rounding)
        l->wrong = true;
    return TG_LINE_NONE;
}

void tg_line_take(tg_minimizer *m, const tg_line *l)
{
    double *x = m->at[TG_X], *new_x = m->at[TG_LINE_X], moved = 0;
    for (size_t i = 0; i < m->n; i++)
        moved = fmax(moved, fabs(new_x[i] - x[i]));
    memcpy(x, new_x, m->n * sizeof *x);
    memcpy(m->at[TG_G], m->at[TG_LINE_G], m->n * sizeof *x);
    m->run->f = l->f;
    m->run->step = l->t;
    m->run->moved = moved;
}

void tg_line_give_up(tg_minimizer *m, const tg_line *l, tg_line_end end)
{
    tg_run *r = m->run;
    const double promised = fabs(l->slope0) * l->t; /* by the gradient, for the last length tried */
    if (r->stop != TG_STOP_NOT_YET)
        return;
    if (end == TG_LINE_NOT_FINITE || (l->tried && !l->finite))
        r->stop = TG_STOP_NOT_FINITE;
    else if (l->wrong)
        r->stop = TG_STOP_LINE_SEARCH;
    else if (end == TG_LINE_PRECISION || promised <= 4 * m->noise * fabs(l->f0))
        r->stop = TG_STOP_PRECISION;
    else
        r->stop = TG_STOP_LINE_SEARCH;
}

/* Where the path is bent at bounds the slope along it is that of the chord. */
static double chord(const tg_minimizer *m)
{
    const double *x = m->at[TG_X], *new_x = m->at[TG_LINE_X], *g = m->at[TG_G];
    double sum = 0;
    for (size_t i = 0; i < m->n; i++)
        sum += g[i] * (new_x[i] - x[i]);
    return sum;
}

tg_line_end tg_line_backtrack(tg_minimizer *m, tg_line *l)
{
    double t = l->t;
    for (int tries = 0; tries < l->max_ls; tries++) {
        const tg_line_end end = tg_line_try(m, l, t);
        if (end != TG_LINE_NONE)
            return end;
        const double drop = m->bounded ? chord(m) : t * l->slope0;
        if (l->f <= l->f0 + l->c1 * drop && (l->f < l->f0 || !l->wrong))
            return TG_LINE_FOUND;
        if (isfinite(l->f) && fabs(l->f - l->f0) <= m->noise * fabs(l->f0) && fabs(l->slope) <= 0.9 * fabs(l->slope0))
            return TG_LINE_FOUND;
        const double best =
            isfinite(l->f) ? -0.5 * drop / (l->f - l->f0 - drop) : 0; /* of the parabola, as a share of t */
        t *= fmin(fmax(best, 0.1), 0.5);
    }
    return l->finite ? TG_LINE_EVALUATIONS : TG_LINE_NOT_FINITE;
}

tg_line_end tg_line_fixed(tg_minimizer *m, tg_line *l)
{
    for (int tries = 0; tries < l->max_ls; tries++) {
        const tg_line_end end = tg_line_try(m, l, l->t);
        if (end != TG_LINE_NONE)
            return end;
        if (isfinite(l->f))
            return TG_LINE_FOUND;
        l->t *= 0.5;
    }
    return TG_LINE_NOT_FINITE;
}

tg_line_end tg_line_search(tg_minimizer *m, tg_line *l, int choice)
{
    static tg_line_end (*const searches[])(tg_minimizer *, tg_line *) = {
        [TG_SEARCH_WOLFE] = tg_line_wolfe,
        [TG_SEARCH_TORCH] = tg_line_torch,
        [TG_SEARCH_BACKTRACKING] = tg_line_backtrack,
        [TG_SEARCH_NONE] = tg_line_fixed,
    };
    tg_line_end end = TG_LINE_ASCENT;
    if (l->slope0 < 0)
        end = searches[m->bounded && choice != TG_SEARCH_NONE ? TG_SEARCH_BACKTRACKING : choice](m, l);
    m->run->line = end;
    return end;
}

void tg_line_backtrack_or_stop(tg_minimizer *m, tg_line *l)
{
    const tg_line_end end = tg_line_search(m, l, TG_SEARCH_BACKTRACKING);
    if (end == TG_LINE_FOUND)
        tg_line_take(m, l);
    else
        tg_line_give_up(m, l, end);
}
