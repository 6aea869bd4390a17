/* format_test.c -- number formats and roundings, over all 65,536 values of bf16 and fp16, on every instruction set. The
 * reference rounds in double with rint: nothing of it is shared with the library's integer code. */
#include "base/code8.h"
#include "optim_support.h"

static const tg_format halves[] = {TG_BF16, TG_F16};

/* What 16 bits mean, by the definition of the format. */
static double meaning(uint16_t h, tg_format format)
{
    const int fraction_bits = format == TG_BF16 ? 7 : 10, bias = format == TG_BF16 ? 127 : 15;
    const int exponent = (h & 0x7fff) >> fraction_bits, fraction = h & ((1 << fraction_bits) - 1);
    const double sign = h & 0x8000 ? -1 : 1;
    if (exponent == (format == TG_BF16 ? 255 : 31))
        return fraction != 0 ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0)
        return sign * ldexp(fraction, 1 - bias - fraction_bits);
    return sign * ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
}

/* The spacing of the format's values around v. */
static double quantum(double v, tg_format format)
{
    const int bits = format == TG_BF16 ? 8 : 11, least = format == TG_BF16 ? -133 : -24;
    int exponent;
    frexp(v, &exponent);
    return ldexp(1, exponent - bits > least ? exponent - bits : least);
}

static double largest(tg_format format) { return meaning(format == TG_BF16 ? 0x7f7f : 0x7bff, format); }

static double nearest(double v, tg_format format)
{
    const double q = quantum(v, format), r = rint(v / q) * q;
    return fabs(r) > largest(format) ? copysign((double)INFINITY, v) : r;
}

static void for_each_isa(void (*check)(void))
{
    const tg_isa chosen = tg_isa_chosen();
    for (int isa = 0; isa < TG_ISA_COUNT; isa++)
        if (tg_isa_usable((tg_isa)isa)) {
            tg_isa_force((tg_isa)isa);
            check();
        }
    tg_isa_force(chosen);
}

static void check_widen(void)
{
    static uint16_t h[65536], back[65536];
    static float f[65536];
    for (size_t i = 0; i < 65536; i++)
        h[i] = (uint16_t)i;
    for (size_t k = 0; k < 2; k++) {
        const tg_format format = halves[k];
        tg_kernels_get()->widen(f, h, format, 65536);
        tg_kernels_get()->narrow(back, f, format, 65536);
        for (size_t i = 0; i < 65536; i++) {
            const float scalar = format == TG_BF16 ? tg_bf16_to_f32(h[i]) : tg_f16_to_f32(h[i]);
            const double want = meaning(h[i], format);
            assert_memory_equal(&scalar, &f[i], 4);
            assert_int_equal(signbit(f[i]) != 0, h[i] >> 15);
            if (isnan(want)) {
                assert_true(isnan(f[i]));
                assert_int_equal(back[i], h[i] | (format == TG_BF16 ? 0x40 : 0x200)); /* quiet, payload kept */
            } else {
                assert_true((double)f[i] == want);
                assert_int_equal(back[i], h[i]);
            }
        }
    }
}

static void test_widen(void **state)
{
    (void)state;
    for_each_isa(check_widen);
}

static uint16_t narrow_by_kernel(float f, tg_format format)
{
    uint16_t h;
    tg_kernels_get()->narrow(&h, &f, format, 1);
    assert_int_equal(h, format == TG_BF16 ? tg_f32_to_bf16(f) : tg_f32_to_f16(f));
    return h;
}

static void check_one_nearest(float f, tg_format format)
{
    const double got = meaning(narrow_by_kernel(f, format), format), want = nearest((double)f, format);
    if (!(got == want && (signbit(got) != 0) == (signbit(f) != 0)))
        fail_msg("%s of %a is %a, not %a", tg_format_name(format), (double)f, got, want);
}

