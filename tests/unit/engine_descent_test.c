/* Descents on textbook problems: steps against closed forms, why they end, what is counted; and their files. */
#include <math.h>

#include "base/memory.h"
#include "home_support.h"
#include "tiger/engine/descent.h"
#include "tiger/minimize.h"
#include "tiger/optim.h"

static tg_problem *make(const char *name, const double *option)
{
    tg_problem *p = NULL;
    ok(tg_problem_create(&p, name, option));
    return p;
}

static tg_descent_config config_of(const tg_problem *problem, const char *optimizer, const char *lr, uint64_t updates)
{
    static tg_setting setting[1];
    setting[0] = (tg_setting){"lr", lr};
    return (tg_descent_config){.problem = problem,
                               .optimizer = optimizer,
                               .setting = setting,
                               .settings = 1,
                               .updates = updates,
                               .weights = TG_F32};
}

/* Gradient descent on x^2/20 + y^2 multiplies x by 1 - lr/10 and y by 1 - 2 lr, with a schedule's factor on lr. */
typedef struct expected {
    double x, y, lr;
    uint64_t next;
} expected;

static bool compare(void *ctx, const tg_descent_point *at)
{
    expected *e = ctx;
    assert_int_equal(at->update, e->next++);
    assert_int_equal(at->evaluations, at->update + 1);
    assert_true(fabs(at->x[0] - e->x) < 1e-5 && fabs(at->x[1] - e->y) < 1e-5);
    assert_true(fabs(at->value - (e->x * e->x / 20 + e->y * e->y)) < 1e-4);
    assert_true(fabs(at->slope - hypot(e->x / 10, 2 * e->y)) < 1e-4);
    const double lr = e->lr / (1 + 0.25 * (double)at->update);
    e->x *= 1 - lr / 10;
    e->y *= 1 - 2 * lr;
    return true;
}

static void test_closed_form(void **state)
{
    (void)state;
    tg_problem *p = make("ravine", NULL);
    const double start[] = {-6.385, 1.75};
    tg_descent_config c = config_of(p, "sgd", "0.35", 30);
    c.schedule = "inverse_time:0.25";
    c.start = start;
    expected e = {start[0], start[1], 0.35, 0};
    tg_descent_result r;
    double x[2];
    ok(tg_descend(&r, x, &c, compare, &e));
    assert_int_equal(r.end, TG_DESCENT_UPDATES);
    assert_int_equal(r.updates, 30);
    assert_int_equal(e.next, 31);
    assert_int_equal(r.evaluations, 31);
    assert_true(fabs(r.distance - hypot(x[0], x[1])) < 1e-12);
    tg_problem_destroy(p);
}

static bool stop_at_three(void *ctx, const tg_descent_point *at) { return (void)ctx, at->update < 3; }

static void test_ends(void **state)
{
    (void)state;
    tg_problem *p = make("sphere", NULL);
    tg_descent_result r;
    double x[2];
    tg_descent_config c = config_of(p, "sgd", "0.2", 500);
    c.tolerance = 1e-3;
    ok(tg_descend(&r, x, &c, NULL, NULL)); /* the slope falls by 0.6 from 10.44 */
    assert_int_equal(r.end, TG_DESCENT_TOLERANCE);
    assert_int_equal(r.updates, (uint64_t)ceil(log(1e-3 / (2 * hypot(4.2, 3.1))) / log(0.6)));
    assert_true(r.slope <= 1e-3);
    ok(tg_descend(&r, x, &c, stop_at_three, NULL));
    assert_int_equal(r.end, TG_DESCENT_STOPPED);
    assert_int_equal(r.updates, 3);
    c = config_of(p, "sgd", "1.5", 500); /* doubles */
    ok(tg_descend(&r, x, &c, NULL, NULL));
    assert_int_equal(r.end, TG_DESCENT_DIVERGED);
    assert_int_equal(r.updates, (uint64_t)ceil(log2(1e12 / 4.2)));
    assert_string_equal(r.word, "diverged");
    tg_problem_destroy(p);
    ok(tg_problem_parse(&p, "log(x)", NULL));
    c = config_of(p, "sgd", "0.7", 500); /* 1, 0.3, -2.03: there is no logarithm */
    ok(tg_descend(&r, x, &c, NULL, NULL));
    assert_int_equal(r.end, TG_DESCENT_DIVERGED);
    assert_int_equal(r.updates, 2);
    tg_problem_destroy(p);
}

