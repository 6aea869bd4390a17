/* base/codes.h -- loops over codes of base/code8.h, built per instruction set: entries of base/kernels.h's table.
 *
 * All work on n values from the start of a unit of TG_CODES on, in whole units but for a tensor's end; scale: one for
 * each. */
#ifndef TG_BASE_CODES_H
#define TG_BASE_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/code8.h"
#include "base/isa.h"
#include "base/random.h"

/* dst (n) <- codes (n). A scale of NaN gives NaN. */
void TG_PER_ISA(tg_codes_decode)(float *dst, const uint8_t *codes, const float *scale, bool is_signed, size_t n);

/* codes (n), scale <- src (n), which is not negative where !is_signed. NaN and Inf give a scale of NaN. Rounds
 * stochastically under *key, value i with index first + i, or to nearest where key is NULL. */
void TG_PER_ISA(tg_codes_encode)(uint8_t *codes, float *scale, const float *src, bool is_signed, size_t n,
                                 const tg_key *key, uint64_t first);

#endif
