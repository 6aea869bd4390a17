/* graph/pack.h -- placing blocks with fixed lives into one arena: offline dynamic storage allocation. */
#ifndef TG_GRAPH_PACK_H
#define TG_GRAPH_PACK_H

#include <stddef.h>

#include "tiger/status.h"

typedef struct tg_block_life {
    size_t bytes;       /* a multiple of a cache line; 0 is placed at 0 */
    size_t first, last; /* steps, both inclusive */
    size_t offset;      /* written */
} tg_block_life;

/* Chooses offsets so that blocks whose lives meet do not overlap; *bytes is the arena's size. */
tg_status tg_pack(tg_block_life *block, size_t blocks, size_t *bytes);
/* No arena can be smaller: the most bytes alive at one step. */
tg_status tg_pack_bound(const tg_block_life *block, size_t blocks, size_t *bytes);

#endif
