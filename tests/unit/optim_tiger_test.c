/* optim_tiger_test.c -- Tiger's own page: windows, ties with other rules, the RMS floor, lazy embeddings, the frozen share
 * of 16-bit weights and the quadratic example. */
#include "optim_support.h"

static const tg_named_tensor *momentum(const work *w, size_t k) { return work_state(w, k, "exp_avg"); }

static double value(const tg_named_tensor *s, size_t i) { return work_value(s->data, s->format, i); }

static float weight(const work *w, size_t k, size_t i) { return ((const float *)w->t[k].data)[i]; }

/* ---- a window of k micro-steps is one update of the mean gradient ---- */

static void window(work *w, size_t update, size_t k, work_way way) { work_update(w, update, k, way); }

static void mean_gradient(work *w, size_t update, size_t k)
{
    for (size_t q = 0; q < w->count; q++)
        for (size_t i = 0; i < w->t[q].n; i++) {
            double sum = 0;
            for (size_t j = 0; j < k; j++)
                sum += (double)input_gradient(w->t[q].seed, update * k + j, i);
            w->t[q].g[i] = (float)(sum / (double)k);
        }
}

static void add_three(work *w)
{
    work_add(w, 5, 13, TG_MATRIX, 11, TG_F32);
    work_add(w, 1, 33, TG_GAIN, 12, TG_F32);
    work_add(w, 7, 9, TG_BIAS, 13, TG_F32);
    work_start(w);
}

/* m is beta m + (1-beta) mean(g) to fp32's rounding, and the step the same but where m is 0 to rounding. */
static void check_window(size_t k)
{
    work folded, arrays;
    work_create(&folded, "tiger", (work_option[]){{"lr", "0.01"}, {"gradients", "folded"}, {NULL, NULL}});
    work_create(&arrays, "tiger", (work_option[]){{"lr", "0.01"}, {NULL, NULL}});
    add_three(&folded);
    add_three(&arrays);
    for (size_t u = 0; u < 3; u++) {
        window(&folded, u, k, u % 2 ? WORK_ROWS : WORK_TILE);
        mean_gradient(&arrays, u, k);
        must(work_arrays(&arrays));
        for (size_t q = 0; q < 3; q++)
            for (size_t i = 0; i < folded.t[q].n; i++) {
                const double a = value(momentum(&folded, q), i), b = value(momentum(&arrays, q), i);
                if (!(fabs(a - b) < 4e-8 * sqrt((double)k) * 2.385))
                    fail_msg("k = %zu, update %zu: m[%zu] is %.9g folded, %.9g at once", k, u, i, a, b);
                if (fabs(b) > 1e-6 && !(fabsf(weight(&folded, q, i) - weight(&arrays, q, i)) < 1e-6f))
                    fail_msg("k = %zu, update %zu: x[%zu] is %.9g folded, %.9g at once", k, u, i,
                             (double)weight(&folded, q, i), (double)weight(&arrays, q, i));
            }
    }
    work_destroy(&folded);
    work_destroy(&arrays);
}

/* ---- an update of folded bf16 is the step in fp32 and a stochastic rounding, bit by bit ---- */

static void check_rounding(const char *rule, const work_option *options, float eta, float decay)
{
    enum { N = 3 * 410 };
    static uint16_t before[N], want[N];
    static float step[N];
    const char *slot = tg_rule_find(rule)->slots[0].name;
    double seed;
    work w;
    work_create(&w, rule, options);
    work_add(&w, 3, 410, TG_MATRIX, 77, TG_BF16);
    work_start(&w);
    must(tg_optim_get(w.o, 0, "seed", &seed));
    for (size_t u = 0; u < 3; u++) {
        memcpy(before, w.t[0].data, sizeof before);
        window(&w, u, 1, WORK_TILE);
        for (size_t i = 0; i < N; i++) {
            const float x = tg_bf16_to_f32(before[i]), m = (float)value(work_state(&w, 0, slot), i);
            step[i] = x - eta * ((float)((m > 0) - (m < 0)) + decay * x);
        }
        const tg_key key = tg_key_make((uint64_t)seed, 1, u + 1, 0); /* of weights, the update, the tensor */
        tg_kernels_get()->narrow_stochastic(want, step, TG_BF16, N, key, 0);
        assert_memory_equal(w.t[0].data, want, sizeof want);
    }
    work_destroy(&w);
}

