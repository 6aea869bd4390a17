/* engine_conv2d_test.c -- convolution against sums in double, in every mix of formats and both arithmetics: values,
 * gradients, panels and chunks, bad gradients, threads; and values that PyTorch computed. */
#include "graph/product.h"
#include "layer_reference.h"

typedef struct conv_case {
    size_t images, in, out, size[2];
    tg_window window;
    bool bias;
} conv_case;

#define WINDOW(kh, kw, sh, sw, ph, pw, dh, dw, g)                                                                      \
    {                                                                                                                  \
        .kernel = {kh, kw}, .stride = {sh, sw}, .padding = {ph, pw}, .dilation = {dh, dw}, .groups = g                 \
    }

static const conv_case cases[] = {
    {2, 3, 5, {7, 6}, WINDOW(3, 3, 1, 1, 1, 1, 1, 1, 1), true},
    {3, 1, 16, {9, 9}, WINDOW(3, 3, 1, 1, 1, 1, 1, 1, 1), false}, /* the first layer of digits */
    {2, 16, 32, {8, 8}, WINDOW(3, 3, 2, 2, 1, 1, 1, 1, 1), false},
    {2, 16, 32, {8, 8}, WINDOW(1, 1, 2, 2, 0, 0, 1, 1, 1), true},
    {1, 4, 6, {11, 9}, WINDOW(3, 2, 2, 1, 2, 1, 2, 3, 2), true}, /* everything at once */
    {2, 6, 6, {5, 5}, WINDOW(3, 3, 1, 1, 1, 1, 1, 1, 6), true},  /* depthwise */
    {5, 2, 3, {1, 13}, WINDOW(1, 5, 1, 3, 0, 2, 1, 1, 1), true}, /* one row */
    {1, 3, 4, {4, 4}, WINDOW(4, 4, 1, 1, 0, 0, 1, 1, 1), false}, /* one place */
};
#define CASES (sizeof cases / sizeof *cases)

static const conv_case *now;

/* weight: x, w, b (if there is one) */
static void reference_forward(double *y, const harness *h, double *const *weight)
{
    const conv_case *c = now;
    const tg_window *w = &c->window;
    const size_t rows = tg_window_places(w, 0, c->size[0]), cols = tg_window_places(w, 1, c->size[1]);
    const size_t of_in = c->in / w->groups, of_out = c->out / w->groups;
    (void)h;
    for (size_t n = 0; n < c->images; n++)
        for (size_t r = 0; r < rows; r++)
            for (size_t k = 0; k < cols; k++)
                for (size_t o = 0; o < c->out; o++) {
                    double sum = c->bias ? weight[2][o] : 0;
                    for (size_t i = 0; i < w->kernel[0]; i++)
                        for (size_t j = 0; j < w->kernel[1]; j++) {
                            const size_t a = r * w->stride[0] + i * w->dilation[0] - w->padding[0]; /* wraps: outside */
                            const size_t b = k * w->stride[1] + j * w->dilation[1] - w->padding[1];
                            for (size_t g = 0; g < of_in && a < c->size[0] && b < c->size[1]; g++)
                                sum += weight[0][((n * c->size[0] + a) * c->size[1] + b) * c->in + o / of_out * of_in +
                                                 g] *
                                       weight[1][((o * of_in + g) * w->kernel[0] + i) * w->kernel[1] + j];
                        }
                    y[((n * rows + r) * cols + k) * c->out + o] = sum;
                }
}

static int build(harness *h, tg_format format, tg_format weights, const conv_case *c)
{
    now = c;
    harness_begin(h, TG_TRAIN, format, c->images, c->size[0] * c->size[1]);
    const int x = harness_input(h, "x", c->in);
    h->graph->tensor[x].height = c->size[0];
    h->graph->tensor[x].width = c->size[1];
    const int w = harness_weight(h, "w", c->out, c->in / c->window.groups * c->window.kernel[0] * c->window.kernel[1],
                                 weights, 0.31);
    const int b = c->bias ? harness_weight(h, "b", 1, c->out, weights, 0.7) : TG_NONE;
    return tg_conv2d(h->graph, "conv", x, w, b, &c->window);
}

