/* dense/native.c -- see native.h. A product has tiles of four shapes at most: whole ones, and those at its ends. The
 * library keeps what it has compiled before, so that a shape costs milliseconds once and microseconds from then on. */
#include "dense/native.h"

#include "base/fail.h"
#include "dense/plain.h"

#ifndef TIGER_HAVE_DNNL

bool tg_native_possible(void) { return false; }
bool tg_native_faster(void) { return false; }

tg_status tg_native_open(tg_native *native, const tg_dense_product *product)
{
    (void)native, (void)product;
    return tg_fail(TG_EUNSUPPORTED, "products of bf16 as it is need oneDNN, and this build has none");
}

tg_status tg_native_tile(tg_native *native, float *sums, size_t m, size_t n, const uint16_t *a, const uint16_t *b)
{
    (void)sums, (void)m, (void)n, (void)a, (void)b;
    return tg_native_open(native, NULL);
}

void tg_native_close(tg_native *native) { (void)native; }

#else
#include "dense/onednn.h"

enum { HANDLES = TG_ONEDNN_C + 1 };

bool tg_native_possible(void) { return tg_onednn_has_bf16(); }
bool tg_native_faster(void) { return tg_onednn_prefers_bf16(); }

tg_status tg_native_open(tg_native *native, const tg_dense_product *product)
{
    dnnl_engine_t engine = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_status_t status = dnnl_engine_create(&engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    *native = (tg_native){.product = product, .engine = engine, .stream = stream};
    if (status == dnnl_success)
        return TG_OK;
    tg_native_close(native);
    return tg_fail(TG_EUNSUPPORTED, "oneDNN has no engine for this CPU");
}

void tg_native_close(tg_native *native)
{
    for (size_t s = 0; s < sizeof native->shapes / sizeof *native->shapes; s++) {
        for (int i = 0; i < HANDLES; i++)
            if (native->shapes[s].memory[i] != NULL)
                dnnl_memory_destroy(native->shapes[s].memory[i]);
        if (native->shapes[s].primitive != NULL)
            dnnl_primitive_destroy(native->shapes[s].primitive);
    }
    if (native->stream != NULL)
        dnnl_stream_destroy(native->stream);
    if (native->engine != NULL)
        dnnl_engine_destroy(native->engine);
    *native = (tg_native){0};
}

static bool any_offer(const_dnnl_primitive_desc_t offer, const void *ctx) { return (void)offer, (void)ctx, true; }

static dnnl_status_t compile(tg_native *native, size_t index, size_t m, size_t n)
{
    const tg_dense_product *p = native->product;
    const tg_onednn_operand operands[] = {[TG_ONEDNN_A] = {m, p->k, p->lda, p->transpose_a, dnnl_bf16},
                                          [TG_ONEDNN_B] = {p->k, n, p->ldb, p->transpose_b, dnnl_bf16},
                                          [TG_ONEDNN_C] = {m, n, n, false, dnnl_f32}};
    tg_onednn_description d[TG_ONEDNN_OPERANDS] = {0};
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t primitive = NULL;
    int described = 0;
    dnnl_status_t status = dnnl_success;
    while (described < HANDLES && status == dnnl_success)
        if ((status = tg_onednn_describe(&d[described], &operands[described])) == dnnl_success)
            described++;
    if (status == dnnl_success)
        status = tg_onednn_compile(&pd, native->engine, d, false, NULL, any_offer, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&primitive, pd);
    native->shapes[index].primitive = primitive;
    for (int i = 0; i < HANDLES && status == dnnl_success; i++) {
        dnnl_memory_t memory = NULL;
        status = tg_onednn_memory(&memory, &d[i], native->engine);
        native->shapes[index].memory[i] = memory;
    }
    dnnl_primitive_desc_destroy(pd);
    for (int i = 0; i < described; i++)
        tg_onednn_forget(d[i]);
    return status;
}

static dnnl_status_t execute(const tg_native *native, size_t index, float *sums, const uint16_t *a, const uint16_t *b)
{
    void *const data[] = {[TG_ONEDNN_A] = (void *)a, [TG_ONEDNN_B] = (void *)b, [TG_ONEDNN_C] = sums};
    static const int argument[] = {
        [TG_ONEDNN_A] = DNNL_ARG_SRC, [TG_ONEDNN_B] = DNNL_ARG_WEIGHTS, [TG_ONEDNN_C] = DNNL_ARG_DST};
    dnnl_exec_arg_t args[HANDLES];
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < HANDLES && status == dnnl_success; i++) {
        args[i] = (dnnl_exec_arg_t){argument[i], native->shapes[index].memory[i]};
        status = dnnl_memory_set_data_handle(args[i].memory, data[i]);
    }
    if (status == dnnl_success)
        status = dnnl_primitive_execute(native->shapes[index].primitive, native->stream, HANDLES, args);
    return status == dnnl_success ? dnnl_stream_wait(native->stream) : status;
}

tg_status tg_native_tile(tg_native *native, float *sums, size_t m, size_t n, const uint16_t *a, const uint16_t *b)
{
    const size_t index = 2 * (size_t)(m < TG_TILE) + (size_t)(n < TG_TILE);
    dnnl_status_t status = native->shapes[index].primitive == NULL ? compile(native, index, m, n) : dnnl_success;
    if (status == dnnl_success)
        status = execute(native, index, sums, a, b);
    return status == dnnl_success ? TG_OK
                                  : tg_fail(status == dnnl_out_of_memory ? TG_ENOMEM : TG_EUNSUPPORTED,
                                            "oneDNN refused a bf16 product of (%zu, %zu) and (%zu, %zu): status %d", m,
                                            native->product->k, native->product->k, n, (int)status);
}
#endif