static void test_rounding(void **state)
{
    (void)state;
    check_rounding(
        "tiger",
        (work_option[]){
            {"lr", "0.01"}, {"scale", "none"}, {"weight_decay", "0.03"}, {"gradients", "folded"}, {NULL, NULL}},
        0.01f, 0.03f);
    check_rounding("tiger", /* so long a step that rounding is done with care */
                   (work_option[]){
                       {"lr", "3"}, {"scale", "none"}, {"weight_decay", "0.71"}, {"gradients", "folded"}, {NULL, NULL}},
                   3.0f, 0.71f);
    check_rounding("signum",
                   (work_option[]){{"lr", "0.01"}, {"weight_decay", "0.03"}, {"gradients", "folded"}, {NULL, NULL}},
                   0.01f, 0.03f);
}

static void test_windows(void **state)
{
    (void)state;
    for (size_t k = 1; k <= 64; k++)
        check_window(k);
}

/* A tied embedding: several tiles reach an element in one micro-step, in any order; their sum is meant. */
static void test_overlapping_tiles(void **state)
{
    (void)state;
    static const char *const places[] = {"folded", "buffered", "released"};
    for (size_t p = 0; p < 3; p++) {
        work split, whole;
        const work_option options[] = {{"lr", "0.01"}, {"gradients", places[p]}, {NULL, NULL}};
        work_create(&split, "tiger", options);
        work_create(&whole, "tiger", options);
        work_add(&split, 9, 7, TG_MATRIX, 4, TG_F32);
        work_add(&whole, 9, 7, TG_MATRIX, 4, TG_F32);
        work_start(&split);
        work_start(&whole);
        for (size_t u = 0; u < 4; u++) {
            float third[63], rest[63];
            const uint32_t even[] = {0, 2, 4, 6, 8}, odd[] = {1, 3, 5, 7};
            float even_rows[35], odd_rows[28];
            work_fill(&whole, u);
            for (size_t i = 0; i < 63; i++) {
                third[i] = whole.t[0].g[i] * 0.25f; /* exact */
                rest[i] = whole.t[0].g[i] * 0.75f;
            }
            for (size_t r = 0; r < 9; r++)
                memcpy((r % 2 ? odd_rows : even_rows) + r / 2 * 7, rest + r * 7, 7 * sizeof *rest);
            must(tg_optim_begin(whole.o, 1));
            must(tg_optim_accumulate(whole.o, 0, 0, 9, whole.t[0].g));
            must(tg_optim_micro_end(whole.o));
            must(tg_optim_end(whole.o));
            must(tg_optim_begin(split.o, 1));
            must(tg_optim_accumulate(split.o, 0, 4, 5, third + 28));
            must(tg_optim_accumulate_rows(split.o, 0, even, 5, even_rows));
            must(tg_optim_accumulate(split.o, 0, 0, 4, third));
            must(tg_optim_accumulate_rows(split.o, 0, odd, 4, odd_rows));
            must(tg_optim_micro_end(split.o));
            must(tg_optim_end(split.o));
            for (size_t i = 0; i < 63; i++)
                assert_true(fabs(value(momentum(&split, 0), i) - value(momentum(&whole, 0), i)) < 5e-8);
            for (size_t i = 0; i < 63; i++)
                assert_true(fabsf(weight(&split, 0, i) - weight(&whole, 0, i)) < 1e-6f);
        }
        work_destroy(&split);
        work_destroy(&whole);
    }
}

/* ---- ties with other rules ---- */

