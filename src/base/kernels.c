/* base/kernels.c -- widening, narrowing, sums and checks; compiled once per instruction set. */
#include "base/kernels.h"

#include <math.h>

#include "base/code8.h"
#include "base/half.h"
#include "base/normal.h"


#define LANES 16 /* of double */

static void widen(float *restrict dst, const void *restrict src, tg_format format, size_t n)
{
    const uint16_t *restrict h = src;
    if (format == TG_F32)
        memcpy(dst, src, n * sizeof *dst);
    else if (format == TG_BF16)
        for (size_t i = 0; i < n; i++)
            dst[i] = tg_bf16_to_f32(h[i]);
    else
        for (size_t i = 0; i < n; i++)
            dst[i] = tg_half_widen(h[i]);
}

static void narrow(void *restrict dst, const float *restrict src, tg_format format, size_t n)
{
    uint16_t *restrict h = dst;
    if (format == TG_F32)
        memcpy(dst, src, n * sizeof *src);
    else if (format == TG_BF16)
        for (size_t i = 0; i < n; i++)
            h[i] = tg_f32_to_bf16(src[i]);
    else
        for (size_t i = 0; i < n; i++)
            h[i] = tg_half_narrow(src[i]);
}

/* Values are taken in aligned groups of 2 * DRAWS. One draw serves two of a group, DRAWS apart: the first takes its low
 * half, the second its high half. Whole groups vectorise without shuffles, up to registers of 512 bits. */
#define DRAWS 32
#define GROUP (2 * DRAWS)

/* Magnitudes from here on need care: adding to their bits could carry into Inf, or NaN's bits away. */
#define CARE 0x7f7f0000u

/* Two values of a group; bits above the low 16 are the answers' after a shift. */
static inline uint32_t add_chance(float f, uint32_t chance) { return tg_bits_from_float(f) + (chance & 0xffffu); }

static inline uint32_t magnitude_of(float f) { return tg_bits_from_float(f) & 0x7fffffffu; }

static inline bool any_needs_care(const uint32_t *restrict most)
{
    uint32_t all = 0;
    for (size_t l = 0; l < DRAWS; l++)
        all = most[l] > all ? most[l] : all;
    return all >= CARE;
}

static void narrow_careful_bf16(uint16_t *restrict h, const float *restrict src, size_t groups, tg_key key, uint32_t draw)
{
    for (size_t g = 0; g < groups; g++, h += GROUP, src += GROUP, draw += DRAWS)
        for (uint32_t l = 0; l < DRAWS; l++) {
            const uint32_t random = tg_random(key, draw + l);
            h[l] = tg_f32_to_bf16_stochastic(src[l], random + key.turn);
            h[l + DRAWS] = tg_f32_to_bf16_stochastic(src[l + DRAWS], (random >> 16) + key.turn);
        }
}

/* First as if no value needed care, which is nearly always so. */
static void narrow_groups_bf16(uint16_t *restrict h, const float *restrict src, size_t groups, tg_key key, uint32_t draw)
{
    uint32_t most[DRAWS] = {0};
    for (size_t g = 0; g < groups; g++)
        for (uint32_t l = 0; l < DRAWS; l++) {
            const float low = src[g * GROUP + l], high = src[g * GROUP + DRAWS + l];
            const uint32_t random = tg_random(key, draw + (uint32_t)g * DRAWS + l);
            h[g * GROUP + l] = (uint16_t)(add_chance(low, random + key.turn) >> 16);
            h[g * GROUP + DRAWS + l] = (uint16_t)(add_chance(high, (random >> 16) + key.turn) >> 16);
            const uint32_t a = magnitude_of(low), b = magnitude_of(high), larger = a > b ? a : b;
            most[l] = larger > most[l] ? larger : most[l];
        }
    if (any_needs_care(most))
        narrow_careful_bf16(h, src, groups, key, draw);
}

/* The 13 bits that fp16 cuts: the upper ones, which a turn spreads best. */
static inline uint32_t fp16_chance(uint32_t chance) { return (chance & 0xffffu) >> 3; }

static void narrow_groups_fp16(uint16_t *restrict h, const float *restrict src, size_t groups, tg_key key, uint32_t draw)
{
    for (size_t g = 0; g < groups; g++, h += GROUP, src += GROUP, draw += DRAWS)
        for (uint32_t l = 0; l < DRAWS; l++) {
            const uint32_t random = tg_random(key, draw + l);
            h[l] = tg_half_narrow_stochastic(src[l], fp16_chance(random + key.turn));
            h[l + DRAWS] = tg_half_narrow_stochastic(src[l + DRAWS], fp16_chance((random >> 16) + key.turn));
        }
}

