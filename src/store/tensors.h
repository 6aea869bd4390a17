/* store/tensors.h -- what stands behind tiger/engine/tensors.h: each tensor with its place and its encoding. */
#ifndef TG_STORE_TENSORS_H
#define TG_STORE_TENSORS_H

#include "store/encoding.h"
#include "store/gguf.h"
#include "tiger/engine/tensors.h"

typedef struct tg_stored {
    tg_tensor_info info;
    const tg_encoding *encoding;
    const unsigned char *data; /* in the mapped file; of any alignment */
} tg_stored;

/* As tg_tensors_open, of a directory only: what messages speak of is always a file in it. */
tg_status tg_tensors_open_directory(tg_tensors **out, const char *path);

const char *tg_tensors_path(const tg_tensors *tensors);                        /* of the file, or of the index */
const tg_stored *tg_tensors_stored(const tg_tensors *tensors, size_t index);        /* NULL past the end */
const tg_stored *tg_tensors_find(const tg_tensors *tensors, const char *name);      /* NULL when absent */
const tg_gguf *tg_tensors_gguf(const tg_tensors *tensors);                          /* NULL for safetensors */

/* x (n) <- values first ... of a tensor whose encoding has `decode`; both are multiples of its block_values. */
void tg_stored_read(float *x, const tg_stored *stored, uint64_t first, size_t n);
/* TG_EUNSUPPORTED, naming file and tensor, when its values cannot be read. */
tg_status tg_stored_check(const tg_stored *stored);

#endif
