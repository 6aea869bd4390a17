/* optim_format_test.c -- 16-bit weights and states under every rule: each stored weight is the rounding of what fp32
 * computes, stochastic rounding is unbiased and repeats itself nowhere, and trajectories stay beside fp32's. */
#include "optim_support.h"

enum { UPDATES = 3 };

static const size_t shape[][2] = {{3, 5}, {33, 17}, {1, 65}, {1, 9}, {2, 2100}, {64, 11}};

static double quantum(double v, tg_format format)
{
    const int bits = format == TG_BF16 ? 8 : 11, least = format == TG_BF16 ? -133 : -24;
    int exponent;
    frexp(v, &exponent);
    return ldexp(1, exponent - bits > least ? exponent - bits : least);
}

/* Where stored weights came to lie, in units of the last place. */
typedef struct score {
    double bias, count;
} score;

static void check_rounded(double stored, double exact, tg_format format, tg_rounding rounding, double slack, score *s,
                          const char *what)
{
    const double q = quantum(exact, format), low = floor(exact / q) * q;
    bool good = rounding == TG_NEAREST ? stored == rint(exact / q) * q : stored == low || (stored == low + q && exact != low);
    if (rounding == TG_KAHAN) /* the pair's sum: 8 bits more; fp16's rest has no steps below 2^-24 */
        good = fabs(stored - exact) <= (format == TG_BF16 ? q * 0x1p-8 : fmax(q * 0x1p-10, 0x1p-25)) + slack;
    if (!good)
        fail_msg("%s: %.9g was stored as %.9g", what, exact, stored);
    s->bias += (stored - exact) / q;
    s->count++;
}

static double stored_value(const work *w, size_t k, size_t i)
{
    const tg_named_tensor *rest = work_state(w, k, "compensation");
    const double x = work_value(w->t[k].data, w->t[k].format, i);
    return rest == NULL ? x : x + work_value(rest->data, rest->format, i);
}

/* `half` has 16-bit weights, `full` the same in fp32; both keep fp32 states, and before each update full's weights are
 * set to half's. */
static void check_updates(const char *rule, const work_option *options, tg_format format, tg_rounding rounding)
{
    work half, full;
    score s = {0};
    work_create(&half, rule, options);
    work_create(&full, rule, options);
    /* Step sizes come from the RMS of the weights without their rests. */
    const bool by_rms = rule_has(rule, "rms_floor") || rule_has(rule, "trust_coefficient") || rule_has(rule, "eps2") ||
                        strcmp(rule, "lamb") == 0;
    const double slack = by_rms ? 0.0071 * (format == TG_BF16 ? 0x1p-9 : 0x1p-12) : 0;
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        work_add(&half, shape[i][0], shape[i][1], (tg_role)(i % TG_ROLE_COUNT), (uint32_t)(40 + i), format);
        work_add(&full, shape[i][0], shape[i][1], (tg_role)(i % TG_ROLE_COUNT), (uint32_t)(40 + i), TG_F32);
    }
    work_start(&half);
    work_start(&full);
    for (size_t u = 0; u < UPDATES; u++) {
        for (size_t k = 0; k < full.count; k++)
            for (size_t i = 0; i < full.t[k].n; i++)
                ((float *)full.t[k].data)[i] = (float)stored_value(&half, k, i);
        must(tg_optim_refresh(full.o));
        work_update(&half, u, 1, WORK_ARRAYS);
        work_update(&full, u, 1, WORK_ARRAYS);
        for (size_t k = 0; k < full.count; k++)
            for (size_t i = 0; i < full.t[k].n; i++)
                check_rounded(stored_value(&half, k, i), (double)((float *)full.t[k].data)[i], format, rounding, slack, &s,
                              options_text(options));
    }
    const bool by_chance = rounding == TG_STOCHASTIC || rounding == TG_WEYL;
    if (by_chance && fabs(s.bias) > 6 * 0.5 * sqrt(s.count)) /* a draw's variance is at most a quarter */
        fail_msg("%s%s, %s: off by %g units in the last place in the mean", rule, options_text(options),
                 tg_format_name(format), s.bias / s.count);
    work_destroy(&half);
    work_destroy(&full);
}

