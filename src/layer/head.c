/* layer/head.c -- output product fused with softmax cross-entropy; the logits of all tokens never exist.
 *
 *   L = x W^T + b    loss_i = lse_i - (1-s) L[i,t_i] - s mean_j L[i,j]    lse_i = log sum_j exp L[i,j]
 *   G[i,j] = (exp(L[i,j] - lse_i) - (1-s) [j = t_i] - s/V) / N        dx = G W    dW = G^T x
 *   db[j] = sum_i G[i,j]
 *
 * x (M,C), W (V,C), b (V) where there is one, targets t (M), negative: ignored; N targets count; s: label smoothing.
 * The mean over N is the loss.
 *
 * Tokens come in chunks, the vocabulary in panels. A first walk over the panels makes fp32 logits of one panel, takes
 * their maximum m and sum of exp(L - m) per row (the online softmax of Milakov & Gimelshein 2018, arXiv:1805.02867),
 * and keeps E = exp(L - m), in [0, 1], in the activations' format: (chunk, V) is the largest scratch here. A second
 * walk turns E into G = E exp(m - lse) / N - ..., and makes dx and one tile of dW per panel.
 *
 * The guard: a bad value in x or W shows in some lse. With one chunk all of them are known before the first tile;
 * before several, |L| <= max_i |x_i| |W|_F + max |b| (Cauchy & Schwarz; partial sums too) must be finite in fp32 with
 * room to spare. Otherwise the loss is reported as NaN and nothing is handed to the sink. */
#include <math.h>

#include "base/kernels.h"
#include "base/random.h"
#include "base/vecmath.h"
#include "layer/finish.h"
#include "layer/layer.h"
#include "layer/rows.h"
#include "layer/thin.h"
#include "layer/work.h"

#define KEPT_BYTES ((size_t)128 << 20) /* of E */
#define LABELS 0x6c61626cu          /* purpose of a random stream */
#define LOGITS_LIMIT 1e37              /* bound on |L|: FLT_MAX with room */
#define SQUARES_PIECE ((size_t)1 << 16)

enum { X, W = 0, B = 1 };

typedef struct head {
    size_t m, c, v, chunk, panel, panels;
    tg_format format;
    const tg_param *w, *b;  /* b NULL: none */
    bool trains;
    float *bias, *db;       /* (V), fp32; NULL without; db NULL where nothing is trained */
    void *x, *weight;       /* scratch: converted operands; NULL where not needed */
    float *logits;          /* (chunk, panel); NULL: in `kept` itself */
    void *kept;             /* E, then G, (chunk, V); NULL: not kept */
    float *dx;              /* (chunk, C); NULL: straight into dx */
    float *tile;            /* (panel, C) */
    float *most, *sum;      /* (chunk, panels): of each row in each panel */
    float *sum_logits;      /* (chunk, panels), for label smoothing */
    float *target_logit;    /* (chunk) */
    int32_t *drawn;         /* (chunk): targets drawn from the model's own output */
    float *first;           /* (chunk): the largest logit of the panels so far; NULL where training */
    int32_t *choice;        /* (chunk): the first place that has it */
    double *lse, *squares;  /* (chunk); (pieces + M), NULL with one chunk */
} head;

static size_t pieces_of(size_t n) { return (n + SQUARES_PIECE - 1) / SQUARES_PIECE; }

