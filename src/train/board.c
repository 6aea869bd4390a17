/* train/board.c -- see board.h. */
#include "train/board.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/kernels.h"
#include "base/memory.h"
#include "base/random.h"
#include "store/events.h"

#define SAMPLE ((size_t)4096) /* values of a tensor */
#define TOKENS ((size_t)64)   /* rows of an activation */
#define DEAD 1e-4
#define PURPOSE 0x626f617264u /* "board" */

/* A weight that is trained, and what its sample was before the update. */
typedef struct watched {
    const tg_param *param;
    size_t count;             /* of the sample */
    size_t momentum;          /* index of the state, or NO_STATE */
    float *weights, *moments; /* (count) */
} watched;

#define NO_STATE ((size_t)-1)

struct tg_board {
    const tg_session *session;
    tg_events *events;
    watched *weight;
    size_t weights;
    size_t at[SAMPLE]; /* the places of the tensor in hand */
    float now[SAMPLE], moved[SAMPLE];
    float *values; /* all samples of before */
    size_t value_count;
    float *row, *most; /* (widest activation) */
    size_t widest;
};

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static size_t sample_of(const tg_param *p)
{
    const size_t n = p->rows * p->cols;
    return p->frozen ? 0 : n < SAMPLE ? n : SAMPLE;
}

/* The state that is a running mean of gradients, of a rule that has one; minimizers have none. */
static size_t momentum_of(const tg_optim *o, const tg_param *p)
{
    static const char *const name[] = {"exp_avg", "momentum_buffer"};
    const size_t length = strlen(p->name);
    for (size_t i = 0; o != NULL && i < tg_optim_state_count(o); i++) {
        const tg_named_tensor *state = tg_optim_state(o, i);
        if (strncmp(state->name, p->name, length) != 0 || state->name[length] != '/')
            continue;
        for (size_t k = 0; k < sizeof name / sizeof *name; k++)
            if (strcmp(state->name + length + 1, name[k]) == 0)
                return i;
    }
    return NO_STATE;
}

static size_t widest_of(const tg_graph *graph)
{
    size_t widest = 1;
    for (size_t i = 0; i < graph->tensors; i++)
        widest = graph->tensor[i].cols > widest ? graph->tensor[i].cols : widest;
    return widest;
}

static size_t samples(const tg_session *s)
{
    size_t sum = 0;
    for (size_t i = 0; i < tg_model_weight_count(s->model); i++)
        sum += sample_of(tg_model_weight(s->model, i));
    return sum;
}

size_t tg_board_bytes(const tg_session *s)
{
    return sizeof(tg_board) + tg_model_weight_count(s->model) * sizeof(watched) + 2 * samples(s) * sizeof(float) +
           2 * widest_of(s->train) * sizeof(float);
}

static tg_status fill(tg_board *b)
{
    const tg_session *s = b->session;
    float *next;
    b->value_count = 2 * samples(s);
    b->widest = widest_of(s->train);
    b->weight = tg_heap_alloc(tg_model_weight_count(s->model), sizeof *b->weight);
    next = b->values = tg_alloc(NULL, b->value_count, sizeof *b->values);
    b->row = tg_heap_alloc(b->widest, sizeof *b->row);
    b->most = tg_heap_alloc(b->widest, sizeof *b->most);
    if (b->weight == NULL || b->values == NULL || b->row == NULL || b->most == NULL)
        return tg_no_memory("statistics of the tensors", tg_board_bytes(s));
    for (size_t i = 0; i < tg_model_weight_count(s->model); i++) {
        const tg_param *p = tg_model_weight(s->model, i);
        const size_t count = sample_of(p);
        if (count == 0)
            continue;
        b->weight[b->weights++] = (watched){p, count, momentum_of(s->optim, p), next, next + count};
        next += 2 * count;
    }
    return TG_OK;
}

