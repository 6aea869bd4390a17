/* minimize_test.c -- minimizers with gradients: known minima, fp32, NaN, bounds, exactness, and how searches end. */
#include "minimize_support.h"

#include <float.h>

#include "mgh.h"

#define SETTINGS(...) ((const tg_setting[]){__VA_ARGS__, {NULL, NULL}})
#define SOLVED 1e-5 /* from a known minimum, relative to 1 + its magnitude */

/* ---- the problems themselves ---- */

static void test_problems(void **state)
{
    (void)state;
    for (size_t p = 0; p < MGH_COUNT; p++) {
        mgh problem = mgh_all[p];
        double x[MGH_N], g[MGH_N], up, down;
        mgh_start(&problem, x);
        for (size_t i = 0; i < problem.n; i++) /* off the start: there some derivatives are 0 */
            x[i] *= 1.013 + 0.007 * (double)i;
        mgh_evaluate(&problem, &up, g, x);
        double size = 0;
        for (size_t i = 0; i < problem.n; i++)
            size = fmax(size, fabs(g[i]));
        for (size_t i = 0; i < problem.n; i++) {
            const double old = x[i], h = 1e-6 * fmax(1e-2, fabs(old));
            x[i] = old + h;
            mgh_evaluate(&problem, &up, NULL, x);
            x[i] = old - h;
            mgh_evaluate(&problem, &down, NULL, x);
            x[i] = old;
            if (fabs((up - down) / (2 * h) - g[i]) > 1e-4 * fabs(g[i]) + 1e-6 * size + 1e-8)
                fail_msg("%s: entry %zu of the gradient is %g, differences say %g", problem.name, i, g[i],
                         (up - down) / (2 * h));
        }
    }
}

static bool is_minimum(const mgh *p, double f)
{
    for (const double *v = p->minima; !isnan(*v); v++)
        if (fabs(f - *v) <= SOLVED * (1 + fabs(*v)))
            return true;
    return false;
}

static void solve_all(const char *method, const tg_setting *settings, const char *const *but)
{
    for (size_t p = 0; p < MGH_COUNT; p++) {
        mgh problem = mgh_all[p];
        double x[MGH_N], f;
        bool left_out = false;
        for (const char *const *b = but; b != NULL && *b != NULL; b++)
            left_out |= strcmp(*b, problem.name) == 0;
        if (left_out)
            continue;
        mgh_start(&problem, x);
        const tg_objective objective = {.n = problem.n, .ctx = &problem, .evaluate = mgh_evaluate};
        const tg_minimum found = search(x, method, &objective, settings);
        mgh_evaluate(&problem, &f, NULL, x);
        if (!tg_stop_converged(found.stop) || !is_minimum(&problem, found.value) || f != found.value)
            fail_msg("%s on %s: %.9g, %s, %zu evaluations", method, problem.name, found.value, tg_stop_text(found.stop),
                     (size_t)found.evaluations);
    }
}

static void test_mgh(void **state)
{
    (void)state;
    static const char *const scaled[] = {"powell_badly_scaled", "brown_badly_scaled", "osborne1", NULL};
    solve_all("lbfgs", SETTINGS({"tolerance_change", "0"}, {"tolerance_grad", "1e-6"}), NULL);
    solve_all("lbfgs", SETTINGS({"tolerance_change", "0"}, {"tolerance_grad", "1e-6"}, {"line_search", "torch"}),
              (const char *const[]){"osborne1", NULL}); /* torch's test s.y > 1e-10 forgets every pair there */
    solve_all("lbfgs", SETTINGS({"tolerance_change", "0"}, {"tolerance_grad", "1e-6"}, {"line_search", "backtracking"}),
              scaled);
    solve_all("lbfgs", NULL, scaled);
    solve_all("newton", SETTINGS({"tolerance_change", "0"}, {"tolerance_grad", "1e-6"}, {"max_eval", "20000"}), scaled);
    solve_all("newton_cg", SETTINGS({"tolerance_change", "0"}, {"tolerance_grad", "1e-5"}), scaled);
    solve_all("cg", SETTINGS({"tolerance_change", "0"}, {"tolerance_grad", "1e-5"}), scaled);
    solve_all("cg", SETTINGS({"tolerance_change", "0"}, {"tolerance_grad", "1e-5"}, {"beta", "fletcher_reeves"}),
              scaled);
    solve_all("hybrid", SETTINGS({"tolerance_change", "0"}, {"tolerance_grad", "1e-5"}), scaled);
}

