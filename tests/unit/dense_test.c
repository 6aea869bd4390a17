/* Dense linear algebra against float64, its bits on any number of threads, and its refusals. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/kernels.h"
#include "base/memory.h"
#include "dense/dense.h"
#include "dense/native.h"
#include "dense/plain.h"

#define TOLERANCE_F32 1e-6  /* of a sum relative to the sum of its terms' magnitudes */
#define TOLERANCE_BF16 4e-3 /* one rounding to 8 bits */

/* The same numbers everywhere, in [-1, 1), none of them round. */
static double number(unsigned seed, size_t i)
{
    uint32_t x = (uint32_t)i * 0x9e3779b1u + seed * 0x85ebca77u;
    x = (x ^ x >> 15) * 0x2c1b3c6du;
    x = (x ^ x >> 12) * 0x297a2d39u;
    return (double)(int32_t)(x ^ x >> 15) * 0x1p-31;
}

typedef struct array {
    tg_format format;
    size_t n;
    void *data;
} array;

static array make(tg_format format, unsigned seed, size_t n)
{
    array a = {format, n, calloc(n + 1, 4)};
    float *values = malloc((n + 1) * sizeof *values);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)number(seed, i);
    tg_kernels_get()->narrow(a.data, values, format, n);
    free(values);
    return a;
}

static double at(const array *a, size_t i)
{
    float f;
    tg_kernels_get()->widen(&f, (const char *)a->data + i * tg_format_bytes(a->format), a->format, 1);
    return (double)f;
}

static void check_product(const tg_dense_product *p, const array *a, const array *b, const array *d, const array *c)
{
    const double tolerance = p->format == TG_F32 ? TOLERANCE_F32 : TOLERANCE_BF16;
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++) {
            double sum = 0, size = 0;
            for (size_t l = 0; l < p->k; l++) {
                const double term = at(a, p->transpose_a ? l * p->lda + i : i * p->lda + l) *
                                    at(b, p->transpose_b ? j * p->ldb + l : l * p->ldb + j);
                sum += term;
                size += fabs(term);
            }
            sum *= (double)p->alpha;
            size *= fabs((double)p->alpha);
            if (p->beta != 0) {
                sum += (double)p->beta * at(d, i * p->ldc + j);
                size += fabs((double)p->beta * at(d, i * p->ldc + j));
            }
            const double got = at(c, i * p->ldc + j), scale = p->format == TG_F32 ? size : fabs(sum) + 1e-3 * size;
            if (!(fabs(got - sum) <= tolerance * scale + 1e-30))
                fail_msg("(%zu, %zu) of %zu x %zu x %zu: %g, not %g", i, j, p->m, p->n, p->k, got, sum);
        }
}

static void try_product(tg_dense_product p, bool in_place)
{
    p.lda = (p.transpose_a ? p.m : p.k) + 3;
    p.ldb = (p.transpose_b ? p.k : p.n) + 1;
    p.ldc = p.n + 2;
    array a = make(p.format, 1, (p.transpose_a ? p.k : p.m) * p.lda),
          b = make(p.format, 2, (p.transpose_b ? p.n : p.k) * p.ldb);
    array d = make(p.format, 3, p.m * p.ldc), c = make(p.format, in_place ? 3 : 4, p.m * p.ldc);
    const size_t bytes = p.m * p.ldc * tg_format_bytes(p.format);
    void *first = malloc(bytes + 1), *start = malloc(bytes + 1);
    memcpy(start, c.data, bytes);
    for (int threads = 1; threads <= 7; threads += 2) {
        memcpy(c.data, start, bytes);
        assert_int_equal(tg_dense_multiply(&p, a.data, b.data,
                                           p.beta == 0 ? NULL
                                           : in_place  ? c.data
                                                       : d.data,
                                           c.data, threads),
                         TG_OK);
        if (threads == 1)
            memcpy(first, c.data, bytes);
        assert_memory_equal(first, c.data, bytes); /* what lies behind the columns too */
    }
    check_product(&p, &a, &b, &d, &c);
    for (size_t i = 0; i < p.m; i++) /* what lies behind the columns is another's */
        for (size_t j = p.n; j < p.ldc; j++)
            assert_true(at(&c, i * p.ldc + j) == at(&(array){p.format, 0, start}, i * p.ldc + j));
    free(a.data), free(b.data), free(c.data), free(d.data), free(first), free(start);
}

