/* layer/linear.c -- y = x W^T + b.
 *
 *   dx = dy W      dW = dy^T x      db = sum of dy over tokens
 *
 * x (M,in), y (M,out), W (out,in), or (in,out) with in_by_out (then y = x W + b), b (out) or absent. Tokens come in
 * chunks and outputs in panels where operands must be converted, so that scratch stays bounded; a tile of dW is summed
 * over all tokens before the sink gets it. Before the first of several tiles dy and x are checked: a bad value is never
 * added. (A single tile is checked by the sink; a bad dy or x always shows in it.) A sink that wants the layer's rows gets x
 * and dy as they lie here. */
#include "base/kernels.h"
#include "layer/finish.h"
#include "layer/layer.h"
#include "layer/thin.h"
#include "layer/work.h"

enum { W, B };

/* dst (m,n) = src (m,k) V (k,n) + bias, where V is the weight or its transpose. */
typedef struct map {
    size_t m, k, n;
    bool n_by_k;       /* the weight is stored (n,k) */
    bool straight;     /* the product writes to dst itself */
    bool fused;        /* ... and adds the bias */
    size_t chunk, panel;
    void *src, *weight;
    float *dst, *bias; /* scratch; NULL where not needed */
} map;

typedef struct operands {
    const void *src;
    void *dst;
    tg_format from, to; /* of src, of dst */
    const tg_param *weight, *bias;
    bool add;
} operands;

static map map_init(tg_work *work, size_t m, size_t k, size_t n, bool n_by_k, const operands *o)
{
    map p = {.m = m, .k = k, .n = n, .n_by_k = n_by_k};
    const size_t bytes = tg_format_bytes(work->format);
    const bool same_src = o->from == work->format, same_weight = o->weight->format == work->format;
    p.fused = work->format != TG_F32 && o->to == work->format && same_weight && tg_product_fuses(k, n);
    p.straight = p.fused || o->to == TG_F32;
    p.panel = same_weight ? n : tg_panel_size(n, TG_PANEL_BYTES / (4 * k));
    const size_t row = (same_src ? 0 : k * bytes) + (p.straight ? 0 : 4 * p.panel);
    p.chunk = row == 0 ? m : tg_panel_size(m, TG_CHUNK_BYTES / row);
    p.src = same_src ? NULL : tg_work_take(work, p.chunk * k * bytes);
    p.weight = same_weight ? NULL : tg_work_take(work, p.panel * k * bytes);
    p.dst = p.straight ? NULL : tg_work_take(work, p.chunk * p.panel * sizeof(float));
    p.bias = o->bias == NULL ? NULL : tg_work_take(work, n * sizeof(float));
    tg_work_taken(work);
    return p;
}

/* The panel of the weight from output `col` on, as an operand of a product; ld through *ld. */
static const void *weight_panel(const tg_work *work, const map *p, const tg_param *w, size_t col, size_t cols, size_t *ld)
{
    const size_t stored = p->n_by_k ? p->k : p->n;
    const void *first = tg_at(w->data, w->format, p->n_by_k ? col * p->k : col);
    *ld = stored;
    if (w->format == work->format)
        return first;
    *ld = p->n_by_k ? p->k : cols;
    if (!work->planning)
        tg_convert(p->weight, work->format, first, w->format, p->n_by_k ? cols : p->k, *ld, stored);
    return p->weight;
}

/* dst's block of `rows` by `cols` at (row, col): the product, and what it cannot do itself. */
static tg_status map_block(tg_work *work, const map *p, const operands *o, const void *src, size_t row, size_t rows,
                           size_t col, size_t cols)
{
    const float *bias = p->bias == NULL ? NULL : p->bias + col;
    tg_product product = {.m = rows, .n = cols, .k = p->k, .transpose_b = p->n_by_k, .lda = p->k,
                          .ldc = p->straight ? p->n : cols, .add = p->straight && o->add,
                          .to = p->fused ? o->to : TG_F32, .bias = p->fused && o->bias != NULL};
    const void *weight = weight_panel(work, p, o->weight, col, cols, &product.ldb);
    void *dst = p->straight && !work->planning ? tg_to(o->dst, o->to, row * p->n + col) : p->dst;
    const tg_status status = tg_work_product(work, &product, src, weight, bias, dst);
    const tg_finish finish = {.dst = o->dst, .format = o->to, .ld = p->n, .row = row, .col = col, .src = dst,
                              .src_ld = product.ldc, .bias = bias, .add = o->add && !p->straight};
    if (status == TG_OK && !work->planning && (!p->straight || (bias != NULL && !p->fused)))
        tg_finish_rows(&finish, rows, cols);
    return status;
}