/* ---- exactness on a quadratic ---- */

static void test_exact(void **state)
{
    (void)state;
    quadratic q = {.n = 12};
    tg_objective f = quadratic_objective(&q);
    double x[12];
    start_at(12, x);
    tg_minimum found = search(x, "cg", &f, SETTINGS({"c2", "1e-6"}, {"c1", "1e-7"}, {"tolerance_grad", "1e-8"}));
    assert_int_equal(found.stop, TG_STOP_GRADIENT);
    assert_true(found.iterations <= 12 && found.iterations > 3);
    start_at(12, x);
    found = search(x, "cg", &f,
                   SETTINGS({"c2", "1e-6"}, {"c1", "1e-7"}, {"tolerance_grad", "1e-8"}, {"beta", "fletcher_reeves"}));
    assert_true(found.stop == TG_STOP_GRADIENT && found.iterations <= 12);
    start_at(12, x);
    found = search(x, "newton", &f, NULL);
    assert_true(found.stop == TG_STOP_GRADIENT && found.iterations == 1 && found.evaluations == 2 &&
                found.products == 12);
    for (size_t i = 0; i < 12; i++)
        assert_near(x[i], quadratic_centre(i), 1e-12);
    start_at(12, x);
    f.hessian_vector = NULL; /* by differences of gradients */
    found = search(x, "newton", &f, NULL);
    assert_true(found.stop == TG_STOP_GRADIENT && found.iterations <= 2 && found.evaluations > 24);
    start_at(12, x);
    found = search(x, "newton_cg", &f, SETTINGS({"eta", "1e-10"}));
    assert_true(found.stop == TG_STOP_GRADIENT && found.iterations <= 3);
}

/* On a linear model with Gaussian noise the Fisher matrix is the Hessian. */
static void test_natgrad(void **state)
{
    (void)state;
    quadratic q = {.n = 11};
    const tg_objective f = quadratic_objective(&q);
    double newton[11], x[11];
    start_at(11, newton);
    search(newton, "newton", &f, NULL);
    for (int cg = 0; cg < 2; cg++) {
        start_at(11, x);
        const tg_minimum found =
            search(x, "natgrad", &f, SETTINGS({"solver", cg ? "cg" : "dense"}, {"damping", "0"}, {"rtol", "1e-12"}));
        assert_true(found.stop == TG_STOP_GRADIENT && found.iterations == 1 && found.products >= 11);
        for (size_t i = 0; i < 11; i++)
            assert_near(x[i], newton[i], 1e-10);
    }
    tg_objective without = f;
    tg_minimum found;
    without.fisher_vector = NULL;
    assert_int_equal(tg_minimize(&found, x, "natgrad", &without, NULL), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "fisher_vector"));
}

/* Rows that are not orthogonal, and their matrix as products. */
#define ROOT_ROWS 5
#define ROOT_N 11

static void fill_root(float *root)
{
    for (size_t i = 0; i < ROOT_ROWS * ROOT_N; i++)
        root[i] = (float)(sin(1.7 * (double)i + 0.3) + 0.2 * cos(0.9 * (double)(i * i)));
}

static int give_root(void *ctx, const float **root, const double *x)
{
    static float rows[ROOT_ROWS * ROOT_N];
    (void)ctx, (void)x;
    fill_root(rows);
    *root = rows;
    return 0;
}

