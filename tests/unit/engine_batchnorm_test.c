/* engine_batchnorm_test.c -- batch norm against double: values, gradients, running statistics, evaluation,
 * recomputation, bad values, threads; values, gradients and statistics that PyTorch computed. */
#include "batchnorm_golden.h"
#include "norm_support.h"

static const double eps = 3.7e-4;

enum { X, GAIN, BIAS, MEAN, VAR };

static size_t cols_now;

static void forward(double *y, const harness *h, double *const *weight)
{
    const size_t rows = h->output_values[0] / cols_now;
    const bool training = h->graph->mode == TG_TRAIN;
    for (size_t c = 0; c < cols_now; c++) {
        double mean = 0, variance = 0;
        for (size_t r = 0; r < rows; r++)
            mean += weight[X][r * cols_now + c] / (double)rows;
        for (size_t r = 0; r < rows; r++)
            variance += (weight[X][r * cols_now + c] - mean) * (weight[X][r * cols_now + c] - mean) / (double)rows;
        for (size_t r = 0; r < rows; r++)
            y[r * cols_now + c] = (weight[X][r * cols_now + c] - (training ? mean : weight[MEAN][c])) /
                                      sqrt((training ? variance : weight[VAR][c]) + eps) * weight[GAIN][c] +
                                  weight[BIAS][c];
    }
}

static void begin(harness *h, tg_mode mode, tg_format format, tg_format weights, const size_t *shape)
{
    cols_now = shape[2];
    harness_begin(h, mode, format, shape[0], shape[1]);
    harness_input(h, "x", cols_now);
    harness_weight(h, "gain", 1, cols_now, weights, 0.9);
    harness_weight(h, "bias", 1, cols_now, weights, 0.4);
    harness_weight(h, "mean", 1, cols_now, TG_F32, 0.4);
    harness_weight(h, "var", 1, cols_now, TG_F32, 0.4);
    float *var = h->weight[VAR].param.data;
    for (size_t c = 0; c < cols_now; c++)
        var[c] = fabsf(var[c]) + 0.2f;
    h->weight[MEAN].param.frozen = h->weight[VAR].param.frozen = true;
}

static int build(harness *h, tg_mode mode, tg_format format, tg_format weights, const size_t *shape)
{
    begin(h, mode, format, weights, shape);
    return tg_batchnorm(h->graph, "norm", h->graph->op[0].output[0], GAIN, BIAS, MEAN, VAR, eps);
}

static void all_shapes(void **state)
{
    (void)state;
    static const size_t shape[][3] = {{1, 2, 7}, {17, 1, 17}, {3, 35, 65}, {5, 600, 3}, {2, 3, 1025}};
    for (int f = 0; f < REFERENCE_FORMATS; f++)
        for (int w = 0; w < REFERENCE_FORMATS; w++)
            for (size_t s = 0; s < 5 && (f == 0 || w == f || w == 0); s++)
                for (int way = 0; way < 3; way++) {
                    harness h;
                    const int y = build(&h, way == 2 ? TG_EVALUATE : TG_TRAIN, reference_formats[f].format,
                                        reference_formats[w].format, shape[s]);
                    assert_true(h.graph->training_differs);
                    harness_probe(&h, y, way == 1 ? h.graph->op[0].output[0] : TG_NONE);
                    /* two values of a channel are -1 and 1 whatever they are, and their gradient is next to nothing */
                    reference_check(&h, &(reference){forward, reference_formats[f].tolerance * (s == 0 ? 4 : 1)});
                    harness_end(&h);
                }
}

static void gradients_match_differences(void **state)
{
    (void)state;
    harness h;
    harness_probe(&h, build(&h, TG_TRAIN, TG_F32, TG_F32, (const size_t[]){5, 9, 13}), TG_NONE);
    harness_check_gradients(&h, 1e-2, 2e-3);
    harness_end(&h);
}

