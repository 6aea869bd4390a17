/* graph/product.c -- matrix products by oneDNN 2.x or 3.x. Compiled once: it only calls the library.
 *
 * Compiling a native product costs milliseconds, so each shape is compiled once per graph. Its scratch is the caller's, so
 * that it is part of the plan. */
#include "graph/product.h"

#include <dnnl.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "base/fail.h"
#include "base/memory.h"

typedef struct native {
    tg_product shape;
    dnnl_primitive_t primitive;
    dnnl_memory_t a, b, c, scratch;
    size_t scratch_bytes;
} native;

struct tg_products {
    tg_arithmetic arithmetic;
    dnnl_engine_t engine; /* NULL unless native */
    dnnl_stream_t stream;
    native *list;
    size_t count;
};

static tg_status refused(const char *what, const tg_product *p, dnnl_status_t status)
{
    return tg_fail(status == dnnl_out_of_memory ? TG_ENOMEM : TG_EUNSUPPORTED,
                   "oneDNN refused to %s a product of (%zu, %zu) and (%zu, %zu): status %d", what, p->m, p->k, p->k, p->n,
                   (int)status);
}

/* ---- fp32 ------------------------------------------------------------------------------------------------------- */

tg_status tg_product_f32(const tg_product *p, const float *a, const float *b, float *c)
{
    const dnnl_status_t status =
        dnnl_sgemm(p->transpose_a ? 'T' : 'N', p->transpose_b ? 'T' : 'N', (dnnl_dim_t)p->m, (dnnl_dim_t)p->n,
                   (dnnl_dim_t)p->k, 1.0f, a, (dnnl_dim_t)p->lda, b, (dnnl_dim_t)p->ldb, p->add ? 1.0f : 0.0f, c,
                   (dnnl_dim_t)p->ldc);
    return status == dnnl_success ? TG_OK : refused("run", p, status);
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Measured on oneDNN 2.6: one packed panel of B, at most 6.7 MiB, shared; per thread a panel of A of at most 0.6 MiB and
 * 72 KiB of its own. */
size_t tg_product_f32_library_bytes(const tg_product *p)
{
    const size_t threads = omp_in_parallel() ? 1 : (size_t)omp_get_max_threads();
    const size_t shared = least(4 * p->k * p->n, (size_t)6850 << 10), own = least(4 * p->k * p->m, (size_t)600 << 10);
    return shared + threads * (own + ((size_t)72 << 10));
}

/* ---- which arithmetic ------------------------------------------------------------------------------------------- */

#if defined(__x86_64__)
/* oneDNN's instruction sets are bit sets; a later one has the bits of those it builds on. */
static bool library_has(dnnl_cpu_isa_t isa)
{
    return ((unsigned)dnnl_get_effective_cpu_isa() & (unsigned)isa) == (unsigned)isa;
}

static bool by_intel(void)
{
    unsigned most, b = 0, c = 0, d = 0;
    return __get_cpuid(0, &most, &b, &c, &d) != 0 && b == signature_INTEL_ebx && c == signature_INTEL_ecx &&
           d == signature_INTEL_edx;
}

static bool native_possible(void) { return library_has(dnnl_cpu_isa_avx512_core_bf16); }
static bool native_faster(void)
{
    return library_has(dnnl_cpu_isa_avx512_core_amx) || (native_possible() && !by_intel());
}
#else
static bool native_possible(void) { return false; }
static bool native_faster(void) { return false; }
#endif

static tg_status choose(tg_arithmetic *arithmetic)
{
    const char *wish = getenv("TIGER_PRODUCTS");
    if (wish == NULL || *wish == '\0') {
        *arithmetic = native_faster() ? TG_NATIVE : TG_WIDEN;
        return TG_OK;
    }
    if (strcmp(wish, "widen") == 0) {
        *arithmetic = TG_WIDEN;
        return TG_OK;
    }
    if (strcmp(wish, "native") != 0)
        return tg_fail(TG_EINVAL, "TIGER_PRODUCTS must be native or widen, not '%s'", wish);
    if (!native_possible())
        return tg_fail(TG_EUNSUPPORTED, "TIGER_PRODUCTS=native, but oneDNN has no bf16 products for this CPU; use widen");
    *arithmetic = TG_NATIVE;
    return TG_OK;
}

tg_status tg_products_create(tg_products **out)
{
    tg_arithmetic arithmetic = TG_WIDEN;
    tg_status status = choose(&arithmetic);
    if (status != TG_OK)
        return status;
    tg_products *products = tg_heap_alloc(1, sizeof *products);
    if (products == NULL)
        return tg_no_memory("matrix products", sizeof *products);
    products->arithmetic = arithmetic;
    if (arithmetic == TG_NATIVE && (dnnl_engine_create(&products->engine, dnnl_cpu, 0) != dnnl_success ||
                                    dnnl_stream_create(&products->stream, products->engine,
                                                       dnnl_stream_default_flags) != dnnl_success)) {
        tg_products_destroy(products);
        return tg_fail(TG_EUNSUPPORTED, "oneDNN has no engine for this CPU");
    }
    *out = products;
    return TG_OK;
}

tg_arithmetic tg_products_arithmetic(const tg_products *products) { return products->arithmetic; }

/* ---- native products -------------------------------------------------------------------------------------------- */

static void native_fini(native *n)
{
    dnnl_memory_destroy(n->scratch);
    dnnl_memory_destroy(n->c);
    dnnl_memory_destroy(n->b);
    dnnl_memory_destroy(n->a);
    dnnl_primitive_destroy(n->primitive);
}

void tg_products_destroy(tg_products *products)
{
    if (products == NULL)
        return;
    for (size_t i = 0; i < products->count; i++)
        native_fini(&products->list[i]);
    if (products->stream != NULL)
        dnnl_stream_destroy(products->stream);
    if (products->engine != NULL)
        dnnl_engine_destroy(products->engine);
    tg_heap_free(products->list);
    tg_heap_free(products);
}

static bool same(const tg_product *x, const tg_product *y)
{
    return x->m == y->m && x->n == y->n && x->k == y->k && x->transpose_a == y->transpose_a &&
           x->transpose_b == y->transpose_b && x->lda == y->lda && x->ldb == y->ldb && x->ldc == y->ldc &&
           x->add == y->add;
}

static const native *find(const tg_products *products, const tg_product *product)
{
    for (size_t i = 0; i < products->count; i++)
        if (same(&products->list[i].shape, product))
            return &products->list[i];
    return NULL;
}

/* Adds C's old value to the product; the scratch is the caller's. */
static dnnl_status_t make_attributes(dnnl_primitive_attr_t *attr, bool add)
{
    dnnl_status_t status = dnnl_primitive_attr_create(attr);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (status != dnnl_success || !add)
        return status;
    dnnl_post_ops_t ops;
    status = dnnl_post_ops_create(&ops);
    if (status != dnnl_success)
        return status;
#if DNNL_VERSION_MAJOR >= 3
    status = dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
#else
    status = dnnl_post_ops_append_sum(ops, 1.0f);
#endif
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*attr, ops);
    dnnl_post_ops_destroy(ops);
    return status;
}

