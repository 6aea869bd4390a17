/* Schedules: every factor against golden numbers of other people's code, stages in a row, refusals with their column.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tiger/schedule.h"

#define LINE_BYTES 256

static tg_schedule *made(const char *text, uint64_t total)
{
    tg_schedule *schedule = NULL;
    if (tg_schedule_create(&schedule, text, total, NULL) != TG_OK)
        fail_msg("'%s' was refused: %s", text, tg_message());
    return schedule;
}

static double factor_at(const char *text, uint64_t total, uint64_t u)
{
    tg_schedule *schedule = made(text, total);
    const double factor = tg_schedule_factor(schedule, u);
    tg_schedule_destroy(schedule);
    return factor;
}

static void near(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-12))
        fail_msg("%.17g, expected %.17g", value, expected);
}

static void test_golden(void **state)
{
    (void)state;
    FILE *file = fopen(TG_TESTS_DIR "/golden/schedules.txt", "r");
    assert_non_null(file);
    char line[LINE_BYTES], text[LINE_BYTES] = "";
    tg_schedule *schedule = NULL;
    int cases = 0, values = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "schedule ", 9) == 0) {
            char *rest;
            const uint64_t total = strtoull(line + 9, &rest, 10);
            snprintf(text, sizeof text, "%s", rest + 1);
            tg_schedule_destroy(schedule);
            schedule = made(text, total);
            cases++;
        } else {
            char *rest, *end;
            const uint64_t u = strtoull(line, &rest, 10);
            const double expected = strtod(rest, &rest), loss = strtod(rest, &end);
            const double factor = tg_schedule_course_factor(schedule, tg_schedule_courses(schedule) - 1, u);
            if (end != rest)
                tg_schedule_observe(schedule, u + 1, loss);
            if (!(fabs(factor - expected) <= 1e-12))
                fail_msg("%s at %llu: %.17g, expected %.17g", text, (unsigned long long)u, factor, expected);
            values++;
        }
    }
    fclose(file);
    tg_schedule_destroy(schedule);
    assert_true(cases >= 36 && values >= 1800);
}

static void test_family(void **state)
{
    (void)state;
    assert_true(tg_schedule_count() >= 15);
    assert_null(tg_schedule_at(tg_schedule_count()));
    for (size_t i = 0; i < tg_schedule_count(); i++) {
        const tg_schedule_info *const info = tg_schedule_at(i);
        assert_true(info->name[0] != '\0' && info->formula[0] != '\0' && info->help[0] != '\0');
        assert_string_equal(info->options.at[0].name, "updates");
        assert_true(info->options.count <= 8);
        assert_false(info->first != NULL && info->list != NULL);
        if (info->first != NULL)
            assert_true(tg_option_find(&info->options, info->first) < info->options.count);
        for (size_t j = 0; j < info->options.count; j++) {
            const tg_option *const option = &info->options.at[j];
            assert_true(option->help != NULL && strlen(option->help) > 3);
            if (!isnan(option->value))
                assert_int_equal(tg_option_check(option, option->value), TG_OK);
        }
    }
}

static void test_shapes(void **state)
{
    (void)state;
    near(factor_at("constant", 10, 3), 1);
    near(factor_at("warmup:8 > constant", 100, 0), 0);
    near(factor_at("warmup:8,from=1 > constant", 100, 0), 1.0 / 9);
    near(factor_at("warmup:8 > constant", 100, 3), 0.375);
    near(factor_at("warmup:8 > constant", 100, 8), 1);
    near(factor_at("warmup:0 > cosine", 100, 0), 1);
    near(factor_at("warmup:0.08 > constant", 100, 3), 0.375);
    near(factor_at("wsd:0.2", 100, 80), 1);
    near(factor_at("wsd:0.2", 100, 90), 0.5);
    near(factor_at("wsd:20,shape=sqrt", 100, 85), 0.5);
    near(factor_at("wsd:0", 100, 100), 1);
    near(factor_at("wsd:80,warmup=60", 100, 80), 0.5); /* too short for both: decays from 60 on */
    near(factor_at("step:10", 100, 25), 0.01);
}

