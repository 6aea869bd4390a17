/* minimize/eigen.h -- eigenvalues of small symmetric matrices. */
#ifndef TG_MINIMIZE_EIGEN_H
#define TG_MINIMIZE_EIGEN_H

#include <stdbool.h>
#include <stddef.h>

/* a (n, n), symmetric, is destroyed: a = V diag(value) V^T, vector (n, n) holds V's columns as its rows: row i belongs
 * to value[i]. No order. By the cyclic method of Jacobi 1846: O(n^3) a sweep, six to ten sweeps, every value to the
 * last digits of the largest. False when an entry is not finite. */
bool tg_eigen(size_t n, double *value, double *vector, double *a);

/* a (n, n) <- its lower factor L, L L^T = a; only the lower half of a is read, the upper is left. False, a destroyed,
 * when a is not positive definite. */
bool tg_cholesky(size_t n, double *a);
/* x <- (L L^T)^-1 x */
void tg_cholesky_solve(size_t n, const double *l, double *x);

#endif
