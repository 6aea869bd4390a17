/* minimize/evaluate.c -- calls of the function: counted, in fp32 where it is, differences where it gives no derivatives,
 * generations in parallel. */
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "minimize/minimize.h"

static bool stop(tg_minimizer *m, tg_stop why)
{
    m->run->stop = why;
    return false;
}

static bool budget(tg_minimizer *m, uint64_t wanted)
{
    return (double)(m->run->evaluations + wanted) <= m->common[TG_COMMON_MAX_EVAL] || stop(m, TG_STOP_EVALUATIONS);
}

/* One call of the caller's function. `slot` chooses the buffers of a thread's own. */
static int call(const tg_minimizer *m, double *f, double *g, const double *x, size_t slot)
{
    const size_t n = m->n;
    if (m->f.evaluate_f32 == NULL)
        return m->f.evaluate(m->f.ctx, f, m->f.value_only ? NULL : g, x);
    const size_t row = (n + 63) / 64 * 64;
    float *x32 = m->x32 + slot * row, *g32 = m->g32 + slot * row;
    const bool wants = g != NULL && !m->f.value_only;
    for (size_t i = 0; i < n; i++)
        x32[i] = (float)x[i];
    const int said = m->f.evaluate_f32(m->f.ctx, f, wants ? g32 : NULL, x32);
    for (size_t i = 0; wants && i < n; i++)
        g[i] = (double)g32[i];
    return said;
}

/* g <- central differences at x. x is put back exactly. */
static bool differences(tg_minimizer *m, double *g, double *x)
{
    const double root = m->f.evaluate_f32 != NULL ? 4.9e-3 : 6.1e-6; /* cube root of the precision */
    if (!budget(m, 2 * m->n))
        return false;
    for (size_t i = 0; i < m->n; i++) {
        const double old = x[i], h = root * fmax(1, fabs(old));
        double up = NAN, down = NAN, high = old + h, low = old - h;
        if (m->bounded) {
            high = fmin(high, m->at[TG_UPPER][i]);
            low = fmax(low, m->at[TG_LOWER][i]);
        }
        if (m->f.evaluate_f32 != NULL) {
            high = (double)(float)high;
            low = (double)(float)low;
        }
        x[i] = high;
        int said = call(m, &up, NULL, x, 0);
        x[i] = low;
        said = said != 0 ? said : call(m, &down, NULL, x, 0);
        x[i] = old;
        m->run->evaluations += 2;
        if (said != 0)
            return stop(m, TG_STOP_CALLER);
        g[i] = high > low ? (up - down) / (high - low) : 0;
    }
    return true;
}

bool tg_minimizer_evaluate(tg_minimizer *m, double *f, double *g, const double *x)
{
    *f = INFINITY;
    if (!budget(m, 1))
        return false;
    m->run->evaluations++;
    double value = NAN;
    if (call(m, &value, g, x, 0) != 0)
        return stop(m, TG_STOP_CALLER);
    bool finite = isfinite(value);
    if (finite && g != NULL) {
        if (m->f.value_only && !differences(m, g, (double *)x)) /* a point of ours, and put back */
            return false;
        for (size_t i = 0; i < m->n && finite; i++)
            finite = isfinite(g[i]);
    }
    if (finite)
        *f = value;
    return true;
}

bool tg_product(tg_minimizer *m, double *product, const double *v, bool fisher, double *scratch)
{
    double *x = m->at[TG_X], *point = scratch, *other = scratch + m->count[TG_X];
    int (*callback)(void *, double *, const double *, const double *) =
        fisher && m->f.fisher_vector != NULL ? m->f.fisher_vector : m->f.hessian_vector;
    double f, size = tg_max_abs(m->n, v);
    bool finite = true;
    m->run->products++;
    if (callback != NULL) {
        if (callback(m->f.ctx, product, x, v) != 0)
            return stop(m, TG_STOP_CALLER);
    } else {
        const double root = m->f.evaluate_f32 != NULL ? 4.9e-3 : 6.1e-6;
        const double t = root * fmax(1, tg_max_abs(m->n, x)) / (size > 0 ? size : 1);
        tg_point(m, point, x, t, v);
        if (!tg_minimizer_evaluate(m, &f, product, point))
            return false;
        finite = isfinite(f);
        tg_point(m, point, x, -t, v);
        if (!tg_minimizer_evaluate(m, &f, other, point))
            return false;
        finite = finite && isfinite(f);
        for (size_t i = 0; i < m->n; i++)
            product[i] = (product[i] - other[i]) / (2 * t);
    }
    for (size_t i = 0; i < m->n && finite; i++)
        finite = isfinite(product[i]);
    return finite;
}

/* ---- generations ------------------------------------------------------------------------------------------------------ */

bool tg_evaluate_all(tg_minimizer *m, const double *points)
{
    const size_t count = m->run->candidates, n = m->n;
    double *values = m->at[TG_VALUES];
    if (!budget(m, count))
        return false;
    m->run->evaluations += count;
    if (m->f.batch != NULL)
        return m->f.batch(m->f.ctx, values, points, count) == 0 || stop(m, TG_STOP_CALLER);
    int said = 0, threads = 1;
#ifdef _OPENMP
    threads = !m->f.parallel ? 1 : m->common[TG_COMMON_THREADS] > 0 ? (int)m->common[TG_COMMON_THREADS] : omp_get_max_threads();
#endif
#pragma omp parallel for schedule(dynamic) num_threads(threads) reduction(| : said) if (threads > 1)
    for (long i = 0; i < (long)count; i++) {
        double value = NAN;
        said |= said != 0 ? 1 : call(m, &value, NULL, points + (size_t)i * n, (size_t)i) != 0;
        values[i] = value;
    }
    return said == 0 || stop(m, TG_STOP_CALLER);
}

/* ---- points ------------------------------------------------------------------------------------------------------------- */

bool tg_point(const tg_minimizer *m, double *out, const double *x, double t, const double *d)
{
    const bool single = m->f.evaluate_f32 != NULL;
    bool differs = false;
    for (size_t i = 0; i < m->n; i++) {
        const double old = x[i];
        double v = t != 0 ? old + t * d[i] : old;
        v = single ? (double)(float)v : v;
        if (m->bounded)
            v = fmin(fmax(v, m->at[TG_LOWER][i]), m->at[TG_UPPER][i]);
        differs |= v != old;
        out[i] = v;
    }
    return differs;
}

void tg_keep_best(tg_minimizer *m, const double *x, double f)
{
    if (!(f < m->run->f) && !isnan(m->run->f))
        return;
    memcpy(m->at[TG_X], x, m->n * sizeof *x);
    m->run->f = f;
}

bool tg_held(const tg_minimizer *m, const double *x, const double *g, size_t i)
{
    return m->bounded && ((x[i] <= m->at[TG_LOWER][i] && g[i] > 0) || (x[i] >= m->at[TG_UPPER][i] && g[i] < 0));
}

double tg_gradient_size(const tg_minimizer *m, const double *x, const double *g)
{
    double most = 0;
    for (size_t i = 0; i < m->n; i++)
        if (!tg_held(m, x, g, i))
            most = fabs(g[i]) > most ? fabs(g[i]) : most;
    return most;
}
