/* layer/attention.c -- scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762) with grouped queries (Ainslie
 * et al. 2023, arXiv:2305.13245) and rotary positions, in memory linear in the length.
 *
 *   S = Q K^T / sqrt(D)     P = softmax(S), rows; causal: S[i,j] = -inf for j > i     Y = P V
 *   dV = P^T dY    dP = dY V^T    dS = P (dP - rowsum(P dP))    dQ = dS K / sqrt(D)    dK = dS^T Q / sqrt(D)
 *
 * Inputs: q, k, v (B*T, heads D), or one fused tensor of their columns. Queries are taken 64 at a time against all keys
 * they see; only these rows of S exist, and backward makes them again from the saved log-sum-exp (B*H, T) (Rabe & Staats
 * 2021, arXiv:2112.05682; Dao et al. 2022, arXiv:2205.14135). Heads are spread over the threads and each is computed by
 * one thread, queries of a group in order, so the number of threads changes nothing. Softmax and sums are fp32; where
 * bf16 products are native, P and dS are rounded to bf16 as their operands.
 *
 * Without a causal mask the keys behind a sequence's length are padding: their P is 0. Their queries get values that
 * nobody reads, and gradients of 0.
 *
 * When generating, keys and values are appended to the run's cache, rotated, and queries see all of it. */
#include <omp.h>

#include "base/kernels.h"
#include "base/memory.h"
#include "graph/product.h"
#include "layer/heads.h"
#include "layer/layer.h"
#include "layer/rows.h"
#include "layer/work.h"

#define BLOCK ((size_t)64) /* queries */

static shape shape_of(const tg_graph *graph, const tg_op *op, const tg_run *run)
{
    const bool generates = run != NULL && graph->mode == TG_GENERATE && run->cache != NULL;
    return (shape){.batch = graph->batch,
                   .time = graph->time,
                   .heads = op->as.attention.heads,
                   .kv_heads = op->as.attention.kv_heads,
                   .dim = op->as.attention.head_dim,
                   .past = generates ? run->cache->used : 0,
                   .capacity = generates ? run->cache->capacity : 0,
                   .theta = op->as.attention.rope_theta,
                   .rope = op->as.attention.rope,
                   .causal = op->as.attention.causal,
                   .fused = op->input[K] == TG_NONE,
                   .scale = (float)(1.0 / sqrt((double)op->as.attention.head_dim))};
}

/* Generating, the keys may be as many as the model's context. */
static size_t most_keys(const tg_graph *graph)
{
    if (graph->mode != TG_GENERATE || graph->time > graph->model->config.context)
        return graph->time;
    return graph->model->config.context;
}

/* How many keys the queries before `end` see. */
static size_t keys_seen(const shape *s, size_t end) { return s->past + (s->causal ? end : s->time); }

/* How many keys the query in row `row` of sequence b sees. */
static size_t keys_of_row(const tg_call *call, const shape *s, size_t b, size_t row)
{
    const uint32_t *lengths = call->run->lengths;
    const size_t seen = keys_seen(s, row + 1);
    return s->causal || lengths == NULL ? seen : lengths[b] == 0 ? 1 : tg_least(seen, lengths[b]);
}

/* The same for products. Native ones are compiled for every number of keys, so it is rounded up to one of at most 16. */
static size_t keys_of_block(const tg_work *work, const shape *s, size_t end)
{
    const size_t seen = keys_seen(s, end), all = keys_seen(s, s->time);
    if (work->format == TG_F32)
        return seen;
    return tg_least(all, tg_round_up(seen, tg_round_up((all + 15) / 16, BLOCK)));
}

/* Generation multiplies in fp32, as the cache is kept. */
static tg_work work_of(const tg_graph *graph)
{
    tg_work work = tg_work_plan(graph);
    if (graph->mode == TG_GENERATE)
        work.format = TG_F32;
    return work;
}

/* ---- one thread's work --------------------------------------------------------------------------------------------- */

/* A thread's scratch. Operands are in the products' format; s, ds and the results are fp32, and where that is the
 * products' format too, p is s and slope is ds. */