/* Mean 300, deviation 1: E[x^2] - mean^2 in fp32 would be noise. */
static void values_far_from_zero(void **state)
{
    (void)state;
    harness h;
    harness_probe(&h, build(&h, TG_TRAIN, TG_F32, TG_F32, (const size_t[]){4, 9, 6}), TG_NONE);
    float *x = h.weight[X].param.data;
    for (size_t i = 0; i < harness_values(&h, X); i++)
        x[i] += 300;
    reference_check(&h, &(reference){forward, 1e-4});
    harness_end(&h);
}

/* Statistics move towards the batch's, the variance's unbiased, once a run; not in evaluation, and never to NaN. */
static void statistics_run_along(void **state)
{
    (void)state;
    static const size_t shape[] = {3, 5, 7};
    for (int way = 0; way < 3; way++) { /* training, evaluation, a bad value */
        harness h;
        harness_probe(&h, build(&h, way == 1 ? TG_EVALUATE : TG_TRAIN, TG_F32, TG_F32, shape), TG_NONE);
        float *x = h.weight[X].param.data, before[2][7];
        const float *running[] = {h.weight[MEAN].param.data, h.weight[VAR].param.data};
        for (int k = 0; k < 2; k++)
            memcpy(before[k], running[k], sizeof before[k]);
        if (way == 2)
            x[2] = NAN;
        harness_run(&h);
        for (size_t c = 0; c < 7; c++) {
            double mean = 0, variance = 0;
            for (size_t r = 0; r < 15; r++)
                mean += (double)x[r * 7 + c] / 15;
            for (size_t r = 0; r < 15; r++)
                variance += ((double)x[r * 7 + c] - mean) * ((double)x[r * 7 + c] - mean) / 14;
            const bool moves = way == 0 || (way == 2 && c != 2);
            assert_true(moves == (running[0][c] != before[0][c]));
            assert_true(moves == (running[1][c] != before[1][c]));
            assert_true(!moves || fabs(0.9 * (double)before[0][c] + 0.1 * mean - (double)running[0][c]) < 1e-6);
            assert_true(!moves || fabs(0.9 * (double)before[1][c] + 0.1 * variance - (double)running[1][c]) < 1e-6);
        }
        harness_end(&h);
    }
}

/* A block that is computed again has the same bits, and its statistics have moved once. */
static void recomputation_moves_nothing(void **state)
{
    (void)state;
    uint64_t bits[2] = {0};
    size_t steps[2] = {0};
    for (int way = 0; way < 2; way++) {
        harness h;
        begin(&h, TG_TRAIN, TG_F32, TG_F32, (const size_t[]){3, 15, 7});
        h.recompute = way == 0 ? TG_RECOMPUTE_NONE : TG_RECOMPUTE_BLOCK;
        tg_graph_block_begin(h.graph);
        int x = tg_activation(h.graph, "before", h.graph->op[0].output[0], TG_GELU);
        x = tg_batchnorm(h.graph, "norm", x, GAIN, BIAS, MEAN, VAR, eps);
        x = tg_activation(h.graph, "after", x, TG_GELU);
        tg_graph_block_end(h.graph);
        harness_probe(&h, x, TG_NONE);
        harness_run(&h);
        harness_run(&h);
        bits[way] = reference_bits(&h);
        for (size_t c = 0; c < 7; c++) {
            bits[way] = tg_mix64(bits[way] ^ tg_bits_from_float(((float *)h.weight[MEAN].param.data)[c]));
            bits[way] = tg_mix64(bits[way] ^ tg_bits_from_float(((float *)h.weight[VAR].param.data)[c]));
        }
        steps[way] = h.graph->steps;
        harness_end(&h);
    }
    assert_true(steps[1] > steps[0]);
    assert_true(bits[0] == bits[1]);
}

static void bad_gradients_are_rejected(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int f = 0; f < REFERENCE_FORMATS; f++)
        for (size_t b = 0; b < 3; b++) {
            harness h;
            const int y = build(&h, TG_TRAIN, reference_formats[f].format, TG_F32, (const size_t[]){2, 11, 17});
            reference_rejects(&h, y, bad[b], GAIN, BIAS + 1);
        }
}

