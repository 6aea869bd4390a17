/* engine_rmsnorm_test.c -- RMS norm against double: values, gradients, bad gradients. */
#include "layer_reference.h"

static const double eps = 3.7e-4;
static size_t cols_now;

/* weight: x, gain */
static void forward(double *y, const harness *h, double *const *weight)
{
    for (size_t r = 0; r < h->output_values[0] / cols_now; r++) {
        const double *x = weight[0] + r * cols_now;
        double square = 0;
        for (size_t c = 0; c < cols_now; c++)
            square += x[c] * x[c] / (double)cols_now;
        for (size_t c = 0; c < cols_now; c++)
            y[r * cols_now + c] = x[c] / sqrt(square + eps) * weight[1][c];
    }
}

static int build(harness *h, tg_format format, tg_format weights, const size_t *shape)
{
    cols_now = shape[2];
    harness_begin(h, TG_TRAIN, format, shape[0], shape[1]);
    const int x = harness_input(h, "x", cols_now), gain = harness_weight(h, "gain", 1, cols_now, weights, 0.9);
    return tg_rmsnorm(h->graph, "norm", x, gain, eps);
}

static void all_shapes(void **state)
{
    (void)state;
    static const size_t shape[][3] = {{1, 1, 1}, {1, 7, 17}, {3, 5, 65}, {5, 29, 17}, {1, 3, 1025}};
    for (int f = 0; f < REFERENCE_FORMATS; f++)
        for (int w = 0; w < REFERENCE_FORMATS; w++)
            for (size_t s = 0; s < 5; s++)
                for (int way = 0; way < 2; way++) {
                    harness h;
                    const int y =
                        build(&h, reference_formats[f].format, reference_formats[w].format, shape[s]);
                    harness_probe(&h, y, way == 1 ? h.graph->op[0].output[0] : TG_NONE);
                    reference_check(&h, &(reference){forward, reference_formats[f].tolerance});
                    harness_end(&h);
                }
}

static void bad_gradients_are_rejected(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int f = 0; f < REFERENCE_FORMATS; f++)
        for (size_t b = 0; b < 3; b++) {
            harness h;
            const int y = build(&h, reference_formats[f].format, TG_F32, (const size_t[]){2, 11, 17});
            reference_rejects(&h, y, bad[b], 1, 2);
        }
}

static void make(harness *h, tg_format format)
{
    const int y = build(h, format, format, (const size_t[]){3, 67, 131});
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
        cmocka_unit_test(bad_gradients_are_rejected),
        cmocka_unit_test(same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