static void check_variant(const char *rule, work_option *options, size_t count)
{
    static const char *const roundings[] = {[TG_STOCHASTIC] = "stochastic", [TG_NEAREST] = "nearest", [TG_KAHAN] = "kahan",
                                            [TG_WEYL] = "weyl"};
    options[count] = (work_option){"state_format", rule_is_coded(rule) ? "auto" : "fp32"};
    options[count + 1] = (work_option){"threads", "1"};
    for (int r = 0; r < 4; r++)
        for (int format = TG_BF16; format <= TG_F16; format++) {
            options[count + 2] = (work_option){"rounding", roundings[r]};
            check_updates(rule, options, (tg_format)format, (tg_rounding)r);
        }
    options[count] = options[count + 1] = options[count + 2] = (work_option){0};
}

static void test_each_update(void **state) { (void)state, for_each_variant(check_variant); }

/* ---- whole trajectories, states in 16 bits too ---- */

/* Distance from the fp32 trajectory, as a share of the way it went, after 40 updates. */
static const double far_bf16 = 0.3, far_f16 = 0.045, far_kahan = 0.035;

static void add_trajectory(work *w, const char *rule, const work_option *options, tg_format format)
{
    work_create(w, rule, options);
    must(tg_optim_set(w->o, TG_ALL_GROUPS, "threads", "1"));
    work_add(w, 64, 65, TG_MATRIX, 17, format);
    /* The same beginning for all: values that bf16 has. */
    uint16_t *h = calloc(w->t[0].n, sizeof *h);
    float *x = calloc(w->t[0].n, sizeof *x);
    assert_true(h != NULL && x != NULL);
    for (size_t i = 0; i < w->t[0].n; i++)
        x[i] = input_weight(17, i, TG_MATRIX);
    tg_kernels_get()->narrow(h, x, TG_BF16, w->t[0].n);
    tg_kernels_get()->widen(x, h, TG_BF16, w->t[0].n);
    tg_kernels_get()->narrow(w->t[0].data, x, format, w->t[0].n);
    free(h);
    free(x);
    work_start(w);
}

static double distance(const char *rule, const work_option *options, tg_format format, work_way way_in, size_t micro)
{
    work full, half;
    double apart = 0, way = 0;
    add_trajectory(&full, rule, options, TG_F32);
    add_trajectory(&half, rule, options, format);
    for (size_t u = 0; u < 40; u++) {
        work_update(&full, u, micro, way_in);
        work_update(&half, u, micro, way_in);
    }
    for (size_t i = 0; i < full.t[0].n; i++) {
        const double x = (double)((float *)full.t[0].data)[i];
        apart += pow(stored_value(&half, 0, i) - x, 2);
        way += pow(x - (double)input_weight(17, i, TG_MATRIX), 2);
    }
    work_destroy(&full);
    work_destroy(&half);
    return sqrt(apart / way);
}

static void check_trajectory(const char *rule, work_option *options, size_t count)
{
    if (strcmp(rule, "soap") == 0) /* directions without moments: their steps are made of rounding, unless eps is above that */
        options[count++] = (work_option){"eps", "0.0137"};
    options[count] = (work_option){"rounding", "stochastic"};
    const double bf16 = distance(rule, options, TG_BF16, WORK_ARRAYS, 1);
    const double f16 = distance(rule, options, TG_F16, WORK_ARRAYS, 1);
    options[count] = (work_option){"rounding", "kahan"};
    const double kahan = distance(rule, options, TG_BF16, WORK_ARRAYS, 1);
    if (!(bf16 < far_bf16 && f16 < far_f16 && kahan < far_kahan))
        fail_msg("%s%s: bf16 %.3f, fp16 %.3f, bf16 kahan %.3f", rule, options_text(options), bf16, f16, kahan);
    options[count] = (work_option){0};
}

static void test_trajectories(void **state) { (void)state, for_each_variant(check_trajectory); }

/* Gradients of four micro-steps added into a 16-bit momentum one by one. */
static void test_folded_trajectories(void **state)
{
    (void)state;
    const work_option tiger[] = {{"lr", "0.0071"}, {"gradients", "folded"}, {NULL, NULL}};
    const work_option sgd[] = {{"lr", "0.0071"}, {"momentum", "0.83"}, {"gradients", "folded"}, {NULL, NULL}};
    static const char *const rules[] = {"tiger", "signum", "sgd"};
    for (size_t r = 0; r < 3; r++) {
        const work_option *options = r == 2 ? sgd : tiger;
        const double bf16 = distance(rules[r], options, TG_BF16, WORK_PANELS, 4);
        const double f16 = distance(rules[r], options, TG_F16, WORK_PANELS, 4);
        if (!(bf16 < far_bf16 && f16 < far_f16))
            fail_msg("%s%s: bf16 %.3f, fp16 %.3f", rules[r], options_text(options), bf16, f16);
    }
}

