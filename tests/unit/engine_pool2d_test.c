/* engine_pool2d_test.c -- pooling against double: largest values and means, whole images, ties, NaN, threads; values
 * and gradients that PyTorch computed; and how images become rows. */
#include "layer_reference.h"

typedef struct pool_case {
    size_t images, channels, size[2];
    tg_window window;
} pool_case;

#define WINDOW(kh, kw, sh, sw, ph, pw)                                                                                 \
    {                                                                                                                  \
        .kernel = {kh, kw}, .stride = {sh, sw}, .padding = {ph, pw}, .dilation = {1, 1}, .groups = 1                   \
    }

static const pool_case cases[] = {
    {2, 5, {7, 6}, WINDOW(2, 2, 2, 2, 0, 0)},
    {3, 3, {9, 8}, WINDOW(3, 3, 2, 2, 1, 1)}, /* windows overlap and leave the image */
    {1, 17, {5, 11}, WINDOW(4, 2, 1, 3, 2, 1)},
    {2, 4, {6, 6}, WINDOW(2, 1, 3, 4, 0, 0)}, /* some places are under no window */
    {2, 1030, {3, 2}, WINDOW(2, 2, 1, 1, 1, 0)},
    {4, 3, {5, 7}, WINDOW(5, 7, 1, 1, 0, 0)}, /* all of it */
};
#define CASES (sizeof cases / sizeof *cases)

static const pool_case *now;
static tg_pool_kind kind_now;

static void reference_forward(double *y, const harness *h, double *const *weight)
{
    const tg_window *w = &now->window;
    const size_t rows = tg_window_places(w, 0, now->size[0]), cols = tg_window_places(w, 1, now->size[1]);
    (void)h;
    for (size_t at = 0; at < now->images * rows * cols * now->channels; at++) {
        const size_t c = at % now->channels, k = at / now->channels % cols, r = at / now->channels / cols % rows;
        const size_t n = at / now->channels / cols / rows;
        double most = -INFINITY, sum = 0;
        for (size_t i = 0; i < w->kernel[0]; i++)
            for (size_t j = 0; j < w->kernel[1]; j++) {
                const size_t a = r * w->stride[0] + i - w->padding[0], b = k * w->stride[1] + j - w->padding[1];
                if (a >= now->size[0] || b >= now->size[1]) /* outside: they wrap */
                    continue;
                const double x = weight[0][((n * now->size[0] + a) * now->size[1] + b) * now->channels + c];
                sum += x;
                most = x > most ? x : most;
            }
        y[at] = kind_now == TG_POOL_MAX ? most : sum / (double)(w->kernel[0] * w->kernel[1]);
    }
}

static int build(harness *h, tg_format format, tg_pool_kind kind, const pool_case *c)
{
    now = c;
    kind_now = kind;
    harness_begin(h, TG_TRAIN, format, c->images, c->size[0] * c->size[1]);
    const int x = harness_input(h, "x", c->channels);
    float *value = h->weight[0].param.data;
    for (size_t i = 0; i < harness_values(h, 0); i++) /* numbers of every format, none twice under a window */
        value[i] = (float)(i * 89 % 251) / 16 - 7.6875f;
    h->graph->tensor[x].height = c->size[0];
    h->graph->tensor[x].width = c->size[1];
    return c == &cases[CASES - 1] ? tg_pool_all(h->graph, "pool", x, kind)
                                  : tg_pool2d(h->graph, "pool", x, kind, &c->window);
}

static void every_case(void **state)
{
    (void)state;
    for (int f = 0; f < REFERENCE_FORMATS; f++)
        for (size_t i = 0; i < CASES; i++)
            for (int way = 0; way < 4; way++) {
                harness h;
                const int y = build(&h, reference_formats[f].format, way % 2 ? TG_POOL_MEAN : TG_POOL_MAX, &cases[i]);
                assert_int_equal(h.graph->tensor[y].height, tg_window_places(&cases[i].window, 0, cases[i].size[0]));
                harness_probe(&h, y, way > 1 ? h.graph->op[0].output[0] : TG_NONE);
                reference_check(&h, &(reference){reference_forward, reference_formats[f].tolerance});
                harness_end(&h);
            }
}

/* Of equal values the first gets the gradient, and all of it; a NaN is the largest, wherever it lies. */
static void ties_and_nan(void **state)
{
    (void)state;
    static const pool_case one = {1, 1, {2, 3}, WINDOW(2, 3, 1, 1, 0, 0)};
    for (size_t place = 0; place < 7; place++) {
        harness h;
        harness_probe(&h, build(&h, TG_F32, TG_POOL_MAX, &one), TG_NONE);
        float *x = h.weight[0].param.data;
        for (size_t i = 0; i < 6; i++)
            x[i] = i == place ? NAN : i < 2 ? 1.25f : 2.385f;
        harness_run(&h);
        assert_true(place == 6 ? h.output[0][0] == 2.385f : h.output[0][0] != h.output[0][0]);
        for (size_t i = 0; i < 6 && place == 6; i++) /* a loss that is NaN has no gradient */
            assert_true(h.grad[0][i] == (i == 2 ? harness_probe_value(0, 0) : 0));
        harness_end(&h);
    }
}

