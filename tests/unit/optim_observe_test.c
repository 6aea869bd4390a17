/* optim_observe_test.c -- estimates of the Hessian's diagonal: what sophia keeps of them and does with them, from arrays and
 * from tiles; and Hutchinson's probes, which on a quadratic average to its diagonal. */
#include "optim_support.h"

enum { ROWS = 33, COLS = 67, N = ROWS * COLS };

static const double b2 = 0.99, tolerance = 4e-6;

static void make(work *w, const char *gradients)
{
    const work_option options[] = {{"lr", "0.0071"}, {"gradients", gradients}, {NULL, NULL}};
    work_create(w, "sophia", options);
    work_add(w, ROWS, COLS, TG_MATRIX, 11, TG_F32);
    work_start(w);
}

static const float *hessian(const work *w) { return work_state(w, 0, "hessian")->data; }

static void check_near(double got, double want, double size)
{
    if (!(fabs(got - want) <= tolerance * size))
        fail_msg("%.9g, not %.9g", got, want);
}

static void test_arrays(void **state)
{
    (void)state;
    work w;
    double h[N] = {0};
    make(&w, "auto");
    for (size_t t = 0; t < 5; t++) {
        work_fill(&w, t);
        const tg_grad grads[] = {{w.t[0].g, TG_F32, 4}}; /* g is 4 times the gradient */
        const tg_estimate kind = t % 2 ? TG_ESTIMATE_SQUARES : TG_ESTIMATE_PLAIN;
        must(tg_optim_observe(w.o, grads, kind, 768));
        for (size_t i = 0; i < N; i++) {
            const double g = (double)w.t[0].g[i] / 4;
            h[i] = b2 * h[i] + (1 - b2) * (t % 2 ? 768 * g * g : g);
            check_near((double)hessian(&w)[i], h[i], fmax(1, fabs(h[i])));
        }
        assert_int_equal(tg_optim_updates(w.o), 0); /* no update */
        for (size_t i = 0; i < N; i++)
            assert_true(((float *)w.t[0].data)[i] == input_weight(11, i, TG_MATRIX));
    }
    work_destroy(&w);
}

/* Two micro-steps of tiles, the second subtracted: half of their difference is observed. */
static void test_tiles(void **state)
{
    (void)state;
    work w;
    double first[N];
    make(&w, "buffered");
    must(tg_optim_begin(w.o, 2));
    work_fill(&w, 0);
    for (size_t i = 0; i < N; i++)
        first[i] = (double)w.t[0].g[i];
    work_micro(&w, 0, WORK_PANELS);
    work_fill(&w, 1);
    must(tg_optim_set_gradient_scale(w.o, -1));
    work_micro(&w, 1, WORK_ROWS);
    must(tg_optim_set_gradient_scale(w.o, 1));
    must(tg_optim_observe(w.o, NULL, TG_ESTIMATE_PLAIN, 1));
    for (size_t i = 0; i < N; i++)
        check_near((double)hessian(&w)[i], (1 - b2) * (first[i] - (double)w.t[0].g[i]) / 2, 1);
    work_update(&w, 2, 1, WORK_TILE); /* windows go on */
    work_destroy(&w);
}

/* A difference with a bad side is no estimate: the state stays, and the next window is whole again. */
static void test_one_bad_side(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        work w;
        make(&w, "buffered");
        must(tg_optim_begin(w.o, 2));
        for (int micro = 0; micro < 2; micro++) {
            work_fill(&w, (size_t)micro);
            w.t[0].bad = micro == side;
            work_micro(&w, (size_t)micro, WORK_PANELS);
        }
        w.t[0].bad = false;
        must(tg_optim_observe(w.o, NULL, TG_ESTIMATE_PLAIN, 1));
        for (size_t i = 0; i < N; i++)
            assert_true(hessian(&w)[i] == 0);
        must(tg_optim_begin(w.o, 1));
        work_fill(&w, 4);
        work_micro(&w, 4, WORK_PANELS);
        must(tg_optim_observe(w.o, NULL, TG_ESTIMATE_PLAIN, 1));
        for (size_t i = 0; i < N; i++)
            check_near((double)hessian(&w)[i], (1 - b2) * (double)w.t[0].g[i], 1);
        work_destroy(&w);
    }
}

/* One update by hand: m / max(rho h, eps), clipped to 1. Estimates that are not squares are negative at times, and then
 * eps stands in. */
