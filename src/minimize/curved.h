/* minimize/curved.h -- what methods with a matrix share: filling it by products, solving with it. */
#ifndef TG_MINIMIZE_CURVED_H
#define TG_MINIMIZE_CURVED_H

#include "minimize/minimize.h"

#define TG_DENSE_MOST 2000 /* rows of a dense matrix: 32 MB */

/* h (n, n) <- Hessian or Fisher matrix at x, from n products, made symmetric. `work`: 4 arrays of n. False: stopped, or not
 * finite. */
bool tg_matrix(tg_minimizer *m, double *h, bool fisher, double *work);

typedef enum tg_solved { TG_SOLVED, TG_SOLVED_CURVED, TG_SOLVED_FAILED } tg_solved;

/* d <- -(A + damping I)^-1 g by conjugate gradients, begun at 0, until the residual is below tolerance |g| or `most` products
 * are made. TG_SOLVED_CURVED: where a direction of no positive curvature was met; d is what was reached before, or, at
 * the first, the steepest descent. `work`: 5 arrays of n. */
tg_solved tg_conjugate(tg_minimizer *m, double *d, bool fisher, double damping, double tolerance, size_t most, double *work);

#endif