/* torch.nn.functional.max_pool2d(x, (3, 2), (2, 1), (1, 1)) and avg_pool2d likewise, in float64, and gradients of what
 * the harness probes: x[n, c, i, j] = sin(1 + 7 n + 3 c + 2 i + j). */
#include "pool2d_golden.h"

static double golden_x(size_t at, size_t channels, size_t rows, size_t cols)
{
    const size_t c = at % channels, j = at / channels % cols, i = at / channels / cols % rows;
    return sin((double)(1 + 7 * (at / channels / cols / rows) + 3 * c + 2 * i + j));
}

static void values_are_pytorchs(void **state)
{
    (void)state;
    static const pool_case c = {2, 3, {5, 4}, WINDOW(3, 2, 2, 1, 1, 1)};
    static const struct {
        tg_pool_kind kind;
        const double *y, *dx;
        size_t count, inputs;
    } golden[] = {{TG_POOL_MAX, pool2d_max, pool2d_max_dx, sizeof pool2d_max / 8, sizeof pool2d_max_dx / 8},
                  {TG_POOL_MEAN, pool2d_mean, pool2d_mean_dx, sizeof pool2d_mean / 8, sizeof pool2d_mean_dx / 8}};
    for (size_t k = 0; k < 2; k++) {
        harness h;
        harness_probe(&h, build(&h, TG_F32, golden[k].kind, &c), TG_NONE);
        float *x = h.weight[0].param.data;
        for (size_t i = 0; i < golden[k].inputs; i++)
            x[i] = (float)golden_x(i, 3, 5, 4);
        harness_run(&h);
        assert_int_equal(h.output_values[0], golden[k].count);
        assert_int_equal(harness_values(&h, 0), golden[k].inputs);
        assert_true(harness_difference(h.output[0], golden[k].y, golden[k].count) < 1e-5);
        assert_true(harness_difference(h.grad[0], golden[k].dx, golden[k].inputs) < 1e-5);
        harness_end(&h);
    }
}

static void mistakes_are_refused(void **state)
{
    (void)state;
    static const struct {
        pool_case c;
        const char *what;
    } wrong[] = {
        {{1, 3, {2, 4}, WINDOW(3, 3, 1, 1, 0, 0)}, "does not fit into images of 2 x 4"},
        {{1, 3, {4, 4}, WINDOW(3, 3, 1, 1, 2, 1)}, "padded by half"},
        {{1, 3, {4, 4}, {{2, 2}, {1, 1}, {0, 0}, {1, 2}, 1}}, "without dilation"},
        {{1, 4, {4, 4}, {{2, 2}, {1, 1}, {0, 0}, {1, 1}, 2}}, "groups"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        harness h;
        assert_int_equal(build(&h, TG_F32, TG_POOL_MAX, &wrong[i].c), TG_NONE);
        assert_non_null(strstr(h.graph->failure, wrong[i].what));
        harness_end(&h);
    }
    harness h;
    harness_begin(&h, TG_TRAIN, TG_F32, 2, 4);
    assert_int_equal(tg_pool_all(h.graph, "pool", harness_input(&h, "x", 3), TG_POOL_MAX), TG_NONE);
    assert_non_null(strstr(h.graph->failure, "no images"));
    harness_end(&h);
}

static void make_max(harness *h, tg_format format)
{
    const int y = build(h, format, TG_POOL_MAX, &cases[1]);
    harness_probe(h, y, h->graph->op[0].output[0]);
}

static void make_mean(harness *h, tg_format format)
{
    static const pool_case large = {3, 33, {17, 19}, WINDOW(3, 5, 2, 1, 1, 2)};
    const int y = build(h, format, TG_POOL_MEAN, &large);
    harness_probe(h, y, h->graph->op[0].output[0]);
}

static void same_bits(void **state)
{
    (void)state;
    reference_same_bits(make_max);
    reference_same_bits(make_mean);
}

/* Channel by channel in the data, side by side in the graph; a bad value is named by its place in the data. */
static void images_become_rows(void **state)
{
    (void)state;
    enum { N = 2, C = 3, ROWS = 23, COLS = 37 };
    static float x[N * C * ROWS * COLS];
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        x[i] = (float)i * 0.5f - 300;
    harness h;
    harness_begin(&h, TG_EVALUATE, TG_F32, N, 1);
    h.run.features = x;
    const int y = tg_images(h.graph, "images", C, ROWS, COLS);
    assert_int_equal(h.graph->tensor[y].width, COLS);
    harness_probe(&h, y, TG_NONE);
    harness_run(&h);
    for (size_t n = 0; n < N; n++)
        for (size_t place = 0; place < ROWS * COLS; place++)
            for (size_t c = 0; c < C; c++)
                assert_true(h.output[0][(n * ROWS * COLS + place) * C + c] == x[(n * C + c) * ROWS * COLS + place]);
    x[C * ROWS * COLS + 1234] = NAN;
    assert_int_equal(tg_graph_run(h.graph, &h.run), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "feature 1234 of sample 1 is not finite"));
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case),           cmocka_unit_test(ties_and_nan), cmocka_unit_test(values_are_pytorchs),
        cmocka_unit_test(mistakes_are_refused), cmocka_unit_test(same_bits),    cmocka_unit_test(images_become_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
