/* engine_models_test.c -- whole models: gradients against finite differences, recomputation, one completion a weight, and
 * the key/value cache against the full forward pass. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/kernels.h"
#include "base/memory.h"
#include "graph/run.h"
#include "model/model.h"
#include "tiger/engine/train.h"
#include "train/generate.h"

#define ok(expression)                                                                                                 \
    do {                                                                                                               \
        if ((expression) != TG_OK)                                                                                     \
            fail_msg("%s: %s", #expression, tg_message());                                                             \
    } while (0)

typedef struct shape {
    const char *model, *options; /* "NAME VALUE NAME VALUE ..." */
} shape;

static const shape shapes[] = {
    {"gpt2", "layers 2 heads 2 width 14 context 9"},
    {"gpt2", "layers 1 heads 3 width 15 context 7 tied 0 hidden 23 dropout 0.23"},
    {"llama", "layers 2 heads 4 kv_heads 2 width 16 context 9"},
    {"llama", "layers 1 heads 3 kv_heads 1 head_dim 6 width 18 context 8 tied 1 hidden 21 dropout 0.17"},
    {"bert", "layers 2 heads 2 width 14 context 9"},
    {"bert", "layers 1 heads 3 width 15 context 8 tied 0 hidden 23 segments 1 dropout 0.23"},
    {"gau", "layers 2 width 14 context 9"},
    {"gau", "layers 3 head_dim 6 width 18 context 8 tied 0 hidden 21 dropout 0.17 attention softmax"},
    {"gau_encoder", "layers 2 width 20 head_dim 12 context 9"},
    {"gau_encoder", "layers 1 width 15 context 8 tied 0 hidden 23 dropout 0.23 attention softmax"},
};
#define SHAPES (sizeof shapes / sizeof *shapes)
#define VOCAB 37

static tg_model_config config_of(const shape *s)
{
    tg_model_config config;
    char text[256], *word[32];
    size_t words = 0;
    ok(tg_model_config_default(&config, s->model));
    snprintf(text, sizeof text, "%s", s->options);
    for (char *p = strtok(text, " "); p != NULL; p = strtok(NULL, " "))
        word[words++] = p;
    for (size_t i = 0; i + 1 < words; i += 2)
        ok(tg_model_config_set(&config, word[i], word[i + 1]));
    config.vocab = VOCAB;
    ok(tg_model_config_complete(&config));
    return config;
}

/* Weights under which everything matters: fresh ones, disturbed. */
static tg_model *model_of(const tg_model_config *config, tg_format format)
{
    tg_model *model;
    ok(tg_model_create(&model, config, format));
    ok(tg_model_initialize(model, 3));
    for (size_t w = 0; w < tg_model_weight_count(model); w++) {
        const tg_param *param = tg_model_weight(model, w);
        for (size_t i = 0; i < param->rows * param->cols; i++) {
            char *value = (char *)param->data + i * tg_format_bytes(format);
            float x;
            tg_kernels_get()->widen(&x, value, format, 1);
            x += 0.19f * tg_random_normal(tg_key_make(11, w, 0, 0), (uint32_t)i);
            tg_kernels_get()->narrow(value, &x, format, 1);
        }
    }
    return model;
}

/* ---- finite differences ---- */

static void show_bad(void *ctx, const tg_check_row *row)
{
    ++*(size_t *)ctx;
    if (!row->good || !(row->analytic_norm > 0))
        print_message("%s: analytic %.6g numeric %.6g relative error %.3g\n", row->weight, row->analytic_norm,
                      row->numeric_norm, row->relative_error);
    assert_true(row->analytic_norm > 0);
}

static void gradients_agree_with_differences(void **state)
{
    (void)state;
    for (size_t s = 0; s < SHAPES; s++) {
        const tg_model_config config = config_of(&shapes[s]);
        tg_model *model = model_of(&config, TG_F32);
        bool good = false;
        size_t rows = 0;
        ok(tg_check_gradients(&config, 3, 7, 4, 17 + s, show_bad, &rows, &good));
        assert_true(good);
        assert_int_equal(rows, tg_model_weight_count(model));
        tg_model_destroy(model);
    }
}

