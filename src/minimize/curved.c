/* minimize/curved.c -- a matrix by its products, and linear conjugate gradients (Hestenes & Stiefel 1952; truncated as in
 * Steihaug 1983 and Nocedal & Wright 2006, Algorithm 7.1). */
#include "minimize/curved.h"

#include <float.h>
#include <string.h>

bool tg_matrix(tg_minimizer *m, double *h, bool fisher, double *work)
{
    const size_t n = m->n;
    double *unit = work + 2 * m->count[TG_X];
    memset(unit, 0, n * sizeof *unit);
    for (size_t i = 0; i < n; i++) {
        unit[i] = 1;
        if (!tg_product(m, h + i * n, unit, fisher, work))
            return false;
        unit[i] = 0;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            h[i * n + j] = h[j * n + i] = 0.5 * (h[i * n + j] + h[j * n + i]);
    return true;
}

tg_solved tg_conjugate(tg_minimizer *m, double *d, bool fisher, double damping, double tolerance, size_t most, double *work)
{
    const size_t n = m->n, row = m->count[TG_X];
    double *p = work + 2 * row, *ap = work + 3 * row, *r = work + 4 * row;
    const double *g = m->at[TG_G];
    double square = tg_dot(n, g, g);
    const double enough = tolerance * tolerance * square;
    memset(d, 0, n * sizeof *d);
    memcpy(r, g, n * sizeof *r); /* A d + g */
    for (size_t i = 0; i < n; i++)
        p[i] = -g[i];
    for (size_t k = 0; k < most && square > enough; k++) {
        if (!tg_product(m, ap, p, fisher, work))
            return TG_SOLVED_FAILED;
        tg_axpy(n, ap, damping, p);
        const double curvature = tg_dot(n, p, ap);
        if (!(curvature > DBL_EPSILON * tg_dot(n, p, p))) {
            if (k == 0)
                memcpy(d, p, n * sizeof *d);
            return TG_SOLVED_CURVED;
        }
        const double a = square / curvature, last = square;
        tg_axpy(n, d, a, p);
        tg_axpy(n, r, a, ap);
        square = tg_dot(n, r, r);
        for (size_t i = 0; i < n; i++)
            p[i] = square / last * p[i] - r[i];
    }
    return TG_SOLVED;
}