static int give_product(void *ctx, double *product, const double *x, const double *v)
{
    float root[ROOT_ROWS * ROOT_N];
    (void)ctx, (void)x;
    fill_root(root);
    memset(product, 0, ROOT_N * sizeof *product);
    for (size_t r = 0; r < ROOT_ROWS; r++) {
        double dot = 0;
        for (size_t i = 0; i < ROOT_N; i++)
            dot += (double)root[r * ROOT_N + i] * v[i];
        for (size_t i = 0; i < ROOT_N; i++)
            product[i] += dot * (double)root[r * ROOT_N + i];
    }
    return 0;
}

/* Woodbury's identity takes the steps of the dense matrix. */
static void test_natgrad_root(void **state)
{
    (void)state;
    quadratic q = {.n = ROOT_N};
    tg_objective f = quadratic_objective(&q);
    double dense[ROOT_N], x[ROOT_N];
    f.fisher_vector = give_product;
    start_at(ROOT_N, dense);
    search(dense, "natgrad", &f, SETTINGS({"solver", "dense"}, {"damping", "0.37"}, {"max_iter", "3"}));
    f.fisher_vector = NULL;
    f.fisher_root = give_root;
    f.fisher_rows = ROOT_ROWS;
    start_at(ROOT_N, x);
    search(x, "natgrad", &f, SETTINGS({"damping", "0.37"}, {"max_iter", "3"}));
    for (size_t i = 0; i < ROOT_N; i++)
        assert_near(x[i], dense[i], 1e-11);
    tg_minimum found;
    assert_int_equal(tg_minimize(&found, x, "natgrad", &f, SETTINGS({"damping", "0"})), TG_EINVAL);
    assert_int_equal(tg_minimize(&found, x, "natgrad", &f, SETTINGS({"solver", "cg"})), TG_EINVAL);
    f.fisher_rows = 0;
    assert_int_equal(tg_minimize(&found, x, "natgrad", &f, NULL), TG_EINVAL);
}

static int saddle(void *ctx, double *value, double *gradient, const double *x)
{
    (void)ctx;
    *value = 0.5 * x[0] * x[0] + 0.25 * x[1] * x[1] * x[1] * x[1] - 0.5 * x[1] * x[1];
    if (gradient != NULL)
        gradient[0] = x[0], gradient[1] = x[1] * x[1] * x[1] - x[1];
    return 0;
}

static void test_negative_curvature(void **state)
{
    (void)state;
    static const char *const methods[] = {"newton", "newton_cg", "lbfgs", "cg"};
    const tg_objective f = {.n = 2, .evaluate = saddle};
    for (size_t i = 0; i < 4; i++) {
        double x[2] = {0.7, 0.013};
        const tg_minimum found = search(x, methods[i], &f, NULL);
        assert_true(tg_stop_converged(found.stop));
        assert_near(fabs(x[1]), 1, 1e-5);
        assert_near(found.value, -0.25, 1e-9);
    }
}

/* ---- fp32 ---- */

/* A mean of many squares, all in fp32, on top of an offset that hides its last digits. */
static int rough(void *ctx, double *value, float *gradient, const float *x)
{
    const size_t n = *(const size_t *)ctx;
    float sum = 137.3f;
    for (size_t i = 0; i < n; i++) {
        const float a = x[i] - 0.1f * (float)i, b = x[(i + 1) % n] + 0.3f * x[i] * x[i];
        sum += 0.5f * (1 + (float)(i * i)) * a * a + 0.05f * b * b;
    }
    *value = (double)sum;
    for (size_t i = 0; gradient != NULL && i < n; i++) {
        const size_t last = (i + n - 1) % n;
        gradient[i] = (1 + (float)(i * i)) * (x[i] - 0.1f * (float)i) +
                      0.06f * x[i] * (x[(i + 1) % n] + 0.3f * x[i] * x[i]) + 0.1f * (x[i] + 0.3f * x[last] * x[last]);
    }
    return 0;
}

