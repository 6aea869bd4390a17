/* engine_activation_test.c -- the functions applied value by value, against their formulas in double. */
#include "layer_reference.h"

static tg_activation_kind kind_now;

static double value(double x)
{
    switch (kind_now) {
    case TG_RELU: return x > 0 ? x : 0;
    case TG_RELU_SQUARED: return x > 0 ? x * x : 0;
    case TG_GELU: return 0.5 * x * (1 + erf(x / sqrt(2)));
    case TG_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case TG_SILU: return x / (1 + exp(-x));
    default: return tanh(x);
    }
}

static void forward(double *y, const harness *h, double *const *weight)
{
    for (size_t i = 0; i < h->output_values[0]; i++)
        y[i] = value(weight[0][i]);
}

static void all_kinds_and_shapes(void **state)
{
    (void)state;
    static const size_t shape[][3] = {{1, 1, 1}, {1, 7, 17}, {3, 5, 65}, {2, 9, 129}};
    for (int f = 0; f < REFERENCE_FORMATS; f++)
        for (int kind = 0; kind < TG_ACTIVATION_COUNT; kind++)
            for (size_t s = 0; s < 4; s++)
                for (int twice = 0; twice < 2; twice++) { /* twice: backward must add */
                    harness h;
                    kind_now = (tg_activation_kind)kind;
                    harness_begin(&h, TG_TRAIN, reference_formats[f].format, shape[s][0], shape[s][1]);
                    const int x = harness_input(&h, "x", shape[s][2]);
                    harness_probe(&h, tg_activation(h.graph, "act", x, kind_now), twice ? x : TG_NONE);
                    reference_check(&h, &(reference){forward, reference_formats[f].tolerance});
                    harness_end(&h);
                }
}

/* Values no random draw reaches: saturation, and what is not a number. */
static void far_values(void **state)
{
    (void)state;
    static const float far[] = {-200.5f, -30.25f, -9.7f, 9.7f, 30.25f, 200.5f, -0.0f, 0.0f};
    for (int kind = 0; kind < TG_ACTIVATION_COUNT; kind++) {
        harness h;
        kind_now = (tg_activation_kind)kind;
        harness_begin(&h, TG_TRAIN, TG_F32, 1, 9);
        const int x = harness_input(&h, "x", 1);
        harness_probe(&h, tg_activation(h.graph, "act", x, kind_now), TG_NONE);
        float *values = h.weight[0].param.data;
        memcpy(values, far, sizeof far);
        values[8] = NAN;
        harness_now = &h;
        harness_ok(tg_graph_plan(h.graph, TG_RECOMPUTE_NONE));
        harness_ok(tg_graph_allocate(h.graph));
        harness_ok(tg_graph_run(h.graph, &h.run));
        for (size_t i = 0; i < 8; i++) {
            const double wanted = value(far[i]);
            assert_true(fabs(h.output[0][i] - wanted) <= 1e-6 * fabs(wanted) + 1e-7);
        }
        assert_true(isnan(h.output[0][8]));
        harness_end(&h);
    }
}

static void make(harness *h, tg_format format)
{
    harness_begin(h, TG_TRAIN, format, 3, 67);
    const int x = harness_input(h, "x", 131);
    int y = x;
    for (int kind = 0; kind < TG_ACTIVATION_COUNT; kind++)
        y = tg_add(h->graph, "add", y, tg_activation(h->graph, "act", x, (tg_activation_kind)kind));
    harness_probe(h, y, TG_NONE);
}

static void same_bits(void **state)
{
    (void)state;
    reference_same_bits(make);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds_and_shapes),
        cmocka_unit_test(far_values),
        cmocka_unit_test(same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