tg_status tg_board_open(tg_board **out, const tg_session *session, uint64_t update)
{
    tg_board *b = tg_heap_alloc(1, sizeof *b);
    if (b == NULL)
        return tg_no_memory("statistics of the tensors", sizeof *b);
    b->session = session;
    tg_status status = fill(b);
    if (status == TG_OK)
        status = tg_events_create(&b->events, session->config->out, update + 1);
    if (status != TG_OK)
        tg_board_close(b);
    else
        *out = b;
    return status;
}

void tg_board_close(tg_board *b)
{
    if (b == NULL)
        return;
    tg_events_destroy(b->events);
    tg_free(NULL, b->values, b->value_count, sizeof *b->values);
    tg_heap_free(b->weight);
    tg_heap_free(b->row);
    tg_heap_free(b->most);
    tg_heap_free(b);
}

tg_status tg_board_sync(tg_board *b) { return tg_events_sync(b->events); }

/* ---- tags -------------------------------------------------------------------------------------------------------- */

#define TAG_BYTES 192

static void scalar(const tg_board *b, const char *what, const char *of, double value)
{
    char tag[TAG_BYTES];
    snprintf(tag, sizeof tag, "%s/%s", what, of);
    tg_events_scalar(b->events, tag, value);
}

static void histogram(const tg_board *b, const char *what, const char *of, const float *values, size_t count)
{
    char tag[TAG_BYTES];
    snprintf(tag, sizeof tag, "%s/%s", what, of);
    tg_events_histogram(b->events, tag, values, count);
}

tg_status tg_board_metrics(tg_board *b, uint64_t update, const tg_metric *fields, size_t count)
{
    const bool event = count > 0 && strcmp(fields[0].name, "event") == 0;
    for (size_t i = 0; i < count; i++) {
        if (fields[i].text != NULL)
            continue;
        if (event && strcmp(fields[i].name, "value") == 0)
            scalar(b, "event", fields[0].text, fields[i].value);
        else if (!event)
            tg_events_scalar(b->events, fields[i].name, fields[i].value);
    }
    return tg_events_flush(b->events, update);
}

/* ---- weights and momentum ---------------------------------------------------------------------------------------- */

/* One place from each of `count` equal parts: a fixed stride would meet the same columns of every row. */
static void choose_places(tg_board *b, size_t weight, const watched *w)
{
    const size_t n = w->param->rows * w->param->cols;
    const tg_key key = tg_key_make(0, PURPOSE, weight, 0);
    for (size_t i = 0; i < w->count; i++) {
        const size_t from = (size_t)((tg_uint128)i * n / w->count), to = (size_t)((tg_uint128)(i + 1) * n / w->count);
        b->at[i] = from + (size_t)tg_random_below(key, (uint32_t)i, to - from);
    }
}

static void read_weights(const tg_board *b, const watched *w, float *values)
{
    const size_t bytes = tg_format_bytes(w->param->format);
    for (size_t i = 0; i < w->count; i++) {
        const char *from = (const char *)w->param->data + b->at[i] * bytes;
        uint16_t half;
        if (w->param->format == TG_F32) {
            memcpy(&values[i], from, sizeof values[i]);
            continue;
        }
        memcpy(&half, from, sizeof half);
        values[i] = w->param->format == TG_BF16 ? tg_bf16_to_f32(half) : tg_f16_to_f32(half);
    }
}

static tg_status read_moments(const tg_board *b, const watched *w, float *values)
{
    return w->momentum == NO_STATE ? TG_OK
                                   : tg_optim_state_values_at(b->session->optim, w->momentum, b->at, w->count, values);
}

tg_status tg_board_before(tg_board *b)
{
    tg_status status = TG_OK;
    for (size_t i = 0; i < b->weights && status == TG_OK; i++) {
        const watched *w = &b->weight[i];
        choose_places(b, i, w);
        read_weights(b, w, w->weights);
        status = read_moments(b, w, w->moments);
    }
    return status;
}

