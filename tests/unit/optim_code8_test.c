/* optim_code8_test.c -- states of 8 bits: beside fp32's trajectory, at the size they promise, and in a mapped file. */
#include <unistd.h>

#include "optim_support.h"

enum { UPDATES = 200, ROWS = 64, COLS = 65 };

/* Distance from the rule with fp32 states, as a share of the way it went. Signs of a momentum that is near 0 differ. */
typedef struct pair {
    const char *rule, *fp32;
    double farthest;
} pair;

static const pair pairs[] = {{"adamw8bit", "adamw", 0.06}, {"lion8bit", "lion", 0.25}};

static void make(work *w, const char *rule, const char *rounding)
{
    const work_option options[] = {{"lr", "0.0031"}, {"weight_decay", "0.113"}, {"rounding", rounding}, {NULL, NULL}};
    work_create(w, rule, options);
    work_add(w, ROWS, COLS, TG_MATRIX, 17, TG_F32);
    work_add(w, 1, 300, TG_BIAS, 18, TG_F32);
    work_start(w);
}

static double distance(const pair *p, const char *rounding)
{
    work coded, full;
    double apart = 0, way = 0;
    make(&coded, p->rule, rounding);
    make(&full, p->fp32, rounding);
    for (size_t u = 0; u < UPDATES; u++) {
        work_update(&coded, u, 1, WORK_ARRAYS);
        work_update(&full, u, 1, WORK_ARRAYS);
    }
    for (size_t i = 0; i < full.t[0].n; i++) {
        const double x = (double)((float *)full.t[0].data)[i];
        apart += pow((double)((float *)coded.t[0].data)[i] - x, 2);
        way += pow(x - (double)input_weight(17, i, TG_MATRIX), 2);
    }
    work_destroy(&coded);
    work_destroy(&full);
    return sqrt(apart / way);
}

static void test_beside_fp32(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const double stochastic = distance(&pairs[i], "stochastic"), nearest = distance(&pairs[i], "nearest");
        print_message("%s: %.4f of the way from %s, rounded to nearest %.4f\n", pairs[i].rule, stochastic,
                      pairs[i].fp32, nearest);
        assert_true(stochastic > 0 && stochastic < pairs[i].farthest);
        assert_true(nearest > 0 && nearest < 2 * pairs[i].farthest);
    }
}

/* ---- single updates, by hand ---- */

enum { STEPS = 21 };

/* lr, its decay and the averages' as make() and the rules' defaults have them. */
static const double lr = 0.0031, wd = 0.113, eps = 1e-8, tolerance = 4e-6;

/* Of a code: they are rounded to 256ths before they are cut to whole ones. */
static const double slack = 1.0 / 128;

/* From code to code around `value` where codes end at `most`: base/code8.h's map. */
static double code_step(double value, double most, bool is_signed)
{
    const int lowest = is_signed ? 6 : 7;
    const double top = is_signed ? 7.890625 : 7.9453125, v = fabs(value) / most * top;
    int e = lowest;
    while (e > 0 && v < pow(8, e - lowest))
        e--;
    return (v < pow(8, -lowest) ? pow(8, -lowest) : 7 * pow(8, e - lowest) / pow(2, e)) * most / top;
}

typedef struct moments {
    double beta1, beta2;
    bool squares; /* a second state: of squared gradients */
    const char *name[2];
} moments;

static const moments of[] = {{0.9, 0.999, true, {"exp_avg", "exp_avg_sq"}}, {0.9, 0.99, false, {"exp_avg", NULL}}};

static void read_state(const work *w, size_t k, const char *name, float *values)
{
    size_t i = 0;
    while (tg_optim_state(w->o, i) != work_state(w, k, name))
        i++;
    must(tg_optim_state_values(w->o, i, values));
}

/* What the states must come to, and the weights, from states m, v and gradient g at update t. */
static double adamw_by_hand(const moments *a, double t, double x, double g, double *m, double *v)
{
    *m = a->beta1 * *m + (1 - a->beta1) * g;
    *v = a->beta2 * *v + (1 - a->beta2) * g * g;
    return x * (1 - lr * wd) - lr * (*m / (1 - pow(a->beta1, t))) / (sqrt(*v / (1 - pow(a->beta2, t))) + eps);
}

static double lion_by_hand(const moments *a, double x, double g, double *m)
{
    const double u = a->beta1 * *m + (1 - a->beta1) * g;
    *m = a->beta2 * *m + (1 - a->beta2) * g;
    return x - lr * ((u > 0) - (u < 0) + wd * x);
}

