/* optim_matrix_test.c -- rules that work whole matrices: which tensors those are, what their steps are like, what they
 * cost. */
#include "optim_support.h"

/* Adds a tensor to an optimizer of its own and starts it; `many_uses` as a tied embedding. */
static tg_optim *one(const char *rule, const char *max_dim, const tg_param *param)
{
    tg_optim *o;
    must(tg_optim_create(&o, rule, NULL));
    must(tg_optim_set(o, TG_ALL_GROUPS, "max_dim", max_dim));
    must(tg_optim_add(o, param, NULL));
    must(tg_optim_start(o));
    return o;
}

static bool has(const tg_optim *o, const char *name)
{
    bool found = false;
    for (size_t i = 0; i < tg_optim_state_count(o); i++)
        found = found || strcmp(tg_optim_state(o, i)->name, name) == 0;
    return found;
}

static void test_who_is_whole(void **state)
{
    (void)state;
    static float x[5 * 13];
    static const struct {
        tg_role role;
        size_t rows, cols;
        const char *max_dim;
        bool many_uses, whole;
    } cases[] = {{TG_MATRIX, 5, 13, "13", false, true},      {TG_MATRIX, 5, 13, "12", false, false},
                 {TG_MATRIX, 13, 5, "12", false, false},     {TG_MATRIX, 5, 13, "100", true, false},
                 {TG_EMBEDDING, 5, 13, "100", false, false}, {TG_MATRIX, 1, 65, "100", false, false},
                 {TG_MATRIX, 65, 1, "100", false, false},    {TG_BIAS, 5, 13, "100", false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const tg_param p = {.name = "x",
                            .data = x,
                            .rows = cases[i].rows,
                            .cols = cases[i].cols,
                            .role = cases[i].role,
                            .many_uses = cases[i].many_uses};
        tg_optim *o = one("muon", cases[i].max_dim, &p);
        assert_int_equal(has(o, "x/momentum_buffer"), cases[i].whole);
        assert_int_equal(has(o, "x/exp_avg"), !cases[i].whole);
        assert_int_equal(has(o, "x/exp_avg_sq"), !cases[i].whole);
        assert_int_equal(tg_optim_set(o, 0, "max_dim", "50"), TG_ESTATE);
        must(tg_optim_set(o, 0, "momentum", "0.5"));
        tg_optim_destroy(o);
    }
}

/* From weights 0 with lr 1: what is left is minus the step. The convergent iteration ends at an orthogonal matrix. */
static void check_orthogonal(size_t rows, size_t cols, const char *format, double tolerance)
{
    work w;
    const size_t side = rows < cols ? rows : cols, other = rows < cols ? cols : rows;
    work_create(&w, "muon",
                (work_option[]){{"lr", "1"},
                                {"weight_decay", "0"},
                                {"ns_format", format},
                                {"ns_steps", "37"},
                                {"ns_a", "2"},
                                {"ns_b", "-1.5"},
                                {"ns_c", "0.5"},
                                {NULL, NULL}});
    work_add(&w, rows, cols, TG_MATRIX, 17, TG_F32);
    float *x = w.t[0].data;
    memset(x, 0, rows * cols * sizeof *x);
    work_start(&w);
    work_update(&w, 0, 1, WORK_ARRAYS);
    const double factor = fmax(1, (double)rows / (double)cols);
    double along = 0; /* the step's share along the gradient: that direction, not its opposite */
    for (size_t i = 0; i < rows * cols; i++)
        along -= (double)x[i] * (double)w.t[0].g[i];
    assert_true(along > 0);
    for (size_t i = 0; i < side; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t l = 0; l < other; l++)
                sum += (double)x[rows < cols ? i * cols + l : l * cols + i] *
                       (double)x[rows < cols ? j * cols + l : l * cols + j];
            if (!(fabs(sum / factor - (i == j)) < tolerance))
                fail_msg("(%zu, %zu) %s: product of rows %zu and %zu is %g", rows, cols, format, i, j, sum / factor);
        }
    work_destroy(&w);
}

static void test_orthogonal(void **state)
{
    (void)state;
    static const size_t shape[][2] = {{5, 13}, {33, 7}, {40, 300}, {270, 31}};
    for (size_t s = 0; s < sizeof shape / sizeof *shape; s++) {
        check_orthogonal(shape[s][0], shape[s][1], "fp32", 2e-5);
        check_orthogonal(shape[s][0], shape[s][1], "bf16", 3e-2);
    }
}