static void every_case(tg_format format, tg_format weights, double tolerance)
{
    for (size_t i = 0; i < CASES; i++)
        for (int twice = 0; twice < 2; twice++) {
            harness h;
            const int y = build(&h, format, weights, &cases[i]);
            harness_probe(&h, y, twice ? h.graph->op[0].output[0] : TG_NONE);
            reference_check(&h, &(reference){reference_forward, tolerance});
            harness_end(&h);
        }
}

static void fp32_matches_reference(void **state)
{
    (void)state;
    every_case(TG_F32, TG_F32, FP32_TOLERANCE);
    every_case(TG_F32, TG_BF16, FP32_TOLERANCE);
    every_case(TG_F32, TG_F16, FP32_TOLERANCE);
}

static void widened_matches_reference(void **state)
{
    (void)state;
    setenv("TIGER_PRODUCTS", "widen", 1);
    every_case(TG_BF16, TG_BF16, BF16_TOLERANCE);
    every_case(TG_BF16, TG_F32, BF16_TOLERANCE);
    every_case(TG_F16, TG_F16, FP16_TOLERANCE);
    every_case(TG_F16, TG_F32, FP16_TOLERANCE);
    unsetenv("TIGER_PRODUCTS");
}

static void native_matches_reference(void **state)
{
    (void)state;
    setenv("TIGER_PRODUCTS", "native", 1);
    tg_products *products;
    const bool there = tg_products_create(&products) == TG_OK;
    if (there) {
        tg_products_destroy(products);
        every_case(TG_BF16, TG_BF16, BF16_TOLERANCE);
        every_case(TG_BF16, TG_F32, 2 * BF16_TOLERANCE); /* fp32 weights are rounded to bf16 first */
    }
    unsetenv("TIGER_PRODUCTS");
    if (!there)
        skip();
}

static void gradients_match_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        harness h;
        const int y = build(&h, TG_F32, TG_F32, &cases[i]);
        harness_probe(&h, y, h.graph->op[0].output[0]);
        harness_check_gradients(&h, 1e-1, 1e-4);
        harness_end(&h);
    }
}

/* 1801 x 400 x 9 weights: dw comes in several tiles, each at most TG_TILE_BYTES; a bad value stops all of them. */
static const conv_case large = {1, 400, 1801, {2, 2}, WINDOW(3, 3, 2, 2, 1, 1, 1, 1, 1), true};

static void large_kernels_make_several_tiles(void **state)
{
    (void)state;
    static const tg_format formats[] = {TG_F32, TG_F16};
    for (size_t f = 0; f < 2; f++) {
        harness h;
        harness_probe(&h, build(&h, formats[f], TG_F32, &large), TG_NONE);
        harness_run(&h);
        assert_true(h.tiles[1] > 1);
        reference_check(&h, &(reference){reference_forward, f == 0 ? FP32_TOLERANCE : FP16_TOLERANCE});
        harness_end(&h);
        harness_probe(&h, reference_poison(&h, build(&h, formats[f], TG_F32, &large), NAN), TG_NONE);
        harness_run(&h);
        assert_int_equal(h.tiles[1], 0);
        assert_int_equal(h.rejected[1], 1);
        assert_int_equal(h.completed[1], 1);
        harness_end(&h);
    }
}

/* Many images that must be converted: chunks of them, summed into one tile. */
static void chunks_of_images_make_one_tile(void **state)
{
    (void)state;
    static const conv_case many = {301, 32, 2, {32, 32}, WINDOW(1, 1, 1, 1, 0, 0, 1, 1, 1), true};
    harness h;
    harness_probe(&h, build(&h, TG_F16, TG_F16, &many), TG_NONE);
    reference_check(&h, &(reference){reference_forward, FP16_TOLERANCE});
    assert_int_equal(h.tiles[1], 1);
    assert_true(h.graph->op[1].scratch_bytes[TG_BACKWARD] < (size_t)64 << 20);
    harness_end(&h);
}

