/* minimize_free_test.c -- minimizers without gradients, and what holds for all: same bits on any number of threads, by
 * ask and tell, and after a state was copied; nothing allocated on the way, and every allocation that fails told; the
 * tables. */
#include "minimize_support.h"

#include <omp.h>
#include <stdio.h>

#include "minimize/chance.h"
#include "minimize/eigen.h"
#include "minimize/minimize.h"
#include "tiger/safetensors.h"

#define SETTINGS(...) ((const tg_setting[]){__VA_ARGS__, {NULL, NULL}})

/* ---- what they find ---- */

enum { SEEDS = 6 };

static int rastrigin(void *ctx, double *value, double *gradient, const double *x)
{
    const size_t n = *(const size_t *)ctx;
    (void)gradient;
    *value = 10 * (double)n;
    for (size_t i = 0; i < n; i++)
        *value += (x[i] - 0.3) * (x[i] - 0.3) - 10 * cos(6.283185307179586 * (x[i] - 0.3));
    return 0;
}

/* A landscape of thousands of minima: most searches end in the lowest, all in a low one. */
static void test_many_minima(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        tg_setting settings[3];
    } cases[] = {
        {"cmaes", {{"sigma", "2"}, {"target", "1e-8"}, {"restarts", "7"}}},
        {"anneal", {{"target", "1e-4"}, {"restarts", "9"}, {"chains", "8"}}},
        {"anneal", {{"target", "1e-3"}, {"restarts", "9"}, {"proposal", "cauchy"}}},
        {"genetic", {{"target", "1e-6"}, {"popsize", "200"}, {"tournament", "3"}}},
        {"genetic", {{"target", "1e-6"}, {"crossover", "sbx"}, {"popsize", "200"}}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        size_t n = 4;
        int reached = 0;
        const double lower[] = {-5.1, -5.1, -5.1, -5.1}, upper[] = {5.3, 5.3, 5.3, 5.3};
        const tg_objective f = {.n = n, .ctx = &n, .evaluate = rastrigin, .lower = lower, .upper = upper};
        for (int seed = 1; seed <= SEEDS; seed++) {
            double x[] = {3.1, -2.2, 4.4, 1.9};
            char text[16];
            tg_setting settings[5];
            memcpy(settings, cases[c].settings, sizeof cases[c].settings);
            snprintf(text, sizeof text, "%d", seed);
            settings[3] = (tg_setting){"seed", text};
            settings[4] = (tg_setting){NULL, NULL};
            const tg_minimum found = search(x, cases[c].method, &f, settings);
            reached += found.stop == TG_STOP_TARGET;
            assert_true(found.value < 3);
        }
        if (reached < SEEDS / 2)
            fail_msg("%s, case %zu: %d of %d searches reach the target", cases[c].method, c, reached, SEEDS);
    }
}

/* A log course never gets cold: it must come near on a plain function. */
static void test_log_cooling(void **state)
{
    (void)state;
    quadratic q = {.n = 2};
    const tg_objective f = quadratic_objective(&q);
    double x[] = {2, -1};
    search(x, "anneal", &f, SETTINGS({"cooling", "log"}, {"scale", "0.5"}, {"temperature", "0.1"}));
    for (size_t i = 0; i < 2; i++)
        assert_near(x[i], quadratic_centre(i), 0.05);
}