/* ---- stochastic rounding over many seeds, and its streams ---- */

/* A weight of 1 and steps of a twentieth of its last place: lost by nearest, walked in the mean by stochastic rounding,
 * walked exactly by Kahan's. The mean walk, and through *spread the standard deviation of the walks. */
static double mean_steps(const char *rounding, const char *seed, double *spread)
{
    work w;
    double sum = 0, squares = 0;
    work_create(&w, "sgd", (work_option[]){{"lr", "1"}, {"rounding", rounding}, {"seed", seed}, {NULL, NULL}});
    work_tensor *t = work_add(&w, 1, 50, TG_MATRIX, 1, TG_BF16);
    for (size_t i = 0; i < t->n; i++) {
        ((uint16_t *)t->data)[i] = tg_f32_to_bf16(1.0f);
        t->g[i] = -0x1p-7f / 20;
    }
    work_start(&w);
    for (size_t u = 0; u < 100; u++)
        must(work_arrays(&w));
    for (size_t i = 0; i < t->n; i++) {
        const double steps = (work_value(t->data, TG_BF16, i) - 1) * 0x1p7;
        sum += steps;
        squares += steps * steps;
    }
    const double mean = sum / (double)t->n;
    *spread = sqrt(squares / (double)t->n - mean * mean);
    work_destroy(&w);
    return mean;
}

static void test_unbiased_over_seeds(void **state)
{
    (void)state;
    static const char *const roundings[] = {"stochastic", "weyl"};
    enum { SEEDS = 100 };
    const double walk = sqrt(100 * 0.05 * 0.95), sigma = walk / sqrt(50 * SEEDS); /* of one walk; of the mean of all */
    double spread[2] = {0}, of_one;
    for (size_t r = 0; r < 2; r++) {
        double sum = 0;
        for (int seed = 1; seed <= SEEDS; seed++) {
            char text[16];
            snprintf(text, sizeof text, "%d", seed);
            sum += mean_steps(roundings[r], text, &of_one) / SEEDS;
            spread[r] += of_one / SEEDS;
        }
        if (!(fabs(sum - 5) < 5 * sigma))
            fail_msg("%s: the mean walk is %g steps, not 5 +- %g", roundings[r], sum, sigma);
    }
    assert_true(fabs(spread[0] / walk - 1) < 0.1);
    if (!(spread[1] < 0.8)) /* few walks are farther than a step from where they should be */
        fail_msg("weyl: walks differ by %g steps", spread[1]);
    assert_true(mean_steps("nearest", "1", &of_one) == 0);
    assert_true(mean_steps("kahan", "1", &of_one) == 5);
}

enum { STREAM_N = 4096, STREAMS = 40 };

/* One bit an element: whether chance rounded it up. */
typedef struct streams {
    unsigned char up[STREAMS][STREAM_N];
    size_t count;
} streams;

static void check_streams(const streams *s, const char *what)
{
    for (size_t a = 0; a < s->count; a++)
        for (size_t b = a + 1; b < s->count; b++) {
            int same = 0;
            for (size_t i = 0; i < STREAM_N; i++)
                same += s->up[a][i] == s->up[b][i];
            if (abs(same - STREAM_N / 2) > 5 * 32 + 10)
                fail_msg("%s: streams %zu and %zu agree in %d of %d places", what, a, b, same, STREAM_N);
        }
}

static double momentum(const work *w, size_t k, size_t i)
{
    return work_value(work_state(w, k, "momentum_buffer")->data, TG_BF16, i);
}

