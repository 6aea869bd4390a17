/* graph/convolution.c -- convolutions by oneDNN 2.x or 3.x. Compiled once: it only calls the library.
 *
 * Compiling costs milliseconds, so each shape is compiled once per graph. All scratch is the caller's, so that it is
 * part of the plan: kernels in the library's order, and behind them what the primitives ask for. */
#include "graph/convolution.h"

#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "dense/onednn.h"

/* KERNEL: as the library wants it, PLAIN_KERNEL: as files do. */
enum { X, KERNEL, Y, BIAS, PLAIN_KERNEL, SCRATCH, HANDLES };

static dnnl_status_t describe(tg_onednn_description *d, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
                              dnnl_format_tag_t tag)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_tag(d, rank, dims, type, tag);
#else
    return dnnl_memory_desc_init_by_tag(d, rank, dims, type, tag);
#endif
}

typedef struct compiled {
    tg_convolution shape;
    dnnl_primitive_t primitive, reorder; /* reorder: NULL where the library takes kernels as they are */
    dnnl_memory_t handle[HANDLES];
    size_t kernel_bytes, scratch_bytes;
} compiled;

struct tg_convolutions {
    dnnl_engine_t engine; /* with stream: NULL until the first is planned */
    dnnl_stream_t stream;
    compiled *list;
    size_t count, at; /* at: the last that was run; the next is likely the next in the list */
};

size_t tg_window_places(const tg_window *w, int side, size_t size)
{
    const size_t covered = (w->kernel[side] - 1) * w->dilation[side] + 1, padded = size + 2 * w->padding[side];
    return padded < covered ? 0 : (padded - covered) / w->stride[side] + 1;
}

static tg_status refused(const char *what, const tg_convolution *c, dnnl_status_t status)
{
    return tg_fail(status == dnnl_out_of_memory ? TG_ENOMEM : TG_EUNSUPPORTED,
                   "oneDNN refused to %s a convolution of %zu images of %zu x %zu x %zu to %zu channels: status %d",
                   what, c->images, c->in, c->size[0], c->size[1], c->out, (int)status);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

tg_status tg_convolutions_create(tg_convolutions **out)
{
    tg_convolutions *c = tg_heap_alloc(1, sizeof *c);
    if (c == NULL)
        return tg_no_memory("convolutions", sizeof *c);
    *out = c;
    return TG_OK;
}

/* The library's part, made for the first convolution: most graphs have none. */
static tg_status start(tg_convolutions *c)
{
    if (c->stream != NULL || ((c->engine != NULL || dnnl_engine_create(&c->engine, dnnl_cpu, 0) == dnnl_success) &&
                              dnnl_stream_create(&c->stream, c->engine, dnnl_stream_default_flags) == dnnl_success))
        return TG_OK;
    return tg_fail(TG_EUNSUPPORTED, "oneDNN has no engine for this CPU");
}

static void compiled_fini(compiled *n)
{
    for (int i = 0; i < HANDLES; i++)
        dnnl_memory_destroy(n->handle[i]);
    dnnl_primitive_destroy(n->reorder);
    dnnl_primitive_destroy(n->primitive);
}

void tg_convolutions_destroy(tg_convolutions *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->count; i++)
        compiled_fini(&c->list[i]);
    if (c->stream != NULL)
        dnnl_stream_destroy(c->stream);
    if (c->engine != NULL)
        dnnl_engine_destroy(c->engine);
    tg_heap_free(c->list);
    tg_heap_free(c);
}

/* ---- compiling --------------------------------------------------------------------------------------------------- */

/* What a convolution is to the library. The kernel it may choose an order for is d[KERNEL]. */
typedef struct terms {
    tg_onednn_description d[PLAIN_KERNEL + 1];
    int count; /* described so far, in order */
    dnnl_dims_t stride, dilation, padding;
} terms;

static dnnl_data_type_t type_of(tg_format format) { return format == TG_F32 ? dnnl_f32 : dnnl_bf16; }

