/* layer/attention.c -- scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762) with grouped queries (Ainslie
 * et al. 2023, arXiv:2305.13245) and rotary positions, in memory linear in the length.
 *
 *   S = Q K^T / sqrt(D)     P = softmax(S), rows; causal: S[i,j] = -inf for j > i     Y = P V
 *   dV = P^T dY    dP = dY V^T    dS = P (dP - rowsum(P dP))    dQ = dS K / sqrt(D)    dK = dS^T Q / sqrt(D)
 *
 * Inputs: q, k, v (B*T, heads D), or one fused tensor of their columns. Queries are taken 64 at a time against all keys
 * they see; only these rows of S exist, and backward makes them again from the saved log-sum-exp (B*H, T) (Rabe & Staats
 * 2021, arXiv:2112.05682; Dao et al. 2022, arXiv:2205.14135). Heads are spread over the threads and each is computed by
 * one thread, queries of a group in order, so the number of threads changes nothing. All arithmetic is fp32.
 *
 * When generating, keys and values are appended to the run's cache, rotated, and queries see all of it. */
#include <omp.h>

#include "base/kernels.h"
#include "base/memory.h"
#include "layer/layer.h"
#include "graph/product.h"
#include "layer/rope.h"
#include "layer/rows.h"

#define BLOCK ((size_t)64) /* queries */

enum { Q, K, V };

typedef struct shape {
    size_t batch, time, heads, kv_heads, dim, past, capacity;
    double theta;
    bool causal, fused;
    float scale;
} shape;

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

/* ---- heads in and out of the activations ------------------------------------------------------------------------- */

/* One head's columns in an activation or its gradient, from the first token of a sequence. */
typedef struct head_view {
    void *first;
    size_t ld;
    tg_format format;
    bool add; /* writing: add to what is there */
} head_view;

/* Which: Q, K or V; tensor: the pointers of the call's inputs or their gradients. first is NULL where there is none. */
static head_view view(const shape *s, void *const *tensor, const bool *add, tg_format format, int which, size_t b,
                      size_t head)
{
    const size_t before[3] = {0, s->heads, s->heads + s->kv_heads};
    const size_t all = s->fused ? s->heads + 2 * s->kv_heads : which == Q ? s->heads : s->kv_heads;
    const int input = s->fused ? 0 : which;
    head_view v = {.ld = all * s->dim, .format = format, .add = add != NULL && add[input]};
    const size_t column = ((s->fused ? before[which] : 0) + head) * s->dim;
    if (tensor[input] != NULL)
        v.first = (char *)tensor[input] + (b * s->time * v.ld + column) * tg_format_bytes(format);
    return v;
}

/* dst (count, dim) <- rows from `row` on; rotated when table is given, times scale. */
static void load_head(float *dst, const head_view *v, size_t row, size_t count, size_t dim, const float *table,
                      float scale)
{
    const size_t bytes = tg_format_bytes(v->format);
    for (size_t r = 0; r < count; r++) {
        float *x = dst + r * dim;
        TG_PER_ISA(tg_kernels).widen(x, (const char *)v->first + (row + r) * v->ld * bytes, v->format, dim);
        if (table != NULL)
            tg_rope(x, table + (row + r) * dim, dim);
        if (scale != 1.0f)
            for (size_t i = 0; i < dim; i++)
                x[i] *= scale;
    }
}

/* Rows from `row` on <- src (count, dim), which is spoiled; rotated back when table is given, row r times scale[r * step]. */
static void store_head(const head_view *v, size_t row, size_t count, size_t dim, float *src, const float *table,
                       const float *scale, size_t step)
{
    for (size_t r = 0; r < count; r++) {
        float *restrict x = src + r * dim;
        const float by = scale[r * step];
        for (size_t i = 0; i < dim; i++)
            x[i] *= by;
        if (table != NULL)
            tg_rope_back(x, table + (row + r) * dim, dim);
        const size_t at = (row + r) * v->ld;
        if (v->format == TG_F32) {
            float *restrict y = (float *)v->first + at;
            for (size_t i = 0; i < dim; i++)
                y[i] = v->add ? y[i] + x[i] : x[i];
        } else {
            uint16_t *restrict y = (uint16_t *)v->first + at;
            if (v->add)
                for (size_t i = 0; i < dim; i++)
                    x[i] += tg_bf16_to_f32(y[i]);
            for (size_t i = 0; i < dim; i++)
                y[i] = tg_f32_to_bf16(x[i]);
        }
    }
}

