/* graph/product.c -- matrix products by oneDNN 2.x or 3.x. Compiled once: it only calls the library.
 *
 * Compiling a native product costs milliseconds, so each shape is compiled once per graph. Its scratch is the caller's,
 * so that it is part of the plan. */
#include "graph/product.h"

#include <omp.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "dense/onednn.h"

/* The library's objects that carry pointers: a thread that runs a product needs its own. */
enum { A = TG_ONEDNN_A, B = TG_ONEDNN_B, C = TG_ONEDNN_C, BIAS = TG_ONEDNN_BIAS, SCRATCH, HANDLES };
typedef dnnl_memory_t handles[HANDLES];

typedef struct native {
    tg_product shape;
    dnnl_primitive_t primitive;
    handles *of_thread;
    size_t threads, scratch_bytes;
} native;

/* Where a thread found its last product: the next one is likely the next in the list. */
typedef struct cursor {
    size_t at;
    char padding[TG_CACHE_LINE - sizeof(size_t)];
} cursor;

struct tg_products {
    tg_arithmetic arithmetic;
    dnnl_engine_t engine; /* NULL unless native */
    dnnl_stream_t stream;
    native *list;
    size_t count;
    cursor *of_thread;
    size_t threads;
};

static tg_status refused(const char *what, const tg_product *p, dnnl_status_t status)
{
    return tg_fail(status == dnnl_out_of_memory ? TG_ENOMEM : TG_EUNSUPPORTED,
                   "oneDNN refused to %s a product of (%zu, %zu) and (%zu, %zu): status %d", what, p->m, p->k, p->k,
                   p->n, (int)status);
}

/* ---- fp32 ------------------------------------------------------------------------------------------------------- */

tg_status tg_product_f32(const tg_product *p, const float *a, const float *b, float *c)
{
    const dnnl_status_t status = dnnl_sgemm(p->transpose_a ? 'T' : 'N', p->transpose_b ? 'T' : 'N', (dnnl_dim_t)p->m,
                                            (dnnl_dim_t)p->n, (dnnl_dim_t)p->k, 1.0f, a, (dnnl_dim_t)p->lda, b,
                                            (dnnl_dim_t)p->ldb, p->add ? 1.0f : 0.0f, c, (dnnl_dim_t)p->ldc);
    return status == dnnl_success ? TG_OK : refused("run", p, status);
}


/* Whether oneDNN 2.6 may copy panels of fp32 operands: where both m and n are large, where rows of B lie a multiple of
 * 4 KiB apart, and on one thread where B is transposed and large, and A has few rows or theirs lie a multiple of 1 KiB
 * apart. */
static bool packs_f32(const tg_product *p, size_t threads)
{
    const bool alone =
        threads == 1 && p->transpose_b && p->n > 100 && (p->m < 200 || (p->lda % 256 == 0 && p->ldb % 256 == 0));
    return 1.0 / (double)p->m + 1.0 / (double)p->n < 0.00196 || p->ldb % 1024 == 0 || alone;
}

/* Measured on oneDNN 2.6: 72 KiB a thread; where panels are packed, one of B, shared, and per thread one of A of at
 * most 384 rows, over at most 384 of the sums' length in fp32 and 512 in bf16, which is always packed. They come and go
 * at different sizes, and the heap, which finds no room for them in what it has, stays two to three times as large. */
size_t tg_product_library_bytes(const tg_product *p, tg_format format)
{
    const size_t threads = p->alone || omp_in_parallel() ? 1 : (size_t)omp_get_max_threads();
    const size_t depth = tg_least(tg_larger(p->k, 128), format == TG_F32 ? 384 : 512);
    const size_t values = depth * (tg_least(p->n, threads * 9984) + threads * tg_least(p->m, 384));
    const size_t panels = tg_format_bytes(format) * values * (threads == 1 ? 4 : 5) / 2;
    return threads * ((size_t)72 << 10) + (format != TG_F32 || packs_f32(p, threads) ? panels : 0);
}

/* Measured on oneDNN 2.6 as resident memory: products of fp32, and native ones that pack, make all their kernels when
 * the first of them runs; other native ones have their own. */
size_t tg_products_code_bytes(const tg_products *products, tg_format format)
{
    if (format == TG_F32)
        return (size_t)6900 << 10;
    bool pack = false;
    for (size_t i = 0; i < products->count; i++)
        pack = pack || tg_product_packs(&products->list[i].shape);
    return (((size_t)1750 + (pack ? 1700 : 0)) << 10) + products->count * ((size_t)60 << 10);
}

