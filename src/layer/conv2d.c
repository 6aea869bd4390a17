/* layer/conv2d.c -- y[place, o] = sum over window and channels of w[o, c, i, j] x[place stride + (i, j) dilation -
 * padding, c] + b[o].
 *
 *   dx = dy back through the same windows      dw = sum over places of dy x      db = sum of dy over places
 *
 * x (B * places, in), y (B * places', out): a row is a place of an image, so channels lie side by side. w (out, in /
 * groups * kernel height * kernel width); outputs of a group see the inputs of that group alone. By the library's
 * convolutions (LeCun et al. 1989 have the gradients). Images come in chunks where operands must be converted, and
 * outputs in panels where dw is large, so that scratch stays bounded: a tile of dw is summed over all images before the
 * sink gets it. Before the first of several tiles dy and x are checked: a bad value is never added. */
#include "base/kernels.h"
#include "layer/finish.h"
#include "layer/layer.h"
#include "layer/work.h"

#define WINDOWS ((size_t)256) /* that are unfolded at a time */

enum { W, B };

/* What the op is, and what an image takes. */
typedef struct extent {
    tg_convolution shape;                          /* of all images, operands in the work's format */
    size_t x_places, y_places, x_values, y_values; /* of one image */
    tg_format format;                              /* of activations */
    bool same;                                     /* ... is that of operands */
} extent;

static extent extent_of(const tg_work *work, const tg_graph *graph, const tg_op *op)
{
    const tg_tensor *x = &graph->tensor[op->input[0]], *y = &graph->tensor[op->output[0]];
    extent e = {.shape = {.window = op->as.window,
                          .images = graph->batch,
                          .in = x->cols,
                          .out = y->cols,
                          .size = {x->height, x->width},
                          .format = work->format},
                .x_places = x->height * x->width,
                .y_places = y->height * y->width,
                .format = graph->format,
                .same = graph->format == work->format};
    e.x_values = e.x_places * x->cols;
    e.y_values = e.y_places * y->cols;
    return e;
}

/* As many images as fit into the bounds of scratch with `bytes` of it each. */
static size_t chunk_of(size_t images, size_t bytes)
{
    const size_t most = bytes == 0 ? images : TG_CHUNK_BYTES / bytes;
    return most == 0 ? 1 : tg_least(most, images);
}

/* ---- y and dx ---------------------------------------------------------------------------------------------------- */

/* dst <- (or += ) convolution of src and w, + bias. Scratch; NULL where not needed. */
typedef struct map {
    size_t chunk, from_values, to_values, to_cols; /* values of an image */
    bool straight;                                 /* the convolution writes to dst itself */
    void *src, *weight;
    float *dst, *bias;
} map;

static map map_init(tg_work *work, const extent *e, const tg_param *w, const tg_param *b, bool add)
{
    const bool forward = e->shape.way == TG_CONVOLVE;
    map p = {.from_values = forward ? e->x_values : e->y_values,
             .to_values = forward ? e->y_values : e->x_values,
             .to_cols = forward ? e->shape.out : e->shape.in,
             .straight = e->same && !add};
    const size_t bytes = tg_format_bytes(work->format);
    const size_t image = (e->same ? 0 : p.from_values * bytes) + (p.straight ? 0 : p.to_values * sizeof(float));
    p.chunk = chunk_of(e->shape.images, image);
    p.src = e->same ? NULL : tg_work_take(work, p.chunk * p.from_values * bytes);
    p.weight = w->format == work->format ? NULL : tg_work_take(work, w->rows * w->cols * bytes);
    p.dst = p.straight ? NULL : tg_work_take(work, p.chunk * p.to_values * sizeof(float));
    p.bias = b == NULL ? NULL : tg_work_take(work, b->rows * b->cols * sizeof(float));
    tg_work_taken(work);
    return p;
}