typedef struct bench {
    void *k, *v;              /* (T, D), operands */
    void *q, *y;              /* (BLOCK, D), operands */
    void *p, *slope;          /* (BLOCK, keys, padded), operands: P, dS */
    float *s, *ds;            /* (BLOCK, keys, padded) */
    float *out, *row, *spare; /* (BLOCK, D): Y or dQ; (BLOCK); (D) */
    float *dk, *dv;           /* (T, D) */
} bench;

static bench bench_init(tg_work *work, const shape *s, size_t keys, bool backward)
{
    const size_t operand = tg_format_bytes(work->format), all = s->time * s->dim, block = BLOCK * s->dim;
    const size_t scores = BLOCK * padded(keys);
    const bool same = work->format == TG_F32;
    bench b = {.s = tg_work_take(work, scores * sizeof(float)),
               .row = tg_work_take(work, BLOCK * sizeof(float)),
               .spare = tg_work_take(work, s->dim * sizeof(float)),
               .out = tg_work_take(work, block * sizeof(float)),
               .q = tg_work_take(work, block * operand),
               .y = tg_work_take(work, backward ? block * operand : 0),
               .k = tg_work_take(work, all * operand),
               .v = tg_work_take(work, all * operand),
               .ds = tg_work_take(work, backward ? scores * sizeof(float) : 0),
               .dk = tg_work_take(work, backward ? all * sizeof(float) : 0),
               .dv = tg_work_take(work, backward ? all * sizeof(float) : 0)};
    b.p = same ? b.s : tg_work_take(work, scores * operand);
    b.slope = same ? b.ds : tg_work_take(work, backward ? scores * operand : 0);
    tg_work_taken(work);
    return b;
}

static size_t table_bytes(const shape *s)
{
    return tg_round_up(s->theta == 0.0 ? 0 : s->time * s->dim * sizeof(float), TG_CACHE_LINE);
}

/* The table of rotations at the start of scratch; NULL without. */
static const float *make_table(const shape *s, void *scratch)
{
    if (s->theta == 0.0)
        return NULL;
    tg_rope_table(scratch, s->past, s->time, s->dim, s->theta, s->rope);
    return scratch;
}

/* The calling thread's share of scratch. */
static tg_work thread_work(const tg_call *call, const shape *s, tg_phase phase)
{
    tg_work work = work_of(call->graph);
    const size_t share = (call->op->scratch_bytes[phase] - table_bytes(s)) / (size_t)call->op->as.attention.threads;
    work.planning = false;
    work.scratch = (char *)call->scratch + table_bytes(s) + share * (size_t)omp_get_thread_num();
    return work;
}

typedef struct head_job {
    const tg_call *call;
    const shape *s;
    const float *table;
    tg_work *work;
    bench *w;
    matrix k, v;
    size_t b, head;
} head_job;

/* A head of the output or its gradient. */
static head_view output_view(const head_job *j, const void *y)
{
    const tg_format format = j->call->graph->format;
    const size_t ld = j->s->heads * j->s->dim;
    const void *first = tg_at(y, format, j->b * j->s->time * ld + j->head * j->s->dim);
    return (head_view){.first = (void *)(uintptr_t)first, .ld = ld, .format = format};
}

static head_view input_view(const head_job *j, int which, size_t head)
{
    return view(j->s, j->call->in, NULL, j->call->graph->format, which, j->b, head);
}

static matrix load(const head_job *j, void *room, const head_view *v, size_t row, size_t count, const float *table)
{
    return load_head(room, j->w->spare, j->work->format, v, row, count, j->s->dim, table);
}

/* Of a row's last vector, x[n .. padded(n)), to `value`: one vector's work, no branch on n. */
static void fill_tail(float *x, size_t n, float value)
{
    const size_t last = padded(n) - TG_ROW_LANES;
    for (size_t l = 0; l < TG_ROW_LANES; l++)
        x[last + l] = last + l < n ? x[last + l] : value;
}

