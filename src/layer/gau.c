/* layer/gau.c -- the gated attention unit (Hua et al. 2022, arXiv:2202.10447, FLASH-Quad): attention and gate in one.
 *
 *   b = silu(z)    q = rope(b gq + bq)    k = rope(b gk + bk)    S = q k^T / sqrt(D)
 *   A = relu(S)^2 / n   or softmax(S), rows; causal: a query sees no later key; n: the keys that it sees
 *   a = A silu(v)       y = silu(u) a
 *
 *   du = dy a silu'(u)    da = dy silu(u)    dv = (A^T da) silu'(v)    dA = da silu(v)^T
 *   dS = dA 2 relu(S) / n   or A (dA - rowsum(A dA))      dq = dS k / sqrt(D)      dk = dS^T q / sqrt(D)
 *
 * Inputs: u, v (B*T, E), z (B*T, D); weights gq, bq, gk, bk (D). One head of E features: all of them share one A. The
 * paper divides S by the window's length inside of the square and adds a relative position bias; here positions are
 * rotations and what a row is divided by are its own keys (both by Su Jianlin), so that a token's features do not
 * depend on what comes after it, and generation with a cache computes the same.
 *
 * Nothing but inputs is kept (softmax: a log-sum-exp a token). Memory is linear in the length: forward takes 64 queries
 * at a time against all keys they see; backward does that once more for du and dq, then takes 64 keys at a time against
 * all queries that see them, for dk and dv. Each such block is one thread's, with its own results, so the number of
 * threads changes nothing. Operands are made for some sequences at a time: silu of v and da, as large as u. */
#include <math.h>
#include <omp.h>

#include "base/kernels.h"
#include "base/memory.h"
#include "base/vecmath.h"
#include "graph/product.h"
#include "layer/heads.h"
#include "layer/layers.h"
#include "layer/norm.h"
#include "layer/rows.h"
#include "layer/work.h"

enum { GATE, VALUE, BASE };     /* inputs: u, v, z */
enum { GQ, BQ, GK, BK, SLOTS }; /* weights */

#define BLOCK ((size_t)64)      /* queries, or keys */
#define TOGETHER ((size_t)1024) /* tokens at a time, unless a sequence has more */

typedef struct unit {
    size_t batch, time, dim, hidden, past, capacity;
    size_t together, blocks; /* sequences at a time; blocks of a sequence */
    double theta;
    bool causal, softmax;
    float scale;
} unit;

static unit unit_of(const tg_graph *graph, const tg_op *op, const tg_run *run)
{
    const bool generates = run != NULL && graph->mode == TG_GENERATE && run->cache != NULL;
    const size_t time = graph->time, together = tg_least(graph->batch, time < TOGETHER ? TOGETHER / time : 1);
    const size_t dim = graph->tensor[op->input[BASE]].cols;
    return (unit){.batch = graph->batch,
                  .time = time,
                  .dim = dim,
                  .hidden = graph->tensor[op->input[GATE]].cols,
                  .past = generates ? run->cache->used : 0,
                  .capacity = generates ? run->cache->capacity : 0,
                  .together = together,
                  .blocks = (time + BLOCK - 1) / BLOCK,
                  .theta = op->as.gau.rope_theta,
                  .causal = op->as.gau.causal,
                  .softmax = op->as.gau.kind == TG_GAU_SOFTMAX,
                  .scale = (float)(1.0 / sqrt((double)dim))};
}

/* Generating, the keys may be as many as the model's context. */
static size_t most_keys(const tg_graph *graph)
{
    const size_t context = graph->model->config.context;
    return graph->mode == TG_GENERATE ? tg_larger(graph->time, context) : graph->time;
}

/* Generation multiplies in fp32, as the cache is kept. */
static tg_work work_of(const tg_graph *graph)
{
    tg_work work = tg_work_plan(graph);
    if (graph->mode == TG_GENERATE)
        work.format = TG_F32;
    return work;
}

