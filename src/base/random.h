/* base/random.h -- counter-based randomness: a pure function of (key, index), the same on any number of threads, any
 * instruction set and any split of the work.
 *
 * tg_key mixes what a stream belongs to (seed, update, tensor, ...) with SplitMix64 (Steele, Lea & Flood 2014);
 * tg_random hashes an index under that key with 32-bit multiplies and shifts only, so that plain loops over it
 * vectorise. The second half of the key enters between the two multiplies: streams of different keys are then no
 * permutations of each other. */
#ifndef TG_BASE_RANDOM_H
#define TG_BASE_RANDOM_H

#include <math.h>
#include <stdint.h>

typedef struct tg_key {
    uint32_t a, b;
    uint32_t turn; /* of tg_key_turned; rounding adds it to what it draws, tg_random knows nothing of it */
} tg_key;

__extension__ typedef unsigned __int128 tg_uint128;

static inline uint64_t tg_mix64(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A stream of its own for every (seed, purpose, x, y). `purpose` keeps streams of different uses apart. */
static inline tg_key tg_key_make(uint64_t seed, uint64_t purpose, uint64_t x, uint64_t y)
{
    const uint64_t z = tg_mix64(tg_mix64(tg_mix64(tg_mix64(seed) ^ purpose) ^ x) ^ y);
    return (tg_key){.a = (uint32_t)z, .b = (uint32_t)(z >> 32)};
}

/* The key of a stream that is drawn beside another one, from the same indexes. */
static inline tg_key tg_key_beside(tg_key key, uint64_t number)
{
    return (tg_key){.a = key.a, .b = (uint32_t)tg_mix64((((uint64_t)key.b << 32) | key.a) ^ tg_mix64(number))};
}

/* The key of a 2^32-long part of a stream: tensors may have more values than a 32-bit index counts. */
static inline tg_key tg_key_part(tg_key key, uint64_t part)
{
    if (part == 0)
        return key;
    tg_key made = tg_key_make(((uint64_t)key.b << 32) | key.a, 0x70617274u, part, 0);
    made.turn = key.turn;
    return made;
}

/* The key of time t in a stream whose 16-bit draws go on in Weyl's way: by the golden ratio from one time to the next,
 * around a circle of 2^16. Every draw is as uniform as the first, and each value's draws over times are spread evenly.
 * (16 bits alone would come near the start too soon: t 0x9e37 returns to within 2^-12 of it after 233 times.) */
static inline tg_key tg_key_turned(tg_key key, uint64_t t)
{
    key.turn = (uint32_t)t * 0x9e3779b9u >> 16;
    return key;
}

/* A draw in three parts: before the key's second half enters, up to the last product, and what spreads that one's upper
 * bits over its lower ones. Streams whose keys share the first half (tg_key_beside) can share the first part. */
static inline uint32_t tg_random_begin(uint32_t a, uint32_t index)
{
    uint32_t x = index + a;
    x = (x ^ (x >> 16)) * 0x7feb352du;
    return x ^ (x >> 15);
}

static inline uint32_t tg_random_last(uint32_t b, uint32_t begun) { return (begun ^ b) * 0x846ca68bu; }

static inline uint32_t tg_random_spread(uint32_t last) { return last ^ (last >> 16); }

static inline uint32_t tg_random(tg_key key, uint32_t index)
{
    return tg_random_spread(tg_random_last(key.b, tg_random_begin(key.a, index)));
}

/* Uniform in (0, 1], 24 bits. */
static inline float tg_random_uniform(tg_key key, uint32_t index)
{
    return (float)((tg_random(key, index) >> 8) + 1u) * 0x1p-24f;
}

/* Uniform in 0 .. bound-1; bound > 0. The bias is below bound / 2^64. */
static inline uint64_t tg_random_below(tg_key key, uint32_t index, uint64_t bound)
{
    const uint64_t z = tg_mix64(((uint64_t)key.b << 32 | key.a) ^ tg_mix64(index));
    return (uint64_t)(((tg_uint128)z * bound) >> 64);
}

/* Standard normal (Box & Muller 1958), in double so that every libm rounds the float the same way. */
static inline float tg_random_normal(tg_key key, uint32_t index)
{
    const double u = ((double)tg_random(key, 2 * index) + 1.0) * 0x1p-32;
    const double v = (double)tg_random(key, 2 * index + 1) * 0x1p-32;
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

#endif
