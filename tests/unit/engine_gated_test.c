/* engine_gated_test.c -- silu(a) b, against double. */
#include "layer_reference.h"

static void forward(double *y, const harness *h, double *const *weight)
{
    for (size_t i = 0; i < h->output_values[0]; i++)
        y[i] = weight[0][i] / (1 + exp(-weight[0][i])) * weight[1][i];
}

static void square(double *y, const harness *h, double *const *weight)
{
    for (size_t i = 0; i < h->output_values[0]; i++)
        y[i] = weight[0][i] / (1 + exp(-weight[0][i])) * weight[0][i];
}

static void all_shapes(void **state)
{
    (void)state;
    static const size_t shape[][3] = {{1, 1, 1}, {1, 7, 17}, {3, 5, 65}, {2, 9, 129}};
    for (int f = 0; f < REFERENCE_FORMATS; f++)
        for (size_t s = 0; s < 4; s++)
            for (int twice = 0; twice < 2; twice++) {
                harness h;
                harness_begin(&h, TG_TRAIN, reference_formats[f].format, shape[s][0], shape[s][1]);
                const int a = harness_input(&h, "a", shape[s][2]), b = harness_input(&h, "b", shape[s][2]);
                harness_probe(&h, tg_gated(h.graph, "gate", a, b), twice ? a : TG_NONE);
                reference_check(&h, &(reference){forward, reference_formats[f].tolerance});
                harness_end(&h);
            }
}

static void both_inputs_one_tensor(void **state)
{
    (void)state;
    harness h;
    harness_begin(&h, TG_TRAIN, TG_F32, 2, 5);
    const int a = harness_input(&h, "a", 13);
    harness_probe(&h, tg_gated(h.graph, "gate", a, a), TG_NONE);
    reference_check(&h, &(reference){square, FP32_TOLERANCE});
    harness_end(&h);
}

static void make(harness *h, tg_format format)
{
    harness_begin(h, TG_TRAIN, format, 3, 67);
    const int a = harness_input(h, "a", 131), b = harness_input(h, "b", 131);
    harness_probe(h, tg_gated(h->graph, "gate", a, b), b);
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
        cmocka_unit_test(both_inputs_one_tensor),
        cmocka_unit_test(same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