/* Native products are compiled for every number of rows, so `n` of `all` is rounded up to one of at most 8. */
static size_t rounded(const tg_work *work, size_t n, size_t all)
{
    return work->format == TG_F32 ? n : tg_least(all, tg_round_up(n, tg_round_up((all + 7) / 8, BLOCK)));
}

/* ---- scratch ------------------------------------------------------------------------------------------------------- */

/* What all threads share: operands of `together` sequences, and what is summed. */
typedef struct room {
    float *table;         /* (T, D): rotations; without any, NULL */
    float *widened;       /* (4, D) */
    const float *weight[SLOTS];
    matrix q, k, v, da;   /* (tokens, D) and (tokens, E), operands; of a cache k and v lie there */
    float *dq, *dk, *dot; /* (tokens, D); (tokens): rowsum(A dA) */
    float *partial;       /* (B * blocks, 4 D): gradients of the weights */
} room;

/* A thread's own. Where operands are fp32, p is s and slope is ds. */
typedef struct bench {
    float *s, *ds;   /* (BLOCK, keys, padded) or (T, BLOCK) */
    void *p, *slope; /* the same as operands: A, dS */
    float *out;      /* (BLOCK, E): a, dv */
    float *row;      /* (3, D) */
} bench;

typedef struct job {
    const tg_call *call; /* NULL when planning */
    const unit *u;
    const room *r;
    tg_work *work;
    bench w;
    tg_phase phase;
    size_t sequence; /* the first of those that are worked on */
} job;

static room room_init(tg_work *work, const unit *u, bool backward)
{
    const size_t tokens = u->together * u->time, operand = tg_format_bytes(work->format), f = sizeof(float);
    const size_t keys = tokens * u->dim, values = tokens * u->hidden;
    room r = {.widened = tg_work_take(work, SLOTS * u->dim * f),
              .table = tg_work_take(work, u->theta == 0.0 ? 0 : u->time * u->dim * f),
              .q = {tg_work_take(work, keys * operand), u->dim},
              .k = {tg_work_take(work, keys * operand), u->dim},
              .v = {tg_work_take(work, values * operand), u->hidden}};
    if (!backward)
        return r;
    r.da = (matrix){tg_work_take(work, values * operand), u->hidden};
    r.dq = tg_work_take(work, keys * f);
    r.dk = tg_work_take(work, keys * f);
    r.dot = tg_work_take(work, u->softmax ? tokens * f : 0);
    r.partial = tg_work_take(work, u->batch * u->blocks * SLOTS * u->dim * f);
    return r;
}

static bench bench_init(tg_work *work, const unit *u, size_t keys, bool backward)
{
    const size_t scores = BLOCK * padded(keys), operand = tg_format_bytes(work->format), f = sizeof(float);
    const bool same = work->format == TG_F32;
    bench b = {.s = tg_work_take(work, scores * f),
               .ds = tg_work_take(work, backward ? scores * f : 0),
               .out = tg_work_take(work, BLOCK * u->hidden * f),
               .row = tg_work_take(work, 3 * u->dim * f)};
    b.p = same ? b.s : tg_work_take(work, scores * operand);
    b.slope = same ? b.ds : tg_work_take(work, backward ? scores * operand : 0);
    tg_work_taken(work);
    return b;
}

/* Bytes of `room`, which lies first in scratch. */
static size_t room_bytes(const tg_graph *graph, const unit *u, bool backward)
{
    tg_work work = work_of(graph);
    room_init(&work, u, backward);
    return work.scratch_bytes;
}

static room room_of(const tg_call *call, const unit *u, bool backward)
{
    tg_work work = work_of(call->graph);
    work.planning = false;
    work.scratch = call->scratch;
    room r = room_init(&work, u, backward);
    for (int slot = 0; slot < SLOTS; slot++)
        r.weight[slot] = tg_norm_weight(r.widened + (size_t)slot * u->dim, call, slot, u->dim);
    if (u->theta == 0.0)
        r.table = NULL;
    else
        tg_rope_table(r.table, u->past, u->time, u->dim, u->theta, NULL);
    if (u->capacity > 0) {
        r.k.x = call->run->cache->key[call->op->as.gau.cache];
        r.v.x = call->run->cache->value[call->op->as.gau.cache];
    }
    return r;
}

