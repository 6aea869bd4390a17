/* base/largest.h -- the largest magnitude of n values. For files built per instruction set. */
#ifndef TG_BASE_LARGEST_H
#define TG_BASE_LARGEST_H

#include <stddef.h>

#include "base/isa.h"
#include "tiger/format.h"

/* NaN counts as +Inf. */
TG_INLINE float tg_largest(const float *restrict x, size_t n)
{
    uint32_t most = 0; /* the bits of non-negative floats are ordered as the floats; NaN's lie above Inf's */
    for (size_t i = 0; i < n; i++) {
        const uint32_t u = tg_bits_from_float(x[i]) & 0x7fffffffu;
        most = u > most ? u : most;
    }
    return tg_float_from_bits(most > 0x7f800000u ? 0x7f800000u : most);
}

#endif