/* The default's five steps in bf16 are fp32's, but for its rounding. */
static void test_formats_agree(void **state)
{
    (void)state;
    work w[2];
    double apart = 0, way = 0;
    for (int half = 0; half < 2; half++) {
        work_create(&w[half], "muon", (work_option[]){{"ns_format", half ? "bf16" : "fp32"}, {"weight_decay", "0"}, {NULL, NULL}});
        work_add(&w[half], 65, 131, TG_MATRIX, 17, TG_F32);
        work_start(&w[half]);
        work_update(&w[half], 0, 1, WORK_ARRAYS);
    }
    for (size_t i = 0; i < w[0].t[0].n; i++) {
        const double x = (double)((float *)w[0].t[0].data)[i];
        apart += pow((double)((float *)w[1].t[0].data)[i] - x, 2);
        way += pow(x - (double)input_weight(17, i, TG_MATRIX), 2);
    }
    assert_in_range((long)(1e4 * sqrt(apart / way)), 1, 200);
    work_destroy(&w[0]);
    work_destroy(&w[1]);
}

/* A gradient of zeros has no direction: no step, and nothing that is not a number. */
static void test_no_gradient(void **state)
{
    (void)state;
    static const char *const rules[] = {"muon", "tigermuon"};
    for (size_t r = 0; r < 2; r++) {
        work w;
        work_create(&w, rules[r], (work_option[]){{"lr", "0.013"}, {"weight_decay", "0"}, {NULL, NULL}});
        work_add(&w, 5, 13, TG_MATRIX, 17, TG_F32);
        work_start(&w);
        for (size_t u = 0; u < 2; u++)
            must(work_arrays(&w)); /* g is zero from the start */
        for (size_t i = 0; i < w.t[0].n; i++)
            assert_true(((float *)w.t[0].data)[i] == input_weight(17, i, TG_MATRIX));
        work_destroy(&w);
    }
}

/* Where a walk over matrices moves their states, those of the other tensors are kept all the same, in 16 bits too. */
static void test_states_of_the_rest(void **state)
{
    (void)state;
    size_t rules = 0;
    for (size_t r = 0; r < tg_rule_count(); r++) {
        const tg_rule_info *info = tg_rule_at(r);
        size_t s = 0;
        while (s < info->slot_count &&
               !(info->slots[s].owner == TG_SLOT_REST && strcmp(info->slots[s].name, "exp_avg") == 0))
            s++;
        if (s == info->slot_count)
            continue;
        work w;
        work_create(&w, info->name, (work_option[]){{"rounding", "nearest"}, {"state_format", "bf16"}, {NULL, NULL}});
        work_add(&w, 1, 65, TG_BIAS, 17, TG_BF16);
        work_start(&w);
        work_update(&w, 0, 1, WORK_ARRAYS);
        const tg_named_tensor *m = work_state(&w, 0, "exp_avg");
        for (size_t i = 0; i < w.t[0].n; i++) {
            const double wanted = 0.1 * (double)w.t[0].g[i], is = work_value(m->data, m->format, i);
            if (!(fabs(is - wanted) <= 0x1p-8 * fabs(wanted)))
                fail_msg("%s: exp_avg[%zu] is %g, not %g", info->name, i, is, wanted);
        }
        work_destroy(&w);
        rules++;
    }
    assert_true(rules >= 1);
}

/* Both kinds of tigermuon's steps are as long: the orthogonalised one but for singular values that are not quite 1. */
static void test_consistent_steps(void **state)
{
    (void)state;
    static const size_t shape[][2] = {{40, 300}, {270, 31}, {64, 64}};
    for (size_t s = 0; s < 3; s++) {
        work w;
        work_create(&w, "tigermuon",
                    (work_option[]){{"lr", "0.0137"}, {"weight_decay", "0"}, {"rms_floor", "1"}, {NULL, NULL}});
        work_add(&w, shape[s][0], shape[s][1], TG_MATRIX, 19, TG_F32);
        work_start(&w);
        float *x = w.t[0].data, *before = malloc(w.t[0].n * sizeof *before);
        for (size_t u = 0; u < 4; u++) {
            double square = 0;
            memcpy(before, x, w.t[0].n * sizeof *x);
            work_update(&w, u, 1, WORK_ARRAYS);
            for (size_t i = 0; i < w.t[0].n; i++)
                square += pow((double)x[i] - (double)before[i], 2);
            const double rms = sqrt(square / (double)w.t[0].n) / 0.0137, want = u % 2 == 0 ? 1 : 0.9;
            if (!(fabs(rms - want) < (u % 2 == 0 ? 0.05 : 0.2)))
                fail_msg("(%zu, %zu), update %zu: the step's RMS is %.3f of eta", shape[s][0], shape[s][1], u + 1, rms);
        }
        free(before);
        work_destroy(&w);
    }
}

/* Without nesterov matrices fold and the rest is buffered; the scratch is that of the largest matrix, twice and two
 * squares. */