/* The rows of m from `row` on; of none when planning. */
static matrix rows_of(const job *j, matrix m, size_t row)
{
    return m.x == NULL ? m : (matrix){tg_to(m.x, j->work->format, row * m.ld), m.ld};
}

/* ---- work on all blocks, by all threads ---------------------------------------------------------------------------- */

typedef tg_status block_function(job *j, size_t sequence, size_t first);

static tg_status each_block(const job *all, block_function *work_on)
{
    const tg_call *call = all->call;
    const unit *u = all->u;
    const bool backward = all->phase == TG_BACKWARD;
    const size_t shared = room_bytes(call->graph, u, backward), threads = (size_t)call->op->as.gau.threads;
    const size_t share = (call->op->scratch_bytes[all->phase] - shared) / threads;
    const size_t jobs = tg_least(u->together, u->batch - all->sequence) * u->blocks;
    int failed = TG_OK;
#pragma omp parallel for schedule(dynamic, 1) num_threads(call->op->as.gau.threads) reduction(max : failed)
    for (size_t i = 0; i < jobs; i++) {
        job j = *all;
        tg_work work = work_of(call->graph);
        work.planning = false;
        work.scratch = (char *)call->scratch + shared + share * (size_t)omp_get_thread_num();
        j.work = &work;
        j.w = bench_init(&work, u, most_keys(call->graph), backward);
        const int status = (int)work_on(&j, i / u->blocks, i % u->blocks * BLOCK);
        failed = status > failed ? status : failed;
    }
    return failed == TG_OK ? TG_OK : tg_fail((tg_status)failed, "%s: a matrix product failed", call->op->name);
}

static size_t block_rows(const job *j, size_t first) { return tg_least(BLOCK, j->u->time - first); }

/* ---- operands ------------------------------------------------------------------------------------------------------ */

static void silu(float *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * tg_logistic(x[i]);
}

/* y <- factor silu(x) */
static void gate(float *restrict y, const float *restrict x, const float *restrict factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = factor[i] * (x[i] * tg_logistic(x[i]));
}

/* dx <- dy silu'(x) */
static void silu_slope(float *restrict dx, const float *restrict x, const float *restrict dy, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float s = tg_logistic(x[i]);
        dx[i] = dy[i] * (s * (1.0f + x[i] * (1.0f - s)));
    }
}

static void scale_offset(float *restrict y, const float *restrict x, const float *restrict gain,
                         const float *restrict offset, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * gain[i] + offset[i];
}

/* Row `row` of v, or of da where dy is given, as operands. */
static void make_values(const job *j, matrix to, size_t row, int input, size_t token, const void *dy)
{
    const tg_format format = j->call->graph->format;
    const size_t n = j->u->hidden;
    for (size_t c = 0; c < n; c += TG_PIECE) {
        float x_buffer[TG_PIECE], dy_buffer[TG_PIECE], y[TG_PIECE];
        const size_t now = tg_piece_length(n, c), at = token * n + c;
        const float *x = tg_elements_read(x_buffer, j->call->in[input], format, at, now);
        if (dy == NULL)
            silu(y, x, now);
        else
            gate(y, x, tg_elements_read(dy_buffer, dy, format, at, now), now);
        TG_PER_ISA(tg_kernels).narrow(tg_to(to.x, j->work->format, row * n + c), y, j->work->format, now);
    }
}

/* silu(z) of a token; z itself to `z` (D) where that is not NULL. */
static void make_base(const job *j, float *base, float *z, size_t token)
{
    const size_t dim = j->u->dim;
    const tg_format format = j->call->graph->format;
    float *x = z != NULL ? z : j->w.row + 2 * dim;
    TG_PER_ISA(tg_kernels).widen(x, tg_at(j->call->in[BASE], format, token * dim), format, dim);
    silu(base, x, dim);
}

