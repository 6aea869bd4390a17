/* random_test.c -- counter-based randomness: statistics of one stream, and independence of streams that differ in one
 * part of their key. */
#include "optim_support.h"

#include "base/kernels.h"
#include "base/normal.h"
#include "base/random.h"

enum { DRAWS = 1 << 18 };

/* Every bit is set half of the time, and bytes are uniform (chi-square, 255 degrees of freedom: 255 +- 22.6). */
static void test_bits(void **state)
{
    (void)state;
    const tg_key key = tg_key_make(2385, 1, 2, 3);
    long set[32] = {0}, byte[4][256] = {{0}};
    for (uint32_t i = 0; i < DRAWS; i++) {
        const uint32_t r = tg_random(key, i);
        for (int b = 0; b < 32; b++)
            set[b] += (r >> b) & 1;
        for (int b = 0; b < 4; b++)
            byte[b][(r >> (8 * b)) & 255]++;
    }
    for (int b = 0; b < 32; b++)
        assert_true(labs(set[b] - DRAWS / 2) < 5 * 256); /* 5 standard deviations */
    for (int b = 0; b < 4; b++) {
        double chi = 0;
        for (int v = 0; v < 256; v++)
            chi += pow((double)byte[b][v] - DRAWS / 256.0, 2) / (DRAWS / 256.0);
        assert_true(chi > 255 - 5 * 22.6 && chi < 255 + 6 * 22.6);
    }
}

static void test_uniform_and_normal(void **state)
{
    (void)state;
    const tg_key key = tg_key_make(7, 3, 0, 1);
    double mean = 0, square = 0, cube = 0, fourth = 0, uniform = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        const double u = (double)tg_random_uniform(key, i), z = (double)tg_random_normal(key, i);
        assert_true(u > 0 && u <= 1);
        uniform += u, mean += z, square += z * z, cube += z * z * z, fourth += z * z * z * z;
    }
    const double error = 1 / sqrt((double)DRAWS);
    assert_true(fabs(uniform / DRAWS - 0.5) < 5 * error * sqrt(1.0 / 12));
    assert_true(fabs(mean / DRAWS) < 5 * error);
    assert_true(fabs(square / DRAWS - 1) < 5 * error * sqrt(2.0));
    assert_true(fabs(cube / DRAWS) < 5 * error * sqrt(15.0));
    assert_true(fabs(fourth / DRAWS - 3) < 5 * error * sqrt(96.0));
}

static void test_below(void **state)
{
    (void)state;
    const tg_key key = tg_key_make(11, 3, 0, 1);
    long seen[7] = {0};
    for (uint32_t i = 0; i < 70000; i++) {
        const uint64_t r = tg_random_below(key, i, 7);
        assert_true(r < 7);
        seen[r]++;
    }
    for (int v = 0; v < 7; v++)
        assert_true(labs(seen[v] - 10000) < 5 * 93);
    assert_int_equal(tg_random_below(key, 3, 1), 0);
    assert_true(tg_random_below(key, 3, UINT64_MAX) != tg_random_below(key, 4, UINT64_MAX));
}

/* Agreement of two streams: places with the same number, at any of some lags, and the correlation at each. */
static void check_independent(tg_key a, tg_key b)
{
    enum { N = 1 << 14 };
    static const int lags[] = {0, 1, -1, 2, 17, 1024};
    for (size_t l = 0; l < sizeof lags / sizeof *lags; l++) {
        double sum = 0;
        int equal = 0;
        for (uint32_t i = 2000; i < 2000 + N; i++) {
            const uint32_t p = tg_random(a, i), q = tg_random(b, i + (uint32_t)lags[l]);
            equal += p == q;
            sum += ((double)p * 0x1p-32 - 0.5) * ((double)q * 0x1p-32 - 0.5) * 12;
        }
        assert_true(equal <= 1);
        assert_true(fabs(sum / sqrt((double)N)) < 5.5);
    }
}

static void test_streams(void **state)
{
    (void)state;
    const tg_key base = tg_key_make(1, 1, 1, 0);
    for (uint64_t i = 2; i < 40; i++) {
        check_independent(base, tg_key_make(i, 1, 1, 0));
        check_independent(base, tg_key_make(1, i, 1, 0));
        check_independent(base, tg_key_make(1, 1, i, 0));
        check_independent(base, tg_key_make(1, 1, 1, i));
        check_independent(base, tg_key_part(base, i));
        check_independent(base, tg_key_beside(base, i));
        check_independent(tg_key_beside(base, i), tg_key_beside(base, i + 1));
    }
    check_independent(tg_key_make(1, 1, 2, 3), tg_key_make(1, 1, 3, 2));
    const tg_key same = tg_key_part(base, 0);
    assert_memory_equal(&base, &same, sizeof base);
    assert_int_equal(tg_key_part(tg_key_turned(base, 2385), 3).turn, tg_key_turned(base, 2385).turn);
}

/* The vector loop draws what one draw at a time does, to rounding, and the same bits on every instruction set. */
static void test_normals(void **state)
{
    (void)state;
    enum { N = 30011 };
    static float x[N], base[N];
    const tg_isa chosen = tg_isa_chosen();
    const float std = 0.02385f;
    for (int isa = 0; isa < TG_ISA_COUNT; isa++) {
        const tg_key key = tg_key_make(11, 3, 5, 0);
        if (!tg_isa_usable((tg_isa)isa))
            continue;
        tg_isa_force((tg_isa)isa);
        tg_kernels_get()->normal(x, std, N, key, 0x7fff0000u);
        if (isa == TG_ISA_BASE)
            memcpy(base, x, sizeof base);
        assert_memory_equal(base, x, sizeof base);
        for (uint32_t i = 0; i < N; i++) {
            const float one = std * tg_random_normal(key, 0x7fff0000u + i);
            if (!(fabsf(x[i] - one) <= 1e-7f * fabsf(one) + 1e-15f)) /* near 0 the cosine's own rounding shows */
                fail_msg("draw %u: %.9g, not %.9g", i, (double)x[i], (double)one);
        }
        tg_kernels_get()->normal(x, std, 7, key, 0x7fff0000u + 301); /* from anywhere */
        assert_memory_equal(base + 301, x, 7 * sizeof *x);
    }
    tg_isa_force(chosen);
}

/* Every u and turn there can be leads to a number; the ends of both are the ones to fear. */
static void test_log_and_cosine(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4000; i++) {
        const double u = i < 2000 ? (i + 1.0) * 0x1p-32 : 1.0 - (i - 2000.0) * 0x1p-32, turn = i / 3999.0;
        assert_true(fabs(tg_log(u) - log(u)) <= 1e-15 * fabs(log(u)));
        assert_true(fabs(tg_cos_turn(turn) - cos(6.283185307179586 * turn)) <= 1e-15);
    }
    assert_true(tg_log(1.0) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits), cmocka_unit_test(test_uniform_and_normal),
                                       cmocka_unit_test(test_below), cmocka_unit_test(test_streams),
                                       cmocka_unit_test(test_normals), cmocka_unit_test(test_log_and_cosine)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