/* A (rows, cols) operand stored with `ld` values from row to row, or from column to column when transposed. */
typedef struct operand {
    size_t rows, cols, ld;
    bool transposed;
    dnnl_data_type_t type;
} operand;

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t description;
static dnnl_status_t describe(description *d, const operand *o)
{
    const dnnl_dims_t dims = {(dnnl_dim_t)o->rows, (dnnl_dim_t)o->cols};
    const dnnl_dims_t strides = {o->transposed ? 1 : (dnnl_dim_t)o->ld, o->transposed ? (dnnl_dim_t)o->ld : 1};
    return dnnl_memory_desc_create_with_strides(d, 2, dims, o->type, strides);
}
static void forget(description d) { dnnl_memory_desc_destroy(d); }
static dnnl_status_t compile(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, description *d, dnnl_primitive_attr_t attr)
{
    return dnnl_matmul_primitive_desc_create(pd, engine, d[0], d[1], NULL, d[2], attr);
}
static dnnl_status_t make_memory(dnnl_memory_t *memory, const description *d, dnnl_engine_t engine)
{
    return dnnl_memory_create(memory, *d, engine, DNNL_MEMORY_NONE);
}
static size_t scratch_of(dnnl_memory_t *memory, dnnl_primitive_desc_t pd, dnnl_engine_t engine)
{
    const_dnnl_memory_desc_t d = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    const size_t bytes = d == NULL ? 0 : dnnl_memory_desc_get_size(d);
    return bytes > 0 && dnnl_memory_create(memory, d, engine, DNNL_MEMORY_NONE) != dnnl_success ? SIZE_MAX : bytes;
}
#else
typedef dnnl_memory_desc_t description;
static dnnl_status_t describe(description *d, const operand *o)
{
    const dnnl_dims_t dims = {(dnnl_dim_t)o->rows, (dnnl_dim_t)o->cols};
    const dnnl_dims_t strides = {o->transposed ? 1 : (dnnl_dim_t)o->ld, o->transposed ? (dnnl_dim_t)o->ld : 1};
    return dnnl_memory_desc_init_by_strides(d, 2, dims, o->type, strides);
}
static void forget(description d) { (void)d; }
static dnnl_status_t compile(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, description *d, dnnl_primitive_attr_t attr)
{
    dnnl_matmul_desc_t matmul;
    const dnnl_status_t status = dnnl_matmul_desc_init(&matmul, &d[0], &d[1], NULL, &d[2]);
    return status == dnnl_success ? dnnl_primitive_desc_create(pd, &matmul, attr, engine, NULL) : status;
}
static dnnl_status_t make_memory(dnnl_memory_t *memory, const description *d, dnnl_engine_t engine)
{
    return dnnl_memory_create(memory, d, engine, DNNL_MEMORY_NONE);
}
static size_t scratch_of(dnnl_memory_t *memory, dnnl_primitive_desc_t pd, dnnl_engine_t engine)
{
    const dnnl_memory_desc_t *d = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    const size_t bytes = d == NULL ? 0 : dnnl_memory_desc_get_size(d);
    return bytes > 0 && dnnl_memory_create(memory, d, engine, DNNL_MEMORY_NONE) != dnnl_success ? SIZE_MAX : bytes;
}
#endif

