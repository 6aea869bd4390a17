/* mlp.c -- a multi-layer perceptron (Rumelhart, Hinton & Williams 1986): classes or numbers of samples.
 *
 *   x = features        every layer:   x = dropout(act(norm(W x + b)))        output = W x + b
 *
 * A classifier ends in softmax cross-entropy over its outputs, a regressor in the mean squared error. Kernels are drawn
 * as He et al. have it where a relu or a gelu follows, else as Glorot & Bengio; biases begin at 0. */
#include <stdio.h>

#include "layer/layers.h"
#include "model/parts.h"

#define NAME_BYTES 64
#define NORMS "none|layer|rms|batch|group"

static const tg_option options[] = {
    TG_MODEL_SIZE("layers", 1, 1, 4096, "hidden layers"),
    TG_MODEL_SIZE("width", 256, 1, 1048576, "features of a hidden layer"),
    TG_MODEL_CHOICE("activation", TG_RELU, TG_ACTIVATIONS, TG_ACTIVATION_COUNT - 1, "behind every layer"),
    TG_MODEL_CHOICE("norm", TG_NORM_NONE, NORMS, TG_NORM_GROUP, "of every layer, before its activation"),
    TG_MODEL_SIZE("groups", 8, 1, 65536, "norm=group: of features that are normalised together"),
    TG_MODEL_DROPOUT,
    TG_MODEL_EPS(1e-5),
    TG_MODEL_CHOICE("task", TG_TASK_AUTO, TG_TASK_CHOICES, TG_TASK_REGRESSION,
                    "to tell classes, or a number; auto: classes where the target has words"),
    TG_MODEL_FEATURES,
    TG_MODEL_OUTPUTS("classes, or numbers to be told (0: as the data have them)"),
};

#define FIELD(name) offsetof(tg_model_config, name)
static const tg_config_key keys[] = {
    TG_KEYS_OF_SAMPLES,
    {.key = "task", .offset = FIELD(task), .kind = TG_KEY_CHOICE, .choices = TG_TASK_CHOICES, .required = true},
    {.key = "layers", .offset = FIELD(layers), .kind = TG_KEY_SIZE, .required = true},
    {.key = "width", .offset = FIELD(width), .kind = TG_KEY_SIZE, .required = true},
    TG_KEYS_OF_HIDDEN(NORMS),
    {.key = "dropout", .offset = FIELD(dropout), .kind = TG_KEY_REAL, .absent = 0},
    {.key = "norm_eps", .offset = FIELD(eps), .kind = TG_KEY_REAL, .absent = 1e-5},
};

static tg_status complete(tg_model_config *config)
{
    const tg_status status = tg_part_check_groups(config);
    return status == TG_OK ? tg_part_complete(config) : status;
}

static tg_status declare(tg_model *model)
{
    const tg_model_config *c = &model->config;
    const tg_init init = c->activation == TG_TANH ? TG_INIT_XAVIER : TG_INIT_HE;
    tg_status status = TG_OK;
    for (size_t layer = 0; layer < c->layers && status == TG_OK; layer++) {
        char name[NAME_BYTES];
        snprintf(name, sizeof name, "layers.%zu", layer);
        status = tg_part_declare_linear(model, name, c->width, layer == 0 ? c->features : c->width, init, false);
        snprintf(name, sizeof name, "norms.%zu", layer);
        if (status == TG_OK)
            status = tg_part_declare_norm(model, name, c->width);
    }
    return status == TG_OK ? tg_part_declare_linear(model, "output", c->outputs, c->width, TG_INIT_XAVIER, true)
                           : status;
}

static tg_status build(tg_model *model, tg_graph *graph)
{
    const tg_model_config *c = &model->config;
    int x = tg_features(graph, "features", c->features);
    for (size_t layer = 0; layer < c->layers; layer++) {
        char name[NAME_BYTES];
        tg_graph_block_begin(graph);
        snprintf(name, sizeof name, "layers.%zu", layer);
        x = tg_part_linear(model, graph, name, x);
        snprintf(name, sizeof name, "norms.%zu", layer);
        x = tg_part_norm(model, graph, name, x);
        snprintf(name, sizeof name, "layers.%zu.act", layer);
        x = tg_activation(graph, name, x, (tg_activation_kind)c->activation);
        snprintf(name, sizeof name, "layers.%zu.dropout", layer);
        x = tg_dropout(graph, name, x, c->dropout);
        tg_graph_block_end(graph);
    }
    tg_part_output(model, graph, "output", x);
    return TG_OK;
}

const tg_model_type tg_model_mlp = {
    .info = {.name = "mlp",
             .help = "multi-layer perceptron: classes or numbers of images and tables",
             .architecture = "",
             .tasks = TG_CAN(TG_TASK_CLASSIFICATION) | TG_CAN(TG_TASK_REGRESSION),
             .options = {options, sizeof options / sizeof *options}},
    .hf_type = "mlp",
    .keys = keys,
    .key_count = sizeof keys / sizeof *keys,
    .complete = complete,
    .declare = declare,
    .build = build,
};
