/* tiger/safetensors.h -- named arrays in one file (the safetensors format), read without trust and written safely.
 *
 * Layout: 8 bytes little-endian header length N, N bytes of JSON {"name": {"dtype", "shape", "data_offsets"}, ...,
 * "__metadata__": {text: text}}, then the data. The reader checks everything before it hands out a pointer: header of
 * at most 100 MB, valid JSON of the small subset the format allows, no duplicate names, sizes that do not overflow,
 * offsets that agree with dtype and shape, lie inside the file, do not overlap and leave no holes. */
#ifndef TIGER_SAFETENSORS_H
#define TIGER_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiger/format.h"
#include "tiger/memory.h"
#include "tiger/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TG_TENSOR_MAX_RANK 8

typedef struct tg_named_tensor {
    const char *name;
    tg_format format;
    unsigned rank;                     /* 0: one value */
    uint64_t shape[TG_TENSOR_MAX_RANK];
    const void *data;                  /* little-endian, row-major, shape[0] slowest; alignment: see below */
    size_t bytes;
} tg_named_tensor;

typedef struct tg_safetensors tg_safetensors;

/* Maps `path` read-only. Names and data live until destroy. The data's alignment is only what the file has: files
 * written here begin their data at a multiple of 64 bytes, but the format allows no gaps between tensors and promises
 * nothing. Copy before use as floats where it matters. */
tg_status tg_safetensors_open(tg_safetensors **out, const char *path, const tg_allocator *allocator);
/* The same from `bytes` of memory that the caller keeps alive (and for tests and fuzzing). */
tg_status tg_safetensors_open_memory(tg_safetensors **out, const void *memory, size_t bytes,
                                     const tg_allocator *allocator);
void tg_safetensors_destroy(tg_safetensors *file);

size_t tg_safetensors_count(const tg_safetensors *file);
const tg_named_tensor *tg_safetensors_at(const tg_safetensors *file, size_t index); /* header's order; NULL past end */
const tg_named_tensor *tg_safetensors_find(const tg_safetensors *file, const char *name); /* NULL when absent */
const char *tg_safetensors_metadata(const tg_safetensors *file, const char *key);         /* NULL when absent */
size_t tg_safetensors_metadata_count(const tg_safetensors *file);
/* A key, its value through *value, in the header's order; NULL past the end. */
const char *tg_safetensors_metadata_at(const tg_safetensors *file, size_t index, const char **value);

/* Writes `count` tensors in the order given (names unique) and `metadata`, `metadata_count` pairs of key, value. The
 * file is written under a temporary name in the same directory, synced, and renamed onto `path`: a reader sees the old
 * file or the new one. On failure the old file stands and the temporary is gone. */
tg_status tg_safetensors_write(const char *path, const tg_named_tensor *tensors, size_t count,
                               const char *const *metadata, size_t metadata_count);

#ifdef __cplusplus
}
#endif
#endif
