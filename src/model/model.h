/* model/model.h -- what a model family is, and what a model holds. */
#ifndef TG_MODEL_MODEL_H
#define TG_MODEL_MODEL_H

#include "graph/graph.h"
#include "tiger/engine/model.h"

typedef enum tg_init { TG_INIT_NORMAL, TG_INIT_RESIDUAL, TG_INIT_ZERO, TG_INIT_ONE } tg_init;

typedef struct tg_weight {
    tg_param param; /* what the optimizer is told; data points into the model's block */
    tg_init init;
    bool vector;    /* rank 1 in files (rows = 1) */
} tg_weight;

/* A key of config.json and the field it fills. */
typedef struct tg_config_key {
    const char *key;
    size_t offset; /* in tg_model_config */
    enum { TG_KEY_SIZE, TG_KEY_REAL, TG_KEY_BOOL } kind;
} tg_config_key;

typedef struct tg_model_type {
    tg_model_info info;
    const char *hf_type;        /* "model_type" in config.json */
    const tg_config_key *keys;
    size_t key_count;
    /* Completes and checks the family's own fields. */
    tg_status (*complete)(tg_model_config *config);
    /* Declares the weights (tg_model_declare), in file order. */
    tg_status (*declare)(tg_model *model);
    /* Appends the operations to a graph. */
    tg_status (*build)(tg_model *model, tg_graph *graph);
    /* Writes keys of config.json that are constant for the family ("activation_function": "gelu_new"), through
     * jansson. */
    void (*constants)(const tg_model_config *config, void *json_object);
} tg_model_type;

struct tg_model {
    const tg_model_type *type;
    tg_model_config config;
    tg_format format;
    tg_weight *weight;
    size_t weights;
    void *block;         /* all weights, each aligned to a cache line */
    size_t block_bytes;
};

/* Adds a weight; its index through *index. Vectors have rows = 1 (`vector` true). */
tg_status tg_model_declare(tg_model *model, int *index, const char *name, size_t rows, size_t cols, tg_role role,
                           tg_init init, bool vector);
/* The index of a declared weight, TG_NONE when there is none; names as in printf. */
int tg_model_index(const tg_model *model, const char *format, ...);

#endif