static void test_products(void **state)
{
    (void)state;
    static const size_t sizes[][3] = {{1, 1, 1}, {5, 7, 3}, {17, 300, 130}, {259, 33, 97}, {263, 519, 61}, {6, 5, 0}};
    static const float factors[][2] = {{1, 0}, {0.731f, 0}, {-1.37f, 0.413f}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (unsigned how = 0; how < 8; how++)
            for (unsigned f = 0; f < 3; f++)
                try_product((tg_dense_product){.m = sizes[s][0],
                                               .n = sizes[s][1],
                                               .k = sizes[s][2],
                                               .transpose_a = how & 1,
                                               .transpose_b = how >> 1 & 1,
                                               .format = how >> 2 ? TG_BF16 : TG_F32,
                                               .alpha = factors[f][0],
                                               .beta = factors[f][1]},
                            how == 3);
}

/* bf16 as it is, where the CPU can, and widened: the same numbers but for the order of sums. */
static void test_arithmetics(void **state)
{
    (void)state;
    static const char *const wish[] = {"widen", "native"};
    static const size_t sizes[][3] = {{1, 1, 1}, {17, 300, 130}, {259, 33, 97}, {263, 519, 611}, {6, 5, 0}, {512, 256, 64}};
    for (int w = 0; w < 2; w++) {
        setenv("TIGER_PRODUCTS", wish[w], 1);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes && (w == 0 || tg_native_possible()); s++)
            for (unsigned how = 0; how < 12; how++)
                try_product((tg_dense_product){.m = sizes[s][0],
                                               .n = sizes[s][1],
                                               .k = sizes[s][2],
                                               .transpose_a = how & 1,
                                               .transpose_b = how >> 1 & 1,
                                               .format = TG_BF16,
                                               .alpha = how < 4 ? 1 : -1.37f,
                                               .beta = how < 8 ? 0 : 0.413f},
                            how % 2 == 1);
    }
    unsetenv("TIGER_PRODUCTS");
}

static void test_wishes(void **state)
{
    (void)state;
    uint16_t a[6] = {0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0}, c[4] = {7, 7, 7, 7};
    const tg_dense_product p = {
        .m = 2, .n = 2, .k = 3, .transpose_b = true, .lda = 3, .ldb = 3, .ldc = 2, .alpha = 1, .format = TG_BF16};
    setenv("TIGER_PRODUCTS", "fast", 1);
    assert_int_equal(tg_dense_multiply(&p, a, a, NULL, c, 1), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "TIGER_PRODUCTS must be native or widen, not 'fast'"));
    setenv("TIGER_PRODUCTS", "native", 1);
    assert_int_equal(tg_dense_multiply(&p, a, a, NULL, tg_native_possible() ? (uint16_t[4]){0} : c, 1),
                     tg_native_possible() ? TG_OK : TG_EUNSUPPORTED);
    for (int i = 0; i < 4; i++)
        assert_int_equal(c[i], 7);
    unsetenv("TIGER_PRODUCTS");
}

/* A A^T: half of the tiles, the same numbers, and symmetric to the bit outside of the diagonal's tiles. */
static void test_symmetric(void **state)
{
    (void)state;
    enum { M = 530, K = 71 };
    for (int half = 0; half < 2; half++) {
        tg_dense_product p = {.m = M,
                              .n = M,
                              .k = K,
                              .transpose_b = true,
                              .lda = K,
                              .ldb = K,
                              .ldc = M,
                              .alpha = 0.37f,
                              .symmetric = true,
                              .format = half ? TG_BF16 : TG_F32};
        array a = make(p.format, 5, M * K), c = make(p.format, 6, M * M);
        assert_int_equal(tg_dense_multiply(&p, a.data, a.data, NULL, c.data, 3), TG_OK);
        check_product(&p, &a, &a, NULL, &c);
        for (size_t i = 0; i < M; i++)
            for (size_t j = 0; j < i / TG_TILE * TG_TILE; j++)
                assert_true(at(&c, i * M + j) == at(&c, j * M + i));
        free(a.data), free(c.data);
    }
}

