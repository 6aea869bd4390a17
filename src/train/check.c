/* train/check.c -- the model's backward against central differences of its loss.
 *
 * The model gets weights that make every layer work in its curved range (a fresh model's logits are all near 0, which would
 * hide half of the mistakes), random tokens, and one backward into plain arrays. Then, per weight tensor, its loss is
 * differentiated numerically
 *   - along its analytic gradient: finds wrong scale and missing parts;
 *   - along random directions of +-1: finds what the gradient has too much and too little anywhere;
 *   - at single values, half of them the largest of the gradient: finds transposed and shifted entries.
 * Differences are of fourth order,
 *
 *   f'(0) = (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h + O(h^4),
 *
 * so that h may be large: the loss is a double, but of fp32 activations, and its rounding noise (about 1e-7) is divided
 * by h. Steps along a direction are 0.3 % of the tensor's norm, steps of a single value 6 % of its RMS. With these, right
 * gradients agree to 1e-5 .. 3e-4; TOLERANCE leaves room for noise. */
#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "base/kernels.h"
#include "base/memory.h"
#include "graph/run.h"
#include "model/model.h"
#include "tiger/engine/train.h"

#define TOLERANCE 2e-3
#define NOISE 2e-5 /* of a derivative by one RMS of a weight: all of it, where it is 0 as by a key's bias */
#define DIRECTION_STEP 0.003
#define VALUE_STEP 0.06
#define CANDIDATES 64     /* places looked at for a large gradient */
#define SMALL_VOCAB 61    /* when the configuration has none */

enum { PURPOSE_WEIGHTS = 0x63686b00, PURPOSE_TOKENS, PURPOSE_TARGETS, PURPOSE_PROBES, PURPOSE_FEATURES, PURPOSE_VALUES };

typedef struct checker {
    tg_model *model;
    tg_graph *train, *forward; /* forward: loss alone; the same as train where that is another function */
    tg_run run;
    uint32_t *tokens;
    int32_t *targets;
    float *features, *values;  /* of samples; `room` and `outputs` of them */
    size_t places, room, outputs;
    float **gradient;          /* [weight] */
    bool keep;                 /* gradients that come in are wanted */
    float *before, *direction; /* (largest weight) */
    size_t largest;
} checker;

static size_t values_of(const tg_param *param) { return param->rows * param->cols; }

/* ---- the sink: gradients into arrays ---- */

static tg_status take_tile(void *ctx, size_t weight, size_t row, size_t rows, const float *tile)
{
    checker *c = ctx;
    const size_t cols = tg_model_weight(c->model, weight)->cols;
    for (size_t i = 0; c->keep && i < rows * cols; i++)
        c->gradient[weight][row * cols + i] += tile[i];
    return TG_OK;
}

static tg_status take_rows(void *ctx, size_t weight, const uint32_t *index, size_t rows, const float *tile)
{
    const size_t cols = tg_model_weight(((checker *)ctx)->model, weight)->cols;
    for (size_t r = 0; r < rows; r++)
        take_tile(ctx, weight, index[r], 1, tile + r * cols);
    return TG_OK;
}

static tg_status take_reject(void *ctx, size_t weight)
{
    const checker *c = ctx;
    return tg_fail(TG_EDIVERGED, "the gradient of %s has NaN or Inf",
                   weight == TG_ALL_PARAMS ? "the loss" : tg_model_weight(c->model, weight)->name);
}

static tg_status take_complete(void *ctx, size_t weight)
{
    (void)ctx;
    (void)weight;
    return TG_OK;
}

/* ---- making ---- */

/* Kernels that keep the size of what passes through them, gains around 1, biases that matter. */
static void fill_weights(tg_model *model, uint64_t seed)
{
    for (size_t w = 0; w < tg_model_weight_count(model); w++) {
        const tg_param *param = tg_model_weight(model, w);
        const tg_key key = tg_key_make(seed, PURPOSE_WEIGHTS, w, 0);
        const size_t fan_in = param->fan_in != 0 ? param->fan_in : param->cols;
        const double scale = param->role == TG_MATRIX && !param->many_uses ? 1.0 / sqrt((double)fan_in) : 0.3;
        float *x = param->data;
        for (size_t i = 0; i < values_of(param); i++)
            x[i] = (float)(param->role == TG_GAIN) + (float)scale * tg_random_normal(key, (uint32_t)i);
    }
}

/* Tokens of a text, or samples: whichever the model reads, the other is not looked at. Of numbers to be told, targets
 * say that all count. */
