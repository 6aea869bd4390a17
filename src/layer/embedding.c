/* embedding.c -- rows of a table, picked by token, plus learned positions, plus the row of the first segment.
 *
 *   y[b,t] = W[token[b,t]] + P[t] + S[0]
 *   dW[v] = sum of dy[b,t] where token[b,t] = v        dP[t] = sum over b of dy[b,t]        dS[0] = sum of all dy
 *
 * A batch touches few rows of W, so its gradient is handed over as scattered rows: the places are sorted by token
 * (radix sort, stable: equal tokens stay in order of place), and every run of equal tokens is summed in that order,
 * whatever the number of threads. Rows of P from T on get nothing, nor do those of other segments than the first: a
 * text is one. When generating, t goes on from the cache's last position. */
#include "base/memory.h"
#include "layer/elements.h"
#include "layer/layers.h"

enum { TABLE, POSITIONS, SEGMENTS, SLOTS };

#define TILE_BYTES ((size_t)1 << 20)
#define DIGIT_BITS 8
#define DIGITS (1u << DIGIT_BITS)

/* Backward's scratch: places sorted by token (with room to sort), the first place of each run, its token, a tile. */
typedef struct workspace {
    uint32_t *order, *other; /* (rows) */
    uint32_t *start;         /* (rows + 1), of runs in order */
    uint32_t *index;         /* (rows), tokens of the runs, ascending */
    float *tile;             /* (tile_rows, C) */
    size_t tile_rows;
} workspace;

static size_t tile_rows_for(size_t rows, size_t cols)
{
    const size_t fit = TILE_BYTES / (cols * sizeof(float));
    return fit == 0 ? 1 : fit < rows ? fit : rows;
}

static size_t index_bytes(size_t rows) { return tg_round_up((4 * rows + 1) * sizeof(uint32_t), TG_CACHE_LINE); }

static workspace workspace_of(const tg_call *call)
{
    const size_t rows = call->out_shape[0]->rows, cols = call->out_shape[0]->cols;
    uint32_t *p = call->scratch;
    return (workspace){.order = p,
                       .other = p + rows,
                       .index = p + 2 * rows,
                       .start = p + 3 * rows,
                       .tile = (float *)((char *)call->scratch + index_bytes(rows)),
                       .tile_rows = tile_rows_for(rows, cols)};
}

static tg_status plan(tg_graph *graph, tg_op *op)
{
    const tg_tensor *y = &graph->tensor[op->output[0]];
    if (y->rows > UINT32_MAX / 8)
        return tg_fail(TG_EUNSUPPORTED, "%s: %zu tokens in a batch are too many", op->name, y->rows);
    op->scratch_bytes[TG_BACKWARD] =
        index_bytes(y->rows) + tile_rows_for(y->rows, y->cols) * y->cols * sizeof(float);
    return TG_OK;
}

static tg_status check(const tg_call *call, size_t first_position)
{
    const size_t rows = call->out_shape[0]->rows, vocab = tg_op_weight(call->graph, call->op, TABLE)->rows;
    const tg_param *positions = tg_op_weight(call->graph, call->op, POSITIONS);
    if (positions != NULL && first_position + call->graph->time > positions->rows)
        return tg_fail(TG_EINVAL, "%s: position %zu is past the model's context of %zu", call->op->name,
                       first_position + call->graph->time - 1, positions->rows);
    for (size_t r = 0; r < rows; r++)
        if (call->run->tokens[r] >= vocab)
            return tg_fail(TG_EINVAL, "%s: token %u at place %zu is not in the vocabulary of %zu", call->op->name,
                           call->run->tokens[r], r, vocab);
    return TG_OK;
}

/* y (n) += values first .. first + n of a weight; nothing where there is none. */
static void add_values(float *restrict y, const tg_param *weight, size_t first, size_t n)
{
    float buffer[TG_PIECE];
    if (weight == NULL)
        return;
    const float *p = tg_elements_read(buffer, weight->data, weight->format, first, n);
    for (size_t i = 0; i < n; i++)
        y[i] += p[i];
}

