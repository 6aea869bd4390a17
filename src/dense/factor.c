/* dense/factor.c -- symmetric eigenproblems (divide and conquer), QR and Cholesky factors, inverses, by LAPACKE. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "dense/count.h"
#include "dense/dense.h"

#ifndef TIGER_HAVE_LAPACK

tg_status tg_dense_need_lapack(const char *who)
{
    return tg_fail(
        TG_EUNSUPPORTED,
        "%s needs LAPACK, and this build has none: install liblapacke-dev and libopenblas-openmp-dev, then build "
        "again with -DTIGER_LAPACK=ON",
        who);
}

size_t tg_dense_lapack_bytes(size_t n) { return (void)n, 0; }

size_t tg_dense_eigen_bytes(tg_format format, size_t n) { return (void)format, (void)n, 0; }

tg_status tg_dense_eigen(tg_format format, size_t n, void *a, void *w, void *scratch)
{
    (void)format, (void)n, (void)a, (void)w, (void)scratch;
    return tg_dense_need_lapack("an eigenproblem");
}

size_t tg_dense_orthonormal_bytes(tg_format format, size_t n) { return (void)format, (void)n, 0; }

tg_status tg_dense_orthonormal(tg_format format, size_t n, void *a, void *scratch)
{
    (void)format, (void)n, (void)a, (void)scratch;
    return tg_dense_need_lapack("a QR factor");
}

tg_status tg_dense_cholesky(tg_format format, size_t n, void *a)
{
    (void)format, (void)n, (void)a;
    return tg_dense_need_lapack("a Cholesky factor");
}

tg_status tg_dense_inverse(tg_format format, size_t n, void *a)
{
    (void)format, (void)n, (void)a;
    return tg_dense_need_lapack("an inverse");
}

#else
#include <lapacke.h>

tg_status tg_dense_need_lapack(const char *who) { return (void)who, TG_OK; }

/* Measured on LAPACK 3.11 over OpenBLAS 0.3.21 as resident memory: code, and OpenBLAS' buffer of packed panels, which
 * it keeps. */
size_t tg_dense_lapack_bytes(size_t n)
{
    const size_t most = 784, side = n < most ? n : most;
    return ((size_t)1800 << 10) + 2 * side * side;
}

/* LAPACK's formulas for both vectors and values. */
static size_t real_work(size_t n) { return 1 + 6 * n + 2 * n * n; }
static size_t integer_work(size_t n) { return 3 + 5 * n; }

size_t tg_dense_eigen_bytes(tg_format format, size_t n)
{
    return tg_round_up(real_work(n) * tg_format_bytes(format), TG_CACHE_LINE) + integer_work(n) * sizeof(lapack_int);
}

/* The usual counts, in n^3 (LAPACK Users' Guide; Golub & Van Loan 2013). Divide and conquer needs fewer than an
 * eigenproblem's 9, by how many eigenvalues it can set aside. */
#define EIGEN 9.0
#define ORTHONORMAL (8.0 / 3)
#define CHOLESKY (1.0 / 3)
#define INVERSE (2.0 / 3) /* from the factor */

static void count(tg_format format, double cubes, size_t n)
{
    tg_dense_count(format, cubes * (double)n * (double)n * (double)n);
}

static bool all_finite(tg_format format, const void *a, size_t n)
{
    bool finite = true;
    for (size_t i = 0; i < n * n; i++)
        finite = finite && isfinite(format == TG_F32 ? (double)((const float *)a)[i] : ((const double *)a)[i]);
    return finite;
}

/* LAPACK counts columns first: its upper triangle is our lower one, its column i our row i. */
static lapack_int eigen(tg_format format, lapack_int n, void *a, void *w, void *scratch)
{
    const lapack_int reals = (lapack_int)real_work((size_t)n), integers = (lapack_int)integer_work((size_t)n);
    lapack_int *iwork =
        (lapack_int *)(void *)((char *)scratch +
                               tg_round_up(real_work((size_t)n) * tg_format_bytes(format), TG_CACHE_LINE));
    return format == TG_F32
               ? LAPACKE_ssyevd_work(LAPACK_COL_MAJOR, 'V', 'U', n, a, n, w, scratch, reals, iwork, integers)
               : LAPACKE_dsyevd_work(LAPACK_COL_MAJOR, 'V', 'U', n, a, n, w, scratch, reals, iwork, integers);
}

tg_status tg_dense_eigen(tg_format format, size_t n, void *a, void *w, void *scratch)
{
    lapack_int info = 0;
    if (real_work(n) > 0x7fffffff)
        return tg_fail(TG_EUNSUPPORTED, "an eigenproblem of %zu values is too large for LAPACK's 32-bit sizes", n);
    if (!all_finite(format, a, n))
        return tg_fail(TG_EINVAL, "an eigenproblem of %zu values holds NaN or Inf", n);
    count(format, EIGEN, n);
#pragma omp parallel num_threads(1)
    {
        omp_set_num_threads(1); /* in this region alone: the bits must not depend on the number of threads */
        info = n == 0 ? 0 : eigen(format, (lapack_int)n, a, w, scratch);
    }
    return info == 0 ? TG_OK
                     : tg_fail(TG_EDIVERGED, "an eigenproblem of %zu values did not converge (%d)", n, (int)info);
}

/* LAPACK's work for panels of 64 columns, and the reflections' factors; then which of R's diagonal is negative. */
static size_t panel_work(size_t n) { return 64 * n; }