/* Every value, every point halfway to its neighbour, and the floats next to all of these. */
static void check_nearest(void)
{
    for (size_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < 65536; i++) {
            const double v = meaning((uint16_t)i, halves[k]);
            if (!isfinite(v))
                continue;
            const double up = fabs(v) == largest(halves[k]) ? v + copysign(quantum(v, halves[k]), v)
                                                            : meaning((uint16_t)(i + 1), halves[k]);
            const float points[] = {(float)v, (float)((v + up) / 2)};
            for (size_t p = 0; p < 2; p++) {
                check_one_nearest(points[p], halves[k]);
                check_one_nearest(nextafterf(points[p], INFINITY), halves[k]);
                check_one_nearest(nextafterf(points[p], -INFINITY), halves[k]);
            }
        }
}

static void test_nearest(void **state)
{
    (void)state;
    for_each_isa(check_nearest);
    for (size_t k = 0; k < 2; k++) {
        check_one_nearest(0x1p-149f, halves[k]);
        check_one_nearest(3.4028235e38f, halves[k]);
        assert_true(isinf(meaning(narrow_by_kernel(-INFINITY, halves[k]), halves[k])));
    }
}

static uint16_t stochastic(float f, tg_format format, uint32_t random)
{
    return format == TG_BF16 ? tg_f32_to_bf16_stochastic(f, random) : tg_f32_to_f16_stochastic(f, random);
}

/* A value the format has is never moved; NaN stays NaN, and Inf Inf. */
static void test_stochastic_keeps_values(void **state)
{
    (void)state;
    static const uint32_t randoms[] = {0, 1, 0x1fff, 0x2000, 0x7fff, 0x8000, 0xfffe, 0xffff};
    for (size_t k = 0; k < 2; k++)
        for (uint32_t i = 0; i < 65536; i++) {
            const double v = meaning((uint16_t)i, halves[k]);
            const float f = halves[k] == TG_BF16 ? tg_bf16_to_f32((uint16_t)i) : tg_f16_to_f32((uint16_t)i);
            for (size_t r = 0; r < sizeof randoms / sizeof *randoms; r++) {
                const uint16_t got = stochastic(f, halves[k], randoms[r]);
                if (isnan(v))
                    assert_true(isnan(meaning(got, halves[k])));
                else
                    assert_int_equal(got, i);
            }
        }
}

/* Over all 2^16 random numbers: only the two neighbours occur, and the mean is the value itself, to what the random bits
 * used can tell apart (fp16 subnormals: 8 bits). */
static void check_unbiased(float f, tg_format format)
{
    const double v = (double)f, q = quantum(v, format), low = floor(v / q) * q, high = low + q;
    double sum = 0;
    for (uint32_t r = 0; r < 65536; r++) {
        const double got = meaning(stochastic(f, format, r), format);
        if (got != low && got != high)
            fail_msg("%s: %a became %a", tg_format_name(format), v, got);
        sum += (got - low) / q;
    }
    const double bias = fabs(sum / 65536 - (v - low) / q);
    const double bound = format == TG_F16 && fabs(v) < 0x1p-14 ? 1.0 / 256 : 0;
    if (!(bias <= bound))
        fail_msg("%s: %a is off by %g of a step in the mean", tg_format_name(format), v, bias);
}

static void test_stochastic_is_unbiased(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        for (uint32_t i = 0; i < 24; i++) /* sizes from 2^-13 up, with full fractions */
            check_unbiased(ldexpf(1.2385f + input_unit(77, i) * 0.2f, (int)i - 13) * (i % 2 ? -1.0f : 1.0f), halves[k]);
        check_unbiased(0x1.555p-16f, halves[k]);
        check_unbiased(-0x1.80cp-23f, halves[k]);
    }
    check_unbiased(0x1.23456p-128f, TG_BF16); /* a subnormal */
}

/* A value that nearest keeps finite is never rounded to Inf. */
static void test_stochastic_stays_finite(void **state)
{
    (void)state;
    const float below_bf16 = nextafterf(0x1.ffp127f, 0), below_f16 = nextafterf(65520.0f, 0);
    for (uint32_t r = 0; r < 65536; r++) {
        assert_true(isfinite(meaning(stochastic(below_bf16, TG_BF16, r), TG_BF16)));
        assert_true(isfinite(meaning(stochastic(-below_f16, TG_F16, r), TG_F16)));
        assert_true(isinf(meaning(stochastic(INFINITY, TG_BF16, r), TG_BF16)));
        assert_true(isinf(meaning(stochastic(-INFINITY, TG_F16, r), TG_F16)));
    }
}

