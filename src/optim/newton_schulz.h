/* optim/newton_schulz.h -- a matrix with its singular values brought near 1, by products alone. */
#ifndef TG_OPTIM_NEWTON_SCHULZ_H
#define TG_OPTIM_NEWTON_SCHULZ_H

#include "optim/rule.h"

typedef struct tg_newton_schulz {
    float a, b, c; /* of a s + b s^3 + c s^5, what a step makes of a singular value s */
    unsigned steps;
    double eps; /* the least norm that is divided by */
    bool half;  /* products in bf16, rounded once each; else fp32 */
} tg_newton_schulz;

size_t tg_newton_schulz_bytes(size_t rows, size_t cols);

/* d <- the iteration's result; `norm` is d's Frobenius norm. */
tg_status tg_orthogonalise(const tg_matrix *m, double norm, const tg_newton_schulz *how);

#endif
