/* dense/plain.c -- a blocked matrix product in plain C; compiled once per instruction set.
 *
 * Panels of A and B are packed so that the innermost loop reads both in order, and holds ROWS x LANES sums in
 * registers. Each sum runs over k in order, in slices of DEPTH: the same bits whatever the width of the registers. */
#include "dense/plain.h"

#include <string.h>

#include "base/memory.h"

#define ROWS 6
#if defined(__AVX512F__)
#define LANES 32
#else
#define LANES 16
#endif
#define DEPTH ((size_t)96)
#define PANELS(n, width) (((n) + (width)-1) / (width))

/* packed[panel][k][width] <- rows (or columns) of x, zeros behind the last; value (i, k) lies at i * step_i + k *
 * step_k. */
static void pack(float *packed, size_t width, const float *x, size_t count, size_t k, size_t step_i, size_t step_k)
{
    for (size_t panel = 0; panel < count; panel += width) {
        const size_t now = count - panel < width ? count - panel : width;
        for (size_t l = 0; l < k; l++, packed += width) {
            const float *source = x + panel * step_i + l * step_k;
            for (size_t i = 0; i < now; i++)
                packed[i] = source[i * step_i];
            for (size_t i = now; i < width; i++)
                packed[i] = 0;
        }
    }
}

static void kernel(float sums[ROWS][LANES], const float *restrict a, const float *restrict b, size_t k)
{
    float sum[ROWS][LANES] = {{0}};
    for (size_t l = 0; l < k; l++, a += ROWS, b += LANES)
        for (size_t r = 0; r < ROWS; r++)
            for (size_t i = 0; i < LANES; i++)
                sum[r][i] += a[r] * b[i];
    memcpy(sums, sum, sizeof sum);
}

static void add(float *c, size_t ldc, size_t rows, size_t lanes, float sums[ROWS][LANES], float alpha, float beta)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < lanes; i++)
            c[r * ldc + i] = (beta == 0 ? 0 : beta * c[r * ldc + i]) + alpha * sums[r][i];
}

static void multiply(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, float alpha, const float *a,
                     size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    _Alignas(TG_CACHE_LINE) float packed_a[PANELS(TG_TILE, ROWS) * ROWS * DEPTH];
    _Alignas(TG_CACHE_LINE) float packed_b[PANELS(TG_TILE, LANES) * LANES * DEPTH];
    for (size_t at = 0; at < k || at == 0; at += DEPTH) {
        const size_t depth = k - at < DEPTH ? k - at : DEPTH;
        pack(packed_a, ROWS, a + at * (transpose_a ? lda : 1), m, depth, transpose_a ? 1 : lda, transpose_a ? lda : 1);
        pack(packed_b, LANES, b + at * (transpose_b ? 1 : ldb), n, depth, transpose_b ? ldb : 1, transpose_b ? 1 : ldb);
        for (size_t j = 0; j < n; j += LANES)
            for (size_t i = 0; i < m; i += ROWS) {
                float sums[ROWS][LANES];
                kernel(sums, packed_a + i * depth, packed_b + j * depth, depth);
                add(c + i * ldc + j, ldc, m - i < ROWS ? m - i : ROWS, n - j < LANES ? n - j : LANES, sums, alpha,
                    at == 0 ? beta : 1);
            }
    }
}

static void combine(float *restrict sums, const float *restrict d, size_t n, float alpha, float beta)
{
    if (beta == 0)
        for (size_t i = 0; i < n; i++)
            sums[i] *= alpha;
    else
        for (size_t i = 0; i < n; i++)
            sums[i] = beta * d[i] + alpha * sums[i];
}

const tg_plain TG_PER_ISA(tg_plain) = {.multiply = multiply, .combine = combine};
