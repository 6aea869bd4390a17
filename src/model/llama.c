/* llama.c -- Llama (Touvron et al. 2023, arXiv:2302.13971; grouped queries: Ainslie et al. 2023, arXiv:2305.13245), as
 * Hugging Face's LlamaForCausalLM.
 *
 *   x = embed_tokens[token]
 *   every block:   n = rmsnorm(x)    x += o_proj(attention(rope(q_proj n), rope(k_proj n), v_proj n))
 *                  n = rmsnorm(x)    x += down_proj(silu(gate_proj n) * up_proj n)
 *   logits = W rmsnorm(x),   W = lm_head or embed_tokens (tied)
 *
 * Kernels are stored (out, in); biases only with attention_bias and mlp_bias. Rotary positions turn the halves of a
 * head (rotate_half), stretched as layer/rope.h says. `hidden` is by default 8/3 width, rounded up to a multiple of 32:
 * as many weights as a plain network of 4 width has. Dropout, which the original has not, follows the embedding and
 * both projections; config.json keeps it as resid_pdrop. */
#include <jansson.h>
#include <stdio.h>

#include "base/fail.h"
#include "base/memory.h"
#include "layer/layers.h"
#include "model/model.h"
#include "model/parts.h"
#include "model/rope.h"

#define NAME_BYTES 96
#define HIDDEN_MULTIPLE 32

static const tg_option options[] = {
    TG_MODEL_LAYERS(4),
    TG_MODEL_HEADS(4),
    TG_MODEL_KV_HEADS,
    TG_MODEL_HEAD_DIM,
    TG_MODEL_WIDTH(128),
    TG_MODEL_HIDDEN("features inside the gated network (0: 8/3 width, rounded up to a multiple of 32)"),
    TG_MODEL_CONTEXT(64),
    TG_MODEL_ROPE_THETA(10000),
    TG_MODEL_DROPOUT,
    TG_MODEL_EPS(1e-5),
    TG_MODEL_INIT_STD(0.02),
    TG_MODEL_SWITCH("attention_bias", "biases of queries, keys, values and attention's output"),
    TG_MODEL_SWITCH("mlp_bias", "biases of the gated network"),
    TG_MODEL_TIED(0),
};

#define FIELD(name) offsetof(tg_model_config, name)
static const tg_config_key keys[] = {
    {.key = "vocab_size", .offset = FIELD(vocab), .kind = TG_KEY_SIZE, .required = true},
    {.key = "max_position_embeddings", .offset = FIELD(context), .kind = TG_KEY_SIZE, .absent = 2048},
    {.key = "num_hidden_layers", .offset = FIELD(layers), .kind = TG_KEY_SIZE, .required = true},
    {.key = "num_attention_heads", .offset = FIELD(heads), .kind = TG_KEY_SIZE, .required = true},
    {.key = "num_key_value_heads", .offset = FIELD(kv_heads), .kind = TG_KEY_SIZE},
    {.key = "head_dim", .offset = FIELD(head_dim), .kind = TG_KEY_SIZE},
    {.key = "hidden_size", .offset = FIELD(width), .kind = TG_KEY_SIZE, .required = true},
    {.key = "intermediate_size", .offset = FIELD(hidden), .kind = TG_KEY_SIZE, .required = true},
    {.key = "rms_norm_eps", .offset = FIELD(eps), .kind = TG_KEY_REAL, .absent = 1e-6},
    {.key = "rope_theta", .offset = FIELD(rope_theta), .kind = TG_KEY_REAL, .absent = 10000},
    {.key = "rope_parameters.rope_theta", .offset = FIELD(rope_theta), .kind = TG_KEY_REAL, .alias = true},
    {.key = "resid_pdrop", .offset = FIELD(dropout), .kind = TG_KEY_REAL},
    {.key = "initializer_range", .offset = FIELD(init_std), .kind = TG_KEY_REAL, .absent = 0.02},
    {.key = "attention_bias", .offset = FIELD(attention_bias), .kind = TG_KEY_BOOL},
    {.key = "mlp_bias", .offset = FIELD(mlp_bias), .kind = TG_KEY_BOOL},
    {.key = "tie_word_embeddings", .offset = FIELD(tied), .kind = TG_KEY_BOOL},
};