static void test_bounds(void **state)
{
    (void)state;
    enum { N = 4 };
    double lower[N], upper[N], best[N];
    for (size_t i = 0; i < N; i++) {
        lower[i] = i == 0 ? quadratic_centre(i) + 0.11 : -1.9;
        upper[i] = i == 1 ? quadratic_centre(i) - 0.13 : 2.7;
    }
    quadratic q = {.n = N, .lower = lower, .upper = upper};
    const tg_objective f = {.n = N, .ctx = &q, .evaluate = quadratic_evaluate, .lower = lower, .upper = upper};
    start_at(N, best);
    search(best, "lbfgs", &f, NULL);
    for (size_t k = 0; k < tg_minimizer_count(); k++) {
        double x[N];
        if (has_gradients(k))
            continue;
        start_at(N, x);
        search(x, tg_minimizer_at(k)->name, &f, NULL);
        for (size_t i = 0; i < N; i++)
            if (fabs(x[i] - best[i]) > 1e-2)
                fail_msg("%s: x[%zu] is %g, not %g", tg_minimizer_at(k)->name, i, x[i], best[i]);
    }
    double x[] = {0.7, 0.7, 0.7, 0.7}; /* bounds that meet leave one place */
    const double fixed[] = {0.5, -1, 0.5, -1}, top[] = {0.5, 1, 0.5, 1};
    q.lower = fixed, q.upper = top;
    const tg_objective g = {.n = N, .ctx = &q, .evaluate = quadratic_evaluate, .lower = fixed, .upper = top};
    search(x, "cmaes", &g, SETTINGS({"restarts", "0"}));
    assert_true(x[0] == 0.5 && x[2] == 0.5);
}

static int nothing(void *ctx, double *value, double *gradient, const double *x)
{
    (void)ctx, (void)gradient, (void)x;
    *value = NAN;
    return 0;
}

static void test_nothing_finite(void **state)
{
    (void)state;
    const tg_objective f = {.n = 3, .evaluate = nothing};
    for (size_t k = 0; k < tg_minimizer_count(); k++) {
        double x[] = {0.1, 0.2, 0.3};
        const tg_minimum found =
            has_gradients(k) ? (tg_minimum){.stop = TG_STOP_NOT_FINITE} : search(x, tg_minimizer_at(k)->name, &f, NULL);
        assert_int_equal(found.stop, TG_STOP_NOT_FINITE);
        assert_true(x[0] == 0.1);
    }
}

/* ---- the same bits ---- */

enum { STEPS = 40 };

static tg_minimizer *begin(const char *method, const tg_objective *f, int threads, uint64_t seed)
{
    double x[64];
    tg_minimizer *m = NULL;
    must(tg_minimizer_create(&m, method, NULL));
    must(tg_minimizer_set_number(m, "threads", threads));
    must(tg_minimizer_set_number(m, "seed", (double)seed));
    must(tg_minimizer_set_number(m, "tolerance_grad", 0));
    must(tg_minimizer_set_number(m, "tolerance_change", 0));
    start_at(f->n, x);
    must(tg_minimizer_start(m, f, x));
    return m;
}

static void step(tg_minimizer *m, int steps)
{
    bool going = true;
    for (int i = 0; i < steps && going; i++)
        must(tg_minimizer_iterate(m, &going));
}

static void same(tg_minimizer *a, tg_minimizer *b)
{
    size_t a_bytes, b_bytes;
    const void *p = tg_minimizer_state(a, &a_bytes), *q = tg_minimizer_state(b, &b_bytes);
    assert_int_equal(a_bytes, b_bytes);
    assert_memory_equal(p, q, a_bytes);
}

static tg_objective any_objective(quadratic *q)
{
    tg_objective f = quadratic_objective(q);
    f.evaluate = quadratic_value_in_parallel;
    f.parallel = true;
    return f;
}

static void test_threads(void **state)
{
    (void)state;
    quadratic q = {.n = 7};
    const tg_objective f = any_objective(&q);
    for (size_t k = 0; k < tg_minimizer_count(); k++) {
        tg_minimizer *one = begin(tg_minimizer_at(k)->name, &f, 1, 3);
        step(one, STEPS);
        for (int threads = 2; threads <= 7; threads += 5) {
            tg_minimizer *many = begin(tg_minimizer_at(k)->name, &f, threads, 3);
            step(many, STEPS);
            same(one, many);
            tg_minimizer_destroy(many);
        }
        tg_minimizer *other = begin(tg_minimizer_at(k)->name, &f, 1, 4);
        tg_minimum a, b;
        step(other, STEPS);
        tg_minimizer_minimum(one, &a);
        tg_minimizer_minimum(other, &b);
        assert_int_equal(has_gradients(k), a.value == b.value); /* the seed counts where there is chance */
        tg_minimizer_destroy(other);
        tg_minimizer_destroy(one);
    }
}

