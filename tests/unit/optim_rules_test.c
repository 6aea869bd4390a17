/* optim_rules_test.c -- what single rules promise beyond the suites that all of them pass: forms that are the same,
 * rules that contain others, and numerical corners. */
#include "optim_support.h"

static float *weights(const work *w, size_t k) { return w->t[k].data; }

static const float *state_of(const work *w, size_t k, const char *name)
{
    const tg_named_tensor *s = work_state(w, k, name);
    assert_non_null(s);
    assert_int_equal(s->format, TG_F32);
    return s->data;
}

/* ---- two ways to write the same ---- */

enum { N = 65 };

/* The gradient of a sum of parabolas with curvatures between 0.2 and 2.2. */
static double slope(size_t i, double x) { return (1.2 + (double)input_unit(31, i)) * (x - (double)input_unit(32, i)); }

/* The texts' momentum has lr inside, v <- mu v - lr g(at), theta += v; Nesterov's looks at theta + mu v, which is where
 * our weights are. */
static void check_momentum(bool nesterov)
{
    const double mu = 0.83, lr = 0.0271, tolerance = 60 * 0x1p-23;
    double theta[N], v[N] = {0};
    work w;
    work_create(&w, "sgd", (work_option[]){{"lr", "0.0271"}, {"momentum", "0.83"}, {"nesterov", nesterov ? "on" : "off"},
                                           {"gradients", "buffered"}, {NULL, NULL}});
    work_add(&w, 5, 13, TG_MATRIX, 17, TG_F32);
    work_start(&w);
    for (size_t i = 0; i < N; i++)
        theta[i] = (double)weights(&w, 0)[i];
    for (size_t u = 0; u < 60; u++) {
        for (size_t i = 0; i < N; i++) {
            w.t[0].g[i] = (float)slope(i, (double)weights(&w, 0)[i]);
            v[i] = mu * v[i] - lr * slope(i, nesterov ? theta[i] + mu * v[i] : theta[i]);
            theta[i] += v[i];
        }
        must(work_arrays(&w));
        for (size_t i = 0; i < N; i++) {
            const double at = nesterov ? theta[i] + mu * v[i] : theta[i];
            if (!(fabs((double)weights(&w, 0)[i] - at) < tolerance))
                fail_msg("update %zu, nesterov %d: x[%zu] is %.9g, not %.9g", u, nesterov, i, (double)weights(&w, 0)[i],
                         at);
        }
    }
    work_destroy(&w);
}

static void test_classic_momentum(void **state) { (void)state, check_momentum(false); }
static void test_look_ahead(void **state) { (void)state, check_momentum(true); }

/* ---- a rule within another: the same bits in weights and in the states that both have ---- */

static void check_same(const char *one, const work_option *with, const char *other, const work_option *with_other,
                       const char *shared)
{
    work a, b;
    work_create(&a, one, with);
    work_create(&b, other, with_other);
    work_add_bag(&a, TG_F32);
    work_add_bag(&b, TG_F32);
    work_start(&a);
    work_start(&b);
    for (size_t u = 0; u < 7; u++) {
        work_update(&a, u, 1, WORK_ARRAYS);
        work_update(&b, u, 1, WORK_ARRAYS);
    }
    for (size_t k = 0; k < a.count; k++) {
        assert_memory_equal(a.t[k].data, b.t[k].data, a.t[k].n * sizeof(float));
        if (shared != NULL)
            assert_memory_equal(state_of(&a, k, shared), state_of(&b, k, shared), a.t[k].n * sizeof(float));
    }
    work_destroy(&a);
    work_destroy(&b);
}

static void test_contained(void **state)
{
    (void)state;
    const work_option common[] = {{"lr", "0.0071"}, {"weight_decay", "0.113"}, {NULL, NULL}};
    const work_option on[] = {common[0], common[1], {"amsgrad", "on"}, {NULL, NULL}};
    const work_option off[] = {common[0], common[1], {"amsgrad", "off"}, {NULL, NULL}};
    const work_option no_average[] = {common[0], common[1], {"beta", "0"}, {NULL, NULL}};
    check_same("amsgrad", common, "adam", on, "max_exp_avg_sq");
    check_same("amsgrad", off, "adam", common, "exp_avg_sq");
    check_same("signsgd", common, "signum", no_average, NULL);
}

/* Roles are for rules that ask for them: elsewhere biases decay as matrices do. */
static void test_biases_decay(void **state)
{
    (void)state;
    static const char *const rules[] = {"sgd", "adam", "adamw", "lion", "adamw8bit", "lion8bit"};
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        work w[2];
        for (int bias = 0; bias < 2; bias++) {
            work_create(&w[bias], rules[r], (work_option[]){{"lr", "0.0071"}, {"weight_decay", "0.113"}, {NULL, NULL}});
            work_add(&w[bias], 5, 13, bias ? TG_BIAS : TG_MATRIX, 41, TG_F32);
            work_start(&w[bias]);
            for (size_t u = 0; u < 5; u++)
                work_update(&w[bias], u, 1, WORK_ARRAYS);
        }
        assert_memory_equal(w[0].t[0].data, w[1].t[0].data, N * sizeof(float));
        work_destroy(&w[0]);
        work_destroy(&w[1]);
    }
}