/* ---- native products -------------------------------------------------------------------------------------------- */

tg_status tg_products_create(tg_products **out)
{
    tg_arithmetic arithmetic = TG_WIDEN;
    tg_status status = tg_arithmetic_choose(&arithmetic, tg_onednn_has_bf16(), tg_onednn_prefers_bf16());
    if (status != TG_OK)
        return status;
    tg_products *products = tg_heap_alloc(1, sizeof *products);
    if (products == NULL)
        return tg_no_memory("matrix products", sizeof *products);
    products->arithmetic = arithmetic;
    products->threads = (size_t)omp_get_max_threads();
    if (arithmetic == TG_NATIVE &&
        (products->of_thread = tg_heap_alloc(products->threads, sizeof *products->of_thread)) == NULL) {
        tg_products_destroy(products);
        return tg_no_memory("matrix products", sizeof(cursor));
    }
    if (arithmetic == TG_NATIVE &&
        (dnnl_engine_create(&products->engine, dnnl_cpu, 0) != dnnl_success ||
         dnnl_stream_create(&products->stream, products->engine, dnnl_stream_default_flags) != dnnl_success)) {
        tg_products_destroy(products);
        return tg_fail(TG_EUNSUPPORTED, "oneDNN has no engine for this CPU");
    }
    *out = products;
    return TG_OK;
}

tg_arithmetic tg_products_arithmetic(const tg_products *products) { return products->arithmetic; }

static void native_fini(native *n)
{
    for (size_t t = 0; n->of_thread != NULL && t < n->threads; t++)
        for (int i = 0; i < HANDLES; i++)
            dnnl_memory_destroy(n->of_thread[t][i]);
    tg_heap_free(n->of_thread);
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
    tg_heap_free(products->of_thread);
    tg_heap_free(products);
}

static bool same(const tg_product *x, const tg_product *y)
{
    return x->m == y->m && x->n == y->n && x->k == y->k && x->transpose_a == y->transpose_a &&
           x->transpose_b == y->transpose_b && x->lda == y->lda && x->ldb == y->ldb && x->ldc == y->ldc &&
           x->add == y->add && x->to == y->to && x->bias == y->bias && x->alone == y->alone;
}

/* `thread` is the caller's. */
static const native *find(const tg_products *products, const tg_product *product, size_t thread)
{
    size_t *at = &products->of_thread[thread].at;
    for (size_t tried = 0; tried < products->count; tried++) {
        *at = *at + 1 < products->count ? *at + 1 : 0;
        if (same(&products->list[*at].shape, product))
            return &products->list[*at];
    }
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

/* Whether this one of the library's implementations is wanted. The first it offers is "brgemm", which copies panels of
 * B for every block of rows of A: where B is too large for a core's cache its older "gemm" is faster, most of all for
 * transposed A (measured on oneDNN 2.6: by 5 to 15 %). */
static bool wanted(const_dnnl_primitive_desc_t pd, const void *product)
{
    if (!tg_product_packs(product))
        return true;
    const char *name = NULL;
    return dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name) == dnnl_success && name != NULL &&
           strncmp(name, "gemm", 4) == 0;
}

/* Every thread's handles; their pointers are set before each run. */
static dnnl_status_t make_handles(native *n, const tg_onednn_description *d, dnnl_primitive_desc_t pd, dnnl_engine_t engine)
{
    dnnl_status_t status = dnnl_success;
    n->of_thread = tg_heap_alloc(n->threads, sizeof *n->of_thread);
    if (n->of_thread == NULL)
        return dnnl_out_of_memory;
    tg_onednn_described scratch = tg_onednn_scratch_of(pd);
    n->scratch_bytes = scratch == NULL ? 0 : dnnl_memory_desc_get_size(scratch);
    for (size_t t = 0; t < n->threads && status == dnnl_success; t++) {
        for (int i = A; i <= (n->shape.bias ? BIAS : C) && status == dnnl_success; i++)
            status = tg_onednn_memory(&n->of_thread[t][i], &d[i], engine);
        if (status == dnnl_success && n->scratch_bytes > 0)
            status = dnnl_memory_create(&n->of_thread[t][SCRATCH], scratch, engine, DNNL_MEMORY_NONE);
    }
    return status;
}

