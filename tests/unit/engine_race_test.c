/* engine_race_test.c -- statistics against tables and closed forms, contenders as text, the verdict over made-up runs.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tiger/engine/race.h"

static void near(double a, double b, double tolerance)
{
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%.12g is not %.12g", a, b);
}

/* ---- statistics ---- */

/* One degree of freedom is Cauchy's distribution, two have a closed form; the rest is from printed tables. */
static void test_student(void **state)
{
    (void)state;
    for (double t = 0.013; t < 400; t *= 1.7) {
        near(tg_student_tails(t, 1), 1 - atan(t) / atan(1) / 2, 1e-13);
        near(tg_student_tails(t, 2), 1 - t / sqrt(2 + t * t), 1e-13);
        near(tg_student_tails(-t, 2), tg_student_tails(t, 2), 0);
    }
    near(tg_student_quantile(0.05, 2), 4.302652730, 1e-8);
    near(tg_student_quantile(0.05, 4), 2.776445105, 1e-8);
    near(tg_student_quantile(0.05, 10), 2.228138852, 1e-8);
    near(tg_student_quantile(0.01, 30), 2.749995654, 1e-8);
    near(tg_student_quantile(0.05, 1e7), 1.959964, 1e-5);
    near(tg_student_tails(0, 3), 1, 0);
    near(tg_student_tails(INFINITY, 3), 0, 0);
}

static void test_interval(void **state)
{
    (void)state;
    const double v[] = {1.875, 1.8593, 1.858};
    const tg_interval i = tg_mean_interval(v, 3);
    near(i.mean, 1.8641, 1e-12);
    near(i.high - i.mean, 4.302652730 * sqrt((0.0109 * 0.0109 + 0.0048 * 0.0048 + 0.0061 * 0.0061) / 2 / 3), 1e-9);
    near(i.mean - i.low, i.high - i.mean, 1e-15);
    const tg_interval one = tg_mean_interval(v, 1);
    near(one.mean, 1.875, 0);
    assert_true(isnan(one.low) && isnan(one.high));
    assert_true(isnan(tg_mean_interval(v, 0).mean));
}

static void test_paired(void **state)
{
    (void)state;
    const double a[] = {2.31, 2.29, 2.34, 2.4}, b[] = {2.3, 2.25, 2.31, 2.33};
    const tg_paired t = tg_paired_test(a, b, 4);
    near(t.difference.mean, 0.0375, 1e-12);
    near(t.p, tg_student_tails(3, 3), 1e-9); /* differences 0.01 0.04 0.03 0.07: mean 0.0375, error 0.0125 */
    const double shifted[] = {2.5, 2.25, 3.5, 2.0}, base[] = {2.25, 2.0, 3.25, 1.75};
    near(tg_paired_test(shifted, base, 4).p, 0, 0);
    near(tg_paired_test(base, base, 4).p, 1, 0);
    assert_true(isnan(tg_paired_test(a, b, 1).p));
    near(tg_paired_test(a, b, 1).difference.mean, 0.01, 1e-12);
}

static void test_holm(void **state)
{
    (void)state;
    double p[] = {0.03, NAN, 0.004, 0.02, 0.9};
    tg_holm_correct(p, 5);
    near(p[2], 4 * 0.004, 1e-15);
    near(p[3], 3 * 0.02, 1e-15);
    near(p[0], 3 * 0.02, 1e-15); /* 2 * 0.03 = 0.06 as well, and never below the one before */
    near(p[4], 0.9, 1e-15);
    assert_true(isnan(p[1]));
    double same[] = {0.4, 0.4, 0.0};
    tg_holm_correct(same, 3);
    near(same[2], 0, 0);
    near(same[0], 0.8, 1e-15);
    near(same[1], 0.8, 1e-15);
    double large[] = {0.7, 0.6};
    tg_holm_correct(large, 2);
    near(large[1], 1, 0);
    near(large[0], 1, 0);
}

/* ---- contenders ---- */

static const tg_race_task *training(void) { return tg_race_task_find("training"); }