static void test_fp32(void **state)
{
    (void)state;
    static const char *const searches[] = {"wolfe", "torch", "backtracking"}, *const methods[] = {"lbfgs", "cg",
                                                                                                  "newton_cg"};
    size_t n = 9;
    const tg_objective f = {.n = n, .ctx = &n, .evaluate_f32 = rough};
    for (size_t s = 0; s < 3; s++)
        for (size_t k = 0; k < 3; k++) {
            double x[9];
            start_at(n, x);
            const tg_minimum found = search(x, methods[k], &f,
                                            SETTINGS({"line_search", searches[s]}, {"tolerance_grad", "0"},
                                                     {"tolerance_change", "0"}, {"max_eval", "20000"}));
            if (!tg_stop_converged(found.stop) || found.gradient_norm > 2e-2)
                fail_msg("%s, %s in fp32: %s, |g| %g", methods[k], searches[s], tg_stop_text(found.stop),
                         found.gradient_norm);
            for (size_t i = 0; i < n; i++)
                assert_true(x[i] == (double)(float)x[i]);
        }
}

/* ---- what is not finite, and what is wrong ---- */

/* x - log x, which is NaN for x <= 0. */
static int barrier(void *ctx, double *value, double *gradient, const double *x)
{
    (void)ctx;
    *value = x[0] > 0 ? x[0] - log(x[0]) + 0.5 * x[1] * x[1] : NAN;
    if (gradient != NULL)
        gradient[0] = 1 - 1 / x[0], gradient[1] = x[1];
    return 0;
}

static int lonely(void *ctx, double *value, double *gradient, const double *x)
{
    (void)ctx;
    *value = x[0] == 0.25 && x[1] == 2.5 ? 1.5 : INFINITY;
    if (gradient != NULL)
        gradient[0] = -0.7, gradient[1] = 1.1;
    return 0;
}

static int uphill(void *ctx, double *value, double *gradient, const double *x)
{
    barrier(ctx, value, gradient, x);
    for (int i = 0; gradient != NULL && i < 2; i++)
        gradient[i] = -gradient[i];
    return 0;
}

static void test_not_finite(void **state)
{
    (void)state;
    for (size_t k = 0; k < tg_minimizer_count(); k++) {
        const char *method = tg_minimizer_at(k)->name;
        quadratic q = {.n = 2}; /* whose Fisher matrix will do */
        if (!has_gradients(k))
            continue;
        tg_objective f = {.n = 2, .ctx = &q, .evaluate = barrier, .fisher_vector = quadratic_product};
        double x[2] = {9.385, -3.1};
        tg_minimum found = search(x, method, &f, NULL);
        if (!tg_stop_converged(found.stop) || fabs(x[0] - 1) > 1e-3 || fabs(x[1]) > 1e-3)
            fail_msg("%s beside a barrier: %s, %g %g", method, tg_stop_text(found.stop), x[0], x[1]);
        x[0] = -1;
        found = search(x, method, &f, NULL);
        assert_int_equal(found.stop, TG_STOP_NOT_FINITE);
        assert_true(x[0] == -1 && found.evaluations == 1);
        f.evaluate = lonely;
        x[0] = 0.25, x[1] = 2.5;
        found = search(x, method, &f, NULL);
        assert_int_equal(found.stop, TG_STOP_NOT_FINITE);
        assert_true(x[0] == 0.25 && x[1] == 2.5 && found.value == 1.5);
        f.evaluate = uphill;
        x[0] = 3.1, x[1] = 0.7;
        found = search(x, method, &f, SETTINGS({"max_iter", "500"}));
        if (strcmp(method, "hybrid") != 0 && found.stop != TG_STOP_LINE_SEARCH)
            fail_msg("%s with a wrong gradient: %s", method, tg_stop_text(found.stop));
    }
}

/* ---- bounds ---- */

