/* The loss scale: halved by overflows, doubled by patience, never under 1 nor over its cap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fail.h"
#include "train/loss_scale.h"

#define START 65536.0
#define MOST 16777216.0
#define PATIENCE 2000

/* One update; whether the scale changed. */
static bool after(tg_loss_scale *s, bool overflow)
{
    bool changed;
    s->overflow = overflow;
    if (tg_loss_scale_after(s, &changed) != TG_OK)
        fail_msg("%s", tg_message());
    assert_false(s->overflow);
    return changed;
}

static void good_updates(tg_loss_scale *s, int n)
{
    for (int i = 0; i < n; i++)
        assert_false(after(s, false));
}

static void off_it_stays_1(void **state)
{
    (void)state;
    tg_loss_scale s;
    tg_loss_scale_init(&s, false);
    assert_true(s.scale == 1 && !s.on);
    for (int i = 0; i < 2 * PATIENCE + 3; i++)
        assert_false(after(&s, false));
    assert_true(s.scale == 1);
}

static void overflow_halves_it(void **state)
{
    (void)state;
    tg_loss_scale s;
    tg_loss_scale_init(&s, true);
    assert_true(s.scale == START && s.on);
    assert_true(after(&s, true));
    assert_true(s.scale == START / 2);
    good_updates(&s, 7);
    assert_true(after(&s, true));
    assert_true(s.scale == START / 4);
}

static void patience_doubles_it(void **state)
{
    (void)state;
    tg_loss_scale s;
    tg_loss_scale_init(&s, true);
    good_updates(&s, PATIENCE - 1);
    assert_true(after(&s, false));
    assert_true(s.scale == 2 * START);
    good_updates(&s, PATIENCE - 1);
    assert_true(after(&s, true)); /* patience begins anew */
    assert_true(s.scale == START);
    good_updates(&s, PATIENCE - 1);
    assert_true(after(&s, false));
    assert_true(s.scale == 2 * START);
}

static void it_has_a_cap(void **state)
{
    (void)state;
    tg_loss_scale s;
    tg_loss_scale_init(&s, true);
    s.scale = MOST / 2;
    good_updates(&s, PATIENCE - 1);
    assert_true(after(&s, false));
    assert_true(s.scale == MOST);
    good_updates(&s, 2 * PATIENCE + 5);
    assert_true(s.scale == MOST);
}

static void under_1_nothing_helps(void **state)
{
    (void)state;
    tg_loss_scale s;
    bool changed = true;
    tg_loss_scale_init(&s, true);
    for (double wanted = START / 2; wanted >= 1; wanted /= 2) {
        assert_true(after(&s, true));
        assert_true(s.scale == wanted);
    }
    s.overflow = true;
    assert_int_equal(tg_loss_scale_after(&s, &changed), TG_EDIVERGED);
    assert_true(!changed && s.scale == 1);
    assert_non_null(strstr(tg_message(), "even without loss scaling"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_it_stays_1),
        cmocka_unit_test(overflow_halves_it),
        cmocka_unit_test(patience_doubles_it),
        cmocka_unit_test(it_has_a_cap),
        cmocka_unit_test(under_1_nothing_helps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