static tg_status make_batch(checker *c, uint64_t seed)
{
    const tg_model_config *config = tg_model_get_config(c->model);
    const size_t choices = config->task == TG_TASK_LANGUAGE ? config->vocab : config->outputs;
    if (!tg_multiply(&c->room, c->places, config->features) || !tg_multiply(&c->outputs, c->places, config->outputs))
        return tg_fail(TG_EINVAL, "a batch of %zu samples is too large", c->places);
    c->tokens = tg_alloc(NULL, c->places, sizeof *c->tokens);
    c->targets = tg_alloc(NULL, c->places, sizeof *c->targets);
    c->features = tg_alloc(NULL, c->room, sizeof *c->features);
    c->values = tg_alloc(NULL, c->outputs, sizeof *c->values);
    if (c->tokens == NULL || c->targets == NULL || c->features == NULL || c->values == NULL)
        return tg_no_memory("a batch", c->places * 8);
    for (size_t i = 0; i < c->places; i++) {
        c->tokens[i] = (uint32_t)tg_random_below(tg_key_make(seed, PURPOSE_TOKENS, 0, 0), (uint32_t)i, choices);
        c->targets[i] = (int32_t)tg_random_below(tg_key_make(seed, PURPOSE_TARGETS, 0, 0), (uint32_t)i, choices);
    }
    for (size_t i = 0; i < c->room; i++)
        c->features[i] = tg_random_normal(tg_key_make(seed, PURPOSE_FEATURES, 0, 0), (uint32_t)i);
    for (size_t i = 0; i < c->outputs; i++)
        c->values[i] = tg_random_normal(tg_key_make(seed, PURPOSE_VALUES, 0, 0), (uint32_t)i);
    return TG_OK;
}

static tg_status make_arrays(checker *c)
{
    const size_t weights = tg_model_weight_count(c->model);
    c->gradient = tg_heap_alloc(weights, sizeof *c->gradient);
    if (c->gradient == NULL)
        return tg_no_memory("gradients", weights * sizeof *c->gradient);
    for (size_t w = 0; w < weights; w++) {
        const size_t n = values_of(tg_model_weight(c->model, w));
        if ((c->gradient[w] = tg_alloc(NULL, n, sizeof(float))) == NULL)
            return tg_no_memory("a gradient", n * sizeof(float));
        c->largest = n > c->largest ? n : c->largest;
    }
    c->before = tg_alloc(NULL, c->largest, sizeof *c->before);
    c->direction = tg_alloc(NULL, c->largest, sizeof *c->direction);
    return c->before != NULL && c->direction != NULL ? TG_OK : tg_no_memory("a direction", c->largest * 4);
}

static tg_status make_graph(tg_graph **out, tg_model *model, tg_mode mode, size_t batch, size_t time)
{
    tg_status status = tg_model_graph(out, model, mode, TG_F32, batch, time);
    if (status == TG_OK)
        status = tg_graph_plan(*out, TG_RECOMPUTE_NONE);
    return status == TG_OK ? tg_graph_allocate(*out) : status;
}

static tg_status make(checker *c, const tg_model_config *config, size_t batch, size_t time, uint64_t seed)
{
    tg_model_config complete = *config;
    if (complete.vocab == 0)
        complete.vocab = SMALL_VOCAB;
    if (batch == 0 || time == 0 || !tg_multiply(&c->places, batch, time))
        return tg_fail(TG_EINVAL, "a gradient check needs a batch and a time of at least 1");
    tg_status status = tg_model_config_complete(&complete);
    if (status == TG_OK && complete.task != TG_TASK_LANGUAGE) {
        batch = c->places; /* what has no time has samples */
        time = 1;
    }
    if (status == TG_OK && time > complete.context)
        status = tg_fail(TG_EINVAL, "time %zu is longer than the model's context of %zu", time, complete.context);
    if (status == TG_OK)
        status = tg_model_create(&c->model, &complete, TG_F32);
    if (status == TG_OK)
        status = make_batch(c, seed);
    if (status == TG_OK)
        status = make_arrays(c);
    if (status == TG_OK)
        status = make_graph(&c->train, c->model, TG_TRAIN, batch, time);
    if (status != TG_OK)
        return status;
    if (c->train->training_differs)
        c->forward = c->train;
    else if ((status = make_graph(&c->forward, c->model, TG_EVALUATE, batch, time)) != TG_OK)
        return status;
    fill_weights(c->model, seed);
    c->run = (tg_run){.tokens = c->tokens,
                      .targets = c->targets,
                      .features = c->features,
                      .values = c->values,
                      .seed = seed,
                      .update = 1,
                      .micro_step = 1,
                      .sink = {take_tile, take_rows, take_reject, take_complete, c, NULL, NULL}};
    return TG_OK;
}

static void drop(checker *c)
{
    for (size_t w = 0; c->gradient != NULL && w < tg_model_weight_count(c->model); w++)
        tg_free(NULL, c->gradient[w], values_of(tg_model_weight(c->model, w)), sizeof(float));
    tg_heap_free(c->gradient);
    tg_free(NULL, c->tokens, c->places, sizeof *c->tokens);
    tg_free(NULL, c->targets, c->places, sizeof *c->targets);
    tg_free(NULL, c->features, c->room, sizeof *c->features);
    tg_free(NULL, c->values, c->outputs, sizeof *c->values);
    tg_free(NULL, c->before, c->largest, sizeof *c->before);
    tg_free(NULL, c->direction, c->largest, sizeof *c->direction);
    if (c->forward != c->train)
        tg_graph_destroy(c->forward);
    tg_graph_destroy(c->train);
    tg_model_destroy(c->model);
}

/* ---- probing ---- */

