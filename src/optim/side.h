/* optim/side.h -- a side of a matrix: its rows with L = sums of g g^T, or its columns with R = sums of g^T g. */
#ifndef TG_OPTIM_SIDE_H
#define TG_OPTIM_SIDE_H

#include "optim/rule.h"

typedef struct tg_side {
    size_t n;         /* rows or columns */
    bool full, right; /* full: (n,n), else the diagonal (n); right: columns */
    float *factor;
    float *root;      /* of shampoo */
    float *basis;     /* of soap (basis.h) */
} tg_side;

size_t tg_side_bytes(size_t n); /* of scratch that a full side's root takes */

/* factor <- keep factor + take d d^T, or d^T d, d the direction in `m`. */
tg_status tg_side_gather(const tg_matrix *m, const tg_side *s, float keep, float take);

/* root <- (factor + ridge max I)^(-1/root_of), max the factor's largest eigenvalue; nothing where that is 0. When it
 * fails the root stays as it was. */
tg_status tg_side_root(const tg_matrix *m, const tg_side *s, double ridge, double root_of);

void tg_side_identity(const tg_side *s); /* root <- I */

/* target (rows, cols) <- root source, or source root. */
tg_status tg_side_apply(const tg_matrix *m, const tg_side *s, const float *source, float *target);

#endif
