/* gau.c -- a language model of gated attention units (Hua et al. 2022, arXiv:2202.10447), which take the place of both
 * attention and network of a transformer: two of them are about as large as one of its blocks.
 *
 *   x = embed_tokens[token]
 *   every unit:   n = rmsnorm(x)    x += o_proj(silu(u_proj n) * A silu(v_proj n)),   A of z_proj n: layer/gau.c
 *   logits = W rmsnorm(x),   W = embed_tokens (tied) or lm_head
 *
 * As Su Jianlin has it in GAU-alpha: positions are rotations, no biases but the offsets of queries and keys, `hidden` is
 * 2 width. His norms follow the sum and have no gains; here they come before, as in the paper. Dropout follows the
 * embedding and every o_proj. What makes u, v and z of n begins with Glorot's variance, which keeps scores near 1 at any
 * width: with a smaller one their squares are nothing, and so is what they learn from.
 *
 * gau predicts the next token; gau_encoder sees both sides of a token and fills in masked ones. */
#include <stdio.h>

#include "base/fail.h"
#include "layer/layers.h"
#include "model/model.h"
#include "model/parts.h"

#define NAME_BYTES 96
#define MOST_KEY 128 /* features, unless more are asked for: the paper's */
#define ATTENTION_CHOICES "squared_relu|softmax"

static const tg_option options[] = {
    TG_MODEL_LAYERS(8),
    TG_MODEL_SIZE("head_dim", 0, 0, 65536, "features of queries and keys (0: width, but 128 at most)"),
    TG_MODEL_WIDTH(128),
    TG_MODEL_HIDDEN("features of gates and values (0: 2 width)"),
    TG_MODEL_CONTEXT(64),
    TG_MODEL_CHOICE("attention", TG_GAU_SQUARED_RELU, ATTENTION_CHOICES, TG_GAU_COUNT - 1, "how scores become weights"),
    TG_MODEL_ROPE_THETA(10000),
    TG_MODEL_DROPOUT,
    TG_MODEL_EPS(1e-5),
    TG_MODEL_INIT_STD(0.02),
    TG_MODEL_TIED(1),
};

#define FIELD(name) offsetof(tg_model_config, name)
static const tg_config_key keys[] = {
    {.key = "vocab_size", .offset = FIELD(vocab), .kind = TG_KEY_SIZE, .required = true},
    {.key = "max_position_embeddings", .offset = FIELD(context), .kind = TG_KEY_SIZE, .required = true},
    {.key = "num_hidden_layers", .offset = FIELD(layers), .kind = TG_KEY_SIZE, .required = true},
    {.key = "attention_key_size", .offset = FIELD(head_dim), .kind = TG_KEY_SIZE, .required = true},
    {.key = "hidden_size", .offset = FIELD(width), .kind = TG_KEY_SIZE, .required = true},
    {.key = "intermediate_size", .offset = FIELD(hidden), .kind = TG_KEY_SIZE, .required = true},
    {.key = "attention", .offset = FIELD(attention), .kind = TG_KEY_CHOICE, .choices = ATTENTION_CHOICES,
     .required = true},
    {.key = "rope_theta", .offset = FIELD(rope_theta), .kind = TG_KEY_REAL, .absent = 10000},
    {.key = "resid_pdrop", .offset = FIELD(dropout), .kind = TG_KEY_REAL},
    {.key = "rms_norm_eps", .offset = FIELD(eps), .kind = TG_KEY_REAL, .absent = 1e-5},
    {.key = "initializer_range", .offset = FIELD(init_std), .kind = TG_KEY_REAL, .absent = 0.02},
    {.key = "tie_word_embeddings", .offset = FIELD(tied), .kind = TG_KEY_BOOL, .absent = 1},
};

static tg_status complete(tg_model_config *config)
{
    if (config->head_dim == 0)
        config->head_dim = config->width / 2 * 2 < MOST_KEY ? config->width / 2 * 2 : MOST_KEY;
    if (config->head_dim == 0 || config->head_dim % 2 != 0)
        return tg_fail(TG_EINVAL, "%s: head_dim must be even for rotary positions, not %zu", config->info->name,
                       config->head_dim);
    if (config->hidden == 0)
        config->hidden = 2 * config->width;
    config->heads = config->kv_heads = 1;
    config->value_dim = config->hidden;
    return TG_OK;
}

/* ---- weights ---- */

