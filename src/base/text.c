/* base/text.c -- texts that grow, and JSON's quoting. */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"

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
    size_t left = strlen(value);
    tg_text_append(t, "\"", 1);
    while (left > 0) {
        uint32_t code_point = 0;
        const size_t n = tg_utf8_decode(&code_point, value, left);
        if (n == 0)
            return false;
        if (code_point < 0x20)
            tg_text_format(t, "\\u%04x", (unsigned)code_point);
        else if (code_point == '"' || code_point == '\\')
            tg_text_format(t, "\\%c", *value);
        else
            tg_text_append(t, value, n);
        value += n;
        left -= n;
    }
    tg_text_append(t, "\"", 1);
    return true;
}

void tg_text_free(tg_text *t)
{
    tg_heap_free(t->at);
    *t = (tg_text){0};
}

uint64_t tg_hash_text(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}