static tg_status loss_at(double *loss, checker *c, const tg_param *param, double step)
{
    const size_t n = values_of(param);
    float *x = param->data;
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((double)c->before[i] + step * (double)c->direction[i]);
    const tg_status status = tg_graph_run(c->forward, &c->run);
    memcpy(x, c->before, n * sizeof *x);
    *loss = c->run.loss;
    return status;
}

/* The derivative of the loss along c->direction, numerically and from the gradient. */
static tg_status probe(double *numeric, double *analytic, checker *c, size_t weight, double step)
{
    static const double at[4] = {1, -1, 2, -2}, share[4] = {8, -8, -1, 1};
    const tg_param *param = tg_model_weight(c->model, weight);
    double sum = 0, product = 0;
    for (int i = 0; i < 4; i++) {
        double loss;
        const tg_status status = loss_at(&loss, c, param, at[i] * step);
        if (status != TG_OK)
            return status;
        sum += share[i] * loss;
    }
    for (size_t i = 0; i < values_of(param); i++)
        product += (double)c->gradient[weight][i] * (double)c->direction[i];
    *numeric = sum / (12 * step);
    *analytic = product;
    return TG_OK;
}

/* Direction number `number` of a weight, with norm 1. */
static void choose_direction(checker *c, size_t weight, size_t number, double gradient_norm, tg_key key)
{
    const size_t n = values_of(tg_model_weight(c->model, weight));
    const float each = (float)(1.0 / sqrt((double)n));
    for (size_t i = 0; i < n; i++)
        if (number == 0 && gradient_norm > 0)
            c->direction[i] = (float)((double)c->gradient[weight][i] / gradient_norm);
        else
            c->direction[i] = (tg_random(key, (uint32_t)i) & 1) != 0 ? each : -each;
}

/* A single value: by chance, or the one of the largest gradient among some. */
static void choose_value(checker *c, size_t weight, size_t number, tg_key key)
{
    const size_t n = values_of(tg_model_weight(c->model, weight));
    const float *g = c->gradient[weight];
    size_t place = (size_t)tg_random_below(key, 0, n);
    for (uint32_t i = 1; number % 2 == 0 && i < CANDIDATES; i++) {
        const size_t other = (size_t)tg_random_below(key, i, n);
        place = fabsf(g[other]) > fabsf(g[place]) ? other : place;
    }
    memset(c->direction, 0, n * sizeof *c->direction);
    c->direction[place] = 1.0f;
}

/* `probes` directions and as many single values of one weight. */
static tg_status check_weight(tg_check_row *row, checker *c, size_t weight, size_t probes, uint64_t seed)
{
    const tg_param *param = tg_model_weight(c->model, weight);
    const size_t n = values_of(param);
    const double norm = sqrt(tg_kernels_get()->sum_squares(param->data, n)), rms = norm / sqrt((double)n);
    const double gradient_norm = sqrt(tg_kernels_get()->sum_squares(c->gradient[weight], n));
    double aa = 0, nn = 0, dd = 0;
    memcpy(c->before, param->data, n * sizeof *c->before);
    for (size_t p = 0; p < 2 * probes; p++) {
        const tg_key key = tg_key_make(seed, PURPOSE_PROBES, weight, p);
        double numeric, analytic;
        if (p < probes)
            choose_direction(c, weight, p, gradient_norm, key);
        else
            choose_value(c, weight, p, key);
        const tg_status status =
            probe(&numeric, &analytic, c, weight, p < probes ? DIRECTION_STEP * norm : VALUE_STEP * rms);
        if (status != TG_OK)
            return status;
        aa += analytic * analytic;
        nn += numeric * numeric;
        dd += (analytic - numeric) * (analytic - numeric);
    }
    const double larger = sqrt(fmax(aa, nn));
    *row = (tg_check_row){.weight = param->name,
                          .analytic_norm = sqrt(aa),
                          .numeric_norm = sqrt(nn),
                          .relative_error = larger > 0 ? sqrt(dd) / larger : 0,
                          .probed = 2 * probes};
    row->good = row->relative_error <= TOLERANCE || sqrt(dd) * rms <= NOISE;
    return TG_OK;
}

tg_status tg_check_gradients(const tg_model_config *model, size_t batch, size_t time, size_t probes, uint64_t seed,
                             void (*row)(void *ctx, const tg_check_row *row), void *ctx, bool *all_good)
{
    checker c = {0};
    bool good = true;
    tg_status status = probes == 0 ? tg_fail(TG_EINVAL, "a gradient check needs at least 1 probe") : TG_OK;
    if (status == TG_OK)
        status = make(&c, model, batch, time, seed);
    if (status == TG_OK) {
        c.keep = true;
        status = tg_graph_run(c.train, &c.run);
        c.keep = false;
    }
    for (size_t w = 0; status == TG_OK && w < tg_model_weight_count(c.model); w++) {
        tg_check_row result;
        if (tg_model_weight(c.model, w)->frozen)
            continue;
        if ((status = check_weight(&result, &c, w, probes, seed)) == TG_OK) {
            good = good && result.good;
            if (row != NULL)
                row(ctx, &result);
        }
    }
    drop(&c);
    if (status == TG_OK)
        *all_good = good;
    return status;
}