static void check_same(const char *a, const work_option *a_options, const char *b, const work_option *b_options,
                       double tolerance)
{
    work x, y;
    work_create(&x, a, a_options);
    work_create(&y, b, b_options);
    for (uint32_t k = 0; k < 3; k++) {
        work_add(&x, 7, 9 + k, TG_MATRIX, 20 + k, TG_F32);
        work_add(&y, 7, 9 + k, TG_MATRIX, 20 + k, TG_F32);
    }
    work_start(&x);
    work_start(&y);
    for (size_t u = 0; u < 20; u++) {
        work_update(&x, u, 1, WORK_ARRAYS);
        work_update(&y, u, 1, WORK_ARRAYS);
        for (size_t k = 0; k < 3; k++)
            for (size_t i = 0; i < x.t[k].n; i++)
                if (!(fabs((double)weight(&x, k, i) - (double)weight(&y, k, i)) <= tolerance))
                    fail_msg("%s and %s part at update %zu: %.9g, %.9g", a, b, u, (double)weight(&x, k, i),
                             (double)weight(&y, k, i));
    }
    work_destroy(&x);
    work_destroy(&y);
}

static void test_ties(void **state)
{
    (void)state;
    const work_option tiger[] = {{"lr", "0.003"}, {"beta", "0.93"}, {"weight_decay", "0.21"}, {"scale", "none"}, {NULL, NULL}};
    const work_option signum[] = {{"lr", "0.003"}, {"beta", "0.93"}, {"weight_decay", "0.21"}, {NULL, NULL}};
    const work_option lion[] = {{"lr", "0.003"}, {"beta1", "0.93"}, {"beta2", "0.93"}, {"weight_decay", "0.21"}, {NULL, NULL}};
    check_same("tiger", tiger, "signum", signum, 0);
    check_same("lion", lion, "signum", signum, 1e-6);
    const work_option power[] = {{"lr", "0.1"}, {"beta", "0.93"}, {"weight_decay", "0"}, {"scale", "none"}, {"gamma", "0"},
                                 {NULL, NULL}};
    const work_option sgd[] = {{"lr", "0.1"}, {"momentum", "0.93"}, {"ema", "1"}, {NULL, NULL}};
    check_same("tiger", power, "sgd", sgd, 2e-6);
}

/* Polyak's v <- mu v - lr g, x <- x + v, and Nesterov's gradient at the point looked ahead to, are sgd for constant lr:
 * on a quadratic, where the gradient at any point is known. */
static void test_classic_momentum(void **state)
{
    (void)state;
    enum { N = 17 };
    for (int nesterov = 0; nesterov <= 1; nesterov++) {
        work w;
        double x[N], v[N] = {0};
        work_create(&w, "sgd", (work_option[]){{"lr", "0.02"}, {"momentum", "0.9"}, {"nesterov", nesterov ? "1" : "0"}, {NULL, NULL}});
        work_add(&w, 1, N, TG_MATRIX, 6, TG_F32);
        work_start(&w);
        for (size_t i = 0; i < N; i++)
            x[i] = (double)weight(&w, 0, i);
        for (size_t u = 0; u < 60; u++) {
            for (size_t i = 0; i < N; i++) /* nesterov: the driver holds the point looked ahead to */
                w.t[0].g[i] = (1.0f + (float)i) * weight(&w, 0, i);
            must(work_arrays(&w));
            for (size_t i = 0; i < N; i++) {
                const double at = x[i] + (nesterov ? 0.9 * v[i] : 0);
                v[i] = 0.9 * v[i] - 0.02 * (1 + (double)i) * at;
                x[i] += v[i];
                assert_true(fabs(x[i] + (nesterov ? 0.9 * v[i] : 0) - (double)weight(&w, 0, i)) < 3e-6);
            }
        }
        work_destroy(&w);
    }
}

/* ---- the floor under the RMS ---- */

static void test_floor(void **state)
{
    (void)state;
    static const struct {
        const char *floor, *lr;
        float step;
    } cases[] = {{"1e-3", "0.5", 0.5e-3f}, {"0", "0.5", 0}, {"0.25", "0.5", 0.125f}};
    for (size_t c = 0; c < 3; c++) {
        work w;
        work_create(&w, "tiger", (work_option[]){{"rms_floor", cases[c].floor}, {"lr", cases[c].lr}, {NULL, NULL}});
        work_add(&w, 5, 13, TG_MATRIX, 3, TG_F32);
        memset(w.t[0].data, 0, 65 * sizeof(float));
        work_start(&w);
        work_update(&w, 0, 1, WORK_ARRAYS);
        for (size_t i = 0; i < 65; i++)
            assert_true(fabsf(fabsf(weight(&w, 0, i)) - (i % 13 == 5 ? 0 : cases[c].step)) < 1e-9f);
        work_destroy(&w);
    }
}