static void test_bounds(void **state)
{
    (void)state;
    enum { N = 9 };
    double lower[N], upper[N], x[N], best[N], g[N], f;
    for (size_t i = 0; i < N; i++) {
        lower[i] = i % 3 == 0 ? quadratic_centre(i) + 0.11 : -1.9;
        upper[i] = i % 3 == 1 ? quadratic_centre(i) - 0.13 : i == 2 ? INFINITY : 2.7;
    }
    quadratic q = {.n = N, .lower = lower, .upper = upper};
    tg_objective objective = {.n = N, .ctx = &q, .evaluate = quadratic_evaluate, .lower = lower, .upper = upper};
    for (size_t k = 0; k < tg_minimizer_count(); k++) {
        const tg_minimizer_info *info = tg_minimizer_at(k);
        tg_minimum found;
        start_at(N, x); /* partly outside */
        if (!info->bounds) {
            objective.fisher_vector = quadratic_product;
            assert_int_equal(tg_minimize(&found, x, info->name, &objective, NULL), TG_EUNSUPPORTED);
            continue;
        }
        if (!has_gradients(k))
            continue; /* minimize_free_test.c */
        found = search(x, info->name, &objective, SETTINGS({"tolerance_change", "0"}, {"tolerance_grad", "1e-7"}));
        assert_int_equal(found.stop, TG_STOP_GRADIENT);
        quadratic_evaluate(&q, &f, g, x);
        for (size_t i = 0; i < N; i++) /* the conditions of Karush, Kuhn and Tucker */
            assert_true(fabs(g[i]) <= 1e-7 || (x[i] == lower[i] && g[i] > 0) || (x[i] == upper[i] && g[i] < 0));
        assert_true(x[0] == lower[0] && x[1] == upper[1]);
        memcpy(best, x, sizeof best);
    }
    objective.value_only = true; /* differences stay inside, too */
    start_at(N, x);
    search(x, "lbfgs", &objective, SETTINGS({"tolerance_grad", "1e-6"}));
    for (size_t i = 0; i < N; i++)
        assert_near(x[i], best[i], 1e-5);
}

/* ---- how searches end ---- */

typedef struct watcher {
    uint64_t seen, last;
    uint64_t stop_at, refuse_at;
    mgh problem;
} watcher;

static int watched(void *ctx, double *value, double *gradient, const double *x)
{
    watcher *w = ctx;
    w->seen++;
    mgh_evaluate(&w->problem, value, gradient, x);
    return w->refuse_at != 0 && w->seen >= w->refuse_at;
}

static int watch(void *ctx, const tg_minimum *now)
{
    watcher *w = ctx;
    assert_true(now->iterations >= w->last && now->evaluations == w->seen);
    w->last = now->iterations;
    return w->stop_at != 0 && now->iterations >= w->stop_at;
}

static void test_stops(void **state)
{
    (void)state;
    for (size_t k = 0; k < tg_minimizer_count(); k++) {
        const tg_minimizer_info *info = tg_minimizer_at(k);
        watcher w = {.problem = mgh_all[0]};
        tg_objective f = {.n = 2, .ctx = &w, .evaluate = watched, .monitor = watch};
        double x[2];
        if (strcmp(info->name, "natgrad") == 0)
            continue; /* it needs a Fisher matrix, and Rosenbrock's has none */
        for (int round = 0; round < 5; round++) {
            static const tg_setting settings[5][3] = {{{"max_iter", "3"}, {"tolerance_change", "0"}},
                                                      {{"max_eval", "41"}, {"tolerance_change", "0"}},
                                                      {{"target", "3.5"}, {"tolerance_change", "0"}}};
            static const tg_stop ends[5] = {TG_STOP_ITERATIONS, TG_STOP_EVALUATIONS, TG_STOP_TARGET, TG_STOP_CALLER,
                                            TG_STOP_CALLER};
            w = (watcher){.problem = mgh_all[0], .stop_at = round == 3 ? 2 : 0, .refuse_at = round == 4 ? 5 : 0};
            x[0] = -1.2, x[1] = 1;
            const tg_minimum found = search(x, info->name, &f, settings[round]);
            if (round == 1 && found.stop == TG_STOP_GRADIENT)
                continue; /* newton is that quick */
            if (found.stop != ends[round])
                fail_msg("%s ends by '%s', not '%s'", info->name, tg_stop_name(found.stop), tg_stop_name(ends[round]));
            assert_true(round != 0 || found.iterations == 3);
            assert_true(round != 1 || (w.seen <= 41 && found.evaluations == w.seen));
            assert_true(round != 2 || found.value <= 3.5);
            assert_true(round != 3 || found.iterations == 2);
        }
    }
}