static float max_abs(const float *restrict x, size_t n)
{
    uint32_t most = 0; /* the bits of non-negative floats are ordered as the floats; NaN's lie above Inf's */
    for (size_t i = 0; i < n; i++) {
        const uint32_t u = tg_bits_from_float(x[i]) & 0x7fffffffu;
        most = u > most ? u : most;
    }
    return tg_float_from_bits(most > 0x7f800000u ? 0x7f800000u : most);
}

static void narrow_groups(uint16_t *restrict h, const float *restrict src, tg_format format, size_t groups, tg_key key,
                          uint32_t draw)
{
    if (format == TG_BF16)
        narrow_groups_bf16(h, src, groups, key, draw);
    else
        narrow_groups_fp16(h, src, groups, key, draw);
}

/* n values of the group of value `first`: as a whole one, of which they are a part. */
static void narrow_in_group(uint16_t *restrict h, const float *restrict src, tg_format format, size_t n, tg_key key,
                            uint32_t first)
{
    const uint32_t place = first % GROUP;
    float wide[GROUP] = {0};
    uint16_t narrowed[GROUP];
    memcpy(wide + place, src, n * sizeof *src);
    narrow_groups(narrowed, wide, format, 1, key, first / GROUP * DRAWS);
    memcpy(h, narrowed + place, n * sizeof *h);
}

/* n values of one 2^32-long part of the tensor. */
static void narrow_part(uint16_t *restrict h, const float *restrict src, tg_format format, size_t n, tg_key key,
                        uint32_t first)
{
    const size_t missing = (GROUP - first % GROUP) % GROUP, head = n < missing ? n : missing;
    const size_t groups = (n - head) / GROUP, tail = head + groups * GROUP;
    if (head > 0)
        narrow_in_group(h, src, format, head, key, first);
    narrow_groups(h + head, src + head, format, groups, key, (first + (uint32_t)head) / GROUP * DRAWS);
    if (tail < n)
        narrow_in_group(h + tail, src + tail, format, n - tail, key, first + (uint32_t)tail);
}

static void narrow_stochastic(void *restrict dst, const float *restrict src, tg_format format, size_t n, tg_key key,
                              uint64_t first)
{
    if (format == TG_F32) {
        memcpy(dst, src, n * sizeof *src);
        return;
    }
    uint16_t *h = dst;
    while (n > 0) { /* a run that crosses a 2^32 boundary is cut there */
        const uint64_t left = (UINT64_C(1) << 32) - (first & 0xffffffffu);
        const size_t now = n < left ? n : (size_t)left;
        narrow_part(h, src, format, now, tg_key_part(key, first >> 32), (uint32_t)first);
        h += now, src += now, first += now, n -= now;
    }
}

static void widen_pair(float *restrict dst, const void *restrict x, const void *restrict c, tg_format format, size_t n)
{
    const uint16_t *restrict hx = x, *restrict hc = c;
    if (format == TG_BF16)
        for (size_t i = 0; i < n; i++)
            dst[i] = tg_bf16_to_f32(hx[i]) + tg_bf16_to_f32(hc[i]);
    else
        for (size_t i = 0; i < n; i++)
            dst[i] = tg_half_widen(hx[i]) + tg_half_widen(hc[i]);
}

static void narrow_pair(void *restrict x, void *restrict c, const float *restrict src, tg_format format, size_t n)
{
    uint16_t *restrict hx = x, *restrict hc = c;
    if (format == TG_BF16)
        for (size_t i = 0; i < n; i++) {
            hx[i] = tg_f32_to_bf16(src[i]);
            hc[i] = tg_f32_to_bf16(src[i] - tg_bf16_to_f32(hx[i]));
        }
    else
        for (size_t i = 0; i < n; i++) {
            hx[i] = tg_half_narrow(src[i]);
            hc[i] = tg_half_narrow(src[i] - tg_half_widen(hx[i]));
        }
}

static void multiply(float *restrict x, float by, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= by;
}

