/* minimize/vector.c -- sums and updates over vectors, the same bits on any number of threads: a vector is cut into at
 * most PARTS pieces by its length alone, a piece is summed in 8 lanes, and the pieces in order. */
#include <math.h>

#include "minimize/minimize.h"

enum { PARTS = 64, LANES = 8 };
#define LEAST 4096      /* entries of a piece */
#define PARALLEL 131072 /* entries that are worth waking threads */

static size_t piece(size_t n)
{
    const size_t even = (n + PARTS - 1) / PARTS;
    return even < LEAST ? LEAST : even;
}

static double dot_piece(size_t n, const double *a, const double *b)
{
    double lane[LANES] = {0}, rest = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            lane[j] += a[i + j] * b[i + j];
    for (; i < n; i++)
        rest += a[i] * b[i];
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7])) + rest;
}

double tg_dot(size_t n, const double *a, const double *b)
{
    const size_t each = piece(n);
    const long parts = (long)((n + each - 1) / each);
    double part[PARTS], sum = 0;
#pragma omp parallel for schedule(static) if (n >= PARALLEL)
    for (long p = 0; p < parts; p++) {
        const size_t from = (size_t)p * each;
        part[p] = dot_piece(n - from < each ? n - from : each, a + from, b + from);
    }
    for (long p = 0; p < parts; p++)
        sum += part[p];
    return sum;
}

double tg_max_abs(size_t n, const double *a)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fabs(a[i]) > most ? fabs(a[i]) : most;
    return most;
}

void tg_axpy(size_t n, double *y, double a, const double *x)
{
#pragma omp parallel for schedule(static) if (n >= PARALLEL)
    for (size_t i = 0; i < n; i++)
        y[i] += a * x[i];
}