static dnnl_status_t terms_init(terms *t, const tg_convolution *c)
{
    const tg_window *w = &c->window;
    const bool grouped = w->groups > 1, data = c->way == TG_CONVOLVE_DATA, weights = c->way == TG_CONVOLVE_WEIGHTS;
    const dnnl_dim_t groups = (dnnl_dim_t)w->groups, images = (dnnl_dim_t)c->images;
    const dnnl_dim_t in = (dnnl_dim_t)c->in, out = (dnnl_dim_t)c->out;
    const dnnl_dims_t x = {images, in, (dnnl_dim_t)c->size[0], (dnnl_dim_t)c->size[1]}, bias = {out};
    const dnnl_dims_t y = {images, out, (dnnl_dim_t)tg_window_places(w, 0, c->size[0]),
                           (dnnl_dim_t)tg_window_places(w, 1, c->size[1])};
    const dnnl_dims_t kernel = {groups, out / groups, in / groups, (dnnl_dim_t)w->kernel[0], (dnnl_dim_t)w->kernel[1]};
    const dnnl_dim_t *const dims = grouped ? kernel : kernel + 1; /* one group: no dimension of groups */
    const int rank = grouped ? 5 : 4;
    const dnnl_data_type_t kernel_type = weights ? dnnl_f32 : type_of(c->format);
    dnnl_dims_t of_kernel = {0};
    memcpy(of_kernel, dims, (size_t)rank * sizeof *dims);
    for (int side = 0; side < 2; side++) {
        t->stride[side] = (dnnl_dim_t)w->stride[side];
        t->dilation[side] = (dnnl_dim_t)w->dilation[side] - 1; /* the library counts what lies between */
        t->padding[side] = (dnnl_dim_t)w->padding[side];
    }
    const struct {
        int rank;
        const dnnl_dim_t *dims;
        dnnl_data_type_t type;
        dnnl_format_tag_t tag;
    } row[] = {[X] = {4, x, type_of(data ? c->to : c->format), dnnl_nhwc},
               [KERNEL] = {rank, of_kernel, kernel_type, dnnl_format_tag_any},
               [Y] = {4, y, type_of(c->way == TG_CONVOLVE ? c->to : c->format), dnnl_nhwc},
               [BIAS] = {1, bias, dnnl_f32, dnnl_x},
               [PLAIN_KERNEL] = {rank, of_kernel, kernel_type, grouped ? dnnl_goihw : dnnl_oihw}};
    dnnl_status_t status = dnnl_success;
    while (t->count <= PLAIN_KERNEL && status == dnnl_success) {
        status =
            describe(&t->d[t->count], row[t->count].rank, row[t->count].dims, row[t->count].type, row[t->count].tag);
        t->count += status == dnnl_success;
    }
    return status;
}

static void terms_fini(terms *t)
{
    for (int i = 0; i < t->count; i++)
        tg_onednn_forget(t->d[i]);
}