static dnnl_status_t native_init(native *n, const tg_product *p, dnnl_engine_t engine)
{
    const operand operands[3] = {{p->m, p->k, p->lda, p->transpose_a, dnnl_bf16},
                                 {p->k, p->n, p->ldb, p->transpose_b, dnnl_bf16},
                                 {p->m, p->n, p->ldc, false, dnnl_f32}};
    description d[3];
    memset(d, 0, sizeof d);
    int described = 0;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_memory_t *const memories[3] = {&n->a, &n->b, &n->c};
    dnnl_status_t status = dnnl_success;
    for (; described < 3 && status == dnnl_success; described++)
        status = describe(&d[described], &operands[described]);
    if (status != dnnl_success)
        described--;
    if (status == dnnl_success)
        status = make_attributes(&attr, p->add);
    if (status == dnnl_success)
        status = compile(&pd, engine, d, attr);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&n->primitive, pd);
    for (int i = 0; i < 3 && status == dnnl_success; i++)
        status = make_memory(memories[i], &d[i], engine);
    if (status == dnnl_success) {
        n->scratch_bytes = scratch_of(&n->scratch, pd, engine);
        status = n->scratch_bytes == SIZE_MAX ? dnnl_out_of_memory : status;
    }
    n->shape = *p;
    dnnl_primitive_desc_destroy(pd);
    dnnl_primitive_attr_destroy(attr);
    for (int i = 0; i < described; i++)
        forget(d[i]);
    return status;
}

tg_status tg_products_plan(tg_products *products, const tg_product *product, size_t *scratch_bytes)
{
    if (products->engine == NULL)
        return tg_fail(TG_ESTATE, "native products are not in use");
    const native *known = find(products, product);
    if (known != NULL) {
        *scratch_bytes = known->scratch_bytes;
        return TG_OK;
    }
    native *list = tg_heap_resize(products->list, products->count, products->count + 1, sizeof *list);
    if (list == NULL)
        return tg_no_memory("matrix products", (products->count + 1) * sizeof *list);
    products->list = list;
    native *n = &list[products->count];
    const dnnl_status_t status = native_init(n, product, products->engine);
    if (status != dnnl_success) {
        native_fini(n);
        memset(n, 0, sizeof *n);
        return refused("compile", product, status);
    }
    products->count++;
    *scratch_bytes = n->scratch_bytes;
    return TG_OK;
}

tg_status tg_products_run(tg_products *products, const tg_product *product, const void *a, const void *b, float *c,
                          void *scratch)
{
    const native *n = find(products, product);
    if (n == NULL)
        return tg_fail(TG_ESTATE, "a native product of (%zu, %zu) and (%zu, %zu) was not planned", product->m, product->k,
                       product->k, product->n);
    dnnl_status_t status = dnnl_memory_set_data_handle(n->a, (void *)a);
    if (status == dnnl_success)
        status = dnnl_memory_set_data_handle(n->b, (void *)b);
    if (status == dnnl_success)
        status = dnnl_memory_set_data_handle(n->c, c);
    if (status == dnnl_success && n->scratch != NULL)
        status = dnnl_memory_set_data_handle(n->scratch, scratch);
    const dnnl_exec_arg_t args[4] = {{DNNL_ARG_SRC, n->a},
                                     {DNNL_ARG_WEIGHTS, n->b},
                                     {DNNL_ARG_DST, n->c},
                                     {DNNL_ARG_SCRATCHPAD, n->scratch}};
    if (status == dnnl_success)
        status = dnnl_primitive_execute(n->primitive, products->stream, n->scratch != NULL ? 4 : 3, args);
    if (status == dnnl_success)
        status = dnnl_stream_wait(products->stream);
    return status == dnnl_success ? TG_OK : refused("run", product, status);
}