/* (count, padded(seen)) scores as operands. */
static void give_scores(const head_job *j, void *operands, const float *scores, size_t count, size_t seen)
{
    if (operands != scores)
        TG_PER_ISA(tg_kernels).narrow(operands, scores, j->work->format, count * padded(seen));
}

/* ---- forward ------------------------------------------------------------------------------------------------------- */

/* Rows of S to P = exp(scale (S - max)), one over their sums to w->row. */
static void softmax_rows(const head_job *j, size_t first, size_t count, size_t seen, float *lse)
{
    const shape *s = j->s;
    float most[BLOCK * TG_ROW_LANES], sum[BLOCK * TG_ROW_LANES];
    for (size_t r = 0; r < count; r++) {
        const size_t n = keys_of_row(j->call, s, j->b, first + r), whole = padded(n);
        float *x = j->w->s + r * padded(seen);
        fill_tail(x, n, TG_ROW_NOTHING);
        tg_row_max_lanes(most + r * TG_ROW_LANES, x, whole);
    }
    tg_rows_max(most, count);
    for (size_t r = 0; r < count; r++) {
        const size_t whole = padded(keys_of_row(j->call, s, j->b, first + r)), lanes = r * TG_ROW_LANES;
        float *x = j->w->s + r * padded(seen);
        tg_row_exp_lanes(sum + lanes, x, s->scale, most[lanes] * s->scale, whole);
        memset(x + whole, 0, (padded(seen) - whole) * sizeof *x);
    }
    give_scores(j, j->w->p, j->w->s, count, seen);
    tg_rows_total(sum, count);
    for (size_t r = 0; r < count; r++) {
        j->w->row[r] = 1.0f / sum[r * TG_ROW_LANES];
        if (lse != NULL)
            lse[first + r] = most[r * TG_ROW_LANES] * s->scale + logf(sum[r * TG_ROW_LANES]);
    }
}

static tg_status forward_block(const head_job *j, size_t first, size_t count, float *lse)
{
    const shape *s = j->s;
    bench *w = j->w;
    const size_t seen = keys_of_block(j->work, s, first + count);
    const matrix scores = {w->s, padded(seen)}, p = {w->p, padded(seen)};
    const head_view q = input_view(j, Q, j->head), y = output_view(j, j->call->out[0]);
    const matrix queries = load(j, w->q, &q, first, count, j->table);
    tg_status status = multiply(j->work, count, seen, s->dim, queries, false, j->k, true, scores, false);
    if (status != TG_OK)
        return status;
    softmax_rows(j, first, count, seen, lse);
    const matrix out = head_target(w->out, &y, first, s->dim, NULL);
    status = multiply(j->work, count, s->dim, seen, p, false, j->v, false, out, false);
    for (size_t r = 0; r < count && status == TG_OK; r++) {
        float *row = (float *)out.x + r * out.ld;
        for (size_t i = 0; i < s->dim; i++)
            row[i] *= w->row[r];
    }
    if (status == TG_OK && out.x == w->out)
        store_head(&y, first, count, s->dim, w->out, NULL);
    return status;
}

static tg_status forward_head(head_job *j)
{
    const shape *s = j->s;
    const tg_call *call = j->call;
    const size_t kv = j->head / (s->heads / s->kv_heads), cache = call->op->as.attention.cache;
    if (s->capacity > 0) {
        j->k = (matrix){call->run->cache->key[cache] + kv * s->capacity * s->dim, s->dim};
        j->v = (matrix){call->run->cache->value[cache] + kv * s->capacity * s->dim, s->dim};
    } else {
        const head_view k = input_view(j, K, kv), v = input_view(j, V, kv);
        j->k = load(j, j->w->k, &k, 0, s->time, j->table);
        j->v = load(j, j->w->v, &v, 0, s->time, NULL);
    }
    float *lse = call->saved[0] == NULL ? NULL : (float *)call->saved[0] + (j->b * s->heads + j->head) * s->time;
    tg_status status = TG_OK;
    for (size_t first = 0; first < s->time && status == TG_OK; first += BLOCK)
        status = forward_block(j, first, tg_least(BLOCK, s->time - first), lse);
    return status;
}