/* ---- adagrad: sleeping rows ---- */

/* Rows 2 and 5 never have a gradient; the others at times. */
static void fill_rows(work *w, size_t u)
{
    work_fill(w, u);
    for (size_t i = 0; i < w->t[0].n; i++)
        if (i / w->t[0].cols % 3 == 2)
            w->t[0].g[i] = 0;
}

/* Without decay a row of zeros does nothing: lazy and dense embeddings are the same but for s of rows never reached. */
static void check_lazy(const char *initial, const char *decay, bool same)
{
    work lazy, dense;
    const work_option options[] = {{"lr", "0.053"}, {"lr_decay", "0.13"}, {"initial_accumulator_value", initial},
                                   {"weight_decay", decay}, {NULL, NULL}};
    work_create(&lazy, "adagrad", options);
    work_create(&dense, "adagrad", options);
    must(tg_optim_set(dense.o, TG_ALL_GROUPS, "embedding_update", "dense"));
    work_add(&lazy, 7, 9, TG_EMBEDDING, 19, TG_F32);
    work_add(&dense, 7, 9, TG_EMBEDDING, 19, TG_F32);
    work_start(&lazy);
    work_start(&dense);
    for (size_t u = 0; u < 9; u++) {
        fill_rows(&lazy, u);
        fill_rows(&dense, u);
        must(work_arrays(&lazy));
        must(work_arrays(&dense));
    }
    assert_true((memcmp(lazy.t[0].data, dense.t[0].data, 63 * sizeof(float)) == 0) == same);
    for (size_t i = 0; i < 63; i++) {
        const bool never = i / 9 % 3 == 2;
        assert_true(!never || weights(&lazy, 0)[i] == input_weight(19, i, TG_EMBEDDING));
        assert_true(!never || state_of(&lazy, 0, "sum")[i] == 0);
        if (same && !never)
            assert_true(state_of(&lazy, 0, "sum")[i] == state_of(&dense, 0, "sum")[i]);
        assert_true(never || state_of(&lazy, 0, "sum")[i] >= strtof(initial, NULL));
    }
    work_destroy(&lazy);
    work_destroy(&dense);
}

static void test_adagrad_rows(void **state)
{
    (void)state;
    check_lazy("0", "0", true);
    check_lazy("0.73", "0", true);
    check_lazy("0.73", "0.2", false);
}

/* ---- rmsprop: a gradient that does not vary ---- */

/* v - a^2 is then rounding errors of either sign: steps stay finite, and below lr 2^12. */
static void test_rmsprop_constant(void **state)
{
    (void)state;
    work w;
    float before[33];
    work_create(&w, "rmsprop", (work_option[]){{"lr", "1e-4"}, {"centered", "on"}, {"alpha", "0.9"}, {NULL, NULL}});
    work_add(&w, 3, 11, TG_MATRIX, 23, TG_F32);
    work_start(&w);
    for (size_t i = 0; i < 33; i++)
        w.t[0].g[i] = 2.385f * (float)pow(1.7, (double)i - 16);
    for (size_t u = 0; u < 500; u++) {
        memcpy(before, weights(&w, 0), sizeof before);
        must(work_arrays(&w));
        for (size_t i = 0; i < 33; i++) {
            const double step = (double)before[i] - (double)weights(&w, 0)[i];
            if (!(step > 0 && step < 1e-4 * 0x1p12 * 1.01))
                fail_msg("update %zu, gradient %g: a step of %g", u, (double)w.t[0].g[i], step);
        }
    }
    work_destroy(&w);
}

/* ---- lars and lamb: tensors without a length ---- */

/* Weights of zeros would never move by a length relative to theirs, and a step of zeros has no length: the trust is 1. */
static void check_lengthless(const char *rule, bool zero_weights)
{
    work w;
    work_create(&w, rule, (work_option[]){{"lr", "0.0137"}, {NULL, NULL}});
    work_add(&w, 5, 13, TG_MATRIX, 37, TG_F32);
    if (zero_weights)
        memset(w.t[0].data, 0, N * sizeof(float));
    work_start(&w);
    work_fill(&w, 1);
    for (size_t i = 0; i < N && !zero_weights; i++)
        w.t[0].g[i] = 0;
    must(work_arrays(&w));
    for (size_t i = 0; i < N; i++) {
        const double g = (double)w.t[0].g[i], x = zero_weights ? 0 : (double)input_weight(37, i, TG_MATRIX);
        /* lamb's first step is g / (|g| + eps), eps 1e-6 */
        const double want = x - 0.0137 * (strcmp(rule, "lars") == 0 ? g : g / (fabs(g) + 1e-6));
        if (!(fabs((double)weights(&w, 0)[i] - want) < 0x1p-24))
            fail_msg("%s, %s: x[%zu] is %.9g, not %.9g", rule, zero_weights ? "weights 0" : "gradient 0", i,
                     (double)weights(&w, 0)[i], want);
    }
    work_destroy(&w);
}

