/* store/safetensors_json.c -- tokens of the header of a safetensors file (RFC 8259's grammar, less what the format
 * does not use). */
#include "store/safetensors_json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

const char *tg_printable(char out[TG_PRINTABLE_BYTES], const char *name)
{
    size_t n = 0;
    for (; name[n] != 0 && n < TG_PRINTABLE_BYTES - 4; n++)
        out[n] = (unsigned char)name[n] < 0x20 || name[n] == 0x7f ? '?' : name[n];
    if (name[n] != 0) {
        while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80) /* no half of a character */
            n--;
        memcpy(out + n, "...", 3);
        n += 3;
    }
    out[n] = 0;
    return out;
}

tg_status tg_json_fail(const tg_json_cursor *cursor, const char *format, ...)
{
    char text[256], name[TG_PRINTABLE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const size_t offset = TG_HEADER_PREFIX + (size_t)(cursor->at - cursor->begin);
    if (cursor->tensor == NULL)
        return tg_fail(TG_EFORMAT, "'%s': %s, at byte %zu of the file", cursor->file, text, offset);
    return tg_fail(TG_EFORMAT, "'%s': tensor '%s': %s, at byte %zu of the file", cursor->file,
                   tg_printable(name, cursor->tensor), text, offset);
}

static void skip_space(tg_json_cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r'))
        c->at++;
}

bool tg_json_accept(tg_json_cursor *c, char byte)
{
    skip_space(c);
    if (c->at == c->end || *c->at != (unsigned char)byte)
        return false;
    c->at++;
    return true;
}

tg_status tg_json_expect(tg_json_cursor *c, char byte)
{
    if (tg_json_accept(c, byte))
        return TG_OK;
    if (c->at == c->end)
        return tg_json_fail(c, "the header ends where '%c' should be", byte);
    return tg_json_fail(c, "'%c' expected in the header", byte);
}

/* Four hexadecimal digits, after "\u". */
static tg_status hex4(tg_json_cursor *c, uint32_t *code)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdef";
        const int d = c->at < c->end ? *c->at : 0;
        const char *digit = d == 0 ? NULL : strchr(digits, d >= 'A' && d <= 'F' ? d - 'A' + 'a' : d);
        if (digit == NULL)
            return tg_json_fail(c, "\\u needs four hexadecimal digits");
        v = v << 4 | (uint32_t)(digit - digits);
        c->at++;
    }
    *code = v;
    return TG_OK;
}

/* What follows "\u": one character, of one or two escapes. */
static tg_status unicode_escape(tg_json_cursor *c, uint32_t *code)
{
    tg_status status = hex4(c, code);
    if (status != TG_OK)
        return status;
    if (*code == 0)
        return tg_json_fail(c, "a name holds the character 0");
    if (*code < 0xd800 || *code >= 0xe000)
        return TG_OK;
    uint32_t low = 0;
    if (*code >= 0xdc00 || c->end - c->at < 2 || c->at[0] != '\\' || c->at[1] != 'u')
        return tg_json_fail(c, "half of a surrogate pair");
    c->at += 2;
    if ((status = hex4(c, &low)) != TG_OK)
        return status;
    if (low < 0xdc00 || low >= 0xe000)
        return tg_json_fail(c, "half of a surrogate pair");
    *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
    return TG_OK;
}

/* What follows a backslash, decoded to out[*n]. */
static tg_status escape(tg_json_cursor *c, char *out, size_t *n)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char kind = c->at < c->end ? (char)*c->at : 0;
    const char *known = kind == 0 ? NULL : strchr(from, kind);
    if (known != NULL) {
        c->at++;
        out[(*n)++] = to[known - from];
        return TG_OK;
    }
    if (kind != 'u')
        return tg_json_fail(c, "unknown escape in a text");
    c->at++;
    uint32_t code = 0;
    const tg_status status = unicode_escape(c, &code);
    if (status == TG_OK)
        *n += tg_utf8_encode(out + *n, code);
    return status;
}

tg_status tg_json_text(tg_json_cursor *c, char *out, size_t *bytes)
{
    tg_status status = tg_json_expect(c, '"');
    size_t n = 0;
    while (status == TG_OK) {
        if (c->at == c->end)
            return tg_json_fail(c, "the header ends inside a text");
        if (*c->at == '"')
            break;
        if (*c->at == '\\') {
            c->at++;
            status = escape(c, out, &n);
            continue;
        }
        uint32_t code_point = 0;
        const size_t length = tg_utf8_decode(&code_point, (const char *)c->at, (size_t)(c->end - c->at));
        if (length == 0)
            return tg_json_fail(c, "a text that is not UTF-8");
        if (code_point < 0x20)
            return tg_json_fail(c, "a control character in a text");
        memcpy(out + n, c->at, length);
        n += length;
        c->at += length;
    }
    if (status != TG_OK)
        return status;
    c->at++;
    out[n] = 0;
    *bytes = n;
    return TG_OK;
}

tg_status tg_json_integer(tg_json_cursor *c, uint64_t *value)
{
    skip_space(c);
    const unsigned char *first = c->at;
    uint64_t v = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        const unsigned digit = (unsigned)(*c->at - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return tg_json_fail(c, "a number above 2^64 - 1");
        v = v * 10 + digit;
    }
    const size_t digits = (size_t)(c->at - first);
    if (digits == 0 || (digits > 1 && *first == '0') ||
        (c->at < c->end && (*c->at == '.' || *c->at == 'e' || *c->at == 'E')))
        return tg_json_fail(c, "a number that is no non-negative integer");
    *value = v;
    return TG_OK;
}
