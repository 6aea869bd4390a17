/* minimize/line_wolfe.c -- a step that meets the strong Wolfe conditions (More & Thuente 1994, ACM TOMS 20(3), 286-307):
 *
 *   f(t) <= f(0) + c1 t f'(0)      |f'(t)| <= c2 |f'(0)|
 *
 * The bracket holds the best step so far (A) and another (B); a trial step is placed by cubics and parabolas through their
 * values and slopes, section 4 of the paper. Until a step with sufficient decrease and f' >= min(c1, c2) f'(0) is met the
 * search works on psi(t) = f(t) - c1 t f'(0) (stage 1), section 3. Deviations: a trial that is not finite becomes the upper
 * limit; and see line.c for values that differ by less than their rounding. */
#include "minimize/minimize.h"

typedef struct end { double t, f, slope; } end;

typedef struct bracket {
    end a, b;
    bool closed;
    double low, high; /* where the next trial may lie while the bracket is open */
} bracket;

/* The minimum of the cubic through both ends, as the share of the way from p to q. */
static double cubic(const end *p, const end *q, bool *real)
{
    const double theta = 3 * (p->f - q->f) / (q->t - p->t) + p->slope + q->slope;
    const double scale = fmax(fabs(theta), fmax(fabs(p->slope), fabs(q->slope)));
    const double square = (theta / scale) * (theta / scale) - (p->slope / scale) * (q->slope / scale);
    const double root = scale * sqrt(fmax(square, 0));
    *real = square > 0;
    const double gamma = q->t < p->t ? -root : root;
    return (gamma - p->slope + theta) / (2 * gamma - p->slope + q->slope);
}

static double parabola_slopes(const end *p, const end *q) { return p->t + p->slope / (p->slope - q->slope) * (q->t - p->t); }

/* The next trial after `now`; moves the bracket. The four cases of section 4. */
static double place(bracket *k, const end *now)
{
    const end a = k->a;
    const bool opposite = now->slope * a.slope < 0;
    bool real;
    double t;
    const double c = a.t + cubic(&a, now, &real) * (now->t - a.t);
    if (now->f > a.f) { /* higher: the minimum lies between */
        const double q = a.t + a.slope / ((a.f - now->f) / (now->t - a.t) + a.slope) / 2 * (now->t - a.t);
        t = fabs(c - a.t) < fabs(q - a.t) ? c : c + (q - c) / 2;
        k->closed = true;
    } else if (opposite) { /* lower, past the minimum */
        const double s = parabola_slopes(&a, now);
        t = fabs(c - now->t) > fabs(s - now->t) ? c : s;
        k->closed = true;
    } else if (fabs(now->slope) < fabs(a.slope)) { /* lower, flatter: the cubic counts if it rises behind */
        const double s = parabola_slopes(&a, now);
        const bool usable = real && (now->t > a.t ? c > now->t : c < now->t);
        const double far = usable ? c : now->t > a.t ? k->high : k->low;
        if (k->closed) {
            t = fabs(far - now->t) < fabs(s - now->t) ? far : s;
            const double most = now->t + 0.66 * (k->b.t - now->t);
            t = now->t > a.t ? fmin(most, t) : fmax(most, t);
        } else {
            t = fabs(far - now->t) > fabs(s - now->t) ? far : s;
            t = fmin(fmax(t, k->low), k->high);
        }
    } else if (k->closed) { /* lower, steeper */
        bool other;
        t = now->t + (1 - cubic(&k->b, now, &other)) * (k->b.t - now->t);
    } else {
        t = now->t > a.t ? k->high : k->low;
    }
    if (now->f > a.f) {
        k->b = *now;
    } else {
        if (opposite)
            k->b = a;
        k->a = *now;
    }
    return t;
}

static end psi(const end *e, double slope) { return (end){e->t, e->f - slope * e->t, e->slope - slope}; }

/* One step of the search on f, or on psi in stage 1. */
static double advance(bracket *k, const end *now, bool stage1, double slope)
{
    if (!stage1 || !(now->f <= k->a.f && now->f > k->a.f + slope * (now->t - k->a.t)))
        return place(k, now);
    bracket p = *k;
    const end trial = psi(now, slope);
    p.a = psi(&k->a, slope);
    p.b = psi(&k->b, slope);
    const double t = place(&p, &trial);
    k->closed = p.closed;
    k->a = psi(&p.a, -slope);
    k->b = psi(&p.b, -slope);
    return t;
}

/* The search ends without its conditions: the best step is taken when it is lower than the start. */
static tg_line_end settle(tg_minimizer *m, tg_line *l, const bracket *k, tg_line_end why)
{
    if (k->a.t == 0 || !(k->a.f < l->f0))
        return why;
    if (l->t != k->a.t) {
        const tg_line_end again = tg_line_try(m, l, k->a.t);
        if (again != TG_LINE_NONE)
            return again;
    }
    return l->f < l->f0 ? TG_LINE_BEST : why;
}

static bool good(const tg_minimizer *m, const tg_line *l)
{
    if (!(fabs(l->slope) <= -l->c2 * l->slope0))
        return false;
    const bool level = fabs(l->f - l->f0) <= m->noise * fabs(l->f0);
    return l->f <= l->f0 + l->c1 * l->t * l->slope0 || (level && l->slope <= (2 * l->c1 - 1) * l->slope0);
}

tg_line_end tg_line_wolfe(tg_minimizer *m, tg_line *l)
{
    bracket k = {.a = {0, l->f0, l->slope0}, .b = {0, l->f0, l->slope0}, .low = 0, .high = 5 * l->t};
    double t = l->t, most = INFINITY, width = INFINITY, last_width = INFINITY;
    const double slope = l->c1 * l->slope0;
    bool stage1 = true;
    for (int tries = 0; tries < l->max_ls; tries++) {
        const tg_line_end why = tg_line_try(m, l, t);
        if (why != TG_LINE_NONE)
            return why == TG_LINE_PRECISION ? settle(m, l, &k, why) : why;
        if (!isfinite(l->f)) {
            most = t;
            t = k.a.t + 0.2 * (t - k.a.t);
            k.high = fmin(k.high, 0.5 * (k.a.t + most));
            continue;
        }
        if (good(m, l))
            return TG_LINE_FOUND;
        const end now = {t, l->f, l->slope};
        stage1 = stage1 && !(l->f <= l->f0 + t * slope && l->slope >= fmin(l->c1, l->c2) * l->slope0);
        t = advance(&k, &now, stage1, slope);
        if (k.closed) {
            if (fabs(k.b.t - k.a.t) >= 0.66 * last_width)
                t = k.a.t + 0.5 * (k.b.t - k.a.t);
            last_width = width;
            width = fabs(k.b.t - k.a.t);
            k.low = fmin(k.a.t, k.b.t);
            k.high = fmax(k.a.t, k.b.t);
            if (width <= 1e-16 * k.high)
                return settle(m, l, &k, TG_LINE_PRECISION);
        } else {
            k.low = k.a.t + 1.1 * (t - k.a.t);
            k.high = k.a.t + 4 * (t - k.a.t);
        }
        if (t >= most)
            t = 0.5 * (k.a.t + most);
    }
    return settle(m, l, &k, l->finite ? TG_LINE_EVALUATIONS : TG_LINE_NOT_FINITE);
}
