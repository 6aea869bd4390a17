/* The gated attention unit against a float64 reference: both kinds of attention, rotation, padding, caches, threads. */
#include "layer_reference.h"

typedef struct gau_case {
    size_t batch, time, hidden, dim;
    double theta;
    bool causal;
    tg_gau_kind kind;
    uint32_t length[3]; /* of each sequence; all 0: no padding */
} gau_case;

static const gau_case cases[] = {
    {1, 1, 3, 2, 10000, true, TG_GAU_SQUARED_RELU, {0}},
    {2, 9, 17, 8, 0, true, TG_GAU_SQUARED_RELU, {0}},
    {3, 70, 21, 6, 10000, true, TG_GAU_SQUARED_RELU, {0}},     /* two blocks */
    {1, 131, 10, 5, 0, true, TG_GAU_SQUARED_RELU, {0}},        /* three; an odd number without rotation */
    {17, 65, 5, 4, 500, true, TG_GAU_SQUARED_RELU, {0}},       /* more tokens than are worked on at once */
    {1, 3, 1031, 18, 10000, true, TG_GAU_SQUARED_RELU, {0}},   /* more features than a piece has */
    {2, 67, 13, 6, 10000, false, TG_GAU_SQUARED_RELU, {0}},
    {3, 67, 13, 6, 500, false, TG_GAU_SQUARED_RELU, {67, 31, 1}}, /* padding: none, from the first block on, all but one */
    {2, 9, 17, 8, 10000, true, TG_GAU_SOFTMAX, {0}},
    {1, 131, 10, 20, 500, true, TG_GAU_SOFTMAX, {0}},
    {17, 65, 5, 4, 900, true, TG_GAU_SOFTMAX, {0}},
    {3, 67, 13, 6, 10000, false, TG_GAU_SOFTMAX, {67, 31, 1}},
    {2, 9, 17, 8, 10000, true, TG_GAU_SQUARED_RELU, {5, 9}}, /* causal: nobody sees what comes later anyway */
};
#define CASES (sizeof cases / sizeof *cases)

static const gau_case *now; /* of the reference */

enum { U, V, Z, GQ, BQ, GK, BK }; /* the harness' weights */

/* Everything but the probe; the unit's output. */
static int build_unit(harness *h, const gau_case *c, tg_mode mode, tg_format format, tg_format weights)
{
    harness_begin(h, mode, format, c->batch, c->time);
    const int u = harness_input(h, "u", c->hidden), v = harness_input(h, "v", c->hidden);
    const int z = harness_input(h, "z", c->dim);
    const tg_gau_config config = {.rope_theta = c->theta, .causal = c->causal, .kind = c->kind};
    int weight[4];
    for (int i = 0; i < 4; i++)
        weight[i] = harness_weight(h, (const char *[]){"gq", "bq", "gk", "bk"}[i], 1, c->dim, weights, 1.0);
    h->run.lengths = c->length[0] == 0 ? NULL : c->length;
    now = c;
    return tg_gau(h->graph, "gau", u, v, z, weight, &config);
}

static void build(harness *h, const gau_case *c, tg_mode mode, tg_format format, tg_format weights)
{
    const int y = build_unit(h, c, mode, format, weights);
    harness_probe(h, y, TG_NONE);
}

/* ---- the reference ---- */

static double silu(double x) { return x / (1 + exp(-x)); }

/* The query (gain GQ) or key (gain GK) of a token at place t. */
static void rotated(double *out, double *const *weight, int gain, size_t token, size_t t)
{
    const size_t dim = now->dim, half = dim / 2;
    double x[32];
    for (size_t i = 0; i < dim; i++)
        out[i] = x[i] = silu(weight[Z][token * dim + i]) * weight[gain][i] + weight[gain + 1][i];
    for (size_t i = 0; i < half && now->theta != 0; i++) {
        const double angle = (double)t * pow(now->theta, -2.0 * (double)i / (double)dim);
        out[i] = x[i] * cos(angle) - x[i + half] * sin(angle);
        out[i + half] = x[i + half] * cos(angle) + x[i] * sin(angle);
    }
}

/* a (n) <- how much a query takes of the first n keys k (n, D). */
static void attend(double *a, const double *q, const double *k, size_t n)
{
    double most = -INFINITY, sum = 0;
    for (size_t j = 0; j < n; j++) {
        a[j] = 0;
        for (size_t i = 0; i < now->dim; i++)
            a[j] += q[i] * k[j * now->dim + i] / sqrt((double)now->dim);
        most = fmax(most, a[j]);
    }
    for (size_t j = 0; j < n; j++)
        sum += now->kind == TG_GAU_SOFTMAX ? exp(a[j] - most) : 0;
    for (size_t j = 0; j < n; j++)
        a[j] = now->kind == TG_GAU_SOFTMAX ? exp(a[j] - most) / sum : pow(fmax(a[j], 0), 2) / (double)n;
}

