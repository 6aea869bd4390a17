/* model/parts.h -- what families of models share: those that learn from samples, and those of language. */
#ifndef TG_MODEL_PARTS_H
#define TG_MODEL_PARTS_H

#include "model/model.h"

/* `complete`, or its beginning: features and outputs must be known, and the task is settled. */
tg_status tg_part_complete(tg_model_config *config);

/* A kernel (out, in), "PART.weight", and its bias, "PART.bias"; and the op that uses them. */
tg_status tg_part_declare_linear(tg_model *model, const char *part, size_t out, size_t in, tg_init init,
                                 bool is_output);
int tg_part_linear(tg_model *model, tg_graph *graph, const char *part, int x);

/* Kernels (out, in / groups, height, width), "PART.weight", and a bias, "PART.bias", where `biased`; and their op. */
tg_status tg_part_declare_conv(tg_model *model, const char *part, size_t out, size_t in, const tg_window *window,
                               tg_init init, bool biased);
int tg_part_conv(tg_model *model, tg_graph *graph, const char *part, int x, const tg_window *window);

/* The weights of the configuration's norm over `cols` channels, PART.weight, .bias, .running_mean, .running_var; and the
 * op: x where there is no norm. */
tg_status tg_part_declare_norm(tg_model *model, const char *part, size_t cols);
int tg_part_norm(tg_model *model, tg_graph *graph, const char *part, int x);
/* Part of `complete`: widths fall into groups. */
tg_status tg_part_check_groups(const tg_model_config *config);

/* Ends the graph: the linear layer PART and the loss of the configuration's task. */
void tg_part_output(tg_model *model, tg_graph *graph, const char *part, int x);

/* `declare` of models of language whose blocks `block` declares: embedding, blocks, last norm and, unless it is the
 * embedding, the head, under the names that llama gave them. */
tg_status tg_part_declare_decoder(tg_model *model, tg_status (*block)(tg_model *model, size_t layer));
/* And their `build`; the last norm is an RMS norm. */
tg_status tg_part_build_decoder(tg_model *model, tg_graph *graph,
                                int (*block)(tg_model *model, tg_graph *graph, size_t layer, int x));

/* `declare` and `build` of models that are one linear layer, "linear", and the loss. */
tg_status tg_part_declare_alone(tg_model *model);
tg_status tg_part_build_alone(tg_model *model, tg_graph *graph);

#define TG_NORMS "none|layer|rms|batch|group|instance"
#define TG_ACTIVATIONS "relu|gelu|gelu_tanh|silu|tanh|relu2"

/* Rows of the keys of config.json. */
#define TG_KEYS_OF_SAMPLES                                                                                             \
    {.key = "features", .offset = offsetof(tg_model_config, features), .kind = TG_KEY_SIZE, .required = true},         \
    {                                                                                                                  \
        .key = "outputs", .offset = offsetof(tg_model_config, outputs), .kind = TG_KEY_SIZE, .required = true          \
    }
#define TG_KEYS_OF_HIDDEN(norms)                                                                                       \
    {.key = "activation",                                                                                              \
     .offset = offsetof(tg_model_config, activation),                                                                  \
     .kind = TG_KEY_CHOICE,                                                                                            \
     .choices = TG_ACTIVATIONS,                                                                                        \
     .required = true},                                                                                                \
        {.key = "norm",                                                                                                \
         .offset = offsetof(tg_model_config, norm),                                                                    \
         .kind = TG_KEY_CHOICE,                                                                                        \
         .choices = norms,                                                                                             \
         .required = true},                                                                                            \
    {                                                                                                                  \
        .key = "groups", .offset = offsetof(tg_model_config, groups), .kind = TG_KEY_SIZE, .absent = 8                 \
    }

#endif
