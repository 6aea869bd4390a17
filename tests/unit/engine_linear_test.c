/* The linear layer against a float64 reference, in every mix of formats and both arithmetics, and by differences. */
#include <omp.h>

#include "graph/product.h"
#include "layer_harness.h"

typedef struct linear_case {
    size_t batch, time, in, out;
    bool in_by_out, bias, twice; /* twice: the input is used once more, so dx is added */
    tg_format activations, weights;
} linear_case;

static double value_of(const tg_param *p, size_t i)
{
    float f;
    tg_kernels_get()->widen(&f, (const char *)p->data + i * tg_format_bytes(p->format), p->format, 1);
    return (double)f;
}

typedef struct built {
    int x, w, b;
} built;

static built build_in_mode(harness *h, const linear_case *c, tg_mode mode)
{
    harness_begin(h, mode, c->activations, c->batch, c->time);
    built ids = {0, TG_NONE, TG_NONE};
    const int x = harness_input(h, "x", c->in);
    ids.x = 0;
    ids.w = harness_weight(h, "w", c->in_by_out ? c->in : c->out, c->in_by_out ? c->out : c->in, c->weights, 0.31);
    if (c->bias)
        ids.b = harness_weight(h, "b", 1, c->out, c->weights, 0.7);
    const int y = tg_linear(h->graph, "linear", x, ids.w, ids.b, c->in_by_out);
    harness_probe(h, y, c->twice ? x : TG_NONE);
    return ids;
}

static built build(harness *h, const linear_case *c) { return build_in_mode(h, c, TG_TRAIN); }

/* Compares output and gradients of a run with sums in double; errors relative to the rms of each array. */
static void compare(const linear_case *c, double tolerance)
{
    harness h;
    const built ids = build(&h, c);
    harness_run(&h);
    const size_t m = c->batch * c->time;
    const tg_param *px = &h.weight[ids.x].param, *pw = &h.weight[ids.w].param;
    double *y = calloc(m * c->out, sizeof *y), *dx = calloc(m * c->in, sizeof *dx);
    double *dw = calloc(c->in * c->out, sizeof *dw), *db = calloc(c->out, sizeof *db);
    for (size_t t = 0; t < m; t++)
        for (size_t o = 0; o < c->out; o++) {
            const double dy = (double)harness_probe_value(0, t * c->out + o);
            double sum = c->bias ? value_of(&h.weight[ids.b].param, o) : 0.0;
            for (size_t i = 0; i < c->in; i++) {
                const size_t at = c->in_by_out ? i * c->out + o : o * c->in + i;
                sum += value_of(px, t * c->in + i) * value_of(pw, at);
                dx[t * c->in + i] += dy * value_of(pw, at);
                dw[at] += dy * value_of(px, t * c->in + i);
            }
            y[t * c->out + o] = sum;
            db[o] += dy;
        }
    for (size_t i = 0; i < m * c->in && c->twice; i++)
        dx[i] += (double)harness_probe_value(1, i);
    assert_true(harness_difference(h.output[0], y, m * c->out) < tolerance);
    assert_true(harness_difference(h.grad[ids.x], dx, m * c->in) < tolerance);
    const double exact = c->activations == TG_F32 ? tolerance : 2e-5; /* of gradients of weights: never rounded to bf16 */
    assert_true(harness_difference(h.grad[ids.w], dw, c->in * c->out) < exact);
    assert_int_equal(h.completed[ids.w], 1);
    if (c->bias) {
        assert_true(harness_difference(h.grad[ids.b], db, c->out) < exact);
        assert_int_equal(h.completed[ids.b], 1);
    }
    free(y), free(dx), free(dw), free(db);
    harness_end(&h);
}

static const linear_case cases[] = {
    {.batch = 3, .time = 7, .in = 13, .out = 5},
    {.batch = 2, .time = 9, .in = 17, .out = 33, .in_by_out = true, .bias = true},
    {.batch = 1, .time = 1, .in = 70, .out = 3, .bias = true, .twice = true},
    {.batch = 5, .time = 31, .in = 67, .out = 129, .bias = true, .twice = true, .in_by_out = true},
    {.batch = 1, .time = 3, .in = 9001, .out = 390, .bias = true, .twice = true},              /* several panels */
    {.batch = 1, .time = 3, .in = 150, .out = 9001, .bias = true, .in_by_out = true},
    {.batch = 1, .time = 3, .in = 9001, .out = 150, .bias = true, .in_by_out = true},
};

