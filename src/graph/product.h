/* graph/product.h -- matrix products, by oneDNN, and which arithmetic they use on this machine.
 *
 * fp32 operands: dnnl_sgemm. bf16 operands: the library's bf16 primitive where dense/arithmetic.h says "native";
 * elsewhere callers widen panels into scratch and multiply in fp32. Sums are fp32 in both. */
#ifndef TG_GRAPH_PRODUCT_H
#define TG_GRAPH_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>

#include "dense/arithmetic.h"
#include "tiger/format.h"
#include "tiger/status.h"

/* A product C (m,n) = A (m,k) B (k,n), row-major. A transposed operand is stored as (k,m) or (n,k). */
typedef struct tg_product {
    size_t m, n, k;
    bool transpose_a, transpose_b;
    size_t lda, ldb, ldc; /* values from one stored row to the next */
    bool add;             /* C += A B */
    bool alone;           /* run by threads of a parallel region, each its own product */
    /* Native products only: */
    tg_format to; /* of C: fp32, or bf16, rounded once to nearest even */
    bool bias;    /* C = A B + bias (n) */
} tg_product;

/* Whether a native product with B (k,n) had better write bf16 and add the bias itself. The implementation that can is
 * the faster one where B fits into a core's cache; beyond it, fp32 by another one and a pass over C are. */
static inline bool tg_product_fuses(size_t k, size_t n) { return n <= ((size_t)1 << 19) / k; }

/* Whether a native product runs by that other implementation, which allocates for itself. */
static inline bool tg_product_packs(const tg_product *p)
{
    return !(p->alone || p->to != TG_F32 || p->bias || tg_product_fuses(p->k, p->n));
}

/* C fp32, A and B fp32. Uses all threads, or the calling one alone inside a parallel region. No planning needed. */
tg_status tg_product_f32(const tg_product *product, const float *a, const float *b, float *c);

/* What the library allocates for the packed panels of a product of fp32 operands, or of a native one of bf16 that
 * packs, at most; released on return. That of an `alone` product is one thread's. */
size_t tg_product_library_bytes(const tg_product *product, tg_format format);

/* The compiled native products of one graph. */
typedef struct tg_products tg_products;

/* Chooses the arithmetic; fails where TIGER_PRODUCTS asks for what this machine cannot do or names nothing known. */
tg_status tg_products_create(tg_products **out);
void tg_products_destroy(tg_products *products);
tg_arithmetic tg_products_arithmetic(const tg_products *products);

/* What the library's code takes: of products of fp32 operands, or of the native ones that have been planned. */
size_t tg_products_code_bytes(const tg_products *products, tg_format format);

/* Compiles a product of bf16 A and B; *scratch_bytes is what its run needs. Planning the same product again is free.
 * Outside of parallel regions. */
tg_status tg_products_plan(tg_products *products, const tg_product *product, size_t *scratch_bytes);
/* Runs a planned product; `bias` is fp32, NULL without; `scratch` is aligned to a cache line. An `alone` product may
 * run in several threads at once, as many as there were (omp_get_max_threads) when it was planned. */
tg_status tg_products_run(tg_products *products, const tg_product *product, const void *a, const void *b,
                          const float *bias, void *c, void *scratch);

#endif