/* (count, dim) rows of a head into the cache. */
static void append_head(float *cache, const head_view *v, size_t count, size_t dim, const float *table)
{
    const matrix rows = load_head(cache, NULL, TG_F32, v, 0, count, dim, table);
    for (size_t r = 0; r < count && rows.x != cache; r++)
        memcpy(cache + r * dim, (const float *)rows.x + r * rows.ld, dim * sizeof *cache);
}

/* The cache's share of one call: keys, rotated, and values of this run's tokens. */
static void append_to_cache(const tg_call *call, const shape *s, const float *table)
{
    const head_job j = {.call = call, .s = s};
    for (size_t kv = 0; kv < s->kv_heads; kv++) {
        const size_t at = (kv * s->capacity + s->past) * s->dim, cache = call->op->as.attention.cache;
        const head_view k = input_view(&j, K, kv), v = input_view(&j, V, kv);
        append_head(call->run->cache->key[cache] + at, &k, s->time, s->dim, table);
        append_head(call->run->cache->value[cache] + at, &v, s->time, s->dim, NULL);
    }
}

static tg_status failed_in_a_thread(const tg_call *call, int status)
{
    return status == TG_OK ? TG_OK : tg_fail((tg_status)status, "%s: a matrix product failed", call->op->name);
}

static tg_status forward(const tg_call *call)
{
    const shape s = shape_of(call->graph, call->op, call->run);
    const size_t keys = s.past + s.time, jobs = s.batch * s.heads;
    if (keys > most_keys(call->graph))
        return tg_fail(TG_EINVAL, "%s: position %zu is past the model's context", call->op->name, keys - 1);
    const float *table = make_table(&s, call->scratch);
    if (s.capacity > 0)
        append_to_cache(call, &s, table);
    int failed = TG_OK;
#pragma omp parallel for schedule(dynamic, 1) num_threads(call->op->as.attention.threads) reduction(max : failed)
    for (size_t i = 0; i < jobs; i++) {
        tg_work work = thread_work(call, &s, TG_FORWARD);
        bench w = bench_init(&work, &s, most_keys(call->graph), false);
        head_job j = {.call = call, .s = &s, .table = table, .work = &work, .w = &w};
        j.b = i / s.heads;
        j.head = i % s.heads;
        const int status = (int)forward_head(&j);
        failed = status > failed ? status : failed;
    }
    return failed_in_a_thread(call, failed);
}

/* ---- backward ------------------------------------------------------------------------------------------------------ */

/* S and dP of a block of queries to P and dS. */
static void backward_rows(const head_job *j, size_t first, size_t count, size_t seen)
{
    const shape *s = j->s;
    const float *lse = (const float *)j->call->saved[0] + (j->b * s->heads + j->head) * s->time;
    float dot[BLOCK * TG_ROW_LANES];
    for (size_t r = 0; r < count; r++) {
        const size_t n = keys_of_row(j->call, s, j->b, first + r), whole = padded(n);
        float *p = j->w->s + r * padded(seen), *ds = j->w->ds + r * padded(seen);
        fill_tail(p, n, TG_ROW_NOTHING);
        fill_tail(ds, n, 0.0f);
        tg_row_exp_dot_lanes(dot + r * TG_ROW_LANES, p, ds, s->scale, lse[first + r], whole);
    }
    tg_rows_total(dot, count);
    for (size_t r = 0; r < count; r++) {
        const size_t whole = padded(keys_of_row(j->call, s, j->b, first + r)),
                     rest = (padded(seen) - whole) * sizeof(float);
        float *p = j->w->s + r * padded(seen), *ds = j->w->ds + r * padded(seen);
        tg_row_slope(ds, p, dot[r * TG_ROW_LANES], s->scale, whole);
        memset(p + whole, 0, rest);
        memset(ds + whole, 0, rest);
    }
    give_scores(j, j->w->p, j->w->s, count, seen);
    give_scores(j, j->w->slope, j->w->ds, count, seen);
}

