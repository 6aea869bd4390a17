/* engine_add_test.c -- residual addition, also where an input is used again and where both inputs are one. */
#include "layer_reference.h"

static void forward(double *y, const harness *h, double *const *weight)
{
    for (size_t i = 0; i < h->output_values[0]; i++)
        y[i] = weight[0][i] + weight[1][i];
}

static void doubled(double *y, const harness *h, double *const *weight)
{
    for (size_t i = 0; i < h->output_values[0]; i++)
        y[i] = weight[0][i] + weight[0][i];
}

/* x + tanh(x) + b, the shape of a residual stream. */
static void residual(double *y, const harness *h, double *const *weight)
{
    for (size_t i = 0; i < h->output_values[0]; i++)
        y[i] = weight[0][i] + tanh(weight[0][i]) + weight[1][i];
}

static void all_shapes(void **state)
{
    (void)state;
    static const size_t shape[][3] = {{1, 1, 1}, {1, 7, 17}, {3, 5, 65}, {2, 9, 129}};
    for (int f = 0; f < REFERENCE_FORMATS; f++)
        for (size_t s = 0; s < 4; s++)
            for (int way = 0; way < 4; way++) {
                harness h;
                harness_begin(&h, TG_TRAIN, reference_formats[f].format, shape[s][0], shape[s][1]);
                const int a = harness_input(&h, "a", shape[s][2]);
                const double tolerance = reference_formats[f].tolerance;
                if (way < 2) {
                    const int b = harness_input(&h, "b", shape[s][2]);
                    harness_probe(&h, tg_add(h.graph, "add", a, b), way == 1 ? a : TG_NONE);
                    reference_check(&h, &(reference){forward, tolerance});
                } else if (way == 2) {
                    harness_probe(&h, tg_add(h.graph, "add", a, a), TG_NONE);
                    reference_check(&h, &(reference){doubled, tolerance});
                } else {
                    const int b = harness_input(&h, "b", shape[s][2]);
                    const int t = tg_activation(h.graph, "tanh", a, TG_TANH);
                    harness_probe(&h, tg_add(h.graph, "add2", tg_add(h.graph, "add", a, t), b), a);
                    reference_check(&h, &(reference){residual, tolerance});
                }
                harness_end(&h);
            }
}

static void make(harness *h, tg_format format)
{
    harness_begin(h, TG_TRAIN, format, 3, 67);
    const int a = harness_input(h, "a", 131), b = harness_input(h, "b", 131);
    harness_probe(h, tg_add(h->graph, "add", a, b), a);
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
        cmocka_unit_test(same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
