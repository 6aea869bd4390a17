/* base/text.h -- texts that grow. */
#ifndef TG_BASE_TEXT_H
#define TG_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fail.h"

/* Starts as {0}. When there is no memory `failed` is set, and stays: one look at the end does. Not ended with 0. */
typedef struct tg_text {
    char *at;
    size_t used, room;
    bool failed;
} tg_text;

void tg_text_append(tg_text *text, const char *bytes, size_t count);
void tg_text_format(tg_text *text, const char *format, ...) TG_PRINTF(2, 3); /* at most 127 bytes: tags and numbers */
/* `value` as a JSON text, quotes and escapes included; false when it is not UTF-8. */
bool tg_text_quoted(tg_text *text, const char *value);
void tg_text_free(tg_text *text);

/* FNV-1a, 64 bits: goes on from `hash`, which begins as TG_HASH_BEGIN. For texts of our own, which nobody makes collide. */
#define TG_HASH_BEGIN UINT64_C(0xcbf29ce484222325)
uint64_t tg_hash_text(uint64_t hash, const char *text);

#endif