static void test_misuse(void **state)
{
    (void)state;
    quadratic q = {.n = 3};
    tg_objective f = quadratic_objective(&q);
    double x[3] = {1, 2, 3}, low[3] = {0, 5, 0}, high[3] = {9, 4, 9}, value;
    const double *points;
    size_t count;
    tg_minimum found = {.evaluations = 77};
    tg_minimizer *m = NULL;
    bool going;
    assert_int_equal(tg_minimize(&found, x, "lbfsg", &f, NULL), TG_ENOTFOUND);
    assert_non_null(strstr(tg_message(), "lbfgs"));
    assert_int_equal(tg_minimize(&found, x, "lbfgs", &f, SETTINGS({"history_sice", "3"})), TG_ENOTFOUND);
    assert_non_null(strstr(tg_message(), "did you mean history_size"));
    assert_int_equal(tg_minimize(&found, x, "lbfgs", &f, SETTINGS({"history_size", "0"})), TG_EINVAL);
    assert_int_equal(tg_minimize(&found, x, "lbfgs", &f, SETTINGS({"c2", "1e-5"})), TG_EINVAL);
    assert_int_equal(tg_minimize(&found, x, "cg", &f, SETTINGS({"line_search", "none"})), TG_EINVAL);
    assert_int_equal(tg_minimize(&found, x, "cmaes", &f, SETTINGS({"popsize", "3"})), TG_EINVAL);
    assert_int_equal(tg_minimize(&found, x, "genetic", &f, SETTINGS({"popsize", "3"})), TG_EINVAL);
    assert_int_equal(tg_minimize(&found, x, "genetic", &f, SETTINGS({"popsize", "20"}, {"elite", "20"})), TG_EINVAL);
    f.lower = low, f.upper = high;
    assert_int_equal(tg_minimize(&found, x, "lbfgs", &f, NULL), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "x[1]"));
    f.lower = f.upper = NULL;
    x[2] = NAN;
    assert_int_equal(tg_minimize(&found, x, "lbfgs", &f, NULL), TG_EINVAL);
    x[2] = 3;
    f.n = 2001;
    double *many = calloc(2001, sizeof *many);
    assert_int_equal(tg_minimize(&found, many, "newton", &f, NULL), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "newton_cg"));
    free(many);
    f.n = 0;
    assert_int_equal(tg_minimize(&found, x, "lbfgs", &f, NULL), TG_EINVAL);
    f.n = 3;
    f.evaluate = NULL;
    assert_int_equal(tg_minimize(&found, x, "lbfgs", &f, NULL), TG_EINVAL);
    assert_int_equal(tg_minimize(&found, x, "cmaes", &f, NULL), TG_ESTATE);
    assert_true(found.evaluations == 77 && x[0] == 1 && x[1] == 2 && x[2] == 3);
    f.evaluate = quadratic_evaluate;
    must(tg_minimizer_create(&m, "lbfgs", NULL));
    assert_int_equal(tg_minimizer_iterate(m, &going), TG_ESTATE);
    assert_int_equal(tg_minimizer_get(m, "histroy", &value), TG_ENOTFOUND);
    must(tg_minimizer_set(m, "history-size", "7"));
    must(tg_minimizer_get(m, "history_size", &value));
    assert_true(value == 7);
    must(tg_minimizer_start(m, &f, x));
    assert_int_equal(tg_minimizer_start(m, &f, x), TG_ESTATE);
    assert_int_equal(tg_minimizer_set(m, "history_size", "8"), TG_ESTATE);
    assert_int_equal(tg_minimizer_ask(m, &points, &count), TG_EUNSUPPORTED);
    tg_minimizer_minimum(m, &found);
    assert_true(isnan(found.value) && found.x[1] == 2 && found.evaluations == 0);
    tg_minimizer_destroy(m);
    tg_minimizer_destroy(NULL);
}