/* ---- one thread's products ------------------------------------------------------------------------------------------ */

/* C (m,n) = A B, rows of all three contiguous. */
static tg_status multiply(size_t m, size_t n, size_t k, const float *a, bool transpose_a, const float *b,
                          bool transpose_b, float *c, bool add)
{
    const tg_product p = {.m = m, .n = n, .k = k, .transpose_a = transpose_a, .transpose_b = transpose_b,
                          .lda = transpose_a ? m : k, .ldb = transpose_b ? k : n, .ldc = n, .add = add};
    return tg_product_f32(&p, a, b, c);
}

/* A thread's scratch, in values. */
typedef struct bench {
    float *k, *v, *dk, *dv;            /* (T, D) */
    float *q, *y, *dq, *s, *ds, *row; /* (BLOCK, D) three times, (BLOCK, keys) twice, (BLOCK) */
} bench;

static size_t bench_values(const shape *s, size_t keys, bool backward)
{
    return s->time * s->dim * (backward ? 4 : 2) + BLOCK * (s->dim * (backward ? 3 : 2) + keys * (backward ? 2 : 1) + 1);
}

static bench bench_of(const shape *s, size_t keys, bool backward, float *memory)
{
    const size_t all = s->time * s->dim, block = BLOCK * s->dim;
    bench b = {.k = memory, .v = memory + all};
    memory += 2 * all;
    if (backward) {
        b.dk = memory;
        b.dv = memory + all;
        memory += 2 * all;
    }
    b.q = memory;
    b.y = memory + block;
    memory += 2 * block;
    if (backward) {
        b.dq = memory;
        memory += block;
    }
    b.s = memory;
    memory += BLOCK * keys;
    if (backward) {
        b.ds = memory;
        memory += BLOCK * keys;
    }
    b.row = memory;
    return b;
}

static size_t table_values(const shape *s) { return s->theta == 0.0 ? 0 : s->time * s->dim; }

static size_t scratch_bytes(const shape *s, size_t keys, bool backward, size_t threads)
{
    return tg_round_up(table_values(s) * sizeof(float), TG_CACHE_LINE) +
           threads * tg_round_up(bench_values(s, keys, backward) * sizeof(float), TG_CACHE_LINE);
}

/* The table of rotations at the start of scratch; NULL without. */
static const float *make_table(const shape *s, void *scratch)
{
    if (s->theta == 0.0)
        return NULL;
    tg_rope_table(scratch, s->past, s->time, s->dim, s->theta);
    return scratch;
}

static float *thread_memory(const shape *s, size_t keys, bool backward, void *scratch)
{
    const size_t bytes = tg_round_up(bench_values(s, keys, backward) * sizeof(float), TG_CACHE_LINE);
    char *first = (char *)scratch + tg_round_up(table_values(s) * sizeof(float), TG_CACHE_LINE);
    return (float *)(first + bytes * (size_t)omp_get_thread_num());
}

/* ---- forward ------------------------------------------------------------------------------------------------------- */

typedef struct head_job {
    const tg_call *call;
    const shape *s;
    const float *table;
    bench *w;
    const float *keys, *values;
    size_t b, head;
} head_job;

static tg_status forward_block(const head_job *j, size_t first, size_t count, float *lse)
{
    const shape *s = j->s;
    bench *w = j->w;
    const size_t seen = keys_seen(s, first + count);
    const head_view q = view(s, j->call->in, NULL, j->call->graph->format, Q, j->b, j->head);
    load_head(w->q, &q, first, count, s->dim, j->table, s->scale);
    tg_status status = multiply(count, seen, s->dim, w->q, false, j->keys, true, w->s, false);
    for (size_t r = 0; r < count && status == TG_OK; r++) {
        float *x = w->s + r * seen;
        const size_t n = keys_seen(s, first + r + 1);
        const float most = tg_row_max(x, n);
        tg_row_exp(x, most, n);
        memset(x + n, 0, (seen - n) * sizeof *x);
        const float sum = tg_row_sum(x, n);
        w->row[r] = 1.0f / sum;
        if (lse != NULL)
            lse[first + r] = most + logf(sum);
    }
    if (status == TG_OK)
        status = multiply(count, s->dim, seen, w->s, false, j->values, false, w->y, false);
    if (status != TG_OK)
        return status;
    const size_t ld = s->heads * s->dim, at = j->b * s->time * ld + j->head * s->dim;
    const tg_format format = j->call->graph->format;
    const head_view y = {.first = (char *)j->call->out[0] + at * tg_format_bytes(format), .ld = ld, .format = format};
    store_head(&y, first, count, s->dim, w->y, NULL, w->row, 1);
    return TG_OK;
}

