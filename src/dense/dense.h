/* dense/dense.h -- dense linear algebra: products, symmetric eigenproblems, orthonormal bases, Cholesky factors, inverses.
 *
 * A product is cut into fixed tiles of C, each computed by one thread: by oneDNN where the build has it (TIGER_DNNL),
 * bf16 as it is where the CPU is faster at that (dense/arithmetic.h); else by a plain blocked loop of our own.
 * Eigenproblems and factors are LAPACK's (TIGER_LAPACK), one thread each. So the bits do not depend on the number of
 * threads; of the libraries, they depend on the library and the CPU. Nothing here aborts: a library's refusal is a
 * status. */
#ifndef TG_DENSE_DENSE_H
#define TG_DENSE_DENSE_H

#include <stdbool.h>
#include <stddef.h>

#include "tiger/format.h"
#include "tiger/status.h"

/* C (m,n) <- alpha A (m,k) B (k,n) + beta D (m,n), row-major, sums in fp32. A transposed operand is stored as (k,m) or
 * (n,k). */
typedef struct tg_dense_product {
    size_t m, n, k;
    bool transpose_a, transpose_b;
    bool symmetric;       /* C is known to be: its lower tiles are computed, the upper ones copied from them */
    size_t lda, ldb, ldc; /* values from one stored row to the next; D's are C's */
    float alpha, beta;
    tg_format format; /* of A, B, C and D: TG_F32 or TG_BF16; C is rounded once, to nearest even */
} tg_dense_product;

/* `d` may be `c`, and is not read where beta is 0 (NULL then); `c` must not overlap `a` and `b`. At most `threads`
 * threads, which share out the tiles; each needs 768 KiB of stack. */
tg_status tg_dense_multiply(const tg_dense_product *product, const void *a, const void *b, const void *d, void *c,
                            int threads);

/* What products of matrices with rows x cols values take beside them in a process: heap, stack, code. An estimate. */
size_t tg_dense_product_bytes(tg_format format, size_t rows, size_t cols, int threads);

/* Who multiplies: "oneDNN" or "plain loops". */
const char *tg_dense_multiplier(void);

/* The same of LAPACK at work on matrices of n x n; 0 in a build without. */
size_t tg_dense_lapack_bytes(size_t n);

/* TG_EUNSUPPORTED, saying what to install, in a build without LAPACK; `who` wants it. */
tg_status tg_dense_need_lapack(const char *who);

/* Bytes of scratch for an eigenproblem of n values; aligned to a cache line. */
size_t tg_dense_eigen_bytes(tg_format format, size_t n);

/* Symmetric A (n,n) = Q^T diag(w) Q, in place: row i of `a` becomes the eigenvector of w[i], w (n) ascending. Only the
 * lower triangle is read. `format`: TG_F32 or TG_F64, of a and w. TG_EINVAL when A is not finite, TG_EDIVERGED when the
 * iteration did not converge; `a` and `w` are spoilt then. */
tg_status tg_dense_eigen(tg_format format, size_t n, void *a, void *w, void *scratch);

/* Bytes of scratch for tg_dense_orthonormal; aligned to a cache line. */
size_t tg_dense_orthonormal_bytes(tg_format format, size_t n);

/* A (n,n) = R^T Q, in place: the rows of `a` become orthonormal, row i among the first i rows' combinations (A^T = Q^T
 * R is A^T's QR factorisation, by Householder's reflections). R's diagonal is not negative, so that Q is the only one
 * where A has full rank. TG_EINVAL when A is not finite, and `a` is as it was. */
tg_status tg_dense_orthonormal(tg_format format, size_t n, void *a, void *scratch);

/* Symmetric positive definite A (n,n) = L L^T, in place: L in the lower triangle, zeros above. TG_EINVAL when A is not
 * finite or not positive definite; `a` is spoilt then. */
tg_status tg_dense_cholesky(tg_format format, size_t n, void *a);

/* Symmetric positive definite A (n,n) becomes its inverse, in place; only the lower triangle is read. Fails as
 * tg_dense_cholesky does. */
tg_status tg_dense_inverse(tg_format format, size_t n, void *a);

#endif