/* ---- line searches ---- */

/* Every step that is reported as found meets the conditions it was asked to meet, with constants that bite. */
static void test_conditions(void **state)
{
    (void)state;
    static const char *const searches[] = {"wolfe", "torch", "backtracking"};
    const double c1 = 0.35, c2 = 0.5;
    for (size_t s = 0; s < 3; s++)
        for (size_t p = 0; p < MGH_COUNT; p++) {
            mgh problem = mgh_all[p];
            const tg_objective f = {.n = problem.n, .ctx = &problem, .evaluate = mgh_evaluate};
            double x[MGH_N], g[MGH_N], old[MGH_N], value, last;
            tg_minimizer *m = NULL;
            tg_minimum now;
            bool going = true;
            must(tg_minimizer_create(&m, "lbfgs", NULL));
            must(tg_minimizer_set(m, "line_search", searches[s]));
            must(tg_minimizer_set_number(m, "c1", c1));
            must(tg_minimizer_set_number(m, "c2", c2));
            must(tg_minimizer_set_number(m, "max_iter", 12));
            mgh_start(&problem, x);
            must(tg_minimizer_start(m, &f, x));
            while (going) {
                double before = 0, after = 0;
                mgh_evaluate(&problem, &last, old, x);
                must(tg_minimizer_iterate(m, &going));
                tg_minimizer_minimum(m, &now);
                mgh_evaluate(&problem, &value, g, now.x);
                for (size_t i = 0; i < problem.n; i++)
                    before += old[i] * (now.x[i] - x[i]), after += g[i] * (now.x[i] - x[i]);
                memcpy(x, now.x, problem.n * sizeof *x);
                if (now.line != TG_LINE_FOUND || fabs(before) < 1e-9 * fabs(last) || going == false)
                    continue;
                const bool falls = value <= last + c1 * before * (1 - 1e-6);
                const bool flat = fabs(after) <= c2 * fabs(before) * (1 + 1e-6);
                if (!falls || (s < 2 && !flat))
                    fail_msg("%s on %s: %g to %g, slopes %g and %g", searches[s], problem.name, last, value, before,
                             after);
            }
            tg_minimizer_destroy(m);
        }
}

/* Without a search a step is halved until it leads to where there is a value. */
static void test_unsearched(void **state)
{
    (void)state;
    const tg_objective f = {.n = 2, .evaluate = barrier};
    double x[] = {3.1, 0.2};
    const tg_minimum found = search(x, "lbfgs", &f, SETTINGS({"line_search", "none"}, {"lr", "9"}, {"max_iter", "1"}));
    assert_true(found.stop == TG_STOP_ITERATIONS && found.evaluations > 2 && found.step < 9 && x[0] > 0);
}

/* ---- refreshing ---- */

typedef struct shifted { double by; } shifted;

static int shifted_evaluate(void *ctx, double *value, double *gradient, const double *x)
{
    const double by = ((const shifted *)ctx)->by;
    quadratic q = {.n = 3};
    const double moved[] = {x[0] - by, x[1] - by, x[2] - by};
    return quadratic_evaluate(&q, value, gradient, moved);
}