static tg_status forward_head(head_job *j)
{
    const shape *s = j->s;
    const tg_call *call = j->call;
    const size_t kv = j->head / (s->heads / s->kv_heads);
    if (s->capacity > 0) {
        j->keys = call->run->cache->key[call->op->as.attention.cache] + kv * s->capacity * s->dim;
        j->values = call->run->cache->value[call->op->as.attention.cache] + kv * s->capacity * s->dim;
    } else {
        const head_view k = view(s, call->in, NULL, call->graph->format, K, j->b, kv);
        const head_view v = view(s, call->in, NULL, call->graph->format, V, j->b, kv);
        load_head(j->w->k, &k, 0, s->time, s->dim, j->table, 1.0f);
        load_head(j->w->v, &v, 0, s->time, s->dim, NULL, 1.0f);
        j->keys = j->w->k;
        j->values = j->w->v;
    }
    float *lse = call->saved[0] == NULL ? NULL : (float *)call->saved[0] + (j->b * s->heads + j->head) * s->time;
    tg_status status = TG_OK;
    for (size_t first = 0; first < s->time && status == TG_OK; first += BLOCK)
        status = forward_block(j, first, s->time - first < BLOCK ? s->time - first : BLOCK, lse);
    return status;
}

/* The cache's share of one call: keys, rotated, and values of this run's tokens. */
static void append_to_cache(const tg_call *call, const shape *s, const float *table)
{
    for (size_t kv = 0; kv < s->kv_heads; kv++) {
        const size_t at = (kv * s->capacity + s->past) * s->dim;
        const head_view k = view(s, call->in, NULL, call->graph->format, K, 0, kv);
        const head_view v = view(s, call->in, NULL, call->graph->format, V, 0, kv);
        load_head(call->run->cache->key[call->op->as.attention.cache] + at, &k, 0, s->time, s->dim, table, 1.0f);
        load_head(call->run->cache->value[call->op->as.attention.cache] + at, &v, 0, s->time, s->dim, NULL, 1.0f);
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
        bench w = bench_of(&s, keys, false, thread_memory(&s, keys, false, call->scratch));
        head_job j = {.call = call, .s = &s, .table = table, .w = &w, .b = i / s.heads, .head = i % s.heads};
        const int status = (int)forward_head(&j);
        failed = status > failed ? status : failed;
    }
    return failed_in_a_thread(call, failed);
}

/* ---- backward ------------------------------------------------------------------------------------------------------ */

/* P and dS of a block of queries, in w->s and w->ds. */
static tg_status backward_scores(const head_job *j, size_t first, size_t count, size_t seen)
{
    const shape *s = j->s;
    bench *w = j->w;
    const float *lse = (const float *)j->call->saved[0] + (j->b * s->heads + j->head) * s->time;
    tg_status status = multiply(count, seen, s->dim, w->q, false, w->k, true, w->s, false);
    if (status == TG_OK)
        status = multiply(count, seen, s->dim, w->y, false, w->v, true, w->ds, false);
    for (size_t r = 0; r < count && status == TG_OK; r++) {
        const size_t n = keys_seen(s, first + r + 1);
        float *restrict p = w->s + r * seen, *restrict ds = w->ds + r * seen;
        tg_row_exp(p, lse[first + r], n);
        const float dot = tg_row_dot(p, ds, n);
        for (size_t i = 0; i < n; i++)
            ds[i] = p[i] * (ds[i] - dot);
        memset(p + n, 0, (seen - n) * sizeof *p);
        memset(ds + n, 0, (seen - n) * sizeof *ds);
    }
    return status;
}