/* Row `row` of q or k, as operands: of a token at place t, by the scale in slot `gain` and the offset in the next. */
static void make_turned(const job *j, matrix to, size_t row, const float *base, int gain, size_t t)
{
    const size_t dim = j->u->dim;
    float *x = j->w.row + dim;
    scale_offset(x, base, j->r->weight[gain], j->r->weight[gain + 1], dim);
    if (j->r->table != NULL)
        tg_rope(x, j->r->table + t * dim, dim);
    TG_PER_ISA(tg_kernels).narrow(tg_to(to.x, j->work->format, row * dim), x, j->work->format, dim);
}

/* q, k and v of a block of tokens, and da in backward. */
static tg_status make_operands(job *j, size_t sequence, size_t first)
{
    const unit *u = j->u;
    const room *r = j->r;
    float *base = j->w.row;
    for (size_t t = first; t < first + block_rows(j, first); t++) {
        const size_t row = sequence * u->time + t, token = j->sequence * u->time + row, key = u->past + row;
        make_base(j, base, NULL, token);
        make_turned(j, r->q, row, base, GQ, t);
        make_turned(j, r->k, key, base, GK, t);
        make_values(j, r->v, key, VALUE, token, NULL);
        if (j->phase == TG_BACKWARD)
            make_values(j, r->da, row, GATE, token, j->call->dout[0]);
    }
    return TG_OK;
}

/* ---- scores -------------------------------------------------------------------------------------------------------- */

/* x <- relu(scale x)^2 share, and, unless NULL, d <- its derivative times d. */
static void square_row(float *restrict x, float *restrict d, float scale, float share, size_t n)
{
    for (size_t i = 0; i < n && d != NULL; i++)
        d[i] *= 2.0f * scale * share * (x[i] <= 0.0f ? 0.0f : scale * x[i]);
    for (size_t i = 0; i < n; i++) {
        const float s = x[i] <= 0.0f ? 0.0f : scale * x[i]; /* NaN stays NaN */
        x[i] = s * s * share;
    }
}

/* Forward: the log-sum-exp is made. */
static void softmax_row(float *x, float scale, float *lse, size_t n)
{
    const float most = tg_row_max(x, n) * scale, sum = tg_row_exp_sum(x, scale, most, n), share = 1.0f / sum;
    for (size_t i = 0; i < n; i++)
        x[i] *= share;
    if (lse != NULL)
        *lse = most + logf(sum);
}

/* How many keys query t of a sequence sees. */
static size_t keys_of_row(const job *j, size_t sequence, size_t t)
{
    const uint32_t *lengths = j->call->run->lengths;
    const size_t length = lengths == NULL ? j->u->time : tg_larger(lengths[j->sequence + sequence], 1);
    return j->u->past + (j->u->causal ? t + 1 : tg_least(length, j->u->time));
}

/* Some rows of S, from query `first` of a sequence on, and columns, from `key` on. */
typedef struct part {
    size_t sequence, first, rows, key, keys;
    bool of_keys; /* not all keys of the rows: rowsum(A dA) was made before */
} part;

/* S to A, and dA to dS, both as operands too. */
static void weigh(const job *j, const part *a)
{
    const unit *u = j->u;
    const size_t ld = padded(a->keys), at = (j->sequence + a->sequence) * u->time;
    float *lse = j->call->saved[0];
    for (size_t r = 0; r < a->rows; r++) {
        const size_t seen = keys_of_row(j, a->sequence, a->first + r), row = a->sequence * u->time + a->first + r;
        const size_t n = seen <= a->key ? 0 : tg_least(seen - a->key, a->keys);
        float *x = j->w.s + r * ld, *d = j->phase == TG_BACKWARD ? j->w.ds + r * ld : NULL;
        memset(x + n, 0, (ld - n) * sizeof *x);
        if (d != NULL)
            memset(d + n, 0, (ld - n) * sizeof *d);
        if (!u->softmax)
            square_row(x, d, u->scale, 1.0f / (float)seen, n);
        else if (d == NULL)
            softmax_row(x, u->scale, lse == NULL ? NULL : lse + at + a->first + r, n);
        else {
            tg_row_exp_sum(x, u->scale, lse[at + a->first + r], n);
            if (!a->of_keys)
                j->r->dot[row] = tg_row_dot(x, d, n);
            tg_row_slope(d, x, j->r->dot[row], u->scale, padded(n));
        }
    }
    if (j->w.p != j->w.s)
        TG_PER_ISA(tg_kernels).narrow(j->w.p, j->w.s, j->work->format, a->rows * ld);
    if (j->phase == TG_BACKWARD && j->w.slope != j->w.ds)
        TG_PER_ISA(tg_kernels).narrow(j->w.slope, j->w.ds, j->work->format, a->rows * ld);
}