/* Stages see their own updates; shares are of the whole run; what a short run does not reach is not missed. */
static void test_stages(void **state)
{
    (void)state;
    near(factor_at("warmup:20 > cosine:min=0.1", 120, 70), 0.55);
    near(factor_at(" warmup : 20>cosine: min = 0.1 ", 120, 70), 0.55);
    near(factor_at("constant:0.3,updates=10 > constant:0.7", 20, 9), 0.3);
    near(factor_at("constant:0.3,updates=10 > constant:0.7", 20, 10), 0.7);
    near(factor_at("constant:updates=0.25 > piecewise:0=0.2,10=0.4", 80, 25), 0.3);
    near(factor_at("warmup:100 > cosine", 50, 49), 0.49);
    near(factor_at("cosine:updates=10,min=0.3", 20, 15), 0.3);
    near(factor_at("cosine:min=0.1", 120, 120), 0.1);
    near(factor_at("cosine:min=0.1", 120, UINT64_MAX), 0.1);
    near(factor_at("exponential:0.5", 3, 1000), 0.125);
    near(factor_at("exponential:0.5,updates=3", 10, 5), 0.125);
    near(factor_at("warmup:1 > constant", 100, 1), 1); /* one update, not all of the run */
    near(factor_at("cosine:min=0.25", UINT64_C(1) << 53, UINT64_C(1) << 52), 0.625);
}

/* Courses side by side, in any order; lr's is found whatever its place. */
static void test_courses(void **state)
{
    (void)state;
    tg_schedule *s =
        made(" weight-decay = cosine:min=0.2 ; warmup:20 > constant:0.6; gamma=as_lr:2,updates=50 > constant:0.3", 100);
    assert_int_equal(tg_schedule_courses(s), 3);
    assert_string_equal(tg_schedule_course_option(s, 0), "weight_decay");
    assert_string_equal(tg_schedule_course_option(s, 1), "lr");
    assert_string_equal(tg_schedule_course_option(s, 2), "gamma");
    near(tg_schedule_course_factor(s, 0, 50), 0.6);
    near(tg_schedule_course_factor(s, 1, 5), 0.25);
    near(tg_schedule_factor(s, 5), 0.25);
    near(tg_schedule_course_factor(s, 2, 5), 0.0625);
    near(tg_schedule_course_factor(s, 2, 30), 0.36);
    near(tg_schedule_course_factor(s, 2, 50), 0.3);
    tg_schedule_destroy(s);

    s = made("momentum=as_lr:0.5", 100); /* lr is not driven: its factor is 1 */
    near(tg_schedule_factor(s, 5), 1);
    near(tg_schedule_course_factor(s, 0, 5), 1);
    tg_schedule_destroy(s);

    s = made("piecewise:0=1e300,7=1e300; gamma=as_lr:3", 10); /* finite, however far */
    assert_true(isfinite(tg_schedule_course_factor(s, 1, 3)));
    tg_schedule_destroy(s);
}

/* plateau hears only what falls into its stage, begins anew in a second one, and goes on from what was saved. */
static void test_plateau(void **state)
{
    (void)state;
    const char *text = "warmup:10 > plateau:0.5,patience=1,updates=30 > plateau:0.25,patience=0; gamma=as_lr";
    tg_schedule *one = made(text, 100), *two = made(text, 100);
    assert_true(tg_schedule_watches(one));
    tg_schedule_observe(one, 4, 0.001); /* in the warm-up */
    tg_schedule_observe(one, 10, 2.385);
    tg_schedule_observe(one, 15, 2.385);
    near(tg_schedule_factor(one, 20), 1);
    tg_schedule_observe(one, 20, INFINITY);
    near(tg_schedule_factor(one, 20), 0.5);
    near(tg_schedule_course_factor(one, 1, 20), 0.5);
    near(tg_schedule_factor(one, 5), 0.5); /* the warm-up's own half, not plateau's */
    tg_schedule_observe(one, 25, 2.5);

    tg_schedule_state saved;
    tg_schedule_get_state(one, 0, &saved);
    assert_int_equal(saved.stage, 2);
    assert_int_equal(saved.waited, 1);
    near(saved.best, 2.385);
    assert_int_equal(tg_schedule_set_state(two, 0, &saved), TG_OK);
    for (uint64_t u = 30; u < 60; u += 5) {
        tg_schedule_observe(one, u, 3.0);
        tg_schedule_observe(two, u, 3.0);
        assert_true(tg_schedule_factor(one, u) == tg_schedule_factor(two, u));
    }
    near(tg_schedule_factor(one, 39), 1); /* what the first stage came to is over */
    near(tg_schedule_factor(one, 60),
         0.25 * 0.25 * 0.25); /* evaluations at 40 .. 55: a first, and three without a gain */

    saved.stage = 1;
    assert_int_equal(tg_schedule_set_state(two, 0, &saved), TG_EINVAL);
    saved.stage = 4;
    assert_int_equal(tg_schedule_set_state(two, 0, &saved), TG_EINVAL);
    saved = (tg_schedule_state){.stage = 2, .factor = 1.5};
    assert_int_equal(tg_schedule_set_state(two, 0, &saved), TG_EINVAL);
    saved = (tg_schedule_state){0};
    assert_int_equal(tg_schedule_set_state(two, 0, &saved), TG_OK);
    near(tg_schedule_factor(two, 39), 1);
    tg_schedule_destroy(one);
    tg_schedule_destroy(two);
    one = made("plateau:0.5,patience=0,updates=20", 100);
    for (uint64_t u = 10; u <= 60; u += 10)
        tg_schedule_observe(one, u, 2.385);
    near(tg_schedule_factor(one, 60), 0.5); /* the one at 20 counts, those after the stage's end do not */
    tg_schedule_destroy(one);
    one = made("warmup:10 > cosine; gamma=as_lr", 100);
    assert_false(tg_schedule_watches(one));
    tg_schedule_observe(one, 50, 2.0);
    tg_schedule_destroy(one);
}