static void check_step(tg_estimate kind, double scale)
{
    work w;
    float old[N];
    make(&w, "auto");
    work_fill(&w, 1);
    const tg_grad estimate[] = {{w.t[0].g, TG_F32, 0}};
    must(tg_optim_observe(w.o, estimate, kind, scale));
    memcpy(old, w.t[0].data, sizeof old);
    work_update(&w, 0, 1, WORK_ARRAYS);
    size_t clipped = 0, free_steps = 0, negative = 0;
    for (size_t i = 0; i < N; i++) {
        const double h = (double)hessian(&w)[i];
        const double m = (1 - 0.965) * (double)w.t[0].g[i], curved = fmax(0.04 * h, 1e-12);
        const double step = fmax(-1, fmin(1, m / curved)), x = (double)old[i] * (1 - 0.0071 * 0.1) - 0.0071 * step;
        check_near((double)((float *)w.t[0].data)[i], x, 1);
        clipped += fabs(m / curved) > 1;
        free_steps += fabs(m / curved) <= 1 && m != 0;
        negative += h < 0;
    }
    assert_true(clipped > 20 && (free_steps > 20) == (kind == TG_ESTIMATE_SQUARES));
    assert_true((negative > 20) == (kind == TG_ESTIMATE_PLAIN));
    work_destroy(&w);
}

static void test_step(void **state)
{
    (void)state;
    check_step(TG_ESTIMATE_SQUARES, 100);
    check_step(TG_ESTIMATE_PLAIN, 1);
}

/* L = sum_i a_i x_i^2 / 2 + c (sum_i x_i)^2 / 2: gradients a_i x_i + c sum x, diagonal a_i + c. */
static void quadratic_gradient(const float *x, float *g, double c)
{
    double sum = 0;
    for (size_t i = 0; i < N; i++)
        sum += (double)x[i];
    for (size_t i = 0; i < N; i++)
        g[i] = (float)(((double)(i % 7) - 2) * (double)x[i] + c * sum);
}

static void test_probe(void **state)
{
    (void)state;
    const double c = 0.01, length = 0.03125;
    static const size_t at[] = {5, N - 3}; /* in the first block, in the last */
    static float kept[N], g[N], other[N];
    work w;
    make(&w, "auto");
    double mean[2] = {0}; /* of elements at[]; each estimate is a_i + c + c u_i (the other signs' sum) */
    const size_t tries = 200;
    for (size_t t = 0; t < tries; t++) {
        memcpy(kept, w.t[0].data, sizeof kept);
        must(tg_optim_probe(w.o, length));
        for (size_t i = 0; i < N; i++)
            assert_true(fabsf(fabsf(((float *)w.t[0].data)[i] - kept[i]) - (float)length) < 1e-6f);
        quadratic_gradient(w.t[0].data, g, c);
        must(tg_optim_probe(w.o, -2 * length));
        quadratic_gradient(w.t[0].data, other, c);
        memcpy(w.t[0].data, kept, sizeof kept);
        for (size_t i = 0; i < N; i++)
            g[i] = (g[i] - other[i]) / 2;
        const double before[] = {(double)hessian(&w)[at[0]], (double)hessian(&w)[at[1]]};
        const tg_grad grads[] = {{g, TG_F32, 0}};
        must(tg_optim_observe(w.o, grads, TG_ESTIMATE_PROBE, 1 / length));
        for (size_t j = 0; j < 2; j++)
            mean[j] += (((double)hessian(&w)[at[j]] - b2 * before[j]) / (1 - b2)) / (double)tries;
        work_update(&w, t, 1, WORK_ARRAYS); /* other signs next time */
    }
    const double spread = c * sqrt(N) / sqrt((double)tries);
    for (size_t j = 0; j < 2; j++)
        assert_true(fabs(mean[j] - ((double)(at[j] % 7) - 2 + c)) < 5 * spread);
    work_destroy(&w);
}

/* The signs of two tensors, and those of two blocks of one, have nothing to do with each other. */
static void test_signs_are_apart(void **state)
{
    (void)state;
    enum { BLOCK = 1024 };
    work w;
    work_create(&w, "sophia", NULL);
    for (size_t k = 0; k < 2; k++) {
        work_add(&w, ROWS, COLS, TG_MATRIX, 11, TG_F32);
        memset(w.t[k].data, 0, N * sizeof(float));
    }
    work_start(&w);
    must(tg_optim_probe(w.o, 1));
    const float *a = w.t[0].data, *b = w.t[1].data;
    int tensors = 0, blocks = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        tensors += a[i] == b[i];
        blocks += a[i] == a[i + BLOCK];
    }
    assert_true(abs(tensors - BLOCK / 2) < 5 * 16 && abs(blocks - BLOCK / 2) < 5 * 16);
    work_destroy(&w);
}

