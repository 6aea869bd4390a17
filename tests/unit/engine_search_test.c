/* Searches: spaces, the Gaussian process against plain elimination and differences, samplers against drawing at random,
 * pruners, and studies of one journal that several work on. */
#include "home_support.h"

#include <fcntl.h>
#include <math.h>

#include "base/memory.h"
#include "base/random.h"
#include "search/process.h"
#include "search/search.h"
#include "search/study.h"
#include "tiger/engine/search.h"

static const tg_option own[] = {
    {.name = "lr",
     .kind = TG_REAL,
     .value = 0.01,
     .least = 0,
     .most = INFINITY,
     .search_least = 1e-4,
     .search_most = 0.1,
     .search_log = 1},
    {.name = "beta", .kind = TG_REAL, .value = 0.9, .least = 0, .most = 1, .search_least = 0.8, .search_most = 0.99},
    {.name = "scale", .kind = TG_CHOICE, .value = 0, .least = 0, .most = 2, .choices = "rms|dim|none"},
    {.name = "eps", .kind = TG_REAL, .value = 1e-8, .least = 0, .most = 1},
};
static const tg_option others[] = {
    {.name = "batch", .kind = TG_INTEGER, .value = 12, .least = 1, .most = 1000000},
    {.name = "lr", .kind = TG_INTEGER, .value = 1, .least = 1, .most = 2},
};
static const tg_option_table tables[] = {{own, 4}, {others, 2}};

static tg_space parse(const char *text)
{
    tg_space space = {0};
    ok(tg_space_parse(&space, text, tables, 2, NULL, 0));
    return space;
}

/* ---- spaces ---- */

static void test_own_ranges(void **state)
{
    (void)state;
    const tg_setting fixed = {"beta", "0.9"};
    tg_space space = parse(NULL);
    assert_int_equal(space.count, 2);
    assert_string_equal(space.at[0].name, "lr");
    assert_true(space.at[0].log && space.at[0].low == 1e-4 && space.at[0].high == 0.1);
    assert_true(!space.at[1].log && space.at[1].low == 0.8 && space.at[1].high == 0.99);
    tg_space_fini(&space);
    ok(tg_space_parse(&space, NULL, tables, 2, &fixed, 1));
    assert_int_equal(space.count, 1);
    assert_string_equal(space.at[0].name, "lr");
    tg_space_fini(&space);
}

static void test_said(void **state)
{
    (void)state;
    tg_space space = parse("  batch=3..40 scale=none/rms lr=0.002..0.003 beta eps=0.1..0.5 ");
    assert_int_equal(space.count, 5);
    assert_int_equal(space.at[0].kind, TG_DIMENSION_WHOLE);
    assert_true(space.at[0].log); /* ten times as much, and nobody says otherwise */
    assert_int_equal(space.at[1].kind, TG_DIMENSION_CHOICE);
    assert_int_equal(space.at[1].choices, 2);
    assert_string_equal(space.at[1].choice[0], "none");
    assert_true(space.at[2].log && space.at[2].low == 0.002); /* as the option's own range is */
    assert_int_equal(space.at[2].kind, TG_DIMENSION_REAL);
    assert_true(!space.at[3].log && space.at[3].high == 0.99);
    assert_true(!space.at[4].log);
    tg_space_fini(&space);
}

static void test_refused_spaces(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"rate=1..2", "no option 'rate'"},
        {"betta", "did you mean beta"},
        {"lr lr=1..2", "lr is there twice"},
        {"eps", "no search range of its own"},
        {"lr=0.1", "neither a range"},
        {"lr=2..1", "nothing in it"},
        {"beta=0.5..1.5", "beta"},
        {"scale=rms..dim", "neither"},
        {"scale=rms/max", "scale"},
        {"scale=rms/rms", "there twice"},
        {"lr=1..x", "lr"},
        {"batch=1.5..3", "batch"},
        {"", "nothing is to be searched"},
        {"lr=", "neither"},
        {"beta=0.9/", "beta"},
    };
    const tg_setting fixed = {"lr", "0.1"};
    tg_space space = {.count = 17};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        refused(tg_space_parse(&space, wrong[i][0], tables, 2, NULL, 0), TG_EINVAL, wrong[i][1]);
        assert_int_equal(space.count, 17);
    }
    refused(tg_space_parse(&space, "lr=1..2", tables, 2, &fixed, 1), TG_EINVAL, "lr has a value");
}