/* ---- lazy embeddings ---- */

static void touch(work *w, const uint32_t *rows, size_t count, float g)
{
    float tile[40];
    for (size_t i = 0; i < count * 5; i++)
        tile[i] = g;
    must(tg_optim_begin(w->o, 1));
    must(tg_optim_accumulate_rows(w->o, 0, rows, count, tile));
    must(tg_optim_micro_end(w->o));
    must(tg_optim_end(w->o));
}

/* Row 3 of 8 is touched at updates 1 and 9; in between it rests, and then its momentum has decayed eight times more. */
static void test_lazy_rows(void **state)
{
    (void)state;
    for (int dense = 0; dense <= 1; dense++) {
        work w;
        work_create(&w, "tiger", (work_option[]){{"beta", "0.8"}, {"lr", "0.01"}, {"embedding_update", dense ? "dense" : "lazy"},
                                                 {NULL, NULL}});
        work_add(&w, 8, 5, TG_EMBEDDING, 3, TG_F32);
        work_start(&w);
        touch(&w, (uint32_t[]){1, 3}, 2, 2.385f);
        float row[5];
        memcpy(row, (float *)w.t[0].data + 15, sizeof row);
        assert_true(fabs(value(momentum(&w, 0), 15) - 0.2 * 2.385) < 1e-7);
        for (size_t u = 1; u < 8; u++)
            touch(&w, (uint32_t[]){1, 6}, 2, -0.731f);
        assert_int_equal(memcmp(row, (float *)w.t[0].data + 15, sizeof row) == 0, !dense);
        for (size_t i = 0; i < 5; i++) /* row 0 never had a gradient */
            assert_true(dense || weight(&w, 0, i) == input_weight(3, i, TG_EMBEDDING));
        touch(&w, (uint32_t[]){3}, 1, 0.517f);
        const double want = pow(0.8, 8) * 0.2 * 2.385 + 0.2 * 0.517;
        for (size_t i = 15; i < 20; i++)
            assert_true(fabs(value(momentum(&w, 0), i) - want) < 2e-7);
        assert_true(memcmp(row, (float *)w.t[0].data + 15, sizeof row) != 0);
        work_destroy(&w);
    }
}

/* A touched row with a gradient of zero is touched: the bitmap decides, not the values. */
static void test_touched_zero(void **state)
{
    (void)state;
    work w;
    work_create(&w, "tiger", (work_option[]){{"beta", "0.8"}, {"lr", "0.01"}, {"weight_decay", "0.5"}, {NULL, NULL}});
    work_add(&w, 8, 5, TG_EMBEDDING, 3, TG_F32);
    work_start(&w);
    touch(&w, (uint32_t[]){2, 4}, 2, 0.0f);
    for (size_t i = 0; i < 40; i++) {
        const bool touched = i / 5 == 2 || i / 5 == 4; /* sign(0) is 0, but the decay is theirs */
        assert_int_equal(weight(&w, 0, i) == input_weight(3, i, TG_EMBEDDING), !touched);
    }
    work_destroy(&w);
}

/* ---- 16-bit weights under nearest rounding: the page's table of frozen shares ---- */

enum { FROZEN_N = 200000 };

static void keep_share(void *ctx, const tg_event *event)
{
    if (event->kind == TG_EVENT_FROZEN_SHARE)
        *(double *)ctx = event->value;
}