/* S, A and in backward dA, dS of a part. */
static tg_status score(job *j, const part *a)
{
    const room *r = j->r;
    const size_t query = a->sequence * j->u->time + a->first, key = a->sequence * j->u->time + a->key;
    const size_t ld = padded(a->keys);
    tg_status status = multiply(j->work, a->rows, a->keys, j->u->dim, rows_of(j, r->q, query), false,
                                rows_of(j, r->k, key), true, (matrix){j->w.s, ld}, false);
    if (status == TG_OK && j->phase == TG_BACKWARD)
        status = multiply(j->work, a->rows, a->keys, j->u->hidden, rows_of(j, r->da, query), false,
                          rows_of(j, r->v, key), true, (matrix){j->w.ds, ld}, false);
    if (status == TG_OK && !j->work->planning)
        weigh(j, a);
    return status;
}

/* ---- a block of queries -------------------------------------------------------------------------------------------- */

/* What is left to do with (rows, E) values computed in w.out, from token `token` on. */
static void finish_values(const job *j, void *to, bool add, int input, bool slope, const void *dy, size_t token,
                          size_t rows)
{
    const tg_format format = j->call->graph->format;
    const size_t n = j->u->hidden;
    for (size_t i = 0; i < rows; i++)
        for (size_t c = 0; c < n; c += TG_PIECE) {
            float x_buffer[TG_PIECE], dy_buffer[TG_PIECE], y_buffer[TG_PIECE];
            const size_t now = tg_piece_length(n, c), at = (token + i) * n + c;
            const float *x = tg_elements_read(x_buffer, j->call->in[input], format, at, now);
            float *a = j->w.out + i * n + c, *y = tg_elements_target(y_buffer, to, format, at, add);
            if (dy != NULL) {
                const float *factor = tg_elements_read(dy_buffer, dy, format, at, now);
                for (size_t l = 0; l < now; l++)
                    a[l] *= factor[l];
            }
            if (slope)
                silu_slope(y, x, a, now);
            else
                gate(y, x, a, now);
            tg_elements_write(to, y, format, at, now, add);
        }
}

/* Forward: y. Backward: du, and dq for later. */
static tg_status work_on_queries(job *j, size_t sequence, size_t first)
{
    const unit *u = j->u;
    const tg_call *call = j->call;
    const bool backward = j->phase == TG_BACKWARD;
    const size_t count = block_rows(j, first), all = u->past + u->time;
    const size_t keys = u->causal ? rounded(j->work, u->past + first + count, all) : all;
    const part a = {.sequence = sequence, .first = first, .rows = count, .keys = keys};
    const size_t row = sequence * u->time, token = j->sequence * u->time + row + first;
    const matrix p = {j->w.p, padded(keys)}, ds = {j->w.slope, padded(keys)}, out = {j->w.out, u->hidden};
    const matrix dq = {j->r->dq == NULL ? NULL : j->r->dq + (row + first) * u->dim, u->dim};
    tg_status status = score(j, &a);
    if (status == TG_OK)
        status = multiply(j->work, count, u->hidden, keys, p, false, rows_of(j, j->r->v, row), false, out, false);
    if (status == TG_OK && backward)
        status = multiply(j->work, count, u->dim, keys, ds, false, rows_of(j, j->r->k, row), false, dq, false);
    if (status != TG_OK || j->work->planning)
        return status;
    if (!backward)
        finish_values(j, call->out[0], false, GATE, false, NULL, token, count);
    else if (call->din[GATE] != NULL)
        finish_values(j, call->din[GATE], call->add[GATE], GATE, true, call->dout[0], token, count);
    return TG_OK;
}

