/* Textbook problems: gradients against differences of values, minima that are minima, the spectrum that was asked for;
 * and functions as text: values, gradients, where they are wrong. */
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
#include "tiger/engine/problem.h"

#define MOST 512
#define FLAT 1e-9        /* minima are known to 16 digits, curvatures reach a million */
#define DIFFERENCES 2e-6 /* relative: central differences with steps of 1e-5 have errors of 1e-10 and 1e-16 / 1e-5 */

static tg_problem *make(const char *name, const double *option)
{
    tg_problem *p = NULL;
    if (tg_problem_create(&p, name, option) != TG_OK)
        fail_msg("%s: %s", name, tg_message());
    return p;
}

static tg_problem *parse(const char *text)
{
    tg_problem *p = NULL;
    if (tg_problem_parse(&p, text, NULL) != TG_OK)
        fail_msg("%s: %s", text, tg_message());
    return p;
}

/* Whether the gradient at x is what differences of f say. */
static void check_gradient(const tg_problem *p, const char *name, const double *x)
{
    const size_t n = tg_problem_variables(p);
    double g[MOST], moved[MOST], size = 1;
    tg_problem_evaluate(p, x, g);
    for (size_t i = 0; i < n; i++)
        size = fmax(size, fabs(g[i]));
    for (size_t i = 0; i < n; i++) {
        const double step = 1e-5 * fmax(1, fabs(x[i]));
        memcpy(moved, x, n * sizeof *x);
        moved[i] = x[i] + step;
        const double above = tg_problem_evaluate(p, moved, NULL), up = moved[i];
        moved[i] = x[i] - step;
        const double below = tg_problem_evaluate(p, moved, NULL), difference = (above - below) / (up - moved[i]);
        if (!(fabs(difference - g[i]) <= DIFFERENCES * size))
            fail_msg("%s: derivative %zu is %.12g, differences say %.12g", name, i, g[i], difference);
    }
}

static void check_problem(const tg_problem *p, const char *name)
{
    const size_t n = tg_problem_variables(p);
    double x[MOST], low[MOST], high[MOST], g[MOST];
    tg_problem_start(p, x);
    check_gradient(p, name, x);
    tg_problem_box(p, low, high);
    for (unsigned long long number = 0; number < 20; number++) {
        tg_problem_random_start(p, x, 2385, number);
        for (size_t i = 0; i < n; i++)
            assert_true(x[i] >= low[i] && x[i] <= high[i]);
        check_gradient(p, name, x);
        assert_true(tg_problem_evaluate(p, x, NULL) > tg_problem_least(p));
    }
    assert_true(tg_problem_minima(p) > 0);
    for (size_t m = 0; m < tg_problem_minima(p); m++) {
        size_t nearest = MOST;
        tg_problem_minimum(p, m, x);
        assert_true(fabs(tg_problem_evaluate(p, x, g) - tg_problem_least(p)) < 1e-12);
        for (size_t i = 0; i < n; i++)
            if (!(fabs(g[i]) < FLAT))
                fail_msg("%s: minimum %zu has slope %g", name, m, g[i]);
        assert_true(tg_problem_distance(p, x, &nearest) == 0 && nearest == m);
        x[0] += 0.0385;
        assert_true(fabs(tg_problem_distance(p, x, NULL) - 0.0385) < 1e-12);
    }
}

static void test_every_problem(void **state)
{
    (void)state;
    for (size_t i = 0; i < tg_problem_count(); i++) {
        const tg_problem_info *info = tg_problem_at(i);
        tg_problem *p = make(info->name, NULL);
        assert_ptr_equal(tg_problem_find(info->name), info);
        assert_non_null(info->title);
        assert_non_null(info->source);
        assert_non_null(info->equations);
        check_problem(p, info->name);
        tg_problem_destroy(p);
    }
    assert_null(tg_problem_at(tg_problem_count()));
    assert_null(tg_problem_find("rosenbrok"));
}

