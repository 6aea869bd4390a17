/* optim_range_test.c -- fp16 states: gradients far too small or large for fp16 leave the momentum they would leave in fp32,
 * gradients that grow or shrink a millionfold are followed, and nothing of it depends on how gradients arrive. */
#include <unistd.h>

#include "optim_support.h"

enum { ROWS = 33, COLS = 65 };

/* fp16 has 11 bits, and stochastic rounding errs by up to a unit at each of some dozens of updates. */
static const double tolerance = 0x1p-10 * 14;

static void make(work *w, const char *rule, const char *format, const char *gradients)
{
    const work_option options[] = {{"lr", "0.0031"}, {"state_format", format}, {"gradients", gradients}, {NULL, NULL}};
    work_create(w, rule, options);
    work_add(w, ROWS, COLS, TG_MATRIX, 11, TG_F32);
    work_start(w);
}

static void update(work *w, size_t u, float scale, work_way way, double loss_scale)
{
    work_fill(w, u);
    for (size_t i = 0; i < w->t[0].n; i++)
        w->t[0].g[i] *= scale * (way == WORK_ARRAYS ? 1 : (float)loss_scale);
    if (way == WORK_ARRAYS) {
        must(work_arrays(w));
        return;
    }
    must(tg_optim_set_gradient_scale(w->o, loss_scale));
    must(tg_optim_begin(w->o, 1));
    work_micro(w, u, way);
    must(tg_optim_end(w->o));
}

static size_t state_index(const work *w, const char *name)
{
    size_t i = 0;
    while (strcmp(tg_optim_state(w->o, i)->name, name) != 0)
        i++;
    return i;
}

/* The largest distance of a state from fp32's, relative to the state's RMS. */
static double apart(const work *half, const work *full, const char *name)
{
    static float a[ROWS * COLS], b[ROWS * COLS];
    double most = 0, squares = 0;
    must(tg_optim_state_values(half->o, state_index(half, name), a));
    must(tg_optim_state_values(full->o, state_index(full, name), b));
    for (size_t i = 0; i < ROWS * COLS; i++) {
        assert_true(isfinite(a[i]));
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        squares += (double)b[i] * (double)b[i];
    }
    return most / sqrt(squares / (ROWS * COLS));
}

/* Exponents are chosen by trying the update: the weights must not move by it. */
static void check_first_step(const char *rule, const work *half, const work *full)
{
    double squares = 0;
    for (size_t i = 0; i < ROWS * COLS; i++)
        squares += pow((double)((float *)half->t[0].data)[i] - (double)((float *)full->t[0].data)[i], 2);
    if (!(sqrt(squares / (ROWS * COLS)) < 0.1 * 0.0031)) /* of a step; few signs are lost in rounding */
        fail_msg("%s: the first step differs by %g from fp32's", rule, sqrt(squares / (ROWS * COLS)));
}

/* The scale of update u's gradients: level, then a change, then level. */
static float level(size_t u, float from, float to) { return u < 20 ? from : to; }

static void check(const char *rule, const char *slot, work_way way, float from, float to)
{
    work half, full;
    char name[64];
    snprintf(name, sizeof name, "t0/%s", slot);
    make(&half, rule, "fp16", way == WORK_ARRAYS ? "auto" : "folded");
    make(&full, rule, "fp32", way == WORK_ARRAYS ? "auto" : "folded");
    for (size_t u = 0; u < 60; u++) {
        update(&half, u, level(u, from, to), way, 1024);
        update(&full, u, level(u, from, to), way, 1024);
        if (u == 0)
            check_first_step(rule, &half, &full);
        /* For a few updates after a jump by a million the state may lie at fp16's end: it must come back from there. */
        const bool settled = u < 20 || u > 50 || to <= from;
        const double far = apart(&half, &full, name);
        if (settled && !(far <= tolerance * (u < 20 ? 1 : 40)))
            fail_msg("%s, way %d, gradients of %g then %g: after update %zu the momentum is off by %g of its size", rule,
                     (int)way, (double)from, (double)to, u + 1, far);
    }
    work_destroy(&half);
    work_destroy(&full);
}