static int long_quadratic(void *ctx, double *value, double *gradient, const double *x)
{
    const size_t n = *(const size_t *)ctx;
    *value = 0;
    for (size_t i = 0; i < n; i++) {
        const double a = x[i] - sin((double)i), c = 1 + (double)(i % 17);
        *value += 0.5 * c * a * a;
        gradient[i] = c * a;
    }
    return 0;
}

/* Long vectors, whose sums several threads share. */
static void test_long(void **state)
{
    (void)state;
    size_t n = 300007;
    const int before = omp_get_max_threads();
    double *x[3], value[3];
    const tg_objective f = {.n = n, .ctx = &n, .evaluate = long_quadratic};
    for (int i = 0; i < 3; i++) {
        x[i] = calloc(n, sizeof *x[i]);
        omp_set_num_threads(i == 0 ? 1 : i == 1 ? 2 : 7);
        value[i] = search(x[i], "lbfgs", &f, SETTINGS({"max_iter", "8"}, {"history_size", "5"})).value;
        assert_true(value[i] == value[0]);
        assert_memory_equal(x[i], x[0], n * sizeof *x[i]);
    }
    omp_set_num_threads(before);
    for (int i = 0; i < 3; i++)
        free(x[i]);
}

/* What is no part of the state may hold anything between iterations. */
static void spoil_scratch(tg_minimizer *m)
{
    for (size_t i = 0; i < TG_MINIMIZER_ARRAYS; i++)
        for (size_t k = 0; m->scratch[i] && k < m->count[i]; k++)
            m->at[i][k] = NAN;
}

/* A state copied out in the middle goes on elsewhere to the same bits. */
static void test_resume(void **state)
{
    (void)state;
    quadratic q = {.n = 7};
    const tg_objective f = any_objective(&q);
    for (size_t k = 0; k < tg_minimizer_count(); k++)
        for (int at = 0; at < 12; at += 3) {
            tg_minimizer *a = begin(tg_minimizer_at(k)->name, &f, 1, 3), *b = begin(tg_minimizer_at(k)->name, &f, 2, 3);
            size_t bytes;
            step(a, at);
            void *from = tg_minimizer_state(a, &bytes);
            memcpy(tg_minimizer_state(b, &bytes), from, bytes);
            spoil_scratch(b);
            step(a, STEPS);
            step(b, STEPS);
            same(a, b);
            tg_minimizer_destroy(a);
            tg_minimizer_destroy(b);
        }
}

/* ... and so does one that went through a file; what is of no such search is refused, and changes nothing. */
static void test_files(void **state)
{
    (void)state;
    static const char path[] = "minimize_free_test.safetensors";
    quadratic q = {.n = 7};
    const tg_objective f = any_objective(&q);
    for (size_t k = 0; k < tg_minimizer_count(); k++) {
        const char *method = tg_minimizer_at(k)->name, *next = tg_minimizer_at((k + 1) % tg_minimizer_count())->name;
        for (int at = 0; at < 12; at += 3) {
            tg_minimizer *a = begin(method, &f, 1, 3), *b = begin(method, &f, 2, 3), *other = begin(next, &f, 1, 3);
            step(a, at);
            must(tg_minimizer_save(a, path));
            must(tg_minimizer_load(b, path));
            spoil_scratch(b);
            assert_int_equal(tg_minimizer_load(other, path), TG_EFORMAT);
            step(a, STEPS);
            step(b, STEPS);
            same(a, b);
            tg_minimizer_destroy(a);
            tg_minimizer_destroy(b);
            tg_minimizer_destroy(other);
        }
    }
    remove(path);
}

