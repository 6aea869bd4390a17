/* optim/basis.c -- bases by LAPACK's eigenvectors and QR, turns by products. */
#include "optim/basis.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dense/dense.h"

/* What the factor says along a direction of the basis. */
typedef struct moment {
    float value;
    uint32_t number;
} moment;

static size_t square_bytes(size_t n) { return tg_round_up(n * n * sizeof(float), TG_CACHE_LINE); }
static size_t moments_bytes(size_t n) { return tg_round_up(n * sizeof(moment), TG_CACHE_LINE); }
static size_t order_bytes(size_t n) { return tg_round_up(n * sizeof(size_t), TG_CACHE_LINE); }

/* Two squares and the order, moments, and LAPACK's own. */
size_t tg_basis_bytes(size_t n)
{
    const size_t eigen = tg_dense_eigen_bytes(TG_F32, n), qr = tg_dense_orthonormal_bytes(TG_F32, n);
    return 2 * square_bytes(n) + moments_bytes(n) + order_bytes(n) + (eigen > qr ? eigen : qr);
}

/* The largest component decides, the first of equal ones. */
static float sign_of(const float *direction, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = fabsf(direction[i]) > fabsf(most) ? direction[i] : most;
    return most < 0 ? -1.0f : 1.0f;
}

tg_status tg_basis_begin(const tg_side *s, void *scratch)
{
    const size_t n = s->n;
    float *vectors = scratch, *values = (float *)(void *)((char *)scratch + square_bytes(n));
    memcpy(vectors, s->factor, n * n * sizeof *vectors);
    const tg_status status =
        tg_dense_eigen(TG_F32, n, vectors, values, (char *)values + tg_round_up(n * sizeof *values, TG_CACHE_LINE));
    for (size_t row = 0; row < n; row++) {
        const float *v = vectors + (n - 1 - row) * n; /* they ascend there */
        const float sign = status == TG_OK ? sign_of(v, n) : 1;
        for (size_t i = 0; i < n; i++)
            s->basis[row * n + i] = status == TG_OK ? sign * v[i] : row == i ? 1.0f : 0.0f;
    }
    return status;
}

/* Large moments first; equal ones as they were. */
static int descending(const void *a, const void *b)
{
    const moment *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? 1 : -1;
    return x->number < y->number ? -1 : 1;
}

/* `power` (n,n) <- basis factor: row i is the factor times direction i. */
static tg_status power_step(const tg_side *s, float *power, int threads)
{
    const tg_dense_product p = {
        .m = s->n, .n = s->n, .k = s->n, .lda = s->n, .ldb = s->n, .ldc = s->n, .alpha = 1, .format = TG_F32};
    return tg_dense_multiply(&p, s->basis, s->factor, NULL, power, threads);
}

static void sort_directions(const tg_side *s, const float *power, moment *moments, size_t *order)
{
    const size_t n = s->n;
    for (size_t i = 0; i < n; i++) {
        double along = 0;
        for (size_t j = 0; j < n; j++)
            along += (double)power[i * n + j] * (double)s->basis[i * n + j];
        moments[i] = (moment){(float)along, (uint32_t)i};
    }
    qsort(moments, n, sizeof *moments, descending);
    for (size_t i = 0; i < n; i++)
        order[i] = moments[i].number;
}

static bool all_zero(const float *x, size_t n)
{
    size_t zeros = 0;
    while (zeros < n && x[zeros] == 0)
        zeros++;
    return zeros == n;
}

tg_status tg_basis_renew(const tg_side *s, size_t **order, void *scratch, int threads)
{
    const size_t n = s->n;
    char *at = scratch;
    float *power = (float *)(void *)at, *sorted = (float *)(void *)(at + square_bytes(n));
    size_t *numbers = (size_t *)(void *)(at + 2 * square_bytes(n));
    moment *moments = (moment *)(void *)((char *)numbers + order_bytes(n));
    *order = NULL;
    tg_status status = power_step(s, power, threads);
    if (status != TG_OK || all_zero(power, n * n)) /* a factor of zeros has no say */
        return status;
    sort_directions(s, power, moments, numbers);
    for (size_t i = 0; i < n; i++)
        memcpy(sorted + i * n, power + numbers[i] * n, n * sizeof *sorted);
    status = tg_dense_orthonormal(TG_F32, n, sorted, (char *)moments + moments_bytes(n));
    if (status != TG_OK)
        return status;
    memcpy(s->basis, sorted, n * n * sizeof *sorted);
    *order = numbers;
    return TG_OK;
}

static void reorder_columns(float *x, size_t rows, size_t cols, const size_t *order, float *line)
{
    for (size_t r = 0; r < rows; r++, x += cols) {
        memcpy(line, x, cols * sizeof *x);
        for (size_t c = 0; c < cols; c++)
            x[c] = line[order[c]];
    }
}

/* Cycle by cycle: the first row of each waits in `line`. */
static void reorder_rows(float *x, size_t rows, size_t cols, size_t *order, float *line)
{
    const size_t done = SIZE_MAX, bytes = cols * sizeof *x;
    for (size_t first = 0; first < rows; first++) {
        if (order[first] == done)
            continue;
        memcpy(line, x + first * cols, bytes);
        for (size_t r = first, from; order[r] != done; r = from) {
            from = order[r];
            memcpy(x + r * cols, from == first ? line : x + from * cols, bytes);
            order[r] = done;
        }
    }
}

void tg_basis_reorder(float *x, size_t rows, size_t cols, bool right, size_t *order, float *line)
{
    if (right)
        reorder_columns(x, rows, cols, order, line);
    else
        reorder_rows(x, rows, cols, order, line);
}

/* Left: basis x, back basis^T x. Right: x basis^T, back x basis. */
static tg_status turn_side(const tg_matrix *m, const tg_side *s, const float *x, float *turned, bool back)
{
    const tg_dense_product p = {.m = m->rows,
                                .n = m->cols,
                                .k = s->n,
                                .transpose_a = !s->right && back,
                                .transpose_b = s->right && !back,
                                .lda = s->n,
                                .ldb = m->cols,
                                .ldc = m->cols,
                                .alpha = 1,
                                .format = TG_F32};
    return tg_dense_multiply(&p, s->right ? x : s->basis, s->right ? s->basis : x, NULL, turned, m->threads);
}

tg_status tg_basis_turn(const tg_matrix *m, const tg_side side[2], float *x, float *spare, bool back)
{
    float *from = x, *to = spare;
    for (int right = 0; right < 2; right++) {
        if (!side[right].full)
            continue;
        const tg_status status = turn_side(m, &side[right], from, to, back);
        if (status != TG_OK)
            return status;
        from = to;
        to = from == x ? spare : x;
    }
    if (from != x)
        memcpy(x, from, m->rows * m->cols * sizeof *x);
    return TG_OK;
}
