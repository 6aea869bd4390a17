/* dense/native.c -- see native.h. A product has tiles of four shapes at most: whole ones, and those at its ends. The
 * library keeps what it has compiled before, so that a shape costs milliseconds once and microseconds from then on. */
#include "dense/native.h"

#include "base/fail.h"
#include "base/memory.h"
#include "dense/plain.h"

#ifndef TIGER_HAVE_DNNL

bool tg_native_possible(void) { return false; }
bool tg_native_faster(void) { return false; }

tg_status tg_native_open(tg_native **out, const tg_dense_product *product)
{
    (void)out, (void)product;
    return tg_fail(TG_EUNSUPPORTED, "products of bf16 as it is need oneDNN, and this build has none");
}

tg_status tg_native_tile(tg_native *native, float *sums, size_t m, size_t n, const uint16_t *a, const uint16_t *b)
{
    (void)sums, (void)m, (void)n, (void)a, (void)b;
    return tg_native_open(&native, NULL);
}

void tg_native_close(tg_native *native) { (void)native; }

#else
#include "dense/onednn.h"

enum { SCRATCH = TG_ONEDNN_BIAS, HANDLES };

typedef struct shape {
    dnnl_primitive_t primitive; /* NULL: not compiled yet */
    dnnl_memory_t memory[HANDLES];
    void *scratch;
    size_t scratch_bytes;
} shape;

struct tg_native {
    const tg_dense_product *product;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    shape shapes[4];
};

bool tg_native_possible(void) { return tg_onednn_has_bf16(); }
bool tg_native_faster(void) { return tg_onednn_prefers_bf16(); }

tg_status tg_native_open(tg_native **out, const tg_dense_product *product)
{
    tg_native *native = tg_heap_alloc(1, sizeof *native);
    if (native == NULL)
        return tg_no_memory("a matrix product", sizeof *native);
    native->product = product;
    if (dnnl_engine_create(&native->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&native->stream, native->engine, dnnl_stream_default_flags) != dnnl_success) {
        tg_native_close(native);
        return tg_fail(TG_EUNSUPPORTED, "oneDNN has no engine for this CPU");
    }
    *out = native;
    return TG_OK;
}

void tg_native_close(tg_native *native)
{
    if (native == NULL)
        return;
    for (size_t s = 0; s < sizeof native->shapes / sizeof *native->shapes; s++) {
        for (int i = 0; i < HANDLES; i++)
            dnnl_memory_destroy(native->shapes[s].memory[i]);
        tg_free(NULL, native->shapes[s].scratch, native->shapes[s].scratch_bytes, 1);
        dnnl_primitive_destroy(native->shapes[s].primitive);
    }
    if (native->stream != NULL)
        dnnl_stream_destroy(native->stream);
    if (native->engine != NULL)
        dnnl_engine_destroy(native->engine);
    tg_heap_free(native);
}

static bool any_offer(const_dnnl_primitive_desc_t offer, const void *ctx) { return (void)offer, (void)ctx, true; }

static dnnl_status_t make_memories(shape *s, const tg_onednn_description *d, dnnl_primitive_desc_t pd,
                                   dnnl_engine_t engine)
{
    dnnl_status_t status = dnnl_success;
    tg_onednn_scratch scratch = tg_onednn_scratch_of(pd);
    s->scratch_bytes = scratch == NULL ? 0 : dnnl_memory_desc_get_size(scratch);
    for (int i = TG_ONEDNN_A; i <= TG_ONEDNN_C && status == dnnl_success; i++)
        status = tg_onednn_memory(&s->memory[i], &d[i], engine);
    if (status != dnnl_success || s->scratch_bytes == 0)
        return status;
    s->scratch = tg_alloc(NULL, s->scratch_bytes, 1);
    return s->scratch == NULL ? dnnl_out_of_memory
                              : dnnl_memory_create(&s->memory[SCRATCH], scratch, engine, s->scratch);
}

static dnnl_status_t compile(shape *s, const tg_native *native, size_t m, size_t n)
{
    const tg_dense_product *p = native->product;
    const tg_onednn_operand operands[] = {[TG_ONEDNN_A] = {m, p->k, p->lda, p->transpose_a, dnnl_bf16},
                                          [TG_ONEDNN_B] = {p->k, n, p->ldb, p->transpose_b, dnnl_bf16},
                                          [TG_ONEDNN_C] = {m, n, n, false, dnnl_f32}};
    tg_onednn_description d[TG_ONEDNN_OPERANDS] = {0};
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    int described = 0;
    dnnl_status_t status = dnnl_success;
    while (described <= TG_ONEDNN_C && status == dnnl_success)
        if ((status = tg_onednn_describe(&d[described], &operands[described])) == dnnl_success)
            described++;
    if (status == dnnl_success)
        status = dnnl_primitive_attr_create(&attr);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = tg_onednn_compile(&pd, native->engine, d, false, attr, any_offer, NULL);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&s->primitive, pd);
    if (status == dnnl_success)
        status = make_memories(s, d, pd, native->engine);
    dnnl_primitive_desc_destroy(pd);
    dnnl_primitive_attr_destroy(attr);
    for (int i = 0; i < described; i++)
        tg_onednn_forget(d[i]);
    return status;
}

static dnnl_status_t execute(const tg_native *native, const shape *s, float *sums, const uint16_t *a, const uint16_t *b)
{
    void *const data[] = {[TG_ONEDNN_A] = (void *)a, [TG_ONEDNN_B] = (void *)b, [TG_ONEDNN_C] = sums};
    static const int argument[] = {[TG_ONEDNN_A] = DNNL_ARG_SRC,
                                   [TG_ONEDNN_B] = DNNL_ARG_WEIGHTS,
                                   [TG_ONEDNN_C] = DNNL_ARG_DST,
                                   [SCRATCH] = DNNL_ARG_SCRATCHPAD};
    dnnl_exec_arg_t args[HANDLES];
    dnnl_status_t status = dnnl_success;
    const int count = s->scratch_bytes > 0 ? HANDLES : SCRATCH;
    for (int i = 0; i < count; i++)
        args[i] = (dnnl_exec_arg_t){argument[i], s->memory[i]};
    for (int i = TG_ONEDNN_A; i <= TG_ONEDNN_C && status == dnnl_success; i++)
        status = dnnl_memory_set_data_handle(s->memory[i], data[i]);
    if (status == dnnl_success)
        status = dnnl_primitive_execute(s->primitive, native->stream, count, args);
    return status == dnnl_success ? dnnl_stream_wait(native->stream) : status;
}

tg_status tg_native_tile(tg_native *native, float *sums, size_t m, size_t n, const uint16_t *a, const uint16_t *b)
{
    shape *s = &native->shapes[2 * (m < TG_TILE) + (n < TG_TILE)];
    dnnl_status_t status = s->primitive == NULL ? compile(s, native, m, n) : dnnl_success;
    if (status == dnnl_success)
        status = execute(native, s, sums, a, b);
    return status == dnnl_success ? TG_OK
                                  : tg_fail(status == dnnl_out_of_memory ? TG_ENOMEM : TG_EUNSUPPORTED,
                                            "oneDNN refused a bf16 product of (%zu, %zu) and (%zu, %zu): status %d", m,
                                            native->product->k, native->product->k, n, (int)status);
}
#endif
