/* store/crc32c.h -- the Castagnoli CRC (Castagnoli et al. 1993; RFC 3720, appendix B.4), masked as TFRecords have it. */
#ifndef TG_STORE_CRC32C_H
#define TG_STORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t tg_crc32c(const void *data, size_t bytes);

/* A CRC of bytes that hold CRCs themselves is a weak one: it is turned by 15 bits, and a constant added. */
static inline uint32_t tg_crc32c_masked(const void *data, size_t bytes)
{
    const uint32_t crc = tg_crc32c(data, bytes);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

#endif
