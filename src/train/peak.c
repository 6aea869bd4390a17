/* train/peak.c -- see peak.h. */
#include "train/peak.h"

#include <omp.h>

#include "base/fail.h"
#include "base/memory.h"
#include "graph/product.h"
#include "tiger/engine/train.h"
#include "train/process.h"

#define SECONDS 0.25 /* others may use the machine too: the best of what fits into this */
#define ROUNDS 200   /* and no more */
#define LEAST 3
#define LEAST_SIDE 400 /* halved once more, products are too small to keep threads busy */

/* Whether these are products of bf16 as it is; else they are in fp32. */
static bool is_native(const tg_graph *graph)
{
    return graph->format == TG_BF16 && tg_products_arithmetic(graph->products) == TG_NATIVE;
}

static tg_product product_of(size_t n) { return (tg_product){.m = n, .n = n, .k = n, .lda = n, .ldb = n, .ldc = n}; }

static size_t bytes_of(bool native, size_t n)
{
    const tg_product p = product_of(n);
    const size_t operand = native ? sizeof(uint16_t) : sizeof(float);
    return n * n * (2 * operand + sizeof(float)) + (native ? 0 : tg_product_library_bytes(&p, TG_F32));
}

/* Rows and columns: enough work for the threads, and operands that caches hold. */
static size_t side(bool native, size_t room)
{
    const int threads = omp_get_max_threads();
    size_t n = threads <= 4 ? 704 : threads <= 16 ? 1536 : 3072;
    while (n > LEAST_SIDE && bytes_of(native, n) > room)
        n /= 2;
    return n;
}

size_t tg_peak_bytes(const tg_graph *graph, size_t room)
{
    const bool native = is_native(graph);
    return bytes_of(native, side(native, room));
}

typedef struct operands {
    void *a, *b, *scratch;
    float *c;
    size_t count, width, scratch_bytes;
} operands;

static void release(operands *o)
{
    tg_free(NULL, o->a, o->count, o->width);
    tg_free(NULL, o->b, o->count, o->width);
    tg_free(NULL, o->c, o->count, sizeof *o->c);
    tg_free(NULL, o->scratch, o->scratch_bytes, 1);
}

/* Ones: bits of fp32 or bf16 that no product overflows. */
static tg_status take(operands *o, size_t count, size_t width, size_t scratch_bytes)
{
    *o = (operands){.count = count, .width = width, .scratch_bytes = scratch_bytes};
    o->a = tg_alloc(NULL, count, width);
    o->b = tg_alloc(NULL, count, width);
    o->c = tg_alloc(NULL, count, sizeof *o->c);
    o->scratch = scratch_bytes == 0 ? NULL : tg_alloc(NULL, scratch_bytes, 1);
    if (o->a == NULL || o->b == NULL || o->c == NULL || (scratch_bytes > 0 && o->scratch == NULL))
        return tg_no_memory("measuring products", 3 * count * sizeof *o->c);
    for (size_t i = 0; i < count && width == sizeof(uint16_t); i++)
        ((uint16_t *)o->a)[i] = ((uint16_t *)o->b)[i] = 0x3f80;
    for (size_t i = 0; i < count && width == sizeof(float); i++)
        ((float *)o->a)[i] = ((float *)o->b)[i] = 1.0f;
    return TG_OK;
}

/* `products` NULL: in fp32. */
static tg_status time_product(double *best, const tg_product *p, tg_products *products, const operands *o)
{
    const double start = tg_process_seconds();
    double now = start;
    *best = 0;
    for (int i = 0; i < ROUNDS && (i < LEAST || now - start < SECONDS); i++) {
        const double begin = now;
        const tg_status status = products == NULL ? tg_product_f32(p, o->a, o->b, o->c)
                                                  : tg_products_run(products, p, o->a, o->b, NULL, o->c, o->scratch);
        if (status != TG_OK)
            return status;
        now = tg_process_seconds();
        if (i > 0 && (*best == 0 || now - begin < *best)) /* the first wakes threads and touches pages */
            *best = now - begin;
    }
    return TG_OK;
}

/* `products` NULL: in fp32. */
static tg_status measure(double *flops, tg_products *products, size_t room)
{
    const bool native = products != NULL;
    const size_t n = side(native, room);
    const tg_product p = product_of(n);
    operands o = {0};
    size_t scratch = 0;
    double best = 0;
    tg_status status = native ? tg_products_plan(products, &p, &scratch) : TG_OK;
    if (status == TG_OK)
        status = take(&o, n * n, native ? sizeof(uint16_t) : sizeof(float), scratch);
    if (status == TG_OK)
        status = time_product(&best, &p, products, &o);
    if (status == TG_OK && best > 0)
        *flops = 2.0 * (double)n * (double)n * (double)n / best;
    release(&o);
    return status;
}

tg_status tg_peak_measure(double *flops, const tg_graph *graph, size_t room)
{
    tg_products *products = NULL;
    tg_status status = is_native(graph) ? tg_products_create(&products) : TG_OK;
    if (status == TG_OK)
        status = measure(flops, products, room);
    tg_products_destroy(products);
    return status;
}

tg_status tg_product_peak(double *flops, tg_format format)
{
    tg_products *products = NULL;
    tg_status status = tg_products_create(&products);
    const bool native = status == TG_OK && format == TG_BF16 && tg_products_arithmetic(products) == TG_NATIVE;
    if (status == TG_OK)
        status = measure(flops, native ? products : NULL, SIZE_MAX);
    tg_products_destroy(products);
    return status;
}