static void check_refuses_nonsense(void **state)
{
    (void)state;
    const tg_model_config config = config_of(&shapes[0]);
    bool good = true;
    assert_int_equal(tg_check_gradients(&config, 0, 7, 4, 1, NULL, NULL, &good), TG_EINVAL);
    assert_int_equal(tg_check_gradients(&config, 2, 10, 4, 1, NULL, NULL, &good), TG_EINVAL);
    assert_int_equal(tg_check_gradients(&config, 2, 7, 0, 1, NULL, NULL, &good), TG_EINVAL);
}

/* ---- one training step into arrays ---- */

typedef struct gradients {
    const tg_model *model;
    float *sum[64];
    size_t completed[64], rejected[64], tiles[64], bad_tiles[64];
    double loss_scale; /* what the run is given */
    bool draws_labels;
} gradients;

static tg_status take_tile(void *ctx, size_t weight, size_t row, size_t rows, const float *tile)
{
    gradients *g = ctx;
    const tg_param *param = tg_model_weight(g->model, weight);
    assert_true(row + rows <= param->rows);
    assert_int_equal(g->completed[weight], 0);
    g->tiles[weight]++;
    if (!tg_kernels_get()->all_finite(tile, TG_F32,
                                      rows * param->cols)) { /* as the optimizer does: dropped as a whole */
        g->bad_tiles[weight]++;
        return TG_OK;
    }
    for (size_t i = 0; i < rows * param->cols; i++)
        g->sum[weight][row * param->cols + i] += tile[i];
    return TG_OK;
}

static tg_status take_rows(void *ctx, size_t weight, const uint32_t *index, size_t rows, const float *tile)
{
    const size_t cols = tg_model_weight(((gradients *)ctx)->model, weight)->cols;
    for (size_t r = 0; r < rows; r++) {
        assert_true(r == 0 || index[r - 1] < index[r]);
        take_tile(ctx, weight, index[r], 1, tile + r * cols);
    }
    return TG_OK;
}

static tg_status take_reject(void *ctx, size_t weight)
{
    assert_true(weight < 64); /* not all of them: the loss is good */
    ((gradients *)ctx)->rejected[weight]++;
    return TG_OK;
}

static tg_status take_complete(void *ctx, size_t weight)
{
    ((gradients *)ctx)->completed[weight]++;
    return TG_OK;
}

#define BATCH 3
#define TIME 7

static void fill_batch(uint32_t *tokens, int32_t *targets)
{
    for (uint32_t i = 0; i < BATCH * TIME; i++) {
        tokens[i] = (uint32_t)tg_random_below(tg_key_make(5, 0, 0, 0), i, VOCAB);
        targets[i] = i % 5 == 3 ? -1 : (int32_t)tg_random_below(tg_key_make(6, 0, 0, 0), i, VOCAB);
    }
}

/* One run into g, whose loss_scale and draws_labels are set. */
static double train_into(gradients *g, tg_model *model, tg_format activations, tg_recompute recompute)
{
    uint32_t tokens[BATCH * TIME];
    int32_t targets[BATCH * TIME];
    tg_graph *graph;
    fill_batch(tokens, targets);
    *g = (gradients){.model = model, .loss_scale = g->loss_scale, .draws_labels = g->draws_labels};
    assert_true(tg_model_weight_count(model) <= 64);
    for (size_t w = 0; w < tg_model_weight_count(model); w++)
        g->sum[w] = tg_heap_alloc(tg_model_weight(model, w)->rows * tg_model_weight(model, w)->cols, sizeof(float));
    ok(tg_model_graph(&graph, model, TG_TRAIN, activations, BATCH, TIME));
    ok(tg_graph_plan(graph, recompute));
    ok(tg_graph_allocate(graph));
    tg_run run = {.tokens = tokens,
                  .targets = targets,
                  .seed = 21,
                  .update = 4,
                  .micro_step = 2,
                  .loss_scale = g->loss_scale,
                  .draws_labels = g->draws_labels,
                  .sink = {take_tile, take_rows, take_reject, take_complete, g, NULL, NULL}};
    ok(tg_graph_run(graph, &run));
    tg_graph_destroy(graph);
    return run.loss;
}

