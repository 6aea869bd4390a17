/* graph/convolution.c -- convolutions by oneDNN 2.x or 3.x. Compiled once: it only calls the library.
 *
 * Compiling costs milliseconds, so each shape is compiled once per graph. All scratch is the caller's, so that it is
 * part of the plan: kernels in the library's order, and behind them what the primitives ask for.
 *
 * The library sums dw in an order that depends on the number of threads (y and dx it does not: measured with oneDNN
 * 2.6). So dw is made of parts of the images, cut by the shape alone: each part's dw is made by one thread, and the
 * parts are added in their order. Large ones lie in scratch for as many parts as there are threads, small ones for
 * more. */
#include "graph/convolution.h"

#include <omp.h>
#include <string.h>

#include "base/fail.h"
#include "base/kernels.h"
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

/* The library's objects that carry pointers: a thread that runs a primitive needs its own. */
typedef dnnl_memory_t handles[HANDLES];

typedef struct primitive {
    dnnl_primitive_t run;
    handles *of_thread;
    size_t threads, scratch_bytes; /* of each thread */
} primitive;

enum { PART, REST, PRIMITIVES };

typedef struct compiled {
    tg_convolution shape;
    size_t images, parts, round;     /* images of a part, parts, and how many at a time; y and dx have one */
    primitive primitive[PRIMITIVES]; /* of a part, and of what is left of the images, if that is less */
    dnnl_primitive_t reorder;        /* NULL where the library takes kernels as they are */
    handles of_reorder;
    size_t kernel_bytes, reorder_bytes; /* of a kernel in the library's order; of the reorder's scratch */
    size_t kernel_values;               /* of dw */
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

static void handles_fini(handles h)
{
    for (int i = 0; i < HANDLES; i++)
        dnnl_memory_destroy(h[i]);
}

static void primitive_fini(primitive *p)
{
    for (size_t t = 0; p->of_thread != NULL && t < p->threads; t++)
        handles_fini(p->of_thread[t]);
    tg_heap_free(p->of_thread);
    dnnl_primitive_destroy(p->run);
}

static void compiled_fini(compiled *n)
{
    for (int i = 0; i < PRIMITIVES; i++)
        primitive_fini(&n->primitive[i]);
    handles_fini(n->of_reorder);
    dnnl_primitive_destroy(n->reorder);
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

static size_t scratch_of(dnnl_primitive_desc_t pd)
{
    const tg_onednn_described scratch = tg_onednn_scratch_of(pd);
    return scratch == NULL ? 0 : tg_round_up(dnnl_memory_desc_get_size(scratch), TG_CACHE_LINE);
}

/* Every thread's handles; their pointers are set before each run. */
static dnnl_status_t make_handles(primitive *p, const terms *t, tg_onednn_described kernel, bool bias,
                                  dnnl_engine_t engine)
{
    dnnl_status_t status = dnnl_success;
    p->of_thread = tg_heap_alloc(p->threads, sizeof *p->of_thread);
    if (p->of_thread == NULL)
        return dnnl_out_of_memory;
    for (size_t i = 0; i < p->threads && status == dnnl_success; i++) {
        dnnl_memory_t *const h = p->of_thread[i];
        status = tg_onednn_memory(&h[X], &t->d[X], engine);
        if (status == dnnl_success)
            status = tg_onednn_memory(&h[Y], &t->d[Y], engine);
        if (status == dnnl_success)
            status = dnnl_memory_create(&h[KERNEL], kernel, engine, DNNL_MEMORY_NONE);
        if (status == dnnl_success && bias)
            status = tg_onednn_memory(&h[BIAS], &t->d[BIAS], engine);
        if (status == dnnl_success && p->scratch_bytes > 0)
            status = make_scratch(&h[SCRATCH], p->scratch_bytes, engine);
    }
    return status;
}

static tg_onednn_described kernel_of(const_dnnl_primitive_desc_t pd, tg_convolution_way way)
{
    return dnnl_primitive_desc_query_md(
        pd, way == TG_CONVOLVE_WEIGHTS ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
}

/* Of `images` images; `kernel`: the order of kernels, or NULL for the library's choice. */
static dnnl_status_t make_primitive(primitive *p, dnnl_primitive_desc_t *pd, const tg_convolution *shape, size_t images,
                                    tg_onednn_described kernel, dnnl_engine_t engine, dnnl_primitive_attr_t attr)
{
    terms t = {.count = 0};
    tg_convolution c = *shape;
    c.images = images;
    dnnl_status_t status = terms_init(&t, &c);
    if (status == dnnl_success && kernel != NULL) {
        tg_onednn_forget(t.d[KERNEL]);
        status = tg_onednn_copy(&t.d[KERNEL], kernel);
    }
    if (status == dnnl_success)
        status = choose_with_hint(pd, &t, &c, engine, attr);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&p->run, *pd);
    if (status == dnnl_success) {
        p->scratch_bytes = scratch_of(*pd);
        status = make_handles(p, &t, kernel_of(*pd, c.way), c.bias, engine);
    }
    terms_fini(&t);
    return status;
}

/* Kernels to the library's order, or dw from it, unless that order is the plain one. */
static dnnl_status_t make_reorder(compiled *n, tg_onednn_described kernel, dnnl_engine_t engine,
                                  dnnl_primitive_attr_t attr)
{
    const bool from = n->shape.way == TG_CONVOLVE_WEIGHTS;
    terms t = {.count = 0};
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = terms_init(&t, &n->shape);
    const tg_onednn_described plain = tg_onednn_view(&t.d[PLAIN_KERNEL]);
    if (status != dnnl_success || dnnl_memory_desc_equal(kernel, plain) != 0)
        goto done;
    status =
        dnnl_reorder_primitive_desc_create(&pd, from ? kernel : plain, engine, from ? plain : kernel, engine, attr);
    if (status == dnnl_success)
        status = dnnl_primitive_create(&n->reorder, pd);
    if (status == dnnl_success)
        status = dnnl_memory_create(&n->of_reorder[PLAIN_KERNEL], plain, engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success)
        status = dnnl_memory_create(&n->of_reorder[KERNEL], kernel, engine, DNNL_MEMORY_NONE);
    if (status == dnnl_success && (n->reorder_bytes = scratch_of(pd)) > 0)
        status = make_scratch(&n->of_reorder[SCRATCH], n->reorder_bytes, engine);
done:
    dnnl_primitive_desc_destroy(pd);
    terms_fini(&t);
    return status;
}

static dnnl_status_t compile(compiled *n, dnnl_engine_t engine)
{
    const size_t rest = n->shape.images % n->images;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd[PRIMITIVES] = {NULL, NULL};
    dnnl_status_t status = dnnl_primitive_attr_create(&attr);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success)
        status = make_primitive(&n->primitive[PART], &pd[PART], &n->shape, n->images, NULL, engine, attr);
    if (status == dnnl_success) {
        const tg_onednn_described kernel = kernel_of(pd[PART], n->shape.way);
        n->kernel_values = dnnl_memory_desc_get_size(kernel) / sizeof(float);
        n->kernel_bytes = tg_round_up(dnnl_memory_desc_get_size(kernel), TG_CACHE_LINE);
        status = make_reorder(n, kernel, engine, attr);
        if (status == dnnl_success && rest > 0)
            status = make_primitive(&n->primitive[REST], &pd[REST], &n->shape, rest, kernel, engine, attr);
    }
    for (int i = 0; i < PRIMITIVES; i++)
        dnnl_primitive_desc_destroy(pd[i]);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

/* The library splits work by the number of threads there are when it compiles; for parts that one thread makes it is
 * told so, for this region's task only. */
static dnnl_status_t compile_alone(compiled *n, dnnl_engine_t engine)
{
    dnnl_status_t status = dnnl_success;
#pragma omp parallel num_threads(1)
    {
        omp_set_num_threads(1);
        status = compile(n, engine);
    }
    return status;
}


/* Of an image of y. */
static size_t places_of(const tg_convolution *c)
{
    return tg_window_places(&c->window, 0, c->size[0]) * tg_window_places(&c->window, 1, c->size[1]);
}

#define MOST_PARTS ((size_t)64)
#define LEAST_PLACES ((size_t)256)    /* of y, in a part */
#define LEAST_WORK ((size_t)1 << 21)  /* products of numbers, in a part */
#define ROUND_BYTES ((size_t)1 << 20) /* that parts may take however few threads there are */

/* Parts of dw, in a power of two: enough for the threads to share, each so large that making it takes long beside
 * starting it (LEAST_WORK) and adding it (LEAST_PLACES). */
static size_t images_of_part(const tg_convolution *c)
{
    const size_t places = c->images * places_of(c),
                 values = c->out * c->in / c->window.groups * c->window.kernel[0] * c->window.kernel[1];
    const size_t most = tg_least(tg_least(c->images, MOST_PARTS), tg_least(places / LEAST_PLACES, places * values / LEAST_WORK));
    size_t parts = 1;
    while (2 * parts <= most)
        parts *= 2;
    return (c->images + parts - 1) / parts;
}

/* Of one thread: what any of its primitives wants. */
static size_t own_scratch(const compiled *n)
{
    return tg_larger(n->primitive[PART].scratch_bytes, n->primitive[REST].scratch_bytes);
}

/* Of the parts of a round, of which the first of all has a place of its own. */
static size_t parts_bytes(const compiled *n)
{
    return (n->round < n->parts ? n->round : n->parts - 1) * n->kernel_bytes;
}

/* A kernel in the library's order; parts of dw beside the first; what primitives want. */
static size_t scratch_bytes(const compiled *n)
{
    const size_t threads = n->primitive[PART].threads;
    return (n->reorder != NULL ? n->kernel_bytes : 0) + parts_bytes(n) +
           tg_larger(threads * own_scratch(n), n->reorder_bytes);
}

static dnnl_status_t compiled_init(compiled *n, const tg_convolution *c, dnnl_engine_t engine)
{
    const size_t threads = (size_t)omp_get_max_threads();
    const bool weights = c->way == TG_CONVOLVE_WEIGHTS;
    *n = (compiled){.shape = *c, .images = weights ? images_of_part(c) : c->images};
    n->parts = (c->images + n->images - 1) / n->images;
    for (int i = 0; i < PRIMITIVES; i++)
        n->primitive[i].threads = n->parts > 1 ? threads : 1;
    const dnnl_status_t status = weights ? compile_alone(n, engine) : compile(n, engine);
    if (status == dnnl_success)
        n->round = tg_least(n->parts, tg_larger(threads, ROUND_BYTES / n->kernel_bytes));
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

tg_status tg_convolutions_plan(tg_convolutions *c, const tg_convolution *convolution, size_t *bytes)
{
    const compiled *known = find(c, convolution);
    if (known != NULL) {
        *bytes = scratch_bytes(known);
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
    const dnnl_status_t status = compiled_init(n, convolution, c->engine);
    if (status != dnnl_success) {
        compiled_fini(n);
        memset(n, 0, sizeof *n);
        return refused("compile", convolution, status);
    }
    c->count++;
    *bytes = scratch_bytes(n);
    return TG_OK;
}

/* Measured on oneDNN 2.6 as resident memory. */
size_t tg_convolutions_code_bytes(const tg_convolutions *c)
{
    return c->count == 0 ? 0 : ((size_t)3 << 20) + c->count * ((size_t)72 << 10);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static dnnl_status_t set_data(const dnnl_memory_t *h, void *const data[HANDLES])
{
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < HANDLES && status == dnnl_success; i++)
        if (h[i] != NULL)
            status = dnnl_memory_set_data_handle(h[i], data[i]);
    return status;
}

static dnnl_status_t run_reorder(const compiled *n, const void *plain, void *kernel, void *scratch,
                                 dnnl_stream_t stream)
{
    const bool from = n->shape.way == TG_CONVOLVE_WEIGHTS;
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, n->of_reorder[from ? KERNEL : PLAIN_KERNEL]},
                                    {DNNL_ARG_TO, n->of_reorder[from ? PLAIN_KERNEL : KERNEL]},
                                    {DNNL_ARG_SCRATCHPAD, n->of_reorder[SCRATCH]}};
    void *const data[HANDLES] = {[KERNEL] = kernel, [PLAIN_KERNEL] = (void *)plain, [SCRATCH] = scratch};
    const dnnl_status_t status = set_data(n->of_reorder, data);
    return status == dnnl_success ? dnnl_primitive_execute(n->reorder, stream, n->reorder_bytes > 0 ? 3 : 2, args)
                                  : status;
}

static dnnl_status_t run_primitive(const primitive *p, size_t thread, tg_convolution_way way, void *const data[HANDLES],
                                   dnnl_stream_t stream)
{
    static const int argument[][SCRATCH + 1] = {
        [TG_CONVOLVE] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS, 0, DNNL_ARG_SCRATCHPAD},
        [TG_CONVOLVE_DATA] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST, 0, 0, DNNL_ARG_SCRATCHPAD},
        [TG_CONVOLVE_WEIGHTS] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST, 0, 0, DNNL_ARG_SCRATCHPAD}};
    const dnnl_memory_t *h = p->of_thread[thread];
    dnnl_exec_arg_t args[HANDLES];
    int count = 0;
    for (int i = 0; i < HANDLES; i++)
        if (h[i] != NULL)
            args[count++] = (dnnl_exec_arg_t){argument[way][i], h[i]};
    const dnnl_status_t status = set_data(h, data);
    return status == dnnl_success ? dnnl_primitive_execute(p->run, stream, count, args) : status;
}