static tg_status backward_block(const head_job *j, size_t first, size_t count, bool add)
{
    const shape *s = j->s;
    bench *w = j->w;
    const size_t seen = keys_seen(s, first + count), ld = s->heads * s->dim;
    const tg_format format = j->call->graph->format;
    const head_view q = view(s, j->call->in, NULL, format, Q, j->b, j->head);
    const size_t at = j->b * s->time * ld + j->head * s->dim;
    const head_view dy = {.first = (char *)(uintptr_t)j->call->dout[0] + at * tg_format_bytes(format), .ld = ld,
                          .format = format};
    load_head(w->q, &q, first, count, s->dim, j->table, s->scale);
    load_head(w->y, &dy, first, count, s->dim, NULL, 1.0f);
    tg_status status = backward_scores(j, first, count, seen);
    if (status == TG_OK)
        status = multiply(seen, s->dim, count, w->s, true, w->y, false, w->dv, add);
    if (status == TG_OK)
        status = multiply(seen, s->dim, count, w->ds, true, w->q, false, w->dk, add);
    const head_view dq = view(s, j->call->din, j->call->add, format, Q, j->b, j->head);
    if (status != TG_OK || dq.first == NULL)
        return status;
    status = multiply(count, s->dim, seen, w->ds, false, w->k, false, w->dq, false);
    if (status == TG_OK)
        store_head(&dq, first, count, s->dim, w->dq, j->table, &s->scale, 0);
    return status;
}

/* A key head and all query heads of its group. Blocks go from the last to the first: the last sees every key, so it
 * writes all of dK and dV and the others add. */
static tg_status backward_group(head_job *j, size_t kv)
{
    const shape *s = j->s;
    const tg_call *call = j->call;
    const tg_format format = call->graph->format;
    const size_t group = s->heads / s->kv_heads, last = (s->time - 1) / BLOCK;
    const head_view k = view(s, call->in, NULL, format, K, j->b, kv), v = view(s, call->in, NULL, format, V, j->b, kv);
    load_head(j->w->k, &k, 0, s->time, s->dim, j->table, 1.0f);
    load_head(j->w->v, &v, 0, s->time, s->dim, NULL, 1.0f);
    tg_status status = TG_OK;
    for (size_t g = 0; g < group; g++) {
        j->head = kv * group + g;
        for (size_t block = last + 1; block-- > 0 && status == TG_OK;) {
            const size_t first = block * BLOCK;
            status = backward_block(j, first, s->time - first < BLOCK ? s->time - first : BLOCK, g > 0 || block < last);
        }
    }
    const float one = 1.0f;
    const head_view dk = view(s, call->din, call->add, format, K, j->b, kv);
    const head_view dv = view(s, call->din, call->add, format, V, j->b, kv);
    if (status == TG_OK && dk.first != NULL)
        store_head(&dk, 0, s->time, s->dim, j->w->dk, j->table, &one, 0);
    if (status == TG_OK && dv.first != NULL)
        store_head(&dv, 0, s->time, s->dim, j->w->dv, NULL, &one, 0);
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
        bench w = bench_of(&s, s.time, true, thread_memory(&s, s.time, true, call->scratch));
        head_job j = {.call = call, .s = &s, .table = table, .w = &w, .b = i / s.kv_heads};
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

static tg_status plan(tg_graph *graph, tg_op *op)
{
    const shape s = shape_of(graph, op, NULL);
    const size_t threads = (size_t)omp_get_max_threads();
    const bool trains = graph->mode == TG_TRAIN;
    op->as.attention.threads = (int)threads;
    const size_t keys = most_keys(graph);
    op->scratch_bytes[TG_FORWARD] = scratch_bytes(&s, keys, false, threads);
    op->scratch_bytes[TG_BACKWARD] = trains ? scratch_bytes(&s, keys, true, threads) : 0;
    graph->flops += flops_of(&s) * (trains ? 3.0 : 1.0);
    if (trains)
        op->saved[0] = tg_graph_tensor(graph, TG_F32, s.batch * s.heads, s.time);
    const tg_product largest = {.m = BLOCK, .n = keys, .k = s.dim};
    const size_t library = threads * tg_product_f32_library_bytes(&largest);
    graph->library_bytes = library > graph->library_bytes ? library : graph->library_bytes;
    return graph->failed;
}

const tg_layer TG_PER_ISA(tg_layer_attention) = {
    .info = {.name = "attention",
             .help = "Causal or bidirectional attention, grouped queries, rotary positions.",
             .equations = "y = softmax(q k^T / sqrt(D)) v"},
    .keeps = TG_KEEPS_INPUT(Q) | TG_KEEPS_INPUT(K) | TG_KEEPS_INPUT(V),
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