static double train_once(gradients *g, tg_model *model, tg_format activations, tg_recompute recompute)
{
    g->loss_scale = 0;
    g->draws_labels = false;
    const double loss = train_into(g, model, activations, recompute);
    for (size_t w = 0; w < tg_model_weight_count(model); w++)
        assert_int_equal(g->rejected[w], 0);
    return loss;
}

static void release(gradients *g)
{
    for (size_t w = 0; w < 64; w++)
        tg_heap_free(g->sum[w]);
}

static void check_recomputation(const shape *s, tg_format format, bool draws_labels)
{
    const tg_model_config config = config_of(s);
    tg_model *model = model_of(&config, format);
    gradients plain = {.draws_labels = draws_labels}, again = plain;
    const double loss = train_into(&plain, model, format, TG_RECOMPUTE_NONE);
    for (int r = TG_RECOMPUTE_BLOCK; r <= TG_RECOMPUTE_SQRT; r++) {
        const double other = train_into(&again, model, format, (tg_recompute)r);
        assert_memory_equal(&loss, &other, sizeof loss);
        for (size_t w = 0; w < tg_model_weight_count(model); w++) {
            const tg_param *param = tg_model_weight(model, w);
            assert_memory_equal(plain.sum[w], again.sum[w], param->rows * param->cols * sizeof(float));
            assert_int_equal(plain.rejected[w] + again.rejected[w], 0);
        }
        release(&again);
    }
    release(&plain);
    tg_model_destroy(model);
}

static void recomputation_gives_the_same_bits(void **state)
{
    (void)state;
    static const tg_format formats[] = {TG_F32, TG_BF16, TG_F16};
    for (size_t s = 0; s < SHAPES; s++)
        for (size_t f = 0; f < 3; f++)
            for (int draws = 0; draws < 2; draws++)
                check_recomputation(&shapes[s], formats[f], draws != 0);
}

static void every_weight_is_completed_once(void **state)
{
    (void)state;
    for (size_t s = 0; s < SHAPES; s++) {
        const tg_model_config config = config_of(&shapes[s]);
        tg_model *model = model_of(&config, TG_F32);
        gradients g;
        train_once(&g, model, TG_F32, TG_RECOMPUTE_NONE);
        for (size_t w = 0; w < tg_model_weight_count(model); w++)
            assert_int_equal(g.completed[w], 1);
        release(&g);
        tg_model_destroy(model);
    }
}

/* 16-bit weights and activations: the gradient is that of fp32, up to the digits of what passes. */
static void check_near_fp32(const shape *s, tg_format format, double loss_tolerance, double tolerance)
{
    const tg_model_config config = config_of(s);
    tg_model *half = model_of(&config, format), *full = model_of(&config, TG_F32);
    gradients g_half, g_full;
    for (size_t w = 0; w < tg_model_weight_count(full); w++) /* the same values in both */
        tg_kernels_get()->widen(full->weight[w].param.data, half->weight[w].param.data, format,
                                full->weight[w].param.rows * full->weight[w].param.cols);
    const double loss = train_once(&g_full, full, TG_F32, TG_RECOMPUTE_NONE);
    assert_true(fabs(train_once(&g_half, half, format, TG_RECOMPUTE_NONE) - loss) < loss_tolerance * loss);
    double difference = 0, size = 0;
    for (size_t w = 0; w < tg_model_weight_count(full); w++)
        for (size_t i = 0; i < full->weight[w].param.rows * full->weight[w].param.cols; i++) {
            difference += pow(g_half.sum[w][i] - g_full.sum[w][i], 2);
            size += pow(g_full.sum[w][i], 2);
        }
    if (!(difference < tolerance * tolerance * size))
        fail_msg("%s: the gradient in %s is off by %g", s->options, tg_format_name(format), sqrt(difference / size));
    release(&g_half);
    release(&g_full);
    tg_model_destroy(half);
    tg_model_destroy(full);
}