static void forward_row(const tg_call *call, size_t row, size_t position)
{
    const size_t cols = call->out_shape[0]->cols, token = call->run->tokens[row];
    const tg_param *table = tg_op_weight(call->graph, call->op, TABLE);
    float table_buffer[TG_PIECE], y_buffer[TG_PIECE];
    for (size_t c = 0; c < cols; c += TG_PIECE) {
        const size_t n = tg_piece_length(cols, c);
        const float *w = tg_elements_read(table_buffer, table->data, table->format, token * cols + c, n);
        float *y = tg_elements_target(y_buffer, call->out[0], call->out_shape[0]->format, row * cols + c, false);
        memcpy(y, w, n * sizeof *y);
        add_values(y, tg_op_weight(call->graph, call->op, POSITIONS), position * cols + c, n);
        add_values(y, tg_op_weight(call->graph, call->op, SEGMENTS), c, n);
        tg_elements_write(call->out[0], y, call->out_shape[0]->format, row * cols + c, n, false);
    }
}

static tg_status forward(const tg_call *call)
{
    const tg_graph *graph = call->graph;
    const size_t rows = call->out_shape[0]->rows;
    const tg_cache *cache = call->run->cache;
    const size_t first = graph->mode == TG_GENERATE && cache != NULL ? cache->used : 0;
    const tg_status status = check(call, first);
    if (status != TG_OK)
        return status;
#pragma omp parallel for schedule(static) if (rows > 1)
    for (size_t r = 0; r < rows; r++)
        forward_row(call, r, first + r % graph->time);
    return TG_OK;
}

/* order (rows) <- places, sorted by token. */
static void sort_places(workspace *work, const uint32_t *token, size_t rows, size_t vocab)
{
    for (size_t r = 0; r < rows; r++)
        work->order[r] = (uint32_t)r;
    for (unsigned shift = 0; shift < 32 && (vocab - 1) >> shift != 0; shift += DIGIT_BITS) {
        size_t count[DIGITS] = {0};
        for (size_t r = 0; r < rows; r++)
            count[(token[r] >> shift) % DIGITS]++;
        for (size_t d = 0, sum = 0; d < DIGITS; d++) {
            const size_t here = count[d];
            count[d] = sum;
            sum += here;
        }
        for (size_t r = 0; r < rows; r++)
            work->other[count[(token[work->order[r]] >> shift) % DIGITS]++] = work->order[r];
        uint32_t *sorted = work->other;
        work->other = work->order;
        work->order = sorted;
    }
}

/* Fills start and index; the number of runs. */
static size_t find_runs(const workspace *work, const uint32_t *token, size_t rows)
{
    size_t runs = 0;
    for (size_t r = 0; r < rows; r++) {
        const uint32_t here = token[work->order[r]];
        if (r == 0 || here != work->index[runs - 1]) {
            work->index[runs] = here;
            work->start[runs++] = (uint32_t)r;
        }
    }
    work->start[runs] = (uint32_t)rows;
    return runs;
}

/* sum (n) += dy of a row, from column c on. */
static void add_row(float *restrict sum, const tg_call *call, size_t row, size_t c, size_t n)
{
    float buffer[TG_PIECE];
    const tg_tensor *shape = call->out_shape[0];
    const float *dy = tg_elements_read(buffer, call->dout[0], shape->format, row * shape->cols + c, n);
    for (size_t i = 0; i < n; i++)
        sum[i] += dy[i];
}

static tg_status backward_table(const tg_call *call)
{
    const size_t rows = call->out_shape[0]->rows, cols = call->out_shape[0]->cols, pieces = tg_pieces(cols);
    const uint32_t *token = call->run->tokens;
    workspace work = workspace_of(call);
    sort_places(&work, token, rows, tg_op_weight(call->graph, call->op, TABLE)->rows);
    const size_t runs = find_runs(&work, token, rows);
    for (size_t first = 0; first < runs; first += work.tile_rows) {
        const size_t now = runs - first < work.tile_rows ? runs - first : work.tile_rows;
        /* Runs are of very different lengths: threads take them as they come free. */
#pragma omp parallel for schedule(dynamic) collapse(2)
        for (size_t k = 0; k < now; k++)
            for (size_t p = 0; p < pieces; p++) {
                const size_t c = p * TG_PIECE, n = tg_piece_length(cols, c);
                float *sum = work.tile + k * cols + c;
                memset(sum, 0, n * sizeof *sum);
                for (uint32_t r = work.start[first + k]; r < work.start[first + k + 1]; r++)
                    add_row(sum, call, work.order[r], c, n);
            }
        const tg_status status = tg_call_rows(call, TABLE, work.index + first, now, work.tile);
        if (status != TG_OK)
            return status;
    }
    return tg_call_complete(call, TABLE);
}