static void test_scales(void **state)
{
    static const float scales[][2] = {{1, 1}, {1e-9f, 1e-9f}, {1e7f, 1e7f}, {1e-3f, 3.0f}, {1.0f, 1e-5f}, {1e-6f, 1.0f}, {3e-36f, 3e-36f}};
    (void)state;
    for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
        check("signum", "momentum_buffer", WORK_ARRAYS, scales[s][0], scales[s][1]);
        check("signum", "momentum_buffer", WORK_TILE, scales[s][0], scales[s][1]);
        check("signum", "momentum_buffer", WORK_PANELS, scales[s][0], scales[s][1]);
        check("adam", "exp_avg", WORK_ARRAYS, scales[s][0], scales[s][1]);
        if (scales[s][0] > 1e-8f) /* squares then underflow fp32 itself */
            check("adam", "exp_avg_sq", WORK_ARRAYS, scales[s][0], scales[s][1]);
    }
}

/* Gradients that change a little at every update, and end 2^40 smaller or 2^23 larger: the exponent goes along. */
static void check_drift(const char *rule, const char *slot, work_way way, float ratio, size_t updates)
{
    work half, full;
    char name[64];
    float scale = 1;
    snprintf(name, sizeof name, "t0/%s", slot);
    make(&half, rule, "fp16", way == WORK_ARRAYS ? "auto" : "folded");
    make(&full, rule, "fp32", way == WORK_ARRAYS ? "auto" : "folded");
    for (size_t u = 0; u < updates; u++, scale *= ratio) {
        update(&half, 4 * u, scale, way, 1); /* every fourth of the inputs has the same size */
        update(&full, 4 * u, scale, way, 1);
        const double far = apart(&half, &full, name);
        if (!(far <= 4 * tolerance))
            fail_msg("%s, way %d, gradients times %g: after update %zu the momentum is off by %g of its size", rule, (int)way,
                     (double)ratio, u + 1, far);
    }
    work_destroy(&half);
    work_destroy(&full);
}

static void test_drift(void **state)
{
    (void)state;
    static const work_way ways[] = {WORK_ARRAYS, WORK_TILE};
    for (size_t i = 0; i < 2; i++) {
        check_drift("signum", "momentum_buffer", ways[i], 0.93f, 380);
        check_drift("signum", "momentum_buffer", ways[i], 1.7f, 30);
    }
    check_drift("adam", "exp_avg", WORK_ARRAYS, 0.93f, 380);
    check_drift("adam", "exp_avg", WORK_ARRAYS, 1.7f, 30);
}

/* 96 micro-steps that all push the same way: their sum is 96 times what the first of them left. */
static void test_many_tiles(void **state)
{
    (void)state;
    enum { MICRO = 96 };
    work w[2];
    for (int i = 0; i < 2; i++) {
        make(&w[i], "signum", i == 0 ? "fp16" : "fp32", "folded");
        must(tg_optim_begin(w[i].o, MICRO));
        for (size_t j = 0; j < MICRO; j++) {
            for (size_t e = 0; e < w[i].t[0].n; e++)
                w[i].t[0].g[e] = 2.385f + input_unit(3, e);
            work_micro(&w[i], j, WORK_TILE);
        }
        must(tg_optim_end(w[i].o));
    }
    const double far = apart(&w[0], &w[1], "t0/momentum_buffer");
    if (!(far <= 4 * tolerance))
        fail_msg("the momentum is off by %g of its size", far);
    work_destroy(&w[0]);
    work_destroy(&w[1]);
}

/* ---- lazy rows ---- */

enum { RESTING = 3 }; /* the row that has a gradient at the first update only, or never */

static void make_rows(work *w, const char *format, const char *gradients)
{
    const work_option options[] = {{"lr", "0.0031"}, {"state_format", format}, {"gradients", gradients}, {NULL, NULL}};
    work_create(w, "tiger", options);
    work_add(w, ROWS, COLS, TG_EMBEDDING, 11, TG_F32);
    work_add(w, ROWS, COLS, TG_MATRIX, 12, TG_F32);
    work_start(w);
}

/* The resting row's gradients are `loud` times as large as the others. */
static void update_rows(work *w, size_t u, float loud, float matrix, bool rests)
{
    uint32_t index[ROWS];
    size_t rows = 0;
    static float tile[ROWS * COLS];
    for (uint32_t r = 0; r < ROWS; r++)
        if (!(rests && r == RESTING)) {
            for (size_t c = 0; c < COLS; c++)
                tile[rows * COLS + c] = input_gradient(11, u, r * COLS + c) * (r == RESTING ? loud : 1);
            index[rows++] = r;
        }
    for (size_t i = 0; i < w->t[1].n; i++)
        w->t[1].g[i] = input_gradient(12, u, i) * matrix;
    must(tg_optim_begin(w->o, 1));
    must(tg_optim_accumulate(w->o, 1, 0, ROWS, w->t[1].g));
    must(tg_optim_complete(w->o, 1));
    must(tg_optim_accumulate_rows(w->o, 0, index, rows, tile));
    must(tg_optim_complete(w->o, 0));
    must(tg_optim_micro_end(w->o));
    must(tg_optim_end(w->o));
}