static head head_init(tg_work *work, const tg_graph *graph, const tg_op *op)
{
    head h = {.m = graph->tensor[op->input[X]].rows,
              .format = graph->format,
              .w = tg_op_weight(graph, op, W),
              .b = tg_op_weight(graph, op, B),
              .trains = tg_graph_goes_back(graph)};
    h.c = h.w->cols;
    h.v = h.w->rows;
    const size_t bytes = tg_format_bytes(h.format), operand = tg_format_bytes(work->format);
    const bool same_x = h.format == work->format, in_place = h.trains && h.format == TG_F32;
    h.panel = tg_panel_size(h.v, TG_PANEL_BYTES / (4 * h.c));
    h.panels = (h.v + h.panel - 1) / h.panel;
    const size_t rows = h.trains ? KEPT_BYTES / (h.v * bytes) : TG_CHUNK_BYTES / (4 * (h.panel + h.c));
    h.chunk = tg_panel_size(h.m, rows);
    h.x = same_x ? NULL : tg_work_take(work, h.chunk * h.c * operand);
    h.weight = h.w->format == work->format ? NULL : tg_work_take(work, h.panel * h.c * operand);
    h.logits = in_place ? NULL : tg_work_take(work, h.chunk * h.panel * sizeof(float));
    h.kept = !h.trains ? NULL : tg_work_take(work, h.chunk * h.v * bytes);
    h.dx = !h.trains || h.format == TG_F32 ? NULL : tg_work_take(work, h.chunk * h.c * sizeof(float));
    h.tile = !h.trains ? NULL : tg_work_take(work, h.panel * h.c * sizeof(float));
    h.bias = h.b == NULL ? NULL : tg_work_take(work, h.v * sizeof(float));
    h.db = h.b == NULL || !h.trains ? NULL : tg_work_take(work, h.v * sizeof(float));
    h.most = tg_work_take(work, h.chunk * h.panels * sizeof(float));
    h.sum = tg_work_take(work, h.chunk * h.panels * sizeof(float));
    h.sum_logits = tg_work_take(work, h.chunk * h.panels * sizeof(float));
    h.target_logit = tg_work_take(work, h.chunk * sizeof(float));
    h.drawn = !h.trains ? NULL : tg_work_take(work, h.chunk * sizeof(int32_t));
    h.first = h.trains ? NULL : tg_work_take(work, h.chunk * sizeof(float));
    h.choice = h.trains ? NULL : tg_work_take(work, h.chunk * sizeof(int32_t));
    h.lse = tg_work_take(work, h.chunk * sizeof(double));
    h.squares = !h.trains || h.chunk == h.m ? NULL : tg_work_take(work, tg_round_up(pieces_of(h.v * h.c) + h.m, 8) * sizeof(double));
    tg_work_taken(work);
    return h;
}

/* ---- operands -------------------------------------------------------------------------------------------------------- */

/* Rows of W from `col` of the vocabulary on. */
static const void *weight_panel(const tg_work *work, const head *h, size_t col, size_t cols)
{
    const void *first = tg_at(h->w->data, h->w->format, col * h->c);
    if (h->w->format == work->format)
        return first;
    if (!work->planning)
        tg_convert(h->weight, work->format, first, h->w->format, cols, h->c, h->c);
    return h->weight;
}

static const void *x_chunk(const tg_work *work, const head *h, const void *x, size_t row, size_t rows)
{
    const void *first = tg_at(x, h->format, row * h->c);
    if (h->format == work->format)
        return first;
    if (!work->planning)
        tg_convert(h->x, work->format, first, h->format, rows, h->c, h->c);
    return h->x;
}

/* Logits (rows, cols) of a panel; *ld from row to row. */
static tg_status panel_logits(tg_work *work, const head *h, const void *x, size_t col, size_t rows, size_t cols,
                              float **logits, size_t *ld)
{
    *ld = h->trains && h->format == TG_F32 ? h->v : cols;
    *logits = h->trains && h->format == TG_F32 && !work->planning ? (float *)h->kept + col : h->logits;
    const tg_product product = {.m = rows, .n = cols, .k = h->c, .transpose_b = true, .lda = h->c, .ldb = h->c,
                                .ldc = *ld};
    return tg_work_product(work, &product, x, weight_panel(work, h, col, cols), NULL, *logits);
}

/* ---- first walk: logits, softmax, loss ----------------------------------------------------------------------------- */

typedef struct panel_at {
    size_t index, col, cols, rows, ld;
    float *logits;
} panel_at;

/* l (n) += bias */
static void add_bias(float *restrict l, const float *restrict bias, size_t n)
{
    for (size_t i = 0; i < n; i++)
        l[i] += bias[i];
}

/* The model's first choice after this panel; `most` is the row's largest logit in it. */
static void choose(const head *h, const panel_at *p, size_t r, const float *l, float most)
{
    size_t c = 0;
    if (p->index > 0 && !(most > h->first[r]))
        return;
    while (c + 1 < p->cols && l[c] != most)
        c++;
    h->first[r] = most;
    h->choice[r] = (int32_t)(p->col + c);
}