/* Every rule gets closer to the minimum of a bowl than it began. */
static void test_every_rule(void **state)
{
    (void)state;
    tg_problem *p = make("booth", NULL);
    for (size_t i = 0; i < tg_rule_count(); i++) {
        tg_descent_result r;
        double x[2];
        const char *name = tg_rule_at(i)->name;
        tg_descent_config c = config_of(p, name, "0.01", 300);
        ok(tg_descend(&r, x, &c, NULL, NULL));
        if (!(r.distance < hypot(7, 11)))
            fail_msg("%s is %g away", name, r.distance);
    }
    tg_problem_destroy(p);
}

static bool record(void *ctx, const tg_descent_point *at)
{
    double *path = ctx; /* (updates, n) */
    for (size_t i = 0; i < 5 && at->update < 8; i++)
        path[at->update * 5 + i] = at->x[i];
    return true;
}

/* For logistic regression the Fisher matrix is the Hessian, so natural gradient without damping is Newton's method: step
 * by step, against a Hessian of differences of gradients. */
static void test_natural_gradient_is_newton(void **state)
{
    (void)state;
    tg_problem *p = make("logistic", (const double[]){5, 83, 0.037, 7});
    const double start[] = {0.385, -0.71, 0.26, 0.55, -0.43};
    tg_setting damping[] = {{"damping", "0"}};
    tg_descent_config c = config_of(p, "natgrad", "1", 8);
    c.setting = damping;
    c.start = start;
    double natural[8 * 5] = {0}, newton[8 * 5] = {0}, x[5];
    tg_descent_result r;
    ok(tg_descend(&r, x, &c, record, natural));
    assert_true(r.distance < 1e-8);
    c.optimizer = "newton";
    ok(tg_descend(&r, x, &c, record, newton));
    assert_true(fabs(natural[5] - start[0]) > 0.05); /* the first step went somewhere */
    for (size_t i = 0; i < 4 * 5; i++)
        if (!(fabs(natural[i] - newton[i]) < 1e-7))
            fail_msg("number %zu: %.12g and %.12g", i, natural[i], newton[i]);
    tg_problem_destroy(p);
    p = make("rosenbrock", NULL);
    c.problem = p;
    c.start = NULL;
    c.optimizer = "natgrad";
    assert_int_equal(tg_descend(&r, x, &c, NULL, NULL), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "Fisher matrix"));
    tg_problem_destroy(p);
}

/* Sophia's two probes every ten updates are counted; on a bowl along the axes they give its curvature. */
static void test_probes(void **state)
{
    (void)state;
    tg_problem *p = make("ellipsoid", (double[]){3, 100});
    tg_descent_config c = config_of(p, "sophia", "0.3", 40);
    const tg_setting setting[] = {{"lr", "0.5"}, {"beta1", "0"}, {"beta2", "0"}, {"rho", "1"}, {"weight_decay", "0"}};
    tg_descent_result r;
    double x[3];
    c.setting = setting;
    c.settings = 5;
    c.tolerance = 1e-3;
    ok(tg_descend(&r, x, &c, NULL, NULL)); /* with the true curvature each step halves what is left */
    assert_int_equal(r.end, TG_DESCENT_TOLERANCE);
    assert_true(r.updates > 15 && r.updates < 35);
    assert_int_equal(r.evaluations, r.updates + 1 + 2 * ((r.updates + 9) / 10));
    c.weights = TG_BF16;
    refused(tg_descend(&r, x, &c, NULL, NULL), TG_EINVAL, "sophia|fp32");
    tg_problem_destroy(p);
}

/* Steps below half of a 16-bit weight's spacing are lost when rounding to nearest. */
static void test_half_precision(void **state)
{
    (void)state;
    tg_problem *p = make("sphere", NULL);
    const tg_setting nearest[] = {{"lr", "1e-3"}, {"rounding", "nearest"}}, stochastic[] = {{"lr", "1e-3"}};
    tg_descent_config c = {
        .problem = p, .optimizer = "signsgd", .setting = nearest, .settings = 2, .updates = 2000, .weights = TG_BF16};
    tg_descent_result stuck, moved;
    double x[2];
    ok(tg_descend(&stuck, x, &c, NULL, NULL));
    c.setting = stochastic;
    c.settings = 1;
    ok(tg_descend(&moved, x, &c, NULL, NULL));
    assert_true(fabs(stuck.distance - hypot(4.2, 3.1)) < 0.02);
    assert_true(moved.distance < 0.75 * stuck.distance);
    tg_problem_destroy(p);
}

static void test_misuse(void **state)
{
    (void)state;
    tg_problem *p = make("sphere", NULL);
    tg_descent_result r;
    double x[2] = {7, 8};
    tg_descent_config c = config_of(p, "sgdd", "0.1", 10);
    refused(tg_descend(&r, x, &c, NULL, NULL), TG_EINVAL, "sgdd");
    c = config_of(p, "sgd", "-1", 10);
    refused(tg_descend(&r, x, &c, NULL, NULL), TG_EINVAL, "lr");
    c = config_of(p, "sgd", "0.1", 10);
    c.schedule = "cosine; beta=cosine";
    refused(tg_descend(&r, x, &c, NULL, NULL), TG_EINVAL, "beta|sgd");
    assert_true(x[0] == 7 && x[1] == 8);
    tg_problem_destroy(p);
}