/* Counts that a history, or a generation, cannot have would index beyond arrays. */
static void test_impossible_counts(void **state)
{
    (void)state;
    static const char path[] = "minimize_free_test_counts.safetensors";
    static const struct {
        const char *method;
        size_t word; /* of "counts" */
        uint64_t value;
    } cases[] = {{"lbfgs", 14, 11}, {"lbfgs", 15, 10}, {"hybrid", 14, 11}, {"gd", 12, TG_STOP_COUNT},
                 {"gd", 13, TG_LINE_COUNT}, {"cmaes", 11, 1000}, {"cmaes", 16, 1000}, {"cmaes", 19, 40},
                 {"genetic", 11, 1000}, {"anneal", 11, 1000}};
    quadratic q = {.n = 7};
    const tg_objective f = any_objective(&q);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        tg_minimizer *a = begin(cases[c].method, &f, 1, 3), *b = begin(cases[c].method, &f, 1, 3);
        tg_safetensors *file = NULL;
        tg_named_tensor tensor[40];
        uint64_t counts[64];
        step(a, 5);
        step(b, 5);
        must(tg_minimizer_save(a, path));
        must(tg_safetensors_open(&file, path, NULL));
        const size_t count = tg_safetensors_count(file);
        for (size_t i = 0; i < count; i++)
            tensor[i] = *tg_safetensors_at(file, i);
        assert_string_equal(tensor[0].name, "counts");
        memcpy(counts, tensor[0].data, tensor[0].bytes);
        counts[cases[c].word] = cases[c].value;
        tensor[0].data = counts;
        const char *const metadata[] = {"format", "tiger-minimizer-1", "minimizer", cases[c].method};
        must(tg_safetensors_write(path, tensor, count, metadata, 2));
        if (tg_minimizer_load(b, path) != TG_EFORMAT)
            fail_msg("%s: count %zu may be %llu", cases[c].method, cases[c].word, (unsigned long long)cases[c].value);
        same(a, b);
        tg_safetensors_destroy(file);
        tg_minimizer_destroy(a);
        tg_minimizer_destroy(b);
    }
    remove(path);
}

static int batch(void *ctx, double *values, const double *points, size_t count)
{
    quadratic *q = ctx;
    for (size_t i = 0; i < count; i++)
        quadratic_evaluate(q, &values[i], NULL, points + i * q->n);
    return 0;
}

/* Asking and telling, a batch callback, and iterating are one search. */
static void test_ask_and_tell(void **state)
{
    (void)state;
    quadratic q = {.n = 5};
    const tg_objective f = any_objective(&q), silent = {.n = 5}, whole = {.n = 5, .ctx = &q, .batch = batch};
    for (size_t k = 0; k < tg_minimizer_count(); k++) {
        if (has_gradients(k))
            continue;
        tg_minimizer *a = begin(tg_minimizer_at(k)->name, &f, 1, 9),
                     *b = begin(tg_minimizer_at(k)->name, &silent, 1, 9);
        tg_minimizer *c = begin(tg_minimizer_at(k)->name, &whole, 1, 9);
        for (int i = 0; i < STEPS; i++) {
            const double *points, *again;
            double values[512];
            size_t count, count_again;
            step(a, 1);
            step(c, 1);
            must(tg_minimizer_ask(b, &points, &count));
            must(tg_minimizer_ask(b, &again, &count_again));
            assert_true(points == again && count == count_again && count > 1 && count <= 512);
            batch(&q, values, points, count);
            assert_int_equal(tg_minimizer_tell(b, values, count - 1), TG_EINVAL);
            must(tg_minimizer_tell(b, values, count));
            assert_int_equal(tg_minimizer_tell(b, values, count), TG_ESTATE);
        }
        same(a, b);
        same(a, c);
        tg_minimizer_destroy(a);
        tg_minimizer_destroy(b);
        tg_minimizer_destroy(c);
    }
}

/* In fp32 every candidate is a number of fp32, and the search is the same on any number of threads. */
static int single(void *ctx, double *value, float *gradient, const float *x)
{
    double wide[8];
    const quadratic *q = ctx;
    (void)gradient;
    for (size_t i = 0; i < q->n; i++)
        wide[i] = (double)x[i];
    return quadratic_value_in_parallel(ctx, value, NULL, wide);
}