static void bf16_is_near_fp32(void **state)
{
    (void)state;
    for (size_t s = 0; s < SHAPES; s++)
        check_near_fp32(&shapes[s], TG_BF16, 0.02, 0.03);
}

static void fp16_is_near_fp32(void **state)
{
    (void)state;
    for (size_t s = 0; s < SHAPES; s++)
        check_near_fp32(&shapes[s], TG_F16, 0.0025, 0.004);
}

/* ---- loss scaling ---- */

/* fp32: every gradient of a model is the power of two times what it was. Attention's and the norms' sums too. */
static void loss_scale_multiplies_every_gradient_exactly(void **state)
{
    (void)state;
    for (size_t s = 0; s < SHAPES; s++) {
        const tg_model_config config = config_of(&shapes[s]);
        tg_model *model = model_of(&config, TG_F32);
        gradients plain, scaled = {.loss_scale = 4096};
        const double loss = train_once(&plain, model, TG_F32, TG_RECOMPUTE_NONE);
        assert_true(train_into(&scaled, model, TG_F32, TG_RECOMPUTE_NONE) == loss);
        for (size_t w = 0; w < tg_model_weight_count(model); w++)
            for (size_t i = 0; i < model->weight[w].param.rows * model->weight[w].param.cols; i++)
                assert_true(scaled.sum[w][i] == 4096 * plain.sum[w][i]);
        release(&plain);
        release(&scaled);
        tg_model_destroy(model);
    }
}

/* A scale under which gradients overflow fp16 on their way back: the loss stays good, and a weight whose gradient is
 * bad is rejected or gets it as one tile, which the sink drops: never a part of it. */
static void overflow_never_leaves_a_part(void **state)
{
    (void)state;
    for (size_t s = 0; s < SHAPES; s++) {
        const tg_model_config config = config_of(&shapes[s]);
        tg_model *model = model_of(&config, TG_F16);
        gradients plain, scaled = {.loss_scale = 0x1p24};
        const double loss = train_once(&plain, model, TG_F16, TG_RECOMPUTE_NONE);
        assert_true(train_into(&scaled, model, TG_F16, TG_RECOMPUTE_NONE) == loss);
        size_t bad = 0;
        for (size_t w = 0; w < tg_model_weight_count(model); w++) {
            bad += scaled.rejected[w] + scaled.bad_tiles[w];
            assert_int_equal(scaled.completed[w], 1);
            assert_int_equal(plain.bad_tiles[w], 0);
            if (scaled.bad_tiles[w] > 0)
                assert_int_equal(scaled.tiles[w], 1);
            else if (scaled.rejected[w] > 0 && !model->weight[w].param.many_uses)
                assert_int_equal(scaled.tiles[w], 0);
        }
        assert_true(bad > tg_model_weight_count(model) / 2);
        release(&plain);
        release(&scaled);
        tg_model_destroy(model);
    }
}

/* ---- the cache ---- */

/* Log-probabilities of what follows the tokens, out of evaluation's losses, which know no cache: each token in turn is the
 * one target. */
static void full_forward(double *log_probability, tg_model *model, const uint32_t *tokens, size_t count)
{
    tg_graph *graph;
    int32_t targets[16];
    assert_true(count <= 16);
    ok(tg_model_graph(&graph, model, TG_EVALUATE, TG_F32, 1, count));
    ok(tg_graph_plan(graph, TG_RECOMPUTE_NONE));
    ok(tg_graph_allocate(graph));
    for (int32_t v = 0; v < VOCAB; v++) {
        tg_run run = {.tokens = tokens, .targets = targets};
        for (size_t i = 0; i < count; i++)
            targets[i] = i + 1 == count ? v : -1;
        ok(tg_graph_run(graph, &run));
        assert_int_equal(run.targets_counted, 1);
        log_probability[v] = -run.loss;
    }
    tg_graph_destroy(graph);
}