/* Every problem that takes a number of variables, with 7. */
static void test_more_variables(void **state)
{
    (void)state;
    for (size_t i = 0; i < tg_problem_count(); i++) {
        const tg_option_table *table = &tg_problem_at(i)->options;
        double option[16];
        for (size_t o = 0; o < table->count; o++)
            option[o] = table->at[o].value;
        if (table->count == 0 || strcmp(table->at[0].name, "n") != 0)
            continue;
        option[0] = 7;
        tg_problem *p = make(tg_problem_at(i)->name, option);
        assert_int_equal(tg_problem_variables(p), 7);
        check_problem(p, tg_problem_at(i)->name);
        tg_problem_destroy(p);
    }
}

/* A quadratic's Hessian has the eigenvalues that were asked for: their sum is its trace, the sum of their squares that
 * of its values; and turned it is no diagonal. */
static void check_spectrum(const double *option, double sum, double squares)
{
    tg_problem *p = make("quadratic", option);
    const size_t n = tg_problem_variables(p);
    double x[MOST] = {0}, at_zero[MOST], g[MOST], trace = 0, all = 0, beside = 0;
    tg_problem_evaluate(p, x, at_zero);
    for (size_t i = 0; i < n; i++) {
        x[i] = 1;
        tg_problem_evaluate(p, x, g);
        x[i] = 0;
        trace += g[i] - at_zero[i];
        for (size_t j = 0; j < n; j++) {
            all += (g[j] - at_zero[j]) * (g[j] - at_zero[j]);
            beside += j != i ? fabs(g[j] - at_zero[j]) : 0;
        }
    }
    assert_true(fabs(trace - sum) < 1e-10 * sum);
    assert_true(fabs(all - squares) < 1e-10 * squares);
    assert_true(option[4] != 0 ? beside > 1 : beside == 0);
    check_problem(p, "quadratic");
    tg_problem_destroy(p);
}

static void test_spectra(void **state)
{
    (void)state;
    for (int rotate = 0; rotate < 2; rotate++) {
        check_spectrum((double[]){10, 0, 10, 1, rotate, 3}, 55, 385);
        check_spectrum((double[]){5, 1, 81, -2.385, rotate, 4}, 1 + 3 + 9 + 27 + 81, 1 + 9 + 81 + 729 + 6561);
        check_spectrum((double[]){6, 2, 50, 1, rotate, 5}, 55, 2505);
    }
    tg_problem *p = NULL;
    assert_int_equal(tg_problem_create(&p, "quadratic", (double[]){501, 0, 10, 1, 1, 1}), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "rotate needs n <= 500"));
    assert_int_equal(tg_problem_create(&p, "quadratic", (double[]){10, 0, 0.5, 1, 1, 1}), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "condition"));
    assert_null(p);
}

/* Q = diag(1..10), b = 1: the solution is 1/i, at a distance of 1.245 from 0. */
static void test_default_quadratic(void **state)
{
    (void)state;
    tg_problem *p = make("quadratic", NULL);
    double x[10];
    tg_problem_minimum(p, 0, x);
    for (size_t i = 0; i < 10; i++)
        assert_true(fabs(x[i] - 1 / (double)(i + 1)) < 1e-15);
    tg_problem_start(p, x);
    assert_true(fabs(tg_problem_distance(p, x, NULL) - 1.2448967) < 1e-6);
    tg_problem_destroy(p);
}

static void test_random_starts(void **state)
{
    (void)state;
    tg_problem *p = make("himmelblau", NULL);
    double one[2], two[2];
    tg_problem_random_start(p, one, 7, 3);
    tg_problem_random_start(p, two, 7, 3);
    assert_memory_equal(one, two, sizeof one);
    tg_problem_random_start(p, two, 8, 3);
    assert_true(one[0] != two[0] && one[1] != two[1] && one[0] != one[1]);
    tg_problem_random_start(p, two, 7, 4);
    assert_true(one[0] != two[0]);
    tg_problem_destroy(p);
}

/* ---- functions as text ------------------------------------------------------------------------------------------- */

