/* base/pair.h -- two neighbouring bf16 values as one 32-bit word, the first in its low half: both are widened, and
 * rounded back, by shifts and masks that vectorise without moving a value to another lane. One random draw serves both
 * of a pair.
 *
 * For machines of little-endian byte order, as all that libtiger is built for. */
#ifndef TG_BASE_PAIR_H
#define TG_BASE_PAIR_H

#include "base/random.h"
#include "tiger/format.h"

/* Magnitudes from here on are cut, not rounded: chance could carry them into Inf. */
#define TG_CARE 0x7f7f0000u

static inline uint32_t tg_pair_load(const uint16_t *at)
{
    uint32_t pair;
    memcpy(&pair, at, sizeof pair);
    return pair;
}

static inline void tg_pair_store(uint16_t *at, uint32_t pair) { memcpy(at, &pair, sizeof pair); }

static inline float tg_pair_first(uint32_t pair) { return tg_float_from_bits(pair << 16); }

static inline float tg_pair_second(uint32_t pair) { return tg_float_from_bits(pair & 0xffff0000u); }

/* The upper half of the sum is the rounded value; chance: 16 random bits. */
static inline uint32_t tg_add_chance(uint32_t bits, uint32_t chance)
{
    return bits + ((bits & 0x7fffffffu) < TG_CARE ? chance : 0u);
}

/* Rounds stochastically what arithmetic gave: NaN that is made there, or was bf16, has no bit below bf16's. A chance: 16
 * random bits. */
static inline uint32_t tg_pair_round_by(float first, float second, uint32_t chance, uint32_t other_chance)
{
    const uint32_t low = tg_add_chance(tg_bits_from_float(first), chance);
    const uint32_t high = tg_add_chance(tg_bits_from_float(second), other_chance);
    return low >> 16 | (high & 0xffff0000u);
}

static inline uint32_t tg_pair_round(float first, float second, uint32_t random)
{
    return tg_pair_round_by(first, second, random & 0xffffu, random >> 16);
}

/* The same under tg_random_spread(last), whose upper half is last's. */
static inline uint32_t tg_pair_round_last(float first, float second, uint32_t last)
{
    const uint32_t upper = last >> 16;
    return tg_pair_round_by(first, second, (last ^ upper) & 0xffffu, upper);
}

/* The same where what is added carries neither into Inf: it is NaN, or below TG_CARE, or has no bit below bf16's. */
static inline uint32_t tg_pair_round_calm_last(float first, float second, uint32_t last)
{
    const uint32_t upper = last >> 16;
    const uint32_t low = tg_bits_from_float(first) + ((last ^ upper) & 0xffffu), high = tg_bits_from_float(second) + upper;
    return low >> 16 | (high & 0xffff0000u);
}

/* What a key's turn adds to the draw of a pair. A carry from the first half into the second does no harm: whatever is
 * added to a uniform number that knows nothing of it, the sum is uniform. */
static inline uint32_t tg_pair_turn(tg_key key) { return (key.turn & 0xffffu) * 0x10001u; }

/* Any NaN as one that bf16 can hold. */
static inline float tg_quiet(float f)
{
    const uint32_t bits = tg_bits_from_float(f);
    return tg_float_from_bits(bits | ((bits & 0x7fffffffu) > 0x7f800000u ? 0x400000u : 0u));
}

#endif