/* Statistics of a panel's rows; E to its place. */
static void take_panel(const head *h, const panel_at *p, const int32_t *target, bool smoothing, bool chooses)
{
#pragma omp parallel for schedule(static) if (p->rows * p->cols >= TG_FINISH_SERIAL_BELOW)
    for (size_t r = 0; r < p->rows; r++) {
        float *restrict l = p->logits + r * p->ld;
        const size_t at = r * h->panels + p->index;
        if (h->bias != NULL)
            add_bias(l, h->bias + p->col, p->cols);
        if (target[r] >= 0 && (size_t)target[r] >= p->col && (size_t)target[r] < p->col + p->cols)
            h->target_logit[r] = l[(size_t)target[r] - p->col];
        if (smoothing)
            h->sum_logits[at] = tg_row_sum(l, p->cols);
        const float most = tg_row_max(l, p->cols);
        if (chooses)
            choose(h, p, r, l, most);
        h->most[at] = most;
        h->sum[at] = tg_row_exp_sum(l, 1.0f, most, p->cols);
        if (h->kept != NULL && h->format != TG_F32)
            TG_PER_ISA(tg_kernels).narrow(tg_to(h->kept, h->format, r * h->v + p->col), l, h->format, p->cols);
    }
}

/* lse of row r from its panels. */
static double row_lse(const head *h, size_t r)
{
    const float *most = h->most + r * h->panels, *sum = h->sum + r * h->panels;
    double top = (double)most[0], total = 0;
    for (size_t p = 1; p < h->panels; p++)
        top = (double)most[p] > top ? (double)most[p] : top;
    for (size_t p = 0; p < h->panels; p++)
        total += (double)sum[p] * exp((double)most[p] - top);
    return top + log(total);
}

static double row_loss(const head *h, size_t r, double smoothing)
{
    double mean = 0;
    for (size_t p = 0; p < h->panels && smoothing != 0.0; p++)
        mean += (double)h->sum_logits[r * h->panels + p];
    mean /= (double)h->v;
    return h->lse[r] - (1.0 - smoothing) * (double)h->target_logit[r] - smoothing * mean;
}

/* `wants`: the run whose hits and choices are wanted; NULL: none. */
static tg_status score_chunk(tg_work *work, const head *h, const void *x, const int32_t *target, size_t rows,
                             double smoothing, double *loss, tg_run *wants)
{
    for (size_t i = 0; i < h->panels; i++) {
        panel_at p = {.index = i, .col = i * h->panel, .cols = tg_least(h->panel, h->v - i * h->panel), .rows = rows};
        const tg_status status = panel_logits(work, h, x, p.col, rows, p.cols, &p.logits, &p.ld);
        if (status != TG_OK)
            return status;
        if (!work->planning)
            take_panel(h, &p, target, smoothing != 0.0, wants != NULL);
    }
    if (work->planning)
        return TG_OK;
#pragma omp parallel for schedule(static) if (rows * h->panels >= 4096)
    for (size_t r = 0; r < rows; r++)
        h->lse[r] = row_lse(h, r);
    for (size_t r = 0; r < rows; r++)
        if (target[r] >= 0)
            *loss += row_loss(h, r, smoothing);
    for (size_t r = 0; r < rows && wants != NULL; r++)
        wants->hits += target[r] >= 0 && h->choice[r] == target[r];
    if (wants != NULL && wants->choices != NULL)
        memcpy(wants->choices + (target - wants->targets), h->choice, rows * sizeof *h->choice);
    return TG_OK;
}

/* ---- labels from the model's own output ------------------------------------------------------------------------------ */

/* The column where the running sum of E over a panel's row reaches `wanted`; the last with any where rounding leaves it
 * below. */
static size_t draw_in_panel(const head *h, size_t r, size_t col, size_t cols, double wanted)
{
    const void *row = tg_at(h->kept, h->format, r * h->v + col);
    float buffer[TG_PIECE];
    size_t last = 0;
    double sum = 0;
    for (size_t c = 0; c < cols; c += TG_PIECE) {
        const size_t n = tg_piece_length(cols, c);
        const float *e = tg_elements_read(buffer, row, h->format, c, n);
        for (size_t i = 0; i < n; i++) {
            sum += (double)e[i];
            last = e[i] > 0.0f ? c + i : last;
            if (sum >= wanted && e[i] > 0.0f)
                return col + c + i;
        }
    }
    return col + last;
}