static const tg_config_constant constant[] = {
    {"hidden_act", "[\"silu\", \"swish\"]"},
};

static const char *const ignored[] = {".rotary_emb.inv_freq", NULL}; /* kept by old files */

static tg_status complete(tg_model_config *config)
{
    if (config->kv_heads == 0)
        config->kv_heads = config->heads;
    if (config->heads % config->kv_heads != 0)
        return tg_fail(TG_EINVAL, "llama: heads %zu is no multiple of kv_heads %zu", config->heads, config->kv_heads);
    if (config->width % config->heads != 0) /* not needed when head_dim is given, but transformers insists */
        return tg_fail(TG_EINVAL, "llama: width %zu is no multiple of heads %zu", config->width, config->heads);
    if (config->head_dim == 0)
        config->head_dim = config->width / config->heads;
    if (config->head_dim % 2 != 0)
        return tg_fail(TG_EINVAL, "llama: head_dim must be even for rotary positions, not %zu", config->head_dim);
    if (config->hidden == 0)
        config->hidden = tg_round_up((8 * config->width + 2) / 3, HIDDEN_MULTIPLE);
    return TG_OK;
}

/* With its bias where the configuration has them: `part` begins with "self_attn" or "mlp". */
static tg_status declare_matrix(tg_model *model, size_t layer, const char *part, size_t out, size_t in, tg_init init)
{
    const bool biased = *part == 's' ? model->config.attention_bias : model->config.mlp_bias;
    char name[NAME_BYTES];
    int index;
    snprintf(name, sizeof name, "model.layers.%zu.%s.weight", layer, part);
    const tg_status status = tg_model_declare(model, &index, name, out, in, TG_MATRIX, init, false);
    if (status != TG_OK)
        return status;
    model->weight[index].param.layer = TG_LAYER_OUT_BY_IN;
    if (!biased)
        return TG_OK;
    snprintf(name, sizeof name, "model.layers.%zu.%s.bias", layer, part);
    return tg_model_declare_bias(model, index, TG_LAYER_OUT_BY_IN, name, out);
}

static tg_status declare_norm(tg_model *model, size_t layer, const char *part)
{
    char name[NAME_BYTES];
    int index;
    snprintf(name, sizeof name, "model.layers.%zu.%s.weight", layer, part);
    return tg_model_declare(model, &index, name, 1, model->config.width, TG_GAIN, TG_INIT_ONE, true);
}

static tg_status declare_block(tg_model *model, size_t l)
{
    const size_t width = model->config.width, hidden = model->config.hidden;
    const size_t queries = model->config.heads * model->config.head_dim;
    const size_t keys_width = model->config.kv_heads * model->config.head_dim;
    tg_status status;
    if ((status = declare_norm(model, l, "input_layernorm")) != TG_OK ||
        (status = declare_matrix(model, l, "self_attn.q_proj", queries, width, TG_INIT_NORMAL)) != TG_OK ||
        (status = declare_matrix(model, l, "self_attn.k_proj", keys_width, width, TG_INIT_NORMAL)) != TG_OK ||
        (status = declare_matrix(model, l, "self_attn.v_proj", keys_width, width, TG_INIT_NORMAL)) != TG_OK ||
        (status = declare_matrix(model, l, "self_attn.o_proj", width, queries, TG_INIT_RESIDUAL)) != TG_OK ||
        (status = declare_norm(model, l, "post_attention_layernorm")) != TG_OK ||
        (status = declare_matrix(model, l, "mlp.gate_proj", hidden, width, TG_INIT_NORMAL)) != TG_OK ||
        (status = declare_matrix(model, l, "mlp.up_proj", hidden, width, TG_INIT_NORMAL)) != TG_OK)
        return status;
    return declare_matrix(model, l, "mlp.down_proj", width, hidden, TG_INIT_RESIDUAL);
}