/* ---- a block of keys ----------------------------------------------------------------------------------------------- */

/* dv, and dk for later. */
static tg_status work_on_keys(job *j, size_t sequence, size_t first)
{
    const unit *u = j->u;
    const size_t count = block_rows(j, first);
    const size_t rows = u->causal ? rounded(j->work, u->time - first, u->time) : u->time, query = u->time - rows;
    const part a = {.sequence = sequence, .first = query, .rows = rows, .key = first, .keys = count, .of_keys = true};
    const size_t row = sequence * u->time, token = j->sequence * u->time + row + first;
    const matrix p = {j->w.p, padded(count)}, ds = {j->w.slope, padded(count)}, out = {j->w.out, u->hidden};
    const matrix dk = {j->r->dk == NULL ? NULL : j->r->dk + (row + first) * u->dim, u->dim};
    const matrix da = rows_of(j, j->r->da, row + query), q = rows_of(j, j->r->q, row + query);
    tg_status status = score(j, &a);
    if (status == TG_OK)
        status = multiply(j->work, count, u->hidden, rows, p, true, da, false, out, false);
    if (status == TG_OK)
        status = multiply(j->work, count, u->dim, rows, ds, true, q, false, dk, false);
    if (status == TG_OK && !j->work->planning && j->call->din[VALUE] != NULL)
        finish_values(j, j->call->din[VALUE], j->call->add[VALUE], VALUE, true, NULL, token, count);
    return status;
}

/* ---- from dq and dk to dz and the weights -------------------------------------------------------------------------- */

/* dbase += d gain; the weights' gradients += theirs. */
static void gather(float *restrict dbase, float *restrict dgain, float *restrict doffset, const float *restrict d,
                   const float *restrict base, const float *restrict gain, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dgain[i] += d[i] * base[i];
        doffset[i] += d[i];
        dbase[i] += d[i] * gain[i];
    }
}

static tg_status work_on_base(job *j, size_t sequence, size_t first)
{
    const unit *u = j->u;
    const room *r = j->r;
    const tg_call *call = j->call;
    const size_t dim = u->dim, block = (j->sequence + sequence) * u->blocks + first / BLOCK;
    float *base = j->w.row, *z = base + dim, *dbase = z + dim, *sums = r->partial + block * SLOTS * dim;
    memset(sums, 0, SLOTS * dim * sizeof *sums);
    for (size_t t = first; t < first + block_rows(j, first); t++) {
        const size_t row = sequence * u->time + t, token = j->sequence * u->time + row;
        make_base(j, base, z, token);
        memset(dbase, 0, dim * sizeof *dbase);
        for (int slot = GQ; slot <= GK; slot += GK - GQ) {
            float *d = (slot == GQ ? r->dq : r->dk) + row * dim;
            if (r->table != NULL)
                tg_rope_back(d, r->table + t * dim, dim);
            gather(dbase, sums + (size_t)slot * dim, sums + (size_t)(slot + 1) * dim, d, base, r->weight[slot], dim);
        }
        if (call->din[BASE] == NULL)
            continue;
        silu_slope(base, z, dbase, dim);
        tg_finish_row(call->din[BASE], call->graph->format, token * dim, base, NULL, call->add[BASE], dim);
    }
    return TG_OK;
}

/* ---- the layer ----------------------------------------------------------------------------------------------------- */

static tg_status forward(const tg_call *call)
{
    const unit u = unit_of(call->graph, call->op, call->run);
    if (u.past + u.time > most_keys(call->graph))
        return tg_fail(TG_EINVAL, "%s: position %zu is past the model's context", call->op->name, u.past + u.time - 1);
    const room r = room_of(call, &u, false);
    job j = {.call = call, .u = &u, .r = &r, .phase = TG_FORWARD};
    tg_status status = TG_OK;
    for (; j.sequence < u.batch && status == TG_OK; j.sequence += u.together) {
        status = each_block(&j, make_operands);
        if (status == TG_OK)
            status = each_block(&j, work_on_queries);
    }
    return status;
}

