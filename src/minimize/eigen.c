/* minimize/eigen.c -- Jacobi's method for symmetric eigenvalues (Golub & Van Loan, Algorithm 8.5.2 and 8.5.3), and Cholesky's
 * factorisation (Algorithm 4.2.1). For the few hundred rows of a covariance or a damped Hessian; not dense/'s, which needs LAPACK and whose last
 * digits are the library's: a search here is to have the same bits in every build. */
#include "minimize/eigen.h"

#include <math.h>
#include <string.h>

enum { SWEEPS = 60 };

/* Turns rows p and q of a matrix. */
static void turn_rows(size_t n, double *p, double *q, double c, double s)
{
    for (size_t k = 0; k < n; k++) {
        const double u = p[k], v = q[k];
        p[k] = c * u - s * v;
        q[k] = s * u + c * v;
    }
}

static void turn_columns(size_t n, double *a, size_t p, size_t q, double c, double s)
{
    for (size_t k = 0; k < n; k++) {
        const double u = a[k * n + p], v = a[k * n + q];
        a[k * n + p] = c * u - s * v;
        a[k * n + q] = s * u + c * v;
    }
}

static double off_diagonal(size_t n, const double *a, double *diagonal)
{
    double off = 0;
    *diagonal = 0;
    for (size_t i = 0; i < n; i++) {
        *diagonal += a[i * n + i] * a[i * n + i];
        for (size_t j = 0; j < i; j++)
            off += 2 * a[i * n + j] * a[i * n + j];
    }
    return off;
}

bool tg_eigen(size_t n, double *value, double *vector, double *a)
{
    double diagonal, off = off_diagonal(n, a, &diagonal);
    if (!isfinite(off + diagonal))
        return false;
    memset(vector, 0, n * n * sizeof *vector);
    for (size_t i = 0; i < n; i++)
        vector[i * n + i] = 1;
    for (int sweep = 0; sweep < SWEEPS && off > 1e-32 * diagonal; sweep++) {
        for (size_t p = 0; p + 1 < n; p++)
            for (size_t q = p + 1; q < n; q++) {
                const double apq = a[p * n + q];
                if (apq == 0)
                    continue;
                const double tau = (a[q * n + q] - a[p * n + p]) / (2 * apq);
                const double t = (tau >= 0 ? 1 : -1) / (fabs(tau) + sqrt(1 + tau * tau));
                const double c = 1 / sqrt(1 + t * t), s = t * c;
                turn_rows(n, a + p * n, a + q * n, c, s);
                turn_columns(n, a, p, q, c, s);
                turn_rows(n, vector + p * n, vector + q * n, c, s);
            }
        off = off_diagonal(n, a, &diagonal);
    }
    for (size_t i = 0; i < n; i++)
        value[i] = a[i * n + i];
    return true;
}

bool tg_cholesky(size_t n, double *a)
{
    for (size_t j = 0; j < n; j++) {
        double *row = a + j * n, pivot = row[j];
        for (size_t k = 0; k < j; k++)
            pivot -= row[k] * row[k];
        if (!(pivot > 0) || !isfinite(pivot))
            return false;
        row[j] = sqrt(pivot);
        for (size_t i = j + 1; i < n; i++) {
            double sum = a[i * n + j];
            for (size_t k = 0; k < j; k++)
                sum -= a[i * n + k] * row[k];
            a[i * n + j] = sum / row[j];
        }
    }
    return true;
}

void tg_cholesky_solve(size_t n, const double *l, double *x)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            x[i] -= l[i * n + k] * x[k];
        x[i] /= l[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
        x[i] /= l[i * n + i];
        for (size_t k = 0; k < i; k++)
            x[k] -= l[i * n + k] * x[i];
    }
}