static void every_case(tg_format activations, tg_format weights, double tolerance)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        linear_case c = cases[i];
        c.activations = activations;
        c.weights = weights;
        compare(&c, tolerance);
    }
}

static void fp32_matches_reference(void **state)
{
    (void)state;
    every_case(TG_F32, TG_F32, 5e-5);
}

static void other_weights_match_reference(void **state)
{
    (void)state;
    every_case(TG_F32, TG_BF16, 5e-5);
    every_case(TG_F32, TG_F16, 5e-5);
}

/* Outputs are rounded to 8 bits, and the largest of some thousand values is about four times their rms. */
#define BF16_TOLERANCE 0.03

static void bf16_widened_matches_reference(void **state)
{
    (void)state;
    setenv("TIGER_PRODUCTS", "widen", 1);
    every_case(TG_BF16, TG_BF16, BF16_TOLERANCE);
    every_case(TG_BF16, TG_F32, BF16_TOLERANCE);
    unsetenv("TIGER_PRODUCTS");
}

/* 11 bits; the largest value is about four times the rms. */
#define FP16_TOLERANCE 0.004

static void fp16_matches_reference(void **state)
{
    (void)state;
    every_case(TG_F16, TG_F16, FP16_TOLERANCE);
    every_case(TG_F16, TG_F32, FP16_TOLERANCE);
}

static void bf16_native_matches_reference(void **state)
{
    (void)state;
    setenv("TIGER_PRODUCTS", "native", 1);
    tg_products *products;
    if (tg_products_create(&products) != TG_OK) {
        assert_non_null(strstr(tg_message(), "TIGER_PRODUCTS"));
        unsetenv("TIGER_PRODUCTS");
        skip();
    }
    tg_products_destroy(products);
    every_case(TG_BF16, TG_BF16, BF16_TOLERANCE);
    unsetenv("TIGER_PRODUCTS");
}

/* fp32 weights under native products are rounded to bf16 first: dx and y feel it, dW does not. */
static void mixed_native_matches_reference(void **state)
{
    (void)state;
    setenv("TIGER_PRODUCTS", "native", 1);
    tg_products *products;
    if (tg_products_create(&products) != TG_OK) {
        unsetenv("TIGER_PRODUCTS");
        skip();
    }
    tg_products_destroy(products);
    every_case(TG_BF16, TG_F32, 2 * BF16_TOLERANCE);
    unsetenv("TIGER_PRODUCTS");
}

static void unknown_arithmetic_is_refused(void **state)
{
    (void)state;
    setenv("TIGER_PRODUCTS", "fast", 1);
    tg_products *products;
    assert_int_equal(tg_products_create(&products), TG_EINVAL);
    unsetenv("TIGER_PRODUCTS");
}

static void gradients_match_differences(void **state)
{
    (void)state;
    const linear_case c = {.batch = 2, .time = 5, .in = 19, .out = 11, .bias = true, .twice = true};
    harness h;
    build(&h, &c);
    harness_check_gradients(&h, 1e-1, 1e-4);
    harness_end(&h);
}

/* Many tokens: chunks of them, summed into one tile. */
static void chunks_of_tokens_make_one_tile(void **state)
{
    (void)state;
    linear_case c = {.batch = 2, .time = 4501, .in = 1500, .out = 4, .bias = true, .activations = TG_BF16,
                     .weights = TG_BF16};
    for (int swap = 0; swap < 2; swap++) {
        c.in_by_out = swap != 0;
        harness h;
        const built ids = build(&h, &c);
        harness_run(&h);
        assert_int_equal(h.tiles[ids.w], 1);
        assert_true(h.graph->op[1].scratch_bytes[TG_BACKWARD] < (size_t)64 << 20);
        harness_end(&h);
        compare(&c, BF16_TOLERANCE);
    }
}

