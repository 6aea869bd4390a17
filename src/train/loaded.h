/* train/loaded.h -- a model's directory opened for use: configuration, tokenizer, weights. */
#ifndef TG_TRAIN_LOADED_H
#define TG_TRAIN_LOADED_H

#include "tiger/engine/data.h"
#include "tiger/engine/model.h"
#include "tiger/engine/samples.h"
#include "tiger/engine/train.h"

typedef struct tg_loaded {
    tg_tokenizer *tokenizer; /* of a model of language */
    tg_schema *schema;       /* of one that learned from samples */
    tg_model *model;
    tg_format activations;
} tg_loaded;

/* Opens config.json, tokenizer.json or samples.json, and model.safetensors of `path`. With TG_PRECISION_FP32 everything is fp32; with the
 * others activations are bf16, and weights stay bf16 where the file has them so. */
tg_status tg_loaded_open(tg_loaded *out, const char *path, tg_precision precision);
void tg_loaded_close(tg_loaded *directory);

#endif
