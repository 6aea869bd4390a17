/* Attention against a float64 reference: grouped queries, rotation, fused and separate inputs, caches, threads. */
#include <omp.h>

#include "layer_harness.h"

typedef struct attention_case {
    size_t batch, time, heads, kv_heads, dim;
    double theta;
    bool causal, fused;
    tg_format activations;
    uint32_t length[3]; /* of each sequence; all 0: no padding */
} attention_case;

static const attention_case cases[] = {
    {1, 3, 1, 1, 5, 0, true, true, TG_F32, {0}},
    {2, 9, 3, 3, 8, 0, true, true, TG_F32, {0}},
    {2, 70, 4, 2, 6, 10000, true, false, TG_F32, {0}},   /* two blocks of queries, groups, rotation */
    {1, 131, 6, 1, 10, 500, true, true, TG_F32, {0}},    /* three blocks, one key head */
    {2, 67, 4, 2, 6, 0, false, false, TG_F32, {0}},
    {3, 64, 2, 2, 16, 10000, false, true, TG_F32, {0}},
    {1, 1, 2, 2, 4, 10000, true, true, TG_F32, {0}},
    {3, 67, 4, 2, 6, 0, false, false, TG_F32, {67, 31, 1}}, /* padding: none, from the first block on, all but one */
    {2, 35, 2, 2, 16, 10000, false, true, TG_F32, {16, 34}},
    {2, 9, 3, 3, 8, 0, true, true, TG_F32, {5, 9}},         /* causal: nobody sees what comes later anyway */
};

static size_t width(const attention_case *c) { return c->heads * c->dim; }
static size_t kv_width(const attention_case *c) { return c->kv_heads * c->dim; }

static void build(harness *h, const attention_case *c, tg_mode mode)
{
    harness_begin(h, mode, c->activations, c->batch, c->time);
    const tg_attention_config config = {.heads = c->heads, .kv_heads = c->kv_heads, .head_dim = c->dim,
                                        .rope_theta = c->theta, .causal = c->causal};
    int y;
    if (c->fused) {
        const int x = harness_input(h, "qkv", width(c) + 2 * kv_width(c));
        y = tg_attention(h->graph, "attn", x, TG_NONE, TG_NONE, &config);
    } else {
        const int q = harness_input(h, "q", width(c)), k = harness_input(h, "k", kv_width(c));
        y = tg_attention(h->graph, "attn", q, k, harness_input(h, "v", kv_width(c)), &config);
    }
    harness_probe(h, y, TG_NONE);
    h->run.lengths = c->length[0] == 0 ? NULL : c->length;
}

/* Where a head's row lies among the inputs: weight index and first value. */
typedef struct place {
    int weight;
    size_t at;
} place;

static place place_of(const attention_case *c, int which, size_t row, size_t head)
{
    const size_t cols = c->fused ? width(c) + 2 * kv_width(c) : which == 0 ? width(c) : kv_width(c);
    const size_t before = !c->fused || which == 0 ? 0 : which == 1 ? width(c) : width(c) + kv_width(c);
    return (place){c->fused ? 0 : which, row * cols + before + head * c->dim};
}

static void load(const harness *h, const attention_case *c, double *out, int which, size_t b, size_t t, size_t head)
{
    const place p = place_of(c, which, b * c->time + t, head);
    const float *x = (const float *)h->weight[p.weight].param.data + p.at;
    const size_t half = c->dim / 2;
    for (size_t i = 0; i < c->dim; i++)
        out[i] = (double)x[i];
    for (size_t i = 0; i < half && which < 2 && c->theta != 0; i++) {
        const double angle = (double)t * pow(c->theta, -2.0 * (double)i / (double)c->dim);
        out[i] = (double)x[i] * cos(angle) - (double)x[i + half] * sin(angle);
        out[i + half] = (double)x[i + half] * cos(angle) + (double)x[i] * sin(angle);
    }
}

/* y (B*T, H D) in double. */
static void reference(const harness *h, const attention_case *c, double *y)
{
    double *s = calloc(c->time, sizeof *s), q[64], k[64], v[64];
    for (size_t b = 0; b < c->batch; b++)
        for (size_t head = 0; head < c->heads; head++)
            for (size_t t = 0; t < c->time; t++) {
                const size_t kv = head / (c->heads / c->kv_heads), n = c->causal             ? t + 1
                                                                             : c->length[0] > 0 ? c->length[b]
                                                                                                : c->time;
                double most = -INFINITY, sum = 0;
                load(h, c, q, 0, b, t, head);
                for (size_t j = 0; j < n; j++) {
                    load(h, c, k, 1, b, j, kv);
                    s[j] = 0;
                    for (size_t i = 0; i < c->dim; i++)
                        s[j] += q[i] * k[i] / sqrt((double)c->dim);
                    most = fmax(most, s[j]);
                }
                for (size_t j = 0; j < n; j++)
                    sum += s[j] = exp(s[j] - most);
                double *out = y + (b * c->time + t) * width(c) + head * c->dim;
                memset(out, 0, c->dim * sizeof *out);
                for (size_t j = 0; j < n; j++) {
                    load(h, c, v, 2, b, j, kv);
                    for (size_t i = 0; i < c->dim; i++)
                        out[i] += s[j] / sum * v[i];
                }
            }
    free(s);
}