/* Whole numbers are equally likely, ends included; all values lie in their range, and are what is printed. */
static void test_points(void **state)
{
    (void)state;
    tg_space space = parse("batch=3..7 scale=none/rms/dim lr=0.0021..0.0937 beta");
    size_t times[8] = {0};
    for (size_t i = 0; i < 1000; i++) {
        const double unit = ((double)i + 0.5) / 1000;
        times[(size_t)tg_dimension_from_unit(&space.at[0], unit)]++;
        for (size_t d = 0; d < space.count; d++) {
            char text[TG_SPACE_TEXT];
            const double value = tg_dimension_from_unit(&space.at[d], unit);
            tg_dimension_print(text, &space.at[d], value);
            assert_true(strlen(text) <= 9);
            if (space.at[d].kind != TG_DIMENSION_CHOICE)
                assert_true(value >= space.at[d].low && value <= space.at[d].high && strtod(text, NULL) == value);
            const double back = tg_dimension_to_unit(&space.at[d], value);
            assert_true(tg_dimension_from_unit(&space.at[d], back) == value);
            if (space.at[d].kind == TG_DIMENSION_REAL)
                assert_true(fabs(back - unit) < 1e-3);
        }
    }
    for (size_t n = 3; n <= 7; n++)
        assert_int_equal(times[n], 200);
    assert_true(fabs(tg_dimension_from_unit(&space.at[2], 0.5) - sqrt(0.0021 * 0.0937)) < 1e-5);
    tg_space_fini(&space);
}

/* ---- the Gaussian process ---- */

#define N 9

static double matern(const double *a, const double *b, const bool *choice, const double *parameter)
{
    double sum = 0;
    for (int d = 0; d < 3; d++) {
        const double way = choice[d] ? (double)(a[d] != b[d]) : fabs(a[d] - b[d]);
        sum += pow(way / exp(parameter[d]), 2);
    }
    const double r = sqrt(sum);
    return exp(parameter[3]) * (1 + sqrt(5) * r + 5.0 / 3 * r * r) * exp(-sqrt(5) * r);
}

/* x <- K^-1 b by elimination; the logarithm of K's determinant. */
static double eliminate(double *x, double (*k)[N], const double *b)
{
    double a[N][N + 1], log_determinant = 0;
    for (int i = 0; i < N; i++) {
        memcpy(a[i], k[i], N * sizeof(double));
        a[i][N] = b[i];
    }
    for (int c = 0; c < N; c++) {
        log_determinant += log(a[c][c]);
        for (int i = 0; i < N; i++) {
            const double by = i == c ? 0 : a[i][c] / a[c][c];
            for (int j = c; j <= N; j++)
                a[i][j] -= by * a[c][j];
        }
    }
    for (int i = 0; i < N; i++)
        x[i] = a[i][N] / a[i][i];
    return log_determinant;
}

static void fill(tg_process *p)
{
    static const double parameter[] = {-0.7, 0.4, 0.9, 0.3, -3.1};
    const tg_key key = tg_key_make(5, 1, 2, 3);
    for (uint32_t i = 0; i < N; i++) {
        double *x = p->point + 3 * i;
        x[0] = (double)tg_random_uniform(key, 3 * i);
        x[1] = (double)tg_random_uniform(key, 3 * i + 1);
        x[2] = i % 3 == 0 ? 0.25 : 0.75;
        p->value[i] = sin(5 * x[0]) + x[1] * x[1] - x[2];
    }
    memcpy(p->parameter, parameter, sizeof parameter);
    p->count = N;
}