/* A value and its rest: together 16 bits of a bf16 pair, 22 of an fp16 pair. */
static void test_pairs(void **state)
{
    (void)state;
    enum { N = 4096 };
    static float f[N], back[N];
    static uint16_t x[N], c[N];
    for (size_t k = 0; k < 2; k++) {
        const int bits = halves[k] == TG_BF16 ? 16 : 22;
        for (size_t i = 0; i < N; i++)
            f[i] = ldexpf(input_unit(5, i), (int)(i % 9) - 4);
        tg_kernels_get()->narrow_pair(x, c, f, halves[k], N);
        tg_kernels_get()->widen_pair(back, x, c, halves[k], N);
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(x[i], narrow_by_kernel(f[i], halves[k]));
            const double q = quantum((double)f[i], halves[k]) / (halves[k] == TG_BF16 ? 256 : 2048);
            const double least = halves[k] == TG_F16 ? 0x1p-25 : 0;
            if (!(fabs((double)back[i] - (double)f[i]) <= fmax(q / 2, least)))
                fail_msg("%s pair of %d bits: %a came back as %a", tg_format_name(halves[k]), bits, (double)f[i],
                         (double)back[i]);
        }
        memcpy(f, back, sizeof f); /* what a pair holds, it holds exactly */
        tg_kernels_get()->narrow_pair(x, c, f, halves[k], N);
        tg_kernels_get()->widen_pair(back, x, c, halves[k], N);
        assert_memory_equal(f, back, sizeof f);
    }
}

/* ---- the same bits on every instruction set ---- */

enum { BITS_N = 1031 };

static uint64_t hash_codes(uint64_t hash, const float *f, size_t n, bool is_signed, const tg_key *key)
{
    static uint8_t codes[BITS_N];
    static float back[BITS_N], scale[BITS_N / TG_CODES + 1];
    tg_kernels_get()->encode(codes, scale, f, is_signed, n, key, 256 * n);
    hash = hash_bytes(hash, codes, n);
    tg_kernels_get()->encode(codes, scale, f, is_signed, n, NULL, 0);
    tg_kernels_get()->decode(back, codes, scale, is_signed, n);
    return hash_bytes(hash, back, n * sizeof *back);
}

static uint64_t kernel_bits(void)
{
    static float f[BITS_N], g[BITS_N];
    static uint16_t h[BITS_N], c[BITS_N];
    const tg_kernels *kernel = tg_kernels_get();
    const tg_key key = tg_key_make(3, 1, 4, 1);
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t n = 1; n <= BITS_N; n += n < 70 ? 1 : 160)
        for (size_t k = 0; k < 2; k++) {
            for (size_t i = 0; i < n; i++) {
                f[i] = ldexpf(input_unit((uint32_t)n, i), (int)(input_mix(9, (uint32_t)i) % 40) - 28);
                g[i] = input_unit((uint32_t)n + 1000, i);
            }
            kernel->narrow_stochastic(h, f, halves[k], n, key, 1000003 * n);
            hash = hash_bytes(hash, h, n * sizeof *h);
            kernel->narrow_pair(h, c, f, halves[k], n);
            hash = hash_bytes(hash_bytes(hash, h, n * sizeof *h), c, n * sizeof *c);
            kernel->fold(h, halves[k], g, 0.965f, 0.035f / 3, n, &key, 64 * n);
            hash = hash_bytes(hash, h, n * sizeof *h);
            kernel->fold(f, TG_F32, g, 0.965f, 0.035f / 3, n, NULL, 0);
            kernel->fold(f, TG_F32, g, 1.0f, 0.035f / 3, n, NULL, 0);
            hash = hash_bytes(hash, f, n * sizeof *f);
            hash = hash_codes(hash, f, n, k == 0, &key);
            const double squares = kernel->sum_squares(f, n) + kernel->sum_squares_quick(f, n) +
                                   kernel->squares_of_stored(h, halves[k], n);
            const float most = kernel->max_abs(f, n);
            hash = hash_bytes(hash_bytes(hash, &squares, sizeof squares), &most, sizeof most);
        }
    return hash;
}

