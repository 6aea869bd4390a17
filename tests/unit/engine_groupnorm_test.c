/* engine_groupnorm_test.c -- group norm against double: every number of groups, images and features, values far from 0,
 * bad gradients, threads; values and gradients that PyTorch computed. */
#include "groupnorm_golden.h"
#include "norm_support.h"

static const double eps = 3.7e-4;

typedef struct norm_case {
    size_t samples, places, cols, groups;
} norm_case;

static const norm_case cases[] = {
    {3, 1, 12, 4},   /* no images: features */
    {1, 40, 6, 6},   /* instance norm */
    {2, 35, 6, 1},   /* layer norm over an image */
    {5, 9, 30, 5},   /* small images */
    {2, 35, 150, 3}, /* groups that several strips of columns have */
    {1, 2100, 4, 2}, /* several blocks of rows, the last of them smaller */
};
#define CASES (sizeof cases / sizeof *cases)

static const norm_case *now;

/* weight: x, gain, bias */
static void forward(double *y, const harness *h, double *const *weight)
{
    const size_t of_group = now->cols / now->groups;
    (void)h;
    for (size_t n = 0; n < now->samples; n++)
        for (size_t g = 0; g < now->groups; g++) {
            const size_t first = n * now->places * now->cols + g * of_group, count = now->places * of_group;
            double mean = 0, variance = 0;
            for (size_t i = 0; i < count; i++)
                mean += weight[0][first + i / of_group * now->cols + i % of_group] / (double)count;
            for (size_t i = 0; i < count; i++) {
                const double d = weight[0][first + i / of_group * now->cols + i % of_group] - mean;
                variance += d * d / (double)count;
            }
            for (size_t i = 0; i < count; i++) {
                const size_t at = first + i / of_group * now->cols + i % of_group, c = g * of_group + i % of_group;
                y[at] = (weight[0][at] - mean) / sqrt(variance + eps) * weight[1][c] + weight[2][c];
            }
        }
}

static int build(harness *h, tg_format format, tg_format weights, const norm_case *c)
{
    now = c;
    harness_begin(h, TG_TRAIN, format, c->samples, c->places);
    const int x = harness_input(h, "x", c->cols), gain = harness_weight(h, "gain", 1, c->cols, weights, 0.9);
    const int bias = harness_weight(h, "bias", 1, c->cols, weights, 0.4);
    return tg_groupnorm(h->graph, "norm", x, gain, bias, c->groups, eps);
}

static void every_case(void **state)
{
    (void)state;
    for (int f = 0; f < REFERENCE_FORMATS; f++)
        for (int w = 0; w < REFERENCE_FORMATS; w++)
            for (size_t i = 0; i < CASES && (f == 0 || w == f || w == 0); i++)
                for (int twice = 0; twice < 2; twice++) {
                    harness h;
                    const int y = build(&h, reference_formats[f].format, reference_formats[w].format, &cases[i]);
                    harness_probe(&h, y, twice ? h.graph->op[0].output[0] : TG_NONE);
                    reference_check(&h, &(reference){forward, reference_formats[f].tolerance});
                    harness_end(&h);
                }
}

static void gradients_match_differences(void **state)
{
    (void)state;
    for (size_t i = 1; i < 4; i++) { /* groups of three bend too much for a step that fp32 can see */
        harness h;
        harness_probe(&h, build(&h, TG_F32, TG_F32, &cases[i]), TG_NONE);
        harness_check_gradients(&h, 1e-2, 2e-3);
        harness_end(&h);
    }
}

/* Mean 300, deviation 1: E[x^2] - mean^2 in fp32 would be noise. */
static void values_far_from_zero(void **state)
{
    (void)state;
    harness h;
    harness_probe(&h, build(&h, TG_F32, TG_F32, &cases[3]), TG_NONE);
    float *x = h.weight[0].param.data;
    for (size_t i = 0; i < harness_values(&h, 0); i++)
        x[i] += 300;
    reference_check(&h, &(reference){forward, 1e-4});
    harness_end(&h);
}

static void bad_gradients_are_rejected(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int f = 0; f < REFERENCE_FORMATS; f++)
        for (size_t b = 0; b < 3; b++) {
            harness h;
            const int y = build(&h, reference_formats[f].format, TG_F32, &cases[4]);
            reference_rejects(&h, y, bad[b], 1, 3);
        }
}

static void values_are_pytorchs(void **state)
{
    (void)state;
    static const struct {
        size_t groups;
        const double *y, *dx, *dgain, *dbias;
    } golden[] = {{1, groupnorm_1, groupnorm_1_dx, groupnorm_1_dgain, groupnorm_1_dbias},
                  {2, groupnorm_2, groupnorm_2_dx, groupnorm_2_dgain, groupnorm_2_dbias},
                  {6, groupnorm_6, groupnorm_6_dx, groupnorm_6_dgain, groupnorm_6_dbias}};
    for (size_t k = 0; k < 3; k++) {
        const norm_case c = {2, 12, 6, golden[k].groups};
        harness h;
        harness_probe(&h, build(&h, TG_F32, TG_F32, &c), TG_NONE);
        norm_golden_weights(&h);
        harness_run(&h);
        assert_int_equal(h.output_values[0], sizeof groupnorm_1 / sizeof *groupnorm_1);
        assert_true(harness_difference(h.output[0], golden[k].y, h.output_values[0]) < 1e-5);
        assert_true(harness_difference(h.grad[0], golden[k].dx, h.output_values[0]) < 1e-5);
        assert_true(harness_difference(h.grad[1], golden[k].dgain, 6) < 1e-5);
        assert_true(harness_difference(h.grad[2], golden[k].dbias, 6) < 1e-5);
        harness_end(&h);
    }
}

static void mistakes_are_refused(void **state)
{
    (void)state;
    for (size_t groups = 0; groups < 9; groups += 8) {
        harness h;
        assert_int_equal(build(&h, TG_F32, TG_F32, &(norm_case){2, 5, 12, groups}), TG_NONE);
        assert_non_null(strstr(h.graph->failure, groups == 0 ? "12 channels do not fall into 0" : "into 8 groups"));
        harness_end(&h);
    }
}

static void make(harness *h, tg_format format)
{
    static const norm_case c = {3, 333, 132, 4};
    const int y = build(h, format, format, &c);
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
        cmocka_unit_test(every_case),
        cmocka_unit_test(gradients_match_differences),
        cmocka_unit_test(values_far_from_zero),
        cmocka_unit_test(bad_gradients_are_rejected),
        cmocka_unit_test(values_are_pytorchs),
        cmocka_unit_test(mistakes_are_refused),
        cmocka_unit_test(same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