/* ---- rows for rules of layers ---- */

typedef struct observed {
    float *product; /* sum of g a^T, as w */
    size_t in, out, rows, parts;
} observed;

static observed *observed_now;

static tg_status take_layer(void *ctx, size_t weight, const tg_layer_rows *rows)
{
    observed *o = observed_now;
    (void)ctx;
    const size_t n = rows->rows;
    float *a = malloc(n * o->in * sizeof *a), *g = malloc(n * o->out * sizeof *g);
    assert_int_equal(weight, 1);
    assert_true(rows->scale == 3 && (rows->all == 0 || rows->first == o->rows));
    tg_kernels_get()->widen(a, rows->inputs, rows->format, n * o->in);
    tg_kernels_get()->widen(g, rows->gradients, rows->format, n * o->out);
    for (size_t t = 0; t < n; t++)
        for (size_t p = 0; p < o->out; p++)
            for (size_t q = 0; q < o->in; q++)
                o->product[p * o->in + q] += g[t * o->out + p] * a[t * o->in + q];
    free(a);
    free(g);
    o->rows += n;
    o->parts++;
    return TG_OK;
}

static bool only_w(void *ctx, size_t weight) { return (void)ctx, weight == 1; }

/* The windows and the gradients at their places make dw. */
static void rows_make_the_gradient(void **state)
{
    (void)state;
    static const conv_case wide = {3, 2, 3, {17, 16}, WINDOW(3, 3, 1, 1, 1, 1, 1, 1, 1), true}; /* 816 places: parts */
    static const tg_format formats[] = {TG_F32, TG_BF16, TG_F16};
    static const double tolerance[] = {FP32_TOLERANCE, BF16_TOLERANCE, FP16_TOLERANCE};
    for (size_t i = 0; i <= CASES; i++)
        for (size_t f = 0; f < 3; f++) {
            const conv_case *c = i < CASES ? &cases[i] : &wide;
            harness h;
            harness_probe(&h, build(&h, formats[f], TG_F32, c), TG_NONE);
            const tg_param *w = &h.weight[1].param;
            observed o = {calloc(w->rows * w->cols, sizeof(float)), w->cols, w->rows, 0, 0};
            observed_now = &o;
            h.run.sink.layer = take_layer;
            h.run.sink.observes = only_w;
            h.run.targets_counted = 3;
            harness_run(&h);
            const size_t places = h.output_values[0] / c->out;
            assert_int_equal(o.rows, c->window.groups > 1 ? 0 : places);
            assert_int_equal(o.parts, c->window.groups > 1 ? 0 : (places + 255) / 256);
            for (size_t k = 0; k < w->rows * w->cols && o.rows > 0; k++)
                if (!(fabs((double)o.product[k] - (double)h.grad[1][k]) <=
                      tolerance[f] * fmax(10, fabs((double)h.grad[1][k]))))
                    fail_msg("case %zu: dw[%zu] is %g, of the rows %g", i, k, (double)h.grad[1][k],
                             (double)o.product[k]);
            free(o.product);
            harness_end(&h);
        }
}

/* torch.nn.functional.conv2d(x, w, b, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2) of PyTorch 2.13 in
 * float64: x[n, c, i, j] = sin(1 + 7 n + 3 c + 2 i + j), w[o, c, i, j] = cos(2 + 5 o + 3 c + 2 i + j), b[o] = o / 7. */
#include "conv2d_golden.h"