/* u in (0, 1]: a label with the probability that the model gives it. */
static int32_t draw_label(const head *h, size_t r, double u)
{
    const float *most = h->most + r * h->panels, *sum = h->sum + r * h->panels;
    for (size_t p = 0; p < h->panels; p++) {
        const double unit = exp((double)most[p] - h->lse[r]), share = (double)sum[p] * unit;
        const size_t col = p * h->panel;
        if (u <= share || p + 1 == h->panels)
            return (int32_t)draw_in_panel(h, r, col, tg_least(h->panel, h->v - col), u / unit);
        u -= share;
    }
    return 0;
}

static void draw_labels(const head *h, const tg_run *run, const int32_t *target, size_t row, size_t rows)
{
    const tg_key key = tg_key_make(run->seed, LABELS, run->update, run->micro_step);
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < rows; r++)
        h->drawn[r] = target[r] < 0 ? target[r] : draw_label(h, r, (double)tg_random_uniform(key, (uint32_t)(row + r)));
}

/* ---- second walk: gradients ------------------------------------------------------------------------------------------ */

/* What turns E into G. */
typedef struct scales {
    double each, target, all; /* 1/N, (1-s)/N, s/(V N) */
} scales;

/* g (n) <- E by - less. */
static void scale_row(float *restrict g, const float *restrict e, float by, float less, size_t n)
{
    for (size_t i = 0; i < n; i++)
        g[i] = e[i] * by - less;
}

/* E of row r at e to G at g, in formats of their own; the same place or different ones. */
static void gradient_row(const head *h, const panel_at *p, const scales *s, size_t r, int32_t target, const void *e,
                         void *g, tg_format format)
{
    const double each = target < 0 ? 0.0 : s->each;
    const float by = (float)(exp((double)h->most[r * h->panels + p->index] - h->lse[r]) * each);
    const float less = target < 0 ? 0.0f : (float)s->all;
    float e_buffer[TG_PIECE], g_buffer[TG_PIECE];
    for (size_t c = 0; c < p->cols; c += TG_PIECE) {
        const size_t n = tg_piece_length(p->cols, c), first = p->col + c;
        scale_row(g_buffer, tg_elements_read(e_buffer, e, h->format, c, n), by, less, n);
        if (target >= 0 && (size_t)target >= first && (size_t)target < first + n)
            g_buffer[(size_t)target - first] -= (float)s->target;
        TG_PER_ISA(tg_kernels).narrow(tg_to(g, format, c), g_buffer, format, n);
    }
}

/* G of a panel, as an operand of a product; *ld from row to row. In E's place where the formats are the same. */
static const void *panel_gradient(const tg_work *work, const head *h, const panel_at *p, const int32_t *target,
                                  const scales *s, size_t *ld)
{
    const bool same = h->format == work->format;
    *ld = same ? h->v : p->cols;
    if (work->planning)
        return NULL;
    void *g = same ? tg_to(h->kept, h->format, p->col) : h->logits;
#pragma omp parallel for schedule(static) if (p->rows * p->cols >= TG_FINISH_SERIAL_BELOW)
    for (size_t r = 0; r < p->rows; r++)
        gradient_row(h, p, s, r, target[r], tg_at(h->kept, h->format, r * h->v + p->col),
                     tg_to(g, work->format, r * *ld), work->format);
    return g;
}

/* db of a panel's columns += sums of G's rows, in order. */
static void gather_bias(const head *h, const panel_at *p, const void *g, tg_format format, size_t ld)
{
#pragma omp parallel for schedule(static) if (p->rows * p->cols >= TG_FINISH_SERIAL_BELOW)
    for (size_t c = 0; c < p->cols; c += TG_PIECE) {
        float buffer[TG_PIECE];
        const size_t n = tg_piece_length(p->cols, c);
        for (size_t r = 0; r < p->rows; r++)
            add_bias(h->db + p->col + c, tg_elements_read(buffer, g, format, r * ld + c, n), n);
    }
}

/* Where chunks of dx go, and whether they are added there. */
typedef struct gradient {
    void *dx;
    bool add;
} gradient;

