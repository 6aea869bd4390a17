/* gpt2.c -- GPT-2 (Radford et al. 2019), as Hugging Face's GPT2LMHeadModel.
 *
 *   x = wte[token] + wpe[position]
 *   every block:   x += c_proj(attention(c_attn(ln_1 x)))      x += c_proj(gelu_tanh(c_fc(ln_2 x)))
 *   logits = W ln_f(x),   W = wte (tied) or lm_head
 *
 * Kernels are stored (in, out), biases everywhere but in the output product. In training, dropout follows the embedding
 * and both projections, as there; of the attention probabilities nothing is dropped, and attn_pdrop is written as 0. */
#include <jansson.h>
#include <stdio.h>

#include "base/fail.h"
#include "layer/layers.h"
#include "model/model.h"

#define NAME_BYTES 96

static const tg_option options[] = {
    TG_MODEL_LAYERS(4),
    TG_MODEL_HEADS(4),
    TG_MODEL_WIDTH(128),
    TG_MODEL_HIDDEN("features inside the two-layer network (0: 4 width)"),
    TG_MODEL_CONTEXT(64),
    TG_MODEL_DROPOUT,
    TG_MODEL_EPS(1e-5),
    TG_MODEL_INIT_STD(0.02),
    TG_MODEL_TIED(1),
};

#define FIELD(name) offsetof(tg_model_config, name)
static const tg_config_key keys[] = {
    {.key = "vocab_size", .offset = FIELD(vocab), .kind = TG_KEY_SIZE, .required = true},
    {.key = "n_positions", .offset = FIELD(context), .kind = TG_KEY_SIZE, .absent = 1024},
    {.key = "n_ctx", .offset = FIELD(context), .kind = TG_KEY_SIZE, .alias = true},
    {.key = "n_layer", .offset = FIELD(layers), .kind = TG_KEY_SIZE, .required = true},
    {.key = "n_head", .offset = FIELD(heads), .kind = TG_KEY_SIZE, .required = true},
    {.key = "n_embd", .offset = FIELD(width), .kind = TG_KEY_SIZE, .required = true},
    {.key = "n_inner", .offset = FIELD(hidden), .kind = TG_KEY_SIZE},
    {.key = "layer_norm_epsilon", .offset = FIELD(eps), .kind = TG_KEY_REAL, .absent = 1e-5},
    {.key = "embd_pdrop", .offset = FIELD(dropout), .kind = TG_KEY_REAL, .absent = 0.1},
    {.key = "resid_pdrop", .offset = FIELD(dropout), .kind = TG_KEY_REAL, .absent = 0.1},
    {.key = "initializer_range", .offset = FIELD(init_std), .kind = TG_KEY_REAL, .absent = 0.02},
    {.key = "tie_word_embeddings", .offset = FIELD(tied), .kind = TG_KEY_BOOL, .absent = 1},
};

static const tg_config_constant constant[] = {
    {"activation_function", "[\"gelu_new\", \"gelu_pytorch_tanh\"]"},
    {"scale_attn_weights", "[true]"},
    {"scale_attn_by_inverse_layer_idx", "[false]"},
    {"reorder_and_upcast_attn", "[false, true]"}, /* a matter of rounding */
};

static const char *const ignored[] = {".attn.bias", ".attn.masked_bias", NULL}; /* causal masks of old files */

/* A kernel (in, out) and its bias (out) of block `layer`. */
static tg_status declare_linear(tg_model *model, size_t layer, const char *part, size_t in, size_t out, tg_init init)
{
    char name[NAME_BYTES];
    int index;
    snprintf(name, sizeof name, "transformer.h.%zu.%s.weight", layer, part);
    tg_status status = tg_model_declare(model, &index, name, in, out, TG_MATRIX, init, false);
    if (status != TG_OK)
        return status;
    model->weight[index].param.fan_in = in;
    snprintf(name, sizeof name, "transformer.h.%zu.%s.bias", layer, part);
    return tg_model_declare_bias(model, index, TG_LAYER_IN_BY_OUT, name, out);
}

/* `part` names the norm: "transformer.ln_f". */
static tg_status declare_norm(tg_model *model, const char *part)
{
    char name[NAME_BYTES];
    int index;
    snprintf(name, sizeof name, "%s.weight", part);
    const tg_status status =
        tg_model_declare(model, &index, name, 1, model->config.width, TG_GAIN, TG_INIT_ONE, true);
    if (status != TG_OK)
        return status;
    snprintf(name, sizeof name, "%s.bias", part);
    return tg_model_declare(model, &index, name, 1, model->config.width, TG_BIAS, TG_INIT_ZERO, true);
}

static tg_status declare_block(tg_model *model, size_t layer)
{
    const size_t width = model->config.width, hidden = model->config.hidden;
    char norm[NAME_BYTES / 2];
    tg_status status;
    snprintf(norm, sizeof norm, "transformer.h.%zu.ln_1", layer);
    if ((status = declare_norm(model, norm)) != TG_OK ||
        (status = declare_linear(model, layer, "attn.c_attn", width, 3 * width, TG_INIT_NORMAL)) != TG_OK ||
        (status = declare_linear(model, layer, "attn.c_proj", width, width, TG_INIT_RESIDUAL)) != TG_OK)
        return status;
    snprintf(norm, sizeof norm, "transformer.h.%zu.ln_2", layer);
    if ((status = declare_norm(model, norm)) != TG_OK ||
        (status = declare_linear(model, layer, "mlp.c_fc", width, hidden, TG_INIT_NORMAL)) != TG_OK)
        return status;
    return declare_linear(model, layer, "mlp.c_proj", hidden, width, TG_INIT_RESIDUAL);
}