/* The parts of a unit, in file order; a vector has out 0. */
static const struct part {
    const char *name;
    size_t in, out; /* offsets in tg_model_config */
    tg_role role;
    tg_init init;
} parts[] = {
    {"norm.weight", FIELD(width), 0, TG_GAIN, TG_INIT_ONE},
    {"u_proj.weight", FIELD(width), FIELD(hidden), TG_MATRIX, TG_INIT_XAVIER},
    {"v_proj.weight", FIELD(width), FIELD(hidden), TG_MATRIX, TG_INIT_XAVIER},
    {"z_proj.weight", FIELD(width), FIELD(head_dim), TG_MATRIX, TG_INIT_XAVIER},
    {"q_scale.weight", FIELD(head_dim), 0, TG_GAIN, TG_INIT_ONE},
    {"q_scale.bias", FIELD(head_dim), 0, TG_BIAS, TG_INIT_ZERO},
    {"k_scale.weight", FIELD(head_dim), 0, TG_GAIN, TG_INIT_ONE},
    {"k_scale.bias", FIELD(head_dim), 0, TG_BIAS, TG_INIT_ZERO},
    {"o_proj.weight", FIELD(hidden), FIELD(width), TG_MATRIX, TG_INIT_RESIDUAL},
};

static size_t size_at(const tg_model *model, size_t offset)
{
    return *(const size_t *)(const void *)((const char *)&model->config + offset);
}

static tg_status declare_unit(tg_model *model, size_t layer)
{
    tg_status status = TG_OK;
    for (size_t i = 0; status == TG_OK && i < sizeof parts / sizeof *parts; i++) {
        const struct part *p = &parts[i];
        const size_t out = p->out == 0 ? 1 : size_at(model, p->out);
        char name[NAME_BYTES];
        int index;
        snprintf(name, sizeof name, "model.layers.%zu.%s", layer, p->name);
        status = tg_model_declare(model, &index, name, out, size_at(model, p->in), p->role, p->init, p->out == 0);
        if (status == TG_OK && p->out != 0)
            model->weight[index].param.layer = TG_LAYER_OUT_BY_IN;
    }
    return status;
}

static tg_status declare(tg_model *model) { return tg_part_declare_decoder(model, declare_unit); }

/* ---- graph ---- */

static int linear(tg_model *model, tg_graph *graph, size_t layer, const char *part, int x)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "layers.%zu.%s", layer, part);
    return tg_linear(graph, name, x, tg_model_index(model, "model.%s.weight", name), TG_NONE, false);
}

static int build_unit(tg_model *model, tg_graph *graph, size_t layer, int x)
{
    static const char *const scales[4] = {"q_scale.weight", "q_scale.bias", "k_scale.weight", "k_scale.bias"};
    const tg_model_config *c = &model->config;
    const tg_gau_config config = {
        .rope_theta = c->rope_theta, .causal = !c->info->masked, .kind = (tg_gau_kind)c->attention};
    char name[NAME_BYTES];
    int weight[4];
    for (int i = 0; i < 4; i++)
        weight[i] = tg_model_index(model, "model.layers.%zu.%s", layer, scales[i]);
    snprintf(name, sizeof name, "layers.%zu.norm", layer);
    const int n = tg_rmsnorm(graph, name, x, tg_model_index(model, "model.%s.weight", name), c->eps);
    const int u = linear(model, graph, layer, "u_proj", n);
    const int v = linear(model, graph, layer, "v_proj", n);
    const int z = linear(model, graph, layer, "z_proj", n);
    snprintf(name, sizeof name, "layers.%zu.gau", layer);
    int y = tg_gau(graph, name, u, v, z, weight, &config);
    y = linear(model, graph, layer, "o_proj", y);
    snprintf(name, sizeof name, "layers.%zu.dropout", layer);
    y = tg_dropout(graph, name, y, c->dropout);
    snprintf(name, sizeof name, "layers.%zu.add", layer);
    return tg_add(graph, name, x, y);
}

static tg_status build(tg_model *model, tg_graph *graph) { return tg_part_build_decoder(model, graph, build_unit); }

const tg_model_type tg_model_gau = {
    .info = {.name = "gau",
             .help = "gated attention units: one head, rotary positions, RMS norm",
             .architecture = "",
             .tasks = TG_CAN(TG_TASK_LANGUAGE),
             .options = {options, sizeof options / sizeof *options}},
    .hf_type = "gau",
    .keys = keys,
    .key_count = sizeof keys / sizeof *keys,
    .prefix = "model.",
    .head = "lm_head.weight",
    .complete = complete,
    .declare = declare,
    .build = build,
};

const tg_model_type tg_model_gau_encoder = {
    .info = {.name = "gau_encoder",
             .help = "gau that sees both sides of a token; learns to fill in masked ones",
             .architecture = "",
             .tasks = TG_CAN(TG_TASK_LANGUAGE),
             .masked = true,
             .options = {options, sizeof options / sizeof *options}},
    .hf_type = "gau_encoder",
    .keys = keys,
    .key_count = sizeof keys / sizeof *keys,
    .prefix = "model.",
    .head = "lm_head.weight",
    .complete = complete,
    .declare = declare,
    .build = build,
};
