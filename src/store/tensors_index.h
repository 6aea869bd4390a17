/* store/tensors_index.h -- model.safetensors.index.json: which tensor is in which file. */
#ifndef TG_STORE_TENSORS_INDEX_H
#define TG_STORE_TENSORS_INDEX_H

#include <jansson.h>
#include <stddef.h>

#include "tiger/status.h"

typedef struct tg_index {
    json_t *document;
    const json_t *map;  /* name of a tensor -> name of its file, a plain one */
    json_t *files;      /* name of a file -> its number, in the order they first occur */
} tg_index;

/* model.safetensors.index.json; `name` is for messages. Release with tg_index_fini. */
tg_status tg_index_parse(tg_index *out, const char *text, size_t bytes, const char *name);
void tg_index_fini(tg_index *index);

#endif