static void test_same_bits(void **state)
{
    (void)state;
    const tg_isa chosen = tg_isa_chosen();
    tg_isa_force(TG_ISA_BASE);
    const uint64_t base = kernel_bits();
    for (int isa = 1; isa < TG_ISA_COUNT; isa++)
        if (tg_isa_usable((tg_isa)isa)) {
            tg_isa_force((tg_isa)isa);
            if (kernel_bits() != base)
                fail_msg("%s differs from base", tg_isa_name((tg_isa)isa));
        }
    tg_isa_force(chosen);
}

/* Where a run is cut does not change what chance does to an element. */
/* A fused loop gives what its parts give, one after the other. */
static void check_fused(void)
{
    enum { N = 1031 };
    static float f[N], g[N], wide[N];
    static uint16_t h[N], parts[N];
    const tg_kernels *kernel = tg_kernels_get();
    const tg_key key = tg_key_make(5, 9, 2, 6), turned = tg_key_turned(key, 2385);
    const size_t starts[] = {0, 64, 7, 1024, ((size_t)1 << 32) - 128, ((size_t)1 << 32) - 256 * 3};
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++)
        for (size_t k = 0; k < 2; k++)
            for (size_t n = 1; n <= N; n += n < 70 ? 3 : 137) {
                for (size_t i = 0; i < n; i++) {
                    f[i] = ldexpf(input_unit((uint32_t)n, i), (int)(input_mix(9, (uint32_t)i) % 24) - 12);
                    g[i] = input_unit((uint32_t)n + 1000, i);
                }
                kernel->narrow_stochastic(h, f, halves[k], n, turned, starts[s]);
                kernel->widen(wide, h, halves[k], n);
                const double squares = kernel->sum_squares(wide, n);
                assert_true(fabs(squares - kernel->sum_squares_quick(wide, n)) <= 1e-6 * squares);
                assert_true(fabs(squares - kernel->squares_of_stored(h, halves[k], n)) <= 1e-6 * squares);
                assert_true(kernel->squares_of_stored(wide, TG_F32, n) == kernel->sum_squares_quick(wide, n));
                kernel->fold(wide, TG_F32, g, 0.965f, 0.0117f, n, NULL, 0);
                kernel->narrow_stochastic(parts, wide, halves[k], n, key, starts[s]);
                kernel->fold(h, halves[k], g, 0.965f, 0.0117f, n, &key, starts[s]);
                assert_memory_equal(h, parts, n * sizeof *h);
            }
}

/* Sums that chance could carry into Inf, Inf and NaN, fold as they round. */
static void check_fold_of_odd_values(void)
{
    enum { N = 64 };
    static const float odd[] = {8.1e37f, -8.1e37f, INFINITY, -INFINITY, NAN, 2.385f};
    uint16_t h[N], want[N];
    float g[N], sum[N];
    const tg_key key = tg_key_make(2, 3, 8, 5);
    for (size_t i = 0; i < N; i++) {
        g[i] = odd[i % 6];
        h[i] = i % 6 == 1 ? 0xff7f : 0x7f7f; /* the largest finite */
    }
    tg_kernels_get()->widen(sum, h, TG_BF16, N);
    tg_kernels_get()->fold(sum, TG_F32, g, 1.0f, 0.0117f, N, NULL, 0);
    tg_kernels_get()->narrow_stochastic(want, sum, TG_BF16, N, key, 0);
    tg_kernels_get()->fold(h, TG_BF16, g, 1.0f, 0.0117f, N, &key, 0);
    assert_memory_equal(h, want, sizeof h);
    assert_int_equal(h[0], 0x7f7f);
}

enum { TURNING = 192, TURNS = 4000 };

/* At every turn every value has gone up as often as its fraction says, to a few times: draws of their own at each turn would
 * stray by sqrt(T p (1-p)), up to 32. The values of one turn are independent. */
