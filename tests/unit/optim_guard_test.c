/* optim_guard_test.c -- Tiger's guard against NaN and Inf, case by case: which micro-steps of a window are bad, what is
 * done about it, and that the momentum decays exactly once in every window with an accepted micro-step. */
#include "optim_support.h"

enum { N = 65, MICRO = 4 };

static const double beta = 0.8, shrink = 0.93;

typedef enum badness { BY_NAN, BY_INF, BY_REJECT, BY_REJECT_ALL, BADNESSES } badness;

static void create(work *w, const char *guard, const char *gradients, tg_role role)
{
    work_create(w, "tiger", (work_option[]){{"beta", "0.8"}, {"lr", "0.01"}, {"shrink", "0.93"}, {"nan_guard", guard},
                                            {"gradients", gradients}, {NULL, NULL}});
    work_add(w, 5, 13, role, 3, TG_F32);
    work_start(w);
}

static void micro_step(work *w, size_t step, bool bad, badness how)
{
    work_fill(w, step);
    if (bad && how <= BY_INF)
        w->t[0].g[37] = how == BY_NAN ? NAN : -INFINITY;
    if (bad && how >= BY_REJECT)
        must(tg_optim_reject(w->o, how == BY_REJECT ? 0 : TG_ALL_PARAMS));
    else
        must(tg_optim_accumulate(w->o, 0, 0, 5, w->t[0].g));
    must(tg_optim_complete(w->o, 0));
    must(tg_optim_micro_end(w->o));
}

/* In double, what two windows whose micro-steps are bad where `pattern` has a bit must leave in m and x. */
typedef struct expected {
    double m[N], x[N];
} expected;

static void expect_window(expected *e, size_t update, unsigned pattern, bool shrinks, tg_role role)
{
    const double centre = role == TG_GAIN ? 1 : 0;
    bool accepted = false;
    double sum[N] = {0}, square = 0;
    for (size_t j = 0; j < MICRO; j++) {
        const bool bad = (pattern >> j) & 1;
        accepted = accepted || !bad;
        for (size_t i = 0; i < N; i++)
            if (!bad)
                sum[i] += (double)input_gradient(3, update * MICRO + j, i);
            else if (shrinks)
                e->x[i] = (e->x[i] - centre) * shrink + centre;
    }
    if (!accepted)
        return;
    for (size_t i = 0; i < N; i++)
        square += e->x[i] * e->x[i];
    const double eta = 0.01 * (role == TG_MATRIX ? sqrt(square / N) : 0.05), lambda = role == TG_MATRIX ? 0.01 : 0;
    for (size_t i = 0; i < N; i++) {
        e->m[i] = beta * e->m[i] + (1 - beta) / MICRO * sum[i];
        e->x[i] -= eta * ((e->m[i] > 0) - (e->m[i] < 0) + lambda * e->x[i]);
    }
}

static void check_pattern(unsigned first, unsigned second, badness how, const char *guard, const char *gradients, tg_role role)
{
    work w;
    expected e = {0};
    create(&w, guard, gradients, role);
    for (size_t i = 0; i < N; i++)
        e.x[i] = (double)input_weight(3, i, role);
    for (size_t u = 0; u < 2; u++) {
        const unsigned pattern = u == 0 ? first : second;
        must(tg_optim_begin(w.o, MICRO));
        for (size_t j = 0; j < MICRO; j++)
            micro_step(&w, u * MICRO + j, (pattern >> j) & 1, how);
        must(tg_optim_end(w.o));
        expect_window(&e, u, pattern, strcmp(guard, "skip") != 0, role);
    }
    const tg_named_tensor *m = work_state(&w, 0, "exp_avg");
    for (size_t i = 0; i < N; i++) {
        const double got_m = work_value(m->data, TG_F32, i), got_x = (double)((float *)w.t[0].data)[i];
        if (!(fabs(got_m - e.m[i]) < 3e-7 && fabs(got_x - e.x[i]) < 1e-6))
            fail_msg("bad %x then %x (%d, %s, %s, %s): m %.9g, not %.9g; x %.9g, not %.9g", first, second, (int)how, guard,
                     gradients, tg_role_name(role), got_m, e.m[i], got_x, e.x[i]);
    }
    work_destroy(&w);
}

/* All 16 x 16 patterns: the first bad, the last, some, all, in this window and the one before. */
static void test_patterns(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 16; first++)
        for (unsigned second = 0; second < 16; second++) {
            check_pattern(first, second, (badness)((first + second) % BADNESSES), "shrink", "folded", TG_MATRIX);
            check_pattern(first, second, BY_NAN, "auto", "buffered", TG_GAIN);
            check_pattern(first, second, BY_INF, "skip", "folded", TG_BIAS);
        }
}