static tg_status map_walk(tg_work *work, const map *p, const operands *o)
{
    tg_status status = TG_OK;
    if (p->bias != NULL && !work->planning)
        tg_convert(p->bias, TG_F32, o->bias->data, o->bias->format, 1, p->n, p->n);
    for (size_t row = 0; row < p->m; row += p->chunk) {
        const size_t rows = tg_least(p->chunk, p->m - row);
        const void *src = o->from == work->format ? tg_at(o->src, o->from, row * p->k) : p->src;
        if (o->from != work->format && !work->planning)
            tg_convert(p->src, work->format, tg_at(o->src, o->from, row * p->k), o->from, rows, p->k, p->k);
        for (size_t col = 0; col < p->n && status == TG_OK; col += p->panel)
            status = map_block(work, p, o, src, row, rows, col, tg_least(p->panel, p->n - col));
    }
    return status;
}

/* ---- dW ----------------------------------------------------------------------------------------------------------- */

/* dW (rows, cols), as stored, = left^T right; left (m,rows) and right (m,cols) are dy and x or x and dy. */
typedef struct outer {
    size_t m, rows, cols, chunk, panel;
    void *left, *right; /* scratch; NULL where not needed */
    float *tile, *sums; /* of dW, of db */
} outer;

static outer outer_init(tg_work *work, size_t m, size_t rows, size_t cols, tg_format format, size_t bias)
{
    outer p = {.m = m, .rows = rows, .cols = cols, .chunk = m};
    const bool same = format == work->format;
    p.panel = tg_panel_size(rows, (same ? TG_TILE_BYTES : TG_PANEL_BYTES) / (4 * cols));
    if (!same)
        p.chunk = tg_panel_size(m, TG_CHUNK_BYTES / ((p.panel + cols) * tg_format_bytes(work->format)));
    p.left = same ? NULL : tg_work_take(work, p.chunk * p.panel * tg_format_bytes(work->format));
    p.right = same ? NULL : tg_work_take(work, p.chunk * cols * tg_format_bytes(work->format));
    p.tile = tg_work_take(work, p.panel * cols * sizeof(float));
    p.sums = bias == 0 ? NULL : tg_work_take(work, bias * sizeof(float));
    tg_work_taken(work);
    return p;
}

/* One tile: its rows from `row` on, over all tokens. `right` is converted at the first tile, and again only when there
 * are several chunks of tokens. */
static tg_status outer_tile(tg_work *work, const outer *p, const void *left, const void *right, tg_format format,
                            size_t row, size_t rows)
{
    const bool same = format == work->format;
    for (size_t t = 0; t < p->m; t += p->chunk) {
        const size_t tokens = tg_least(p->chunk, p->m - t);
        const tg_product product = {.m = rows, .n = p->cols, .k = tokens, .transpose_a = true,
                                    .lda = same ? p->rows : rows, .ldb = p->cols, .ldc = p->cols, .add = t > 0};
        if (!same && !work->planning) {
            tg_convert(p->left, work->format, tg_at(left, format, t * p->rows + row), format, tokens, rows, p->rows);
            if (row == 0 || p->chunk < p->m)
                tg_convert(p->right, work->format, tg_at(right, format, t * p->cols), format, tokens, p->cols, p->cols);
        }
        const void *a = same ? tg_at(left, format, t * p->rows + row) : p->left;
        const void *b = same ? tg_at(right, format, t * p->cols) : p->right;
        const tg_status status = tg_work_product(work, &product, a, b, NULL, p->tile);
        if (status != TG_OK)
            return status;
    }
    return TG_OK;
}

/* ---- what the op's parts are ---------------------------------------------------------------------------------------- */

static void shapes(const tg_graph *graph, const tg_op *op, size_t *m, size_t *in, size_t *out)
{
    const tg_param *w = tg_op_weight(graph, op, W);
    *m = graph->tensor[op->input[0]].rows;
    *in = op->as.linear.in_by_out ? w->rows : w->cols;
    *out = op->as.linear.in_by_out ? w->cols : w->rows;
}

static map forward_map(tg_work *work, const tg_graph *graph, const tg_op *op, operands *o)
{
    size_t m, in, out;
    shapes(graph, op, &m, &in, &out);
    o->from = o->to = graph->format;
    o->weight = tg_op_weight(graph, op, W);
    o->bias = tg_op_weight(graph, op, B);
    return map_init(work, m, in, out, !op->as.linear.in_by_out, o);
}

