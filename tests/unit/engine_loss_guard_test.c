/* The guard of the loss: what it leaves out, what it learns from, and that a lasting level is taken in again. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "train/loss_guard.h"

#define PATIENCE 100
#define LIMIT 6.0

static double noise(uint32_t i) { return 2.385 + 0.1 * (double)tg_random_normal(tg_key_make(17, 1, 0, 0), i); }

/* `n` losses with a deviation of 0.1, none of which is left out; those of the mean and the variance. */
static void calm(tg_loss_guard *g, uint32_t n)
{
    double z;
    for (uint32_t i = 0; i < n; i++)
        assert_true(tg_loss_guard_take(g, LIMIT, noise(i), &z));
}

static void the_first_are_a_plain_mean_and_variance(void **state)
{
    (void)state;
    tg_loss_guard g = {0};
    double mean = 0, squares = 0;
    calm(&g, 77);
    for (uint32_t i = 0; i < 77; i++)
        mean += noise(i) / 77;
    for (uint32_t i = 0; i < 77; i++)
        squares += (noise(i) - mean) * (noise(i) - mean) / 77;
    assert_true(fabs(g.mean - mean) < 1e-12);
    assert_true(fabs(g.variance - squares) < 1e-12);
    assert_true(g.seen == 77 && g.skipped == 0);
}

static void none_is_left_out_before_there_are_enough(void **state)
{
    (void)state;
    tg_loss_guard g = {0};
    double z;
    calm(&g, PATIENCE - 1);
    assert_true(tg_loss_guard_take(&g, LIMIT, 1e6, &z));
    g = (tg_loss_guard){0};
    calm(&g, PATIENCE);
    assert_false(tg_loss_guard_take(&g, LIMIT, 1e6, &z));
    assert_int_equal(g.skipped, 1);
}

static void the_bound_is_where_it_should_be(void **state)
{
    (void)state;
    tg_loss_guard g = {0};
    double z = 0;
    calm(&g, 300);
    const double s = sqrt(g.variance);
    assert_true(s > 0.07 && s < 0.14);
    tg_loss_guard under = g, over = g, low = g, off = g;
    assert_true(tg_loss_guard_take(&under, LIMIT, g.mean + 5.999 * s, &z));
    assert_false(tg_loss_guard_take(&over, LIMIT, g.mean + 7.25 * s, &z));
    assert_true(fabs(z - 7.25) < 1e-9);
    assert_true(tg_loss_guard_take(&low, LIMIT, g.mean - 40 * s, &z)); /* a low loss is no spike */
    assert_true(tg_loss_guard_take(&off, 0, 1e9, &z));
    /* It counts as the bound. */
    assert_true(fabs(over.mean - (g.mean + 0.01 * LIMIT * s)) < 1e-12);
    assert_true(fabs(over.variance - 0.99 * (g.variance + 0.01 * LIMIT * LIMIT * g.variance)) < 1e-12);
}

static void a_lasting_level_is_taken_in_again(void **state)
{
    (void)state;
    tg_loss_guard g = {0};
    double z;
    calm(&g, 300);
    int skipped = 0;
    while (!tg_loss_guard_take(&g, LIMIT, 2.385 + 4, &z) && skipped < 100)
        skipped++;
    assert_true(skipped >= 2 && skipped < 20);
}

static void a_loss_that_stands_still_is_no_deviation(void **state)
{
    (void)state;
    tg_loss_guard g = {0};
    double z;
    for (int i = 0; i < 200; i++)
        assert_true(tg_loss_guard_take(&g, LIMIT, 2.385, &z));
    assert_true(tg_loss_guard_take(&g, LIMIT, 2.385 * (1 + 1e-6), &z));
    assert_false(tg_loss_guard_take(&g, LIMIT, 2.4, &z));
}

static void only_what_it_can_come_to_is_sound(void **state)
{
    (void)state;
    const tg_loss_guard bad[] = {{NAN, 1, 3, 0}, {1, -0.5, 3, 0}, {1, INFINITY, 3, 0}, {1, 1, 3, 4}};
    tg_loss_guard g = {0};
    assert_true(tg_loss_guard_is_sound(&g));
    calm(&g, 140);
    assert_true(tg_loss_guard_is_sound(&g));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(tg_loss_guard_is_sound(&bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_are_a_plain_mean_and_variance),
        cmocka_unit_test(none_is_left_out_before_there_are_enough),
        cmocka_unit_test(the_bound_is_where_it_should_be),
        cmocka_unit_test(a_lasting_level_is_taken_in_again),
        cmocka_unit_test(a_loss_that_stands_still_is_no_deviation),
        cmocka_unit_test(only_what_it_can_come_to_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