static void test_lengthless(void **state)
{
    (void)state;
    check_lengthless("lars", true);
    check_lengthless("lars", false);
    check_lengthless("lamb", true);
    check_lengthless("lamb", false);
}

/* ---- asgd: what the average is ---- */

/* With t0 = 2 it is the mean of the weights from the fourth update on, and until then the weights themselves. */
static void test_asgd_average(void **state)
{
    (void)state;
    work w;
    double sum[N] = {0};
    work_create(&w, "asgd", (work_option[]){{"lr", "0.031"}, {"t0", "2"}, {"lambd", "0.07"}, {NULL, NULL}});
    work_add(&w, 5, 13, TG_MATRIX, 29, TG_F32);
    work_start(&w);
    for (size_t u = 0; u < 12; u++) {
        work_update(&w, u, 1, WORK_ARRAYS);
        for (size_t i = 0; i < N; i++) {
            const double x = (double)weights(&w, 0)[i], ax = (double)state_of(&w, 0, "ax")[i];
            sum[i] += u >= 3 ? x : 0;
            assert_true(u >= 4 || ax == x);
            assert_true(u < 3 || fabs(ax - sum[i] / (double)(u - 2)) < 1e-6);
        }
    }
    work_destroy(&w);
}

/* ---- presets ---- */

static double option_of(const tg_optim *o, const char *name)
{
    double value = NAN;
    assert_int_equal(tg_optim_get(o, 0, name, &value), TG_OK);
    return value;
}

/* Every preset of every rule can be set and started with, names no option twice, and says where it is from. */
static void test_every_preset(void **state)
{
    (void)state;
    size_t found = 0;
    for (size_t r = 0; r < tg_rule_count(); r++)
        for (size_t p = 0; p < tg_rule_at(r)->preset_count; p++, found++) {
            const tg_preset *preset = &tg_rule_at(r)->presets[p];
            float x[6] = {0.4f};
            tg_optim *o = NULL;
            assert_true(preset->settings > 0 && strlen(preset->source) > 0);
            assert_int_equal(tg_optim_create(&o, tg_rule_at(r)->name, NULL), TG_OK);
            assert_int_equal(tg_optim_preset(o, TG_ALL_GROUPS, preset->name), TG_OK);
            for (size_t a = 0; a < preset->settings; a++)
                for (size_t b = 0; b < a; b++)
                    assert_string_not_equal(preset->setting[a].name, preset->setting[b].name);
            assert_int_equal(
                tg_optim_add(o, &(tg_param){.name = "x", .data = x, .format = TG_F32, .rows = 2, .cols = 3}, NULL),
                TG_OK);
            assert_int_equal(tg_optim_start(o), TG_OK);
            tg_optim_destroy(o);
        }
    assert_true(found >= 5);
}

static void test_presets_come_under_what_is_set_afterwards(void **state)
{
    (void)state;
    tg_optim *o = NULL;
    int group = 0;
    assert_int_equal(tg_optim_create(&o, "tiger", NULL), TG_OK);
    assert_int_equal(tg_optim_add_group(o, &group), TG_OK);
    assert_int_equal(tg_optim_preset(o, 0, "reference"), TG_OK);
    assert_int_equal(tg_optim_set(o, 0, "beta", "0.917"), TG_OK);
    assert_true(option_of(o, "rms_floor") == 0 && option_of(o, "embedding_rms") == 1);
    assert_true(option_of(o, "embedding_update") == 1 && option_of(o, "beta") == 0.917);
    double other = NAN;
    assert_int_equal(tg_optim_get(o, group, "rms_floor", &other), TG_OK);
    assert_true(other == 1e-3);
    assert_int_equal(tg_optim_preset(o, 2, "vision"), TG_EINVAL);
    assert_int_equal(tg_optim_preset(o, 0, "referense"), TG_ENOTFOUND);
    assert_non_null(strstr(tg_message(), "reference, finetune, small_batch, language, vision"));
    assert_true(option_of(o, "beta") == 0.917);
    assert_int_equal(tg_optim_start(o), TG_OK);
    assert_int_equal(tg_optim_preset(o, 0, "vision"), TG_ESTATE);
    assert_true(option_of(o, "beta") == 0.917);
    tg_optim_destroy(o);
    assert_int_equal(tg_optim_create(&o, "sgd", NULL), TG_OK);
    assert_int_equal(tg_optim_preset(o, 0, "vision"), TG_ENOTFOUND);
    assert_non_null(strstr(tg_message(), "sgd has no presets"));
    tg_optim_destroy(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_preset),
        cmocka_unit_test(test_presets_come_under_what_is_set_afterwards),
        cmocka_unit_test(test_classic_momentum), cmocka_unit_test(test_look_ahead),
        cmocka_unit_test(test_contained),        cmocka_unit_test(test_adagrad_rows),
        cmocka_unit_test(test_rmsprop_constant), cmocka_unit_test(test_asgd_average),
        cmocka_unit_test(test_lengthless),       cmocka_unit_test(test_biases_decay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