/* y or dx. */
static dnnl_status_t run_map(const compiled *n, const void *a, const void *b, const float *bias, void *out,
                             char *scratch, dnnl_stream_t stream)
{
    const bool forward = n->shape.way == TG_CONVOLVE;
    char *const rest = n->reorder != NULL ? scratch + n->kernel_bytes : scratch;
    void *const data[HANDLES] = {[X] = forward ? (void *)a : out,
                                 [KERNEL] = n->reorder != NULL ? scratch : (void *)b,
                                 [Y] = forward ? out : (void *)a,
                                 [BIAS] = (void *)bias,
                                 [SCRATCH] = rest};
    const dnnl_status_t status = n->reorder != NULL ? run_reorder(n, b, scratch, rest, stream) : dnnl_success;
    return status == dnnl_success ? run_primitive(&n->primitive[PART], 0, n->shape.way, data, stream) : status;
}

/* sum <- sum + `parts` arrays, in their order: this thread's share of the values. */
static void add_parts(const compiled *n, float *sum, const char *part, size_t parts)
{
    const tg_kernels *kernels = tg_kernels_get();
    const size_t values = n->kernel_values, line = TG_CACHE_LINE / sizeof(float);
    const size_t share = tg_round_up(values / (size_t)omp_get_num_threads() + 1, line);
    const size_t at = share * (size_t)omp_get_thread_num();
    for (size_t p = 0; p < parts && at < values; p++)
        kernels->fold(sum + at, TG_F32, (const float *)(const void *)(part + p * n->kernel_bytes) + at, 1, 1,
                      tg_least(share, values - at), NULL, 0);
}