/* Where a key head's gradients are gathered. */
typedef struct key_gradients {
    head_view k, v;
    matrix dk, dv;
} key_gradients;

/* `wrote`: dK and dV have been written for every key this block sees. */
static tg_status backward_block(const head_job *j, size_t first, size_t count, const key_gradients *g, bool wrote)
{
    const shape *s = j->s;
    bench *w = j->w;
    const size_t seen = keys_of_block(j->work, s, first + count);
    const head_view q = input_view(j, Q, j->head), y = output_view(j, j->call->dout[0]);
    const head_view dq = view(s, j->call->din, j->call->add, j->call->graph->format, Q, j->b, j->head);
    const matrix queries = load(j, w->q, &q, first, count, j->table), dy = load(j, w->y, &y, first, count, NULL);
    const matrix scores = {w->s, padded(seen)}, slopes = {w->ds, padded(seen)};
    const matrix p = {w->p, padded(seen)}, ds = {w->slope, padded(seen)};
    tg_status status = multiply(j->work, count, seen, s->dim, queries, false, j->k, true, scores, false);
    if (status == TG_OK)
        status = multiply(j->work, count, seen, s->dim, dy, false, j->v, true, slopes, false);
    if (status != TG_OK)
        return status;
    backward_rows(j, first, count, seen);
    const bool add_v = wrote || (g->v.add && g->dv.x != w->dv), add_k = wrote || (g->k.add && g->dk.x != w->dk);
    if (g->dv.x != NULL)
        status = multiply(j->work, seen, s->dim, count, p, true, dy, false, g->dv, add_v);
    if (status == TG_OK && g->dk.x != NULL)
        status = multiply(j->work, seen, s->dim, count, ds, true, queries, false, g->dk, add_k);
    if (status != TG_OK || dq.first == NULL)
        return status;
    const matrix out = head_target(w->out, &dq, first, s->dim, j->table);
    status = multiply(j->work, count, s->dim, seen, ds, false, j->k, false, out, dq.add && out.x != w->out);
    if (status == TG_OK && out.x == w->out)
        store_head(&dq, first, count, s->dim, w->out, j->table);
    return status;
}

static key_gradients key_gradients_of(const head_job *j, size_t kv)
{
    const shape *s = j->s;
    const tg_call *call = j->call;
    key_gradients g = {.k = view(s, call->din, call->add, call->graph->format, K, j->b, kv),
                       .v = view(s, call->din, call->add, call->graph->format, V, j->b, kv)};
    if (g.k.first != NULL)
        g.dk = head_target(j->w->dk, &g.k, 0, s->dim, j->table);
    if (g.v.first != NULL)
        g.dv = head_target(j->w->dv, &g.v, 0, s->dim, NULL);
    return g;
}

/* A key head and all query heads of its group. Blocks go from the last to the first: the last sees every key, so it
 * writes all of dK and dV and the others add. */
static tg_status backward_group(head_job *j, size_t kv)
{
    const shape *s = j->s;
    const size_t group = s->heads / s->kv_heads, last = (s->time - 1) / BLOCK;
    const head_view k = input_view(j, K, kv), v = input_view(j, V, kv);
    const key_gradients g = key_gradients_of(j, kv);
    j->k = load(j, j->w->k, &k, 0, s->time, j->table);
    j->v = load(j, j->w->v, &v, 0, s->time, NULL);
    tg_status status = TG_OK;
    for (size_t i = 0; i < group; i++) {
        j->head = kv * group + i;
        for (size_t block = last + 1; block-- > 0 && status == TG_OK;) {
            const size_t first = block * BLOCK;
            status = backward_block(j, first, tg_least(BLOCK, s->time - first), &g, i > 0 || block < last);
        }
    }
    if (status == TG_OK && g.dk.x == j->w->dk)
        store_head(&g.k, 0, s->time, s->dim, j->w->dk, j->table);
    if (status == TG_OK && g.dv.x == j->w->dv)
        store_head(&g.v, 0, s->time, s->dim, j->w->dv, NULL);
    return status;
}