/* The plain loops give the same bits on every instruction set, whoever multiplies in this build. */
static void test_plain_bits(void **state)
{
    (void)state;
    enum { M = 61, N = 101, K = 203 };
    array a = make(TG_F32, 7, M * K), b = make(TG_F32, 8, K * N), c = make(TG_F32, 9, M * N),
          first = make(TG_F32, 9, M * N);
    const tg_isa chosen = tg_isa_chosen();
    const tg_dense_product p = {.m = M, .n = N, .k = K, .lda = K, .ldb = N, .ldc = N, .alpha = 0.73f};
    for (int isa = TG_ISA_BASE; isa < TG_ISA_COUNT; isa++) {
        if (!tg_isa_usable((tg_isa)isa))
            continue;
        tg_isa_force((tg_isa)isa);
        TG_ISA_PICK(tg_plain)->multiply(false, false, M, N, K, 0.73f, a.data, K, b.data, N, 0, c.data, N);
        if (isa == TG_ISA_BASE)
            memcpy(first.data, c.data, M * N * sizeof(float));
        assert_memory_equal(first.data, c.data, M * N * sizeof(float));
    }
    tg_isa_force(chosen);
    check_product(&p, &a, &b, NULL, &c);
    free(a.data), free(b.data), free(c.data), free(first.data);
}

/* ---- LAPACK ---- */

static double get(tg_format format, const void *a, size_t i)
{
    return format == TG_F32 ? (double)((const float *)a)[i] : ((const double *)a)[i];
}
static void put(tg_format format, void *a, size_t i, double v)
{
    if (format == TG_F32)
        ((float *)a)[i] = (float)v;
    else
        ((double *)a)[i] = v;
}

/* Symmetric, not definite; only the lower triangle holds it. */
static void *symmetric(tg_format format, size_t n, double diagonal)
{
    void *a = calloc(n * n + 1, sizeof(double));
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            put(format, a, i * n + j, number(11, i * (i + 1) / 2 + j) + (i == j ? diagonal : 0));
    for (size_t i = 0; i < n; i++) /* never read, and overwritten */
        for (size_t j = i + 1; j < n; j++)
            put(format, a, i * n + j, 71.3);
    return a;
}

static void try_eigen(tg_format format, size_t n)
{
    const double tolerance = format == TG_F32 ? 2e-5 : 1e-13;
    void *a = symmetric(format, n, 0), *q = symmetric(format, n, 0), *w = calloc(n + 1, sizeof(double));
    void *scratch = tg_alloc(NULL, tg_dense_eigen_bytes(format, n), 1);
    assert_int_equal(tg_dense_eigen(format, n, q, w, scratch), TG_OK);
    for (size_t e = 0; e < n; e++) {
        double length = 0;
        assert_true(e == 0 || get(format, w, e) >= get(format, w, e - 1));
        for (size_t i = 0; i < n; i++) {
            double sum = 0;
            for (size_t j = 0; j < n; j++)
                sum += get(format, a, i >= j ? i * n + j : j * n + i) * get(format, q, e * n + j);
            assert_true(fabs(sum - get(format, w, e) * get(format, q, e * n + i)) < tolerance * sqrt((double)n));
            length += get(format, q, e * n + i) * get(format, q, e * n + i);
        }
        assert_true(fabs(length - 1) < tolerance);
    }
    tg_free(NULL, scratch, tg_dense_eigen_bytes(format, n), 1);
    free(a), free(q), free(w);
}

static void try_cholesky(tg_format format, size_t n)
{
    const double tolerance = format == TG_F32 ? 1e-5 : 1e-13;
    void *a = symmetric(format, n, (double)n), *l = symmetric(format, n, (double)n);
    assert_int_equal(tg_dense_cholesky(format, n, l), TG_OK);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t m = 0; m < n; m++)
                sum += get(format, l, i * n + m) * get(format, l, j * n + m);
            assert_true(fabs(sum - get(format, a, i >= j ? i * n + j : j * n + i)) < tolerance * (double)n);
            assert_true(j <= i || get(format, l, i * n + j) == 0);
        }
    free(a), free(l);
}

