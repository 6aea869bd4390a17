/* optim/newton_schulz.c -- Newton-Schulz iteration of the fifth order (Bernstein & Newhouse 2024, arXiv:2409.20325;
 * Jordan et al. 2024), with PyTorch's order of operations.
 *
 *   X <- D / max(|D|, eps), then `steps` times:  A = X X^T,  B = b A + c A A,  X <- a X + B X
 *
 * for wide matrices; for tall ones A = X^T X and X <- a X + X B. A and B are symmetric: half of their tiles are
 * computed. Cost: a step of (m,n), m <= n, takes 4 m^2 n + 2 m^3 operations, less what symmetry saves. */
#include "optim/newton_schulz.h"

#include <string.h>

#include "base/kernels.h"
#include "base/memory.h"
#include "dense/dense.h"

#define PIECE ((size_t)1 << 14) /* values a thread takes at a time */

/* The arrays of an iteration: X before and after a step, the Gram matrix, its polynomial. */
typedef struct arrays {
    tg_format format;
    void *x[2], *gram, *poly;
} arrays;


size_t tg_newton_schulz_bytes(size_t rows, size_t cols)
{
    const size_t side = tg_least(rows, cols);
    return tg_round_up(rows * cols * sizeof(float), TG_CACHE_LINE) +
           2 * tg_round_up(side * side * sizeof(float), TG_CACHE_LINE);
}

/* In fp32 the direction's own array is one of X's two, and the last step writes there. */
static arrays place(const tg_matrix *m, const tg_newton_schulz *how)
{
    const size_t n = m->rows * m->cols, side = tg_least(m->rows, m->cols);
    char *scratch = m->scratch, *squares = scratch + tg_round_up(n * sizeof(float), TG_CACHE_LINE);
    arrays s = {.format = how->half ? TG_BF16 : TG_F32, .gram = squares};
    s.poly = squares + tg_round_up(side * side * sizeof(float), TG_CACHE_LINE);
    s.x[0] = how->half ? (void *)scratch : how->steps % 2 == 0 ? (void *)m->d : (void *)scratch;
    s.x[1] = how->half ? (void *)(scratch + 2 * n) : how->steps % 2 == 0 ? (void *)scratch : (void *)m->d;
    return s;
}

static void begin(const tg_matrix *m, double norm, const arrays *s, const tg_newton_schulz *how)
{
    const tg_kernels *kernels = tg_kernels_get();
    const size_t n = m->rows * m->cols;
    const float by = (float)(1 / (norm > how->eps ? norm : how->eps));
#pragma omp parallel for num_threads(m->threads) schedule(static)
    for (size_t at = 0; at < n; at += PIECE) {
        const size_t now = tg_least(n - at, PIECE);
        kernels->multiply(m->d + at, by, now);
        if (s->x[0] != m->d)
            kernels->narrow((char *)s->x[0] + at * tg_format_bytes(s->format), m->d + at, s->format, now);
    }
}

static tg_status step(const tg_matrix *m, const arrays *s, size_t from, const tg_newton_schulz *how)
{
    const bool tall = m->rows > m->cols;
    const size_t side = tg_least(m->rows, m->cols), across = tall ? m->rows : m->cols;
    const void *x = s->x[from];
    const tg_dense_product gram = {.m = side,
                                   .n = side,
                                   .k = across,
                                   .transpose_a = tall,
                                   .transpose_b = !tall,
                                   .symmetric = true,
                                   .lda = m->cols,
                                   .ldb = m->cols,
                                   .ldc = side,
                                   .alpha = 1,
                                   .format = s->format};
    const tg_dense_product poly = {.m = side,
                                   .n = side,
                                   .k = side,
                                   .symmetric = true,
                                   .lda = side,
                                   .ldb = side,
                                   .ldc = side,
                                   .alpha = how->c,
                                   .beta = how->b,
                                   .format = s->format};
    const tg_dense_product next = {.m = m->rows,
                                   .n = m->cols,
                                   .k = side,
                                   .lda = tall ? m->cols : side,
                                   .ldb = tall ? side : m->cols,
                                   .ldc = m->cols,
                                   .alpha = 1,
                                   .beta = how->a,
                                   .format = s->format};
    tg_status status = tg_dense_multiply(&gram, x, x, NULL, s->gram, m->threads);
    if (status == TG_OK)
        status = tg_dense_multiply(&poly, s->gram, s->gram, s->gram, s->poly, m->threads);
    if (status == TG_OK)
        status = tg_dense_multiply(&next, tall ? x : s->poly, tall ? s->poly : x, x, s->x[1 - from], m->threads);
    return status;
}

tg_status tg_orthogonalise(const tg_matrix *m, double norm, const tg_newton_schulz *how)
{
    const tg_kernels *kernels = tg_kernels_get();
    const arrays s = place(m, how);
    const size_t n = m->rows * m->cols;
    tg_status status = TG_OK;
    begin(m, norm, &s, how);
    for (unsigned i = 0; status == TG_OK && i < how->steps; i++)
        status = step(m, &s, i % 2, how);
    if (status != TG_OK || !how->half)
        return status;
#pragma omp parallel for num_threads(m->threads) schedule(static)
    for (size_t at = 0; at < n; at += PIECE)
        kernels->widen(m->d + at, (const uint16_t *)s.x[how->steps % 2] + at, TG_BF16, tg_least(n - at, PIECE));
    return TG_OK;
}