/* Every minimizer comes to the bottom of a tilted bowl; its path is shown from the start to the end, once each. */
typedef struct seen {
    uint64_t count, last_update, evaluations;
    double first[2];
    bool last;
} seen;

static bool see(void *ctx, const tg_descent_point *at)
{
    seen *s = ctx;
    if (s->count == 0)
        memcpy(s->first, at->x, sizeof s->first);
    assert_false(s->last);
    assert_true(s->count == 0 ? at->update == 0 : at->update > s->last_update);
    s->last_update = at->update;
    s->evaluations = at->evaluations;
    s->last = at->last;
    s->count++;
    return true;
}

static void test_minimizers(void **state)
{
    (void)state;
    tg_problem *p = make("booth", NULL);
    const double start[] = {-1.385, 0.62};
    for (size_t i = 0; i < tg_minimizer_count(); i++) {
        tg_descent_config c = {.problem = p,
                               .optimizer = tg_minimizer_at(i)->name,
                               .updates = 20000,
                               .weights = TG_F32,
                               .tolerance = 1e-8,
                               .start = start,
                               .schedule = "cosine"};
        tg_descent_result r;
        seen s = {0};
        double x[2];
        if (strcmp(c.optimizer, "natgrad") == 0) { /* a bowl is no likelihood */
            refused(tg_descend(&r, x, &c, see, &s), TG_EINVAL, "Fisher");
            continue;
        }
        ok(tg_descend(&r, x, &c, see, &s));
        if (!(r.distance < 1e-3))
            fail_msg("%s is %g away: %s", c.optimizer, r.distance, r.reason);
        assert_memory_equal(s.first, start, sizeof start);
        assert_true(s.last && s.last_update == r.updates && s.evaluations == r.evaluations && s.count > 1);
        assert_true(r.value == tg_problem_evaluate(p, x, NULL));
        c.weights = TG_BF16;
        refused(tg_descend(&r, x, &c, NULL, NULL), TG_EINVAL, "works in double");
    }
    tg_descent_result r;
    double x[2];
    tg_descent_config c = {.problem = p, .optimizer = "lbfgs", .updates = 50, .weights = TG_F32, .tolerance = 1e-3};
    ok(tg_descend(&r, x, &c, NULL, NULL));
    assert_int_equal(r.end, TG_DESCENT_TOLERANCE);
    assert_true(r.slope <= 1e-3);
    c.updates = 2;
    ok(tg_descend(&r, x, &c, NULL, NULL));
    assert_int_equal(r.end, TG_DESCENT_UPDATES);
    assert_int_equal(r.updates, 2);
    c.updates = 50;
    ok(tg_descend(&r, x, &c, stop_at_three, NULL));
    assert_true(r.end == TG_DESCENT_STOPPED && r.updates == 3);
    tg_problem_destroy(p);
}