static dnnl_status_t native_init(native *n, const tg_product *p, dnnl_engine_t engine, size_t threads)
{
    const tg_onednn_operand operands[BIAS + 1] = {[A] = {p->m, p->k, p->lda, p->transpose_a, dnnl_bf16},
                                        [B] = {p->k, p->n, p->ldb, p->transpose_b, dnnl_bf16},
                                        [C] = {p->m, p->n, p->ldc, false, p->to == TG_F32 ? dnnl_f32 : dnnl_bf16},
                                        [BIAS] = {1, p->n, p->n, false, dnnl_f32}};
    tg_onednn_description d[BIAS + 1];
    memset(d, 0, sizeof d);
    int described = 0;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = dnnl_success;
    *n = (native){.shape = *p, .threads = threads};
    while (described <= BIAS && status == dnnl_success)
        if ((status = tg_onednn_describe(&d[described], &operands[described])) == dnnl_success)
            described++;
    if (status == dnnl_success)
        status = make_attributes(&attr, p->add);
    if (status == dnnl_success)
        status = tg_onednn_compile(&pd, engine, d, p->bias, attr, wanted, p);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&n->primitive, pd);
    if (status == dnnl_success)
        status = make_handles(n, d, pd, engine);
    dnnl_primitive_desc_destroy(pd);
    dnnl_primitive_attr_destroy(attr);
    for (int i = 0; i < described; i++)
        tg_onednn_forget(d[i]);
    return status;
}

/* The library splits work by the number of threads there are when it compiles; for a product that one thread runs it is
 * told so, for this region's task only. */
static dnnl_status_t native_init_alone(native *n, const tg_product *p, dnnl_engine_t engine)
{
    dnnl_status_t status = dnnl_success;
    const size_t threads = (size_t)omp_get_max_threads();
#pragma omp parallel num_threads(1)
    {
        omp_set_num_threads(1);
        status = native_init(n, p, engine, threads);
    }
    return status;
}

tg_status tg_products_plan(tg_products *products, const tg_product *product, size_t *scratch_bytes)
{
    if (products->engine == NULL)
        return tg_fail(TG_ESTATE, "native products are not in use");
    const native *known = find(products, product, 0);
    if (known != NULL) {
        *scratch_bytes = known->scratch_bytes;
        return TG_OK;
    }
    native *list = tg_heap_resize(products->list, products->count, products->count + 1, sizeof *list);
    if (list == NULL)
        return tg_no_memory("matrix products", (products->count + 1) * sizeof *list);
    products->list = list;
    native *n = &list[products->count];
    const dnnl_status_t status =
        product->alone ? native_init_alone(n, product, products->engine) : native_init(n, product, products->engine, 1);
    if (status != dnnl_success) {
        native_fini(n);
        memset(n, 0, sizeof *n);
        return refused("compile", product, status);
    }
    products->count++;
    *scratch_bytes = n->scratch_bytes;
    return TG_OK;
}

tg_status tg_products_run(tg_products *products, const tg_product *product, const void *a, const void *b,
                          const float *bias, void *c, void *scratch)
{
    const size_t thread = product->alone ? (size_t)omp_get_thread_num() : 0;
    const native *n = thread < products->threads ? find(products, product, thread) : NULL;
    if (n == NULL || thread >= n->threads)
        return tg_fail(TG_ESTATE, "a native product of (%zu, %zu) and (%zu, %zu) was not planned", product->m,
                       product->k, product->k, product->n);
    static const int argument[HANDLES] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS,
                                          DNNL_ARG_SCRATCHPAD};
    void *const data[HANDLES] = {(void *)a, (void *)b, c, (void *)bias, scratch};
    dnnl_exec_arg_t args[HANDLES];
    dnnl_status_t status = dnnl_success;
    int count = 0;
    for (int i = 0; i < HANDLES && status == dnnl_success; i++) {
        const dnnl_memory_t memory = n->of_thread[thread][i];
        if (memory == NULL)
            continue;
        status = dnnl_memory_set_data_handle(memory, data[i]);
        args[count++] = (dnnl_exec_arg_t){argument[i], memory};
    }
    if (status == dnnl_success)
        status = dnnl_primitive_execute(n->primitive, products->stream, count, args);
    if (status == dnnl_success)
        status = dnnl_stream_wait(products->stream);
    return status == dnnl_success ? TG_OK : refused("run", product, status);
}