/* After the function or x has changed the search goes on from there, with what it has learnt. */
static void test_refresh(void **state)
{
    (void)state;
    shifted s = {0};
    const tg_objective f = {.n = 3, .ctx = &s, .evaluate = shifted_evaluate}, free = {.n = 3};
    double x[] = {2, -1, 0.5};
    tg_minimizer *m = NULL;
    tg_minimum now;
    bool going = true;
    must(tg_minimizer_create(&m, "lbfgs", NULL));
    assert_int_equal(tg_minimizer_refresh(m, x), TG_ESTATE);
    must(tg_minimizer_start(m, &f, x));
    while (going)
        must(tg_minimizer_iterate(m, &going));
    tg_minimizer_minimum(m, &now);
    const uint64_t before = now.evaluations;
    s.by = 0.731;
    must(tg_minimizer_refresh(m, NULL));
    for (going = true; going;)
        must(tg_minimizer_iterate(m, &going));
    tg_minimizer_minimum(m, &now);
    for (size_t i = 0; i < 3; i++)
        assert_near(now.x[i], quadratic_centre(i) + 0.731, 1e-6);
    assert_true(now.stop == TG_STOP_GRADIENT && now.evaluations - before <= 4 && before > 5); /* pairs still serve */
    must(tg_minimizer_refresh(m, x));
    must(tg_minimizer_iterate(m, &going));
    tg_minimizer_minimum(m, &now);
    assert_true(going && now.gradient_norm > 1e-7);
    x[1] = INFINITY;
    assert_int_equal(tg_minimizer_refresh(m, x), TG_EINVAL);
    x[1] = -1;
    tg_minimizer_destroy(m);
    must(tg_minimizer_create(&m, "cmaes", NULL));
    must(tg_minimizer_start(m, &free, x));
    assert_int_equal(tg_minimizer_refresh(m, NULL), TG_EUNSUPPORTED);
    tg_minimizer_destroy(m);
}

/* ---- hybrid ---- */

typedef struct moody {
    bool second, broken;
    int refused;
    uint64_t switches;
} moody;

/* Rosenbrock's, which for a while after the switch has values nowhere but where it stands. */
static int moody_evaluate(void *ctx, double *value, double *gradient, const double *x)
{
    moody *s = ctx;
    mgh problem = mgh_all[0];
    mgh_evaluate(&problem, value, gradient, x);
    if (s->second && s->broken && s->refused < 25) {
        s->refused++;
        *value = NAN;
    }
    return 0;
}

static int moody_monitor(void *ctx, const tg_minimum *now)
{
    moody *s = ctx;
    s->second = strcmp(now->phase, "lbfgs") == 0;
    assert_true(s->second || strcmp(now->phase, "adam") == 0);
    assert_true(now->switches >= s->switches && now->switches <= s->switches + 1);
    assert_int_equal(s->second, now->switches % 2);
    s->switches = now->switches;
    return 0;
}

static void test_hybrid(void **state)
{
    (void)state;
    for (int broken = 0; broken < 2; broken++) {
        moody s = {.broken = broken != 0};
        const tg_objective f = {.n = 2, .ctx = &s, .evaluate = moody_evaluate, .monitor = moody_monitor};
        double x[2] = {-1.2, 1};
        const tg_minimum found = search(x, "hybrid", &f, SETTINGS({"tolerance_change", "0"}, {"rule_lr", "0.02"}));
        assert_int_equal(found.stop, TG_STOP_GRADIENT);
        assert_true(broken ? found.switches >= 2 && s.refused > 5 : found.switches == 1); /* and back */
        assert_true(found.iterations > 100);
        assert_near(x[0], 1, 1e-6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_problems), cmocka_unit_test(test_mgh),        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_natgrad),  cmocka_unit_test(test_natgrad_root), cmocka_unit_test(test_fp32),       cmocka_unit_test(test_negative_curvature),
        cmocka_unit_test(test_bounds),   cmocka_unit_test(test_not_finite), cmocka_unit_test(test_stops),
        cmocka_unit_test(test_misuse),   cmocka_unit_test(test_hybrid),
        cmocka_unit_test(test_refresh), cmocka_unit_test(test_conditions), cmocka_unit_test(test_unsearched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
