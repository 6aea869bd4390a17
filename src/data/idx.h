/* data/idx.h -- IDX files, as MNIST and its family have them: an array of bytes with its shape in front. */
#ifndef TG_DATA_IDX_H
#define TG_DATA_IDX_H

#include <stddef.h>

#include "tiger/status.h"

#define TG_IDX_RANK 4 /* at most: images, channels, rows, columns */

typedef struct tg_idx {
    unsigned rank;
    size_t shape[TG_IDX_RANK]; /* the first is the number of items; 1 behind the rank */
    size_t values;             /* of all items */
    const unsigned char *at;   /* in the bytes given */
} tg_idx;

/* TG_EFORMAT or TG_EUNSUPPORTED, with file, offset and cause, for bytes that are not exactly one such array. */
tg_status tg_idx_parse(tg_idx *idx, const char *bytes, size_t count, const char *path);

#endif