static void test_values(void **state)
{
    (void)state;
    const double x[] = {1.375, -0.62, 2.385};
    const double a = x[0], b = x[1], c = x[2];
    const struct {
        const char *text;
        double value;
    } cases[] = {
        {"a - b*c/a + 2", a - b * c / a + 2},
        {"a - b - c", a - b - c},
        {"a / b / c", a / b / c},
        {"-a^2 + 0*b*c", -(a * a)},
        {"2^-a + 0*b*c", pow(2, -a)},
        {"a^b^c", pow(a, pow(b, c))},
        {"(-a)**2 + 0*b*c", a * a},
        {"- - a + +b*c", a + b * c},
        {"pow(a, 3) + min(b, c) * max(b, c)", a * a * a + b * c},
        {"hypot(a,b) + atan2(b, c)", hypot(a, b) + atan2(b, c)},
        {"sin(a)+cos(b)*tan(c)", sin(a) + cos(b) * tan(c)},
        {"asin(b) + acos(b) + atan(c) + 0*a", asin(b) + acos(b) + atan(c)},
        {"sinh(a) - cosh(b) + tanh(c)", sinh(a) - cosh(b) + tanh(c)},
        {"exp(b) * log(a) + log2(c) - log10(c)", exp(b) * log(a) + log2(c) - log10(c)},
        {"sqrt(a) + cbrt(b) + abs(b) * sign(b) + c", sqrt(a) + cbrt(b) - fabs(b) + c},
        {"1.5e-1*a + .25*b + 3.*c + pi - e", 0.15 * a + 0.25 * b + 3 * c + 3.14159265358979323846 - exp(1)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tg_problem *p = parse(cases[i].text);
        const size_t n = tg_problem_variables(p);
        double at[3];
        for (size_t v = 0; v < n; v++) { /* not all have all three */
            char name[8];
            tg_problem_variable_name(name, sizeof name, p, v);
            at[v] = x[name[0] - 'a'];
        }
        const double value = tg_problem_evaluate(p, at, NULL);
        if (!(fabs(value - cases[i].value) <= 1e-14 * fabs(value)) && !(isnan(value) && isnan(cases[i].value)))
            fail_msg("%s is %.17g instead of %.17g", cases[i].text, value, cases[i].value);
        if (isfinite(value))
            check_gradient(p, cases[i].text, at);
        assert_string_equal(tg_problem_text(p), cases[i].text);
        assert_null(tg_problem_get_info(p));
        assert_int_equal(tg_problem_minima(p), 0);
        assert_true(isnan(tg_problem_least(p)) && isnan(tg_problem_distance(p, at, NULL)));
        tg_problem_destroy(p);
    }
}

/* The same function twice: written down, and the family's. */
static void test_same_as_the_family(void **state)
{
    (void)state;
    const char *const text[][2] = {
        {"rosenbrock", "100*(y-x^2)^2 + (1-x)^2"},
        {"himmelblau", "(x^2+y-11)^2 + (x+y^2-7)^2"},
        {"ackley", "20 - 20*exp(-0.2*sqrt((x^2+y^2)/2)) + e - exp((cos(2*pi*x)+cos(2*pi*y))/2)"}};
    for (size_t i = 0; i < 3; i++) {
        tg_problem *one = make(text[i][0], NULL), *two = parse(text[i][1]);
        for (unsigned long long k = 0; k < 10; k++) {
            double x[2], g[2], h[2];
            tg_problem_random_start(one, x, 5, k);
            const double f = tg_problem_evaluate(one, x, g), size = 1 + fabs(f);
            assert_true(fabs(f - tg_problem_evaluate(two, x, h)) < 1e-12 * size);
            for (size_t v = 0; v < 2; v++)
                assert_true(fabs(g[v] - h[v]) < 1e-11 * (1 + fabs(g[v])));
        }
        tg_problem_destroy(one);
        tg_problem_destroy(two);
    }
}

static void test_variables_are_sorted(void **state)
{
    (void)state;
    static const char *const sorted[] = {"Z", "a", "b1", "b02", "b10", "b10c", "b11", "ba"};
    tg_problem *p = parse("ba^2 + b10c + b02*a + b11 - Z/b1 + b10");
    assert_int_equal(tg_problem_variables(p), 8);
    for (size_t i = 0; i < 8; i++) {
        char name[8];
        tg_problem_variable_name(name, sizeof name, p, i);
        assert_string_equal(name, sorted[i]);
    }
    const double x[] = {3.5, -2, 0.25, 7, 11, 13, 17, 1.5};
    assert_true(tg_problem_evaluate(p, x, NULL) == 1.5 * 1.5 + 13 + 7 * -2 + 17 - 3.5 / 0.25 + 11);
    tg_problem_destroy(p);
}

static void test_kinks_and_poles(void **state)
{
    (void)state;
    const struct {
        const char *text;
        double x, slope;
    } cases[] = {
        {"abs(x)", 0, 0},         {"abs(x)", -2, -1},    {"sign(x)", 0.5, 0},     {"min(x, 1)", 1, 1},
        {"max(x, 1)", 0.5, 0},    {"x^0", 0, 0},         {"x^1", 0, 1},           {"0^x", 2, 0},
        {"sqrt(x)", 0, INFINITY}, {"hypot(x, 0)", 0, 0}, {"x^2 + sqrt(0)", 3, 6}, {"log(x)", -1, NAN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tg_problem *p = parse(cases[i].text);
        double g;
        tg_problem_evaluate(p, &cases[i].x, &g);
        if (g != cases[i].slope && !(isnan(g) && isnan(cases[i].slope)))
            fail_msg("%s at %g has slope %g instead of %g", cases[i].text, cases[i].x, g, cases[i].slope);
        tg_problem_destroy(p);
    }
}

static void test_mistakes(void **state)
{
    (void)state;
    const struct {
        const char *text, *words;
        size_t column;
    } cases[] = {
        {"x +* y", "should stand before '*'", 4},
        {"2x", "operator is missing after the number 2", 2},
        {"x y", "an operator is missing here", 3},
        {"(x + 1", "this '(' is never closed", 1},
        {"x + 1)", "closes nothing", 6},
        {"sin x", "'(' is missing after the function sin", 1},
        {"sinn(x)", "did you mean sin?", 1},
        {"wurzel(x)", "there are: sin cos", 1},
        {"pow(x)", "pow takes 2 arguments, not 1", 1},
        {"x + sin(x, x)", "sin takes 1 argument, not 2", 5},
        {"sin(x", "')' is missing", 6},
        {"x + ", "it ends where", 5},
        {"", "it ends where", 1},
        {"1 + 2", "no variable", 1},
        {"1.2.3*x", "is no number", 1},
        {"x + $", "should stand before '$'", 5},
        {"x + \x01", "means nothing (byte 0x01)", 5},
        {"x + \xc3\xa4", "means nothing (byte 0xc3)", 5},
        {"a_name_that_is_longer_than_any_other_one", "a name of more than 31 letters", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tg_problem *p = NULL;
        size_t column = 99;
        assert_int_equal(tg_problem_parse(&p, cases[i].text, &column), TG_EINVAL);
        if (strstr(tg_message(), cases[i].words) == NULL || column != cases[i].column)
            fail_msg("'%s', column %zu: %s", cases[i].text, column, tg_message());
        assert_null(p);
    }
}

/* Deep, long and wide texts end in a message; the deepest that is allowed is evaluated. */
static void test_limits(void **state)
{
    (void)state;
    char text[8192] = "";
    tg_problem *p = NULL;
    for (int i = 0; i < 62; i++)
        strcat(text, "1+2*max(x^2,");
    strcat(text, "x");
    for (int i = 0; i < 62; i++)
        strcat(text, ")");
    p = parse(text);
    double g;
    assert_true(isfinite(tg_problem_evaluate(p, &(double){0.385}, &g)));
    tg_problem_destroy(p);
    p = NULL;
    memset(text, '(', 300);
    text[300] = '\0';
    assert_int_equal(tg_problem_parse(&p, text, NULL), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "more than 64 levels"));
    for (size_t i = 0; i < 5000; i++)
        text[i] = i % 2 == 0 ? 'x' : '+';
    text[4095] = '\0';
    p = parse(text);
    assert_true(tg_problem_evaluate(p, &(double){0.5}, &g) == 1024 && g == 2048);
    tg_problem_destroy(p);
    p = NULL;
    text[4095] = '+';
    text[5000] = '\0';
    assert_int_equal(tg_problem_parse(&p, text, NULL), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "more than 4096 signs"));
    text[0] = '\0';
    for (int i = 0; i < 513; i++)
        sprintf(text + strlen(text), "%sx%d", i == 0 ? "" : "+", i);
    assert_int_equal(tg_problem_parse(&p, text, NULL), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "more than 512 variables"));
}