static void reference_gau(double *y, const harness *h, double *const *weight)
{
    const gau_case *c = now;
    double *a = calloc(c->time, sizeof *a), *k = calloc(c->time * c->dim, sizeof *k), q[32];
    (void)h;
    for (size_t b = 0; b < c->batch; b++) {
        for (size_t t = 0; t < c->time; t++)
            rotated(k + t * c->dim, weight, GK, b * c->time + t, t);
        for (size_t t = 0; t < c->time; t++) {
            const size_t token = b * c->time + t, n = c->causal ? t + 1 : c->length[0] > 0 ? c->length[b] : c->time;
            double *out = y + token * c->hidden;
            rotated(q, weight, GQ, token, t);
            attend(a, q, k, n);
            memset(out, 0, c->hidden * sizeof *out);
            for (size_t j = 0; j < n; j++)
                for (size_t i = 0; i < c->hidden && a[j] != 0; i++)
                    out[i] += a[j] * silu(weight[V][(b * c->time + j) * c->hidden + i]);
            for (size_t i = 0; i < c->hidden; i++)
                out[i] *= silu(weight[U][token * c->hidden + i]);
        }
    }
    free(a);
    free(k);
}

/* ---- against it ---- */

/* 16-bit operands of products: more is rounded than what goes in and out. */
static const double tolerances[REFERENCE_FORMATS] = {5e-5, 0.05, 0.006};

static void matches_reference(void **state)
{
    (void)state;
    for (int f = 0; f < REFERENCE_FORMATS; f++)
        for (size_t i = 0; i < CASES; i++) {
            harness h;
            build(&h, &cases[i], TG_TRAIN, reference_formats[f].format, f == 0 ? TG_F32 : reference_formats[f].format);
            reference_check(&h, &(reference){reference_gau, tolerances[f]});
            harness_end(&h);
        }
}

static void gradients_match_differences(void **state)
{
    (void)state;
    for (size_t i = 2; i < CASES; i += 7) {
        harness h;
        build(&h, &cases[i], TG_TRAIN, TG_F32, TG_F32);
        harness_check_gradients(&h, 2e-3, 4e-3);
        harness_end(&h);
    }
}

/* More blocks than there are native products of different numbers of rows. */
static void long_bf16_is_near_fp32(void **state)
{
    (void)state;
    for (int kind = 0; kind < TG_GAU_COUNT; kind++)
        for (int causal = 0; causal < 2; causal++) {
            const gau_case c = {1, 17 * 64 + 5, 7, 6, 10000, causal != 0, (tg_gau_kind)kind, {0}};
            harness full, half;
            build(&full, &c, TG_TRAIN, TG_F32, TG_F32);
            build(&half, &c, TG_TRAIN, TG_BF16, TG_F32);
            for (int w = U; w <= Z; w++) /* as bf16 has them */
                memcpy(full.weight[w].param.data, half.weight[w].param.data, harness_values(&full, w) * sizeof(float));
            harness_run(&full);
            harness_run(&half);
            for (int w = U; w <= BK; w++) {
                const size_t n = harness_values(&full, w);
                double difference = 0, size = 0;
                for (size_t i = 0; i < n; i++) {
                    difference += pow((double)half.grad[w][i] - (double)full.grad[w][i], 2);
                    size += pow((double)full.grad[w][i], 2);
                }
                if (!(sqrt(difference) < 0.03 * sqrt(size)))
                    fail_msg("d %s is %g off", full.weight[w].param.name, sqrt(difference / size));
            }
            harness_end(&full);
            harness_end(&half);
        }
}

/* Gradients of inputs are added to where another layer has written before. */
static void gradients_are_added(void **state)
{
    (void)state;
    for (int w = U; w <= Z; w++) {
        harness plain, added;
        build(&plain, &cases[2], TG_TRAIN, TG_F32, TG_F32);
        harness_run(&plain);
        build(&added, &cases[2], TG_TRAIN, TG_F32, TG_F32);
        added.graph->op[added.graph->ops - 1].input[1] = added.graph->op[w].output[0];
        added.output_values[1] = harness_values(&added, w);
        added.output[1] = calloc(added.output_values[1], sizeof(float));
        harness_run(&added);
        for (size_t i = 0; i < harness_values(&added, w); i++)
            assert_true(fabsf(added.grad[w][i] - (plain.grad[w][i] + harness_probe_value(1, i))) < 1e-5f);
        harness_end(&plain);
        harness_end(&added);
    }
}

static void bad_gradients_are_rejected(void **state)
{
    (void)state;
    for (int kind = 0; kind < TG_GAU_COUNT; kind++)
        for (int bad = 0; bad < 2; bad++) {
            gau_case c = cases[2];
            c.kind = (tg_gau_kind)kind;
            harness h;
            const int y = build_unit(&h, &c, TG_TRAIN, TG_F32, TG_F32);
            reference_rejects(&h, y, bad ? INFINITY : NAN, GQ, BK + 1);
        }
}