size_t tg_dense_orthonormal_bytes(tg_format format, size_t n)
{
    return tg_round_up((panel_work(n) + n) * tg_format_bytes(format), TG_CACHE_LINE) + n * sizeof(bool);
}

static bool is_negative(tg_format format, const void *a, size_t i)
{
    return format == TG_F32 ? ((const float *)a)[i] < 0 : ((const double *)a)[i] < 0;
}

/* LAPACK counts columns first: its column i is our row i. */
static lapack_int reflections(tg_format format, lapack_int n, void *a, void *tau, void *work)
{
    const lapack_int reals = (lapack_int)panel_work((size_t)n);
    return format == TG_F32 ? LAPACKE_sgeqrf_work(LAPACK_COL_MAJOR, n, n, a, n, tau, work, reals)
                            : LAPACKE_dgeqrf_work(LAPACK_COL_MAJOR, n, n, a, n, tau, work, reals);
}

static lapack_int directions(tg_format format, lapack_int n, void *a, const void *tau, void *work)
{
    const lapack_int reals = (lapack_int)panel_work((size_t)n);
    return format == TG_F32 ? LAPACKE_sorgqr_work(LAPACK_COL_MAJOR, n, n, n, a, n, tau, work, reals)
                            : LAPACKE_dorgqr_work(LAPACK_COL_MAJOR, n, n, n, a, n, tau, work, reals);
}

static void negate(tg_format format, void *a, size_t first, size_t n)
{
    for (size_t i = first; i < first + n; i++)
        if (format == TG_F32)
            ((float *)a)[i] = -((float *)a)[i];
        else
            ((double *)a)[i] = -((double *)a)[i];
}

tg_status tg_dense_orthonormal(tg_format format, size_t n, void *a, void *scratch)
{
    char *tau = (char *)scratch + panel_work(n) * tg_format_bytes(format);
    bool *negative =
        (bool *)((char *)scratch + tg_round_up((panel_work(n) + n) * tg_format_bytes(format), TG_CACHE_LINE));
    lapack_int info = 0;
    if (panel_work(n) > 0x7fffffff)
        return tg_fail(TG_EUNSUPPORTED, "a QR factor of %zu rows is too large for LAPACK's 32-bit sizes", n);
    if (!all_finite(format, a, n))
        return tg_fail(TG_EINVAL, "a matrix of %zu rows to be made orthonormal holds NaN or Inf", n);
    count(format, ORTHONORMAL, n);
#pragma omp parallel num_threads(1)
    {
        omp_set_num_threads(1);
        if (n > 0 && (info = reflections(format, (lapack_int)n, a, tau, scratch)) == 0) {
            for (size_t i = 0; i < n; i++)
                negative[i] = is_negative(format, a, i * n + i);
            info = directions(format, (lapack_int)n, a, tau, scratch);
        }
    }
    if (info != 0)
        return tg_fail(TG_EINVAL, "LAPACK refused a QR factor of %zu rows (%d)", n, (int)info);
    for (size_t i = 0; i < n; i++)
        if (negative[i])
            negate(format, a, i * n, n);
    return TG_OK;
}

static void clear_above(tg_format format, size_t n, void *a)
{
    const size_t bytes = tg_format_bytes(format);
    for (size_t row = 0; row + 1 < n; row++)
        memset((char *)a + (row * n + row + 1) * bytes, 0, (n - row - 1) * bytes);
}

tg_status tg_dense_cholesky(tg_format format, size_t n, void *a)
{
    lapack_int info = 0;
    if (n > 0x7fffffff)
        return tg_fail(TG_EUNSUPPORTED, "a matrix of %zu rows is too large for LAPACK's 32-bit sizes", n);
    if (!all_finite(format, a, n))
        return tg_fail(TG_EINVAL, "a matrix of %zu rows to be factored holds NaN or Inf", n);
    count(format, CHOLESKY, n);
#pragma omp parallel num_threads(1)
    {
        omp_set_num_threads(1);
        if (n > 0)
            info = format == TG_F32 ? LAPACKE_spotrf_work(LAPACK_COL_MAJOR, 'U', (lapack_int)n, a, (lapack_int)n)
                                    : LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', (lapack_int)n, a, (lapack_int)n);
    }
    if (info != 0)
        return tg_fail(TG_EINVAL, "a matrix of %zu rows is not positive definite (at row %d)", n, (int)info);
    clear_above(format, n, a);
    return TG_OK;
}

static void mirror(tg_format format, size_t n, void *a)
{
    for (size_t row = 0; row < n; row++)
        for (size_t col = 0; col < row; col++)
            if (format == TG_F32)
                ((float *)a)[col * n + row] = ((const float *)a)[row * n + col];
            else
                ((double *)a)[col * n + row] = ((const double *)a)[row * n + col];
}

tg_status tg_dense_inverse(tg_format format, size_t n, void *a)
{
    const tg_status status = tg_dense_cholesky(format, n, a);
    lapack_int info = 0;
    if (status != TG_OK)
        return status;
    count(format, INVERSE, n);
#pragma omp parallel num_threads(1)
    {
        omp_set_num_threads(1);
        if (n > 0)
            info = format == TG_F32 ? LAPACKE_spotri_work(LAPACK_COL_MAJOR, 'U', (lapack_int)n, a, (lapack_int)n)
                                    : LAPACKE_dpotri_work(LAPACK_COL_MAJOR, 'U', (lapack_int)n, a, (lapack_int)n);
    }
    if (info != 0)
        return tg_fail(TG_EINVAL, "a matrix of %zu rows has no inverse (at row %d)", n, (int)info);
    mirror(format, n, a);
    return TG_OK;
}
#endif
