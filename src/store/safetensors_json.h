/* store/safetensors_json.h -- the small part of JSON that a safetensors header may hold: objects, arrays, texts and
 * non-negative integers, read one token at a time and without trust. There is no recursion: what may stand inside what
 * is fixed by the format. */
#ifndef TG_STORE_SAFETENSORS_JSON_H
#define TG_STORE_SAFETENSORS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fail.h"

#define TG_HEADER_PREFIX 8 /* bytes of the header's length, before the header */
#define TG_HEADER_MOST 100000000u

typedef struct tg_json_cursor {
    const char *file;               /* for messages */
    const unsigned char *begin, *at, *end;
    const char *tensor;             /* whose entry is being read, for messages; NULL outside */
} tg_json_cursor;

/* TG_EFORMAT with file, tensor and the offset in the file of `at`. */
tg_status tg_json_fail(const tg_json_cursor *cursor, const char *format, ...) TG_PRINTF(2, 3);

/* Skips white space, then takes `byte` when it is next. */
bool tg_json_accept(tg_json_cursor *cursor, char byte);
tg_status tg_json_expect(tg_json_cursor *cursor, char byte);
/* Decodes a text into `out`, ended with 0; it is never longer than what it takes in the file with its quotes, less
 * one. Refuses what is not UTF-8, control bytes, halves of surrogate pairs and the character 0. */
tg_status tg_json_text(tg_json_cursor *cursor, char *out, size_t *bytes);
tg_status tg_json_integer(tg_json_cursor *cursor, uint64_t *value);

#define TG_PRINTABLE_BYTES 80
/* A name as it may stand in a message: one line, at most TG_PRINTABLE_BYTES with the 0; returns `out`. */
const char *tg_printable(char out[TG_PRINTABLE_BYTES], const char *name);

#endif