static double rms(const float *values, size_t count)
{
    double squares = 0;
    for (size_t i = 0; i < count; i++)
        squares += (double)values[i] * (double)values[i];
    return sqrt(squares / (double)count);
}

static void tell_weights(tg_board *b, const watched *w)
{
    size_t unmoved = 0;
    read_weights(b, w, b->now);
    for (size_t i = 0; i < w->count; i++) {
        b->moved[i] = b->now[i] - w->weights[i];
        unmoved += b->now[i] == w->weights[i];
    }
    scalar(b, "weight_rms", w->param->name, rms(b->now, w->count));
    scalar(b, "update_rms", w->param->name, rms(b->moved, w->count));
    scalar(b, "unmoved_share", w->param->name, (double)unmoved / (double)w->count);
    histogram(b, "weights", w->param->name, b->now, w->count);
    histogram(b, "updates", w->param->name, b->moved, w->count);
}

static tg_status tell_moments(tg_board *b, const watched *w)
{
    size_t flips = 0;
    const tg_status status = read_moments(b, w, b->now);
    if (status != TG_OK || w->momentum == NO_STATE)
        return status;
    for (size_t i = 0; i < w->count; i++)
        flips += (b->now[i] > 0 && w->moments[i] < 0) || (b->now[i] < 0 && w->moments[i] > 0);
    scalar(b, "momentum_rms", w->param->name, rms(b->now, w->count));
    scalar(b, "sign_flips", w->param->name, (double)flips / (double)w->count);
    histogram(b, "momentum", w->param->name, b->now, w->count);
    return TG_OK;
}

tg_status tg_board_after(tg_board *b, uint64_t update)
{
    tg_status status = TG_OK;
    for (size_t i = 0; i < b->weights && status == TG_OK; i++) {
        choose_places(b, i, &b->weight[i]);
        tell_weights(b, &b->weight[i]);
        status = tell_moments(b, &b->weight[i]);
    }
    return status == TG_OK ? tg_events_flush(b->events, update) : status;
}

/* ---- activations ------------------------------------------------------------------------------------------------- */

typedef struct moments {
    double count, sum, squares;
} moments;

/* Adds one token; `most` grows to each feature's largest magnitude. */
static void add_row(moments *m, float *most, const float *row, size_t cols)
{
    for (size_t i = 0; i < cols; i++) {
        m->sum += row[i];
        m->squares += (double)row[i] * (double)row[i];
        most[i] = fmaxf(most[i], fabsf(row[i]));
    }
    m->count += (double)cols;
}

void tg_board_look(void *board, const tg_call *call)
{
    tg_board *b = board;
    const tg_tensor *shape = call->out_shape[0];
    if (call->out[0] == NULL || shape == NULL || shape->rows == 0 || shape->cols > b->widest)
        return;
    const size_t rows = shape->rows < TOKENS ? shape->rows : TOKENS;
    const size_t row_bytes = shape->cols * tg_format_bytes(shape->format);
    moments m = {0};
    memset(b->most, 0, shape->cols * sizeof *b->most);
    for (size_t r = 0; r < rows; r++) {
        const char *from = (const char *)call->out[0] + r * shape->rows / rows * row_bytes;
        tg_kernels_get()->widen(b->row, from, shape->format, shape->cols);
        add_row(&m, b->most, b->row, shape->cols);
    }
    const double mean = m.sum / m.count, square = m.squares / m.count, least = DEAD * sqrt(square);
    size_t dead = 0;
    for (size_t i = 0; i < shape->cols; i++)
        dead += !(b->most[i] > least);
    scalar(b, "activation_mean", call->op->name, mean);
    scalar(b, "activation_std", call->op->name, sqrt(fmax(0, square - mean * mean)));
    scalar(b, "activation_dead", call->op->name, (double)dead / (double)shape->cols);
}