/* Momenta that become 1 and half a last place at each update, in three tensors, from two seeds. */
static void test_state_streams(void **state)
{
    (void)state;
    static streams s;
    for (int seed = 1; seed <= 2; seed++) {
        work w;
        char text[16];
        snprintf(text, sizeof text, "%d", seed);
        work_create(&w, "sgd", (work_option[]){{"lr", "0"}, {"seed", text}, {"momentum", "0.5"}, {NULL, NULL}});
        for (size_t k = 0; k < 3; k++)
            work_add(&w, 64, 64, TG_MATRIX, 1, TG_BF16);
        work_start(&w);
        for (size_t u = 0; u < 6; u++) {
            for (size_t k = 0; k < 3; k++)
                for (size_t i = 0; i < STREAM_N; i++)
                    w.t[k].g[i] = (float)(1 + 0x1p-8 - 0.5 * momentum(&w, k, i));
            must(work_arrays(&w));
            for (size_t k = 0; k < 3; k++, s.count++)
                for (size_t i = 0; i < STREAM_N; i++)
                    s.up[s.count][i] = momentum(&w, k, i) > 1;
        }
        work_destroy(&w);
    }
    assert_int_equal(s.count, 36);
    check_streams(&s, "states");
}

/* Adam without memory: m is g, v is g^2. That v goes up with probability 1/2 and m with 1/4 agree half of the time. */
static void check_slot_streams(const char *rounding)
{
    static streams s;
    work w;
    s.count = 0;
    const work_option options[] = {
        {"beta1", "0"}, {"beta2", "0"}, {"state_format", "bf16"}, {"rounding", rounding}, {NULL, NULL}};
    work_create(&w, "adam", options);
    work_add(&w, 64, 64, TG_MATRIX, 1, TG_F32);
    work_start(&w);
    for (size_t i = 0; i < STREAM_N; i++)
        w.t[0].g[i] = sqrtf(1 + 0x1p-8f);
    must(work_arrays(&w));
    static const char *const name[] = {"exp_avg", "exp_avg_sq"};
    for (; s.count < 2; s.count++)
        for (size_t i = 0; i < STREAM_N; i++)
            s.up[s.count][i] = work_value(work_state(&w, 0, name[s.count])->data, TG_BF16, i) > 1;
    check_streams(&s, "states of one tensor");
    work_destroy(&w);
}

static void test_slot_streams(void **state)
{
    (void)state;
    check_slot_streams("stochastic");
    check_slot_streams("weyl");
}

/* sgd without state: weights at 1, steps of half a last place. */
static void test_update_streams(void **state)
{
    (void)state;
    static streams s;
    for (int seed = 1; seed <= 2; seed++) {
        work w;
        char text[16];
        snprintf(text, sizeof text, "%d", seed);
        work_create(&w, "sgd", (work_option[]){{"lr", "1"}, {"seed", text}, {NULL, NULL}});
        for (size_t k = 0; k < 4; k++)
            work_add(&w, 64, 64, TG_MATRIX, 1, TG_BF16);
        work_start(&w);
        for (size_t u = 0; u < 5; u++) {
            for (size_t k = 0; k < 4; k++)
                for (size_t i = 0; i < STREAM_N; i++) {
                    ((uint16_t *)w.t[k].data)[i] = tg_f32_to_bf16(1.0f);
                    w.t[k].g[i] = -0x1p-8f;
                }
            must(work_arrays(&w));
            for (size_t k = 0; k < 4; k++, s.count++)
                for (size_t i = 0; i < STREAM_N; i++)
                    s.up[s.count][i] = work_value(w.t[k].data, TG_BF16, i) > 1;
        }
        work_destroy(&w);
    }
    assert_int_equal(s.count, 40);
    check_streams(&s, "weights");
}

/* Signum with beta 0: the first micro-step puts 1/8 into the momentum, each later one adds half a last place. */
static void test_fold_streams(void **state)
{
    (void)state;
    static streams s;
    work w;
    work_create(&w, "signum", (work_option[]){{"beta", "0"}, {"gradients", "folded"}, {"lr", "0"}, {NULL, NULL}});
    for (size_t k = 0; k < 2; k++)
        work_add(&w, 64, 64, TG_MATRIX, 1, TG_BF16);
    work_start(&w);
    for (size_t u = 0; u < 2; u++) {
        must(tg_optim_begin(w.o, 8));
        for (size_t j = 0; j < 8; j++) {
            for (size_t k = 0; k < 2; k++) {
                const tg_named_tensor *m = work_state(&w, k, "momentum_buffer");
                double before[STREAM_N];
                for (size_t i = 0; i < STREAM_N; i++) {
                    before[i] = work_value(m->data, TG_BF16, i);
                    w.t[k].g[i] = j == 0 ? 1.0f : 0x1p-8f;
                }
                if (j % 2 == 0) {
                    must(tg_optim_accumulate(w.o, k, 0, 64, w.t[k].g));
                } else { /* in two tiles */
                    must(tg_optim_accumulate(w.o, k, 40, 24, w.t[k].g));
                    must(tg_optim_accumulate(w.o, k, 0, 40, w.t[k].g));
                }
                if (j > 0) {
                    for (size_t i = 0; i < STREAM_N; i++)
                        s.up[s.count][i] = work_value(m->data, TG_BF16, i) > before[i];
                    s.count++;
                }
            }
            must(tg_optim_micro_end(w.o));
        }
        must(tg_optim_end(w.o));
    }
    assert_int_equal(s.count, 28);
    check_streams(&s, "folded gradients");
    work_destroy(&w);
}