/* Wherever a minimizer says that the gradient is small enough, its norm is. */
static void test_minimizer_tolerance(void **state)
{
    (void)state;
    tg_problem *p = make("logistic", (double[]){40, 200, 0.01, 7});
    double x[40];
    size_t reached = 0;
    for (double tolerance = 0.3; tolerance > 1e-7; tolerance *= 0.5) {
        tg_descent_config c = {
            .problem = p, .optimizer = "lbfgs", .updates = 500, .weights = TG_F32, .tolerance = tolerance};
        tg_descent_result r;
        ok(tg_descend(&r, x, &c, NULL, NULL));
        assert_true(r.end != TG_DESCENT_TOLERANCE || r.slope <= tolerance);
        reached += r.end == TG_DESCENT_TOLERANCE;
    }
    assert_true(reached > 10);
    tg_problem_destroy(p);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static bool keep(void *ctx, const tg_descent_point *at)
{
    ok(tg_trace_append(ctx, at));
    return true;
}

static void test_files(void **state)
{
    (void)state;
    tg_problem *one = make("rosenbrock", (double[]){3}), *two = NULL;
    ok(tg_problem_parse(&two, "x^2 + 3*y^2", NULL));
    tg_trace trace[2];
    tg_descent_result r;
    double x[3];
    tg_trace_init(&trace[0], "adamw \"lr\"=0.05", one);
    tg_trace_init(&trace[1], "sgd", two);
    tg_descent_config c = config_of(one, "adamw", "0.05", 200);
    ok(tg_descend(&r, x, &c, keep, &trace[0]));
    c = config_of(two, "sgd", "0.4", 200); /* diverges: 1 - 2.4 */
    ok(tg_descend(&r, x, &c, keep, &trace[1]));
    trace[1].value[trace[1].count - 1] = INFINITY;
    ok(tg_traces_write(trace, 2, "paths.jsonl"));
    tg_traces read = {0};
    ok(tg_traces_read(&read, "paths.jsonl"));
    assert_int_equal(read.count, 2);
    for (size_t t = 0; t < 2; t++) {
        const tg_trace *a = &trace[t], *b = &read.at[t];
        assert_string_equal(a->title, b->title);
        assert_int_equal(a->count, b->count);
        assert_int_equal(a->n, b->n);
        assert_memory_equal(a->update, b->update, a->count * sizeof *a->update);
        assert_memory_equal(a->value, b->value, (a->count - 1) * sizeof *a->value);
        assert_memory_equal(a->slope, b->slope, a->count * sizeof *a->slope);
        assert_memory_equal(a->x, b->x, a->count * a->n * sizeof *a->x);
    }
    assert_true(isnan(read.at[1].value[read.at[1].count - 1]));
    assert_true(tg_problem_option(read.at[0].problem, 0) == 3);
    assert_string_equal(tg_problem_text(read.at[1].problem), "x^2 + 3*y^2");
    tg_traces_fini(&read);
    tg_trace_fini(&trace[0]);
    tg_trace_fini(&trace[1]);
    tg_problem_destroy(one);
    tg_problem_destroy(two);
}

static void test_bad_files(void **state)
{
    (void)state;
    const char *const head = "{\"run\": \"a\", \"problem\": \"booth\"}\n";
    const struct {
        const char *text, *words;
    } cases[] = {
        {"", "no run in it"},
        {"{\"update\": 1}\n", "line 1|no run has begun"},
        {"[1]\n", "line 1 is no JSON object"},
        {"{\"run\": \"a\"\n", "line 1"},
        {"{\"run\": \"a\"}\n", "line 1|\"problem\" and \"expression\""},
        {"{\"run\": \"a\", \"problem\": \"boot\"}\n", "line 1|no problem of that name"},
        {"{\"run\": \"a\", \"expression\": \"x +\"}\n", "line 1|column 4"},
        {"{\"run\": \"a\", \"problem\": \"ravine\", \"options\": {\"condition\": 0}}\n", "line 1|condition"},
        {"@{\"update\": -1, \"x\": [1, 2]}\n", "line 2"},
        {"@{\"update\": 1, \"x\": [1]}\n", "line 2|2 numbers"},
        {"@{\"update\": 1, \"x\": 1}\n", "line 2|2 numbers"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        const bool headed = cases[i].text[0] == '@';
        snprintf(text, sizeof text, "%s%s", headed ? head : "", cases[i].text + headed);
        tg_traces read = {0};
        refused(tg_traces_parse(&read, text, strlen(text), "p.jsonl"), TG_EFORMAT, cases[i].words);
        assert_int_equal(read.count, 0);
    }
    tg_traces read = {0};
    refused(tg_traces_read(&read, "nowhere.jsonl"), TG_ENOTFOUND, "nowhere.jsonl");
}

static void test_no_memory(void **state)
{
    (void)state;
    const char text[] = "{\"run\": \"a\", \"expression\": \"x*y\"}\n{\"update\": 1, \"f\": 2.385, \"x\": [1, 2]}\n";
    tg_problem *p = make("booth", NULL);
    const tg_descent_config c = config_of(p, "sgd", "0.01", 3);
    tg_descent_result r;
    double x[2];
    for (long fail_at = 1, failed = 1; failed; fail_at++) {
        tg_traces read = {0};
        tg_memory_fail_at(fail_at);
        failed = tg_traces_parse(&read, text, sizeof text - 1, "p.jsonl") != TG_OK;
        tg_memory_fail_at(0);
        assert_true(fail_at < 30);
        tg_traces_fini(&read);
    }
    for (long fail_at = 1, failed = 1; failed; fail_at++) {
        tg_memory_fail_at(fail_at);
        failed = tg_descend(&r, x, &c, NULL, NULL) != TG_OK;
        tg_memory_fail_at(0);
        assert_true(fail_at < 200);
    }
    tg_problem_destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_form), cmocka_unit_test(test_ends),           cmocka_unit_test(test_every_rule),
        cmocka_unit_test(test_natural_gradient_is_newton),
        cmocka_unit_test(test_probes),      cmocka_unit_test(test_half_precision), cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_files),       cmocka_unit_test(test_bad_files),      cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_minimizers), cmocka_unit_test(test_minimizer_tolerance),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