static void test_contender(void **state)
{
    (void)state;
    tg_contender c = {0};
    assert_int_equal(tg_contender_parse(&c, "  adamw  lr=1e-3/3e-3 beta2=0.99 weight-decay=0.1/0.01/0 ", 5, training()),
                     TG_OK);
    assert_string_equal(c.rule->name, "adamw");
    assert_string_equal(c.title, "adamw beta2=0.99 over weight_decay");
    assert_int_equal(c.points, 6);
    assert_string_equal(c.point[0].label, "lr=1e-3 weight_decay=0.1");
    assert_string_equal(c.point[2].label, "lr=1e-3 weight_decay=0");
    assert_string_equal(c.point[3].label, "lr=3e-3 weight_decay=0.1");
    near(c.point[4].lr, 3e-3, 0);
    assert_int_equal(c.point[5].settings, 3);
    assert_string_equal(c.point[5].setting[1].name, "beta2");
    assert_string_equal(c.point[5].setting[1].value, "0.99");
    tg_contender_fini(&c);
    tg_contender_fini(&c);
}

static void test_contender_takes_rates(void **state)
{
    (void)state;
    const tg_rule_info *rule = tg_rule_find("lion");
    tg_contender c = {0};
    double rate[4];
    assert_int_equal(tg_race_rates(rate, 4, rule), TG_OK);
    const tg_option *lr = &rule->options.at[tg_option_find(&rule->options, "lr")];
    near(rate[0], lr->search_least, 0.05 * lr->search_least);
    near(rate[3], lr->search_most, 0.05 * lr->search_most);
    near(log(rate[1] / rate[0]), log(rate[2] / rate[1]), 0.1);
    assert_int_equal(tg_contender_parse(&c, "lion batch=4/8 schedule=cosine", 4, training()), TG_OK);
    assert_int_equal(c.points, 8);
    near(c.point[0].lr, rate[0], 0);
    assert_string_equal(c.title, "lion schedule=cosine over batch");
    near(c.point[7].lr, rate[3], 0);
    tg_contender_fini(&c);
}

static const char *setting_of(const tg_race_point *point, const char *name)
{
    const char *value = NULL;
    for (size_t i = 0; i < point->settings; i++)
        if (strcmp(point->setting[i].name, name) == 0) {
            assert_null(value);
            value = point->setting[i].value;
        }
    return value;
}

/* A preset is a word like others: it may have several values, and what has a word of its own wins over it. */
static void test_contender_takes_presets(void **state)
{
    (void)state;
    tg_contender c = {0};
    assert_int_equal(tg_contender_parse(&c, "tiger preset=reference/vision beta=0.93 rounding=weyl", 3, training()),
                     TG_OK);
    assert_int_equal(c.points, 2);
    assert_string_equal(c.title, "tiger beta=0.93 rounding=weyl over preset");
    assert_string_equal(c.point[1].label, "preset=vision");
    near(c.point[0].lr, 1e-3, 0);
    assert_string_equal(setting_of(&c.point[0], "embedding_rms"), "row");
    assert_string_equal(setting_of(&c.point[0], "beta"), "0.93");
    assert_string_equal(setting_of(&c.point[1], "beta"), "0.93");
    assert_null(setting_of(&c.point[1], "embedding_rms"));
    assert_null(setting_of(&c.point[1], "preset"));
    tg_contender_fini(&c);
    assert_int_equal(tg_contender_parse(&c, "lion preset=language", 3, training()), TG_OK);
    assert_int_equal(c.points, 3); /* its preset leaves the learning rate open */
    assert_string_equal(setting_of(&c.point[2], "beta2"), "0.98");
    tg_contender_fini(&c);
}

static void test_minimizers_are_contenders(void **state)
{
    (void)state;
    const tg_race_task *problem = tg_race_task_find("problem");
    tg_contender c = {0};
    assert_int_equal(tg_contender_parse(&c, "cmaes sigma=0.3/0.7 tolerance=1e-7", 3, problem), TG_OK);
    assert_non_null(c.minimizer);
    assert_null(c.rule);
    assert_int_equal(c.points, 2);
    assert_true(isnan(c.point[0].lr));
    tg_contender_fini(&c);
    assert_int_equal(tg_contender_parse(&c, "lbfgs closure=fixed/all history-size=4", 3, training()), TG_OK);
    assert_int_equal(c.points, 2); /* the grid of learning rates is for rules */
    assert_string_equal(setting_of(&c.point[1], "closure"), "all");
    tg_contender_fini(&c);
    assert_int_equal(tg_contender_parse(&c, "lbfgs schedule=cosine", 3, training()), TG_EINVAL);
    assert_int_equal(tg_contender_parse(&c, "lbfgs schedule=cosine", 3, problem), TG_EINVAL);
    assert_int_equal(tg_contender_parse(&c, "lbfgs preset=language", 3, problem), TG_EINVAL);
    assert_int_equal(tg_contender_parse(&c, "adam batch=3", 3, problem), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "'batch'"));
    assert_null(tg_race_task_find("poblem"));
}

