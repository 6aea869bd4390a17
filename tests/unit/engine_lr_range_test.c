/* The learning-rate range test's verdict on curves whose answer is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tiger/engine/train.h"

#define POINTS 160

static tg_lr_range made(void)
{
    tg_lr_range range = {.count = POINTS};
    range.lr = tg_heap_alloc(POINTS, sizeof *range.lr);
    range.loss = tg_heap_alloc(POINTS, sizeof *range.loss);
    range.smoothed = tg_heap_alloc(POINTS, sizeof *range.smoothed);
    for (size_t i = 0; i < POINTS; i++)
        range.lr[i] = 1e-6 * pow(10, (double)i / 20); /* 1e-6 .. 1e2 */
    return range;
}

/* A fall whose steepest place is at lr = 3e-3, its foot near 0.1, an explosion from 1 on. */
static double curve(double lr)
{
    const double z = log(lr / 3e-3);
    return 2.385 + 1.6 / (1 + exp(1.3 * z)) + 0.02 * lr * lr * lr * lr + 0.05 * lr;
}

static void test_verdict(void **state)
{
    (void)state;
    tg_lr_range range = made();
    for (size_t i = 0; i < POINTS; i++)
        range.loss[i] = curve(range.lr[i]) + 0.02 * sin(7.0 * (double)i);
    tg_lr_range_judge(&range, 0);
    assert_true(range.suggested > 3e-3 / 1.5 && range.suggested < 3e-3 * 1.5);
    assert_true(range.last_stable > 0.05 && range.last_stable < 0.7);
    assert_true(range.diverged > 2 && range.diverged < 6);
    assert_true(range.lr[range.count - 1] == range.diverged); /* the rest is cut off */
    tg_lr_range_fini(&range);
}

/* The average is exponential, without bias: of a constant it is the constant. */
static void test_average(void **state)
{
    (void)state;
    tg_lr_range range = made();
    for (size_t i = 0; i < POINTS; i++)
        range.loss[i] = i < 2 ? 2.385 : 1.25;
    tg_lr_range_judge(&range, 0.75);
    assert_true(fabs(range.smoothed[1] - 2.385) < 1e-12);
    const double third = (2.385 * (0.5625 + 0.75) + 1.25) / (0.5625 + 0.75 + 1);
    assert_true(fabs(range.smoothed[2] - third) < 1e-12);
    assert_true(isnan(range.diverged));
    tg_lr_range_fini(&range);
}

static void test_not_finite(void **state)
{
    (void)state;
    tg_lr_range range = made();
    for (size_t i = 0; i < POINTS; i++)
        range.loss[i] = i == 90 ? NAN : 4 - 0.0002 * (double)i * (double)i; /* steepest just before it breaks */
    tg_lr_range_judge(&range, 0.5);
    assert_int_equal(range.count, 91);
    assert_true(range.diverged == range.lr[90]);
    assert_true(range.last_stable == range.lr[89]);
    assert_true(range.suggested == range.lr[89]);
    tg_lr_range_fini(&range);

    range = made();
    range.loss[0] = INFINITY;
    tg_lr_range_judge(&range, 0.5);
    assert_int_equal(range.count, 1);
    assert_true(range.diverged == range.lr[0]);
    assert_true(isnan(range.last_stable) && isnan(range.suggested));
    tg_lr_range_fini(&range);
}

static void test_never_falls(void **state)
{
    (void)state;
    tg_lr_range range = made();
    for (size_t i = 0; i < POINTS; i++)
        range.loss[i] = 2.385 + 0.01 * (double)i;
    tg_lr_range_judge(&range, 0.9);
    assert_true(isnan(range.suggested));
    assert_true(range.last_stable == range.lr[0]);
    for (size_t i = 0; i < POINTS; i++) /* noise: some of its averages are less than the first */
        range.loss[i] = 2.385 + 0.05 * sin(11.0 * (double)i * (double)i);
    tg_lr_range_judge(&range, 0.9);
    assert_true(isnan(range.suggested));
    range.count = 0;
    tg_lr_range_judge(&range, 0.9);
    assert_true(isnan(range.last_stable));
    tg_lr_range_fini(&range);
}

static void test_refusals(void **state)
{
    (void)state;
    tg_lr_range range = {.count = 2385};
    tg_train_config config;
    tg_train_config_default(&config);
    config.option[TG_TRAIN_UPDATES] = 50;
    assert_int_equal(tg_lr_range_run(&range, &config, 0, 1, 0.9, NULL), TG_EINVAL);
    assert_int_equal(tg_lr_range_run(&range, &config, 1, 1, 0.9, NULL), TG_EINVAL);
    assert_int_equal(tg_lr_range_run(&range, &config, 1e-3, INFINITY, 0.9, NULL), TG_EINVAL);
    assert_int_equal(tg_lr_range_run(&range, &config, 1e-3, 1, 1, NULL), TG_EINVAL);
    config.setting = &(tg_setting){"lr", "0.1"};
    config.settings = 1;
    assert_int_equal(tg_lr_range_run(&range, &config, 1e-3, 1, 0.9, NULL), TG_EINVAL);
    assert_string_equal(tg_message(), "lr is what is looked for: leave it out");
    config.settings = 0;
    config.option[TG_TRAIN_UPDATES] = 9;
    assert_int_equal(tg_lr_range_run(&range, &config, 1e-3, 1, 0.9, NULL), TG_EINVAL);
    config.option[TG_TRAIN_UPDATES] = 50;
    assert_int_equal(tg_lr_range_run(&range, &config, 1e-3, 1, 0.9, NULL), TG_EINVAL); /* no text */
    assert_int_equal(range.count, 2385);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdict),     cmocka_unit_test(test_average),  cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_never_falls), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