static double loss_of(const double *y, size_t n)
{
    double loss = 0;
    for (size_t i = 0; i < n; i++)
        loss += y[i] * (double)harness_probe_value(0, i);
    return loss;
}

/* Some gradients by central differences of the double reference. */
static void check_gradients(harness *h, const attention_case *c, double tolerance)
{
    const size_t n = c->batch * c->time * width(c);
    double *y = calloc(n, sizeof *y);
    for (size_t w = 0; w < h->model.weights; w++) {
        float *x = h->weight[w].param.data;
        const size_t values = harness_values(h, (int)w);
        double rms = 0;
        for (size_t i = 0; i < values; i++)
            rms += (double)h->grad[w][i] * (double)h->grad[w][i];
        rms = sqrt(rms / (double)values);
        for (uint32_t probe = 0; probe < 12; probe++) {
            const size_t i = tg_random_below(tg_key_make(4, w, 0, 0), probe, values);
            const float kept = x[i];
            x[i] = kept + 0.0078125f;
            reference(h, c, y);
            double slope = loss_of(y, n);
            x[i] = kept - 0.0078125f;
            reference(h, c, y);
            slope = (slope - loss_of(y, n)) / 0.015625;
            x[i] = kept;
            if (!(fabs((double)h->grad[w][i] - slope) <= tolerance * rms))
                fail_msg("T %zu: d %s[%zu] is %g, not %g (rms %g)", c->time, h->weight[w].param.name, i,
                         (double)h->grad[w][i], slope, rms);
        }
    }
    free(y);
}

static void compare(const attention_case *c, double tolerance, double gradient_tolerance)
{
    harness h;
    build(&h, c, TG_TRAIN);
    harness_run(&h);
    double *y = calloc(c->batch * c->time * width(c), sizeof *y);
    reference(&h, c, y);
    assert_true(harness_difference(h.output[0], y, c->batch * c->time * width(c)) < tolerance);
    check_gradients(&h, c, gradient_tolerance);
    free(y);
    harness_end(&h);
}

static void fp32_matches_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        compare(&cases[i], 1e-5, 1e-3);
}

static void bf16_matches_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        attention_case c = cases[i];
        c.activations = TG_BF16;
        compare(&c, 0.03, 0.06);
    }
}

static void fp16_matches_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        attention_case c = cases[i];
        c.activations = TG_F16;
        compare(&c, 0.004, 0.008); /* 11 bits */
    }
}

static void gradients_match_differences(void **state)
{
    (void)state;
    harness h;
    build(&h, &cases[2], TG_TRAIN);
    harness_check_gradients(&h, 1e-2, 2e-3);
    harness_end(&h);
}

/* dx is added to where another layer has written before. */
static void gradients_are_added(void **state)
{
    (void)state;
    for (int fused = 0; fused < 2; fused++) {
        attention_case c = cases[2];
        c.fused = fused != 0;
        harness plain, added;
        build(&plain, &c, TG_TRAIN);
        harness_run(&plain);
        build(&added, &c, TG_TRAIN);
        tg_op *probe = &added.graph->op[added.graph->ops - 1];
        const int x = added.graph->op[0].output[0]; /* qkv, or q */
        probe->input[1] = x;
        added.output_values[1] = harness_values(&added, 0);
        added.output[1] = calloc(added.output_values[1], sizeof(float));
        harness_run(&added);
        for (size_t i = 0; i < harness_values(&added, 0); i++)
            assert_true(fabsf(added.grad[0][i] - (plain.grad[0][i] + harness_probe_value(1, i))) < 1e-5f);
        harness_end(&plain);
        harness_end(&added);
    }
}

/* More blocks of queries than there are native products of different numbers of keys. */
static void long_bf16_matches_reference(void **state)
{
    (void)state;
    const attention_case c = {1, 17 * 64 + 5, 1, 1, 6, 0, true, true, TG_BF16, {0}};
    compare(&c, 0.05, 0.06);
}

static void check_threads(const attention_case *c)
{
    harness one, more;
    omp_set_num_threads(1);
    build(&one, c, TG_TRAIN);
    harness_run(&one);
    for (int t = 2; t <= 3; t++) {
        omp_set_num_threads(t);
        build(&more, c, TG_TRAIN);
        harness_run(&more);
        assert_memory_equal(one.output[0], more.output[0], one.output_values[0] * sizeof(float));
        for (size_t w = 0; w < one.model.weights; w++)
            assert_memory_equal(one.grad[w], more.grad[w], harness_values(&one, (int)w) * sizeof(float));
        harness_end(&more);
    }
    harness_end(&one);
}