static void check_turns_of(tg_format format, float fraction)
{
    static const int farthest = 4;
    const uint64_t first = ((uint64_t)1 << 32) - 64; /* across parts */
    const uint16_t low = format == TG_BF16 ? 0x3f80 : 0x3c00;
    const double share = (double)fraction, sigma = sqrt(TURNING * share * (1 - share));
    float f[TURNING];
    uint16_t h[TURNING];
    int up[TURNING] = {0};
    for (size_t i = 0; i < TURNING; i++)
        f[i] = 1 + fraction * (format == TG_BF16 ? 0x1p-7f : 0x1p-10f);
    for (uint64_t t = 1; t <= TURNS; t++) {
        int now = 0;
        tg_kernels_get()->narrow_stochastic(h, f, format, TURNING, tg_key_turned(tg_key_make(6, 2, 8, 5), t), first);
        for (size_t i = 0; i < TURNING; i++) {
            up[i] += h[i] != low;
            now += h[i] != low;
            if (!(fabs(up[i] - (double)t * share) <= farthest))
                fail_msg("%s: %d times up in %d turns, not %g", tg_format_name(format), up[i], (int)t, (double)t * share);
        }
        assert_true(fabs(now - TURNING * share) <= 5 * sigma + 2);
    }
}

static void check_turns(void)
{
    static const float fraction[] = {0.5f, 0.0617f, 0.9383f, 0.0018f};
    for (size_t k = 0; k < 2; k++)
        for (size_t p = 0; p < sizeof fraction / sizeof *fraction; p++)
            check_turns_of(halves[k], fraction[p]);
}

static void test_turns(void **state) { (void)state, for_each_isa(check_turns); }

static void test_fused(void **state)
{
    (void)state;
    for_each_isa(check_fused);
    for_each_isa(check_fold_of_odd_values);
}

/* ---- 8-bit codes ---- */

/* Every code of a block comes back as itself, and magnitudes ascend from 0 to the scale. */
static void check_codes(void)
{
    for (int is_signed = 0; is_signed < 2; is_signed++) {
        uint8_t codes[TG_CODES], again[TG_CODES];
        float values[TG_CODES], scale = 0.02385f;
        for (size_t i = 0; i < TG_CODES; i++)
            codes[tg_code_place(i, TG_CODES)] = (uint8_t)(is_signed && i == 128 ? 0 : i); /* minus zero is zero */
        tg_kernels_get()->decode(values, codes, &scale, is_signed, TG_CODES);
        const size_t top = is_signed ? 127 : 255;
        assert_true(values[0] == 0);
        for (size_t i = 1; i <= top; i++)
            assert_true(values[i] > values[i - 1]);
        assert_true(fabsf(values[top] / scale - 1) < 1e-6f);
        assert_true(values[1] > 0 && values[1] < 4e-6f * scale);
        tg_kernels_get()->encode(again, &scale, values, is_signed, TG_CODES, NULL, 0);
        assert_memory_equal(codes, again, sizeof codes);
        /* Without its last value a unit is no whole one, and its codes are in order. */
        scale = values[top];
        tg_kernels_get()->encode(again, &scale, values, is_signed, TG_CODES - 1, NULL, 0);
        for (size_t i = 0; i <= (is_signed ? TG_CODES - 2 : 0); i++)
            assert_int_equal(again[i], codes[tg_code_place(i, TG_CODES)]);
    }
}

/* Places of n codes are each used once. */
static void check_places(void)
{
    for (size_t n = 1; n < 3 * TG_CODES; n += 37) {
        uint8_t used[3 * TG_CODES] = {0};
        for (size_t i = 0; i < n; i++) {
            assert_true(tg_code_place(i, n) < n && tg_code_place(i, n) / TG_CODES == i / TG_CODES);
            assert_int_equal(used[tg_code_place(i, n)]++, 0);
        }
    }
}

