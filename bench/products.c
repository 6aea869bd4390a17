/* products.c -- how fast the matrix products of a training step run, beside what the CPU can do.
 *
 *   bench_products [TOKENS]
 *
 * For the shapes of GPT-2 124M (TOKENS, 1024 by default) and of the small recipe: GFLOP/s of the fp32 product and, where
 * the CPU has them, of native bf16 products with fp32 sums; share of the peak, which is timed in turn with them: a loop
 * of independent fp32 multiply-adds on all threads. The best of ROUNDS each: others use this machine too. */
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/memory.h"
#include "graph/product.h"

#define ROUNDS 15
#define CHAINS 12 /* enough to hide the latency of a multiply-add on two units */

/* With one thread its own time, which other programs do not lengthen. */
static double now(void)
{
    struct timespec t;
    clock_gettime(omp_get_max_threads() == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_products: %s: %s\n", what, tg_message());
    exit(1);
}

#define must(call) ((call) == TG_OK ? (void)0 : die(#call))

/* ---- the peak ------------------------------------------------------------------------------------------------------ */

#if defined(__x86_64__)
__attribute__((target("avx512f"), noinline)) static void chains_avx512(float *x, size_t n)
{
    __m512 sum[CHAINS];
    const __m512 by = _mm512_set1_ps(0.999f), more = _mm512_set1_ps(0.001f);
    for (int c = 0; c < CHAINS; c++)
        sum[c] = _mm512_set1_ps(x[c]);
    for (size_t i = 0; i < n; i++)
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++)
            sum[c] = _mm512_fmadd_ps(sum[c], by, more);
    for (int c = 0; c < CHAINS; c++)
        x[c] = _mm512_reduce_add_ps(sum[c]);
}

__attribute__((target("avx2,fma"), noinline)) static void chains_avx2(float *x, size_t n)
{
    __m256 sum[CHAINS];
    const __m256 by = _mm256_set1_ps(0.999f), more = _mm256_set1_ps(0.001f);
    for (int c = 0; c < CHAINS; c++)
        sum[c] = _mm256_set1_ps(x[c]);
    for (size_t i = 0; i < n; i++)
#pragma GCC unroll 12
        for (int c = 0; c < CHAINS; c++)
            sum[c] = _mm256_fmadd_ps(sum[c], by, more);
    for (int c = 0; c < CHAINS; c++)
        x[c] = _mm256_cvtss_f32(sum[c]);
}

/* Runs n rounds of CHAINS multiply-adds; how many values one of them has. */
static int run_chains(float *x, size_t n)
{
    if (__builtin_cpu_supports("avx512f")) {
        chains_avx512(x, n);
        return 16;
    }
    chains_avx2(x, n);
    return 8;
}
#else
static int run_chains(float *x, size_t n)
{
    float sum[CHAINS][4];
    memset(sum, 0, sizeof sum);
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < CHAINS; c++)
            for (int l = 0; l < 4; l++)
                sum[c][l] = __builtin_fmaf(sum[c][l], 0.999f, 0.001f);
    memcpy(x, sum, CHAINS * sizeof *x);
    return 4;
}
#endif

static double peak_once(void)
{
    const size_t n = 1000000;
    int values = 0;
    float kept = 0;
    const double start = now();
#pragma omp parallel reduction(max : values) reduction(+ : kept)
    {
        float x[CHAINS] = {0};
        values = run_chains(x, n);
        kept += x[1];
    }
    if (isnan(kept)) /* the compiler must believe that the sums matter */
        return 0;
    return 2.0 * CHAINS * values * (double)n * omp_get_max_threads() / (now() - start);
}

/* ---- the products ------------------------------------------------------------------------------------------------- */

typedef struct bench {
    void *a, *b;
    float *c;
    void *scratch;
    size_t scratch_bytes;
    tg_products *native; /* NULL where the CPU has none */
} bench;

#define OPERAND_BYTES ((size_t)256 << 20)