static void test_fp32(void **state)
{
    (void)state;
    quadratic q = {.n = 6};
    const tg_objective f = {.n = 6, .ctx = &q, .evaluate_f32 = single, .parallel = true};
    for (size_t k = 0; k < tg_minimizer_count(); k++) {
        if (has_gradients(k))
            continue;
        tg_minimizer *a = begin(tg_minimizer_at(k)->name, &f, 1, 5), *b = begin(tg_minimizer_at(k)->name, &f, 7, 5);
        tg_minimum now;
        step(a, STEPS);
        step(b, STEPS);
        same(a, b);
        tg_minimizer_minimum(a, &now);
        for (size_t i = 0; i < 6; i++)
            assert_true(now.x[i] == (double)(float)now.x[i]);
        tg_minimizer_destroy(a);
        tg_minimizer_destroy(b);
    }
}

/* ---- memory ---- */

static void test_memory(void **state)
{
    (void)state;
    quadratic q = {.n = 6};
    const tg_objective f = any_objective(&q);
    for (size_t k = 0; k < tg_minimizer_count(); k++) {
        const char *method = tg_minimizer_at(k)->name;
        long at = 0;
        tg_status status;
        do {
            double x[6];
            tg_minimum found = {.evaluations = 77};
            start_at(6, x);
            const double first = x[0];
            tg_memory_fail_at(++at);
            status = tg_minimize(&found, x, method, &f, SETTINGS({"max_iter", "5"}));
            tg_memory_fail_at(0);
            assert_true(status == TG_OK || (status == TG_ENOMEM && x[0] == first && found.evaluations == 77));
        } while (status != TG_OK);
        assert_int_equal(at, 3); /* the object and one block, and nothing later */
        tg_minimizer *m = begin(method, &f, 2, 1);
        tg_memory_fail_at(1);
        step(m, STEPS);
        tg_memory_fail_at(0);
        tg_minimizer_destroy(m);
    }
}

/* ---- the tables ---- */

static void test_tables(void **state)
{
    (void)state;
    assert_true(tg_minimizer_count() >= 10);
    assert_null(tg_minimizer_at(tg_minimizer_count()));
    for (size_t k = 0; k < tg_minimizer_count(); k++) {
        const tg_minimizer_info *info = tg_minimizer_at(k);
        assert_ptr_equal(tg_minimizer_find(info->name), info);
        assert_true(info->title && info->source && info->equations && info->when_to_use && info->options.count > 0);
        assert_true(info->options.count <= TG_MAX_MINIMIZER_OPTIONS);
        for (size_t i = 0; i < info->options.count; i++) {
            const tg_option *o = &info->options.at[i];
            must(tg_option_check(o, o->value));
            assert_true(o->name != NULL && o->help != NULL);
            assert_int_equal(tg_option_find(&info->options, o->name), i);
            assert_int_equal(tg_option_find(tg_minimizer_common_options(), o->name),
                             tg_minimizer_common_options()->count);
        }
    }
    for (int i = 0; i < TG_STOP_COUNT; i++) /* names are told apart */
        for (int k = 0; k < i; k++)
            assert_string_not_equal(tg_stop_name((tg_stop)i), tg_stop_name((tg_stop)k));
    for (int i = 0; i < TG_LINE_COUNT; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(tg_line_end_name((tg_line_end)i), tg_line_end_name((tg_line_end)k));
    assert_true(tg_stop_converged(TG_STOP_PRECISION) && !tg_stop_converged(TG_STOP_ITERATIONS));
}

static bool has(const char *from, const char *text)
{
    const char *end = strstr(from, "\n## "), *found = strstr(from, text);
    return found != NULL && (end == NULL || found < end);
}

/* Each method's section has its line, its source, its equations' first line, and a row of every option as the table
 * says. */
static void check_section(const char *page, const char *title, const tg_option_table *options)
{
    char head[64], row[128], value[64];
    snprintf(head, sizeof head, "\n## %s\n", title);
    const char *section = strstr(page, head);
    if (section == NULL)
        fail_msg("docs/minimizers.md has no section '%s'", title);
    for (size_t i = 0; i < options->count; i++) {
        tg_option_print(value, sizeof value, &options->at[i], options->at[i].value);
        snprintf(row, sizeof row, "\n| `%s` | %s | ", options->at[i].name, value);
        if (!has(section + 1, row))
            fail_msg("docs/minimizers.md, %s: no row '%s'", title, row + 1);
    }
}

static void test_page(void **state)
{
    (void)state;
    static char page[1 << 16];
    FILE *file = fopen(TG_TESTS_DIR "/../docs/minimizers.md", "r");
    assert_non_null(file);
    page[fread(page, 1, sizeof page - 1, file)] = '\0';
    fclose(file);
    check_section(page, "Options of every minimizer", tg_minimizer_common_options());
    for (size_t k = 0; k < tg_minimizer_count(); k++) {
        const tg_minimizer_info *info = tg_minimizer_at(k);
        check_section(page, info->name, &info->options);
        assert_non_null(strstr(page, info->title));
        assert_non_null(strstr(page, info->source));
    }
}

/* ---- eigenvalues, factors, ranks ---- */

static void test_dense(void **state)
{
    (void)state;
    enum { N = 13 };
    double a[N * N], copy[N * N], v[N * N], value[N], x[N], sum;
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k <= i; k++)
            a[i * N + k] = a[k * N + i] = sin(3.1 * (double)(i * i + k)) + (i == k ? 9 + (double)(i % 3) : 0);
    memcpy(copy, a, sizeof a);
    assert_true(tg_eigen(N, value, v, copy));
    for (size_t e = 0; e < N; e++)
        for (size_t i = 0; i < N; i++) { /* A v = value v; v.v' = 1 or 0 */
            double av = 0;
            sum = 0;
            for (size_t k = 0; k < N; k++)
                av += a[i * N + k] * v[e * N + k], sum += v[e * N + k] * v[i * N + k];
            assert_near(av, value[e] * v[e * N + i], 1e-12);
            assert_near(sum, e == i ? 1 : 0, 1e-13);
        }
    memcpy(copy, a, sizeof a);
    assert_true(tg_cholesky(N, copy));
    for (size_t i = 0; i < N; i++)
        x[i] = 1.3 - 0.4 * (double)i;
    tg_cholesky_solve(N, copy, x);
    for (size_t i = 0; i < N; i++) {
        sum = 0;
        for (size_t k = 0; k < N; k++)
            sum += a[i * N + k] * x[k];
        assert_near(sum, 1.3 - 0.4 * (double)i, 1e-12);
    }
    memcpy(copy, a, sizeof a);
    copy[4 * N + 4] = -2.385; /* not positive */
    assert_false(tg_cholesky(N, copy));
    copy[7 * N] = NAN;
    assert_false(tg_eigen(N, value, v, copy));
}