static tg_status backward(const tg_call *call)
{
    const unit u = unit_of(call->graph, call->op, NULL);
    const room r = room_of(call, &u, true);
    job j = {.call = call, .u = &u, .r = &r, .phase = TG_BACKWARD};
    block_function *const step[] = {make_operands, work_on_queries, work_on_keys, work_on_base};
    tg_status status = TG_OK;
    for (; j.sequence < u.batch; j.sequence += u.together)
        for (size_t i = 0; i < sizeof step / sizeof *step && status == TG_OK; i++)
            status = each_block(&j, step[i]);
    if (status != TG_OK)
        return status;
    tg_norm_add_groups(r.partial, u.batch * u.blocks, SLOTS * u.dim);
    for (int slot = 0; slot < SLOTS && status == TG_OK; slot++)
        status = tg_norm_hand_over(call, slot, r.partial + (size_t)slot * u.dim, u.dim);
    return status;
}

static double flops_of(const unit *u)
{
    double scores = 0;
    for (size_t first = 0; first < u->time; first += BLOCK) {
        const size_t end = tg_least(first + BLOCK, u->time);
        scores += (double)(end - first) * (double)(u->causal ? end : u->time);
    }
    return 2.0 * scores * (double)(u->dim + u->hidden) * (double)u->batch;
}

/* A thread's scratch, and its products compiled: the walk over a sequence's blocks that running does. */
static tg_status plan_thread(tg_graph *graph, const unit *u, tg_phase phase, size_t *bytes)
{
    tg_work work = work_of(graph);
    const room nothing = {.q.ld = u->dim, .k.ld = u->dim, .v.ld = u->hidden, .da.ld = u->hidden};
    job j = {.u = u, .r = &nothing, .work = &work, .phase = phase};
    bench_init(&work, u, most_keys(graph), phase == TG_BACKWARD);
    tg_status status = TG_OK;
    for (size_t first = 0; first < u->time && status == TG_OK; first += BLOCK) {
        status = work_on_queries(&j, 0, first);
        if (status == TG_OK && phase == TG_BACKWARD)
            status = work_on_keys(&j, 0, first);
    }
    const size_t library = work.library_bytes * (size_t)omp_get_max_threads();
    graph->library_bytes = tg_larger(graph->library_bytes, library);
    *bytes = tg_work_bytes(&work, graph);
    return status;
}

static tg_status plan(tg_graph *graph, tg_op *op)
{
    const unit u = unit_of(graph, op, NULL);
    const size_t threads = (size_t)omp_get_max_threads();
    const bool trains = tg_graph_goes_back(graph);
    op->as.gau.threads = (int)threads;
    for (int phase = TG_FORWARD; phase <= (trains ? TG_BACKWARD : TG_FORWARD); phase++) {
        size_t share;
        const tg_status status = plan_thread(graph, &u, (tg_phase)phase, &share);
        if (status != TG_OK)
            return status;
        op->scratch_bytes[phase] = room_bytes(graph, &u, phase == TG_BACKWARD) + threads * share;
    }
    graph->flops += flops_of(&u) * tg_graph_passes(graph);
    if (trains && u.softmax)
        op->saved[0] = tg_graph_tensor(graph, TG_F32, u.batch, u.time);
    return graph->failed;
}

const tg_layer TG_PER_ISA(tg_layer_gau) = {
    .info = {.name = "gau",
             .help = "gated attention unit: squared-relu or softmax attention of one head, times a gate",
             .equations = "y = silu(u) (A silu(v)), A = relu(q k^T / sqrt(D))^2 / n"},
    .keeps = TG_KEEPS_INPUT(GATE) | TG_KEEPS_INPUT(VALUE) | TG_KEEPS_INPUT(BASE),
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