static tg_status map_walk(tg_work *work, const extent *e, const map *p, const tg_param *w, const tg_param *b,
                          const void *src, void *dst, bool add)
{
    tg_status status = TG_OK;
    if (p->weight != NULL && !work->planning)
        tg_convert(p->weight, work->format, w->data, w->format, 1, w->rows * w->cols, w->rows * w->cols);
    if (p->bias != NULL && !work->planning)
        tg_convert(p->bias, TG_F32, b->data, b->format, 1, b->cols, b->cols);
    for (size_t i = 0; i < e->shape.images && status == TG_OK; i += p->chunk) {
        tg_convolution c = e->shape;
        c.images = tg_least(p->chunk, c.images - i);
        c.to = p->straight ? e->format : TG_F32;
        c.bias = b != NULL;
        const size_t from = i * p->from_values, to = i * p->to_values, n = c.images * p->from_values;
        if (!e->same && !work->planning)
            tg_convert(p->src, work->format, tg_at(src, e->format, from), e->format, 1, n, n);
        const void *a = work->planning ? NULL : e->same ? tg_at(src, e->format, from) : p->src;
        void *result = p->straight && !work->planning ? tg_to(dst, e->format, to) : p->dst;
        status = tg_work_convolution(work, &c, a, w->format == work->format ? w->data : p->weight, p->bias, result);
        if (status == TG_OK && !p->straight && !work->planning)
            tg_finish_rows(&(tg_finish){.dst = dst,
                                        .format = e->format,
                                        .ld = p->to_cols,
                                        .row = to / p->to_cols,
                                        .src = p->dst,
                                        .src_ld = p->to_cols,
                                        .add = add},
                           c.images * p->to_values / p->to_cols, p->to_cols);
    }
    return status;
}

/* ---- dw ---------------------------------------------------------------------------------------------------------- */

/* Scratch; NULL where not needed. */
typedef struct outer {
    size_t chunk, panel, cols;
    void *x, *dy;
    float *tile, *part, *sums; /* of dw: all images, and a chunk behind the first; of db */
} outer;

/* Panels cut a convolution in one group only: several groups have that many times fewer weights. */
static outer outer_init(tg_work *work, const extent *e, const tg_param *w, const tg_param *b)
{
    outer p = {.cols = w->cols};
    const size_t bytes = tg_format_bytes(work->format);
    p.panel = e->shape.window.groups > 1 ? w->rows : tg_panel_size(w->rows, TG_TILE_BYTES / (sizeof(float) * w->cols));
    const bool whole = p.panel == w->rows;
    const size_t dy_values = e->same && whole ? 0 : e->y_places * p.panel, x_values = e->same ? 0 : e->x_values;
    p.chunk = chunk_of(e->shape.images, (dy_values + x_values) * bytes);
    p.x = x_values == 0 ? NULL : tg_work_take(work, p.chunk * x_values * bytes);
    p.dy = dy_values == 0 ? NULL : tg_work_take(work, p.chunk * dy_values * bytes);
    p.tile = tg_work_take(work, p.panel * p.cols * sizeof(float));
    p.part = p.chunk == e->shape.images ? NULL : tg_work_take(work, p.panel * p.cols * sizeof(float));
    p.sums = b == NULL ? NULL : tg_work_take(work, b->rows * b->cols * sizeof(float));
    tg_work_taken(work);
    return p;
}

/* The tile of outputs from `row` on, over all images. */
static tg_status outer_tile(tg_work *work, const extent *e, const outer *p, const void *x, const void *dy, size_t row,
                            size_t rows)
{
    tg_status status = TG_OK;
    const bool whole = rows == e->shape.out;
    for (size_t i = 0; i < e->shape.images && status == TG_OK; i += p->chunk) {
        tg_convolution c = e->shape;
        c.way = TG_CONVOLVE_WEIGHTS;
        c.images = tg_least(p->chunk, c.images - i);
        c.out = rows;
        float *result = i == 0 ? p->tile : p->part;
        const size_t n = c.images * e->x_values, places = c.images * e->y_places;
        if (work->planning) {
            status = tg_work_convolution(work, &c, NULL, NULL, NULL, NULL);
            continue;
        }
        const void *a = tg_at(x, e->format, i * e->x_values), *b = tg_at(dy, e->format, i * e->y_values + row);
        if (!e->same)
            tg_convert(p->x, work->format, a, e->format, 1, n, n);
        if (!e->same || !whole)
            tg_convert(p->dy, work->format, b, e->format, places, rows, e->shape.out);
        status = tg_work_convolution(work, &c, e->same ? a : p->x, e->same && whole ? b : p->dy, NULL, result);
        if (status == TG_OK && i > 0)
            tg_finish_rows(
                &(tg_finish){
                    .dst = p->tile, .format = TG_F32, .ld = p->cols, .src = p->part, .src_ld = p->cols, .add = true},
                rows, p->cols);
    }
    return status;
}