/* Into the bounds by mirrors, from any distance; infinite ones do not reflect. */
static void test_mirror(void **state)
{
    (void)state;
    static const struct { double v, low, high, expected; } cases[] = {
        {0.4, 0, 1, 0.4}, {1.3, 0, 1, 0.7}, {-0.3, 0, 1, 0.3}, {2.3, 0, 1, 0.3}, {-3.25, 0, 2, 0.75},
        {5.5, -INFINITY, 4, 2.5}, {-9, 1, INFINITY, 11}, {7, 3, 3, 3}, {1e9, -INFINITY, INFINITY, 1e9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_near(tg_mirror(cases[i].v, cases[i].low, cases[i].high), cases[i].expected, 1e-12);
}

static void test_rank(void **state)
{
    (void)state;
    const double value[] = {3.1, INFINITY, -2, 3.1, 0.5, INFINITY, -2, 7}, expected[] = {2, 6, 4, 0, 3, 7, 1, 5};
    double order[8];
    tg_rank(order, value, 8);
    assert_memory_equal(order, expected, sizeof order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_minima),    cmocka_unit_test(test_log_cooling),  cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_nothing_finite), cmocka_unit_test(test_threads),      cmocka_unit_test(test_long),
        cmocka_unit_test(test_resume), cmocka_unit_test(test_files), cmocka_unit_test(test_impossible_counts),
        cmocka_unit_test(test_ask_and_tell), cmocka_unit_test(test_fp32),
        cmocka_unit_test(test_memory),         cmocka_unit_test(test_tables),       cmocka_unit_test(test_dense),
        cmocka_unit_test(test_rank), cmocka_unit_test(test_mirror),           cmocka_unit_test(test_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
