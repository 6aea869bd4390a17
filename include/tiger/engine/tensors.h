/* tiger/engine/tensors.h -- the tensors of a model's files, whatever keeps them: one safetensors file, several with an
 * index (Hugging Face's shards), or GGUF, versions 2 and 3. All are mapped and read without trust. */
#ifndef TIGER_ENGINE_TENSORS_H
#define TIGER_ENGINE_TENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiger/safetensors.h"
#include "tiger/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_tensors tg_tensors;

typedef struct tg_tensor_info {
    const char *name;
    const char *type; /* "BF16"; of GGUF's blocks "Q4_K" */
    const char *file; /* the path of the file it lies in */
    unsigned rank;
    uint64_t shape[TG_TENSOR_MAX_RANK]; /* shape[0] slowest, for GGUF too */
    uint64_t values;
    size_t bytes;
} tg_tensor_info;

/* A file, or a directory with model.safetensors or model.safetensors.index.json. A GGUF file is known by its first
 * bytes, an index by its name. Every shard must have just those tensors that the index gives it. */
tg_status tg_tensors_open(tg_tensors **out, const char *path);
void tg_tensors_destroy(tg_tensors *tensors);

const char *tg_tensors_layout(const tg_tensors *tensors); /* "safetensors", "GGUF" */
size_t tg_tensors_files(const tg_tensors *tensors);
size_t tg_tensors_count(const tg_tensors *tensors);
const tg_tensor_info *tg_tensors_at(const tg_tensors *tensors, size_t index); /* the file's order; NULL past the end */

/* A metadata key, NULL past the end; *value <- what it says, in one line for people, long ones cut off: released by
 * tg_tensors_value_free, NULL when there is no memory. */
const char *tg_tensors_metadata(const tg_tensors *tensors, size_t index, char **value);
void tg_tensors_value_free(char *value);

typedef struct tg_tensor_statistics {
    uint64_t values, zeros, non_finite;
    double least, most, mean, rms; /* of the finite ones; NaN when there are none */
} tg_tensor_statistics;

/* Of the values as fp32, the same on any number of threads. TG_EUNSUPPORTED for a type of which only the size is known.
 */
tg_status tg_tensors_statistics(tg_tensor_statistics *out, const tg_tensors *tensors, size_t index);

/* Adds to counts (bins) how many values lie in each of `bins` equal parts of low .. high; others are not counted. */
tg_status tg_tensors_histogram(uint64_t *counts, size_t bins, double low, double high, const tg_tensors *tensors,
                               size_t index);

#ifdef __cplusplus
}
#endif
#endif