/* One bad value of 65,537, wherever it is and on every instruction set. */
static void test_found_anywhere(void **state)
{
    (void)state;
    enum { BIG = 65537 };
    static float g[BIG];
    const tg_isa chosen = tg_isa_chosen();
    for (int isa = 0; isa < TG_ISA_COUNT; isa++) {
        if (!tg_isa_usable((tg_isa)isa))
            continue;
        tg_isa_force((tg_isa)isa);
        work w;
        create(&w, "skip", "folded", TG_MATRIX);
        work_destroy(&w);
        work_create(&w, "tiger", (work_option[]){{"nan_guard", "skip"}, {"nan_budget", "0"}, {NULL, NULL}});
        work_add(&w, 1, BIG, TG_MATRIX, 3, TG_F32);
        work_start(&w);
        const uint64_t before = hash_bytes(1, w.t[0].data, BIG * sizeof *g);
        static const size_t places[] = {0, 1, 15, 16, 4095, 4096, 4097, 16383, 16384, 32768, 65535, 65536};
        for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
            memset(g, 0x3f, sizeof g);
            g[places[p]] = p % 2 ? NAN : INFINITY;
            must(tg_optim_begin(w.o, 1));
            must(tg_optim_accumulate(w.o, 0, 0, 1, g));
            must(tg_optim_micro_end(w.o));
            must(tg_optim_end(w.o));
            must(tg_optim_step(w.o, &(tg_grad){.data = g, .format = TG_F32}));
        }
        assert_true(hash_bytes(1, w.t[0].data, BIG * sizeof *g) == before);
        work_destroy(&w);
    }
    tg_isa_force(chosen);
}

/* A tile that is bad takes its tensor's micro-step with it, tiles before and after it: none may count twice or decay
 * again. */
static void test_bad_tile_among_good(void **state)
{
    (void)state;
    work w;
    create(&w, "skip", "folded", TG_MATRIX);
    const tg_named_tensor *m = work_state(&w, 0, "exp_avg");
    work_update(&w, 0, 1, WORK_TILE);
    double m0[N];
    for (size_t i = 0; i < N; i++)
        m0[i] = work_value(m->data, TG_F32, i);
    must(tg_optim_begin(w.o, 2));
    work_fill(&w, 1);
    w.t[0].g[30] = NAN;
    must(tg_optim_accumulate(w.o, 0, 0, 2, w.t[0].g));
    must(tg_optim_accumulate(w.o, 0, 2, 1, w.t[0].g + 26)); /* bad */
    must(tg_optim_accumulate(w.o, 0, 3, 2, w.t[0].g + 39)); /* dropped: the tensor is marked */
    must(tg_optim_micro_end(w.o));
    work_fill(&w, 2);
    must(tg_optim_accumulate(w.o, 0, 0, 5, w.t[0].g));
    must(tg_optim_micro_end(w.o));
    must(tg_optim_end(w.o));
    for (size_t i = 0; i < N; i++) {
        const double early = i < 26 ? (double)input_gradient(3, 1, i) : 0, late = (double)input_gradient(3, 2, i);
        assert_true(fabs(work_value(m->data, TG_F32, i) - (0.8 * m0[i] + 0.1 * (early + late))) < 3e-7);
    }
    work_destroy(&w);
}

/* ---- budget, errors, events ---- */

typedef struct witness {
    int events;
    uint64_t update;
    uint32_t micro_step;
    double value;
    char param[16];
} witness;

static void note(void *ctx, const tg_event *event)
{
    witness *seen = ctx;
    assert_int_equal(event->kind, TG_EVENT_BAD_GRADIENT);
    *seen = (witness){seen->events + 1, event->update, event->micro_step, event->value, ""};
    snprintf(seen->param, sizeof seen->param, "%s", event->param);
}

static tg_status bad_step(work *w, bool bad)
{
    work_fill(w, 0);
    if (bad)
        w->t[1].g[4] = NAN;
    return work_arrays(w);
}

static void test_budget(void **state)
{
    (void)state;
    work w;
    work_create(&w, "tiger", (work_option[]){{"nan_budget", "3"}, {NULL, NULL}});
    work_add(&w, 5, 13, TG_MATRIX, 3, TG_F32);
    work_add(&w, 5, 13, TG_MATRIX, 4, TG_F32);
    work_start(&w);
    must(bad_step(&w, true));
    must(bad_step(&w, true));
    must(bad_step(&w, false)); /* a good update starts the count anew */
    must(bad_step(&w, true));
    must(bad_step(&w, true));
    float before[N];
    memcpy(before, w.t[0].data, sizeof before);
    assert_int_equal(bad_step(&w, true), TG_EDIVERGED);
    assert_non_null(strstr(tg_message(), "t1"));
    assert_non_null(strstr(tg_message(), "6")); /* the update */
    assert_true(memcmp(before, w.t[0].data, sizeof before) != 0); /* the update itself was made */
    assert_int_equal(tg_optim_updates(w.o), 6);
    work_destroy(&w);
    work_create(&w, "tiger", NULL);
    work_add(&w, 5, 13, TG_MATRIX, 3, TG_F32);
    work_add(&w, 5, 13, TG_MATRIX, 4, TG_F32);
    work_start(&w);
    for (int u = 1; u < 20; u++)
        must(bad_step(&w, true));
    assert_int_equal(bad_step(&w, true), TG_EDIVERGED); /* the default is 20 */
    work_destroy(&w);
}