/* A weight of several tiles whose dy or x is bad gets none of them; dx is made all the same. */
static void bad_values_are_rejected_before_a_tile(void **state)
{
    (void)state;
    const linear_case c = {.batch = 1, .time = 3, .in = 9001, .out = 390, .bias = true};
    harness h;
    const built ids = build(&h, &c);
    ((float *)h.weight[ids.x].param.data)[4711] = INFINITY;
    harness_run(&h); /* the probe's loss is not finite: everything is rejected before backward */
    assert_int_equal(h.all_rejected, 1);
    assert_int_equal(h.tiles[ids.w], 0);
    harness_end(&h);
}

static void threads_agree(void **state)
{
    (void)state;
    const linear_case c = {.batch = 3, .time = 77, .in = 150, .out = 210, .bias = true, .activations = TG_BF16,
                           .weights = TG_BF16};
    float *bias[3];
    const int most = omp_get_max_threads();
    for (int t = 0; t < 3; t++) {
        omp_set_num_threads(t + 1);
        harness h;
        const built ids = build(&h, &c);
        harness_run(&h);
        bias[t] = h.grad[ids.b];
        h.grad[ids.b] = NULL;
        harness_end(&h);
    }
    omp_set_num_threads(most);
    assert_memory_equal(bias[0], bias[1], c.out * sizeof(float)); /* all but the library's products */
    assert_memory_equal(bias[0], bias[2], c.out * sizeof(float));
    for (int t = 0; t < 3; t++)
        free(bias[t]);
}

/* Generating a few tokens takes another way to the same output. */
static void few_tokens_give_the_same(void **state)
{
    (void)state;
    static const tg_format formats[][2] = {{TG_F32, TG_F32},  {TG_F32, TG_BF16}, {TG_BF16, TG_BF16},
                                           {TG_BF16, TG_F16}, {TG_F16, TG_F16},  {TG_F16, TG_F32}};
    setenv("TIGER_PRODUCTS", "widen", 1);
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++)
        for (size_t time = 1; time <= 5; time++)
            for (int swap = 0; swap < 2; swap++) {
                const linear_case c = {.batch = 1, .time = time, .in = 700, .out = 1037, .in_by_out = swap != 0,
                                       .bias = true, .activations = formats[f][0], .weights = formats[f][1]};
                harness trained, generated;
                float logits;
                build(&trained, &c);
                harness_run(&trained);
                build_in_mode(&generated, &c, TG_GENERATE);
                generated.run.logits = &logits;
                harness_run(&generated);
                const float tolerance = c.activations == TG_F32    ? 2e-4f
                                        : c.activations == TG_BF16 ? 0.13f /* half a last place of 32 */
                                                                   : 0.017f;
                for (size_t i = 0; i < time * c.out; i++)
                    assert_true(fabsf(trained.output[0][i] - generated.output[0][i]) <= tolerance);
                harness_end(&trained);
                harness_end(&generated);
            }
    unsetenv("TIGER_PRODUCTS");
}

static void wrong_shapes_are_refused(void **state)
{
    (void)state;
    harness h;
    harness_begin(&h, TG_TRAIN, TG_F32, 2, 3);
    const int x = harness_input(&h, "x", 13);
    const int w = harness_weight(&h, "w", 5, 12, TG_F32, 0.3);
    assert_int_equal(tg_linear(h.graph, "h.0.fc", x, w, TG_NONE, false), TG_NONE);
    assert_int_equal(tg_graph_plan(h.graph, TG_RECOMPUTE_NONE), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "h.0.fc"));
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp32_matches_reference),
        cmocka_unit_test(other_weights_match_reference),
        cmocka_unit_test(bf16_widened_matches_reference),
        cmocka_unit_test(fp16_matches_reference),
        cmocka_unit_test(bf16_native_matches_reference),
        cmocka_unit_test(mixed_native_matches_reference),
        cmocka_unit_test(unknown_arithmetic_is_refused),
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(chunks_of_tokens_make_one_tile),
        cmocka_unit_test(bad_values_are_rejected_before_a_tile),
        cmocka_unit_test(threads_agree),
        cmocka_unit_test(few_tokens_give_the_same),
        cmocka_unit_test(wrong_shapes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