/* The family's table in the documentation: a row for every schedule, with every option of its own and its default. */
static void check_row(const tg_schedule_info *info, const char *row)
{
    for (size_t i = 1; i < info->options.count; i++) {
        const tg_option *const option = &info->options.at[i];
        char value[64], bold[128], plain[128];
        tg_option_print(value, sizeof value, option, option->value);
        const bool required = isnan(option->value);
        snprintf(bold, sizeof bold, "**%s**%s%s", option->name, required ? "" : "=", required ? "" : value);
        snprintf(plain, sizeof plain, ", %s%s%s", option->name, required ? "" : "=", required ? "" : value);
        const bool first = info->first != NULL && strcmp(info->first, option->name) == 0;
        if (strstr(row, first ? bold : plain) == NULL)
            fail_msg("docs/schedules.md, %s: no %s in its row", info->name, first ? bold : plain);
    }
}

static void test_documented_family(void **state)
{
    (void)state;
    FILE *file = fopen(TG_TESTS_DIR "/../docs/schedules.md", "r");
    assert_non_null(file);
    char line[2 * LINE_BYTES], head[64];
    size_t rows = 0;
    while (fgets(line, sizeof line, file) != NULL)
        for (size_t i = 0; i < tg_schedule_count(); i++) {
            snprintf(head, sizeof head, "| %s |", tg_schedule_at(i)->name);
            if (strncmp(line, head, strlen(head)) != 0)
                continue;
            check_row(tg_schedule_at(i), line);
            rows++;
        }
    fclose(file);
    assert_int_equal(rows, tg_schedule_count());
}

/* Every example of the documentation is a schedule. */
static void test_documentation(void **state)
{
    (void)state;
    FILE *file = fopen(TG_TESTS_DIR "/../docs/schedules.md", "r");
    assert_non_null(file);
    char line[LINE_BYTES];
    int examples = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "| `", 3) != 0)
            continue;
        line[3 + strcspn(line + 3, "`")] = '\0';
        tg_schedule_destroy(made(line + 3, 10000));
        examples++;
    }
    fclose(file);
    assert_true(examples >= (int)tg_schedule_count());
}

static void refused(const char *text, const char *message)
{
    tg_schedule *schedule = (tg_schedule *)&schedule;
    assert_int_equal(tg_schedule_create(&schedule, text, 1000, NULL), TG_EINVAL);
    assert_ptr_equal(schedule, &schedule);
    char expected[1024];
    snprintf(expected, sizeof expected, "schedule '%s', column %s", text, message);
    assert_string_equal(tg_message(), expected);
}

