/* layer_harness.h -- a graph around the layer under test: inputs are weights of their own, so their gradients come out
 * of the sink like all others, and a probe sums outputs against fixed random values into the loss.
 *
 *     harness h;
 *     harness_begin(&h, TG_TRAIN, TG_F32, batch, time);
 *     const int x = harness_input(&h, "x", 13);                  a tensor (batch * time, 13)
 *     const int w = harness_weight(&h, "w", 5, 13, TG_F32, 0.3);  a weight
 *     const int y = tg_linear(h.graph, "linear", x, w, TG_NONE, false);
 *     harness_probe(&h, y, TG_NONE);                              loss = <y, r>; give x too and it is used twice
 *     harness_run(&h);                                            plans at the first call; gradients in h.grad
 *     harness_check_gradients(&h, 1e-2, 2e-3);
 *     harness_end(&h);
 */
#ifndef TG_TESTS_LAYER_HARNESS_H
#define TG_TESTS_LAYER_HARNESS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/kernels.h"
#include "base/memory.h"
#include "base/random.h"
#include "layer/layers.h"

#define HARNESS_WEIGHTS 16
#define harness_ok(expression)                                                                                         \
    do {                                                                                                               \
        if ((expression) != TG_OK)                                                                                     \
            fail_msg("%s: %s", #expression, tg_message());                                                             \
    } while (0)

typedef struct harness {
    tg_graph *graph;
    tg_model model;
    tg_weight weight[HARNESS_WEIGHTS];
    float *grad[HARNESS_WEIGHTS];    /* of the last run, fp32 */
    size_t tiles[HARNESS_WEIGHTS], rejected[HARNESS_WEIGHTS], completed[HARNESS_WEIGHTS];
    bool is_input[HARNESS_WEIGHTS];
    size_t inputs, all_rejected;
    float *output[TG_OP_INPUTS];     /* what the probe saw, fp32 */
    size_t output_values[TG_OP_INPUTS];
    tg_recompute recompute;
    uint32_t *tokens;
    int32_t *targets;
    tg_run run;
} harness;

/* The harness of the graph that runs: layers get no other way to it. */
static harness *harness_now;

static inline size_t harness_values(const harness *h, int w) { return h->weight[w].param.rows * h->weight[w].param.cols; }

/* ---- the layers around the one under test ------------------------------------------------------------------------- */

static tg_status harness_source_forward(const tg_call *call)
{
    const tg_param *p = tg_op_weight(call->graph, call->op, 0);
    tg_kernels_get()->narrow(call->out[0], p->data, call->out_shape[0]->format, p->rows * p->cols);
    return TG_OK;
}

static tg_status harness_source_backward(const tg_call *call)
{
    const tg_param *p = tg_op_weight(call->graph, call->op, 0);
    float *tile = malloc(p->rows * p->cols * sizeof *tile);
    tg_kernels_get()->widen(tile, call->dout[0], call->out_shape[0]->format, p->rows * p->cols);
    tg_status status = tg_call_tile(call, 0, 0, p->rows, tile);
    free(tile);
    return status == TG_OK ? tg_call_complete(call, 0) : status;
}

static const tg_layer harness_source = {
    .info = {.name = "source"}, .forward = harness_source_forward, .backward = harness_source_backward};

/* The probe's value for element i of its input `slot`; a bf16 number, so that rounding d y loses nothing. */
static inline float harness_probe_value(int slot, size_t i)
{
    const float r = tg_random_normal(tg_key_make(77, (uint64_t)slot, 5, 0), (uint32_t)i);
    return tg_bf16_to_f32(tg_f32_to_bf16(r));
}

static tg_status harness_probe_forward(const tg_call *call)
{
    double loss = 0;
    for (int s = 0; s < TG_OP_INPUTS; s++) {
        if (call->in_shape[s] == NULL)
            continue;
        const size_t n = call->in_shape[s]->rows * call->in_shape[s]->cols;
        tg_kernels_get()->widen(harness_now->output[s], call->in[s], call->in_shape[s]->format, n);
        for (size_t i = 0; i < n; i++)
            loss += (double)harness_now->output[s][i] * (double)harness_probe_value(s, i);
    }
    call->run->loss = loss;
    return TG_OK;
}

static tg_status harness_probe_backward(const tg_call *call)
{
    harness_probe_forward(call);
    for (int s = 0; s < TG_OP_INPUTS; s++) {
        if (call->din[s] == NULL)
            continue;
        const size_t n = call->in_shape[s]->rows * call->in_shape[s]->cols;
        float *d = malloc(n * sizeof *d), *old = malloc(n * sizeof *old);
        tg_kernels_get()->widen(old, call->din[s], call->in_shape[s]->format, n);
        for (size_t i = 0; i < n; i++)
            d[i] = harness_probe_value(s, i) + (call->add[s] ? old[i] : 0.0f);
        tg_kernels_get()->narrow(call->din[s], d, call->in_shape[s]->format, n);
        free(d);
        free(old);
    }
    return TG_OK;
}

static const tg_layer harness_probe_layer = {
    .info = {.name = "probe"}, .keeps = 0xf, .is_loss = true, .forward = harness_probe_forward,
    .backward = harness_probe_backward};

/* ---- the sink ------------------------------------------------------------------------------------------------------ */

static tg_status harness_tile(void *ctx, size_t weight, size_t row, size_t rows, const float *tile)
{
    harness *h = ctx;
    const tg_param *p = &h->weight[weight].param;
    assert_true(row + rows <= p->rows);
    for (size_t i = 0; i < rows * p->cols; i++)
        h->grad[weight][row * p->cols + i] += tile[i];
    h->tiles[weight]++;
    return TG_OK;
}

static tg_status harness_rows(void *ctx, size_t weight, const uint32_t *index, size_t rows, const float *tile)
{
    harness *h = ctx;
    const tg_param *p = &h->weight[weight].param;
    for (size_t r = 0; r < rows; r++) {
        assert_true(index[r] < p->rows && (r == 0 || index[r] > index[r - 1]));
        for (size_t c = 0; c < p->cols; c++)
            h->grad[weight][index[r] * p->cols + c] += tile[r * p->cols + c];
    }
    h->tiles[weight]++;
    return TG_OK;
}

static tg_status harness_reject(void *ctx, size_t weight)
{
    harness *h = ctx;
    if (weight == TG_ALL_PARAMS)
        h->all_rejected++;
    else
        h->rejected[weight]++;
    return TG_OK;
}

static tg_status harness_complete(void *ctx, size_t weight)
{
    ((harness *)ctx)->completed[weight]++;
    return TG_OK;
}

/* ---- building ------------------------------------------------------------------------------------------------------ */

static inline void harness_begin(harness *h, tg_mode mode, tg_format format, size_t batch, size_t time)
{
    memset(h, 0, sizeof *h);
    h->model.weight = h->weight;
    harness_ok(tg_graph_create(&h->graph, &h->model, mode, format, batch, time));
    h->tokens = calloc(batch * time, sizeof *h->tokens);
    h->targets = calloc(batch * time, sizeof *h->targets);
    h->run = (tg_run){.tokens = h->tokens,
                      .targets = h->targets,
                      .seed = 11,
                      .update = 3,
                      .sink = {harness_tile, harness_rows, harness_reject, harness_complete, h, NULL, NULL}};
}

/* A weight of irregular normal values times `scale`, rounded to its format. rows = 1: a vector. */
static inline int harness_weight(harness *h, const char *name, size_t rows, size_t cols, tg_format format, double scale)
{
    const int w = (int)h->model.weights++;
    assert_true(w < HARNESS_WEIGHTS);
    const size_t n = rows * cols;
    float *values = malloc(n * sizeof *values);
    void *data = tg_alloc(NULL, n, tg_format_bytes(format));
    for (size_t i = 0; i < n; i++)
        values[i] = (float)scale * tg_random_normal(tg_key_make(5, (uint64_t)w, 1, 0), (uint32_t)i) + (float)scale * 0.137f;
    tg_kernels_get()->narrow(data, values, format, n);
    free(values);
    h->weight[w] = (tg_weight){.param = {.name = name, .data = data, .format = format, .rows = rows, .cols = cols},
                               .vector = rows == 1};
    h->grad[w] = calloc(n, sizeof(float));
    return w;
}

static inline float harness_rounded(float x, tg_format format)
{
    return format == TG_BF16  ? tg_bf16_to_f32(tg_f32_to_bf16(x))
           : format == TG_F16 ? tg_f16_to_f32(tg_f32_to_f16(x))
                              : x;
}

/* An activation (batch * time, cols) whose gradient is wanted; its values are those of weight h->model.weights - 1. */
static inline int harness_input(harness *h, const char *name, size_t cols)
{
    const size_t rows = h->graph->batch * h->graph->time;
    const int w = harness_weight(h, name, rows, cols, TG_F32, 1.0);
    h->is_input[w] = true;
    float *values = h->weight[w].param.data;
    for (size_t i = 0; i < rows * cols; i++) /* what the layer will see */
        values[i] = harness_rounded(values[i], h->graph->format);
    const int x = tg_graph_tensor(h->graph, h->graph->format, rows, cols);
    tg_op *op = tg_graph_op(h->graph, &harness_source, name);
    assert_non_null(op);
    op->output[0] = x;
    op->weight[0] = w;
    return x;
}

static inline void harness_probe(harness *h, int y0, int y1)
{
    tg_op *op = tg_graph_op(h->graph, &harness_probe_layer, "probe");
    if (op == NULL)
        fail_msg("%s", h->graph->failure);
    const int y[2] = {y0, y1};
    for (int s = 0; s < 2; s++) {
        if (y[s] == TG_NONE)
            continue;
        op->input[s] = y[s];
        h->output_values[s] = h->graph->tensor[y[s]].rows * h->graph->tensor[y[s]].cols;
        h->output[s] = calloc(h->output_values[s], sizeof(float));
    }
}

/* Plans at the first call; runs; returns the loss. */
static inline double harness_run(harness *h)
{
    if (h->graph->steps == 0) {
        harness_ok(tg_graph_plan(h->graph, h->recompute));
        harness_ok(tg_graph_allocate(h->graph));
        memset(h->graph->arena, 0xff, h->graph->arena_bytes); /* NaN: nobody may read what nobody wrote */
    }
    for (size_t w = 0; w < h->model.weights; w++) {
        memset(h->grad[w], 0, harness_values(h, (int)w) * sizeof(float));
        h->tiles[w] = h->rejected[w] = h->completed[w] = 0;
    }
    h->all_rejected = 0;
    harness_now = h;
    harness_ok(tg_graph_run(h->graph, &h->run));
    return h->run.loss;
}

static inline void harness_end(harness *h)
{
    for (size_t w = 0; w < h->model.weights; w++) {
        tg_free(NULL, h->weight[w].param.data, harness_values(h, (int)w), tg_format_bytes(h->weight[w].param.format));
        free(h->grad[w]);
    }
    for (int s = 0; s < TG_OP_INPUTS; s++)
        free(h->output[s]);
    free(h->tokens);
    free(h->targets);
    tg_graph_destroy(h->graph);
}

/* ---- checking ------------------------------------------------------------------------------------------------------ */

/* The loss with fp32 weight w moved by `step` along a direction of unit normal values. */
static inline double harness_loss_along(harness *h, int w, uint64_t direction, double step)
{
    float *x = h->weight[w].param.data;
    const size_t n = harness_values(h, w);
    float *kept = malloc(n * sizeof *kept);
    memcpy(kept, x, n * sizeof *kept);
    for (size_t i = 0; i < n; i++)
        x[i] += (float)(step * (double)tg_random_normal(tg_key_make(9, direction, 2, 0), (uint32_t)i));
    const double loss = harness_run(h);
    memcpy(x, kept, n * sizeof *kept);
    free(kept);
    return loss;
}

/* Central differences along random directions against the gradients of the last run: for every fp32 weight (inputs
 * among them), |analytic - numeric| <= tolerance |g|, g the gradient. fp32 graphs only. */
static inline void harness_check_gradients(harness *h, double step, double tolerance)
{
    for (size_t w = 0; w < h->model.weights; w++) {
        if (h->weight[w].param.format != TG_F32 || h->weight[w].param.frozen)
            continue;
        const size_t n = harness_values(h, (int)w);
        for (uint64_t direction = 0; direction < 3; direction++) {
            harness_run(h);
            double analytic = 0, squares = 0;
            for (size_t i = 0; i < n; i++) {
                const double g = (double)h->grad[w][i];
                analytic += g * (double)tg_random_normal(tg_key_make(9, direction, 2, 0), (uint32_t)i);
                squares += g * g;
            }
            const double up = harness_loss_along(h, (int)w, direction, step);
            const double down = harness_loss_along(h, (int)w, direction, -step);
            const double numeric = (up - down) / (2 * step);
            if (!(fabs(analytic - numeric) <= tolerance * sqrt(squares)) || squares == 0)
                fail_msg("d %s along direction %d: %.9g, by differences %.9g (norm %.3g)", h->weight[w].param.name,
                         (int)direction, analytic, numeric, sqrt(squares));
        }
    }
    harness_run(h);
}

/* The largest |a - b| relative to the root mean square of b. */
static inline double harness_difference(const float *a, const double *b, size_t n)
{
    double most = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - b[i]);
        most = d > most || !(d == d) ? d : most;
        squares += b[i] * b[i];
    }
    return most / sqrt(squares / (double)n);
}

#endif