/* ---- rows for rules of layers ------------------------------------------------------------------------------------ */

/* What a place of y saw of x, in the order of a row of w: y is the product of these rows with w^T. */
static inline void unfold_place(char *row, const char *x, const extent *e, size_t place, size_t bytes)
{
    const tg_window *w = &e->shape.window;
    const size_t wide = tg_window_places(w, 1, e->shape.size[1]), at = place % e->y_places;
    const char *image = x + place / e->y_places * e->x_values * bytes;
    for (size_t i = 0; i < w->kernel[0]; i++)
        for (size_t j = 0; j < w->kernel[1]; j++) {
            const size_t r = at / wide * w->stride[0] + i * w->dilation[0] - w->padding[0]; /* wraps: outside */
            const size_t c = at % wide * w->stride[1] + j * w->dilation[1] - w->padding[1];
            const bool inside = r < e->shape.size[0] && c < e->shape.size[1];
            const char *from = inside ? image + (r * e->shape.size[1] + c) * e->shape.in * bytes : NULL;
            char *to = row + (i * w->kernel[1] + j) * bytes;
            for (size_t k = 0; k < e->shape.in; k++, to += w->kernel[0] * w->kernel[1] * bytes)
                if (inside)
                    memcpy(to, from + k * bytes, bytes);
                else
                    memset(to, 0, bytes);
        }
}

static void unfold(char *rows, size_t cols, const void *x, const extent *e, size_t first, size_t places)
{
    const size_t bytes = tg_format_bytes(e->format);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < places; i++)
        if (bytes == sizeof(float))
            unfold_place(rows + i * cols * bytes, x, e, first + i, sizeof(float));
        else
            unfold_place(rows + i * cols * bytes, x, e, first + i, sizeof(uint16_t));
}

static void *take_windows(tg_work *work, const extent *e, const tg_param *w)
{
    return tg_work_take(work, WINDOWS * w->cols * tg_format_bytes(e->format));
}

/* Some windows at a time, as they take many times the memory of x. Nothing of what is not finite. */
static tg_status give_rows(const tg_call *call, const extent *e, char *windows)
{
    const tg_tensor *x = call->in_shape[0], *y = call->out_shape[0];
    tg_status status = TG_OK;
    if (!tg_call_observes(call, W) || e->shape.window.groups > 1 ||
        !tg_all_finite(call->dout[0], y->format, y->rows * y->cols) ||
        !tg_all_finite(call->in[0], x->format, x->rows * x->cols))
        return TG_OK;
    for (size_t first = 0; first < y->rows && status == TG_OK; first += WINDOWS) {
        const tg_layer_part part = {first, tg_least(WINDOWS, y->rows - first), y->rows};
        unfold(windows, tg_op_weight(call->graph, call->op, W)->cols, call->in[0], e, first, part.rows);
        status = tg_call_layer(call, W, windows, tg_at(call->dout[0], e->format, first * y->cols), e->format, &part);
    }
    return status;
}

/* ---- the layer's functions --------------------------------------------------------------------------------------- */

static tg_status plan_backward(tg_graph *graph, tg_op *op)
{
    const tg_param *w = tg_op_weight(graph, op, W), *b = tg_op_weight(graph, op, B);
    tg_status status = TG_OK;
    for (int add = 0; add < 2 && status == TG_OK; add++) { /* which one is not known yet */
        tg_work work = tg_work_plan(graph);
        extent e = extent_of(&work, graph, op);
        e.shape.way = TG_CONVOLVE_DATA;
        const map p = map_init(&work, &e, w, NULL, add != 0);
        status = map_walk(&work, &e, &p, w, NULL, NULL, NULL, add != 0);
        op->scratch_bytes[TG_BACKWARD] = tg_larger(tg_work_bytes(&work, graph), op->scratch_bytes[TG_BACKWARD]);
    }
    tg_work work = tg_work_plan(graph);
    const extent e = extent_of(&work, graph, op);
    const outer q = outer_init(&work, &e, w, b);
    for (size_t row = 0; row < w->rows && status == TG_OK; row += q.panel)
        status = outer_tile(&work, &e, &q, NULL, NULL, row, tg_least(q.panel, w->rows - row));
    tg_work rows = tg_work_plan(graph);
    take_windows(&rows, &e, w);
    const size_t most = tg_larger(tg_work_bytes(&work, graph), tg_work_bytes(&rows, graph));
    op->scratch_bytes[TG_BACKWARD] = tg_larger(most, op->scratch_bytes[TG_BACKWARD]);
    return status;
}

