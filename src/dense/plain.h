/* dense/plain.h -- a blocked matrix product in plain C, built per instruction set, with the same bits on each. */
#ifndef TG_DENSE_PLAIN_H
#define TG_DENSE_PLAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/isa.h"

#define TG_TILE ((size_t)256) /* rows and columns of C that one thread computes at a time */

typedef struct tg_plain {
    /* C (m,n) <- alpha A (m,k) B (k,n) + beta C for m, n <= TG_TILE; beta 0: C is not read. One thread. */
    void (*multiply)(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, float alpha, const float *a,
                     size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc);
    /* sums <- alpha sums + beta d; beta 0: d is not read. */
    void (*combine)(float *sums, const float *d, size_t n, float alpha, float beta);
} tg_plain;

TG_ISA_DECLARE(const tg_plain, tg_plain);

#endif