static tg_status backward(const tg_call *call)
{
    const shape s = shape_of(call->graph, call->op, NULL);
    const float *table = make_table(&s, call->scratch);
    const size_t jobs = s.batch * s.kv_heads;
    int failed = TG_OK;
#pragma omp parallel for schedule(dynamic, 1) num_threads(call->op->as.attention.threads) reduction(max : failed)
    for (size_t i = 0; i < jobs; i++) {
        tg_work work = thread_work(call, &s, TG_BACKWARD);
        bench w = bench_init(&work, &s, s.time, true);
        head_job j = {.call = call, .s = &s, .table = table, .work = &work, .w = &w, .b = i / s.kv_heads};
        const int status = (int)backward_group(&j, i % s.kv_heads);
        failed = status > failed ? status : failed;
    }
    return failed_in_a_thread(call, failed);
}

/* ---- plan ---------------------------------------------------------------------------------------------------------- */

static double flops_of(const shape *s)
{
    double scores = 0;
    for (size_t first = 0; first < s->time; first += BLOCK) {
        const size_t end = first + BLOCK < s->time ? first + BLOCK : s->time;
        scores += (double)(end - first) * (double)keys_seen(s, end);
    }
    return 4.0 * scores * (double)s->dim * (double)(s->batch * s->heads);
}

/* A thread's scratch, and its products compiled. */
static tg_status plan_thread(tg_graph *graph, const shape *s, size_t keys, bool backward, size_t *bytes)
{
    tg_work work = work_of(graph);
    bench_init(&work, s, keys, backward);
    tg_status status = TG_OK;
    for (size_t first = 0; first < s->time && status == TG_OK && work.format != TG_F32; first += BLOCK) {
        const size_t count = tg_least(BLOCK, s->time - first), seen = keys_of_block(&work, s, first + count);
        const matrix rows = {NULL, s->dim}, scores = {NULL, padded(seen)};
        status = multiply(&work, count, seen, s->dim, rows, false, rows, true, scores, false);
        if (status == TG_OK)
            status = multiply(&work, count, s->dim, seen, scores, false, rows, false, rows, false);
        for (int add = 0; add < 2 && status == TG_OK && backward; add++)
            status = multiply(&work, seen, s->dim, count, scores, true, rows, false, rows, add != 0);
    }
    *bytes = tg_work_bytes(&work, graph);
    return status;
}

static tg_status plan(tg_graph *graph, tg_op *op)
{
    const shape s = shape_of(graph, op, NULL);
    const size_t threads = (size_t)omp_get_max_threads();
    const bool trains = tg_graph_goes_back(graph);
    op->as.attention.threads = (int)threads;
    const size_t keys = most_keys(graph);
    for (int phase = TG_FORWARD; phase <= (trains ? TG_BACKWARD : TG_FORWARD); phase++) {
        size_t share;
        const tg_status status = plan_thread(graph, &s, keys, phase == TG_BACKWARD, &share);
        if (status != TG_OK)
            return status;
        op->scratch_bytes[phase] = table_bytes(&s) + threads * share;
    }
    graph->flops += flops_of(&s) * tg_graph_passes(graph);
    if (trains)
        op->saved[0] = tg_graph_tensor(graph, TG_F32, s.batch * s.heads, s.time);
    const tg_product largest = {.m = BLOCK, .n = keys, .k = s.dim, .alone = true};
    const size_t library = work_of(graph).format == TG_F32 ? threads * tg_product_library_bytes(&largest, TG_F32) : 0;
    graph->library_bytes = library > graph->library_bytes ? library : graph->library_bytes;
    return graph->failed;
}

const tg_layer TG_PER_ISA(tg_layer_attention) = {
    .info = {.name = "attention",
             .help = "causal or bidirectional attention, grouped queries, rotary positions",
             .equations = "y = softmax(q k^T / sqrt(D)) v"},
    .keeps = TG_KEEPS_INPUT(Q) | TG_KEEPS_INPUT(K) | TG_KEEPS_INPUT(V),
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
