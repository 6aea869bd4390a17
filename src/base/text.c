/* base/text.c -- texts that grow, JSON's quoting, and UTF-8 (RFC 3629). */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

void tg_text_append(tg_text *t, const char *bytes, size_t count)
{
    if (t->failed || count == 0)
        return;
    if (count > t->room - t->used) {
        const size_t room = 2 * t->room + count + 256;
        char *at = tg_heap_resize(t->at, t->room, room, 1);
        if (at == NULL) {
            t->failed = true;
            return;
        }
        t->at = at;
        t->room = room;
    }
    memcpy(t->at + t->used, bytes, count);
    t->used += count;
}

void tg_text_format(tg_text *t, const char *format, ...)
{
    char line[128];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    tg_text_append(t, line, n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

bool tg_text_quoted(tg_text *t, const char *value)
{
    const unsigned char *at = (const unsigned char *)value, *end = at + strlen(value);
    tg_text_append(t, "\"", 1);
    while (at < end) {
        const size_t n = tg_utf8_length(at, end);
        if (n == 0)
            return false;
        if (*at < 0x20)
            tg_text_format(t, "\\u%04x", *at);
        else if (*at == '"' || *at == '\\')
            tg_text_format(t, "\\%c", *at);
        else
            tg_text_append(t, (const char *)at, n);
        at += n;
    }
    tg_text_append(t, "\"", 1);
    return true;
}

void tg_text_free(tg_text *t)
{
    tg_heap_free(t->at);
    *t = (tg_text){0};
}

size_t tg_utf8_length(const unsigned char *at, const unsigned char *end)
{
    const size_t left = (size_t)(end - at);
    if (left == 0)
        return 0;
    const unsigned char a = at[0];
    if (a < 0x80)
        return 1;
    const size_t n = a >= 0xc2 && a < 0xe0 ? 2 : (a & 0xf0) == 0xe0 ? 3 : a >= 0xf0 && a < 0xf5 ? 4 : 0;
    if (n == 0 || left < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    const bool overlong = (a == 0xe0 && at[1] < 0xa0) || (a == 0xf0 && at[1] < 0x90);
    const bool surrogate = a == 0xed && at[1] >= 0xa0, beyond = a == 0xf4 && at[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : n;
}