/* Every code is one of the two around the exact value, the nearer one without chance; in the mean nothing is lost. */
static void check_codes(const double *exact, const float *stored, size_t n, bool is_signed, bool nearest,
                        const char *what)
{
    double bias = 0, spread = 0;
    for (size_t at = 0; at < n; at += 256) {
        const size_t end = n - at < 256 ? n : at + 256;
        double most = 0;
        for (size_t i = at; i < end; i++)
            most = fmax(most, fabs(exact[i]));
        for (size_t i = at; i < end; i++) {
            const double step = code_step(exact[i], most, is_signed),
                         off = (fabs((double)stored[i]) - fabs(exact[i])) / step;
            if (!(fabs(off) <= (nearest ? 0.5 : 1) + slack) || (double)stored[i] * exact[i] < 0)
                fail_msg("%s: value %zu is %.9g, stored as %.9g", what, i, exact[i], (double)stored[i]);
            bias += off;
            spread += off * off;
        }
    }
    if (!nearest && fabs(bias) > 6 * sqrt(spread))
        fail_msg("%s: %g codes off in the mean", what, bias / (double)n);
}

static void check_tensor(const work *w, size_t k, const moments *a, double t, bool nearest, const float *old_m,
                         const float *old_v, const float *old_x)
{
    enum { N = ROWS * COLS };
    static double m[N], v[N];
    static float stored[N];
    const size_t n = w->t[k].n;
    for (size_t i = 0; i < n; i++) {
        const double x = (double)old_x[i], g = (double)w->t[k].g[i];
        m[i] = (double)old_m[i], v[i] = (double)old_v[i];
        const double want = a->squares ? adamw_by_hand(a, t, x, g, &m[i], &v[i]) : lion_by_hand(a, x, g, &m[i]);
        const double got = (double)((float *)w->t[k].data)[i];
        /* The sign of what is zero but for rounding is anyone's. */
        const double unsure = a->squares || fabs(a->beta1 * (double)old_m[i] + (1 - a->beta1) * g) > 1e-7 ? 0 : 2 * lr;
        if (!(fabs(got - want) <= tolerance * fmax(1, fabs(want)) + unsure))
            fail_msg("update %g, tensor %zu: weight %zu is %.9g, not %.9g", t, k, i, got, want);
    }
    read_state(w, k, a->name[0], stored);
    check_codes(m, stored, n, true, nearest, a->name[0]);
    if (!a->squares)
        return;
    read_state(w, k, a->name[1], stored);
    check_codes(v, stored, n, false, nearest, a->name[1]);
}

static void check_by_hand(const char *rule, const moments *a, const char *rounding)
{
    static float x[2][ROWS * COLS], m[2][ROWS * COLS], v[2][ROWS * COLS];
    work w;
    make(&w, rule, rounding);
    for (size_t u = 0; u < STEPS; u++) {
        for (size_t k = 0; k < 2; k++) {
            memcpy(x[k], w.t[k].data, w.t[k].n * sizeof(float));
            read_state(&w, k, a->name[0], m[k]);
            if (a->squares)
                read_state(&w, k, a->name[1], v[k]);
        }
        work_update(&w, u, 1, WORK_ARRAYS);
        for (size_t k = 0; k < 2; k++)
            check_tensor(&w, k, a, (double)u + 1, strcmp(rounding, "nearest") == 0, m[k], v[k], x[k]);
    }
    work_destroy(&w);
}

static void test_by_hand(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (rule_wanted(pairs[i].rule)) {
            check_by_hand(pairs[i].rule, &of[i], "stochastic");
            check_by_hand(pairs[i].rule, &of[i], "nearest");
        }
}

static void test_defaults(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const tg_option_table *coded = &tg_rule_find(pairs[i].rule)->options,
                              *full = &tg_rule_find(pairs[i].fp32)->options;
        for (size_t j = 0; j < coded->count; j++) {
            const size_t same = tg_option_find(full, coded->at[j].name);
            assert_true(same < full->count && coded->at[j].value == full->at[same].value);
        }
    }
}

/* ---- chance ---- */

/* Codes of 1024 equal values halfway between two codes, as a block of a tensor that begins at `first`. */
static void toss(uint8_t *codes, tg_key key, uint64_t first)
{
    enum { BLOCK = 1024 };
    float src[BLOCK], scale[BLOCK / 256];
    const double half = (1 + 7 * 20.5 / 64) / 7.890625; /* of the largest, which is the first of 256 */
    for (size_t i = 0; i < BLOCK; i++)
        src[i] = i % 256 == 0 ? 1.0f : (float)half;
    tg_kernels_get()->encode(codes, scale, src, true, BLOCK, &key, first);
}

