/* dense/multiply.c -- products, tile by tile. Compiled once: the loops are plain.c's or oneDNN's. */
#include <omp.h>
#include <string.h>

#include "base/fail.h"
#include "base/kernels.h"
#include "base/memory.h"
#include "dense/arithmetic.h"
#include "dense/count.h"
#include "dense/dense.h"
#include "dense/native.h"
#include "dense/plain.h"

#ifdef TIGER_HAVE_DNNL
#include <dnnl.h>
#endif

#define DEPTH ((size_t)128) /* of bf16 panels that are widened at a time */
#define MIRROR ((size_t)32) /* rows and columns that are transposed at a time */

/* A tile of C under way: m x n values from (row, col) on. */
typedef struct tile {
    size_t row, col, m, n;
} tile;

static bool multiply_plain(const tg_dense_product *p, const tile *t, size_t k, const float *a, size_t lda,
                           const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    TG_ISA_PICK(tg_plain)->multiply(p->transpose_a, p->transpose_b, t->m, t->n, k, p->alpha, a, lda, b, ldb, beta, c,
                                    ldc);
    return true;
}

#ifdef TIGER_HAVE_DNNL
const char *tg_dense_multiplier(void) { return "oneDNN"; }

static bool multiply_f32(const tg_dense_product *p, const tile *t, size_t k, const float *a, size_t lda, const float *b,
                         size_t ldb, float beta, float *c, size_t ldc)
{
    if (k == 0) /* the library would leave C as it is */
        return multiply_plain(p, t, k, a, lda, b, ldb, beta, c, ldc);
    return dnnl_sgemm(p->transpose_a ? 'T' : 'N', p->transpose_b ? 'T' : 'N', (dnnl_dim_t)t->m, (dnnl_dim_t)t->n,
                      (dnnl_dim_t)k, p->alpha, a, (dnnl_dim_t)lda, b, (dnnl_dim_t)ldb, beta, c,
                      (dnnl_dim_t)ldc) == dnnl_success;
}
#else
const char *tg_dense_multiplier(void) { return "plain loops"; }

static bool multiply_f32(const tg_dense_product *p, const tile *t, size_t k, const float *a, size_t lda, const float *b,
                         size_t ldb, float beta, float *c, size_t ldc)
{
    return multiply_plain(p, t, k, a, lda, b, ldb, beta, c, ldc);
}
#endif

/* Where the panel of A, of B, that a tile needs begins, from depth `at` on. */
static size_t start_a(const tg_dense_product *p, const tile *t, size_t at)
{
    return p->transpose_a ? at * p->lda + t->row : t->row * p->lda + at;
}
static size_t start_b(const tg_dense_product *p, const tile *t, size_t at)
{
    return p->transpose_b ? t->col * p->ldb + at : at * p->ldb + t->col;
}

static bool tile_f32(const tg_dense_product *p, const tile *t, const float *a, const float *b, const float *d, float *c)
{
    const size_t first = t->row * p->ldc + t->col;
    for (size_t i = 0; p->beta != 0 && d != c && i < t->m; i++)
        memcpy(c + first + i * p->ldc, d + first + i * p->ldc, t->n * sizeof *c);
    return multiply_f32(p, t, p->k, a + start_a(p, t, 0), p->lda, b + start_b(p, t, 0), p->ldb, p->beta, c + first,
                        p->ldc);
}

/* rows x cols bf16 values as fp32, `cols` from row to row. */
static void widen(float *target, const uint16_t *source, size_t rows, size_t cols, size_t ld)
{
    for (size_t i = 0; i < rows; i++)
        tg_kernels_get()->widen(target + i * cols, source + i * ld, TG_BF16, cols);
}

static bool tile_bf16(const tg_dense_product *p, const tile *t, const uint16_t *a, const uint16_t *b, const uint16_t *d,
                      uint16_t *c)
{
    _Alignas(TG_CACHE_LINE) float wide_a[TG_TILE * DEPTH], wide_b[TG_TILE * DEPTH], sums[TG_TILE * TG_TILE];
    const size_t first = t->row * p->ldc + t->col;
    bool good = true;
    if (p->beta != 0)
        widen(sums, d + first, t->m, t->n, p->ldc);
    for (size_t at = 0; good && (at < p->k || at == 0); at += DEPTH) {
        const size_t depth = p->k - at < DEPTH ? p->k - at : DEPTH;
        const size_t a_cols = p->transpose_a ? t->m : depth, b_cols = p->transpose_b ? depth : t->n;
        widen(wide_a, a + start_a(p, t, at), p->transpose_a ? depth : t->m, a_cols, p->lda);
        widen(wide_b, b + start_b(p, t, at), p->transpose_b ? t->n : depth, b_cols, p->ldb);
        good = multiply_f32(p, t, depth, wide_a, a_cols, wide_b, b_cols, at == 0 ? p->beta : 1, sums, t->n);
    }
    for (size_t i = 0; i < t->m; i++)
        tg_kernels_get()->narrow(c + first + i * p->ldc, sums + i * t->n, TG_BF16, t->n);
    return good;
}

