/* train/loaded.c -- a model's directory opened for use: configuration, tokenizer, weights. */
#include "train/loaded.h"

#include "base/fail.h"
#include "base/memory.h"
#include "store/tensors.h"
#include "train/task.h"

/* bf16 when every tensor is, else fp32, which holds all others. */
static tg_status weights_format(tg_format *format, const char *path)
{
    tg_tensors *tensors = NULL;
    const tg_status status = tg_tensors_open_directory(&tensors, path);
    if (status != TG_OK)
        return status;
    *format = TG_BF16;
    for (size_t i = 0; i < tg_tensors_count(tensors); i++)
        if (tg_tensors_stored(tensors, i)->encoding->format != TG_BF16)
            *format = TG_F32;
    tg_tensors_destroy(tensors);
    return TG_OK;
}

tg_status tg_loaded_open(tg_loaded *out, const char *path, tg_precision precision)
{
    tg_loaded opened = {.activations = tg_precision_activations(precision)};
    tg_model_config config;
    tg_format weights = TG_F32;
    tg_status status = tg_model_config_read(&config, path);
    if (status == TG_OK)
        status = tg_task_of(&config)->load(&opened, &config, path);
    if (status != TG_OK)
        goto fail;
    if (precision != TG_PRECISION_FP32 && (status = weights_format(&weights, path)) != TG_OK)
        goto fail;
    if ((status = tg_model_create(&opened.model, &config, weights)) != TG_OK ||
        (status = tg_model_load(opened.model, path)) != TG_OK)
        goto fail;
    *out = opened;
    return TG_OK;
fail:
    tg_loaded_close(&opened);
    return status;
}

void tg_loaded_close(tg_loaded *directory)
{
    tg_model_destroy(directory->model);
    tg_tokenizer_destroy(directory->tokenizer);
    tg_schema_destroy(directory->schema);
    *directory = (tg_loaded){0};
}
