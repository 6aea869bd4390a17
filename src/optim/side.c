/* optim/side.c -- second moments of a matrix's rows or columns, and their roots: eigenvectors in fp32 with a ridge. */
#include "optim/side.h"

#include <string.h>

#include "base/memory.h"
#include "dense/dense.h"

tg_status tg_side_gather(const tg_matrix *m, const tg_side *s, float keep, float take)
{
    if (s->full) {
        const tg_dense_product p = {.m = s->n,
                                    .n = s->n,
                                    .k = s->right ? m->rows : m->cols,
                                    .transpose_a = s->right,
                                    .transpose_b = !s->right,
                                    .symmetric = true,
                                    .lda = m->cols,
                                    .ldb = m->cols,
                                    .ldc = s->n,
                                    .alpha = take,
                                    .beta = keep,
                                    .format = TG_F32};
        return tg_dense_multiply(&p, m->d, m->d, s->factor, s->factor, m->threads);
    }
    for (size_t i = 0; i < s->n; i++)
        s->factor[i] *= keep;
    for (size_t r = 0; r < m->rows; r++)
        for (size_t c = 0; c < m->cols; c++)
            s->factor[s->right ? c : r] += take * (m->d[r * m->cols + c] * m->d[r * m->cols + c]);
    return TG_OK;
}

static float largest(const float *w, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = w[i] > most ? w[i] : most;
    return most;
}

static double power(float w, float most, double ridge, double root_of)
{
    return pow((w > 0 ? (double)w : 0) + ridge * (double)most, -1 / root_of);
}

/* (n,n) for the eigenvectors, (n,n) for the new root, (n) for eigenvalues, LAPACK's own. */
size_t tg_side_bytes(size_t n)
{
    return 2 * tg_round_up(n * n * sizeof(float), TG_CACHE_LINE) + tg_round_up(n * sizeof(float), TG_CACHE_LINE) +
           tg_dense_eigen_bytes(TG_F32, n);
}

/* The root by way of scratch: it replaces the old one when all went well. */
static tg_status full_root(const tg_matrix *m, const tg_side *s, double ridge, double root_of)
{
    const size_t n = s->n, square = tg_round_up(n * n * sizeof(float), TG_CACHE_LINE);
    float *q = m->scratch, *root = (float *)(void *)((char *)m->scratch + square),
          *w = (float *)(void *)((char *)root + square);
    memcpy(q, s->factor, n * n * sizeof *q);
    tg_status status = tg_dense_eigen(TG_F32, n, q, w, (char *)w + tg_round_up(n * sizeof *w, TG_CACHE_LINE));
    if (status != TG_OK || largest(w, n) == 0)
        return status;
    for (size_t e = 0; e < n; e++) {
        const float by = (float)sqrt(power(w[e], largest(w, n), ridge, root_of));
        for (size_t i = 0; i < n; i++)
            q[e * n + i] *= by;
    }
    const tg_dense_product p = {.m = n,
                                .n = n,
                                .k = n,
                                .transpose_a = true,
                                .symmetric = true,
                                .lda = n,
                                .ldb = n,
                                .ldc = n,
                                .alpha = 1,
                                .format = TG_F32};
    status = tg_dense_multiply(&p, q, q, NULL, root, m->threads);
    if (status == TG_OK)
        memcpy(s->root, root, n * n * sizeof *root);
    return status;
}

static tg_status diagonal_root(const tg_side *s, double ridge, double root_of)
{
    const float most = largest(s->factor, s->n);
    for (size_t i = 0; i < s->n; i++)
        if (!isfinite(s->factor[i]))
            return TG_EINVAL;
    for (size_t i = 0; most > 0 && i < s->n; i++)
        s->root[i] = (float)power(s->factor[i], most, ridge, root_of);
    return TG_OK;
}

tg_status tg_side_root(const tg_matrix *m, const tg_side *s, double ridge, double root_of)
{
    return s->full ? full_root(m, s, ridge, root_of) : diagonal_root(s, ridge, root_of);
}

void tg_side_identity(const tg_side *s)
{
    const size_t across = s->full ? s->n : 1;
    memset(s->root, 0, s->n * across * sizeof *s->root);
    for (size_t i = 0; i < s->n; i++)
        s->root[i * across + (s->full ? i : 0)] = 1;
}

tg_status tg_side_apply(const tg_matrix *m, const tg_side *s, const float *source, float *target)
{
    if (s->full) {
        const tg_dense_product p = {.m = m->rows,
                                    .n = m->cols,
                                    .k = s->n,
                                    .lda = s->n,
                                    .ldb = m->cols,
                                    .ldc = m->cols,
                                    .alpha = 1,
                                    .format = TG_F32};
        return tg_dense_multiply(&p, s->right ? source : s->root, s->right ? s->root : source, NULL, target,
                                 m->threads);
    }
    for (size_t r = 0; r < m->rows; r++)
        for (size_t c = 0; c < m->cols; c++)
            target[r * m->cols + c] = source[r * m->cols + c] * s->root[s->right ? c : r];
    return TG_OK;
}
