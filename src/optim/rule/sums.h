/* optim/rule/sums.h -- sums that rules take over a block, in a fixed order. For files built per instruction set. */
#ifndef TG_OPTIM_RULE_SUMS_H
#define TG_OPTIM_RULE_SUMS_H

#include "base/kernels.h"

static inline double tg_block_sum_squares(const float *x, size_t n) { return TG_PER_ISA(tg_kernels).sum_squares(x, n); }

#endif