static double frozen_share(tg_format format, double alpha)
{
    work w;
    double told = -1;
    work_create(&w, "tiger", (work_option[]){{"rounding", "nearest"}, {"weight_decay", "0"}, {"state_format", "fp32"},
                                             {NULL, NULL}});
    must(tg_optim_set_number(w.o, TG_ALL_GROUPS, "lr", alpha));
    work_tensor *t = work_add(&w, 1, FROZEN_N, TG_MATRIX, 3, format);
    float *x = calloc(FROZEN_N, sizeof *x);
    uint16_t *before = calloc(FROZEN_N, sizeof *before);
    assert_true(x != NULL && before != NULL);
    for (uint32_t i = 0; i < FROZEN_N; i++)
        x[i] = 0.02f * tg_random_normal(tg_key_make(2385, 1, 2, 3), i);
    tg_kernels_get()->narrow(t->data, x, format, FROZEN_N);
    memcpy(before, t->data, FROZEN_N * sizeof *before);
    work_start(&w);
    tg_optim_on_event(w.o, keep_share, &told);
    for (size_t i = 0; i < FROZEN_N; i++)
        t->g[i] = i % 10 == 7 ? 0 : i % 2 ? 1.93f : -0.711f; /* a weight that is not to move is not frozen */
    must(work_arrays(&w));
    size_t frozen = 0, moved = 0;
    for (size_t i = 0; i < FROZEN_N; i++) {
        frozen += i % 10 != 7 && ((uint16_t *)t->data)[i] == before[i];
        moved += i % 10 != 7;
    }
    const double share = (double)frozen / (double)moved;
    assert_true(fabs(told - share) < 1e-9); /* the warning says what is so */
    told = -1;
    must(work_arrays(&w));
    assert_true(told == -1); /* once */
    free(x);
    free(before);
    work_destroy(&w);
    return share;
}

static void test_frozen_shares(void **state)
{
    (void)state;
    static const struct {
        double alpha, f16, bf16;
    } table[] = {{2e-3, 0, 0.44}, {1e-3, 0.002, 0.69}, {5e-4, 0.12, 0.84}, {1e-4, 0.69, 0.96}};
    for (size_t i = 0; i < 4; i++) {
        const double f16 = frozen_share(TG_F16, table[i].alpha), bf16 = frozen_share(TG_BF16, table[i].alpha);
        print_message("alpha %g: %.1f %% of fp16 weights frozen, %.1f %% of bf16\n", table[i].alpha, 100 * f16, 100 * bf16);
        assert_true(fabs(f16 - table[i].f16) < 0.015);
        assert_true(fabs(bf16 - table[i].bf16) < 0.015);
    }
}

/* ---- the quadratic example ---- */

/* min over x of x'Qx/2 - b'x, Q = diag(1..10), b = 1, from 0; largest distance from the solution after 1000 updates. */
static double quadratic_error(const char *scale, const char *floor)
{
    work w;
    work_create(&w, "tiger", (work_option[]){{"beta", "0.9"}, {"lr", "0.01"}, {"weight_decay", "0.01"}, {"scale", scale},
                                             {"rms_floor", floor}, {NULL, NULL}});
    work_add(&w, 1, 10, TG_MATRIX, 3, TG_F32);
    memset(w.t[0].data, 0, 10 * sizeof(float));
    work_start(&w);
    for (size_t t = 0; t < 1000; t++) {
        for (size_t i = 0; i < 10; i++)
            w.t[0].g[i] = (float)(1 + i) * weight(&w, 0, i) - 1;
        must(tg_optim_scale(w.o, "lr", 1 / (1 + 0.01 * (double)(t + 1))));
        must(work_arrays(&w));
    }
    double square = 0;
    for (size_t i = 0; i < 10; i++)
        square += pow((double)weight(&w, 0, i) - 1 / (1 + (double)i), 2);
    work_destroy(&w);
    return sqrt(square);
}

static void test_quadratic(void **state)
{
    (void)state;
    const double plain = quadratic_error("none", "0"), scaled = quadratic_error("rms", "0");
    print_message("quadratic: error %.3g without scaling, %.4g with it and no floor\n", plain, scaled);
    assert_true(plain > 2.5e-3 && plain < 4.5e-3); /* 3.6e-3 in float64; where the oscillation stands is chance */
    assert_true(fabs(scaled - 1.245) < 5e-4); /* |Q^-1 b|: it never moves */
    assert_true(fabs(quadratic_error("rms", "1e-3") - 1.2355) < 5e-4); /* the floor lets it creep */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),          cmocka_unit_test(test_windows),
        cmocka_unit_test(test_overlapping_tiles), cmocka_unit_test(test_ties),
        cmocka_unit_test(test_classic_momentum),  cmocka_unit_test(test_floor),
        cmocka_unit_test(test_lazy_rows),         cmocka_unit_test(test_touched_zero),
        cmocka_unit_test(test_frozen_shares),     cmocka_unit_test(test_quadratic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