/* `hint`: the forward convolution that a backward one belongs to. */
#if DNNL_VERSION_MAJOR >= 3
static dnnl_status_t choose(dnnl_primitive_desc_t *pd, const terms *t, tg_convolution_way way, bool bias,
                            dnnl_engine_t engine, dnnl_primitive_attr_t attr, const_dnnl_primitive_desc_t hint)
{
    const dnnl_alg_kind_t how = dnnl_convolution_direct;
    if (way == TG_CONVOLVE)
        return dnnl_convolution_forward_primitive_desc_create(pd, engine, dnnl_forward_training, how, t->d[X],
                                                              t->d[KERNEL], bias ? t->d[BIAS] : NULL, t->d[Y],
                                                              t->stride, t->dilation, t->padding, t->padding, attr);
    if (way == TG_CONVOLVE_DATA)
        return dnnl_convolution_backward_data_primitive_desc_create(pd, engine, how, t->d[X], t->d[KERNEL], t->d[Y],
                                                                    t->stride, t->dilation, t->padding, t->padding,
                                                                    hint, attr);
    return dnnl_convolution_backward_weights_primitive_desc_create(pd, engine, how, t->d[X], t->d[KERNEL], NULL,
                                                                   t->d[Y], t->stride, t->dilation, t->padding,
                                                                   t->padding, hint, attr);
}
#else
static dnnl_status_t choose(dnnl_primitive_desc_t *pd, const terms *t, tg_convolution_way way, bool bias,
                            dnnl_engine_t engine, dnnl_primitive_attr_t attr, const_dnnl_primitive_desc_t hint)
{
    const dnnl_alg_kind_t how = dnnl_convolution_direct;
    dnnl_convolution_desc_t d;
    dnnl_status_t status;
    if (way == TG_CONVOLVE)
        status = dnnl_dilated_convolution_forward_desc_init(&d, dnnl_forward_training, how, &t->d[X], &t->d[KERNEL],
                                                            bias ? &t->d[BIAS] : NULL, &t->d[Y], t->stride, t->dilation,
                                                            t->padding, t->padding);
    else if (way == TG_CONVOLVE_DATA)
        status = dnnl_dilated_convolution_backward_data_desc_init(&d, how, &t->d[X], &t->d[KERNEL], &t->d[Y], t->stride,
                                                                  t->dilation, t->padding, t->padding);
    else
        status = dnnl_dilated_convolution_backward_weights_desc_init(&d, how, &t->d[X], &t->d[KERNEL], NULL, &t->d[Y],
                                                                     t->stride, t->dilation, t->padding, t->padding);
    return status == dnnl_success ? dnnl_primitive_desc_create(pd, &d, attr, engine, hint) : status;
}
#endif

/* The convolution's own description, and through it the order of kernels. */
static dnnl_status_t choose_with_hint(dnnl_primitive_desc_t *pd, const terms *t, const tg_convolution *c,
                                      dnnl_engine_t engine, dnnl_primitive_attr_t attr)
{
    if (c->way == TG_CONVOLVE)
        return choose(pd, t, c->way, c->bias, engine, attr, NULL);
    tg_convolution forward = *c;
    terms of_forward = {.count = 0};
    dnnl_primitive_desc_t hint = NULL;
    forward.way = TG_CONVOLVE;
    dnnl_status_t status = terms_init(&of_forward, &forward);
    if (status == dnnl_success)
        status = choose(&hint, &of_forward, TG_CONVOLVE, false, engine, attr, NULL);
    if (status == dnnl_success)
        status = choose(pd, t, c->way, false, engine, attr, hint);
    dnnl_primitive_desc_destroy(hint);
    terms_fini(&of_forward);
    return status;
}

/* Kernels to the library's order, or dw from it. Its scratch shares the convolution's. */
static dnnl_status_t make_reorder(compiled *n, tg_onednn_described plain, tg_onednn_described wanted, dnnl_engine_t engine,
                                  dnnl_primitive_attr_t attr, size_t *most_scratch)
{
    const bool from = n->shape.way == TG_CONVOLVE_WEIGHTS;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status =
        dnnl_reorder_primitive_desc_create(&pd, from ? wanted : plain, engine, from ? plain : wanted, engine, attr);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&n->reorder, pd);
    if (status == dnnl_success) {
        tg_onednn_described scratch = tg_onednn_scratch_of(pd);
        const size_t bytes = scratch == NULL ? 0 : dnnl_memory_desc_get_size(scratch);
        n->kernel_bytes = tg_round_up(dnnl_memory_desc_get_size(wanted), TG_CACHE_LINE);
        *most_scratch = bytes > *most_scratch ? bytes : *most_scratch;
        status = dnnl_memory_create(&n->handle[PLAIN_KERNEL], plain, engine, DNNL_MEMORY_NONE);
    }
    dnnl_primitive_desc_destroy(pd);
    return status;
}

