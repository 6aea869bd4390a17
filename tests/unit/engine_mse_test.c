/* engine_mse_test.c -- mean squared error and the layer of features, against formulas in double. */
#include "layer_reference.h"

#define ROWS 7
#define COLS 3

#define LONG 1100 /* more than a piece */

static float values[5 * LONG];

static void set_values(harness *h, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows * cols; i++)
        values[i] = 1.37f * tg_random_normal(tg_key_make(31, 4, 0, 0), (uint32_t)i) - 0.21f;
    for (size_t r = 0; r < rows; r++)
        h->targets[r] = r % 4 == 2 ? -5 : 3; /* some do not count */
    h->run.values = values;
}

static void loss_and_gradient(void **state)
{
    (void)state;
    static const size_t shape[][2] = {{1, 1}, {ROWS, COLS}, {5, LONG}, {LONG, 1}};
    for (int f = 0; f < REFERENCE_FORMATS; f++)
        for (size_t s = 0; s < 4; s++)
            for (int twice = 0; twice < 2; twice++) {
                const size_t rows = shape[s][0], cols = shape[s][1], n = rows * cols;
                const double factor = twice ? 2 : 1;
                harness h;
                harness_begin(&h, TG_TRAIN, reference_formats[f].format, rows, 1);
                const int x = harness_input(&h, "x", cols);
                tg_mse(h.graph, "loss", twice ? tg_add(h.graph, "add", x, x) : x);
                set_values(&h, rows, cols);
                double *dx = calloc(n, sizeof *dx), sum = 0, count = 0;
                for (size_t r = 0; r < rows; r++)
                    count += h.targets[r] >= 0;
                for (size_t i = 0; i < n; i++) {
                    const float in = ((const float *)h.weight[0].param.data)[i];
                    const double d =
                        (double)harness_rounded((float)factor * in, reference_formats[f].format) - (double)values[i];
                    if (h.targets[i / cols] < 0)
                        continue;
                    sum += d * d / (double)cols;
                    dx[i] = factor * 2 * d / count / (double)cols;
                }
                const double loss = harness_run(&h);
                assert_true(fabs(loss - sum / count) <= 1e-6 * loss);
                assert_true(fabs(h.run.loss_sum - sum) <= 1e-6 * sum && h.run.targets_counted == (size_t)count);
                assert_true(harness_difference(h.grad[0], dx, n) <= 4 * reference_formats[f].tolerance);
                free(dx);
                harness_end(&h);
            }
}

static void differences(void **state)
{
    (void)state;
    harness h;
    harness_begin(&h, TG_TRAIN, TG_F32, ROWS, 1);
    const int x = harness_input(&h, "x", 5), w = harness_weight(&h, "w", COLS, 5, TG_F32, 0.7);
    tg_mse(h.graph, "loss", tg_linear(h.graph, "linear", x, w, TG_NONE, false));
    set_values(&h, ROWS, COLS);
    harness_run(&h);
    harness_check_gradients(&h, 1e-2, 2e-3);
    harness_end(&h);
}

/* Gradients are scaled, the loss is not; a run that is not wanted gives none; without any sample that counts all is 0.
 */
static bool no(void *ctx, double loss)
{
    *(double *)ctx = loss;
    return false;
}

static void runs(void **state)
{
    (void)state;
    harness h;
    harness_begin(&h, TG_TRAIN, TG_F32, ROWS, 1);
    tg_mse(h.graph, "loss", harness_input(&h, "x", COLS));
    set_values(&h, ROWS, COLS);
    const double loss = harness_run(&h);
    float once[ROWS * COLS];
    memcpy(once, h.grad[0], sizeof once);
    h.run.loss_scale = 8;
    assert_true(harness_run(&h) == loss);
    for (size_t i = 0; i < ROWS * COLS; i++)
        assert_true(h.grad[0][i] == 8 * once[i]);
    double told = 0;
    h.run.wants = no;
    h.run.wants_ctx = &told;
    harness_run(&h);
    assert_true(h.run.spared && told == loss && h.tiles[0] == 0);
    h.run.wants = NULL;
    for (size_t r = 0; r < ROWS; r++)
        h.targets[r] = -1;
    assert_true(harness_run(&h) == 0 && h.run.targets_counted == 0);
    for (size_t i = 0; i < ROWS * COLS; i++)
        assert_true(h.grad[0][i] == 0);
    for (size_t r = 0; r < ROWS; r++)
        h.targets[r] = 0;
    ((float *)h.weight[0].param.data)[4] = INFINITY;
    harness_run(&h);
    assert_int_equal(h.all_rejected, 1);
    harness_end(&h);
}

/* Squared gradients of drawn values, times the samples, have the mean of the Hessian's diagonal: 2 / K. */
static void drawn_values(void **state)
{
    (void)state;
    enum { SAMPLES = 1100, RUNS = 40 };
    harness h;
    double sum = 0;
    harness_begin(&h, TG_TRAIN, TG_F32, SAMPLES, 1);
    tg_mse(h.graph, "loss", harness_input(&h, "x", COLS));
    set_values(&h, SAMPLES, COLS);
    for (size_t r = 0; r < SAMPLES; r++)
        h.targets[r] = 0;
    h.run.draws_labels = true;
    for (h.run.update = 0; h.run.update < RUNS; h.run.update++) {
        harness_run(&h);
        for (size_t i = 0; i < SAMPLES * COLS; i++)
            sum += pow((double)h.grad[0][i] * SAMPLES, 2);
    }
    /* One output's loss is (x - v)^2 / K, so its drawn gradient is n sqrt(2) / K; of SAMPLES * COLS * RUNS squares the
     * relative standard error is sqrt(2 / that) = 0.4 %. */
    const double mean = sum / (SAMPLES * COLS * RUNS), wanted = 2.0 / (COLS * COLS);
    assert_true(fabs(mean / wanted - 1) < 0.02);
    harness_end(&h);
}

/* ---- features ---- */

static void features(void **state)
{
    (void)state;
    for (int f = 0; f < REFERENCE_FORMATS; f++) {
        enum { N = 13, B = 101 };
        static float x[B * N];
        harness h;
        harness_begin(&h, TG_EVALUATE, reference_formats[f].format, B, 1);
        for (size_t i = 0; i < B * N; i++)
            x[i] = tg_random_normal(tg_key_make(6, 6, 0, 0), (uint32_t)i);
        h.run.features = x;
        harness_probe(&h, tg_features(h.graph, "features", N), TG_NONE);
        harness_run(&h);
        for (size_t i = 0; i < B * N; i++)
            assert_true(h.output[0][i] == harness_rounded(x[i], reference_formats[f].format));
        x[5 * N + 2] = NAN;
        assert_int_equal(tg_graph_run(h.graph, &h.run), TG_EINVAL);
        assert_non_null(strstr(tg_message(), "feature 2 of sample 5"));
        harness_end(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_and_gradient), cmocka_unit_test(differences), cmocka_unit_test(runs),
        cmocka_unit_test(drawn_values),      cmocka_unit_test(features),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