static void test_no_memory(void **state)
{
    (void)state;
    const char *const named[] = {"logistic", "quadratic"};
    for (size_t i = 0; i < 2; i++)
        for (long fail_at = 1;; fail_at++) {
            tg_problem *p = NULL;
            tg_memory_fail_at(fail_at);
            const tg_status status = tg_problem_create(&p, named[i], (double[]){5, i == 0 ? 20 : 0, 2, 1, 1, 1});
            tg_memory_fail_at(0);
            tg_problem_destroy(p);
            if (status == TG_OK)
                break;
            assert_int_equal(status, TG_ENOMEM);
            assert_true(fail_at < 10);
        }
    for (long fail_at = 1;; fail_at++) {
        tg_problem *p = NULL;
        tg_memory_fail_at(fail_at);
        const tg_status status = tg_problem_parse(&p, "x+y+x+y+x+y+x+y+x+y", NULL);
        tg_memory_fail_at(0);
        tg_problem_destroy(p);
        if (status == TG_OK)
            break;
        assert_int_equal(status, TG_ENOMEM);
        assert_true(fail_at < 10);
    }
}

/* Logistic regression on a table: f as its definition has it, the minimum, names, and tables that are refused. */
static void test_table(void **state)
{
    (void)state;
    enum { SAMPLES = 7 };
    const double feature[SAMPLES * 2] = {0.31,  -1.7, 1.24, 0.6,  -0.85, 0.92, 2.1,
                                         -0.33, -1.4, -0.2, 0.07, 1.55,  0.6,  0.4};
    const bool second[SAMPLES] = {true, false, false, true, false, true, true};
    const char *const column[] = {"width", "height"};
    tg_problem_data data = {
        .name = "table", .samples = SAMPLES, .features = 2, .column = column, .feature = feature, .second = second};
    const double option[] = {5, 100, 0.0271, 1}, x[] = {0.83, -0.46, 0.19};
    tg_problem *p = NULL;
    assert_int_equal(tg_problem_create_on(&p, "logistic", option, &data), TG_OK);
    assert_int_equal(tg_problem_variables(p), 3);
    assert_string_equal(tg_problem_data_name(p), "table");
    assert_true(tg_problem_option(p, 1) == SAMPLES);
    char name[16];
    tg_problem_variable_name(name, sizeof name, p, 1);
    assert_string_equal(name, "height");
    double f = 0.0271 / 2 * (x[0] * x[0] + x[1] * x[1] + x[2] * x[2]);
    for (size_t s = 0; s < SAMPLES; s++) {
        const double score = x[0] * feature[2 * s] + x[1] * feature[2 * s + 1] + x[2];
        f += log(1 + exp(second[s] ? -score : score)) / SAMPLES;
    }
    assert_true(fabs(tg_problem_evaluate(p, x, NULL) - f) < 1e-14);
    check_problem(p, "a table");
    tg_problem_destroy(p);
    p = NULL;
    assert_int_equal(tg_problem_create_on(&p, "booth", NULL, &data), TG_EINVAL);
    data.samples = 1;
    assert_int_equal(tg_problem_create_on(&p, "logistic", NULL, &data), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "one class"));
    assert_null(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_every_problem),
        cmocka_unit_test(test_more_variables),
        cmocka_unit_test(test_spectra),
        cmocka_unit_test(test_default_quadratic),
        cmocka_unit_test(test_random_starts),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_same_as_the_family),
        cmocka_unit_test(test_variables_are_sorted),
        cmocka_unit_test(test_kinks_and_poles),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
