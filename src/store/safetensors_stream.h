/* store/safetensors_stream.h -- writing a safetensors file whose data is made while it is written. */
#ifndef TG_STORE_SAFETENSORS_STREAM_H
#define TG_STORE_SAFETENSORS_STREAM_H

#include "tiger/safetensors.h"

typedef struct tg_safetensors_sink tg_safetensors_sink;

/* Writes all of tensor `index`, in one or more calls of tg_safetensors_put. */
typedef tg_status tg_safetensors_source(void *ctx, size_t index, tg_safetensors_sink *sink);
tg_status tg_safetensors_put(tg_safetensors_sink *sink, const void *data, size_t bytes);

/* As tg_safetensors_write; the tensors' `data` is not looked at. */
tg_status tg_safetensors_stream(const char *path, const tg_named_tensor *tensors, size_t count,
                                const char *const *metadata, size_t metadata_count, tg_safetensors_source *source,
                                void *ctx);

/* As tg_safetensors_write, of tensors that all lie in memory of an allocator with `mapped` set: behind the writer it is
 * let go of. */
tg_status tg_safetensors_write_mapped(const char *path, const tg_named_tensor *tensors, size_t count,
                                      const char *const *metadata, size_t metadata_count);

#endif
