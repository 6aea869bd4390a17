/* dense/onednn.h -- oneDNN 2.x and 3.x as one, for the files that call it: what it can on this CPU, descriptions of
 * memory, and products of strided operands. */
#ifndef TG_DENSE_ONEDNN_H
#define TG_DENSE_ONEDNN_H

#include <dnnl.h>
#include <stdbool.h>
#include <stddef.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* ---- bf16 on this CPU ---- */

#if defined(__x86_64__)
/* The library's instruction sets are bit sets; a later one has the bits of those it builds on. */
static inline bool tg_onednn_has(dnnl_cpu_isa_t isa)
{
    return ((unsigned)dnnl_get_effective_cpu_isa() & (unsigned)isa) == (unsigned)isa;
}

static inline bool tg_made_by_intel(void)
{
    unsigned most, b = 0, c = 0, d = 0;
    return __get_cpuid(0, &most, &b, &c, &d) != 0 && b == signature_INTEL_ebx && c == signature_INTEL_ecx &&
           d == signature_INTEL_edx;
}

static inline bool tg_onednn_has_bf16(void) { return tg_onednn_has(dnnl_cpu_isa_avx512_core_bf16); }
static inline bool tg_onednn_prefers_bf16(void)
{
    return tg_onednn_has(dnnl_cpu_isa_avx512_core_amx) || (tg_onednn_has_bf16() && !tg_made_by_intel());
}
#else
static inline bool tg_onednn_has_bf16(void) { return false; }
static inline bool tg_onednn_prefers_bf16(void) { return false; }
#endif

/* ---- products C (m,n) = A (m,k) B (k,n) + bias (n) ---- */

enum { TG_ONEDNN_A, TG_ONEDNN_B, TG_ONEDNN_C, TG_ONEDNN_BIAS, TG_ONEDNN_OPERANDS };

/* A (rows, cols) operand stored with `ld` values from row to row, or from column to column when transposed. */
typedef struct tg_onednn_operand {
    size_t rows, cols, ld;
    bool transposed;
    dnnl_data_type_t type;
} tg_onednn_operand;

typedef dnnl_memory_desc_t tg_onednn_description;

/* Whether an implementation that the library offers is wanted. */
typedef bool (*tg_onednn_wish)(const_dnnl_primitive_desc_t offer, const void *ctx);

#if DNNL_VERSION_MAJOR >= 3
static inline dnnl_status_t tg_onednn_describe(tg_onednn_description *d, const tg_onednn_operand *o)
{
    const dnnl_dims_t dims = {(dnnl_dim_t)o->rows, (dnnl_dim_t)o->cols};
    const dnnl_dims_t strides = {o->transposed ? 1 : (dnnl_dim_t)o->ld, o->transposed ? (dnnl_dim_t)o->ld : 1};
    return dnnl_memory_desc_create_with_strides(d, 2, dims, o->type, strides);
}
static inline void tg_onednn_forget(tg_onednn_description d) { dnnl_memory_desc_destroy(d); }
static inline dnnl_status_t tg_onednn_first(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, tg_onednn_description *d,
                                            bool bias, dnnl_primitive_attr_t attr)
{
    return dnnl_matmul_primitive_desc_create(pd, engine, d[TG_ONEDNN_A], d[TG_ONEDNN_B],
                                             bias ? d[TG_ONEDNN_BIAS] : NULL, d[TG_ONEDNN_C], attr);
}
/* The wanted implementation, or the first. */
static inline dnnl_status_t tg_onednn_compile(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, tg_onednn_description *d,
                                              bool bias, dnnl_primitive_attr_t attr, tg_onednn_wish wanted,
                                              const void *ctx)
{
    dnnl_status_t status = tg_onednn_first(pd, engine, d, bias, attr), more = status;
    while (more == dnnl_success && !wanted(*pd, ctx))
        more = dnnl_primitive_desc_next_impl(*pd);
    if (status != dnnl_success || more == dnnl_success)
        return status;
    dnnl_primitive_desc_destroy(*pd);
    *pd = NULL;
    return tg_onednn_first(pd, engine, d, bias, attr);
}
static inline dnnl_status_t tg_onednn_memory(dnnl_memory_t *memory, const tg_onednn_description *d,
                                             dnnl_engine_t engine)
{
    return dnnl_memory_create(memory, *d, engine, DNNL_MEMORY_NONE);
}
typedef const_dnnl_memory_desc_t tg_onednn_described;
static inline tg_onednn_described tg_onednn_view(const tg_onednn_description *d) { return *d; }
static inline dnnl_status_t tg_onednn_copy(tg_onednn_description *d, tg_onednn_described from)
{
    return dnnl_memory_desc_clone(d, from);
}
#else
static inline dnnl_status_t tg_onednn_describe(tg_onednn_description *d, const tg_onednn_operand *o)
{
    const dnnl_dims_t dims = {(dnnl_dim_t)o->rows, (dnnl_dim_t)o->cols};
    const dnnl_dims_t strides = {o->transposed ? 1 : (dnnl_dim_t)o->ld, o->transposed ? (dnnl_dim_t)o->ld : 1};
    return dnnl_memory_desc_init_by_strides(d, 2, dims, o->type, strides);
}
static inline void tg_onednn_forget(tg_onednn_description d) { (void)d; }
/* The wanted implementation, or the first. */
static inline dnnl_status_t tg_onednn_compile(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, tg_onednn_description *d,
                                              bool bias, dnnl_primitive_attr_t attr, tg_onednn_wish wanted,
                                              const void *ctx)
{
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_desc_iterator_t offers = NULL;
    dnnl_status_t status = dnnl_matmul_desc_init(&matmul, &d[TG_ONEDNN_A], &d[TG_ONEDNN_B],
                                                 bias ? &d[TG_ONEDNN_BIAS] : NULL, &d[TG_ONEDNN_C]);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_iterator_create(&offers, &matmul, attr, engine, NULL);
    if (status != dnnl_success)
        return status;
    dnnl_primitive_desc_t offer = *pd = dnnl_primitive_desc_iterator_fetch(offers);
    while (offer != NULL && !wanted(offer, ctx)) {
        if (offer != *pd)
            dnnl_primitive_desc_destroy(offer);
        offer = dnnl_primitive_desc_iterator_next(offers) == dnnl_success ? dnnl_primitive_desc_iterator_fetch(offers)
                                                                          : NULL;
    }
    if (offer != NULL && offer != *pd) {
        dnnl_primitive_desc_destroy(*pd);
        *pd = offer;
    }
    dnnl_primitive_desc_iterator_destroy(offers);
    return *pd != NULL ? dnnl_success : dnnl_unimplemented;
}
static inline dnnl_status_t tg_onednn_memory(dnnl_memory_t *memory, const tg_onednn_description *d,
                                             dnnl_engine_t engine)
{
    return dnnl_memory_create(memory, d, engine, DNNL_MEMORY_NONE);
}
typedef const dnnl_memory_desc_t *tg_onednn_described;
static inline tg_onednn_described tg_onednn_view(const tg_onednn_description *d) { return d; }
static inline dnnl_status_t tg_onednn_copy(tg_onednn_description *d, tg_onednn_described from)
{
    *d = *from;
    return dnnl_success;
}
#endif

/* Of a compiled primitive whose attributes say that its scratch is the caller's; NULL: it needs none. */
static inline tg_onednn_described tg_onednn_scratch_of(dnnl_primitive_desc_t pd)
{
    return dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
}

#endif
