/* tiger/format.h -- number formats, and the roundings between them.
 *
 * fp32 is IEEE binary32; bf16 has its exponent and 8 significant bits; fp16 is IEEE binary16 with 11. Widening is
 * exact. Narrowing rounds to nearest even or stochastically; NaN stays NaN, overflow becomes Inf (nearest). */
#ifndef TIGER_FORMAT_H
#define TIGER_FORMAT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The optimizers and the engine compute with the first three; the others occur in files. */
typedef enum tg_format {
    TG_F32, TG_BF16, TG_F16,
    TG_F64, TG_I64, TG_I32, TG_I16, TG_I8, TG_U64, TG_U32, TG_U16, TG_U8, TG_BOOL, TG_F8_E4M3, TG_F8_E5M2,
    TG_FORMAT_COUNT
} tg_format;

size_t tg_format_bytes(tg_format format);      /* of one value; 0 for a format that does not exist */
const char *tg_format_name(tg_format format);  /* the safetensors tag: "F32", "BF16", ... */
/* The format of a tag or of a common name ("fp32", "float32", "bf16", ...), any case; TG_FORMAT_COUNT if none. */
tg_format tg_format_parse(const char *name);

/* Stochastic: up with the probability that makes the mean right, by chance of its own at every update. Kahan: to nearest, and
 * what is lost is kept in as many bits again. Weyl: weights stochastically, but a weight's draws advance by the golden ratio
 * from update to update (Weyl's equidistributed sequence) from a start by chance: each is as fair, and steps smaller than a
 * weight's last place add up nearly as they should instead of as a random walk. States are then rounded as by stochastic. */
typedef enum tg_rounding { TG_STOCHASTIC, TG_NEAREST, TG_KAHAN, TG_WEYL } tg_rounding;

static inline float tg_float_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t tg_bits_from_float(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float tg_bf16_to_f32(uint16_t h) { return tg_float_from_bits((uint32_t)h << 16); }

/* Nearest even. A NaN keeps its sign and upper payload and is made quiet. */
static inline uint16_t tg_f32_to_bf16(float f)
{
    const uint32_t u = tg_bits_from_float(f);
    const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    const uint32_t quiet = (u >> 16) | 0x40u;
    return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

/* Up with the probability of the fraction cut off; `random` holds 16 random bits. Never rounds a finite value that
 * nearest would keep finite to Inf, and keeps NaN and Inf. */
static inline uint16_t tg_f32_to_bf16_stochastic(float f, uint32_t random)
{
    const uint32_t u = tg_bits_from_float(f);
    const uint32_t rounded = (u + (random & 0xffffu)) >> 16;
    const uint32_t cut = u >> 16;
    const uint32_t quiet = cut | 0x40u;
    const uint32_t magnitude = u & 0x7fffffffu;
    const uint32_t finite = magnitude >= 0x7f7f0000u ? cut : rounded;
    return (uint16_t)(magnitude > 0x7f800000u ? quiet : finite);
}

float tg_f16_to_f32(uint16_t h);
uint16_t tg_f32_to_f16(float f);
uint16_t tg_f32_to_f16_stochastic(float f, uint32_t random);

#ifdef __cplusplus
}
#endif
#endif