static void test_process(void **state)
{
    (void)state;
    static const bool choice[] = {false, false, true};
    static const double at[] = {0.37, 0.81, 0.75};
    tg_process p;
    double k[N][N], weight[N], across[N], solved[N], gradient[5], mean, variance;
    ok(tg_process_init(&p, N + 2, 3, choice));
    fill(&p);
    for (int i = 0; i < N; i++) {
        across[i] = matern(p.point + 3 * i, at, choice, p.parameter);
        for (int j = 0; j < N; j++)
            k[i][j] =
                matern(p.point + 3 * i, p.point + 3 * j, choice, p.parameter) + (i == j ? exp(p.parameter[4]) : 0);
    }
    double likelihood = -0.5 * eliminate(weight, k, p.value) - 0.5 * N * log(8 * atan(1)), expected = 0,
           spread = exp(p.parameter[3]);
    eliminate(solved, k, across);
    for (int i = 0; i < N; i++) {
        likelihood -= 0.5 * p.value[i] * weight[i];
        expected += across[i] * weight[i];
        spread -= across[i] * solved[i];
    }
    assert_true(fabs(tg_process_likelihood(&p, gradient) - likelihood) < 1e-10);
    tg_process_predict(&mean, &variance, &p, at);
    assert_true(fabs(mean - expected) < 1e-10 && fabs(variance - spread) < 1e-10);
    for (int i = 0; i < 5; i++) {
        const double was = p.parameter[i], h = 1e-5;
        p.parameter[i] = was + h;
        const double above = tg_process_likelihood(&p, NULL);
        p.parameter[i] = was - h;
        const double below = tg_process_likelihood(&p, NULL);
        p.parameter[i] = was;
        assert_true(fabs((above - below) / (2 * h) - gradient[i]) < 1e-6 * (1 + fabs(gradient[i])));
    }
    ok(tg_process_fit(&p));
    assert_true(tg_process_likelihood(&p, gradient) > likelihood + 0.1);
    tg_process_fini(&p);
}

/* By the midpoint rule over twelve deviations. */
static void test_improvement(void **state)
{
    (void)state;
    static const double cases[][3] = {{0.3, 0.49, 0.1}, {-1.7, 0.04, 0.2}, {2.385, 1.21, 0.5}};
    for (size_t c = 0; c < 3; c++) {
        const double mean = cases[c][0], variance = cases[c][1], best = cases[c][2], s = sqrt(variance);
        double sum = 0;
        for (int i = 0; i < 200000; i++) {
            const double z = -12 + 24 * (i + 0.5) / 200000;
            sum += fmax(0, best - mean - s * z) * exp(-0.5 * z * z) / sqrt(8 * atan(1)) * 24 / 200000;
        }
        assert_true(fabs(tg_expected_improvement(mean, variance, best) - sum) < 1e-8 * (1 + sum));
    }
    assert_true(tg_expected_improvement(0.5, 0, 0.75) == 0.25 && tg_expected_improvement(0.75, 0, 0.5) == 0);
}

/* ---- studies ---- */

static tg_study *open_as(const tg_space *space, const char *sampler, const char *pruner, uint64_t seed,
                         const char *worker)
{
    tg_study *study = NULL;
    const tg_study_config config = {.path = "m/j",
                                    .name = "t",
                                    .space = space,
                                    .sampler = sampler,
                                    .pruner = pruner,
                                    .seed = seed,
                                    .worker = worker};
    ok(tg_study_open(&study, &config));
    return study;
}

static char *slurp(size_t *bytes)
{
    static char text[1 << 20];
    FILE *file = fopen("m/j", "r");
    assert_non_null(file);
    *bytes = fread(text, 1, sizeof text - 1, file);
    text[*bytes] = '\0';
    fclose(file);
    return text;
}

