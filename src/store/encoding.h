/* store/encoding.h -- how a file keeps a tensor's values: the plain formats, and GGUF's blocks of few bits a value. */
#ifndef TG_STORE_ENCODING_H
#define TG_STORE_ENCODING_H

#include <stddef.h>
#include <stdint.h>

#include "tiger/format.h"

#define TG_BLOCK_MOST 256 /* block_values divides it */

typedef struct tg_encoding {
    const char *name;        /* "Q4_K"; of plain formats the safetensors tag */
    tg_format format;        /* TG_FORMAT_COUNT: none of the plain ones */
    size_t block_values, block_bytes;
    /* x (count * block_values) <- count blocks, whatever their alignment; what fp32 does not hold is rounded. NULL: of
     * this encoding only the sizes are known. */
    void (*decode)(float *x, const unsigned char *blocks, size_t count);
} tg_encoding;

const tg_encoding *tg_encoding_of_format(tg_format format);

/* By GGUF's number; NULL when there is none. */
const tg_encoding *tg_encoding_of_gguf(uint32_t number);

#endif