/* To nearest, no value is farther from its code than half the gap around it and 1/100 of the gap for arithmetic. */
static void check_codes_nearest(void)
{
    enum { STEPS = 70001 };
    for (int is_signed = 0; is_signed < 2; is_signed++) {
        uint8_t codes[TG_CODES];
        float map[TG_CODES], values[TG_CODES], back[TG_CODES], scale = 2.385f;
        const size_t top = is_signed ? 127 : 255;
        for (size_t i = 0; i < TG_CODES; i++)
            codes[tg_code_place(i, TG_CODES)] = (uint8_t)(i <= top ? i : 0);
        tg_kernels_get()->decode(map, codes, &scale, is_signed, TG_CODES);
        for (size_t s = 0; s < STEPS; s += TG_CODES - 1) {
            values[0] = scale;
            for (size_t i = 1; i < TG_CODES; i++) /* from the largest down to a third of the smallest code */
                values[i] = scale * powf(map[1] / scale / 3, (float)(s + i - 1) / (float)(STEPS + TG_CODES));
            tg_kernels_get()->encode(codes, &scale, values, is_signed, TG_CODES, NULL, 0);
            tg_kernels_get()->decode(back, codes, &scale, is_signed, TG_CODES);
            for (size_t i = 1; i < TG_CODES; i++) {
                const size_t c = codes[tg_code_place(i, TG_CODES)];
                const float gap = values[i] > map[c] && c < top ? map[c + 1] - map[c] : map[c] - map[c > 0 ? c - 1 : 0];
                if (!(fabsf(values[i] - back[i]) <= 0.51f * gap + 1e-6f * values[i]))
                    fail_msg("signed %d: %a became code %zu, %a", is_signed, (double)values[i], c, (double)back[i]);
            }
        }
    }
}

/* Value `at` of n, a share of the first, is right on average. */
static void check_unbiased_at(size_t at, size_t n, float share, bool is_signed)
{
    enum { TRIES = 4000 };
    float values[TG_CODES] = {1.7f}, back[TG_CODES], scale;
    uint8_t codes[TG_CODES];
    double sum = 0, squares = 0;
    values[at] = is_signed ? -1.7f * share : 1.7f * share;
    for (size_t t = 0; t < TRIES; t++) {
        const tg_key key = tg_key_make(7, 1, t, at);
        tg_kernels_get()->encode(codes, &scale, values, is_signed, n, &key, 0);
        tg_kernels_get()->decode(back, codes, &scale, is_signed, n);
        assert_true(back[0] >= 1.69f && back[0] <= 1.7001f);
        sum += (double)back[at];
        squares += (double)back[at] * (double)back[at];
    }
    const double mean = sum / TRIES, spread = sqrt(fmax(0, squares / TRIES - mean * mean) / TRIES);
    const double quantum = 1.7 * (double)share / 256; /* chances come in 256ths of a code */
    if (!(fabs(mean - (double)values[at]) <= 4 * spread + quantum))
        fail_msg("signed %d: %a, number %zu of %zu, came back as %a on average", is_signed, (double)values[at], at, n,
                 mean);
}

/* Stochastic codes are right on average, wherever between two codes a value lies, and in all four places of a word. */
static void check_codes_unbiased(void)
{
    static const float share[] = {0.911f, 0.12f, 0.0139f, 3.1e-4f, 2.3e-5f, 7e-8f};
    for (size_t s = 0; s < sizeof share / sizeof *share; s++)
        for (size_t place = 0; place < 5; place++) {
            const size_t at = place == 4 ? 1 : place * TG_QUARTER + 5, n = place == 4 ? 2 : TG_CODES;
            check_unbiased_at(at, n, share[s], false);
            check_unbiased_at(at, n, share[s], true);
        }
}

static void check_codes_of_odd_values(void)
{
    float values[3] = {0.5f, NAN, 1}, back[3], scale;
    uint8_t codes[3];
    tg_kernels_get()->encode(codes, &scale, values, true, 3, NULL, 0);
    assert_true(isnan(scale));
    values[1] = -INFINITY;
    tg_kernels_get()->encode(codes, &scale, values, true, 3, NULL, 0);
    tg_kernels_get()->decode(back, codes, &scale, true, 3);
    assert_true(isnan(back[0]));
    memset(values, 0, sizeof values);
    tg_kernels_get()->encode(codes, &scale, values, false, 3, NULL, 0);
    tg_kernels_get()->decode(back, codes, &scale, false, 3);
    assert_true(scale == 0 && back[0] == 0 && back[2] == 0);
}

static void test_codes(void **state)
{
    (void)state;
    check_places();
    for_each_isa(check_codes);
    for_each_isa(check_codes_nearest);
    for_each_isa(check_codes_unbiased);
    for_each_isa(check_codes_of_odd_values);
}