/* A piece of memory of `bytes` bytes, as the library wants scratch to be described. */
static dnnl_status_t make_scratch(dnnl_memory_t *memory, size_t bytes, dnnl_engine_t engine)
{
    tg_onednn_description d;
    const dnnl_dims_t dims = {(dnnl_dim_t)bytes};
    dnnl_status_t status = describe(&d, 1, dims, dnnl_u8, dnnl_a);
    if (status != dnnl_success)
        return status;
    status = tg_onednn_memory(memory, &d, engine);
    tg_onednn_forget(d);
    return status;
}

static dnnl_status_t make_handles(compiled *n, const terms *t, dnnl_primitive_desc_t pd, dnnl_engine_t engine,
                                  dnnl_primitive_attr_t attr)
{
    tg_onednn_described scratch = tg_onednn_scratch_of(pd);
    tg_onednn_described wanted = n->shape.way == TG_CONVOLVE_WEIGHTS
                           ? dnnl_primitive_desc_query_md(pd, dnnl_query_diff_weights_md, 0)
                           : dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    size_t bytes = scratch == NULL ? 0 : dnnl_memory_desc_get_size(scratch);
    dnnl_status_t status = tg_onednn_memory(&n->handle[X], &t->d[X], engine);
    if (status == dnnl_success)
        status = tg_onednn_memory(&n->handle[Y], &t->d[Y], engine);
    if (status == dnnl_success)
        status = dnnl_memory_create(&n->handle[KERNEL], wanted, engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success && n->shape.bias)
        status = tg_onednn_memory(&n->handle[BIAS], &t->d[BIAS], engine);
    if (status == dnnl_success && dnnl_memory_desc_equal(wanted, tg_onednn_view(&t->d[PLAIN_KERNEL])) == 0)
        status = make_reorder(n, tg_onednn_view(&t->d[PLAIN_KERNEL]), wanted, engine, attr, &bytes);
    if (status == dnnl_success && bytes > 0)
        status = make_scratch(&n->handle[SCRATCH], bytes, engine);
    n->scratch_bytes = n->kernel_bytes + tg_round_up(bytes, TG_CACHE_LINE);
    return status;
}

static dnnl_status_t compile(compiled *n, const tg_convolution *c, dnnl_engine_t engine)
{
    terms t = {.count = 0};
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    *n = (compiled){.shape = *c};
    dnnl_status_t status = terms_init(&t, c);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_create(&attr);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = choose_with_hint(&pd, &t, c, engine, attr);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&n->primitive, pd);
    if (status == dnnl_success)
        status = make_handles(n, &t, pd, engine, attr);
    dnnl_primitive_desc_destroy(pd);
    dnnl_primitive_attr_destroy(attr);
    terms_fini(&t);
    return status;
}

static bool same(const tg_convolution *x, const tg_convolution *y)
{
    bool windows = x->window.groups == y->window.groups;
    for (int side = 0; side < 2; side++)
        windows = windows && x->window.kernel[side] == y->window.kernel[side] &&
                  x->window.stride[side] == y->window.stride[side] &&
                  x->window.padding[side] == y->window.padding[side] &&
                  x->window.dilation[side] == y->window.dilation[side] && x->size[side] == y->size[side];
    return windows && x->way == y->way && x->images == y->images && x->in == y->in && x->out == y->out &&
           x->format == y->format && x->to == y->to && x->bias == y->bias;
}

static compiled *find(tg_convolutions *c, const tg_convolution *convolution)
{
    for (size_t tried = 0; tried < c->count; tried++) {
        c->at = c->at + 1 < c->count ? c->at + 1 : 0;
        if (same(&c->list[c->at].shape, convolution))
            return &c->list[c->at];
    }
    return NULL;
}

