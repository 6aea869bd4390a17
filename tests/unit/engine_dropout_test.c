/* engine_dropout_test.c -- the mask's statistics, its dependence on the counters, and backward with the same mask. */
#include "layer_reference.h"

/* Forward with the mask that was seen in the output. */
static const harness *masked;
static double rate_now;

static void forward(double *y, const harness *h, double *const *weight)
{
    for (size_t i = 0; i < h->output_values[0]; i++)
        y[i] = masked->output[0][i] != 0 ? weight[0][i] / (1 - rate_now) : 0;
}

static void drops_and_scales(void **state)
{
    (void)state;
    static const double rates[] = {0.07, 0.31, 0.9};
    for (int f = 0; f < REFERENCE_FORMATS; f++)
        for (size_t r = 0; r < 3; r++)
            for (int twice = 0; twice < 2; twice++) {
                harness h;
                harness_begin(&h, TG_TRAIN, reference_formats[f].format, 3, 67);
                const int x = harness_input(&h, "x", 131);
                harness_probe(&h, tg_dropout(h.graph, "drop", x, rates[r]), twice ? x : TG_NONE);
                masked = &h;
                rate_now = rates[r];
                reference_check(&h, &(reference){forward, reference_formats[f].tolerance});
                size_t dropped = 0;
                for (size_t i = 0; i < h.output_values[0]; i++)
                    dropped += h.output[0][i] == 0;
                const double n = (double)h.output_values[0];
                assert_true(fabs((double)dropped - rates[r] * n) < 4.5 * sqrt(n * rates[r] * (1 - rates[r])));
                harness_end(&h);
            }
}

static size_t differences(const harness *h, const float *before)
{
    size_t n = 0;
    for (size_t i = 0; i < h->output_values[0]; i++)
        n += (h->output[0][i] == 0) != (before[i] == 0);
    return n;
}

static void mask_follows_the_counters(void **state)
{
    (void)state;
    harness h;
    float before[7 * 129];
    harness_begin(&h, TG_TRAIN, TG_F32, 1, 7);
    const int x = harness_input(&h, "x", 129);
    const int y = tg_dropout(h.graph, "first", x, 0.5), z = tg_dropout(h.graph, "second", x, 0.5);
    harness_probe(&h, y, z);
    harness_run(&h);
    memcpy(before, h.output[0], sizeof before);
    harness_run(&h);
    assert_int_equal(differences(&h, before), 0);
    const size_t least = 300, most = 600; /* of 903, half are expected to differ */
    size_t between = 0;
    for (size_t i = 0; i < h.output_values[0]; i++)
        between += (h.output[0][i] == 0) != (h.output[1][i] == 0);
    assert_in_range(between, least, most);
    h.run.update++;
    harness_run(&h);
    assert_in_range(differences(&h, before), least, most);
    h.run.update--, h.run.micro_step++;
    harness_run(&h);
    assert_in_range(differences(&h, before), least, most);
    h.run.micro_step--, h.run.seed++;
    harness_run(&h);
    assert_in_range(differences(&h, before), least, most);
    harness_end(&h);
}

static void no_operation_outside_training(void **state)
{
    (void)state;
    harness h;
    harness_begin(&h, TG_EVALUATE, TG_F32, 1, 7);
    const int x = harness_input(&h, "x", 3);
    assert_int_equal(tg_dropout(h.graph, "drop", x, 0.4), x);
    harness_end(&h);
    harness_begin(&h, TG_TRAIN, TG_F32, 1, 7);
    const int y = harness_input(&h, "x", 3);
    assert_int_equal(tg_dropout(h.graph, "drop", y, 0), y);
    harness_end(&h);
}

static void make(harness *h, tg_format format)
{
    harness_begin(h, TG_TRAIN, format, 3, 67);
    const int x = harness_input(h, "x", 131);
    harness_probe(h, tg_dropout(h->graph, "drop", x, 0.23), x);
}

static void same_bits(void **state)
{
    (void)state;
    reference_same_bits(make);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drops_and_scales),
        cmocka_unit_test(mask_follows_the_counters),
        cmocka_unit_test(no_operation_outside_training),
        cmocka_unit_test(same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