static tg_status plan(tg_graph *graph, tg_op *op)
{
    const tg_param *w = tg_op_weight(graph, op, W), *b = tg_op_weight(graph, op, B);
    const double places = (double)graph->tensor[op->output[0]].rows;
    graph->flops += 2.0 * places * (double)w->rows * (double)w->cols * tg_graph_passes(graph);
    tg_work work = tg_work_plan(graph);
    const extent e = extent_of(&work, graph, op);
    const map p = map_init(&work, &e, w, b, false);
    const tg_status status = map_walk(&work, &e, &p, w, b, NULL, NULL, false);
    op->scratch_bytes[TG_FORWARD] = tg_work_bytes(&work, graph);
    return status == TG_OK && tg_graph_goes_back(graph) ? plan_backward(graph, op) : status;
}

static tg_status forward(const tg_call *call)
{
    const tg_param *w = tg_op_weight(call->graph, call->op, W), *b = tg_op_weight(call->graph, call->op, B);
    tg_work work = tg_work_run(call->graph, call->scratch);
    const extent e = extent_of(&work, call->graph, call->op);
    const map p = map_init(&work, &e, w, b, false);
    return map_walk(&work, &e, &p, w, b, call->in[0], call->out[0], false);
}

static tg_status give_data(const tg_call *call)
{
    const tg_param *w = tg_op_weight(call->graph, call->op, W);
    tg_work work = tg_work_run(call->graph, call->scratch);
    extent e = extent_of(&work, call->graph, call->op);
    e.shape.way = TG_CONVOLVE_DATA;
    const map p = map_init(&work, &e, w, NULL, call->add[0]);
    return map_walk(&work, &e, &p, w, NULL, call->dout[0], call->din[0], call->add[0]);
}

static tg_status give_weight(const tg_call *call, tg_work *work, const extent *e, const outer *q)
{
    const tg_tensor *x = call->in_shape[0], *y = call->out_shape[0];
    tg_status status = TG_OK;
    if (!tg_call_trains(call, W))
        return tg_call_complete(call, W);
    if (q->panel < y->cols && !(tg_all_finite(call->dout[0], y->format, y->rows * y->cols) &&
                                tg_all_finite(call->in[0], x->format, x->rows * x->cols)))
        status = tg_call_reject(call, W);
    else
        for (size_t row = 0; row < y->cols && status == TG_OK; row += q->panel) {
            const size_t rows = tg_least(q->panel, y->cols - row);
            status = outer_tile(work, e, q, call->in[0], call->dout[0], row, rows);
            if (status == TG_OK)
                status = tg_call_tile(call, W, row, rows, q->tile);
        }
    return status == TG_OK ? tg_call_complete(call, W) : status;
}

static tg_status backward(const tg_call *call)
{
    const tg_param *w = tg_op_weight(call->graph, call->op, W), *b = tg_op_weight(call->graph, call->op, B);
    tg_status status = call->din[0] != NULL ? give_data(call) : TG_OK;
    tg_work work = tg_work_run(call->graph, call->scratch), rows = work; /* one after the other in the same place */
    const extent e = extent_of(&work, call->graph, call->op);
    if (status == TG_OK)
        status = give_rows(call, &e, take_windows(&rows, &e, w));
    const outer q = outer_init(&work, &e, w, b);
    if (status == TG_OK)
        status = tg_give_bias(call, B, q.sums);
    return status == TG_OK ? give_weight(call, &work, &e, &q) : status;
}

const tg_layer TG_PER_ISA(tg_layer_conv2d) = {
    .info = {.name = "conv2d",
             .help = "convolution of images: stride, padding, dilation, groups",
             .equations = "y[place, o] = sum of w[o, c, i, j] x[place stride + (i, j) dilation - padding, c] + b[o]"},
    .keeps = TG_KEEPS_INPUT(0),
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