static void test_contender_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word;
    } bad[] = {
        {"lyon lr=1", "lyon"},
        {"", "optimizer"},
        {"lion lr=1e-3/x", "'x'"},
        {"lion lr=1e-3//1", "lr"},
        {"lion lr", "OPTION=VALUE"},
        {"lion lr=", "OPTION=VALUE"},
        {"lion =3", "OPTION=VALUE"},
        {"lion momentum=0.9", "'momentum'"},
        {"lion lr=1 lr=2", "twice"},
        {"lion seed=3", "seeds"},
        {"lion preset=vision", "language"},
        {"lion schedule=cosinus", "cosinus"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tg_contender c = {0};
        const tg_status status = tg_contender_parse(&c, bad[i].text, 3, training());
        if (status != TG_EINVAL || strstr(tg_message(), bad[i].word) == NULL || strchr(tg_message(), '\n') != NULL)
            fail_msg("'%s' gives %s: %s", bad[i].text, tg_status_name(status), tg_message());
        assert_null(c.point);
    }
}

/* ---- the verdict ---- */

#define SEEDS 3
#define EVALUATIONS 3

/* Losses of the evaluations after updates 10, 20, 30; a run without them diverged. */
static tg_race_run made_up(size_t contender, size_t point, uint64_t seed, double *loss)
{
    static double update[] = {10, 20, 30}, seconds[] = {1.5, 3, 4.5};
    tg_race_run run = {
        .contender = contender, .point = point, .seed = seed, .outcome = TG_RACE_DIVERGED, .final_loss = NAN};
    if (loss == NULL)
        return run;
    run.outcome = TG_RACE_FINISHED;
    run.update = update;
    run.seconds = seconds;
    run.loss = loss;
    run.calls = update;
    run.distance = seconds;
    run.evaluations = EVALUATIONS;
    run.final_loss = loss[2];
    run.update_seconds = 0.15;
    run.state_bytes = 1000;
    return run;
}

static void test_verdict(void **state)
{
    (void)state;
    static double slow[SEEDS][3] = {{4, 3.5, 3.1}, {4, 3.6, 3.2}, {4, 3.4, 3.0}};
    static double fast[SEEDS][3] = {{3.5, 3.0, 2.5}, {3.5, 2.9, 2.62}, {3.5, 3.1, 2.43}};
    tg_contender contender[3] = {0};
    assert_int_equal(tg_contender_parse(&contender[0], "sgd lr=0.1", 3, training()), TG_OK);
    assert_int_equal(tg_contender_parse(&contender[1], "adamw lr=1e-4/1e-3/1e-2", 3, training()), TG_OK);
    assert_int_equal(tg_contender_parse(&contender[2], "lion lr=1", 3, training()), TG_OK);
    tg_race_run run[5 * SEEDS];
    size_t n = 0;
    for (size_t s = 0; s < SEEDS; s++)
        run[n++] = made_up(0, 0, s + 1, slow[s]);
    for (size_t p = 0; p < 3; p++) /* the last point is as good as the middle one, but for a seed that diverged */
        for (size_t s = 0; s < SEEDS; s++)
            run[n++] = made_up(1, p, s + 1, p == 0 ? slow[s] : p == 2 && s == 1 ? NULL : fast[s]);
    for (size_t s = 0; s < SEEDS; s++)
        run[n++] = made_up(2, 0, s + 1, NULL);
    const tg_race_config config = {.task = training(), .contender = contender, .contenders = 3, .seeds = SEEDS};
    const tg_race race = {.config = &config, .run = run, .runs = n};
    tg_race_row *row = NULL;
    double target = NAN;
    assert_int_equal(tg_race_judge(&row, &target, &race), TG_OK);
    near(target, 3.1, 1e-12);
    assert_int_equal(row[0].contender, 1);
    assert_int_equal(row[0].point, 1);
    assert_int_equal(row[0].diverged, 1);
    assert_false(row[0].at_edge);
    near(row[0].loss.mean, (2.5 + 2.62 + 2.43) / 3, 1e-12);
    near(row[0].updates_to_target, 10 + 10 * (3.5 - 3.1) / (3.5 - 3.0), 1e-9);
    near(row[0].seconds_to_target, 1.5 + 1.5 * 0.8, 1e-9);
    assert_true(isnan(row[0].against_best.p));
    assert_int_equal(row[1].contender, 0);
    near(row[1].updates_to_target, 30, 1e-9);
    near(row[1].against_best.difference.mean, 3.1 - (2.5 + 2.62 + 2.43) / 3, 1e-12);
    assert_true(row[1].against_best.p < 0.01);
    assert_int_equal(row[2].contender, 2);
    assert_int_equal(row[2].point, SIZE_MAX);
    assert_int_equal(row[2].diverged, SEEDS);
    assert_true(isnan(row[2].against_best.p));
    tg_race_rows_free(row);
    target = 2.0;
    assert_int_equal(tg_race_judge(&row, &target, &race), TG_OK);
    assert_true(isnan(row[0].updates_to_target));
    tg_race_rows_free(row);
    for (size_t i = 0; i < 3; i++)
        tg_contender_fini(&contender[i]);
}