static void check_cuts(void)
{
    enum { N = 257 };
    static float f[N];
    static uint16_t whole[N], parts[N];
    const tg_key key = tg_key_make(2, 7, 1, 8);
    const uint64_t starts[] = {0, 1, 12345, (UINT64_C(1) << 32) - 100, (UINT64_C(5) << 32) - 101};
    for (size_t i = 0; i < N; i++)
        f[i] = input_unit(31, i);
    for (size_t s = 0; s < sizeof starts / sizeof *starts; s++)
        for (size_t cut = 0; cut <= N; cut += 13) {
            tg_kernels_get()->narrow_stochastic(whole, f, TG_BF16, N, key, starts[s]);
            tg_kernels_get()->narrow_stochastic(parts, f, TG_BF16, cut, key, starts[s]);
            tg_kernels_get()->narrow_stochastic(parts + cut, f + cut, TG_BF16, N - cut, key, starts[s] + cut);
            assert_memory_equal(whole, parts, sizeof whole);
        }
}

static void check_finite(void)
{
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    static float f[200];
    static uint16_t h[200];
    for (size_t n = 1; n < 200; n += 7)
        for (size_t at = 0; at < n; at++)
            for (size_t b = 0; b < 4; b++) {
                for (size_t i = 0; i < n; i++)
                    f[i] = i % 3 == 0 ? 3.4e38f : i % 3 == 1 ? 0x1p-149f : -2.385f;
                assert_true(tg_kernels_get()->all_finite(f, TG_F32, n));
                f[at] = bad[b];
                assert_false(tg_kernels_get()->all_finite(f, TG_F32, n));
                assert_true(isinf(tg_kernels_get()->max_abs(f, n)));
                for (size_t k = 0; k < 2; k++) {
                    memset(h, 0, sizeof h);
                    assert_true(tg_kernels_get()->all_finite(h, halves[k], n));
                    h[at] = narrow_by_kernel(bad[b], halves[k]);
                    assert_false(tg_kernels_get()->all_finite(h, halves[k], n));
                }
            }
}

static void test_cuts_and_checks(void **state)
{
    (void)state;
    for_each_isa(check_cuts);
    for_each_isa(check_finite);
}

/* ---- values that need care: the largest, Inf, NaN of every kind, where many go at once ---- */

enum { CARE_N = 777 };

/* Of NaN the sign and the payload do not matter. */
static bool same_half(uint16_t a, uint16_t b, float value) { return isnan(value) ? isnan(tg_bf16_to_f32(a)) : a == b; }

static void fill_care(float *f, size_t every)
{
    const float special[] = {tg_float_from_bits(0x7f7fffffu), -tg_float_from_bits(0x7f7fffffu), INFINITY, -INFINITY,
                             tg_float_from_bits(0x7fffffffu), tg_float_from_bits(0xffffffffu), tg_float_from_bits(0x7f800001u)};
    for (size_t i = 0; i < CARE_N; i++)
        f[i] = i % every == 11 ? special[i / every % 7] : 0.731f + (float)i * 0x1p-12f;
}

/* One by one, values take no way for pairs. */
static void check_care(const tg_kernels *kernel, size_t every, uint64_t first)
{
    static float f[CARE_N];
    static uint16_t one[CARE_N], all[CARE_N];
    const tg_key key = tg_key_turned(tg_key_make(3, 1, 4, 1), every + first);
    fill_care(f, every);
    for (size_t i = 0; i < CARE_N; i++)
        kernel->narrow_stochastic(&one[i], &f[i], TG_BF16, 1, key, first + i);
    kernel->narrow_stochastic(all, f, TG_BF16, CARE_N, key, first);
    for (size_t i = 0; i < CARE_N; i++) {
        assert_true(same_half(all[i], one[i], f[i]));
        assert_true(isfinite(tg_bf16_to_f32(all[i])) == isfinite(f[i]));
        assert_true(isnan(tg_bf16_to_f32(all[i])) == isnan(f[i]));
    }
}