/* What backward reads, for both dx and dW: converted as a whole where all tokens fit, so that it happens once. */
typedef struct sources {
    const void *x, *dy;
    tg_format format;
    float *wide_x, *wide_dy; /* scratch; NULL where not needed */
} sources;

static sources sources_init(tg_work *work, const tg_graph *graph, const tg_op *op)
{
    size_t m, in, out;
    shapes(graph, op, &m, &in, &out);
    sources s = {.format = graph->format};
    if (graph->format == work->format || 4 * m * (in + out) > 2 * TG_CHUNK_BYTES)
        return s;
    s.format = work->format;
    s.wide_dy = tg_work_take(work, 4 * m * out);
    s.wide_x = tg_work_take(work, 4 * m * in);
    return s;
}

static map backward_map(tg_work *work, const tg_graph *graph, const tg_op *op, const sources *s, operands *o)
{
    size_t m, in, out;
    shapes(graph, op, &m, &in, &out);
    o->from = s->format;
    o->to = graph->format;
    o->weight = tg_op_weight(graph, op, W);
    return map_init(work, m, out, in, op->as.linear.in_by_out, o);
}

static outer backward_outer(tg_work *work, const tg_graph *graph, const tg_op *op, const sources *s)
{
    const tg_param *w = tg_op_weight(graph, op, W), *b = tg_op_weight(graph, op, B);
    return outer_init(work, graph->tensor[op->input[0]].rows, w->rows, w->cols, s->format,
                      b == NULL ? 0 : b->rows * b->cols);
}

/* ---- a few tokens --------------------------------------------------------------------------------------------------- */

/* fp32 weights are no slower through the library. */
static bool is_thin(const tg_graph *graph, const tg_op *op)
{
    return graph->mode == TG_GENERATE && graph->tensor[op->input[0]].rows <= TG_THIN_ROWS &&
           tg_op_weight(graph, op, W)->format != TG_F32;
}

typedef struct thin {
    float *x, *y, *sums, *bias; /* scratch; NULL where there is no need */
} thin;

static thin thin_init(tg_work *work, const tg_graph *graph, const tg_op *op)
{
    size_t m, in, out;
    shapes(graph, op, &m, &in, &out);
    thin t = {.x = tg_work_take(work, m * in * sizeof(float)), .y = tg_work_take(work, m * out * sizeof(float))};
    if (op->as.linear.in_by_out)
        t.sums = tg_work_take(work, TG_THIN_PARTS * m * out * sizeof(float));
    if (op->weight[B] != TG_NONE)
        t.bias = tg_work_take(work, out * sizeof(float));
    return t;
}

static tg_status forward_thin(const tg_call *call)
{
    const tg_param *w = tg_op_weight(call->graph, call->op, W), *b = tg_op_weight(call->graph, call->op, B);
    tg_work work = tg_work_run(call->graph, call->scratch);
    const thin t = thin_init(&work, call->graph, call->op);
    const tg_format format = call->graph->format;
    const size_t m = call->in_shape[0]->rows, in = call->in_shape[0]->cols, out = call->out_shape[0]->cols;
    tg_convert(t.x, TG_F32, call->in[0], format, m, in, in);
    if (b != NULL)
        tg_convert(t.bias, TG_F32, b->data, b->format, 1, out, out);
    if (call->op->as.linear.in_by_out)
        tg_thin_by_cols(t.y, t.sums, t.x, m, w);
    else
        tg_thin_by_rows(t.y, t.x, m, w);
    const tg_finish finish = {.dst = call->out[0], .format = format, .ld = out, .src = t.y, .src_ld = out, .bias = t.bias};
    tg_finish_rows(&finish, m, out);
    return TG_OK;
}

/* ---- the layer's functions ------------------------------------------------------------------------------------------ */