static void append(const char *text)
{
    FILE *file = fopen("m/j", "a");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* A narrow valley: at lr 0.01 and beta 0.93, and better with one choice than with the others. */
static double loss_of(const tg_trial *t)
{
    return pow(log10(t->param[0]) + 2, 2) + 40 * pow(t->param[1] - 0.93, 2) + (t->param[2] == 1 ? 0 : 0.3);
}

static double best_of(const char *sampler, uint64_t seed, size_t trials)
{
    tg_space space = parse("lr beta scale=rms/dim/none");
    unlink("m/j");
    tg_study *study = open_as(&space, sampler, "none", seed, NULL);
    for (size_t i = 0; i < trials; i++) {
        size_t trial;
        ok(tg_study_ask(study, &trial));
        assert_int_equal(trial, i);
        const tg_trial *t = tg_study_trial(study, trial);
        for (size_t d = 0; d < space.count; d++)
            assert_true(!isnan(t->param[d]));
        ok(tg_study_tell(study, trial, TG_TRIAL_COMPLETE, loss_of(t)));
    }
    const double best = tg_study_trial(study, tg_study_best(study))->value;
    tg_study_close(study);
    tg_space_fini(&space);
    return best;
}

/* What learns is better than what does not, after 50 trials, in the mean of the logarithms over seeds. */
static void test_samplers_learn(void **state)
{
    (void)state;
    static const char *const names[] = {"random", "tpe", "gp", "genetic", "anneal"};
    double mean[5] = {0};
    for (size_t s = 0; s < 5; s++)
        for (uint64_t seed = 1; seed <= 8; seed++)
            mean[s] += log(best_of(names[s], seed, 50) + 1e-12) / 8;
    for (size_t s = 1; s < 5; s++)
        if (!(mean[s] < mean[0] - log(2)))
            fail_msg("%s came to %g, random to %g", names[s], exp(mean[s]), exp(mean[0]));
    assert_true(mean[2] < mean[0] - log(20)); /* a smooth function is what gp is for */
}

/* The same seed gives the same trials, whoever asks for them; another seed others. */
static void test_repeats(void **state)
{
    (void)state;
    for (size_t s = 0; tg_sampler_at(s) != NULL; s++) {
        const char *name = tg_sampler_at(s)->name;
        const double first = best_of(name, 3, 14);
        assert_true(first == best_of(name, 3, 14));
        assert_true(strcmp(name, "grid") == 0 || first != best_of(name, 4, 14));
    }
}

static void test_grid(void **state)
{
    (void)state;
    tg_space space = parse("scale=rms/dim/none batch=2..4 lr");
    bool tried[3][5][8] = {{{false}}};
    unlink("m/j");
    assert_int_equal(tg_sampler_trials("grid", &space), 3 * 3 * 5);
    assert_true(tg_sampler_trials("tpe", &space) == SIZE_MAX);
    tg_study *study = open_as(&space, "grid", "none", 1, NULL);
    for (size_t i = 0; i < 46; i++) {
        size_t trial;
        ok(tg_study_ask(study, &trial));
        const double *p = tg_study_trial(study, trial)->param;
        bool *cell = &tried[(size_t)p[0]][(size_t)p[1]][(size_t)round((log10(p[2]) + 4) / 0.75)];
        assert_false(*cell);
        *cell = i != 7; /* one fails: somebody else must try it */
        ok(tg_study_tell(study, trial, i == 7 ? TG_TRIAL_FAILED : TG_TRIAL_COMPLETE, i == 7 ? NAN : 1.5));
    }
    tg_study_close(study);
    tg_space_fini(&space);
}

/* Workers side by side propose different points. */
static void test_side_by_side(void **state)
{
    (void)state;
    tg_space space = parse("lr beta scale=rms/dim/none");
    for (size_t s = 0; tg_sampler_at(s) != NULL; s++) {
        size_t trial;
        unlink("m/j");
        tg_study *a = open_as(&space, tg_sampler_at(s)->name, "none", 2, "a");
        for (size_t i = 0; i < 12; i++) {
            ok(tg_study_ask(a, &trial));
            ok(tg_study_tell(a, trial, TG_TRIAL_COMPLETE, loss_of(tg_study_trial(a, trial))));
        }
        tg_study *b = open_as(&space, tg_sampler_at(s)->name, "none", 2, "b");
        ok(tg_study_ask(a, &trial));
        assert_int_equal(trial, 12);
        ok(tg_study_ask(b, &trial));
        assert_int_equal(trial, 13);
        assert_int_equal(tg_study_trials(a), 13);
        ok(tg_study_refresh(a));
        assert_int_equal(tg_study_trials(a), 14);
        assert_string_equal(tg_study_trial(a, 12)->worker, "a");
        assert_string_equal(tg_study_trial(a, 13)->worker, "b");
        assert_true(memcmp(tg_study_trial(a, 12)->param, tg_study_trial(a, 13)->param, 2 * sizeof(double)) != 0);
        ok(tg_study_forget(a, "b"));
        refused(tg_study_tell(b, 13, TG_TRIAL_COMPLETE, 1.5), TG_ESTATE, "trial 13|has ended");
        ok(tg_study_tell(a, 12, TG_TRIAL_COMPLETE, 1.5));
        tg_study_close(a);
        tg_study_close(b);
    }
    assert_int_not_equal(access("m/j.lock", F_OK), 0);
    tg_space_fini(&space);
}

/* ---- pruners ---- */

/* Reports values[] as steps 10, 20, ...; true when it was told to end. */
static bool run_trial(tg_study *study, const double *values, size_t count)
{
    size_t trial;
    bool prune = false;
    ok(tg_study_ask(study, &trial));
    for (size_t i = 0; i < count && !prune; i++)
        ok(tg_study_report(study, trial, 10 * (i + 1), values[i], &prune));
    ok(tg_study_tell(study, trial, prune ? TG_TRIAL_PRUNED : TG_TRIAL_COMPLETE, prune ? NAN : values[count - 1]));
    return prune;
}

static void test_median(void **state)
{
    (void)state;
    tg_space space = parse("lr");
    unlink("m/j");
    tg_study *study = open_as(&space, "random", "median", 1, NULL);
    for (int i = 0; i < 5; i++) /* at step 10: 1 .. 5; nothing is ended while fewer than five are complete */
        assert_false(run_trial(study, (double[]){i + 1, 0.5}, 2));
    assert_false(run_trial(study, (double[]){3, 9}, 1));    /* the median itself */
    assert_true(run_trial(study, (double[]){3.5, 0.5}, 2)); /* above it: 3 of the 6 complete ones are below .. */
    assert_false(run_trial(study, (double[]){2.5, 0.5}, 2));
    assert_true(run_trial(study, (double[]){2.9, NAN}, 2)); /* no number is worse than any */
    const tg_trial *pruned = tg_study_trial(study, 6);
    assert_int_equal(pruned->state, TG_TRIAL_PRUNED);
    assert_true(pruned->value == 3.5 && pruned->steps == 1);
    assert_true(run_trial(study, (double[]){1.5, 0.75}, 2)); /* its best so far, 0.75, is above 0.5 */
    tg_study_close(study);
    tg_space_fini(&space);
}

static void test_asha(void **state)
{
    (void)state;
    tg_space space = parse("lr");
    unlink("m/j");
    tg_study *study = open_as(&space, "random", "asha", 1, NULL);
    assert_false(run_trial(study, (double[]){5, 4, 3, 2, 1}, 5)); /* the first is the best of one */
    assert_true(run_trial(study, (double[]){6, 1}, 2));
    assert_false(run_trial(study, (double[]){4, 9, 9, 1.5}, 4));    /* reports 2 and 3 are no rungs; the 4th is best */
    assert_true(run_trial(study, (double[]){3, 3, 3, 1.75, 1}, 5)); /* 2 of 4th reports were less than 1.75 */
    for (int i = 0; i < 3; i++)
        assert_true(run_trial(study, (double[]){7 + i, 1}, 2));
    assert_false(run_trial(study, (double[]){3.5, 1, 1}, 3)); /* second of eight: in the best quarter */
    assert_true(run_trial(study, (double[]){3.75, 1, 1}, 3)); /* third of nine */
    tg_study_close(study);
    tg_space_fini(&space);
}

/* ---- the file ---- */

static void test_torn(void **state)
{
    (void)state;
    tg_space space = parse("lr");
    size_t trial, before, after;
    unlink("m/j");
    tg_study *study = open_as(&space, "random", "none", 1, NULL);
    slurp(&before);
    append("{\"op_code\": 4, \"study_id\": 0, \"worker");
    ok(tg_study_refresh(study));
    assert_int_equal(tg_study_trials(study), 0);
    ok(tg_study_ask(study, &trial));
    assert_int_equal(tg_study_trials(study), 1);
    const char *text = slurp(&after);
    assert_null(strstr(text, "\"worker{"));
    assert_true(strncmp(text + before, "{\"op_code\":4", 12) == 0);
    append("{}\n");
    refused(tg_study_refresh(study), TG_EFORMAT, "m/j|line 4|op_code");
    tg_study_close(study);
    tg_space_fini(&space);
}

/* As Optuna 5.0 writes: blanks, NaN and Infinity, other studies, what it refuses itself, whole and waiting trials. */
static void test_of_optuna(void **state)
{
    (void)state;
    tg_space space = parse("lr scale=rms/none");
    static const char lr[] =
        "\"{\\\"name\\\": \\\"FloatDistribution\\\", \\\"attributes\\\": {\\\"step\\\": null, \\\"low\\\": 1e-05,"
        " \\\"high\\\": 0.5, \\\"log\\\": true}}\"";
    static const char scale[] =
        "\"{\\\"name\\\": \\\"CategoricalDistribution\\\", \\\"attributes\\\": {\\\"choices\\\": [\\\"rms\\\", "
        "\\\"none\\\"]}}\"";
    char text[8192];
    unlink("m/j");
    snprintf(text, sizeof text,
             "{\"op_code\": 0, \"worker_id\": \"w\", \"study_name\": \"other\", \"directions\": [2]}\n"
             "{\"op_code\": 0, \"worker_id\": \"w\", \"study_name\": \"t\", \"directions\": [1]}\n"
             "{\"op_code\": 0, \"worker_id\": \"w\", \"study_name\": \"t\", \"directions\": [2]}\n"
             "{\"op_code\": 4, \"worker_id\": \"w\", \"study_id\": 0, \"datetime_start\": \"x\"}\n"
             "{\"op_code\": 4, \"worker_id\": \"w\", \"study_id\": 1, \"datetime_start\": \"x\"}\n"
             "{\"op_code\": 4, \"worker_id\": \"w\", \"study_id\": 9, \"datetime_start\": \"x\"}\n"
             "{\"op_code\": 5, \"worker_id\": \"w\", \"trial_id\": 1, \"param_name\": \"lr\", "
             "\"param_value_internal\": 0.02, "
             "\"distribution\": %s}\n"
             "{\"op_code\": 5, \"worker_id\": \"w\", \"trial_id\": 1, \"param_name\": \"scale\", "
             "\"param_value_internal\": 1, "
             "\"distribution\": %s}\n"
             "{\"op_code\": 7, \"worker_id\": \"w\", \"trial_id\": 1, \"step\": 4, \"intermediate_value\": 2.5}\n"
             "{\"op_code\": 7, \"worker_id\": \"w\", \"trial_id\": 1, \"step\": 2, \"intermediate_value\": NaN}\n"
             "{\"op_code\": 7, \"worker_id\": \"w\", \"trial_id\": 0, \"step\": 2, \"intermediate_value\": 1}\n"
             "{\"op_code\": 8, \"worker_id\": \"w\", \"trial_id\": 1, \"user_attr\": {\"a\\\"NaN\": Infinity}}\n"
             "{\"op_code\": 6, \"worker_id\": \"w\", \"trial_id\": 1, \"state\": 1, \"values\": [1.25], "
             "\"datetime_complete\": \"x\"}\n"
             "{\"op_code\": 6, \"worker_id\": \"w\", \"trial_id\": 1, \"state\": 3, \"values\": null, "
             "\"datetime_complete\": \"x\"}\n"
             "{\"op_code\": 4, \"worker_id\": \"w\", \"study_id\": 1, \"state\": 4, \"system_attrs\": "
             "{\"fixed_params\": {\"lr\": 0.03, "
             "\"scale\": \"none\"}}}\n"
             "{\"op_code\": 4, \"worker_id\": \"w\", \"study_id\": 1, \"state\": 2, \"value\": Infinity, \"params\": "
             "{\"lr\": 0.04, "
             "\"scale\": 0}, \"distributions\": {\"lr\": %s, \"scale\": %s}, \"intermediate_values\": {\"3\": 7.5}}\n",
             lr, scale, lr, scale);
    append(text);
    tg_study *study = open_as(&space, "random", "none", 1, "me");
    assert_int_equal(tg_study_trials(study), 3);
    const tg_trial *t = tg_study_trial(study, 0);
    assert_true(t->id == 1 && t->state == TG_TRIAL_COMPLETE && t->value == 1.25 && t->param[0] == 0.02 &&
                t->param[1] == 1);
    assert_true(t->steps == 2 && t->step[0].step == 2 && isnan(t->step[0].value) && t->step[1].value == 2.5);
    t = tg_study_trial(study, 2);
    assert_true(t->state == TG_TRIAL_PRUNED && t->param[0] == 0.04 && t->steps == 1 && t->step[0].value == 7.5);
    size_t trial;
    ok(tg_study_ask(study, &trial)); /* what waits comes first, with what was wanted */
    assert_int_equal(trial, 1);
    t = tg_study_trial(study, 1);
    assert_true(t->id == 2 && t->state == TG_TRIAL_RUNNING && t->param[0] == 0.03 && t->param[1] == 1);
    assert_string_equal(t->worker, "me");
    ok(tg_study_ask(study, &trial));
    assert_true(trial == 3 && tg_study_trial(study, 3)->id == 4);
    assert_int_equal(tg_study_best(study), 0);
    append("{\"op_code\": 1, \"worker_id\": \"w\", \"study_id\": 1}\n");
    refused(tg_study_tell(study, 3, TG_TRIAL_COMPLETE, 1), TG_ENOTFOUND, "deleted");
    tg_study_close(study);
    tg_space_fini(&space);
}

/* A trial of another distribution is no guide, and its values are not taken. */
static void test_foreign_params(void **state)
{
    (void)state;
    tg_space space = parse("lr scale=rms/none");
    tg_space wider = parse("lr=0.2..0.5 scale=none/rms");
    size_t trial;
    unlink("m/j");
    tg_study *study = open_as(&wider, "random", "none", 1, NULL);
    ok(tg_study_ask(study, &trial));
    ok(tg_study_tell(study, trial, TG_TRIAL_COMPLETE, 1));
    tg_study_close(study);
    study = open_as(&space, "tpe", "none", 1, NULL);
    const tg_trial *t = tg_study_trial(study, 0);
    assert_true(isnan(t->param[0]) && isnan(t->param[1]) && t->value == 1);
    ok(tg_study_ask(study, &trial));
    tg_study_close(study);
    tg_space_fini(&wider);
    tg_space_fini(&space);
}

static void test_refusals(void **state)
{
    (void)state;
    tg_space space = parse("lr");
    tg_study_config config = {
        .path = "m/j", .name = "t", .space = &space, .sampler = "tpe", .pruner = "median", .settings = "--lr 1"};
    tg_study *study = NULL, *none = NULL;
    unlink("m/j");
    ok(tg_study_open(&study, &config));
    config.settings = "--lr 2";
    refused(tg_study_open(&none, &config), TG_EINVAL, "m/j|other settings|--lr 1");
    config.settings = "--lr 1";
    config.sampler = "best";
    refused(tg_study_open(&none, &config), TG_EINVAL, "sampler 'best'");
    config.sampler = "tpe";
    config.path = "no/j";
    refused(tg_study_open(&none, &config), TG_ENOTFOUND, "no/j");
    append("{\"op_code\":0,\"study_name\":\"up\",\"directions\":[2]}\n");
    config.path = "m/j";
    config.name = "up";
    refused(tg_study_open(&none, &config), TG_EINVAL, "'up' does not minimise");
    assert_null(none);
    refused(tg_study_tell(study, 0, TG_TRIAL_COMPLETE, 1), TG_EINVAL, "no trial 0");
    refused(tg_study_tell(study, 0, TG_TRIAL_COMPLETE, INFINITY), TG_EINVAL, "finite value");
    append("nonsense\n");
    refused(tg_study_refresh(study), TG_EFORMAT, "line 4|no JSON object");
    tg_study_close(study);
    tg_space_fini(&space);
}

/* The n-th allocation fails, for every n: an error, no trial that is half there, and the file can be gone on with. */
static void test_no_memory(void **state)
{
    (void)state;
    for (long n = 1;; n++) {
        tg_space space = {0};
        tg_study *study = NULL;
        size_t trial;
        bool prune;
        unlink("m/j");
        tg_memory_fail_at(n);
        tg_status status = tg_space_parse(&space, "lr scale=rms/none", tables, 2, NULL, 0);
        const tg_study_config config = {
            .path = "m/j", .name = "t", .space = &space, .sampler = "tpe", .pruner = "none", .settings = "x"};
        if (status == TG_OK)
            status = tg_study_open(&study, &config);
        if (status == TG_OK)
            status = tg_study_ask(study, &trial);
        if (status == TG_OK)
            status = tg_study_report(study, trial, 1, 2.5, &prune);
        if (status == TG_OK)
            status = tg_study_tell(study, trial, TG_TRIAL_COMPLETE, 2.5);
        tg_memory_fail_at(0);
        if (status != TG_OK && status != TG_ENOMEM)
            fail_msg("allocation %ld: %s", n, tg_message());
        tg_study_close(study);
        tg_space_fini(&space);
        assert_int_not_equal(access("m/j.lock", F_OK), 0);
        if (status == TG_OK)
            break;
        space = parse("lr scale=rms/none");
        study = open_as(&space, "tpe", "none", 1, NULL);
        ok(tg_study_ask(study, &trial));
        tg_study_close(study);
        tg_space_fini(&space);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_ranges),     cmocka_unit_test(test_said),      cmocka_unit_test(test_refused_spaces),
        cmocka_unit_test(test_points),         cmocka_unit_test(test_process),   cmocka_unit_test(test_improvement),
        cmocka_unit_test(test_samplers_learn), cmocka_unit_test(test_repeats),   cmocka_unit_test(test_grid),
        cmocka_unit_test(test_side_by_side),   cmocka_unit_test(test_median),    cmocka_unit_test(test_asha),
        cmocka_unit_test(test_torn),           cmocka_unit_test(test_of_optuna), cmocka_unit_test(test_foreign_params),
        cmocka_unit_test(test_refusals),       cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