static tg_status give_panel(tg_work *work, const head *h, const tg_call *call, const panel_at *p, const void *x,
                            const void *g, size_t ld, const gradient *d, size_t row)
{
    const bool straight = h->format == TG_F32;
    float *dx = straight && !work->planning ? (float *)d->dx + row * h->c : h->dx;
    tg_status status = TG_OK;
    if (d->dx != NULL || work->planning) {
        const tg_product product = {.m = p->rows, .n = h->c, .k = p->cols, .lda = ld, .ldb = h->c, .ldc = h->c,
                                    .add = p->index > 0 || (straight && d->add)};
        status = tg_work_product(work, &product, g, weight_panel(work, h, p->col, p->cols), NULL, dx);
    }
    if (status != TG_OK || (call != NULL && !tg_call_trains(call, W)))
        return status;
    const tg_product product = {.m = p->cols, .n = h->c, .k = p->rows, .transpose_a = true, .lda = ld, .ldb = h->c,
                                .ldc = h->c};
    status = tg_work_product(work, &product, g, x, NULL, h->tile);
    return status == TG_OK && call != NULL ? tg_call_tile(call, W, p->col, p->cols, h->tile) : status;
}

/* call is NULL when planning. */
static tg_status gradient_chunk(tg_work *work, const head *h, const tg_call *call, const void *x, const int32_t *target,
                                size_t row, size_t rows, const scales *s, const gradient *d)
{
    for (size_t i = 0; i < h->panels; i++) {
        const panel_at p = {.index = i, .col = i * h->panel, .cols = tg_least(h->panel, h->v - i * h->panel),
                            .rows = rows};
        size_t ld;
        const void *g = panel_gradient(work, h, &p, target, s, &ld);
        if (h->db != NULL && !work->planning)
            gather_bias(h, &p, g, work->format, ld);
        const tg_status status = give_panel(work, h, call, &p, x, g, ld, d, row);
        if (status != TG_OK)
            return status;
    }
    const tg_finish finish = {.dst = d->dx, .format = h->format, .ld = h->c, .row = row, .src = h->dx, .src_ld = h->c,
                              .add = d->add};
    if (!work->planning && h->format != TG_F32 && d->dx != NULL)
        tg_finish_rows(&finish, rows, h->c);
    return TG_OK;
}

/* ---- the guard ------------------------------------------------------------------------------------------------------- */

/* Sum of squares of n values of either format. */
static double squares(const void *x, tg_format format, size_t n)
{
    float buffer[1024];
    double sum = 0;
    for (size_t i = 0; i < n; i += 1024) {
        const size_t now = tg_least(1024, n - i);
        TG_PER_ISA(tg_kernels).widen(buffer, tg_at(x, format, i), format, now);
        sum += TG_PER_ISA(tg_kernels).sum_squares(buffer, now);
    }
    return sum;
}

/* True when no logit of any chunk can overflow. */
static bool within_bounds(const head *h, const void *x)
{
    if (h->squares == NULL)
        return true;
    const size_t n = h->v * h->c, pieces = pieces_of(n);
    double *of_w = h->squares, *of_x = h->squares + pieces, w = 0, most = 0;
#pragma omp parallel for schedule(static) if (pieces + h->m > 4)
    for (size_t i = 0; i < pieces + h->m; i++) {
        const size_t first = i * SQUARES_PIECE;
        if (i < pieces)
            of_w[i] = squares(tg_at(h->w->data, h->w->format, first), h->w->format, tg_least(SQUARES_PIECE, n - first));
        else
            of_x[i - pieces] = squares(tg_at(x, h->format, (i - pieces) * h->c), h->format, h->c);
    }
    for (size_t i = 0; i < pieces; i++)
        w += of_w[i];
    for (size_t r = 0; r < h->m; r++) {
        if (!isfinite(of_x[r]))
            return false;
        most = of_x[r] > most ? of_x[r] : most;
    }
    double bias = 0;
    for (size_t i = 0; h->bias != NULL && i < h->v; i++) {
        if (!isfinite(h->bias[i]))
            return false;
        bias = fmax(bias, fabs((double)h->bias[i]));
    }
    return sqrt(most) * sqrt(w) + bias < LOGITS_LIMIT;
}