static void values_are_pytorchs(void **state)
{
    (void)state;
    static const conv_case c = {2, 4, 6, {5, 4}, WINDOW(3, 2, 2, 1, 1, 2, 1, 2, 2), true};
    harness h;
    const int y = build(&h, TG_F32, TG_F32, &c);
    harness_probe(&h, y, TG_NONE);
    float *x = h.weight[0].param.data, *w = h.weight[1].param.data, *b = h.weight[2].param.data;
    for (size_t n = 0, at = 0; n < 2; n++)
        for (size_t i = 0; i < 5; i++)
            for (size_t j = 0; j < 4; j++)
                for (size_t k = 0; k < 4; k++)
                    x[at++] = (float)sin((double)(1 + 7 * n + 3 * k + 2 * i + j));
    for (size_t o = 0, at = 0; o < 6; o++)
        for (size_t k = 0; k < 2; k++)
            for (size_t i = 0; i < 3; i++)
                for (size_t j = 0; j < 2; j++)
                    w[at++] = (float)cos((double)(2 + 5 * o + 3 * k + 2 * i + j));
    for (size_t o = 0; o < 6; o++)
        b[o] = (float)o / 7;
    harness_run(&h);
    assert_int_equal(h.output_values[0], sizeof conv2d_golden / sizeof *conv2d_golden);
    assert_true(harness_difference(h.output[0], conv2d_golden, h.output_values[0]) < 1e-5);
    harness_end(&h);
}

static void mistakes_are_refused(void **state)
{
    (void)state;
    static const conv_case wrong[] = {
        {1, 3, 4, {2, 4}, WINDOW(3, 3, 1, 1, 0, 0, 1, 1, 1), false}, /* larger than the image */
        {1, 4, 3, {4, 4}, WINDOW(3, 3, 1, 1, 0, 0, 1, 1, 2), false}, /* three outputs in two groups */
    };
    for (size_t i = 0; i < 2; i++) {
        harness h;
        assert_int_equal(build(&h, TG_F32, TG_F32, &wrong[i]), TG_NONE);
        assert_int_equal(h.graph->failed, TG_EINVAL);
        assert_non_null(strstr(h.graph->failure, i == 0 ? "does not fit into images of 2 x 4" : "groups"));
        harness_end(&h);
    }
    harness h;
    harness_begin(&h, TG_TRAIN, TG_F32, 2, 4);
    const int x = harness_input(&h, "x", 3), w = harness_weight(&h, "w", 4, 3, TG_F32, 1);
    assert_int_equal(tg_conv2d(h.graph, "conv", x, w, TG_NONE, &cases[3].window), TG_NONE);
    assert_non_null(strstr(h.graph->failure, "no images"));
    harness_end(&h);
}

/* dw of several parts of the images: with a smaller one behind them, and in more than one round. */
static const conv_case parts[] = {
    {13, 16, 32, {17, 16}, WINDOW(3, 3, 1, 1, 1, 1, 1, 1, 1), true},
    {9, 128, 64, {16, 16}, WINDOW(3, 3, 1, 1, 1, 1, 1, 1, 1), false},
};

static void parts_make_the_gradient(void **state)
{
    (void)state;
    harness h;
    harness_probe(&h, build(&h, TG_F32, TG_F32, &parts[0]), TG_NONE);
    reference_check(&h, &(reference){reference_forward, FP32_TOLERANCE});
    harness_end(&h);
}

static void make(harness *h, tg_format format)
{
    const int y = build(h, format, format, now);
    harness_probe(h, y, h->graph->op[0].output[0]);
}

static void threads_change_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        now = &cases[i];
        reference_same_bits(make);
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        now = &parts[i];
        reference_same_bits(make);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp32_matches_reference),
        cmocka_unit_test(widened_matches_reference),
        cmocka_unit_test(native_matches_reference),
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(large_kernels_make_several_tiles),
        cmocka_unit_test(chunks_of_images_make_one_tile),
        cmocka_unit_test(rows_make_the_gradient),
        cmocka_unit_test(values_are_pytorchs),
        cmocka_unit_test(mistakes_are_refused),
        cmocka_unit_test(parts_make_the_gradient),
        cmocka_unit_test(threads_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