static void assert_near(const float *logits, const double *log_probability)
{
    double sum = 0;
    for (size_t i = 0; i < VOCAB; i++)
        sum += exp((double)logits[i]);
    for (size_t i = 0; i < VOCAB; i++)
        assert_true(fabs((double)logits[i] - log(sum) - log_probability[i]) <= 1e-5);
}

static void cache_equals_full_forward(void **state)
{
    (void)state;
    static const uint32_t token[] = {5, 17, 0, 31, 2, 2, 36, 24, 9, 23, 11, 30, 8, 1, 19, 7, 28, 3};
    const size_t tokens = sizeof token / sizeof *token;
    for (size_t s = 0; s < SHAPES; s++)
        for (size_t first = 1; first <= 5; first += 2) { /* read at once; the rest one by one */
            const tg_model_config config = config_of(&shapes[s]);
            if (config.info->masked) /* knows no cache */
                continue;
            tg_model *model = model_of(&config, TG_F32);
            tg_generator generator;
            double wanted[VOCAB];
            ok(tg_generator_init(&generator, model, TG_F32));
            for (size_t read = 0; read < tokens;) {
                const size_t now = read == 0 ? first : 1;
                ok(tg_generator_read(&generator, token + read, now));
                read += now;
                const size_t used = generator.cache.used;
                assert_true(used <= config.context && (read > config.context || used == read));
                assert_true(read <= config.context || used >= config.context / 2);
                assert_memory_equal(generator.window, token + read - used, used * sizeof *token);
                full_forward(wanted, model, generator.window, used);
                assert_near(generator.logits, wanted);
            }
            tg_generator_fini(&generator);
            tg_model_destroy(model);
        }
}

static void long_input_keeps_its_end(void **state)
{
    (void)state;
    const tg_model_config config = config_of(&shapes[2]);
    tg_model *model = model_of(&config, TG_F32);
    tg_generator generator;
    uint32_t token[40];
    double wanted[VOCAB];
    for (uint32_t i = 0; i < 40; i++)
        token[i] = i * 7 % VOCAB;
    ok(tg_generator_init(&generator, model, TG_F32));
    assert_int_equal(tg_generator_read(&generator, token, 0), TG_EINVAL);
    ok(tg_generator_read(&generator, token, 40));
    full_forward(wanted, model, token + 40 - config.context, config.context);
    assert_near(generator.logits, wanted);
    token[0] = VOCAB; /* unknown to the model */
    assert_int_equal(tg_generator_read(&generator, token, 1), TG_EINVAL);
    tg_generator_fini(&generator);
    tg_model_destroy(model);
}

static void generator_survives_lack_of_memory(void **state)
{
    (void)state;
    const tg_model_config config = config_of(&shapes[0]);
    tg_model *model = model_of(&config, TG_F32);
    for (long n = 1;; n++) {
        tg_generator generator = {0};
        const uint32_t token[3] = {1, 2, 3};
        tg_memory_fail_at(n);
        tg_status status = tg_generator_init(&generator, model, TG_F32);
        if (status == TG_OK)
            status = tg_generator_read(&generator, token, 3);
        tg_memory_fail_at(0);
        tg_generator_fini(&generator);
        assert_true(status == TG_OK || status == TG_ENOMEM);
        if (status == TG_OK) {
            assert_true(n > 5);
            break;
        }
    }
    tg_model_destroy(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_agree_with_differences),
        cmocka_unit_test(check_refuses_nonsense),
        cmocka_unit_test(recomputation_gives_the_same_bits),
        cmocka_unit_test(every_weight_is_completed_once),
        cmocka_unit_test(bf16_is_near_fp32),
        cmocka_unit_test(fp16_is_near_fp32),
        cmocka_unit_test(loss_scale_multiplies_every_gradient_exactly),
        cmocka_unit_test(overflow_never_leaves_a_part),
        cmocka_unit_test(cache_equals_full_forward),
        cmocka_unit_test(long_input_keeps_its_end),
        cmocka_unit_test(generator_survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