static tg_status backward_positions(const tg_call *call)
{
    const size_t batch = call->graph->batch, time = call->graph->time, cols = call->out_shape[0]->cols;
    const workspace work = workspace_of(call);
    for (size_t first = 0; first < time; first += work.tile_rows) {
        const size_t now = time - first < work.tile_rows ? time - first : work.tile_rows;
#pragma omp parallel for schedule(static) if (now > 1)
        for (size_t k = 0; k < now; k++)
            for (size_t c = 0; c < cols; c += TG_PIECE) {
                const size_t n = tg_piece_length(cols, c);
                float *sum = work.tile + k * cols + c;
                memset(sum, 0, n * sizeof *sum);
                for (size_t b = 0; b < batch; b++)
                    add_row(sum, call, b * time + first + k, c, n);
            }
        const tg_status status = tg_call_tile(call, POSITIONS, first, now, work.tile);
        if (status != TG_OK)
            return status;
    }
    return tg_call_complete(call, POSITIONS);
}

static tg_status backward_segments(const tg_call *call)
{
    const size_t rows = call->out_shape[0]->rows, cols = call->out_shape[0]->cols;
    float *sum = workspace_of(call).tile;
    memset(sum, 0, cols * sizeof *sum);
#pragma omp parallel for schedule(static) if (cols > TG_PIECE)
    for (size_t p = 0; p < tg_pieces(cols); p++)
        for (size_t r = 0; r < rows; r++)
            add_row(sum + p * TG_PIECE, call, r, p * TG_PIECE, tg_piece_length(cols, p * TG_PIECE));
    const tg_status status = tg_call_tile(call, SEGMENTS, 0, 1, sum);
    return status == TG_OK ? tg_call_complete(call, SEGMENTS) : status;
}

/* True when no value of dy is NaN or Inf. */
static bool gradient_is_finite(const tg_call *call)
{
    const tg_tensor *shape = call->out_shape[0];
    const size_t n = shape->rows * shape->cols, bytes = tg_format_bytes(shape->format);
    const char *dy = call->dout[0];
    int good = 1;
#pragma omp parallel for schedule(static) reduction(&& : good) if (n > TG_PIECE)
    for (size_t p = 0; p < tg_pieces(n); p++) {
        const size_t first = p * TG_PIECE;
        good = TG_PER_ISA(tg_kernels).all_finite(dy + first * bytes, shape->format, tg_piece_length(n, first)) && good;
    }
    return good;
}

static tg_status backward(const tg_call *call)
{
    static tg_status (*const of_slot[SLOTS])(const tg_call *call) = {backward_table, backward_positions,
                                                                     backward_segments};
    const bool finite = gradient_is_finite(call);
    tg_status status = TG_OK;
    for (int slot = TABLE; slot < SLOTS && status == TG_OK; slot++) {
        if (!tg_call_trains(call, slot))
            continue;
        if (finite) {
            status = of_slot[slot](call);
        } else {
            status = tg_call_reject(call, slot);
            if (status == TG_OK)
                status = tg_call_complete(call, slot);
        }
    }
    return status;
}

const tg_layer TG_PER_ISA(tg_layer_embedding) = {
    .info = {.name = "embedding",
             .help = "rows of a table, picked by token, plus learned positions and segments",
             .equations = "y[b,t] = W[token[b,t]] + P[t] + S[0]"},
    .plan = plan,
    .forward = forward,
    .backward = backward,
};
