/* Option tables: reading, checking and printing values, ranges, names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "tiger/option.h"

enum { LR, BETA, EPS, SHIFT, BATCH, NESTEROV, ROUNDING, CEILING, ANY_WHOLE, MEMORY, OPTIONS };

static const tg_option options[OPTIONS] = {
    [LR] = {.name = "lr", .kind = TG_REAL, .value = 1e-3, .least = 0, .most = INFINITY},
    [BETA] = {.name = "beta", .kind = TG_REAL, .value = 0.965, .least = 0, .most = 0x1.fffffffffffffp-1},
    [EPS] = {.name = "eps", .kind = TG_REAL, .value = 1e-8, .least = 0, .most = INFINITY, .above = 1},
    [SHIFT] = {.name = "shift", .kind = TG_REAL, .least = -INFINITY, .most = INFINITY},
    [BATCH] = {.name = "batch_size", .kind = TG_INTEGER, .value = 12, .least = 1, .most = 4096},
    [NESTEROV] = {.name = "nesterov", .kind = TG_SWITCH},
    [ROUNDING] = {.name = "rounding", .kind = TG_CHOICE, .choices = "stochastic|nearest|kahan"},
    [CEILING] = {.name = "ceiling", .kind = TG_REAL, .least = -INFINITY, .most = 2.5},
    [ANY_WHOLE] = {.name = "seed", .kind = TG_INTEGER, .least = -INFINITY, .most = INFINITY},
    [MEMORY] = {.name = "memory", .kind = TG_BYTES, .least = 0, .most = TG_WHOLE_MOST},
};
static const tg_option_table table = {options, OPTIONS};

static double parsed(int option, const char *text)
{
    double value = 2.385;
    if (tg_option_parse(&value, &options[option], text) != TG_OK)
        fail_msg("'%s' was refused: %s", text, tg_message());
    return value;
}

static void refused(int option, const char *text, const char *message)
{
    double value = 2.385;
    assert_int_equal(tg_option_parse(&value, &options[option], text), TG_EINVAL);
    assert_true(value == 2.385);
    if (message != NULL)
        assert_string_equal(tg_message(), message);
}

static void test_find(void **state)
{
    (void)state;
    assert_int_equal(tg_option_find(&table, "lr"), LR);
    assert_int_equal(tg_option_find(&table, "batch-size"), BATCH);
    assert_int_equal(tg_option_find(&table, "batch_size"), BATCH);
    assert_int_equal(tg_option_find(&table, "batch_siz"), OPTIONS);
    assert_int_equal(tg_option_find(&table, "batch_sizes"), OPTIONS);
    assert_int_equal(tg_option_find(&table, ""), OPTIONS);
}

static void test_nearest(void **state)
{
    (void)state;
    assert_int_equal(tg_name_distance("weight_decay", "weigt-decay"), 1);
    assert_int_equal(tg_name_distance("kitten", "sitting"), 3);
    assert_int_equal(tg_name_distance("", "beta"), 4);
    assert_int_equal(tg_name_distance("beta", ""), 4);
    assert_int_equal(tg_option_nearest(&table, "batc-size"), BATCH);
    assert_int_equal(tg_option_nearest(&table, "roundign"), ROUNDING);
    assert_int_equal(tg_option_nearest(&table, "temperature"), OPTIONS);
    char long_name[300];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(tg_option_nearest(&table, long_name), OPTIONS);
}

static void test_numbers(void **state)
{
    (void)state;
    assert_true(parsed(LR, "1e-3") == 1e-3);
    assert_true(parsed(LR, "+.125") == 0.125);
    assert_true(parsed(LR, "0") == 0);
    assert_true(parsed(SHIFT, "-2.385E+2") == -238.5);
    assert_true(parsed(BETA, "0.9999999999999999") < 1);
    assert_true(parsed(BATCH, "4096") == 4096);
    assert_true(parsed(BATCH, "1e3") == 1000);
    assert_true(parsed(ANY_WHOLE, "9007199254740991") == 9007199254740991.0);
    assert_true(parsed(ANY_WHOLE, "0.2385e4") == 2385 && parsed(ANY_WHOLE, "238500e-2") == 2385);
    assert_true(parsed(ANY_WHOLE, "2385.000") == 2385 && parsed(ANY_WHOLE, "0e-7") == 0);
    assert_true(parsed(ANY_WHOLE, "-9007199254740991") == -9007199254740991.0);
    refused(LR, "abc", "lr must be a number >= 0, not 'abc'");
    refused(LR, "-1e-3", "lr must be a number >= 0, not '-1e-3'");
    refused(EPS, "0", "eps must be a number > 0, not '0'");
    refused(BETA, "1", "beta must be a number, 0 <= beta < 1, not '1'");
    refused(BATCH, "0", "batch_size must be a whole number, 1 <= batch_size <= 4096, not '0'");
    refused(BATCH, "3.5", NULL);
    refused(CEILING, "2.6", "ceiling must be a number <= 2.5, not '2.6'");
    refused(SHIFT, "", "shift must be a number, not ''");
    /* what a double would round to a whole number that is legal */
    static const char *const rounded[] = {"9007199254740992", "9007199254740993", "-9007199254740992",
                                          "4503599627370497.5",
                                          "2385.0000000000000000001", "238500000000000000000001e-20"};
    for (size_t i = 0; i < sizeof rounded / sizeof *rounded; i++)
        refused(ANY_WHOLE, rounded[i], NULL);
    static const char *const wrong[] = {"0x10", "inf", "-inf", "nan", "1e999", "1e", "1 ",
                                        " 1",   "1,5", "1.5f", "--1", "1e3e3", "e",  "."};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refused(SHIFT, wrong[i], NULL);
}