static void threads_change_nothing(void **state)
{
    (void)state;
    const int most = omp_get_max_threads();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        attention_case c = cases[i];
        check_threads(&c);
        c.activations = TG_BF16;
        check_threads(&c);
        c.activations = TG_F16;
        check_threads(&c);
    }
    omp_set_num_threads(most);
}

/* ---- generation ----------------------------------------------------------------------------------------------------- */

/* The rows first .. first + count of `full`'s inputs, as a generation of their own; its output to y. */
static void generate_rows(const harness *full, const attention_case *c, size_t first, size_t count, tg_cache *cache,
                          float *y)
{
    attention_case part = *c;
    part.time = count;
    part.batch = 1;
    harness h;
    build(&h, &part, TG_GENERATE);
    h.model.config.context = c->time;
    for (size_t w = 0; w < h.model.weights; w++) {
        const size_t cols = h.weight[w].param.cols;
        memcpy(h.weight[w].param.data, (float *)full->weight[w].param.data + first * cols, count * cols * sizeof(float));
    }
    float logits;
    h.run.cache = cache;
    h.run.logits = &logits;
    harness_run(&h);
    memcpy(y, h.output[0], h.output_values[0] * sizeof *y);
    harness_end(&h);
}

static void cache_equals_the_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        attention_case c = cases[i];
        c.batch = 1;
        harness full;
        build(&full, &c, TG_EVALUATE);
        harness_run(&full);
        float *key = calloc(kv_width(&c) * c.time, sizeof *key), *value = calloc(kv_width(&c) * c.time, sizeof *value);
        float *y = calloc(width(&c) * c.time, sizeof *y);
        tg_cache cache = {.key = &key, .value = &value, .layers = 1, .capacity = c.time};
        for (size_t at = 0; at < c.time;) {
            const size_t count = at == 0 ? (c.time + 1) / 2 : 1;
            generate_rows(&full, &c, at, count, &cache, y + at * width(&c));
            at += count;
            assert_int_equal(cache.used, at);
        }
        for (size_t j = 0; j < width(&c) * c.time; j++)
            assert_true(fabsf(y[j] - full.output[0][j]) < 1e-5f);
        tg_run run = {.cache = &cache, .logits = y};
        harness more;
        attention_case one = c;
        one.time = 1;
        build(&more, &one, TG_GENERATE);
        more.model.config.context = c.time;
        harness_ok(tg_graph_plan(more.graph, TG_RECOMPUTE_NONE));
        harness_ok(tg_graph_allocate(more.graph));
        assert_int_equal(tg_graph_run(more.graph, &run), TG_EINVAL); /* the cache is full */
        harness_end(&more);
        free(key);
        free(value);
        free(y);
        harness_end(&full);
    }
}

/* Memory is linear in the length: no T x T array anywhere. */
static void memory_is_linear(void **state)
{
    (void)state;
    size_t bytes[2];
    for (size_t i = 0; i < 2; i++) {
        const attention_case c = {1, i == 0 ? 2048 : 16384, 2, 2, 16, 10000, true, true, TG_F32, {0}};
        harness h;
        build(&h, &c, TG_TRAIN);
        harness_ok(tg_graph_plan(h.graph, TG_RECOMPUTE_NONE));
        bytes[i] = h.graph->arena_bytes;
        harness_end(&h);
    }
    assert_true(bytes[1] < 9 * bytes[0]);
}

static void wrong_shapes_are_refused(void **state)
{
    (void)state;
    const tg_attention_config bad[] = {{.heads = 3, .kv_heads = 2, .head_dim = 4},
                                       {.heads = 2, .kv_heads = 2, .head_dim = 5, .rope_theta = 10000},
                                       {.heads = 2, .kv_heads = 2, .head_dim = 8},
                                       {.heads = 0, .kv_heads = 1, .head_dim = 8}};
    for (size_t i = 0; i < 4; i++) {
        harness h;
        harness_begin(&h, TG_TRAIN, TG_F32, 2, 3);
        const int x = harness_input(&h, "x", 30);
        assert_int_equal(tg_attention(h.graph, "attn", x, TG_NONE, TG_NONE, &bad[i]), TG_NONE);
        assert_int_equal(tg_graph_plan(h.graph, TG_RECOMPUTE_NONE), TG_EINVAL);
        harness_end(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp32_matches_reference),
        cmocka_unit_test(bf16_matches_reference),
        cmocka_unit_test(fp16_matches_reference),
        cmocka_unit_test(long_bf16_matches_reference),
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(gradients_are_added),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(cache_equals_the_whole),
        cmocka_unit_test(memory_is_linear),
        cmocka_unit_test(wrong_shapes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
