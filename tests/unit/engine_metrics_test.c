/* Reading a run's metrics.jsonl back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "tiger/engine/metrics.h"

static tg_status parse(tg_series *series, const char *text, const char *name)
{
    return tg_series_parse(series, text, strlen(text), name, "m");
}

static void test_series(void **state)
{
    (void)state;
    const char *text =
        "{\"update\":3,\"loss\":2.385,\"lr\":0.5}\n{\"update\":5,\"validation_loss\":1.25}\n"
        "{\"update\":6,\"loss\":null}\n{\"event\":\"x\"}\n{\"update\":9,\"loss\":7}\n{\"update\":11,\"lo";
    tg_series series;
    assert_int_equal(parse(&series, text, "loss"), TG_OK);
    assert_int_equal(series.count, 2);
    assert_true(series.update[0] == 3 && series.value[0] == 2.385);
    assert_true(series.update[1] == 9 && series.value[1] == 7);
    tg_series_fini(&series);
    assert_int_equal(parse(&series, text, "validation_loss"), TG_OK);
    assert_int_equal(series.count, 1);
    tg_series_fini(&series);
    assert_int_equal(parse(&series, text, "accuracy"), TG_OK);
    assert_int_equal(series.count, 0);
    tg_series_fini(&series);
    assert_int_equal(parse(&series, "", "loss"), TG_OK);
    assert_int_equal(series.count, 0);
}

static void test_long(void **state)
{
    (void)state;
    static char text[200000];
    size_t used = 0;
    for (int i = 0; i < 3000; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "{\"update\":%d,\"loss\":%d.5}\n", i, 7 * i);
    tg_series series;
    assert_int_equal(parse(&series, text, "loss"), TG_OK);
    assert_int_equal(series.count, 3000);
    for (size_t i = 0; i < 3000; i++)
        assert_true(series.update[i] == (double)i && series.value[i] == 7 * (double)i + 0.5);
    tg_series_fini(&series);
}

static void test_refusals(void **state)
{
    (void)state;
    tg_series series = {.count = 17};
    assert_int_equal(parse(&series, "{\"update\":3}\n{\"upd\n{}\n", "loss"), TG_EFORMAT);
    assert_non_null(strstr(tg_message(), "m: line 2: "));
    assert_int_equal(parse(&series, "{\"update\":3}\n[1]\n", "loss"), TG_EFORMAT);
    assert_string_equal(tg_message(), "m: line 2 is no JSON object");
    tg_memory_fail_at(2);
    assert_int_equal(parse(&series, "{\"update\":3,\"loss\":1}\n", "loss"), TG_ENOMEM);
    tg_memory_fail_at(0);
    assert_int_equal(tg_series_read(&series, "/nowhere", "loss"), TG_ENOTFOUND);
    assert_int_equal(series.count, 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_series), cmocka_unit_test(test_long),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
