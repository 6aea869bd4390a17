/* data/permute.h -- a permutation as a function: no array, any place at once.
 *
 * Four rounds of a balanced Feistel network (Luby & Rackoff 1988) permute the numbers of an even count of bits, the
 * least that holds n; a number that comes out at n or above goes in again (cycle walking, Black & Rogaway 2002), fewer
 * than four times in the mean. */
#ifndef TG_DATA_PERMUTE_H
#define TG_DATA_PERMUTE_H

#include "base/random.h"

#define TG_PERMUTE_ROUNDS 4

static inline uint64_t tg_permute_once(tg_key key, uint64_t x, unsigned half)
{
    const uint32_t mask = (uint32_t)((1ull << half) - 1);
    uint32_t left = (uint32_t)(x >> half), right = (uint32_t)x & mask;
    for (uint64_t round = 0; round < TG_PERMUTE_ROUNDS; round++) {
        const uint32_t turned = left ^ (tg_random(tg_key_beside(key, round), right) & mask);
        left = right;
        right = turned;
    }
    return (uint64_t)left << half | right;
}

/* Where place `at` of 0 ... n-1 goes; n at most 2^62. */
static inline uint64_t tg_permute(tg_key key, uint64_t at, uint64_t n)
{
    unsigned half = 1;
    while (1ull << 2 * half < n)
        half++;
    do
        at = tg_permute_once(key, at, half);
    while (at >= n);
    return at;
}

#endif
