/* base/codes.h -- loops over at most TG_CODES values that share a scale: from the codes of base/code8.h and back. For
 * files built per instruction set, inlined into walks that pass a constant n where they can: such loops are better
 * ones. */
#ifndef TG_BASE_CODES_H
#define TG_BASE_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/code8.h"
#include "base/isa.h"
#include "base/random.h"

/* NaN counts as +Inf. */
TG_INLINE float tg_max_abs(const float *restrict x, size_t n)
{
    uint32_t most = 0; /* the bits of non-negative floats are ordered as the floats; NaN's lie above Inf's */
    for (size_t i = 0; i < n; i++) {
        const uint32_t u = tg_bits_from_float(x[i]) & 0x7fffffffu;
        most = u > most ? u : most;
    }
    return tg_float_from_bits(most > 0x7f800000u ? 0x7f800000u : most);
}

TG_INLINE void tg_codes_decode(float *restrict dst, const uint8_t *restrict codes, float scale, bool is_signed,
                               size_t n)
{
    const float unit = scale / (is_signed ? TG_CODE_TOP_SIGNED : TG_CODE_TOP_UNSIGNED);
    for (size_t i = 0; i < n; i++) {
        const uint32_t code = codes[i], sign = is_signed ? code << 24 & 0x80000000u : 0u;
        const float magnitude = tg_code_magnitude((float)(int32_t)(is_signed ? code & 127u : code)) * unit;
        dst[i] = tg_float_from_bits(tg_bits_from_float(magnitude) | sign);
    }
}

/* What the largest magnitude makes the scale: NaN where it is not finite. */
static inline float tg_codes_scale(float most)
{
    const bool good = most >= 0x1p-100f && most < 0x1p126f; /* below, a state is as good as zero */
    return good ? most : most < 1.0f ? 0.0f : tg_float_from_bits(0x7fc00000u);
}

/* What is added to 256ths of a code before they are cut. One draw serves four neighbouring values, a byte of it each.
 */
TG_INLINE void tg_codes_chances(uint32_t *restrict draws, const tg_key *key, uint64_t first)
{
    if (key == NULL) {
        memset(draws, 128, TG_CODES); /* to nearest */
        return;
    }
    const tg_key part = tg_key_part(*key, first >> 32);
    for (uint32_t l = 0; l < TG_CODES / 4; l++)
        draws[l] = tg_random(part, (uint32_t)first / 4 + l);
}

/* codes (n) <- src (n), of a largest magnitude that makes `scale`. No sum passes the largest code. */
TG_INLINE void tg_codes_encode(uint8_t *restrict codes, const float *restrict src, float scale, bool is_signed,
                               size_t n, const tg_key *key, uint64_t first)
{
    _Alignas(64) uint32_t draws[TG_CODES / 4];
    const uint8_t *chance = (const uint8_t *)draws;
    if (!(scale > 0)) {
        memset(codes, 0, n);
        return;
    }
    tg_codes_chances(draws, key, first);
    const float unit = 4.0f * (is_signed ? TG_CODE_TOP_SIGNED : TG_CODE_TOP_UNSIGNED) / scale;
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = tg_bits_from_float(src[i]), sign = is_signed ? bits >> 24 & 128u : 0u;
        const uint32_t real = tg_code_real(tg_float_from_bits(bits & 0x7fffffffu) * unit);
        codes[i] = (uint8_t)((real + chance[i]) >> 8 | sign);
    }
}

#endif