/* ---- the layer ------------------------------------------------------------------------------------------------------- */

static tg_status count_targets(const tg_call *call, const head *h, size_t *count)
{
    *count = 0;
    for (size_t r = 0; r < h->m; r++) {
        const int32_t t = call->run->targets[r];
        if (t >= 0 && (size_t)t >= h->v)
            return tg_fail(TG_EINVAL, "%s: target %d at place %zu is not in the vocabulary of %zu", call->op->name, (int)t,
                           r, h->v);
        *count += t >= 0;
    }
    return TG_OK;
}

static bool all_scored(const head *h, size_t rows)
{
    for (size_t r = 0; r < rows; r++)
        if (!isfinite(h->lse[r]))
            return false;
    return true;
}

/* The bias as fp32, and its gradient from 0. */
static void load_bias(const head *h)
{
    if (h->b == NULL)
        return;
    TG_PER_ISA(tg_kernels).widen(h->bias, h->b->data, h->b->format, h->v);
    if (h->db != NULL)
        memset(h->db, 0, h->v * sizeof *h->db);
}

static void report(tg_run *run, double loss, size_t count)
{
    run->loss_sum = loss;
    run->targets_counted = count;
    run->loss = count == 0 ? 0.0 : loss / (double)count;
}

static tg_status generate(const tg_call *call)
{
    tg_work work = tg_work_run(call->graph, call->scratch);
    const tg_param *w = tg_op_weight(call->graph, call->op, W), *b = tg_op_weight(call->graph, call->op, B);
    const size_t cols = w->cols, place = call->in_shape[X]->rows - 1 - call->run->places_back;
    float *x = tg_work_take(&work, cols * sizeof *x), *bias = tg_work_take(&work, b == NULL ? 0 : w->rows * sizeof *x);
    tg_convert(x, TG_F32, tg_at(call->in[X], call->graph->format, place * cols), call->graph->format, 1, cols, cols);
    tg_thin_by_rows(call->run->logits, x, 1, w);
    if (b != NULL) {
        TG_PER_ISA(tg_kernels).widen(bias, b->data, b->format, w->rows);
        add_bias(call->run->logits, bias, w->rows);
    }
    return TG_OK;
}

/* *loss <- the sum over all tokens; counts hits where the run wants them. */
static tg_status score_all(tg_work *work, const head *h, const tg_call *call, double *loss)
{
    tg_status status = TG_OK;
    tg_run *wants = call->run->wants_hits && !h->trains ? call->run : NULL;
    call->run->hits = 0;
    *loss = 0;
    for (size_t row = 0; row < h->m && status == TG_OK; row += h->chunk) {
        const size_t rows = tg_least(h->chunk, h->m - row);
        status = score_chunk(work, h, x_chunk(work, h, call->in[X], row, rows), call->run->targets + row, rows,
                             call->op->as.head.label_smoothing, loss, wants);
    }
    return status;
}

static tg_status forward(const tg_call *call)
{
    if (call->graph->mode == TG_GENERATE)
        return generate(call);
    tg_work work = tg_work_run(call->graph, call->scratch);
    const head h = head_init(&work, call->graph, call->op);
    size_t count;
    tg_status status = count_targets(call, &h, &count);
    load_bias(&h);
    double loss = 0;
    if (status == TG_OK)
        status = score_all(&work, &h, call, &loss);
    if (status == TG_OK)
        report(call->run, loss, count);
    return status;
}

/* Whether the run wants the gradient of this loss. A loss that is not finite is the guard's. */
static bool is_wanted(tg_run *run, double loss, size_t count)
{
    run->spared =
        run->wants != NULL && isfinite(loss) && count > 0 && !run->wants(run->wants_ctx, loss / (double)count);
    return !run->spared;
}