static double fold_lanes(double *lane)
{
    for (size_t l = 0; l < 8; l++)
        lane[l] += lane[l + 8];
    for (size_t l = 0; l < 4; l++)
        lane[l] += lane[l + 4];
    return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

static inline void add_squares(double *restrict lane, const float *restrict x, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lane[l] += (double)x[i + l] * (double)x[i + l];
    for (size_t l = 0; i + l < n; l++)
        lane[l] += (double)x[i + l] * (double)x[i + l];
}

static double sum_squares(const float *restrict x, size_t n)
{
    double lane[LANES] = {0};
    add_squares(lane, x, n);
    return fold_lanes(lane);
}

/* The quick sum's order, which whoever takes squares on the way must keep: DRAWS lanes of float gather the squares of
 * QUICK values, then go in pairs into lanes of double; what is left at the end goes into those one by one. A few units in the last
 * place of a float are lost at most, and the loop keeps up with memory. */
#define QUICK (4 * GROUP)

static void quick_add(double *restrict lane, const float *restrict part)
{
    for (size_t l = 0; l < LANES; l++)
        lane[l] += (double)(part[l] + part[l + LANES]);
}

static double sum_squares_quick(const float *restrict x, size_t n)
{
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + QUICK <= n; i += QUICK) {
        float part[DRAWS] = {0};
        for (size_t j = i; j < i + QUICK; j += GROUP)
            for (size_t l = 0; l < DRAWS; l++)
                part[l] += x[j + l] * x[j + l] + x[j + l + DRAWS] * x[j + l + DRAWS];
        quick_add(lane, part);
    }
    add_squares(lane, x + i, n - i);
    return fold_lanes(lane);
}

/* QUICK values from the start of a group on, and their squares as stored, as if no value needed care: where one does, its
 * square is Inf or NaN. */
static void narrow_quick(uint16_t *restrict h, const float *restrict src, tg_key key, uint32_t draw, float *restrict part)
{
    for (size_t j = 0; j < QUICK; j += GROUP, draw += DRAWS)
        for (uint32_t l = 0; l < DRAWS; l++) {
            const uint32_t random = tg_random(key, draw + l);
            const uint32_t low = add_chance(src[j + l], random + key.turn);
            const uint32_t high = add_chance(src[j + l + DRAWS], (random >> 16) + key.turn);
            const float a = tg_float_from_bits(low & 0xffff0000u), b = tg_float_from_bits(high & 0xffff0000u);
            h[j + l] = (uint16_t)(low >> 16);
            h[j + l + DRAWS] = (uint16_t)(high >> 16);
            part[l] += a * a + b * b;
        }
}

static double squares_of_stored(const void *stored, tg_format format, size_t n)
{
    float copy[QUICK];
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + QUICK <= n; i += QUICK) {
        float part[DRAWS] = {0};
        widen(copy, (const char *)stored + i * tg_format_bytes(format), format, QUICK);
        for (size_t j = 0; j < QUICK; j += GROUP)
            for (size_t l = 0; l < DRAWS; l++)
                part[l] += copy[j + l] * copy[j + l] + copy[j + l + DRAWS] * copy[j + l + DRAWS];
        quick_add(lane, part);
    }
    widen(copy, (const char *)stored + i * tg_format_bytes(format), format, n - i);
    add_squares(lane, copy, n - i);
    return fold_lanes(lane);
}

/* What is left, fewer than QUICK values. */
static double finish_squares(const double *restrict so_far, uint16_t *restrict h, const float *restrict src, size_t n,
                             tg_key key, uint32_t first)
{
    float rest[QUICK];
    double lane[LANES];
    memcpy(lane, so_far, sizeof lane);
    narrow_part(h, src, TG_BF16, n, key, first);
    widen(rest, h, TG_BF16, n);
    add_squares(lane, rest, n);
    return fold_lanes(lane);
}

static double narrow_stochastic_squares(void *restrict dst, const float *restrict src, tg_format format, size_t n,
                                        tg_key key, uint64_t first)
{
    const bool one_part = (first & 0xffffffffu) + n <= UINT64_C(1) << 32;
    if (format != TG_BF16 || first % GROUP != 0 || !one_part) {
        narrow_stochastic(dst, src, format, n, key, first);
        return format == TG_F32 ? sum_squares_quick(src, n) : squares_of_stored(dst, format, n);
    }
    uint16_t *h = dst;
    double lane[LANES] = {0};
    const tg_key part_key = tg_key_part(key, first >> 32);
    const uint32_t draw = (uint32_t)first / GROUP * DRAWS;
    size_t i = 0;
    for (; i + QUICK <= n; i += QUICK) {
        float part[DRAWS] = {0};
        narrow_quick(h + i, src + i, part_key, draw + (uint32_t)(i / 2), part);
        quick_add(lane, part);
    }
    const double sum = i == n ? fold_lanes(lane) : finish_squares(lane, h + i, src + i, n - i, part_key, (uint32_t)(first + i));
    if (sum < HUGE_VAL)
        return sum;
    narrow_stochastic(dst, src, format, n, key, first);
    return squares_of_stored(dst, format, n);
}