/* A tied embedding gets several tiles on one element in one micro-step: each is rounded on its own. */
static void test_tile_streams(void **state)
{
    (void)state;
    static streams s;
    work w;
    work_create(&w, "signum", (work_option[]){{"beta", "0"}, {"gradients", "folded"}, {"lr", "0"}, {NULL, NULL}});
    work_add(&w, 64, 64, TG_MATRIX, 1, TG_BF16);
    work_start(&w);
    const tg_named_tensor *m = work_state(&w, 0, "momentum_buffer");
    must(tg_optim_begin(w.o, 1));
    for (size_t j = 0; j < 12; j++) {
        double before[STREAM_N];
        for (size_t i = 0; i < STREAM_N; i++) {
            before[i] = work_value(m->data, TG_BF16, i);
            w.t[0].g[i] = j == 0 ? 1.0f : 0x1p-8f;
        }
        must(tg_optim_accumulate(w.o, 0, 0, 64, w.t[0].g));
        if (j > 0) {
            for (size_t i = 0; i < STREAM_N; i++)
                s.up[s.count][i] = work_value(m->data, TG_BF16, i) > before[i];
            s.count++;
        }
    }
    must(tg_optim_micro_end(w.o));
    must(tg_optim_end(w.o));
    check_streams(&s, "tiles");
    work_destroy(&w);
}

/* Tiles of a row are counted to 255 and then from 1 again: the micro-step keeps the roundings apart. And the decay comes
 * with the first tile only. */
static void test_many_tiles(void **state)
{
    (void)state;
    enum { MICRO = 512 };
    static streams s;
    work w;
    s.count = 0;
    work_create(&w, "signum", (work_option[]){{"beta", "0"}, {"gradients", "folded"}, {"lr", "0"}, {NULL, NULL}});
    work_add(&w, 64, 64, TG_MATRIX, 1, TG_BF16);
    work_start(&w);
    const tg_named_tensor *m = work_state(&w, 0, "momentum_buffer");
    must(tg_optim_begin(w.o, MICRO));
    for (size_t j = 0; j < MICRO; j++) {
        const bool counts = j % 255 >= 1 && j % 255 <= 4 && j < 300;
        double before[STREAM_N];
        for (size_t i = 0; i < STREAM_N; i++) {
            before[i] = work_value(m->data, TG_BF16, i);
            w.t[0].g[i] = j == 0 ? 64.0f : counts ? 0.25f : 0.0f; /* 1/8, and half a last place of it */
        }
        must(tg_optim_accumulate(w.o, 0, 0, 64, w.t[0].g));
        must(tg_optim_micro_end(w.o));
        for (size_t i = 0; i < STREAM_N && counts; i++)
            s.up[s.count][i] = work_value(m->data, TG_BF16, i) > before[i];
        s.count += counts;
    }
    must(tg_optim_end(w.o));
    assert_int_equal(s.count, 8);
    check_streams(&s, "tiles 255 apart");
    for (size_t i = 0; i < STREAM_N; i++)
        assert_true(work_value(m->data, TG_BF16, i) >= 0.125);
    work_destroy(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_update),    cmocka_unit_test(test_trajectories),
        cmocka_unit_test(test_folded_trajectories),
        cmocka_unit_test(test_unbiased_over_seeds), cmocka_unit_test(test_state_streams),
        cmocka_unit_test(test_update_streams), cmocka_unit_test(test_fold_streams),
        cmocka_unit_test(test_tile_streams),   cmocka_unit_test(test_many_tiles),
        cmocka_unit_test(test_slot_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