static tg_status backward(const tg_call *call)
{
    tg_work work = tg_work_run(call->graph, call->scratch);
    const head h = head_init(&work, call->graph, call->op);
    const double s = call->op->as.head.label_smoothing;
    size_t count;
    double loss = 0;
    tg_status status = count_targets(call, &h, &count);
    const bool once = h.chunk >= h.m;
    load_bias(&h);
    if (status == TG_OK && !once && call->run->wants != NULL) /* the first chunk's tiles would come too early to ask */
        status = score_all(&work, &h, call, &loss);
    if (status != TG_OK)
        return status;
    bool good = within_bounds(&h, call->in[X]), wanted = once || !good || is_wanted(call->run, loss, count);
    const double each = count == 0 ? 0.0 : (call->run->loss_scale > 0 ? call->run->loss_scale : 1.0) / (double)count;
    const scales by = {.each = each, .target = (1.0 - s) * each, .all = s * each / (double)h.v};
    const gradient d = {.dx = call->din[X], .add = call->add[X]};
    loss = wanted ? 0 : loss;
    for (size_t row = 0; row < h.m && status == TG_OK && good && wanted; row += h.chunk) {
        const size_t rows = tg_least(h.chunk, h.m - row);
        const void *x = x_chunk(&work, &h, call->in[X], row, rows);
        const int32_t *target = call->run->targets + row;
        status = score_chunk(&work, &h, x, target, rows, s, &loss, NULL);
        good = status != TG_OK || (isfinite(loss) && all_scored(&h, rows));
        if (status == TG_OK && good && once)
            wanted = is_wanted(call->run, loss, count);
        if (status == TG_OK && good && call->run->draws_labels) {
            draw_labels(&h, call->run, target, row, rows);
            target = h.drawn;
        }
        if (status == TG_OK && good && wanted)
            status = gradient_chunk(&work, &h, call, x, target, row, rows, &by, &d);
    }
    if (status != TG_OK)
        return status;
    report(call->run, good ? loss : (double)NAN, count);
    call->run->loss = good ? call->run->loss : (double)NAN; /* even when no target counts */
    if (!good || !wanted)
        return TG_OK;
    status = tg_call_complete(call, W);
    if (status == TG_OK && h.db != NULL)
        status = tg_call_tile(call, B, 0, 1, h.db);
    return status == TG_OK ? tg_call_complete(call, B) : status;
}

/* Every product of a walk over all chunks; when planning, whole chunks are alike. */
static tg_status plan_walk(tg_work *work, const head *h)
{
    tg_status status = TG_OK;
    double loss = 0;
    for (size_t row = 0; row < h->m && status == TG_OK; row += h->chunk) {
        const size_t rows = tg_least(h->chunk, h->m - row);
        status = score_chunk(work, h, NULL, NULL, rows, 0.0, &loss, NULL);
        for (int add = 0; add < 2 && status == TG_OK && h->trains; add++) {
            const gradient d = {.add = add != 0};
            status = gradient_chunk(work, h, NULL, NULL, NULL, row, rows, NULL, &d);
        }
    }
    return status;
}

static tg_status plan(tg_graph *graph, tg_op *op)
{
    const tg_param *w = tg_op_weight(graph, op, W);
    if (w->rows == 0 || w->cols == 0 || w->rows > INT32_MAX)
        return tg_fail(TG_EINVAL, "%s: a vocabulary of %zu tokens and %zu features cannot be", op->name, w->rows, w->cols);
    tg_work work = tg_work_plan(graph);
    if (graph->mode == TG_GENERATE) {
        tg_work_take(&work, w->cols * sizeof(float));
        tg_work_take(&work, op->weight[B] == TG_NONE ? 0 : w->rows * sizeof(float));
        op->scratch_bytes[TG_FORWARD] = tg_work_bytes(&work, graph);
        graph->flops += 2.0 * (double)w->rows * (double)w->cols;
        return TG_OK;
    }
    const head h = head_init(&work, graph, op);
    const tg_status status = plan_walk(&work, &h);
    op->scratch_bytes[TG_FORWARD] = op->scratch_bytes[TG_BACKWARD] = tg_work_bytes(&work, graph);
    graph->flops += 2.0 * (double)h.m * (double)h.c * (double)h.v * tg_graph_passes(graph);
    return status;
}

const tg_layer TG_PER_ISA(tg_layer_head) = {
    .info = {.name = "head",
             .help = "output product and softmax cross-entropy in one, in chunks",
             .equations = "loss = mean(logsumexp(x W^T + b) - (x W^T + b)[target])"},
    .keeps = TG_KEEPS_INPUT(X),
    .is_loss = true,
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