static const gau_case *bits_case;

static void make(harness *h, tg_format format) { build(h, bits_case, TG_TRAIN, format, format); }

static void same_bits(void **state)
{
    (void)state;
    for (size_t i = 2; i < CASES; i += 3) { /* blocks, many sequences, both kinds, padding */
        bits_case = &cases[i];
        reference_same_bits(make);
    }
}

/* ---- generation ---- */

/* The rows first .. first + count of `full`'s inputs, as a generation of their own; its output to y. */
static void generate_rows(const harness *full, const gau_case *c, size_t first, size_t count, tg_cache *cache, float *y)
{
    gau_case part = *c;
    part.time = count;
    harness h;
    build(&h, &part, TG_GENERATE, TG_F32, TG_F32);
    h.model.config.context = c->time;
    for (int w = U; w <= Z; w++) {
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
    static const size_t which[] = {0, 1, 2, 3, 8, 9};
    for (size_t i = 0; i < sizeof which / sizeof *which; i++) {
        gau_case c = cases[which[i]];
        c.batch = 1;
        harness full, more;
        build(&full, &c, TG_EVALUATE, TG_F32, TG_F32);
        harness_run(&full);
        float *key = calloc(c.dim * c.time, sizeof *key), *value = calloc(c.hidden * c.time, sizeof *value);
        float *y = calloc(c.hidden * c.time, sizeof *y);
        tg_cache cache = {.key = &key, .value = &value, .layers = 1, .capacity = c.time};
        for (size_t at = 0; at < c.time;) {
            const size_t count = at == 0 ? (c.time + 1) / 2 : 1;
            generate_rows(&full, &c, at, count, &cache, y + at * c.hidden);
            at += count;
            assert_int_equal(cache.used, at);
        }
        for (size_t j = 0; j < c.hidden * c.time; j++)
            assert_true(fabsf(y[j] - full.output[0][j]) < 1e-5f * fmaxf(1, fabsf(y[j])));
        tg_run run = {.cache = &cache, .logits = y};
        gau_case one = c;
        one.time = 1;
        build(&more, &one, TG_GENERATE, TG_F32, TG_F32);
        more.model.config.context = c.time;
        harness_ok(tg_graph_plan(more.graph, TG_RECOMPUTE_NONE));
        harness_ok(tg_graph_allocate(more.graph));
        assert_int_equal(tg_graph_run(more.graph, &run), TG_EINVAL); /* the cache is full */
        harness_end(&more);
        harness_end(&full);
        free(key);
        free(value);
        free(y);
    }
}

/* Memory is linear in the length: no T x T array anywhere. */
static void memory_is_linear(void **state)
{
    (void)state;
    for (int kind = 0; kind < TG_GAU_COUNT; kind++) {
        size_t bytes[2];
        for (size_t i = 0; i < 2; i++) {
            const gau_case c = {1, i == 0 ? 2048 : 16384, 32, 16, 10000, true, (tg_gau_kind)kind, {0}};
            harness h;
            build(&h, &c, TG_TRAIN, TG_F32, TG_F32);
            harness_ok(tg_graph_plan(h.graph, TG_RECOMPUTE_NONE));
            bytes[i] = h.graph->arena_bytes;
            harness_end(&h);
        }
        assert_true(bytes[1] < 9 * bytes[0]);
    }
}

static void wrong_shapes_are_refused(void **state)
{
    (void)state;
    static const struct { size_t u, v, z, weight; double theta; } bad[] = {
        {6, 7, 4, 4, 10000}, {6, 6, 5, 5, 10000}, {6, 6, 4, 5, 10000}, {6, 6, 5, 4, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int swap = 0; swap < 2; swap++) {
            harness h;
            harness_begin(&h, TG_TRAIN, TG_F32, 2, 3);
            const int u = harness_input(&h, "u", bad[i].u), v = harness_input(&h, "v", bad[i].v);
            const int z = harness_input(&h, "z", bad[i].z);
            const int w = harness_weight(&h, "g", 1, bad[i].weight, TG_F32, 1);
            assert_int_equal(tg_gau(h.graph, "gau", swap ? v : u, swap ? u : v, z, (const int[]){w, w, w, w},
                                    &(tg_gau_config){.rope_theta = bad[i].theta, .causal = true}),
                             TG_NONE);
            assert_int_equal(tg_graph_plan(h.graph, TG_RECOMPUTE_NONE), TG_EINVAL);
            harness_end(&h);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_reference),
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(long_bf16_is_near_fp32),
        cmocka_unit_test(gradients_are_added),
        cmocka_unit_test(bad_gradients_are_rejected),
        cmocka_unit_test(same_bits),
        cmocka_unit_test(cache_equals_the_whole),
        cmocka_unit_test(memory_is_linear),
        cmocka_unit_test(wrong_shapes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
