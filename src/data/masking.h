/* data/masking.h -- masked-language modelling (Devlin et al. 2019, arXiv:1810.04805, section 3.1): which tokens of a
 * window are to be guessed, and what stands in their places. */
#ifndef TG_DATA_MASKING_H
#define TG_DATA_MASKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"

typedef struct tg_masking {
    double rate;         /* share of the tokens that are to be guessed */
    double random, keep; /* of those: share that another token stands for, that stay; the rest is masked */
    uint32_t mask;       /* the token that masks */
    size_t vocab;        /* other tokens are drawn from it */
    uint64_t *special;   /* (vocab / 64 up) bits: tokens that are never to be guessed */
} tg_masking;

/* One row. targets[t] is tokens[t] where it counts, negative where not; chosen are at least one of those that count and
 * are not special, if there are any. Every other target becomes -1. Draws number 4 (first + t) and on are used. */
void tg_mask_row(const tg_masking *masking, uint32_t *tokens, int32_t *targets, size_t time, tg_key key,
                 uint32_t first);

#endif
