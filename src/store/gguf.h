/* store/gguf.h -- GGUF files, versions 2 and 3, read without trust.
 *
 * Layout, all little-endian: "GGUF", version (4 bytes), number of tensors and of metadata pairs (8 each); the pairs:
 * key, type (4), value; the tensors: name, rank (4), sizes (8 each, the fastest first), type (4), offset (8); padding
 * to a multiple of general.alignment (32); the data. Texts are a length (8) and bytes.
 *
 * Everything is checked before a pointer is handed out: counts and lengths against the file's size, names (UTF-8, no
 * control characters, none twice), sizes that do not overflow, whole blocks in every row, aligned offsets, tensors that
 * follow each other with nothing between them but padding and end where the file does. */
#ifndef TG_STORE_GGUF_H
#define TG_STORE_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "store/encoding.h"
#include "tiger/status.h"

#define TG_GGUF_MAX_RANK 4

typedef enum tg_gguf_type { /* the file's numbers */
    TG_GGUF_U8, TG_GGUF_I8, TG_GGUF_U16, TG_GGUF_I16, TG_GGUF_U32, TG_GGUF_I32, TG_GGUF_F32, TG_GGUF_BOOL,
    TG_GGUF_STRING, TG_GGUF_ARRAY, TG_GGUF_U64, TG_GGUF_I64, TG_GGUF_F64,
    TG_GGUF_TYPES
} tg_gguf_type;

typedef struct tg_gguf_value {
    tg_gguf_type type, element; /* element: of an array */
    uint64_t count;             /* of an array's elements, of a string's bytes; else 1 */
    const unsigned char *data;  /* in the file, behind lengths and types; of `bytes` bytes */
    size_t bytes;
} tg_gguf_value;

typedef struct tg_gguf_tensor {
    const char *name;
    const tg_encoding *encoding;
    unsigned rank;
    uint64_t shape[TG_GGUF_MAX_RANK]; /* shape[0] slowest, as in safetensors: the file's order turned round */
    const unsigned char *data;
    size_t bytes;
} tg_gguf_tensor;

typedef struct tg_gguf tg_gguf;

/* Maps `path` read-only. Names and data live until destroy. */
tg_status tg_gguf_open(tg_gguf **out, const char *path);
/* The same from memory that the caller keeps alive; `name` is for messages. */
tg_status tg_gguf_open_memory(tg_gguf **out, const void *memory, size_t bytes, const char *name);
void tg_gguf_destroy(tg_gguf *file);

unsigned tg_gguf_version(const tg_gguf *file);
size_t tg_gguf_pairs(const tg_gguf *file);
const tg_gguf_value *tg_gguf_pair(const tg_gguf *file, size_t index, const char **key); /* index < pairs */
const tg_gguf_value *tg_gguf_find(const tg_gguf *file, const char *key);                /* NULL when absent */
size_t tg_gguf_tensors(const tg_gguf *file);
const tg_gguf_tensor *tg_gguf_tensor_at(const tg_gguf *file, size_t index); /* index < tensors; the file's order */

/* ---- values (gguf_value.c) ---- */

/* Bytes of one value of a type; 0 for strings, arrays and what is no type. */
size_t tg_gguf_type_bytes(uint32_t type);

/* *out <- element `index` of an array of numbers, or a number (index 0); an integer without loss, false otherwise. */
bool tg_gguf_integer(int64_t *out, const tg_gguf_value *value, uint64_t index);
/* Any number or bool; of fp32 the double with the fewest digits that rounds to it: 1e-5, not 9.99999975e-6. */
bool tg_gguf_real(double *out, const tg_gguf_value *value, uint64_t index);
bool tg_gguf_bool(bool *out, const tg_gguf_value *value);

/* The strings of an array one after the other (or a string: once): *offset starts as 0; false behind the last. */
bool tg_gguf_string(const char **text, size_t *bytes, const tg_gguf_value *value, size_t *offset);

/* Appends a value in one line for people, cut off with "..." after `most` elements or bytes. */
void tg_gguf_print(tg_text *text, const tg_gguf_value *value, size_t most);

#endif