static void values_are_pytorchs(void **state)
{
    (void)state;
    static const size_t shape[] = {2, 12, 6};
    harness h;
    harness_probe(&h, build(&h, TG_TRAIN, TG_F32, TG_F32, shape), TG_NONE);
    norm_golden_weights(&h);
    float *x = h.weight[X].param.data, *mean = h.weight[MEAN].param.data, *var = h.weight[VAR].param.data;
    for (size_t c = 0; c < 6; c++) {
        mean[c] = 0;
        var[c] = 1;
    }
    harness_run(&h);
    assert_int_equal(h.output_values[0], sizeof batchnorm / sizeof *batchnorm);
    assert_true(harness_difference(h.output[0], batchnorm, h.output_values[0]) < 1e-5);
    assert_true(harness_difference(h.grad[X], batchnorm_dx, h.output_values[0]) < 1e-5);
    assert_true(harness_difference(h.grad[GAIN], batchnorm_dgain, 6) < 1e-5);
    assert_true(harness_difference(h.grad[BIAS], batchnorm_dbias, 6) < 1e-5);
    for (size_t i = 0; i < harness_values(&h, X); i++)
        x[i] = 2 * x[i] - 1;
    harness_run(&h);
    assert_true(harness_difference(mean, batchnorm_running_mean, 6) < 1e-6);
    assert_true(harness_difference(var, batchnorm_running_var, 6) < 1e-6);
    harness e;
    harness_probe(&e, build(&e, TG_EVALUATE, TG_F32, TG_F32, shape), TG_NONE);
    norm_golden_weights(&e);
    memcpy(e.weight[MEAN].param.data, mean, 6 * sizeof *mean);
    memcpy(e.weight[VAR].param.data, var, 6 * sizeof *var);
    harness_run(&e);
    assert_true(harness_difference(e.output[0], batchnorm_evaluated, e.output_values[0]) < 1e-5);
    harness_end(&e);
    harness_end(&h);
}

static void mistakes_are_refused(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) { /* one value; statistics that train; statistics in bf16 */
        harness h;
        begin(&h, TG_TRAIN, TG_F32, TG_F32, (const size_t[]){1, way == 0 ? 1 : 2, 5});
        h.weight[VAR].param.frozen = way != 1;
        h.weight[MEAN].param.format = way == 2 ? TG_BF16 : TG_F32;
        assert_int_equal(tg_batchnorm(h.graph, "norm", h.graph->op[0].output[0], GAIN, BIAS, MEAN, VAR, eps), TG_NONE);
        assert_non_null(strstr(h.graph->failure, way == 0   ? "2 values"
                                                 : way == 1 ? "'var' must be"
                                                            : "'mean' must be"));
        h.weight[MEAN].param.format = TG_F32;
        harness_end(&h);
    }
}

/* Small batches are advised against, in training. */
static void small_batches_are_told(void **state)
{
    (void)state;
    static const struct {
        size_t samples;
        tg_mode mode;
        bool told;
    } row[] = {{15, TG_TRAIN, true}, {16, TG_TRAIN, false}, {15, TG_EVALUATE, false}};
    for (size_t i = 0; i < 3; i++) {
        harness h;
        build(&h, row[i].mode, TG_F32, TG_F32, (const size_t[]){row[i].samples, 4, 5});
        assert_true((strstr(h.graph->advice, "from 15 samples") != NULL) == row[i].told);
        assert_true((strstr(h.graph->advice, "group norm") != NULL) == row[i].told);
        harness_end(&h);
    }
}

static void make(harness *h, tg_format format)
{
    const int y = build(h, TG_TRAIN, format, format, (const size_t[]){3, 801, 132});
    harness_probe(h, y, h->graph->op[0].output[0]);
}

static void same_bits(void **state)
{
    (void)state;
    reference_same_bits(make);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_shapes),
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(values_far_from_zero),
        cmocka_unit_test(statistics_run_along),
        cmocka_unit_test(recomputation_moves_nothing),
        cmocka_unit_test(bad_gradients_are_rejected),
        cmocka_unit_test(values_are_pytorchs),
        cmocka_unit_test(mistakes_are_refused),
        cmocka_unit_test(small_batches_are_told),
        cmocka_unit_test(same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