tg_status tg_convolutions_plan(tg_convolutions *c, const tg_convolution *convolution, size_t *scratch_bytes)
{
    const compiled *known = find(c, convolution);
    if (known != NULL) {
        *scratch_bytes = known->scratch_bytes;
        return TG_OK;
    }
    const tg_status started = start(c);
    if (started != TG_OK)
        return started;
    compiled *list = tg_heap_resize(c->list, c->count, c->count + 1, sizeof *list);
    if (list == NULL)
        return tg_no_memory("convolutions", (c->count + 1) * sizeof *list);
    c->list = list;
    compiled *n = &list[c->count];
    const dnnl_status_t status = compile(n, convolution, c->engine);
    if (status != dnnl_success) {
        compiled_fini(n);
        memset(n, 0, sizeof *n);
        return refused("compile", convolution, status);
    }
    c->count++;
    *scratch_bytes = n->scratch_bytes;
    return TG_OK;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static dnnl_status_t run_reorder(const compiled *n, dnnl_stream_t stream)
{
    const bool from = n->shape.way == TG_CONVOLVE_WEIGHTS;
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, n->handle[from ? KERNEL : PLAIN_KERNEL]},
                                    {DNNL_ARG_TO, n->handle[from ? PLAIN_KERNEL : KERNEL]},
                                    {DNNL_ARG_SCRATCHPAD, n->handle[SCRATCH]}};
    return dnnl_primitive_execute(n->reorder, stream, n->handle[SCRATCH] != NULL ? 3 : 2, args);
}

static dnnl_status_t run_primitive(const compiled *n, dnnl_stream_t stream)
{
    static const int argument[][SCRATCH + 1] = {
        [TG_CONVOLVE] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS, 0, DNNL_ARG_SCRATCHPAD},
        [TG_CONVOLVE_DATA] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST, 0, 0, DNNL_ARG_SCRATCHPAD},
        [TG_CONVOLVE_WEIGHTS] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST, 0, 0, DNNL_ARG_SCRATCHPAD}};
    dnnl_exec_arg_t args[HANDLES];
    int count = 0;
    for (int i = 0; i < HANDLES; i++)
        if (n->handle[i] != NULL && argument[n->shape.way][i] != 0)
            args[count++] = (dnnl_exec_arg_t){argument[n->shape.way][i], n->handle[i]};
    return dnnl_primitive_execute(n->primitive, stream, count, args);
}

tg_status tg_convolutions_run(tg_convolutions *c, const tg_convolution *convolution, const void *a, const void *b,
                              const float *bias, void *out, void *scratch)
{
    const compiled *n = find(c, convolution);
    if (n == NULL)
        return tg_fail(TG_ESTATE, "a convolution of %zu to %zu channels was not planned", convolution->in,
                       convolution->out);
    const tg_convolution_way way = n->shape.way;
    void *const kernel = way == TG_CONVOLVE_WEIGHTS ? out : (void *)b;
    void *const data[HANDLES] = {[X] = way == TG_CONVOLVE_DATA ? out : (void *)a,
                                 [Y] = way == TG_CONVOLVE        ? out
                                       : way == TG_CONVOLVE_DATA ? (void *)a
                                                                 : (void *)b,
                                 [KERNEL] = n->reorder != NULL ? scratch : kernel,
                                 [PLAIN_KERNEL] = kernel,
                                 [BIAS] = (void *)bias,
                                 [SCRATCH] = (char *)scratch + n->kernel_bytes};
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < HANDLES && status == dnnl_success; i++)
        if (n->handle[i] != NULL)
            status = dnnl_memory_set_data_handle(n->handle[i], data[i]);
    if (status == dnnl_success && n->reorder != NULL && way != TG_CONVOLVE_WEIGHTS)
        status = run_reorder(n, c->stream);
    if (status == dnnl_success)
        status = run_primitive(n, c->stream);
    if (status == dnnl_success && n->reorder != NULL && way == TG_CONVOLVE_WEIGHTS)
        status = run_reorder(n, c->stream);
    if (status == dnnl_success)
        status = dnnl_stream_wait(c->stream);
    return status == dnnl_success ? TG_OK : refused("run", convolution, status);
}