static void test_refusals(void **state)
{
    (void)state;
    refused("", "1: the name of a schedule is missing");
    refused("  > cosine", "3: the name of a schedule is missing");
    refused("warmup:10 > ", "13: the name of a schedule is missing");
    refused("warmup:10 > cosin", "13: there is no schedule 'cosin' (did you mean cosine?)");
    refused("sinus", "1: there is no schedule 'sinus'");
    refused("warmup", "1: warmup needs updates: warmup:updates=VALUE");
    refused("cosine:min=-1", "12: min must be a number >= 0, not '-1'");
    refused("warmup:5 > cosine:mim=1", "19: cosine has no option 'mim' (did you mean min?)");
    refused("cosine:period=1", "8: cosine has no option 'period'");
    refused("cosine:0.1,min=0.2", "16: min is set a second time");
    refused("cosine:0.1,", "12: a value is missing");
    refused("cosine:=3", "8: a value is missing");
    refused("cosine:min=", "12: min must be a number >= 0, not ''");
    refused("cosine:min=1=2", "12: min must be a number >= 0, not '1=2'");
    refused("cosine > constant", "1: cosine lasts to the end: give it updates=N, or put it last");
    refused("piecewise", "1: piecewise needs its list: piecewise:UPDATE=FACTOR,...");
    refused("piecewise:0=1,10=2,10=3", "20: updates must ascend");
    refused("piecewise:0=1,1.5=2", "15: an update must be a whole number >= 0");
    refused("piecewise:0=1,10=-2", "18: a factor must be a number >= 0");
    refused("piecewise:0=1e999", "13: a factor must be a number >= 0");
    refused("piecewise:0=1,10", "15: piecewise wants UPDATE=FACTOR here");
    refused("multistep:3=4", "11: multistep wants UPDATE here");
    refused("multistep:7,7", "13: updates must ascend");
    refused("multistep:gamma=0.5", "1: multistep needs its list: multistep:UPDATE,...");
    refused("constant:3=4", "10: constant takes values as NAME=VALUE");
    refused("wsd:shape=round", "11: shape must be one of linear, cosine, sqrt, not 'round'");
    refused("gamma=", "7: the name of a schedule is missing");
    refused(" =cosine", "2: the name of the option that is driven is missing");
    refused("cosine; lr=constant", "9: lr is driven a second time");
    refused("gamma=cosine;gamma = constant", "14: gamma is driven a second time");
    refused("gamma=cosine; ", "15: the name of a schedule is missing");
    refused("cosine; gamma=as_lr:power=0", "27: power must be a number > 0, not '0'");
    refused("as_lr:2", "1: as_lr follows lr and cannot drive it: name another option, OPTION=as_lr");
    refused("plateau:1", "9: factor must be a number, 0 <= factor < 1, not '1'");
    refused("exponential:3", "1: exponential grows beyond every number");

    tg_schedule *schedule;
    assert_int_equal(tg_schedule_create(&schedule, "constant", 0, NULL), TG_EINVAL);
    assert_int_equal(tg_schedule_create(&schedule, "constant", (UINT64_C(1) << 53) + 1, NULL), TG_EINVAL);
    char *text = malloc(100002);
    memset(text, ',', 100001);
    text[100001] = '\0';
    assert_int_equal(tg_schedule_create(&schedule, text, 10, NULL), TG_EINVAL);
    free(text);
}

static void test_no_memory(void **state)
{
    (void)state;
    tg_schedule *schedule = NULL;
    tg_memory_fail_at(1);
    assert_int_equal(tg_schedule_create(&schedule, "warmup:10 > cosine", 100, NULL), TG_ENOMEM);
    tg_memory_fail_at(0);
    assert_null(schedule);
    tg_schedule_destroy(NULL);
}

static void *count_alloc(void *ctx, size_t bytes, size_t align)
{
    *(ptrdiff_t *)ctx += (ptrdiff_t)bytes;
    return aligned_alloc(align, bytes);
}

static void count_free(void *ctx, void *memory, size_t bytes)
{
    *(ptrdiff_t *)ctx -= (ptrdiff_t)bytes;
    free(memory);
}

static void test_allocator(void **state)
{
    (void)state;
    ptrdiff_t held = 0;
    const tg_allocator allocator = {.alloc = count_alloc, .free = count_free, .ctx = &held};
    tg_schedule *schedule = NULL;
    assert_int_equal(tg_schedule_create(&schedule, "piecewise:3=0.5,9=1", 100, &allocator), TG_OK);
    assert_true(held > 0);
    near(tg_schedule_factor(schedule, 6), 0.75);
    tg_schedule_destroy(schedule);
    assert_true(held == 0);
    assert_int_equal(tg_schedule_create(&schedule, "piecewise:3=0.5,9=x", 100, &allocator), TG_EINVAL);
    assert_true(held == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_family),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_documentation),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_allocator),
        cmocka_unit_test(test_courses),
        cmocka_unit_test(test_plateau),
        cmocka_unit_test(test_documented_family),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