/* As tile_bf16, by the library alone. */
static bool tile_native(const tg_dense_product *p, tg_native *native, const tile *t, const uint16_t *a,
                        const uint16_t *b, const uint16_t *d, uint16_t *c)
{
    _Alignas(TG_CACHE_LINE) float sums[TG_TILE * TG_TILE], row[TG_TILE];
    const size_t first = t->row * p->ldc + t->col;
    if (tg_native_tile(native, sums, t->m, t->n, a + start_a(p, t, 0), b + start_b(p, t, 0)) != TG_OK)
        return false;
    for (size_t i = 0; i < t->m; i++) {
        if (p->beta != 0)
            widen(row, d + first + i * p->ldc, 1, t->n, p->ldc);
        if (p->beta != 0 || p->alpha != 1)
            TG_ISA_PICK(tg_plain)->combine(sums + i * t->n, row, t->n, p->alpha, p->beta);
        tg_kernels_get()->narrow(c + first + i * p->ldc, sums + i * t->n, TG_BF16, t->n);
    }
    return true;
}

/* Measured on oneDNN 2.6 as resident memory: in fp32 about what products of layers have taken before; native ones pack
 * the panels of both operands, whose blocks leave half as much again behind in a heap that threads share, and need
 * code. */
size_t tg_dense_product_bytes(tg_format format, size_t rows, size_t cols, int threads)
{
    const size_t depth = rows > cols ? rows : cols, side = rows < cols ? rows : cols;
    const size_t panel = sizeof(float) * depth * (side < TG_TILE ? side : TG_TILE);
    const size_t a = panel < (size_t)600 << 10 ? panel : (size_t)600 << 10, b = panel < 1 << 20 ? panel : 1 << 20;
    tg_arithmetic arithmetic = TG_WIDEN;
    if (format == TG_F32 || tg_arithmetic_choose(&arithmetic, tg_native_possible(), tg_native_faster()) != TG_OK)
        return 0;
    return arithmetic == TG_NATIVE ? (size_t)threads * (a + b) * 3 / 2 + ((size_t)1200 << 10)
                                   : (size_t)threads * ((size_t)768 << 10);
}

/* The tile across the diagonal. */
static void mirror(const tg_dense_product *p, const tile *t, void *c)
{
    const size_t ld = p->ldc, row_end = t->row + t->m, col_end = t->col + t->n;
    float *wide = c;
    uint16_t *narrow = c;
    for (size_t r = t->row; r < row_end; r += MIRROR)
        for (size_t s = t->col; s < col_end; s += MIRROR)
            for (size_t i = r; i < row_end && i < r + MIRROR; i++)
                for (size_t j = s; j < col_end && j < s + MIRROR; j++)
                    if (p->format == TG_F32)
                        wide[j * ld + i] = wide[i * ld + j];
                    else
                        narrow[j * ld + i] = narrow[i * ld + j];
}

/* Values of C that are computed rather than copied. */
static double computed(const tg_dense_product *p)
{
    double values = 0;
    for (size_t row = 0; p->symmetric && row < p->m; row += TG_TILE) {
        const size_t end = p->m - row < TG_TILE ? p->m : row + TG_TILE;
        values += (double)(end - row) * (double)end;
    }
    return p->symmetric ? values : (double)p->m * (double)p->n;
}

/* `native` NULL: in fp32. */
static bool multiply_tile(const tg_dense_product *p, tg_native *native, size_t index, size_t across, const void *a,
                          const void *b, const void *d, void *c)
{
    const size_t row = index / across * TG_TILE, col = index % across * TG_TILE;
    const tile t = {row, col, p->m - row < TG_TILE ? p->m - row : TG_TILE, p->n - col < TG_TILE ? p->n - col : TG_TILE};
    if (p->symmetric && col > row)
        return true;
    const bool good = p->format == TG_F32 ? tile_f32(p, &t, a, b, d, c)
                      : native == NULL    ? tile_bf16(p, &t, a, b, d, c)
                                          : tile_native(p, native, &t, a, b, d, c);
    if (p->symmetric && col < row)
        mirror(p, &t, c);
    return good;
}

tg_status tg_dense_multiply(const tg_dense_product *p, const void *a, const void *b, const void *d, void *c,
                            int threads)
{
    const size_t across = (p->n + TG_TILE - 1) / TG_TILE, tiles = (p->m + TG_TILE - 1) / TG_TILE * across;
    tg_arithmetic arithmetic = TG_WIDEN;
    int refused = 0;
    if (tiles == 0)
        return TG_OK;
    if (p->format == TG_BF16) {
        const tg_status status = tg_arithmetic_choose(&arithmetic, tg_native_possible(), tg_native_faster());
        if (status != TG_OK)
            return status;
    }
    tg_dense_count(p->format, 2 * computed(p) * (double)p->k);
#pragma omp parallel num_threads(threads) reduction(| : refused)
    {
        omp_set_num_threads(1); /* in this thread's task alone: the library would share out a tile among many */
        tg_native native = {0};
        const bool as_is = arithmetic == TG_NATIVE && p->k > 0;
        if (as_is)
            refused |= tg_native_open(&native, p) != TG_OK;
#pragma omp for schedule(dynamic)
        for (size_t index = 0; index < tiles; index++)
            refused |= refused || !multiply_tile(p, as_is ? &native : NULL, index, across, a, b, d, c);
        tg_native_close(&native);
    }
    return refused ? tg_fail(TG_ENOMEM, "%s refused a product of (%zu, %zu) and (%zu, %zu)", tg_dense_multiplier(),
                             p->m, p->k, p->k, p->n)
                   : TG_OK;
}