/* The first part is the sum's beginning. */
static dnnl_status_t run_weights(const compiled *n, const char *x, const char *dy, void *out, char *scratch,
                                 dnnl_stream_t stream)
{
    const tg_convolution *c = &n->shape;
    const size_t x_bytes = n->images * c->in * c->size[0] * c->size[1] * tg_format_bytes(c->format);
    const size_t y_bytes = n->images * c->out * places_of(c) * tg_format_bytes(c->format);
    const size_t own = own_scratch(n), whole = c->images / n->images;
    char *const sum = n->reorder != NULL ? scratch : out;
    char *const part = n->reorder != NULL ? scratch + n->kernel_bytes : scratch, *const rest = part + parts_bytes(n);
    int status = dnnl_success;
#pragma omp parallel num_threads(n->primitive[PART].threads) reduction(max : status)
    for (size_t first = 0; first < n->parts; first += n->round) {
        const size_t end = tg_least(first + n->round, n->parts), from = first == 0 ? 1 : first;
#pragma omp for schedule(dynamic)
        for (size_t p = first; p < end; p++) {
            const size_t thread = (size_t)omp_get_thread_num();
            void *const data[HANDLES] = {[X] = (void *)(x + p * x_bytes),
                                         [Y] = (void *)(dy + p * y_bytes),
                                         [KERNEL] = p == 0 ? sum : part + (p - from) * n->kernel_bytes,
                                         [SCRATCH] = rest + thread * own};
            const int now = run_primitive(&n->primitive[p < whole ? PART : REST], thread, c->way, data, stream);
            status = now > status ? now : status;
        }
        add_parts(n, (float *)(void *)sum, part, end - from);
#pragma omp barrier
    }
    return status == dnnl_success && n->reorder != NULL ? run_reorder(n, out, sum, rest, stream)
                                                        : (dnnl_status_t)status;
}

tg_status tg_convolutions_run(tg_convolutions *c, const tg_convolution *convolution, const void *a, const void *b,
                              const float *bias, void *out, void *scratch)
{
    const compiled *n = find(c, convolution);
    if (n == NULL)
        return tg_fail(TG_ESTATE, "a convolution of %zu to %zu channels was not planned", convolution->in,
                       convolution->out);
    dnnl_status_t status = n->shape.way == TG_CONVOLVE_WEIGHTS ? run_weights(n, a, b, out, scratch, c->stream)
                                                               : run_map(n, a, b, bias, out, scratch, c->stream);
    if (status == dnnl_success)
        status = dnnl_stream_wait(c->stream);
    return status == dnnl_success ? TG_OK : refused("run", convolution, status);
}