/* Two tosses agree half of the time, wherever in a tensor, in whichever tensor they are made. */
static void test_chances_are_apart(void **state)
{
    (void)state;
    enum { BLOCK = 1024, BLOCKS = 5 };
    static uint8_t codes[BLOCKS][BLOCK];
    const uint64_t first[] = {0, BLOCK, UINT64_C(9) << 32, (UINT64_C(9) << 32) + BLOCK};
    for (size_t b = 0; b < 4; b++)
        toss(codes[b], tg_key_make(3, 17, 5, 0), first[b]);
    toss(codes[4], tg_key_make(3, 17, 5, 1), 0);
    const double spread = 0.5 * sqrt(BLOCK);
    for (size_t a = 0; a < BLOCKS; a++)
        for (size_t b = a; b < BLOCKS; b++)
            for (size_t apart = a == b ? 1 : 0; apart < 256; apart++) {
                size_t same = 0;
                for (size_t i = 0; i < BLOCK; i++)
                    same += codes[a][i] == codes[b][(i + apart) % BLOCK];
                if (fabs((double)same - BLOCK / 2) > 7 * spread)
                    fail_msg("blocks %zu and %zu, %zu values apart: %zu of %d codes agree", a, b, apart, same,
                             (int)BLOCK);
            }
}

/* The same of an update's walk over a tensor: a first momentum of equal values, but for the last under each scale. */
static void test_chances_of_an_update(void **state)
{
    (void)state;
    enum { SCALES = 8, N = 256 * SCALES };
    static float g[N], m[N];
    for (size_t i = 0; i < N; i++)
        g[i] = i % 256 == 255 ? 1.0f : (float)((1 + 7 * 20.5 / 64) / 7.890625);
    for (size_t r = 0; r < sizeof pairs / sizeof *pairs; r++) {
        const work_option options[] = {{NULL, NULL}};
        work w;
        if (!rule_wanted(pairs[r].rule))
            continue;
        work_create(&w, pairs[r].rule, options);
        work_add(&w, 1, N, TG_MATRIX, 17, TG_F32);
        work_start(&w);
        must(tg_optim_step(w.o, &(tg_grad){.data = g, .format = TG_F32}));
        read_state(&w, 0, "exp_avg", m);
        for (size_t a = 0; a < SCALES; a++) {
            const float largest = m[256 * a + 255];
            assert_true(largest > 0 && largest == m[255]);
            for (size_t b = a + 1; b < SCALES; b++) {
                size_t same = 0;
                for (size_t i = 0; i < 255; i++) {
                    assert_true(m[256 * a + i] < largest);
                    same += m[256 * a + i] == m[256 * b + i];
                }
                if (fabs((double)same - 127.5) > 7 * 0.5 * sqrt(255))
                    fail_msg("%s: scales %zu and %zu: %zu of 255 codes agree", pairs[r].rule, a, b, same);
            }
        }
        work_destroy(&w);
    }
}

static void test_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        work w;
        tg_optim_bytes bytes;
        make(&w, pairs[i].rule, "stochastic");
        must(tg_optim_measure(w.o, &bytes));
        const size_t slots = tg_rule_find(pairs[i].rule)->slot_count, n = ROWS * COLS + 300;
        assert_true(bytes.states >= slots * n && bytes.states <= slots * (n + n / 60 + 512));
        work_destroy(&w);
    }
}

/* States in a mapped file: the same bits, and nothing is left of the file. */
static void test_paged(void **state)
{
    (void)state;
    char path[] = "/tmp/tiger_paged_XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    tg_allocator paged = {0};
    assert_int_equal(tg_paged_create(&paged, path), TG_EIO); /* it exists */
    assert_non_null(strstr(tg_message(), path));
    unlink(path);
    must(tg_paged_create(&paged, path));
    assert_int_not_equal(access(path, F_OK), 0);
    work plain, mapped;
    make(&plain, "adamw8bit", "stochastic");
    mapped = (work){0};
    must(tg_optim_create(&mapped.o, "adamw8bit", &paged));
    must(tg_optim_set(mapped.o, TG_ALL_GROUPS, "lr", "0.0031"));
    must(tg_optim_set(mapped.o, TG_ALL_GROUPS, "weight_decay", "0.113"));
    work_add(&mapped, ROWS, COLS, TG_MATRIX, 17, TG_F32);
    work_add(&mapped, 1, 300, TG_BIAS, 18, TG_F32);
    work_start(&mapped);
    for (size_t u = 0; u < 7; u++) {
        work_update(&plain, u, 1, WORK_ARRAYS);
        work_update(&mapped, u, 1, WORK_ARRAYS);
    }
    assert_true(work_hash(&plain) == work_hash(&mapped));
    work_destroy(&plain);
    work_destroy(&mapped);
    tg_paged_destroy(&paged);
    tg_paged_destroy(&paged); /* a zeroed one is fine */
}

static void test_formats_are_fixed(void **state)
{
    (void)state;
    const work_option options[] = {{"state_format", "bf16"}, {NULL, NULL}};
    work w;
    work_create(&w, "adamw8bit", options);
    assert_int_equal(tg_optim_start(w.o), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "state_format"));
    work_destroy(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beside_fp32),       cmocka_unit_test(test_by_hand), cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_chances_are_apart), cmocka_unit_test(test_chances_of_an_update),
        cmocka_unit_test(test_size), cmocka_unit_test(test_paged), cmocka_unit_test(test_formats_are_fixed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
