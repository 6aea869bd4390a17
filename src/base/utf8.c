/* base/utf8.c -- strict UTF-8. */
#include "base/utf8.h"

static int is_tail(unsigned char byte) { return (byte & 0xc0) == 0x80; }

size_t tg_utf8_decode_long(uint32_t *code_point, const char *text, size_t bytes)
{
    static const uint32_t least[TG_UTF8_BYTES + 1] = {0, 0, 0x80, 0x800, 0x10000}; /* what fewer bytes cannot hold */
    const unsigned char *const t = (const unsigned char *)text;
    if (bytes == 0 || t[0] < 0xc0 || t[0] > 0xf7)
        return 0;
    const size_t length = t[0] >= 0xf0 ? 4 : t[0] >= 0xe0 ? 3 : 2;
    if (bytes < length)
        return 0;
    uint32_t c = t[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (!is_tail(t[i]))
            return 0;
        c = c << 6 | (t[i] & 0x3fu);
    }
    if (c < least[length] || c >= TG_CODE_POINTS || (c >= 0xd800 && c < 0xe000))
        return 0;
    *code_point = c;
    return length;
}

size_t tg_utf8_encode(char text[static TG_UTF8_BYTES], uint32_t code_point)
{
    if (code_point < 0x80) {
        text[0] = (char)code_point;
        return 1;
    }
    const size_t length = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    uint32_t rest = code_point;
    for (size_t i = length - 1; i > 0; i--, rest >>= 6)
        text[i] = (char)(0x80 | (rest & 0x3f));
    text[0] = (char)((0xf00u >> length & 0xf0u) | rest);
    return length;
}

bool tg_utf8_is_blank(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
           c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}
