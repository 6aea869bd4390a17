/* base/utf8.h -- strict UTF-8 (Unicode 15, table 3-7): nothing overlong, no surrogates, nothing above U+10FFFF. */
#ifndef TG_BASE_UTF8_H
#define TG_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TG_UTF8_BYTES 4         /* the longest character */
#define TG_CODE_POINTS 0x110000 /* one above the largest */

/* *code_point <- the character at the beginning of `text`; the number of its bytes. 0 when there is none, *code_point
 * is then as it was. */
static inline size_t tg_utf8_decode(uint32_t *code_point, const char *text, size_t bytes);
size_t tg_utf8_decode_long(uint32_t *code_point, const char *text, size_t bytes); /* of two bytes and more */

/* `text` <- the character; the number of its bytes. The code point must be legal. */
size_t tg_utf8_encode(char text[static TG_UTF8_BYTES], uint32_t code_point);

bool tg_utf8_is_blank(uint32_t code_point); /* Unicode's White_Space */

static inline size_t tg_utf8_decode(uint32_t *code_point, const char *text, size_t bytes)
{
    if (bytes == 0 || (unsigned char)*text >= 0x80)
        return tg_utf8_decode_long(code_point, text, bytes);
    *code_point = (unsigned char)*text;
    return 1;
}

#endif