static tg_status plan(tg_graph *graph, tg_op *op)
{
    size_t m, in, out;
    shapes(graph, op, &m, &in, &out);
    if (m == 0 || in == 0 || out == 0)
        return tg_fail(TG_EINVAL, "%s: a linear layer of %zu inputs and %zu outputs is empty", op->name, in, out);
    graph->flops += 2.0 * (double)m * (double)in * (double)out * tg_graph_passes(graph);
    operands o = {0};
    tg_work work = tg_work_plan(graph);
    if (is_thin(graph, op)) {
        thin_init(&work, graph, op);
        op->scratch_bytes[TG_FORWARD] = tg_work_bytes(&work, graph);
        return TG_OK;
    }
    map p = forward_map(&work, graph, op, &o);
    tg_status status = map_walk(&work, &p, &o);
    op->scratch_bytes[TG_FORWARD] = tg_work_bytes(&work, graph);
    if (status != TG_OK || !tg_graph_goes_back(graph))
        return status;
    for (int add = 0; add < 2 && status == TG_OK; add++) { /* which one is not known yet */
        work = tg_work_plan(graph);
        const sources from = sources_init(&work, graph, op);
        o = (operands){.add = add != 0};
        p = backward_map(&work, graph, op, &from, &o);
        status = map_walk(&work, &p, &o);
        op->scratch_bytes[TG_BACKWARD] = tg_work_bytes(&work, graph);
    }
    work = tg_work_plan(graph);
    const sources from = sources_init(&work, graph, op);
    const outer q = backward_outer(&work, graph, op, &from);
    for (size_t row = 0; row < q.rows && status == TG_OK; row += q.panel)
        status = outer_tile(&work, &q, NULL, NULL, from.format, row, tg_least(q.panel, q.rows - row));
    const size_t bytes = tg_work_bytes(&work, graph);
    if (bytes > op->scratch_bytes[TG_BACKWARD])
        op->scratch_bytes[TG_BACKWARD] = bytes;
    return status;
}

static tg_status forward(const tg_call *call)
{
    if (is_thin(call->graph, call->op))
        return forward_thin(call);
    operands o = {.src = call->in[0], .dst = call->out[0]};
    tg_work work = tg_work_run(call->graph, call->scratch);
    const map p = forward_map(&work, call->graph, call->op, &o);
    return map_walk(&work, &p, &o);
}

/* `good`: dy and x are known to be finite. */
static tg_status give_weight(const tg_call *call, tg_work *work, const outer *q, const sources *from, bool good)
{
    const bool swap = call->op->as.linear.in_by_out;
    const void *left = swap ? from->x : from->dy, *right = swap ? from->dy : from->x;
    tg_status status = TG_OK;
    if (!tg_call_trains(call, W))
        return tg_call_complete(call, W);
    if (!good && q->panel < q->rows)
        status = tg_call_reject(call, W);
    else
        for (size_t row = 0; row < q->rows && status == TG_OK; row += q->panel) {
            const size_t rows = tg_least(q->panel, q->rows - row);
            status = outer_tile(work, q, left, right, from->format, row, rows);
            if (status == TG_OK)
                status = tg_call_tile(call, W, row, rows, q->tile);
        }
    return status == TG_OK ? tg_call_complete(call, W) : status;
}

/* Converts what is to be converted as a whole; false when it meets a bad value. Where the weight's gradient is several
 * tiles the answer is also sought without a conversion. */
static bool load_sources(const tg_call *call, sources *s, bool several)
{
    const tg_tensor *x = call->in_shape[0], *y = call->out_shape[0];
    const tg_format format = call->graph->format;
    const bool trains = tg_call_trains(call, W), observes = tg_call_observes(call, W);
    s->x = call->in[0];
    s->dy = call->dout[0];
    if (s->wide_dy == NULL)
        return !trains || !several ||
               (tg_all_finite(s->dy, format, y->rows * y->cols) && tg_all_finite(s->x, format, x->rows * x->cols));
    bool good = tg_convert_checked(s->wide_dy, s->format, s->dy, format, y->rows * y->cols);
    if (trains || observes)
        good = tg_convert_checked(s->wide_x, s->format, s->x, format, x->rows * x->cols) && good;
    s->dy = s->wide_dy;
    s->x = s->wide_x;
    return good;
}

static tg_status backward(const tg_call *call)
{
    tg_work work = tg_work_run(call->graph, call->scratch);
    sources from = sources_init(&work, call->graph, call->op);
    tg_work for_dx = work, for_dw = work; /* one after the other in the same place */
    const outer q = backward_outer(&for_dw, call->graph, call->op, &from);
    const bool good = load_sources(call, &from, q.panel < q.rows);
    tg_status status = TG_OK;
    if (call->din[0] != NULL) {
        operands o = {.src = from.dy, .dst = call->din[0], .add = call->add[0]};
        const map p = backward_map(&for_dx, call->graph, call->op, &from, &o);
        status = map_walk(&for_dx, &p, &o);
    }
    if (status == TG_OK)
        status = tg_call_layer(call, W, from.x, from.dy, from.format, &(tg_layer_part){0, q.m, q.m});
    if (status == TG_OK)
        status = tg_give_bias(call, B, q.sums);
    return status == TG_OK ? give_weight(call, &for_dw, &q, &from, good) : status;
}

const tg_layer TG_PER_ISA(tg_layer_linear) = {
    .info = {.name = "linear",
             .help = "affine map of features",
             .equations = "y = x W^T + b"},
    .keeps = TG_KEEPS_INPUT(0),
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