/* Losses over orders of magnitude are compared by their logarithms: means are geometric, differences factors. */
static void test_verdict_of_logarithms(void **state)
{
    (void)state;
    static double slow[2][3] = {{1.7, 0.2, 4e-3}, {1.9, 0.3, 9e-3}},
                  fast[2][3] = {{1.7, 1e-4, 2e-8}, {1.9, 4e-4, 8e-8}};
    tg_problem *problem = NULL;
    tg_contender contender[2] = {0};
    const tg_race_task *task = tg_race_task_find("problem");
    assert_int_equal(tg_problem_create(&problem, "rosenbrock", NULL), TG_OK);
    assert_int_equal(tg_contender_parse(&contender[0], "sgd lr=0.1", 3, task), TG_OK);
    assert_int_equal(tg_contender_parse(&contender[1], "lbfgs", 3, task), TG_OK);
    tg_race_run run[4];
    for (size_t s = 0; s < 2; s++) {
        run[s] = made_up(0, 0, s + 1, slow[s]);
        run[2 + s] = made_up(1, 0, s + 1, fast[s]);
    }
    const tg_descent_config descent = {.problem = problem, .updates = 30};
    const tg_race_config config = {
        .task = task, .descent = &descent, .contender = contender, .contenders = 2, .seeds = 2};
    const tg_race race = {.config = &config, .run = run, .runs = 4};
    const tg_race_measure measure = tg_race_measure_of(&config);
    tg_race_row *row = NULL;
    double target = NAN;
    assert_int_equal(tg_race_judge(&row, &target, &race), TG_OK);
    assert_true(measure.logarithmic);
    near(target, 6e-3, 1e-15);
    assert_int_equal(row[0].contender, 1);
    near(tg_race_shown(&measure, row[0].loss.mean), 4e-8, 1e-20);
    near(tg_race_shown(&measure, row[1].against_best.difference.mean), 6e-3 / 4e-8, 1e-6);
    const double at[] = {log10(sqrt(1.7 * 1.9)), log10(2e-4)}; /* after 10 and 20 updates */
    near(row[0].updates_to_target, 10 + 10 * (at[0] - log10(6e-3)) / (at[0] - at[1]), 1e-9);
    near(row[0].distance, 4.5, 1e-12);
    tg_race_rows_free(row);
    for (size_t i = 0; i < 2; i++)
        tg_contender_fini(&contender[i]);
    tg_problem_destroy(problem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_student),
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_paired),
        cmocka_unit_test(test_holm),
        cmocka_unit_test(test_contender),
        cmocka_unit_test(test_contender_takes_rates),
        cmocka_unit_test(test_contender_takes_presets),
        cmocka_unit_test(test_minimizers_are_contenders),
        cmocka_unit_test(test_contender_is_refused),
        cmocka_unit_test(test_verdict),
        cmocka_unit_test(test_verdict_of_logarithms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