static tg_status declare(tg_model *model) { return tg_part_declare_decoder(model, declare_block); }

static int linear(tg_model *model, tg_graph *graph, size_t layer, const char *part, int x)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "layers.%zu.%s", layer, part);
    return tg_linear(graph, name, x, tg_model_index(model, "model.%s.weight", name),
                     tg_model_index(model, "model.%s.bias", name), false);
}

static int norm(tg_model *model, tg_graph *graph, size_t layer, const char *part, int x)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "layers.%zu.%s", layer, part);
    return tg_rmsnorm(graph, name, x, tg_model_index(model, "model.%s.weight", name), model->config.eps);
}

static int build_attention(tg_model *model, tg_graph *graph, size_t layer, int x)
{
    const tg_model_config *c = &model->config;
    const tg_attention_config attention = {.heads = c->heads,
                                           .kv_heads = c->kv_heads,
                                           .head_dim = c->head_dim,
                                           .rope_theta = c->rope_theta,
                                           .causal = true,
                                           .rope = &c->rope};
    char name[NAME_BYTES];
    const int n = norm(model, graph, layer, "input_layernorm", x);
    const int q = linear(model, graph, layer, "self_attn.q_proj", n);
    const int k = linear(model, graph, layer, "self_attn.k_proj", n);
    const int v = linear(model, graph, layer, "self_attn.v_proj", n);
    snprintf(name, sizeof name, "layers.%zu.self_attn", layer);
    int y = tg_attention(graph, name, q, k, v, &attention);
    y = linear(model, graph, layer, "self_attn.o_proj", y);
    snprintf(name, sizeof name, "layers.%zu.self_attn.dropout", layer);
    y = tg_dropout(graph, name, y, c->dropout);
    snprintf(name, sizeof name, "layers.%zu.self_attn.add", layer);
    return tg_add(graph, name, x, y);
}

static int build_network(tg_model *model, tg_graph *graph, size_t layer, int x)
{
    char name[NAME_BYTES];
    const int n = norm(model, graph, layer, "post_attention_layernorm", x);
    const int gate = linear(model, graph, layer, "mlp.gate_proj", n);
    const int up = linear(model, graph, layer, "mlp.up_proj", n);
    snprintf(name, sizeof name, "layers.%zu.mlp.gate", layer);
    int y = tg_gated(graph, name, gate, up);
    y = linear(model, graph, layer, "mlp.down_proj", y);
    snprintf(name, sizeof name, "layers.%zu.mlp.dropout", layer);
    y = tg_dropout(graph, name, y, model->config.dropout);
    snprintf(name, sizeof name, "layers.%zu.mlp.add", layer);
    return tg_add(graph, name, x, y);
}

static int build_block(tg_model *model, tg_graph *graph, size_t layer, int x)
{
    return build_network(model, graph, layer, build_attention(model, graph, layer, x));
}

static tg_status build(tg_model *model, tg_graph *graph) { return tg_part_build_decoder(model, graph, build_block); }

static void constants(const tg_model_config *config, void *json_object)
{
    tg_rope_write(config, json_object);
    json_object_set_new(json_object, "attention_dropout", json_real(0.0));
}

const tg_model_type tg_model_llama = {
    .info = {.name = "llama",
             .help = "RMS norm, rotary positions, SwiGLU, grouped queries",
             .architecture = "LlamaForCausalLM",
             .tasks = TG_CAN(TG_TASK_LANGUAGE),
             .options = {options, sizeof options / sizeof *options}},
    .hf_type = "llama",
    .keys = keys,
    .key_count = sizeof keys / sizeof *keys,
    .constant = constant,
    .constant_count = sizeof constant / sizeof *constant,
    .prefix = "model.",
    .head = "lm_head.weight",
    .ignored = ignored,
    .complete = complete,
    .declare = declare,
    .build = build,
    .read_more = tg_rope_read,
    .constants = constants,
};