/* A = L Q: the rows of Q orthonormal, L lower triangular with a diagonal that is not negative. */
static void try_orthonormal(tg_format format, size_t n)
{
    const double tolerance = (format == TG_F32 ? 1e-5 : 1e-13) * (double)n;
    void *a = symmetric(format, n, 0), *q = symmetric(format, n, 0);
    for (size_t i = 0; i + 1 < n; i++) /* some order in what is above the diagonal */
        for (size_t j = i + 1; j < n; j++) {
            put(format, a, i * n + j, number(13, i * n + j));
            put(format, q, i * n + j, number(13, i * n + j));
        }
    void *scratch = tg_alloc(NULL, tg_dense_orthonormal_bytes(format, n), 1);
    assert_int_equal(tg_dense_orthonormal(format, n, q, scratch), TG_OK);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double product = 0, l = 0;
            for (size_t m = 0; m < n; m++) {
                product += get(format, q, i * n + m) * get(format, q, j * n + m);
                l += get(format, a, i * n + m) * get(format, q, j * n + m);
            }
            assert_true(fabs(product - (i == j)) < tolerance);
            assert_true(j <= i || fabs(l) < tolerance);
            assert_true(i != j || l > 0);
        }
    tg_free(NULL, scratch, tg_dense_orthonormal_bytes(format, n), 1);
    free(a), free(q);
}

static void try_inverse(tg_format format, size_t n)
{
    const double tolerance = format == TG_F32 ? 1e-5 : 1e-13;
    void *a = symmetric(format, n, (double)n), *inverse = symmetric(format, n, (double)n);
    assert_int_equal(tg_dense_inverse(format, n, inverse), TG_OK);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t m = 0; m < n; m++)
                sum += get(format, a, i >= m ? i * n + m : m * n + i) * get(format, inverse, m * n + j);
            assert_true(fabs(sum - (i == j)) < tolerance * (double)n);
            assert_true(get(format, inverse, i * n + j) == get(format, inverse, j * n + i));
        }
    free(a), free(inverse);
}

static void test_factors(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 7, 65};
    if (tg_dense_need_lapack("this test") != TG_OK)
        skip();
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int f = 0; f < 2; f++) {
            try_eigen(f ? TG_F64 : TG_F32, sizes[s]);
            try_cholesky(f ? TG_F64 : TG_F32, sizes[s]);
            try_orthonormal(f ? TG_F64 : TG_F32, sizes[s]);
            try_inverse(f ? TG_F64 : TG_F32, sizes[s]);
        }
}

static void test_refusals(void **state)
{
    (void)state;
    enum { N = 5 };
    if (tg_dense_need_lapack("shampoo") != TG_OK) {
        assert_non_null(strstr(tg_message(), "liblapacke-dev"));
        skip();
    }
    for (int f = 0; f < 2; f++) {
        const tg_format format = f ? TG_F64 : TG_F32;
        double w[N];
        void *a = symmetric(format, N, 9), *scratch = tg_alloc(NULL, tg_dense_eigen_bytes(format, N), 1);
        put(format, a, 2 * N + 1, NAN);
        assert_int_equal(tg_dense_eigen(format, N, a, w, scratch), TG_EINVAL);
        assert_int_equal(tg_dense_cholesky(format, N, a), TG_EINVAL);
        void *room = tg_alloc(NULL, tg_dense_orthonormal_bytes(format, N), 1), *same = malloc(N * N * sizeof(double));
        memcpy(same, a, N * N * tg_format_bytes(format));
        assert_int_equal(tg_dense_orthonormal(format, N, a, room), TG_EINVAL);
        assert_memory_equal(same, a, N * N * tg_format_bytes(format));
        tg_free(NULL, room, tg_dense_orthonormal_bytes(format, N), 1);
        free(same);
        assert_int_equal(tg_dense_inverse(format, N, a), TG_EINVAL);
        put(format, a, 2 * N + 1, INFINITY);
        assert_int_equal(tg_dense_cholesky(format, N, a), TG_EINVAL);
        free(a);
        a = symmetric(format, N, 9);
        put(format, a, 3 * N + 3, -0.013);
        assert_int_equal(tg_dense_cholesky(format, N, a), TG_EINVAL);
        assert_non_null(strstr(tg_message(), "not positive definite (at row 4)"));
        free(a);
        tg_free(NULL, scratch, tg_dense_eigen_bytes(format, N), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products), cmocka_unit_test(test_symmetric), cmocka_unit_test(test_plain_bits),
        cmocka_unit_test(test_factors),  cmocka_unit_test(test_refusals),  cmocka_unit_test(test_arithmetics),
        cmocka_unit_test(test_wishes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
