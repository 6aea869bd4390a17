/* minimize/line_torch.c -- the line search of torch.optim.LBFGS (line_search_fn="strong_wolfe"), step for step:
 * bracket, then zoom by cubics (Nocedal & Wright 2006, Algorithms 3.5 and 3.6), with its safeguard against steps too
 * near an end. Gradients at both ends of the bracket are kept, so that the best of them costs no second evaluation. */
#include <string.h>

#include "minimize/minimize.h"

typedef struct end {
    double t, f, slope;
    double *g; /* NULL: at the start */
} end;

static double cubic(const end *p, const end *q, double least, double most)
{
    const double d1 = p->slope + q->slope - 3 * (p->f - q->f) / (p->t - q->t), square = d1 * d1 - p->slope * q->slope;
    if (!(square >= 0))
        return (least + most) / 2;
    const double d2 = sqrt(square);
    const double t = p->t <= q->t ? q->t - (q->t - p->t) * ((q->slope + d2 - d1) / (q->slope - p->slope + 2 * d2))
                                  : p->t - (p->t - q->t) * ((p->slope + d2 - d1) / (p->slope - q->slope + 2 * d2));
    return fmin(fmax(t, least), most);
}

/* What was just evaluated, its gradient kept in `keep`. */
static end trial(tg_minimizer *m, const tg_line *l, double *keep)
{
    memcpy(keep, m->at[TG_LINE_G], m->n * sizeof *keep);
    return (end){l->t, l->f, l->slope, keep};
}

static double *other(const tg_minimizer *m, const double *g)
{
    return g == m->at[TG_LINE_LOW] ? m->at[TG_LINE_HIGH] : m->at[TG_LINE_LOW];
}

/* Puts the point of `e` where the caller looks for it. */
static tg_line_end finish(tg_minimizer *m, tg_line *l, const end *e, tg_line_end how)
{
    if (e->t == 0 || e->g == NULL)
        return how == TG_LINE_FOUND ? TG_LINE_PRECISION : how;
    tg_point(m, m->at[TG_LINE_X], m->at[TG_X], e->t, l->d);
    memcpy(m->at[TG_LINE_G], e->g, m->n * sizeof *e->g);
    l->t = e->t;
    l->f = e->f;
    l->slope = e->slope;
    return isfinite(e->f) ? how : TG_LINE_NOT_FINITE;
}

/* Where in the bracket to look next; `slow`: the last one was already too near an end. */
static double choose(const end *p, const end *q, bool *slow)
{
    const double least = fmin(p->t, q->t), most = fmax(p->t, q->t), eps = 0.1 * (most - least);
    double t = cubic(p, q, least, most);
    if (fmin(most - t, t - least) >= eps) {
        *slow = false;
        return t;
    }
    if (!*slow && t < most && t > least) {
        *slow = true;
        return t;
    }
    *slow = false;
    return fabs(t - most) < fabs(t - least) ? most - eps : least + eps;
}

/* Narrows [p, q] down; p was evaluated before q. */
static tg_line_end zoom(tg_minimizer *m, tg_line *l, end p, end q, int tries)
{
    const double size = tg_max_abs(m->n, l->d);
    end at[2] = {p, q};
    int low = p.f <= q.f ? 0 : 1;
    bool slow = false, done = false;
    while (!done && tries < l->max_ls && !(fabs(at[1].t - at[0].t) * size < l->tolerance)) {
        const tg_line_end why = tg_line_try(m, l, choose(&at[0], &at[1], &slow));
        if (why != TG_LINE_NONE && why != TG_LINE_PRECISION)
            return why;
        if (why == TG_LINE_PRECISION)
            break;
        tries++;
        if (l->f > l->f0 + l->c1 * l->t * l->slope0 || l->f >= at[low].f) {
            at[1 - low] = trial(m, l, other(m, at[low].g));
            low = at[0].f <= at[1].f ? 0 : 1;
            continue;
        }
        done = fabs(l->slope) <= -l->c2 * l->slope0;
        if (!done && l->slope * (at[1 - low].t - at[low].t) >= 0)
            at[1 - low] = at[low];
        at[low] = trial(m, l, other(m, at[1 - low].g));
    }
    return finish(m, l, &at[low], done ? TG_LINE_FOUND : TG_LINE_BEST);
}

tg_line_end tg_line_torch(tg_minimizer *m, tg_line *l)
{
    end last = {0, l->f0, l->slope0, NULL};
    int tries = 0;
    tg_line_end why = tg_line_try(m, l, l->t);
    if (why != TG_LINE_NONE)
        return why;
    while (tries < l->max_ls) {
        const end now = trial(m, l, other(m, last.g));
        if (now.f > l->f0 + l->c1 * now.t * l->slope0 || (tries > 1 && now.f >= last.f))
            return zoom(m, l, last, now, tries);
        if (fabs(now.slope) <= -l->c2 * l->slope0)
            return TG_LINE_FOUND;
        if (now.slope >= 0)
            return zoom(m, l, last, now, tries);
        const double t = cubic(&last, &now, now.t + 0.01 * (now.t - last.t), 10 * now.t);
        last = now;
        why = tg_line_try(m, l, t);
        if (why != TG_LINE_NONE)
            return why;
        tries++;
    }
    const end start = {0, l->f0, l->slope0, NULL}, now = trial(m, l, m->at[TG_LINE_LOW]);
    return zoom(m, l, start, now, tries);
}