static bool all_finite(const void *restrict x, tg_format format, size_t n)
{
    if (format == TG_F32)
        return max_abs(x, n) < HUGE_VALF;
    const uint16_t *restrict h = x, least = format == TG_BF16 ? 0x7f80u : 0x7c00u;
    uint16_t most = 0;
    for (size_t i = 0; i < n; i++) {
        const uint16_t magnitude = h[i] & 0x7fffu;
        most = magnitude > most ? magnitude : most;
    }
    return most < least;
}

static void fold_f32(float *restrict m, const float *restrict g, float decay, float scale, size_t n)
{
    if (decay == 0.0f) /* what m holds, NaN perhaps, does not matter */
        for (size_t i = 0; i < n; i++)
            m[i] = scale * g[i];
    else if (decay == 1.0f)
        for (size_t i = 0; i < n; i++)
            m[i] += scale * g[i];
    else
        for (size_t i = 0; i < n; i++)
            m[i] = decay * m[i] + scale * g[i];
}

#define FOLD_AT_ONCE ((size_t)1024)

/* Where the sum needs care it is cut: arithmetic makes no NaN whose bits that would take away. */
static inline uint16_t fold_one(uint16_t h, float g, float decay, float scale, uint32_t chance)
{
    const uint32_t bits = tg_bits_from_float(decay * tg_bf16_to_f32(h) + scale * g);
    return (uint16_t)((bits + ((bits & 0x7fffffffu) < CARE ? chance : 0u)) >> 16);
}

static void fold_groups_bf16(uint16_t *restrict h, const float *restrict g, float decay, float scale, size_t groups,
                             tg_key key, uint32_t draw)
{
    for (size_t j = 0; j < groups * GROUP; j += GROUP, draw += DRAWS)
        for (uint32_t l = 0; l < DRAWS; l++) {
            const uint32_t random = tg_random(key, draw + l);
            h[j + l] = fold_one(h[j + l], g[j + l], decay, scale, random & 0xffffu);
            h[j + l + DRAWS] = fold_one(h[j + l + DRAWS], g[j + l + DRAWS], decay, scale, random >> 16);
        }
}

static void fold_slow(void *restrict m, tg_format format, const float *restrict g, float decay, float scale, size_t n,
                      const tg_key *key, uint64_t first)
{
    float copy[FOLD_AT_ONCE];
    uint16_t *stored = m;
    for (size_t at = 0; at < n; at += FOLD_AT_ONCE) {
        const size_t now = n - at < FOLD_AT_ONCE ? n - at : FOLD_AT_ONCE;
        widen(copy, stored + at, format, now);
        fold_f32(copy, g + at, decay, scale, now);
        if (key == NULL)
            narrow(stored + at, copy, format, now);
        else
            narrow_stochastic(stored + at, copy, format, now, *key, first + at);
    }
}

static void fold(void *restrict m, tg_format format, const float *restrict g, float decay, float scale, size_t n,
                 const tg_key *key, uint64_t first)
{
    const size_t head = (GROUP - first % GROUP) % GROUP, groups = n < head ? 0 : (n - head) / GROUP;
    const size_t tail = head + groups * GROUP;
    if (format == TG_F32) {
        fold_f32(m, g, decay, scale, n);
        return;
    }
    if (format != TG_BF16 || key == NULL || decay == 0.0f || groups == 0 ||
        (first & 0xffffffffu) + n > UINT64_C(1) << 32) {
        fold_slow(m, format, g, decay, scale, n, key, first);
        return;
    }
    uint16_t *h = m;
    const tg_key part = tg_key_part(*key, first >> 32);
    fold_slow(h, format, g, decay, scale, head, key, first);
    fold_groups_bf16(h + head, g + head, decay, scale, groups, part, (uint32_t)(first + head) / GROUP * DRAWS);
    fold_slow(h + tail, format, g + tail, decay, scale, n - tail, key, first + tail);
}

/* ---- 8-bit codes ---- */

static inline void decode_signed(float *restrict dst, const uint8_t *restrict codes, float unit, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float magnitude = tg_code_magnitude((float)(codes[i] & 127u)) * unit;
        dst[i] = tg_float_from_bits(tg_bits_from_float(magnitude) | (uint32_t)(codes[i] & 128u) << 24);
    }
}

static inline void decode_unsigned(float *restrict dst, const uint8_t *restrict codes, float unit, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = tg_code_magnitude((float)codes[i]) * unit;
}

