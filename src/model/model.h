/* model/model.h -- what a model family is, and what a model holds. */
#ifndef TG_MODEL_MODEL_H
#define TG_MODEL_MODEL_H

#include "base/fail.h"
#include "graph/graph.h"
#include "store/tensors.h"
#include "tiger/engine/model.h"

/* He: std sqrt(2 / in) (He et al. 2015), for what a relu follows; Xavier: sqrt(2 / (in + out)) (Glorot & Bengio 2010).
 */
typedef enum tg_init {
    TG_INIT_NORMAL, TG_INIT_RESIDUAL, TG_INIT_HE, TG_INIT_XAVIER, TG_INIT_ZERO, TG_INIT_ONE
} tg_init;

typedef struct tg_weight {
    tg_param param; /* what the optimizer is told; data points into the model's block */
    tg_init init;
    bool vector;    /* rank 1 in files (rows = 1) */
    size_t kernel[2]; /* of a convolution, (out, in / groups, height, width) in files: its height and width; 0: none */
} tg_weight;

/* A key of config.json and the field it fills. Keys that share a field must agree in a file, and all of them are
 * written: gpt2's three dropout rates are one field here. */
typedef struct tg_config_key {
    const char *key; /* "n_layer"; "rope_parameters.rope_theta" is a key of an object inside, for aliases only */
    size_t offset;   /* in tg_model_config */
    enum { TG_KEY_SIZE, TG_KEY_REAL, TG_KEY_BOOL, TG_KEY_CHOICE } kind;
    const char *choices; /* of TG_KEY_CHOICE: "relu|gelu", whose index is the value */
    bool required;   /* a file without it is refused */
    bool alias;      /* read where a file has it, never written */
    double absent;   /* not required, and absent or null: what transformers takes then; 0: complete() derives it */
} tg_config_key;

/* A key of config.json that can only have certain values here, because the engine computes nothing else. The first is
 * written; a file with another value is refused (TG_EUNSUPPORTED); an absent key means a value that is allowed. */
typedef struct tg_config_constant {
    const char *key;     /* "activation_function"; may name a key inside an object, then it is only checked */
    const char *allowed; /* a JSON array: "[\"gelu_new\", \"gelu_pytorch_tanh\"]", "[false]", "[null]" */
} tg_config_constant;

/* The end of a tensor's name in old files, and what it is now; a list ends with NULL. */
typedef struct tg_rename {
    const char *old, *now;
} tg_rename;

typedef struct tg_model_type {
    tg_model_info info;   /* first: the type is found from it. Its options: rows of the TG_MODEL_... macros below */
    const char *hf_type;  /* "model_type" in config.json */
    const tg_config_key *keys;
    size_t key_count;
    const tg_config_constant *constant;
    size_t constant_count;
    const char *prefix;   /* files may leave it off the names of weights: "transformer." */
    const char *head;     /* "lm_head.weight": the file of a tied model may hold it too, it is not read; may be NULL */
    const char *positions; /* a table with a row for every place of the context: files may have more; may be NULL */
    const char *const *ignored; /* ends with NULL: suffixes of tensors in files that are no weights, ".attn.bias" */
    const tg_rename *renames;   /* may be NULL */
    /* Completes and checks the family's own fields. Before and after, each is checked against its option's range. */
    tg_status (*complete)(tg_model_config *config);
    /* Declares the weights (tg_model_declare), in file order, and sets what else their `param` tells the optimizer
     * (fan_in, many_uses, layer). No memory of the weights exists yet. */
    tg_status (*declare)(tg_model *model);
    /* Appends the operations to a graph. */
    tg_status (*build)(tg_model *model, tg_graph *graph);
    /* Reads further keys of config.json from a json_t object; may be NULL. `name` is the file's. */
    tg_status (*read_more)(tg_model_config *config, const void *json_object, const char *name);
    /* Writes further keys of config.json that depend on the configuration, into a json_t object; may be NULL. */
    void (*constants)(const tg_model_config *config, void *json_object);
} tg_model_type;

/* Rows of a model's table of options. The name is that of the field of tg_model_config; a 0 in the fields with
 * "(0: ...)" is filled in by complete(). The limits keep every product of sizes far from overflow. */
#define TG_MODEL_SIZE(name_, default_, least_, most_, help_)                                                           \
    {.name = name_, .kind = TG_INTEGER, .value = default_, .least = least_, .most = most_, .help = help_}
#define TG_MODEL_LAYERS(default_) TG_MODEL_SIZE("layers", default_, 1, 4096, "blocks")
#define TG_MODEL_HEADS(default_) TG_MODEL_SIZE("heads", default_, 1, 4096, "attention heads")
#define TG_MODEL_KV_HEADS TG_MODEL_SIZE("kv_heads", 0, 0, 4096, "heads of keys and values (0: as heads)")
#define TG_MODEL_HEAD_DIM TG_MODEL_SIZE("head_dim", 0, 0, 65536, "features of one head (0: width / heads)")
#define TG_MODEL_WIDTH(default_) TG_MODEL_SIZE("width", default_, 1, 1048576, "features of a token")
#define TG_MODEL_HIDDEN(help_) TG_MODEL_SIZE("hidden", 0, 0, 4194304, help_)
#define TG_MODEL_CONTEXT(default_) TG_MODEL_SIZE("context", default_, 1, 16777216, "tokens the model sees")
#define TG_MODEL_EPS(default_)                                                                                         \
    {.name = "eps", .kind = TG_REAL, .value = default_, .least = 0, .above = 1, .most = 1,                             \
     .help = "added to the variance in a norm"}