static void test_bytes(void **state)
{
    (void)state;
    static const size_t shape[][2] = {{33, 129}, {65, 40}, {1, 517}};
    static const char *const place[] = {"buffered", "folded", "released"};
    tg_optim_bytes bytes[3];
    for (int way = 0; way < 3; way++) {
        work w;
        work_create(&w, "muon",
                    (work_option[]){{"nesterov", way == 1 ? "off" : "on"}, {"gradients", place[way]}, {NULL, NULL}});
        for (size_t i = 0; i < 3; i++)
            work_add(&w, shape[i][0], shape[i][1], TG_MATRIX, 3, TG_F32);
        work_start(&w);
        must(tg_optim_measure(w.o, &bytes[way]));
        work_update(&w, 0, way == 2 ? 1 : 2, WORK_PANELS);
        work_destroy(&w);
    }
    const size_t all = 4 * (33 * 129 + 65 * 40 + 517), largest = 4 * 33 * 129;
    assert_in_range(bytes[0].gradients, all, all + 3 * 64);
    assert_in_range(bytes[1].gradients, 4 * 517, 4 * 517 + 64);
    assert_in_range(bytes[2].gradients, largest, largest + 64);
    assert_in_range(bytes[0].states, all + 4 * 517, all + 4 * 517 + 4 * 64);
    assert_in_range(bytes[0].bookkeeping, 2 * largest + 2 * 4 * 33 * 33, 2 * largest + 2 * 4 * 40 * 40 + 8192);
}

/* ---- operations ---- */

/* The sums of a rule's own equations, for (r,c) matrices within one tile, where symmetry spares nothing. */
static void check_count(const char *rule, const work_option *options, size_t updates, double bf16, double wide)
{
    work w;
    tg_optim_operations done;
    if (tg_rule_find(rule) == NULL) /* no LAPACK */
        return;
    work_create(&w, rule, options);
    work_add(&w, 24, 41, TG_MATRIX, 17, TG_F32);
    work_add(&w, 41, 24, TG_MATRIX, 18, TG_F32);
    work_add(&w, 1, 99, TG_BIAS, 19, TG_F32);
    work_start(&w);
    for (size_t u = 0; u < updates; u++)
        work_update(&w, u, 1, WORK_ARRAYS);
    tg_optim_count(w.o, &done);
    if (fabs(done.bf16 - 2 * bf16) > 0.5 || fabs(done.wide - 2 * wide) > 0.5)
        fail_msg("%s, %zu updates: %.0f and %.0f operations, %.0f and %.0f expected", rule, updates, done.bf16,
                 done.wide, 2 * bf16, 2 * wide);
    work_destroy(&w);
}

static void test_operations(void **state)
{
    (void)state;
    const double r = 24, c = 41, steps = 2 * r * r * c + 2 * r * r * r + 2 * r * r * c;
    const double both = 2 * r * r * c + 2 * r * c * c, cubes = r * r * r + c * c * c;
    const work_option none[] = {{NULL, NULL}}, wide[] = {{"ns_format", "fp32"}, {"ns_steps", "3"}, {NULL, NULL}};
    check_count("adamw", none, 2, 0, 0);
    check_count("muon", none, 1, 5 * steps, 0);
    check_count("muon", wide, 2, 0, 2 * 3 * steps);
    check_count("tigermuon", none, 3, 5 * steps, 0); /* the second update alone */
    const work_option roots[] = {{"interval", "2"}, {NULL, NULL}}, bases[] = {{"interval", "2"}, {NULL, NULL}};
    check_count("shampoo", roots, 2, 0, 2 * 2 * both + 11 * cubes);
    check_count("shampoo", roots, 3, 0, 3 * 2 * both + 2 * 11 * cubes);
    check_count("shampoo", (work_option[]){{"max_dim", "24"}, {NULL, NULL}}, 1, 0, 2 * 2 * r * r * c + 11 * r * r * r);
    check_count("soap", bases, 1, 0, both + 9 * cubes);
    check_count("soap", bases, 2, 0, 2 * both + 9 * cubes + 2 * both);
    /* the third: factors, both turns of the step, and new bases, before and behind which the average is turned */
    check_count("soap", bases, 3, 0, 3 * both + 9 * cubes + 2 * 2 * both + 2 * both + (2 + 8.0 / 3) * cubes);
}

/* Of a symmetric product the tiles on the diagonal and below it: 256 values wide. */
static void test_operations_of_tiles(void **state)
{
    (void)state;
    work w;
    tg_optim_operations done;
    const double n = 600, lower = 256 * 256 + 256 * 512 + 88 * 600;
    work_create(&w, "muon", (work_option[]){{"ns_steps", "1"}, {NULL, NULL}});
    work_add(&w, 600, 700, TG_MATRIX, 17, TG_F32);
    work_start(&w);
    work_update(&w, 0, 1, WORK_ARRAYS);
    tg_optim_count(w.o, &done);
    assert_true(fabs(done.bf16 - (2 * lower * 700 + 2 * lower * n + 2 * n * 700 * n)) < 0.5);
    work_destroy(&w);
}

