/* optim/basis.h -- orthonormal bases of a matrix's rows and columns: eigenvectors of their second moments, renewed by a
 * step of orthogonal iteration. Row i of a basis is direction i; directions of large moments come first. */
#ifndef TG_OPTIM_BASIS_H
#define TG_OPTIM_BASIS_H

#include "optim/side.h"

size_t tg_basis_bytes(size_t n); /* of scratch that beginning or renewing a full side's basis takes */

/* basis <- eigenvectors of the factor, each with its largest component positive. When that fails: the identity. */
tg_status tg_basis_begin(const tg_side *s, void *scratch);

/* basis <- QR(factor basis^T), its directions sorted first by the factor's moments along them: (*order)[i], in
 * `scratch`, is the old number of the direction that became the i-th. Where the factor is 0, and when it fails, the
 * basis stays and *order is NULL. */
tg_status tg_basis_renew(const tg_side *s, size_t **order, void *scratch, int threads);

/* x (rows, cols) by the new numbers in place of the old ones. Uses `order` up; `line` has room for a row. */
void tg_basis_reorder(float *x, size_t rows, size_t cols, bool right, size_t *order, float *line);

/* x (rows, cols) <- x in the bases of its full sides, or `back` from there. `spare` is as large. */
tg_status tg_basis_turn(const tg_matrix *m, const tg_side side[2], float *x, float *spare, bool back);

#endif
