/* model/gguf.h -- a GGUF file's metadata and tensors as a model of ours. */
#ifndef TG_MODEL_GGUF_H
#define TG_MODEL_GGUF_H

#include "model/model.h"
#include "store/gguf.h"

/* How the values of a tensor in the file stand to those of the weight. */
typedef enum tg_gguf_order {
    TG_GGUF_AS_IS,
    TG_GGUF_TURNED,  /* (out, in) for kernels that are (in, out) here */
    TG_GGUF_QUERIES, /* rows of a head: features i and i + d/2, which a rotary position turns together, are rows 2 i */
    TG_GGUF_KEYS     /* and 2 i + 1 of the file; `heads` heads for queries, `kv_heads` for keys */
} tg_gguf_order;

/* The configuration that general.architecture and its keys describe. TG_EUNSUPPORTED, naming the key, for what no model
 * here computes. */
tg_status tg_gguf_config(tg_model_config *config, const tg_tensors *tensors);

/* source[i] and order[i] (zeroed before) <- the tensor of weight i and its order, for all of them, each checked. */
tg_status tg_gguf_match(const tg_stored **source, tg_gguf_order *order, const tg_model *model,
                        const tg_tensors *tensors);

/* Writes tokenizer.json and tokenizer_config.json in Hugging Face's layout into `directory`. Of a file whose tokenizer
 * is none of byte-level BPE nothing is written and `note` says so; it is "" otherwise. */
tg_status tg_gguf_tokenizer_write(char note[TG_CONVERSION_NOTE_BYTES], const tg_tensors *tensors, size_t vocab,
                                  const char *directory);

#endif
