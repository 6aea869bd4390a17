/* tiger/engine/model.h -- models: a configuration in the usual Hugging Face keys, and weights in one block of memory. */
#ifndef TIGER_ENGINE_MODEL_H
#define TIGER_ENGINE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiger/format.h"
#include "tiger/memory.h"
#include "tiger/optim.h"
#include "tiger/option.h"
#include "tiger/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the families ---------------------------------------------------------------------------------------------- */

typedef struct tg_layer_info {
    const char *name, *help, *equations;
} tg_layer_info;

size_t tg_layer_count(void);
const tg_layer_info *tg_layer_at(size_t index); /* NULL past the end */

/* What a model learns to tell. */
typedef enum tg_task_id {
    TG_TASK_AUTO,           /* of a model that can do both: a class where the data have classes, else a number */
    TG_TASK_CLASSIFICATION, /* a class of a sample */
    TG_TASK_REGRESSION,     /* a number of a sample */
    TG_TASK_LANGUAGE,       /* the next token of a text, or those at masked places */
    TG_TASK_COUNT
} tg_task_id;
#define TG_CAN(task) (1u << (task))

typedef enum tg_activation_kind {
    TG_RELU, TG_GELU /* exact */, TG_GELU_TANH, TG_SILU, TG_TANH, TG_RELU_SQUARED, TG_ACTIVATION_COUNT
} tg_activation_kind;

typedef enum tg_norm_kind {
    TG_NORM_NONE, TG_NORM_LAYER, TG_NORM_RMS, TG_NORM_BATCH, TG_NORM_GROUP, TG_NORM_INSTANCE, TG_NORM_COUNT
} tg_norm_kind;

/* What goes around a block that halves its images and doubles their channels. */
typedef enum tg_shortcut_kind { TG_SHORTCUT_PROJECTION, TG_SHORTCUT_ZEROS, TG_SHORTCUT_COUNT } tg_shortcut_kind;

typedef enum tg_gau_kind { TG_GAU_SQUARED_RELU, TG_GAU_SOFTMAX, TG_GAU_COUNT } tg_gau_kind;

typedef struct tg_model_info {
    const char *name, *help;  /* "gpt2" */
    const char *architecture; /* the class in transformers: "GPT2LMHeadModel"; "" where there is none */
    unsigned tasks;           /* TG_CAN of those it can learn */
    bool images;              /* learns from images alone, not from tables */
    bool masked;              /* says what stands at masked places, instead of what comes next */
    tg_option_table options;  /* layers, heads, width, ...: the flags of `tiger train`; see tg_model_config */
} tg_model_info;

size_t tg_model_count(void);
const tg_model_info *tg_model_at(size_t index);       /* NULL past the end */
const tg_model_info *tg_model_find(const char *name); /* NULL when there is none */

/* ---- one model ------------------------------------------------------------------------------------------------- */

/* How rotary positions are stretched beyond the length that a model was first trained with; names of transformers. */
typedef enum tg_rope_type {
    TG_ROPE_DEFAULT, TG_ROPE_LINEAR, TG_ROPE_DYNAMIC, TG_ROPE_LLAMA3, TG_ROPE_YARN, TG_ROPE_TYPES
} tg_rope_type;

typedef struct tg_rope_scaling {
    tg_rope_type type; /* dynamic is default within the model's context */
    double factor, low, high, original, fast, slow, attention;
    bool whole;        /* yarn: the ramp between stretched and others begins and ends at whole features */
} tg_rope_scaling;

typedef struct tg_model_config {
    const tg_model_info *info;
    int task;                 /* tg_task_id */
    size_t features, outputs; /* numbers of a sample that go in; classes, or numbers to be told; 0: as data say */
    size_t channels, rows, cols; /* of an image; 0: as data say */
    size_t depth, groups;     /* layers in a row; groups of channels of group norm */
    int activation, norm, attention; /* tg_activation_kind, tg_norm_kind, tg_gau_kind; of families that have a choice */
    int shortcut;             /* tg_shortcut_kind, of residual networks */
    size_t vocab, context, layers, heads, kv_heads, head_dim, width, hidden, segments;
    size_t value_dim; /* features of a head's values where they are not head_dim; 0: they are */
    double eps, rope_theta, dropout, init_std;
    bool attention_bias, mlp_bias; /* llama: biases of the linear layers around attention, in the network */
    tg_rope_scaling rope;
    bool tied; /* output product uses the token table */
} tg_model_config;

/* The options' defaults for a model; fields that follow from others (kv_heads, head_dim, hidden) are 0. */
tg_status tg_model_config_default(tg_model_config *config, const char *model);
/* Sets a field by its option's name ("layers"). */
tg_status tg_model_config_set(tg_model_config *config, const char *option, const char *text);
tg_status tg_model_config_get(const tg_model_config *config, const char *option, double *value);
/* Fills in what follows from other fields and checks all of them against each other. */
tg_status tg_model_config_complete(tg_model_config *config);
/* config.json of a Hugging Face directory. */
tg_status tg_model_config_read(tg_model_config *config, const char *directory);
tg_status tg_model_config_write(const tg_model_config *config, tg_format weights, const char *directory);

typedef struct tg_model tg_model;

/* A model with its weights in `weights` format, uninitialised. */
tg_status tg_model_create(tg_model **out, const tg_model_config *config, tg_format weights);
/* The same with the weights in memory of `allocator` (NULL: the heap), which is copied; its ctx must outlive the model. */
tg_status tg_model_create_in(tg_model **out, const tg_model_config *config, tg_format weights,
                             const tg_allocator *allocator);
void tg_model_destroy(tg_model *model);

const tg_model_config *tg_model_get_config(const tg_model *model);
size_t tg_model_weight_count(const tg_model *model);
const tg_param *tg_model_weight(const tg_model *model, size_t index); /* name, data, shape, role */
size_t tg_model_parameters(const tg_model *model);                    /* number of values */
size_t tg_model_bytes(const tg_model *model);                         /* of the weights */

/* Fills the weights: normal with init_std, residual projections scaled by 1/sqrt(2 layers), gains 1, biases 0. */
tg_status tg_model_initialize(tg_model *model, uint64_t seed);
/* model.safetensors of a directory, or its shards; formats are converted tensor by tensor, every tensor must be there
 * with its shape. */
tg_status tg_model_load(tg_model *model, const char *directory);
/* config.json and model.safetensors into an existing directory. */
tg_status tg_model_save(const tg_model *model, const char *directory);

/* ---- files of others ------------------------------------------------------------------------------------------- */

#define TG_CONVERSION_NOTE_BYTES 160

typedef struct tg_conversion {
    const char *model;        /* "llama" */
    size_t tensors, parameters, bytes; /* written */
    char note[TG_CONVERSION_NOTE_BYTES]; /* why there is no tokenizer.json now; "" when there is one, or was none */
} tg_conversion;

/* Writes a directory in Hugging Face's layout, `out`, which must not exist, with weights in `format` (F32, BF16 or
 * F16): from a GGUF file of a llama or gpt2 architecture, or from such a directory, whose other files are copied. It
 * appears whole. Memory is that of a few rows at a time, or for gpt2 of one tensor. */
tg_status tg_model_convert(tg_conversion *conversion, const char *in, const char *out, tg_format format);

#ifdef __cplusplus
}
#endif
#endif
