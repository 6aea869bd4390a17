/* model/parts.c -- what families share: those that learn from samples their sizes, linear layers and the output; those
 * of language what lies around their blocks. */
#include <stdio.h>

#include "layer/layers.h"
#include "model/parts.h"

#define NAME_BYTES 96

tg_status tg_part_complete(tg_model_config *config)
{
    const tg_model_info *model = config->info;
    if (config->task == TG_TASK_AUTO)
        config->task = TG_TASK_CLASSIFICATION;
    if ((model->tasks & TG_CAN(config->task)) == 0)
        return tg_fail(TG_EINVAL, "%s learns %s", model->name,
                       config->task == TG_TASK_REGRESSION ? "classes, no numbers" : "numbers, no classes");
    if (config->features == 0 || config->outputs == 0)
        return tg_fail(TG_EINVAL, "%s: how many features and outputs there are, data say, or the options of that name",
                       model->name);
    if (config->task == TG_TASK_CLASSIFICATION && config->outputs < 2)
        return tg_fail(TG_EINVAL, "%s: outputs are classes, and there must be 2 or more", model->name);
    config->context = 1; /* a sample is by itself */
    return TG_OK;
}

tg_status tg_part_declare_linear(tg_model *model, const char *part, size_t out, size_t in, tg_init init, bool is_output)
{
    char name[NAME_BYTES];
    int index, bias;
    snprintf(name, sizeof name, "%s.weight", part);
    const tg_status status = tg_model_declare(model, &index, name, out, in, TG_MATRIX, init, false);
    if (status != TG_OK)
        return status;
    snprintf(name, sizeof name, "%s.bias", part);
    /* The head that tells classes is no layer that hands over its rows. */
    return is_output && model->config.task == TG_TASK_CLASSIFICATION
               ? tg_model_declare(model, &bias, name, 1, out, TG_BIAS, TG_INIT_ZERO, true)
               : tg_model_declare_bias(model, index, TG_LAYER_OUT_BY_IN, name, out);
}

int tg_part_linear(tg_model *model, tg_graph *graph, const char *part, int x)
{
    return tg_linear(graph, part, x, tg_model_index(model, "%s.weight", part), tg_model_index(model, "%s.bias", part),
                     false);
}

tg_status tg_part_declare_conv(tg_model *model, const char *part, size_t out, size_t in, const tg_window *window,
                               tg_init init, bool biased)
{
    char name[NAME_BYTES];
    int index;
    snprintf(name, sizeof name, "%s.weight", part);
    const tg_status status =
        tg_model_declare_kernel(model, &index, name, out, in / window->groups, window->kernel, init);
    const tg_layer_form form = window->groups == 1 ? TG_LAYER_OUT_BY_IN : TG_NO_LAYER; /* of groups each is one */
    snprintf(name, sizeof name, "%s.bias", part);
    if (status == TG_OK && biased)
        return tg_model_declare_bias(model, index, form, name, out);
    if (status == TG_OK)
        model->weight[index].param.layer = form;
    return status;
}

int tg_part_conv(tg_model *model, tg_graph *graph, const char *part, int x, const tg_window *window)
{
    return tg_conv2d(graph, part, x, tg_model_index(model, "%s.weight", part), tg_model_index(model, "%s.bias", part),
                     window);
}

tg_status tg_part_declare_norm(tg_model *model, const char *part, size_t cols)
{
    static const struct {
        const char *name;
        unsigned norms; /* that have it */
        tg_role role;
        tg_init init;
        bool statistic;
    } row[] = {
        {"weight", ~(1u << TG_NORM_NONE), TG_GAIN, TG_INIT_ONE, false},
        {"bias", ~(1u << TG_NORM_NONE | 1u << TG_NORM_RMS), TG_BIAS, TG_INIT_ZERO, false},
        {"running_mean", 1u << TG_NORM_BATCH, TG_BIAS, TG_INIT_ZERO, true},
        {"running_var", 1u << TG_NORM_BATCH, TG_BIAS, TG_INIT_ONE, true},
    };
    tg_status status = TG_OK;
    for (size_t i = 0; i < sizeof row / sizeof *row && status == TG_OK; i++) {
        char name[NAME_BYTES];
        int index;
        if ((row[i].norms >> model->config.norm & 1) == 0)
            continue;
        snprintf(name, sizeof name, "%s.%s", part, row[i].name);
        status = row[i].statistic ? tg_model_declare_statistic(model, &index, name, cols, row[i].init)
                                  : tg_model_declare(model, &index, name, 1, cols, row[i].role, row[i].init, true);
    }
    return status;
}

