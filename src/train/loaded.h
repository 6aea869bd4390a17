/* train/loaded.h -- a model's directory opened for use: configuration, tokenizer, weights. */
#ifndef TG_TRAIN_LOADED_H
#define TG_TRAIN_LOADED_H

#include "tiger/engine/data.h"
#include "tiger/engine/model.h"
#include "tiger/engine/train.h"

typedef struct tg_loaded {
    tg_tokenizer *tokenizer;
    tg_model *model;
    tg_format activations;
} tg_loaded;

/* Opens config.json, tokenizer.json and model.safetensors of `path`. With TG_PRECISION_FP32 everything is fp32; with the
 * others activations are bf16, and weights stay bf16 where the file has them so. */
tg_status tg_loaded_open(tg_loaded *out, const char *path, tg_precision precision);
void tg_loaded_close(tg_loaded *directory);

#endif