static void decode(float *restrict dst, const uint8_t *restrict codes, const float *restrict scale, bool is_signed, size_t n)
{
    for (size_t at = 0; at < n; at += TG_CODES) {
        const size_t now = n - at < TG_CODES ? n - at : TG_CODES;
        if (is_signed)
            decode_signed(dst + at, codes + at, scale[at / TG_CODES] / TG_CODE_TOP_SIGNED, now);
        else
            decode_unsigned(dst + at, codes + at, scale[at / TG_CODES] / TG_CODE_TOP_UNSIGNED, now);
    }
}

/* Signs and codes in 256ths. */
static inline void codes_signed(uint16_t *restrict real, const float *restrict src, float unit, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = tg_bits_from_float(src[i]);
        real[i] = (uint16_t)(tg_code_real(tg_float_from_bits(bits & 0x7fffffffu) * unit) | (bits >> 16 & 0x8000u));
    }
}

static inline void codes_unsigned(uint16_t *restrict real, const float *restrict src, float unit, size_t n)
{
    for (size_t i = 0; i < n; i++)
        real[i] = tg_code_real(tg_float_from_bits(tg_bits_from_float(src[i]) & 0x7fffffffu) * unit);
}

/* One draw serves four neighbouring values, a byte of it each: 256ths of a code, added before codes are cut to whole ones.
 * No sum passes the largest code. */
static inline void codes_cut(uint8_t *restrict codes, const uint16_t *restrict real, const uint8_t *restrict chance, size_t n)
{
    for (size_t i = 0; i < n; i++)
        codes[i] = (uint8_t)((uint16_t)(real[i] + chance[i]) >> 8);
}

static void draw_chances(uint32_t *restrict draws, tg_key key, uint32_t first)
{
    for (uint32_t l = 0; l < TG_CODES / 4; l++)
        draws[l] = tg_random(key, first + l);
}

static void encode(uint8_t *restrict codes, float *restrict scale, const float *restrict src, bool is_signed, size_t n,
                   const tg_key *key, uint64_t first)
{
    _Alignas(64) uint32_t draws[TG_CODES / 4];
    _Alignas(64) uint16_t real[TG_CODES];
    memset(draws, 128, sizeof draws); /* to nearest */
    for (size_t at = 0; at < n; at += TG_CODES) {
        const size_t now = n - at < TG_CODES ? n - at : TG_CODES;
        const float most = max_abs(src + at, now);
        const bool good = most >= 0x1p-100f && most < 0x1p126f; /* below, a state is as good as zero */
        scale[at / TG_CODES] = good ? most : most < 1.0f ? 0.0f : tg_float_from_bits(0x7fc00000u);
        if (!good) {
            memset(codes + at, 0, now);
            continue;
        }
        if (is_signed)
            codes_signed(real, src + at, 4.0f * TG_CODE_TOP_SIGNED / most, now);
        else
            codes_unsigned(real, src + at, 4.0f * TG_CODE_TOP_UNSIGNED / most, now);
        if (key != NULL)
            draw_chances(draws, tg_key_part(*key, (first + at) >> 32), (uint32_t)(first + at) / 4);
        codes_cut(codes + at, real, (const uint8_t *)draws, now);
    }
}

static void normal(float *restrict x, float std, size_t n, tg_key key, uint32_t first)
{
    enum { AT_ONCE = 128 };
    double u[AT_ONCE], turn[AT_ONCE];
    for (size_t at = 0; at < n; at += AT_ONCE) {
        const uint32_t now = n - at < AT_ONCE ? (uint32_t)(n - at) : AT_ONCE, from = 2 * (first + (uint32_t)at);
        for (uint32_t i = 0; i < now; i++) {
            u[i] = ((double)tg_random(key, from + 2 * i) + 1.0) * 0x1p-32;
            turn[i] = (double)tg_random(key, from + 2 * i + 1) * 0x1p-32;
        }
        for (uint32_t i = 0; i < now; i++)
            x[at + i] = std * (float)(sqrt(-2.0 * tg_log(u[i])) * tg_cos_turn(turn[i]));
    }
}

const tg_kernels TG_PER_ISA(tg_kernels) = {
    .widen = widen,
    .narrow = narrow,
    .narrow_stochastic = narrow_stochastic,
    .narrow_stochastic_squares = narrow_stochastic_squares,
    .widen_pair = widen_pair,
    .narrow_pair = narrow_pair,
    .multiply = multiply,
    .sum_squares = sum_squares,
    .sum_squares_quick = sum_squares_quick,
    .squares_of_stored = squares_of_stored,
    .max_abs = max_abs,
    .all_finite = all_finite,
    .decode = decode,
    .encode = encode,
    .fold = fold,
    .normal = normal,
};