/* Folded with decay 1/2 into a momentum that holds the special values; and with decay 0, which forgets them. */
static void check_fold_care(const tg_kernels *kernel, uint64_t first)
{
    static float f[CARE_N], g[CARE_N], m[CARE_N];
    static uint16_t h[CARE_N], one[CARE_N];
    const float most = tg_bf16_to_f32(0x7f7f);
    const tg_key key = tg_key_make(3, 1, 4, 1);
    fill_care(f, 97);
    for (int forget = 0; forget < 2; forget++) {
        const float decay = forget ? 0 : 0.5f;
        for (size_t i = 0; i < CARE_N; i++) {
            const float kept = isnan(f[i]) ? 1.93f : fmaxf(-most, fminf(most, f[i])); /* what goes wrong comes from g */
            m[i] = forget ? f[i] : kept;
            g[i] = forget || fabsf(f[i]) < 1e38f ? 1.93f : f[i]; /* the largest stays as large */
        }
        kernel->narrow(h, m, TG_BF16, CARE_N);
        memcpy(one, h, sizeof h);
        kernel->fold(h, TG_BF16, g, decay, 0.5f, CARE_N, &key, first);
        kernel->fold(m, TG_F32, g, decay, 0.5f, CARE_N, NULL, 0);
        for (size_t i = 0; i < CARE_N; i++) {
            kernel->fold(&one[i], TG_BF16, &g[i], decay, 0.5f, 1, &key, first + i);
            const float result = tg_bf16_to_f32(h[i]);
            assert_true(same_half(h[i], one[i], result));
            assert_true(!forget || (isfinite(result) && m[i] == 0.5f * g[i]));
            assert_true(isnan(result) == isnan(m[i]));
        }
    }
}

/* Parts of 2^32 values have chances of their own. */
static void check_parts(const tg_kernels *kernel)
{
    static float f[CARE_N];
    static uint16_t a[2][CARE_N];
    const tg_key key = tg_key_make(3, 1, 4, 1);
    int same = 0;
    for (size_t i = 0; i < CARE_N; i++)
        f[i] = 1 + 0x1p-8f; /* halfway */
    for (uint64_t part = 0; part < 2; part++)
        kernel->narrow_stochastic(a[part], f, TG_BF16, CARE_N, key, part << 32);
    for (size_t i = 0; i < CARE_N; i++)
        same += a[0][i] == a[1][i];
    assert_true(abs(same - CARE_N / 2) < 6 * 14);
}

static const tg_kernels *kernels_of(tg_isa isa)
{
    tg_isa_force(isa);
    return tg_kernels_get();
}

static void test_care(void **state)
{
    (void)state;
    const tg_isa best = tg_isa_chosen();
    const uint64_t firsts[] = {0, 192, 37, UINT64_C(5) << 32};
    for (int isa = 0; isa < TG_ISA_COUNT; isa++)
        if (tg_isa_usable((tg_isa)isa)) {
            const tg_kernels *kernel = kernels_of((tg_isa)isa);
            for (size_t i = 0; i < 4; i++) {
                check_care(kernel, 97, firsts[i]);
                check_care(kernel, 768, firsts[i]); /* one value, the largest, in all */
                check_fold_care(kernel, firsts[i]);
            }
            check_parts(kernel);
        }
    tg_isa_force(best);
}

static void test_names(void **state)
{
    (void)state;
    for (int f = 0; f < TG_FORMAT_COUNT; f++) {
        assert_int_equal(tg_format_parse(tg_format_name((tg_format)f)), f);
        assert_true(tg_format_bytes((tg_format)f) > 0);
    }
    assert_int_equal(tg_format_parse("bfloat16"), TG_BF16);
    assert_int_equal(tg_format_parse("fp17"), TG_FORMAT_COUNT);
    assert_int_equal(tg_format_bytes(TG_FORMAT_COUNT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_widen),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_stochastic_keeps_values),
        cmocka_unit_test(test_stochastic_is_unbiased),
        cmocka_unit_test(test_stochastic_stays_finite),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_fused),
        cmocka_unit_test(test_turns), cmocka_unit_test(test_codes), cmocka_unit_test(test_cuts_and_checks),
        cmocka_unit_test(test_care),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