#define TG_MODEL_ROPE_THETA(default_)                                                                                  \
    {.name = "rope_theta", .kind = TG_REAL, .value = default_, .least = 0, .above = 1, .most = 1e12,                   \
     .help = "base of the rotary positions"}
#define TG_MODEL_DROPOUT                                                                                               \
    {.name = "dropout", .kind = TG_REAL, .value = 0, .least = 0, .most = 0.99, .help = "share of activations dropped"}
#define TG_MODEL_INIT_STD(default_)                                                                                    \
    {.name = "init_std", .kind = TG_REAL, .value = default_, .least = 0, .above = 1, .most = 100,                      \
     .help = "standard deviation of fresh weights"}
#define TG_MODEL_TIED(default_)                                                                                        \
    {.name = "tied", .kind = TG_SWITCH, .value = default_, .least = 0, .most = 1,                                      \
     .help = "the output product uses the token table"}
#define TG_MODEL_SWITCH(name_, help_)                                                                                  \
    {.name = name_, .kind = TG_SWITCH, .value = 0, .least = 0, .most = 1, .help = help_}
#define TG_MODEL_FEATURES TG_MODEL_SIZE("features", 0, 0, 4194304, "numbers of a sample (0: as the data have them)")
#define TG_MODEL_OUTPUTS(help_) TG_MODEL_SIZE("outputs", 0, 0, 65536, help_)
#define TG_MODEL_CHOICE(name_, default_, choices_, most_, help_)                                                       \
    {.name = name_, .kind = TG_CHOICE, .value = default_, .least = 0, .most = most_, .choices = choices_, .help = help_}
#define TG_TASK_CHOICES "auto|classification|regression"
#define TG_MODEL_MAX_VOCAB 16777216

struct tg_model {
    const tg_model_type *type;
    tg_model_config config;
    tg_format format;
    tg_weight *weight;
    size_t weights;
    int *by_name;        /* hash table of indexes into weight, TG_NONE: free; its size is a power of two */
    size_t by_name_room;
    tg_allocator allocator;
    bool own_heap;       /* no allocator was given */
    void *block;         /* all weights, each aligned to a cache line */
    size_t block_bytes;
};

/* Adds a weight; its index through *index. Vectors have rows = 1 (`vector` true). */
tg_status tg_model_declare(tg_model *model, int *index, const char *name, size_t rows, size_t cols, tg_role role,
                           tg_init init, bool vector);
/* Adds the kernels (out, in * kernel height * kernel width) of a convolution, each from `in` channels. */
tg_status tg_model_declare_kernel(tg_model *model, int *index, const char *name, size_t out, size_t in,
                                  const size_t kernel[2], tg_init init);
/* Adds n values that a layer writes and no optimizer changes, in fp32 whatever the weights are. */
tg_status tg_model_declare_statistic(tg_model *model, int *index, const char *name, size_t n, tg_init init);
/* Adds the bias (1, out) of a linear layer, whose matrix was declared before. */
tg_status tg_model_declare_bias(tg_model *model, int matrix, tg_layer_form form, const char *name, size_t out);
/* The index of a declared weight, TG_NONE when there is none; names as in printf. */
int tg_model_index(const tg_model *model, const char *format, ...) TG_PRINTF(2, 3);

/* A model whose weights are declared and have no memory. */
tg_status tg_model_outline(tg_model **out, const tg_model_config *config, tg_format weights);

/* shape (TG_WEIGHT_RANK) <- the shape of a weight in files; its rank. */
#define TG_WEIGHT_RANK 4
unsigned tg_weight_shape(uint64_t *shape, const tg_weight *weight);

/* source[i] (zeroed before) <- the tensor of weight i in Hugging Face's files, for all of them, each checked. */
tg_status tg_model_match(const tg_stored **source, const tg_model *model, const tg_tensors *tensors);

/* `complete` of families whose heads all have queries, keys and values: width / heads features each; hidden is 4 width unless
 * said. */
tg_status tg_model_complete_equal_heads(tg_model_config *config);

/* The family that a configuration's info belongs to. */
static inline const tg_model_type *tg_model_type_of(const tg_model_info *info)
{
    return (const tg_model_type *)(const void *)info; /* `info` is its first member */
}

/* As tg_model_config_read, from the text of a config.json; `name` is for messages. */
tg_status tg_model_config_parse(tg_model_config *config, const char *text, size_t bytes, const char *name);

/* As tg_model_config_write, with further keys, or other values for some, from `more`, a json_t object; may be NULL. */
tg_status tg_model_config_write_more(const tg_model_config *config, tg_format weights, const char *directory,
                                     const void *more);
/* The config.json of one directory into another, for weights in another format: all else stays as it is. */
tg_status tg_model_config_copy(const char *to, const char *from, tg_format weights);

/* A graph of the whole model for one batch shape, built; next comes tg_graph_plan. */
tg_status tg_model_graph(tg_graph **out, tg_model *model, tg_mode mode, tg_format activations, size_t batch,
                         size_t time);

#endif