/* The largest distance from fp32's in any row, relative to that row's RMS; rows of zeros are zeros in both. */
static double rows_apart(const work *half, const work *full)
{
    static float a[ROWS * COLS], b[ROWS * COLS];
    double worst = 0;
    must(tg_optim_state_values(half->o, state_index(half, "t0/exp_avg"), a));
    must(tg_optim_state_values(full->o, state_index(full, "t0/exp_avg"), b));
    for (size_t r = 0; r < ROWS; r++) {
        double most = 0, squares = 0;
        for (size_t i = r * COLS; i < (r + 1) * COLS; i++) {
            most = fmax(most, fabs((double)a[i] - (double)b[i]));
            squares += (double)b[i] * (double)b[i];
        }
        worst = fmax(worst, most == 0 ? 0 : most / sqrt(squares / COLS));
    }
    return worst;
}

static void check_rows(const char *gradients, float loud, float matrix, bool ever)
{
    work half, full;
    make_rows(&half, "fp16", gradients);
    make_rows(&full, "fp32", gradients);
    for (size_t u = 0; u < 12; u++) {
        update_rows(&half, u, loud, matrix, !ever || u > 0);
        update_rows(&full, u, loud, matrix, !ever || u > 0);
        const double far = rows_apart(&half, &full);
        if (!(far <= 2 * tolerance))
            fail_msg("gradients %s, a row %g times as large: after update %zu a row's momentum is off by %g of its size",
                     gradients, (double)loud, u + 1, far);
    }
    work_destroy(&half);
    work_destroy(&full);
}

static void test_resting_rows(void **state)
{
    (void)state;
    static const char *const places[] = {"folded", "buffered", "released"};
    for (size_t p = 0; p < 3; p++) {
        check_rows(places[p], 7e3f, 1, true); /* rests with a momentum that the others' range would not hold */
        check_rows(places[p], 1, 1e9f, false); /* what lies in its place of a shared array is the matrix's */
    }
}

/* A resumed run has the same exponents, and the same bits. */
static void test_resume(void **state)
{
    (void)state;
    char path[] = "/tmp/tiger_range_XXXXXX";
    close(mkstemp(path));
    work whole, second;
    make(&whole, "tiger", "fp16", "folded");
    for (size_t u = 0; u < 9; u++)
        update(&whole, u, level(2 * u, 1e-6f, 1.0f), WORK_TILE, 1);
    must(tg_optim_save(whole.o, path));
    make(&second, "tiger", "fp16", "folded");
    memcpy(second.t[0].data, whole.t[0].data, whole.t[0].n * sizeof(float));
    must(tg_optim_load(second.o, path));
    for (size_t u = 9; u < 25; u++) {
        update(&whole, u, level(2 * u, 1e-6f, 1.0f), WORK_TILE, 1);
        update(&second, u, level(2 * u, 1e-6f, 1.0f), WORK_TILE, 1);
    }
    assert_true(work_hash(&whole) == work_hash(&second));
    unlink(path);
    work_destroy(&whole);
    work_destroy(&second);
}

/* Loss scaling by a power of two changes no bit. */
static void test_gradient_scale(void **state)
{
    (void)state;
    static const char *const places[] = {"folded", "buffered", "released"};
    for (size_t p = 0; p < 3; p++) {
        work plain, scaled;
        make(&plain, "signum", "fp32", places[p]);
        make(&scaled, "signum", "fp32", places[p]);
        for (size_t u = 0; u < 5; u++) {
            update(&plain, u, 1, WORK_TILE, 1);
            update(&scaled, u, 1, WORK_TILE, 65536);
        }
        assert_true(work_hash(&plain) == work_hash(&scaled));
        assert_int_equal(tg_optim_set_gradient_scale(plain.o, 0), TG_EINVAL);
        assert_int_equal(tg_optim_set_gradient_scale(plain.o, NAN), TG_EINVAL);
        work_destroy(&plain);
        work_destroy(&scaled);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scales), cmocka_unit_test(test_drift),
                                       cmocka_unit_test(test_many_tiles), cmocka_unit_test(test_resting_rows),
                                       cmocka_unit_test(test_resume), cmocka_unit_test(test_gradient_scale)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