/* Frozen tensors are not probed, whatever their format. */
static void test_frozen(void **state)
{
    (void)state;
    work w;
    work_create(&w, "sophia", NULL);
    for (size_t k = 0; k < 3; k++) {
        work_add(&w, 3, 5, TG_MATRIX, 11, k == 2 ? TG_BF16 : TG_F32);
        w.t[k].frozen = k > 0;
    }
    work_start(&w);
    must(tg_optim_probe(w.o, 0.25));
    for (size_t i = 0; i < 15; i++) {
        assert_true(((float *)w.t[0].data)[i] != input_weight(11, i, TG_MATRIX));
        assert_true(((float *)w.t[1].data)[i] == input_weight(11, i, TG_MATRIX));
        assert_true(((uint16_t *)w.t[2].data)[i] == tg_f32_to_bf16(input_weight(11, i, TG_MATRIX)));
    }
    work_destroy(&w);
}

/* Estimates reach a state of 16 bits, and lie in fp16's range whatever their size. */
static void check_half(const char *format, float size)
{
    work w;
    static float got[N], want[N];
    size_t index = 0;
    double squares = 0;
    work_create(&w, "sophia", (work_option[]){{"state_format", format}, {NULL, NULL}});
    work_add(&w, ROWS, COLS, TG_MATRIX, 11, TG_F32);
    work_start(&w);
    while (strcmp(tg_optim_state(w.o, index)->name, "t0/hessian") != 0)
        index++;
    memset(want, 0, sizeof want);
    for (size_t u = 3; u < 8; u++) { /* the second gradient is 22 times the first */
        work_fill(&w, u);
        for (size_t i = 0; i < N; i++) {
            w.t[0].g[i] *= size;
            want[i] = (float)(b2 * (double)want[i] + (1 - b2) * 100 * pow((double)w.t[0].g[i], 2));
            squares += pow((double)want[i], 2) / N;
        }
        must(tg_optim_observe(w.o, (tg_grad[]){{w.t[0].g, TG_F32, 0}}, TG_ESTIMATE_SQUARES, 100));
        must(tg_optim_state_values(w.o, index, got));
        for (size_t i = 0; i < N; i++) /* an error of a unit in the last place each time, of the largest values */
            if (!(fabs((double)got[i] - (double)want[i]) <= 0x1p-5 * fmax((double)want[i], sqrt(squares))))
                fail_msg("%s, gradients of %g: h[%zu] is %.9g, not %.9g", format, (double)size, i, (double)got[i],
                         (double)want[i]);
        if (u > 3)
            must(work_arrays(&w));
    }
    work_destroy(&w);
}

static void test_half(void **state)
{
    (void)state;
    check_half("bf16", 1);
    check_half("fp16", 1);
    check_half("fp16", 1e-6f);
    check_half("fp16", 3e4f);
}

static void test_refusals(void **state)
{
    (void)state;
    work w;
    make(&w, "auto");
    work_fill(&w, 0);
    const tg_grad grads[] = {{w.t[0].g, TG_F32, 0}};
    assert_int_equal(tg_optim_observe(w.o, grads, TG_ESTIMATE_SQUARES, 0), TG_EINVAL);
    assert_int_equal(tg_optim_observe(w.o, NULL, TG_ESTIMATE_SQUARES, 1), TG_ESTATE);
    assert_int_equal(tg_optim_probe(w.o, NAN), TG_EINVAL);
    w.t[0].g[17] = NAN; /* a bad estimate is left out */
    must(tg_optim_observe(w.o, grads, TG_ESTIMATE_SQUARES, 1));
    assert_true(hessian(&w)[3] == 0);
    work_destroy(&w);
    work_create(&w, "adamw", NULL);
    work_add(&w, 3, 3, TG_MATRIX, 1, TG_BF16);
    work_start(&w);
    assert_int_equal(tg_optim_observe(w.o, grads, TG_ESTIMATE_PLAIN, 1), TG_EUNSUPPORTED);
    assert_int_equal(tg_optim_probe(w.o, 1e-3), TG_EUNSUPPORTED);
    work_destroy(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_one_bad_side),
        cmocka_unit_test(test_step),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_signs_are_apart),
        cmocka_unit_test(test_half),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
