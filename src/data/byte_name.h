/* data/byte_name.h -- how byte-level vocabularies write bytes (GPT-2): every byte is one printable character, itself
 * where it is printable in Latin-1, otherwise the next unused one from U+0100 on. */
#ifndef TG_DATA_BYTE_NAME_H
#define TG_DATA_BYTE_NAME_H

#include <stdint.h>

#define TG_BYTES 256
/* The bytes without a printable character: 0 to 0x20, 0x7f to 0xa0, 0xad. */
#define TG_SPARE_FIRST 33
#define TG_SPARE_SECOND 34

static inline uint32_t tg_byte_name(uint32_t byte)
{
    return byte <= 0x20                   ? 0x100 + byte
           : byte >= 0x7f && byte <= 0xa0 ? 0x100 + TG_SPARE_FIRST + byte - 0x7f
           : byte == 0xad                 ? 0x100 + TG_SPARE_FIRST + TG_SPARE_SECOND
                                          : byte;
}

/* The byte that a character stands for; TG_BYTES when it stands for none. */
static inline uint32_t tg_named_byte(uint32_t code_point)
{
    if (code_point < TG_BYTES)
        return tg_byte_name(code_point) == code_point ? code_point : TG_BYTES;
    const uint32_t spare = code_point - 0x100;
    return spare < TG_SPARE_FIRST                      ? spare
           : spare < TG_SPARE_FIRST + TG_SPARE_SECOND  ? spare - TG_SPARE_FIRST + 0x7f
           : spare == TG_SPARE_FIRST + TG_SPARE_SECOND ? 0xad
                                                       : TG_BYTES;
}

#endif