static void test_switches_and_choices(void **state)
{
    (void)state;
    static const char *const on[] = {"1", "true", "yes", "on"}, *const off[] = {"0", "false", "no", "off"};
    for (int i = 0; i < 4; i++) {
        assert_true(parsed(NESTEROV, on[i]) == 1);
        assert_true(parsed(NESTEROV, off[i]) == 0);
    }
    refused(NESTEROV, "2", "nesterov must be on or off, not '2'");
    assert_true(parsed(ROUNDING, "stochastic") == 0);
    assert_true(parsed(ROUNDING, "nearest") == 1);
    assert_true(parsed(ROUNDING, "kahan") == 2);
    refused(ROUNDING, "x", "rounding must be one of stochastic, nearest, kahan, not 'x'");
    refused(ROUNDING, "near", NULL);
    refused(ROUNDING, "nearest|kahan", NULL);
    refused(ROUNDING, "", NULL);
    refused(ROUNDING, "1", NULL);
}

static void test_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double bytes;
        const char *printed;
    } sizes[] = {{"0", 0, "0"},
                 {"123457", 123457, "123457"},
                 {"800M", 838860800.0, "800M"},
                 {"1.5G", 1610612736.0, "1536M"},
                 {"2.385g", 2560874250.0, "2560874250"}, /* the part of a byte is dropped */
                 {"3GiB", 3221225472.0, "3G"},
                 {"7k", 7168, "7K"},
                 {"2TiB", 0x1p41, "2T"},
                 {"1e3K", 1024000, "1000K"}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char text[64];
        assert_true(parsed(MEMORY, sizes[i].text) == sizes[i].bytes);
        tg_option_print(text, sizeof text, &options[MEMORY], sizes[i].bytes);
        assert_string_equal(text, sizes[i].printed);
        assert_true(parsed(MEMORY, text) == sizes[i].bytes);
    }
    refused(MEMORY, "8X", "memory must be a number of bytes, as 800M or 1.5G, not '8X'");
    static const char *const wrong[] = {"", "G", "iB", "8iB", "8GB", "8 G", "8GG", "-1G", "1e9T", "MG", "8Gi", "nanG"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refused(MEMORY, wrong[i], NULL);
}