static void test_events(void **state)
{
    (void)state;
    work w;
    witness seen = {0};
    create(&w, "shrink", "folded", TG_MATRIX);
    tg_optim_on_event(w.o, note, &seen);
    for (size_t u = 0; u < 3; u++) {
        must(tg_optim_begin(w.o, MICRO));
        for (size_t j = 0; j < MICRO; j++)
            micro_step(&w, u * MICRO + j, u == 1 && j >= 2, BY_INF);
        must(tg_optim_end(w.o));
    }
    assert_int_equal(seen.events, 2);
    assert_int_equal(seen.update, 2);
    assert_int_equal(seen.micro_step, 4);
    assert_string_equal(seen.param, "t0");
    work_destroy(&w);
}

static void test_error_mode(void **state)
{
    (void)state;
    work w;
    create(&w, "error", "folded", TG_MATRIX);
    float before[N];
    memcpy(before, w.t[0].data, sizeof before);
    must(tg_optim_begin(w.o, 1));
    work_fill(&w, 0);
    w.t[0].g[1] = NAN;
    tg_status status = tg_optim_accumulate(w.o, 0, 0, 5, w.t[0].g);
    if (status == TG_OK)
        status = tg_optim_micro_end(w.o);
    assert_int_equal(status, TG_EDIVERGED);
    assert_non_null(strstr(tg_message(), "t0"));
    assert_memory_equal(before, w.t[0].data, sizeof before);
    work_destroy(&w);
}

/* Noise after a shrink: of the standard deviation asked for, the same for the same seed. */
static void test_noise(void **state)
{
    (void)state;
    enum { BIG = 40000 };
    static float g[BIG];
    static float first[BIG];
    g[7] = NAN;
    for (int round = 0; round < 2; round++) {
        work w;
        double mean = 0, square = 0;
        work_create(&w, "tiger", (work_option[]){{"shrink_noise", "0.0125"}, {NULL, NULL}});
        work_add(&w, 1, BIG, TG_MATRIX, 3, TG_F32);
        work_start(&w);
        must(tg_optim_step(w.o, &(tg_grad){.data = g, .format = TG_F32}));
        const float *x = w.t[0].data;
        for (size_t i = 0; i < BIG; i++) {
            const double d = (double)x[i] - 0.99 * (double)input_weight(3, i, TG_MATRIX);
            mean += d / BIG;
            square += d * d / BIG;
        }
        assert_true(fabs(mean) < 5 * 0.0125 / 200 && fabs(sqrt(square) / 0.0125 - 1) < 0.02);
        if (round == 0)
            memcpy(first, x, sizeof first);
        assert_memory_equal(first, x, sizeof first);
        work_destroy(&w);
    }
}

/* More gradients than are looked at in one go: the tensor with a NaN stays, all others move as without a guard. */
static void test_many_groups(void **state)
{
    (void)state;
    enum { TENSORS = 5, VALUES = 600000, BAD = 3 };
    float *g = malloc(VALUES * sizeof *g), *bad = malloc(VALUES * sizeof *bad);
    assert_true(g != NULL && bad != NULL);
    for (size_t i = 0; i < VALUES; i++)
        bad[i] = g[i] = 1e-3f * ((float)(i % 977) - 488.3f);
    bad[VALUES - 2] = NAN;
    work w[2];
    for (int guarded = 0; guarded < 2; guarded++) {
        tg_grad grads[TENSORS];
        work_create(&w[guarded], "adamw", (work_option[]){{"nan_guard", guarded ? "skip" : "off"}, {NULL, NULL}});
        for (size_t k = 0; k < TENSORS; k++) {
            work_add(&w[guarded], 1, VALUES, TG_MATRIX, (uint32_t)(3 + k), TG_F32);
            grads[k] = (tg_grad){.data = guarded && k == BAD ? bad : g, .format = TG_F32};
        }
        work_start(&w[guarded]);
        must(tg_optim_step(w[guarded].o, grads));
    }
    for (size_t k = 0; k < TENSORS; k++)
        if (k != BAD)
            assert_memory_equal(w[0].t[k].data, w[1].t[k].data, VALUES * sizeof(float));
    for (size_t i = 0; i < VALUES; i++)
        assert_true(((float *)w[1].t[BAD].data)[i] == input_weight(3 + BAD, i, TG_MATRIX));
    work_destroy(&w[0]);
    work_destroy(&w[1]);
    free(g);
    free(bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),   cmocka_unit_test(test_found_anywhere), cmocka_unit_test(test_bad_tile_among_good),
        cmocka_unit_test(test_budget),     cmocka_unit_test(test_events),         cmocka_unit_test(test_error_mode),
        cmocka_unit_test(test_noise),      cmocka_unit_test(test_many_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