static tg_status declare(tg_model *model)
{
    const tg_model_config *c = &model->config;
    int index;
    tg_status status = tg_model_declare(model, &index, "transformer.wte.weight", c->vocab, c->width,
                                        c->tied ? TG_MATRIX : TG_EMBEDDING, TG_INIT_NORMAL, false);
    if (status != TG_OK)
        return status;
    model->weight[index].param.many_uses = c->tied;
    status = tg_model_declare(model, &index, "transformer.wpe.weight", c->context, c->width, TG_EMBEDDING,
                              TG_INIT_NORMAL, false);
    for (size_t layer = 0; layer < c->layers && status == TG_OK; layer++)
        status = declare_block(model, layer);
    if (status == TG_OK)
        status = declare_norm(model, "transformer.ln_f");
    if (status == TG_OK && !c->tied)
        status = tg_model_declare(model, &index, "lm_head.weight", c->vocab, c->width, TG_MATRIX, TG_INIT_NORMAL, false);
    return status;
}

/* The operation of block `layer`, with its weight and bias; `part` names both: "attn.c_attn". */
static int linear(tg_model *model, tg_graph *graph, size_t layer, const char *part, int x)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "h.%zu.%s", layer, part);
    return tg_linear(graph, name, x, tg_model_index(model, "transformer.%s.weight", name),
                     tg_model_index(model, "transformer.%s.bias", name), true);
}

static int norm(tg_model *model, tg_graph *graph, const char *name, int x)
{
    return tg_layernorm(graph, name, x, tg_model_index(model, "transformer.%s.weight", name),
                        tg_model_index(model, "transformer.%s.bias", name), model->config.eps);
}

static int build_attention(tg_model *model, tg_graph *graph, size_t layer, int x)
{
    const tg_model_config *c = &model->config;
    const tg_attention_config attention = {
        .heads = c->heads, .kv_heads = c->kv_heads, .head_dim = c->head_dim, .causal = true};
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "h.%zu.ln_1", layer);
    int y = norm(model, graph, name, x);
    y = linear(model, graph, layer, "attn.c_attn", y);
    snprintf(name, sizeof name, "h.%zu.attn", layer);
    y = tg_attention(graph, name, y, TG_NONE, TG_NONE, &attention);
    y = linear(model, graph, layer, "attn.c_proj", y);
    snprintf(name, sizeof name, "h.%zu.attn.dropout", layer);
    y = tg_dropout(graph, name, y, c->dropout);
    snprintf(name, sizeof name, "h.%zu.attn.add", layer);
    return tg_add(graph, name, x, y);
}

static int build_network(tg_model *model, tg_graph *graph, size_t layer, int x)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "h.%zu.ln_2", layer);
    int y = norm(model, graph, name, x);
    y = linear(model, graph, layer, "mlp.c_fc", y);
    snprintf(name, sizeof name, "h.%zu.mlp.act", layer);
    y = tg_activation(graph, name, y, TG_GELU_TANH);
    y = linear(model, graph, layer, "mlp.c_proj", y);
    snprintf(name, sizeof name, "h.%zu.mlp.dropout", layer);
    y = tg_dropout(graph, name, y, model->config.dropout);
    snprintf(name, sizeof name, "h.%zu.mlp.add", layer);
    return tg_add(graph, name, x, y);
}

static tg_status build(tg_model *model, tg_graph *graph)
{
    const int tokens = tg_model_index(model, "transformer.wte.weight");
    int x = tg_embedding(graph, "wte", tokens, tg_model_index(model, "transformer.wpe.weight"), TG_NONE);
    x = tg_dropout(graph, "wte.dropout", x, model->config.dropout);
    for (size_t layer = 0; layer < model->config.layers; layer++) {
        tg_graph_block_begin(graph);
        x = build_attention(model, graph, layer, x);
        x = build_network(model, graph, layer, x);
        tg_graph_block_end(graph);
    }
    x = norm(model, graph, "ln_f", x);
    tg_head(graph, "lm_head", x, model->config.tied ? tokens : tg_model_index(model, "lm_head.weight"), TG_NONE, 0.0);
    return TG_OK;
}

#define END_OF_TEXT 50256 /* GPT-2's token for it */

static void constants(const tg_model_config *config, void *json_object)
{
    json_object_set_new(json_object, "attn_pdrop", json_real(0.0));
    if (config->vocab > END_OF_TEXT)
        return; /* transformers fills in GPT-2's own: right for its vocabulary, a warning for a smaller one */
    json_object_set_new(json_object, "bos_token_id", json_null());
    json_object_set_new(json_object, "eos_token_id", json_null());
}

const tg_model_type tg_model_gpt2 = {
    .info = {.name = "gpt2",
             .help = "layer norm, learned positions, GELU",
             .architecture = "GPT2LMHeadModel",
             .tasks = TG_CAN(TG_TASK_LANGUAGE),
             .options = {options, sizeof options / sizeof *options}},
    .hf_type = "gpt2",
    .keys = keys,
    .key_count = sizeof keys / sizeof *keys,
    .constant = constant,
    .constant_count = sizeof constant / sizeof *constant,
    .prefix = "transformer.",
    .head = "lm_head.weight",
    .positions = "transformer.wpe.weight",
    .ignored = ignored,
    .complete = tg_model_complete_equal_heads,
    .declare = declare,
    .build = build,
    .constants = constants,
};