static void test_check(void **state)
{
    (void)state;
    for (int i = 0; i < OPTIONS; i++)
        assert_int_equal(tg_option_check(&options[i], NAN), TG_EINVAL);
    assert_int_equal(tg_option_check(&options[SHIFT], INFINITY), TG_EINVAL);
    assert_int_equal(tg_option_check(&options[LR], -0.25), TG_EINVAL);
    assert_string_equal(tg_message(), "lr must be a number >= 0, not '-0.25'");
    assert_int_equal(tg_option_check(&options[LR], 2.385), TG_OK);
    assert_int_equal(tg_option_check(&options[BATCH], 2.5), TG_EINVAL);
    assert_int_equal(tg_option_check(&options[NESTEROV], 0.5), TG_EINVAL);
    assert_int_equal(tg_option_check(&options[ROUNDING], 2), TG_OK);
    assert_int_equal(tg_option_check(&options[ROUNDING], 3), TG_EINVAL);
    assert_int_equal(tg_option_check(&options[ROUNDING], 1.5), TG_EINVAL);
}

static void round_trips(int option, double value)
{
    char text[64];
    tg_option_print(text, sizeof text, &options[option], value);
    const double back = parsed(option, text);
    assert_memory_equal(&back, &value, sizeof value);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const double values[] = {0.0,   -0.0,  0.1,     1e-3,      2.385,   1e15,
                                    -1e22, 1e300, DBL_MIN, 0x1p-1074, DBL_MAX, 0x1.fffffffffffffp-1};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        round_trips(SHIFT, values[i]);
    const tg_key key = tg_key_make(17, 0, 0, 0);
    for (uint32_t i = 0; i < 20000; i++) {
        const uint64_t bits = (uint64_t)tg_random(key, 2 * i) << 32 | tg_random(key, 2 * i + 1);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value))
            round_trips(SHIFT, value);
    }
    round_trips(ANY_WHOLE, 0x1p53 - 1);
    round_trips(NESTEROV, 1);
    round_trips(ROUNDING, 2);

    char text[64];
    tg_option_print(text, sizeof text, &options[LR], 1e-3);
    assert_string_equal(text, "0.001");
    tg_option_print(text, sizeof text, &options[BATCH], 4000);
    assert_string_equal(text, "4000");
    tg_option_print(text, sizeof text, &options[ROUNDING], 1);
    assert_string_equal(text, "nearest");
    tg_option_print(text, 5, &options[ROUNDING], 0);
    assert_string_equal(text, "stoc");
}

static void test_range(void **state)
{
    (void)state;
    static const char *const expected[OPTIONS] = {
        [LR] = "0 <= lr",
        [BETA] = "0 <= beta < 1",
        [EPS] = "0 < eps",
        [SHIFT] = "any number",
        [BATCH] = "1 <= batch_size <= 4096",
        [NESTEROV] = "on|off",
        [ROUNDING] = "stochastic|nearest|kahan",
        [CEILING] = "ceiling <= 2.5",
        [ANY_WHOLE] = "any whole number",
        [MEMORY] = "bytes, as 800M or 1.5G",
    };
    char text[64];
    for (int i = 0; i < OPTIONS; i++) {
        tg_option_range(text, sizeof text, &options[i]);
        assert_string_equal(text, expected[i]);
    }
}

/* In a locale whose decimal point is a comma the same texts must mean the same. */
static void test_locale(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "ru_RU.UTF-8"};
    size_t i = 0;
    while (i < sizeof names / sizeof *names && setlocale(LC_ALL, names[i]) == NULL)
        i++;
    if (i == sizeof names / sizeof *names) {
        print_message("no locale with a decimal comma on this machine\n");
        skip();
    }
    char text[64];
    const double read = parsed(LR, "1.5");
    tg_option_print(text, sizeof text, &options[LR], 2.385);
    setlocale(LC_ALL, "C");
    assert_true(read == 1.5);
    assert_string_equal(text, "2.385");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),    cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_bytes), cmocka_unit_test(test_switches_and_choices),
        cmocka_unit_test(test_check),   cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_range),   cmocka_unit_test(test_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