/* ---- shampoo ---- */

static void count_stale(void *ctx, const tg_event *event)
{
    if (event->kind == TG_EVENT_STALE_ROOT && strcmp(event->param, "t0") == 0)
        *(double *)ctx = event->value;
}

/* A factor that has come to hold NaN: the last good root stays to the bit and goes on being used, which is counted and told. */
static void check_stale(const char *max_dim)
{
    work w;
    double told = 0;
    work_create(&w, "shampoo", (work_option[]){{"lr", "0.0071"}, {"interval", "2"}, {"max_dim", max_dim}, {NULL, NULL}});
    work_add(&w, 5, 13, TG_MATRIX, 17, TG_F32);
    work_start(&w);
    tg_optim_on_event(w.o, count_stale, &told);
    work_update(&w, 0, 1, WORK_ARRAYS);
    const tg_named_tensor *factor = work_state(&w, 0, "right"), *root = work_state(&w, 0, "right_root");
    const tg_named_tensor *failures = work_state(&w, 0, "failures"), *left = work_state(&w, 0, "left_root");
    void *good = malloc(root->bytes), *good_left = malloc(left->bytes);
    memcpy(good, root->data, root->bytes);
    memcpy(good_left, left->data, left->bytes);
    memcpy((float *)factor->data + 7, &(float){NAN}, sizeof(float));
    for (size_t u = 1; u < 5; u++) {
        work_update(&w, u, 1, WORK_ARRAYS);
        assert_memory_equal(root->data, good, root->bytes);
        assert_true(*(const double *)failures->data == (double)(u / 2) && told == (double)(u / 2)); /* due at 3 and 5 */
    }
    assert_memory_not_equal(left->data, good_left, left->bytes);
    for (size_t i = 0; i < w.t[0].n; i++)
        assert_true(isfinite(((float *)w.t[0].data)[i]));
    free(good), free(good_left);
    work_destroy(&w);
}

static void test_stale_roots(void **state)
{
    (void)state;
    tg_optim *o;
    if (tg_rule_find("shampoo") == NULL) {
        assert_int_equal(tg_optim_create(&o, "shampoo", NULL), TG_EUNSUPPORTED);
        assert_non_null(strstr(tg_message(), "shampoo needs LAPACK"));
        skip();
    }
    check_stale("100");
    check_stale("10");
}

/* Factors of zeros have no root: it is the identity. */
static void test_first_root(void **state)
{
    (void)state;
    work w;
    if (tg_rule_find("shampoo") == NULL)
        skip();
    work_create(&w, "shampoo", (work_option[]){{"max_dim", "5"}, {NULL, NULL}});
    work_add(&w, 5, 13, TG_MATRIX, 17, TG_F32);
    work_start(&w);
    must(work_arrays(&w)); /* g is zero from the start */
    const float *left = work_state(&w, 0, "left_root")->data, *right = work_state(&w, 0, "right_root")->data;
    for (size_t i = 0; i < 25; i++)
        assert_true(left[i] == (i % 6 == 0));
    for (size_t i = 0; i < 13; i++)
        assert_true(right[i] == 1);
    work_destroy(&w);
}

/* With grafting=sgd a step is as long as the gradient, whatever its direction. */
static void test_grafted_length(void **state)
{
    (void)state;
    work w;
    double step = 0, slope = 0;
    if (tg_rule_find("shampoo") == NULL)
        skip();
    work_create(&w, "shampoo", (work_option[]){{"lr", "0.0371"}, {"grafting", "sgd"}, {"weight_decay", "0"}, {NULL, NULL}});
    work_add(&w, 33, 65, TG_MATRIX, 17, TG_F32);
    work_start(&w);
    work_update(&w, 0, 1, WORK_ARRAYS);
    for (size_t i = 0; i < w.t[0].n; i++) {
        step += pow((double)((float *)w.t[0].data)[i] - (double)input_weight(17, i, TG_MATRIX), 2);
        slope += pow((double)w.t[0].g[i], 2);
    }
    assert_true(fabs(sqrt(step / slope) / 0.0371 - 1) < 1e-4);
    work_destroy(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_who_is_whole),
                                       cmocka_unit_test(test_orthogonal),
                                       cmocka_unit_test(test_no_gradient),
                                       cmocka_unit_test(test_consistent_steps),
                                       cmocka_unit_test(test_bytes),
                                       cmocka_unit_test(test_formats_agree),
                                       cmocka_unit_test(test_operations),
                                       cmocka_unit_test(test_operations_of_tiles),
                                       cmocka_unit_test(test_stale_roots),
                                       cmocka_unit_test(test_grafted_length),
                                       cmocka_unit_test(test_states_of_the_rest),
                                       cmocka_unit_test(test_first_root)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