static void measure(bench *s, const char *name, tg_product p)
{
    double best[2] = {1e9, 1e9}, peak = 0;
    size_t bytes = 0;
    if (s->native != NULL)
        must(tg_products_plan(s->native, &p, &bytes));
    if (bytes > s->scratch_bytes) {
        tg_free(NULL, s->scratch, s->scratch_bytes, 1);
        s->scratch = tg_alloc(NULL, bytes, 1);
        s->scratch_bytes = bytes;
    }
    for (int round = 0; round < ROUNDS; round++)
        for (int native = 0; native < (s->native != NULL ? 2 : 1); native++) {
            const double start = now();
            if (native)
                must(tg_products_run(s->native, &p, s->a, s->b, NULL, s->c, s->scratch));
            else
                must(tg_product_f32(&p, s->a, s->b, s->c));
            const double seconds = now() - start;
            best[native] = seconds < best[native] ? seconds : best[native];
            if (round % 5 == 0 && !native) {
                const double here = peak_once();
                peak = here > peak ? here : peak;
            }
        }
    const double flops = 2.0 * (double)p.m * (double)p.n * (double)p.k;
    printf("%-22s %6zu %6zu %6zu  %c%c  %7.0f %5.1f %%", name, p.m, p.n, p.k, p.transpose_a ? 'T' : 'N',
           p.transpose_b ? 'T' : 'N', flops / best[0] * 1e-9, 100 * flops / best[0] / peak);
    if (s->native != NULL)
        printf("  %7.0f %5.1f %%", flops / best[1] * 1e-9, 100 * flops / best[1] / peak);
    printf("\n");
    fflush(stdout);
}

static void forward_and_back(bench *s, const char *name, size_t m, size_t in, size_t out)
{
    char text[64];
    snprintf(text, sizeof text, "%s y", name);
    measure(s, text, (tg_product){.m = m, .n = out, .k = in, .transpose_b = true, .lda = in, .ldb = in, .ldc = out});
    snprintf(text, sizeof text, "%s dx", name);
    measure(s, text, (tg_product){.m = m, .n = in, .k = out, .lda = out, .ldb = in, .ldc = in});
    snprintf(text, sizeof text, "%s dW", name);
    measure(s, text, (tg_product){.m = out, .n = in, .k = m, .transpose_a = true, .lda = out, .ldb = in, .ldc = in});
}

int main(int argc, char **argv)
{
    const size_t m = argc > 1 ? strtoul(argv[1], NULL, 10) : 1024;
    bench s = {.a = tg_alloc(NULL, OPERAND_BYTES, 1), .b = tg_alloc(NULL, OPERAND_BYTES, 1),
               .c = tg_alloc(NULL, OPERAND_BYTES, 1)};
    if (m == 0 || m > 8192 || s.a == NULL || s.b == NULL || s.c == NULL) {
        fprintf(stderr, "usage: bench_products [TOKENS <= 8192]\n");
        return 2;
    }
    for (size_t i = 0; i < OPERAND_BYTES / 2; i++) { /* bf16 pairs, also sane as fp32 */
        ((uint16_t *)s.a)[i] = (uint16_t)(0x3c00 + i % 257);
        ((uint16_t *)s.b)[i] = (uint16_t)(0xbc00 - i % 251);
    }
    setenv("TIGER_PRODUCTS", "native", 1);
    if (tg_products_create(&s.native) != TG_OK)
        s.native = NULL;
    printf("%d threads; peak of fp32 multiply-adds %.0f GFLOP/s\n", omp_get_max_threads(), peak_once() * 1e-9);
    printf("%-22s %6s %6s %6s       fp32 GFLOP/s    %s\n", "product", "m", "n", "k", s.native != NULL ? "bf16 GFLOP/s" : "");
    forward_and_back(&s, "124M qkv", m, 768, 2304);
    forward_and_back(&s, "124M attention out", m, 768, 768);
    forward_and_back(&s, "124M fc", m, 768, 3072);
    forward_and_back(&s, "124M fc out", m, 3072, 768);
    forward_and_back(&s, "124M head panel", m, 768, 1344);
    forward_and_back(&s, "small qkv", 768, 128, 384);
    forward_and_back(&s, "small attention out", 768, 128, 128);
    forward_and_back(&s, "small fc", 768, 128, 512);
    forward_and_back(&s, "small fc out", 768, 512, 128);
    forward_and_back(&s, "small head", 768, 128, 65);
    tg_products_destroy(s.native);
    tg_free(NULL, s.scratch, s.scratch_bytes, 1);
    tg_free(NULL, s.a, OPERAND_BYTES, 1);
    tg_free(NULL, s.b, OPERAND_BYTES, 1);
    tg_free(NULL, s.c, OPERAND_BYTES, 1);
    return 0;
}