int tg_part_norm(tg_model *model, tg_graph *graph, const char *part, int x)
{
    const tg_model_config *c = &model->config;
    const int gain = tg_model_index(model, "%s.weight", part), bias = tg_model_index(model, "%s.bias", part);
    switch (c->norm) {
    case TG_NORM_LAYER:
        return tg_layernorm(graph, part, x, gain, bias, c->eps);
    case TG_NORM_RMS:
        return tg_rmsnorm(graph, part, x, gain, c->eps);
    case TG_NORM_BATCH:
        return tg_batchnorm(graph, part, x, gain, bias, tg_model_index(model, "%s.running_mean", part),
                            tg_model_index(model, "%s.running_var", part), c->eps);
    case TG_NORM_GROUP:
        return tg_groupnorm(graph, part, x, gain, bias, c->groups, c->eps);
    case TG_NORM_INSTANCE:
        return tg_groupnorm(graph, part, x, gain, bias, x == TG_NONE ? 1 : graph->tensor[x].cols, c->eps);
    default:
        return x;
    }
}

tg_status tg_part_check_groups(const tg_model_config *config)
{
    if (config->norm != TG_NORM_GROUP || config->width % config->groups == 0)
        return TG_OK;
    return tg_fail(TG_EINVAL, "%s: a width of %zu does not fall into %zu groups", config->info->name, config->width,
                   config->groups);
}

void tg_part_output(tg_model *model, tg_graph *graph, const char *part, int x)
{
    if (model->config.task == TG_TASK_CLASSIFICATION)
        tg_head(graph, part, x, tg_model_index(model, "%s.weight", part), tg_model_index(model, "%s.bias", part), 0.0);
    else
        tg_mse(graph, "loss", tg_part_linear(model, graph, part, x));
}

tg_status tg_part_declare_alone(tg_model *model)
{
    return tg_part_declare_linear(model, "linear", model->config.outputs, model->config.features, TG_INIT_XAVIER, true);
}

tg_status tg_part_build_alone(tg_model *model, tg_graph *graph)
{
    tg_part_output(model, graph, "linear", tg_features(graph, "features", model->config.features));
    return TG_OK;
}

tg_status tg_part_declare_decoder(tg_model *model, tg_status (*block)(tg_model *model, size_t layer))
{
    const tg_model_config *c = &model->config;
    int index;
    tg_status status = tg_model_declare(model, &index, "model.embed_tokens.weight", c->vocab, c->width,
                                        c->tied ? TG_MATRIX : TG_EMBEDDING, TG_INIT_NORMAL, false);
    if (status != TG_OK)
        return status;
    model->weight[index].param.many_uses = c->tied;
    for (size_t layer = 0; layer < c->layers && status == TG_OK; layer++)
        status = block(model, layer);
    if (status == TG_OK)
        status = tg_model_declare(model, &index, "model.norm.weight", 1, c->width, TG_GAIN, TG_INIT_ONE, true);
    if (status == TG_OK && !c->tied)
        status =
            tg_model_declare(model, &index, "lm_head.weight", c->vocab, c->width, TG_MATRIX, TG_INIT_NORMAL, false);
    return status;
}

tg_status tg_part_build_decoder(tg_model *model, tg_graph *graph,
                                int (*block)(tg_model *model, tg_graph *graph, size_t layer, int x))
{
    const tg_model_config *c = &model->config;
    const int tokens = tg_model_index(model, "model.embed_tokens.weight");
    int x = tg_embedding(graph, "embed_tokens", tokens, TG_NONE, TG_NONE);
    x = tg_dropout(graph, "embed_tokens.dropout", x, c->dropout);
    for (size_t layer = 0; layer < c->layers; layer++) {
        tg_graph_block_begin(graph);
        x = block(model, graph, layer, x);
        tg_graph_block_end(graph);
    }
    x = tg_rmsnorm(graph, "norm", x, tg_model_index(model, "model.norm.weight"), c->eps);
    tg_head(graph, "lm_head", x, c->tied ? tokens : tg_model_index(model, "lm_head.weight"), TG_NONE, 0.0);
    return TG_OK;
}
