/* bert.c -- BERT (Devlin et al. 2019, arXiv:1810.04805), as Hugging Face's BertForMaskedLM: an encoder that sees the
 * whole window and says what stands at places that were masked.
 *
 *   x = layernorm(word[token] + position[t] + segment[0])
 *   every block:   x = layernorm(x + dense(attention(query x, key x, value x)))
 *                  x = layernorm(x + dense(gelu(intermediate x)))
 *   logits = W layernorm(gelu(transform x)) + b,   W = word (tied) or decoder
 *
 * Kernels are stored (out, in), with biases everywhere; GELU is the exact one; a text is one segment, the first. In
 * training, dropout follows the embedding and both projections, as there; of the attention probabilities nothing is
 * dropped, and attention_probs_dropout_prob is written as 0. The pooler and the next-sentence head of files are not
 * read. */
#include <jansson.h>
#include <stdio.h>

#include "base/fail.h"
#include "layer/layers.h"
#include "model/model.h"

#define NAME_BYTES 128
#define EMBEDDINGS "bert.embeddings"
#define TRANSFORM "cls.predictions.transform"
#define DECODER "cls.predictions.decoder.weight"

static const tg_option options[] = {
    TG_MODEL_LAYERS(4),      TG_MODEL_HEADS(4),
    TG_MODEL_WIDTH(128),     TG_MODEL_HIDDEN("features inside the two-layer network (0: 4 width)"),
    TG_MODEL_CONTEXT(64),    TG_MODEL_SIZE("segments", 2, 1, 1024, "rows of the segment table; a text is the first"),
    TG_MODEL_DROPOUT,        TG_MODEL_EPS(1e-12),
    TG_MODEL_INIT_STD(0.02), TG_MODEL_TIED(1),
};

#define FIELD(name) offsetof(tg_model_config, name)
static const tg_config_key keys[] = {
    {.key = "vocab_size", .offset = FIELD(vocab), .kind = TG_KEY_SIZE, .required = true},
    {.key = "max_position_embeddings", .offset = FIELD(context), .kind = TG_KEY_SIZE, .absent = 512},
    {.key = "num_hidden_layers", .offset = FIELD(layers), .kind = TG_KEY_SIZE, .required = true},
    {.key = "num_attention_heads", .offset = FIELD(heads), .kind = TG_KEY_SIZE, .required = true},
    {.key = "hidden_size", .offset = FIELD(width), .kind = TG_KEY_SIZE, .required = true},
    {.key = "intermediate_size", .offset = FIELD(hidden), .kind = TG_KEY_SIZE, .required = true},
    {.key = "type_vocab_size", .offset = FIELD(segments), .kind = TG_KEY_SIZE, .absent = 2},
    {.key = "layer_norm_eps", .offset = FIELD(eps), .kind = TG_KEY_REAL, .absent = 1e-12},
    {.key = "hidden_dropout_prob", .offset = FIELD(dropout), .kind = TG_KEY_REAL, .absent = 0.1},
    {.key = "initializer_range", .offset = FIELD(init_std), .kind = TG_KEY_REAL, .absent = 0.02},
    {.key = "tie_word_embeddings", .offset = FIELD(tied), .kind = TG_KEY_BOOL, .absent = 1},
};

static const tg_config_constant constant[] = {
    {"hidden_act", "[\"gelu\"]"},
    {"position_embedding_type", "[\"absolute\"]"},
    {"is_decoder", "[false]"},
    {"add_cross_attention", "[false]"},
};

/* Both names of the output's bias: the one that is no weight is a copy, or not used. */
static const char *const ignored[] = {"cls.predictions.bias",
                                      "cls.predictions.decoder.bias",
                                      ".position_ids",
                                      "pooler.dense.weight",
                                      "pooler.dense.bias",
                                      "cls.seq_relationship.weight",
                                      "cls.seq_relationship.bias",
                                      NULL};

static const tg_rename renames[] = {
    {".LayerNorm.gamma", ".LayerNorm.weight"}, {".LayerNorm.beta", ".LayerNorm.bias"}, {0}};

/* ---- weights ---- */

/* The parts of a block, in file order; a norm has out 0. */
static const struct part {
    const char *name;
    size_t in, out; /* offsets in tg_model_config */
} parts[] = {
    {"attention.self.query", FIELD(width), FIELD(width)}, {"attention.self.key", FIELD(width), FIELD(width)},
    {"attention.self.value", FIELD(width), FIELD(width)}, {"attention.output.dense", FIELD(width), FIELD(width)},
    {"attention.output.LayerNorm", FIELD(width), 0},      {"intermediate.dense", FIELD(width), FIELD(hidden)},
    {"output.dense", FIELD(hidden), FIELD(width)},        {"output.LayerNorm", FIELD(width), 0},
};

static size_t size_at(const tg_model *model, size_t offset)
{
    return *(const size_t *)(const void *)((const char *)&model->config + offset);
}

/* A kernel (out, in) and its bias (out); with out 0 gain and bias (in) of a norm. `part` names both. */
static tg_status declare_pair(tg_model *model, const char *part, size_t in, size_t out)
{
    char name[NAME_BYTES];
    int index;
    snprintf(name, sizeof name, "%s.weight", part);
    const tg_status status = out == 0
                                 ? tg_model_declare(model, &index, name, 1, in, TG_GAIN, TG_INIT_ONE, true)
                                 : tg_model_declare(model, &index, name, out, in, TG_MATRIX, TG_INIT_NORMAL, false);
    if (status != TG_OK)
        return status;
    snprintf(name, sizeof name, "%s.bias", part);
    return out != 0 ? tg_model_declare_bias(model, index, TG_LAYER_OUT_BY_IN, name, out)
                    : tg_model_declare(model, &index, name, 1, in, TG_BIAS, TG_INIT_ZERO, true);
}

static tg_status declare_block(tg_model *model, size_t layer)
{
    tg_status status = TG_OK;
    for (size_t i = 0; status == TG_OK && i < sizeof parts / sizeof *parts; i++) {
        char name[NAME_BYTES / 2];
        snprintf(name, sizeof name, "bert.encoder.layer.%zu.%s", layer, parts[i].name);
        status = declare_pair(model, name, size_at(model, parts[i].in),
                              parts[i].out == 0 ? 0 : size_at(model, parts[i].out));
    }
    return status;
}

static tg_status declare_embeddings(tg_model *model)
{
    const tg_model_config *c = &model->config;
    int index;
    tg_status status = tg_model_declare(model, &index, EMBEDDINGS ".word_embeddings.weight", c->vocab, c->width,
                                        c->tied ? TG_MATRIX : TG_EMBEDDING, TG_INIT_NORMAL, false);
    if (status != TG_OK)
        return status;
    model->weight[index].param.many_uses = c->tied;
    status = tg_model_declare(model, &index, EMBEDDINGS ".position_embeddings.weight", c->context, c->width,
                              TG_EMBEDDING, TG_INIT_NORMAL, false);
    if (status == TG_OK)
        status = tg_model_declare(model, &index, EMBEDDINGS ".token_type_embeddings.weight", c->segments, c->width,
                                  TG_EMBEDDING, TG_INIT_NORMAL, false);
    return status == TG_OK ? declare_pair(model, EMBEDDINGS ".LayerNorm", c->width, 0) : status;
}

/* transformers adds the decoder's own bias, which in a tied model is another name of the first. */
static const char *output_bias(const tg_model *model)
{
    return model->config.tied ? "cls.predictions.bias" : "cls.predictions.decoder.bias";
}

static tg_status declare(tg_model *model)
{
    const tg_model_config *c = &model->config;
    int index;
    tg_status status = declare_embeddings(model);
    for (size_t layer = 0; layer < c->layers && status == TG_OK; layer++)
        status = declare_block(model, layer);
    if (status == TG_OK)
        status = tg_model_declare(model, &index, output_bias(model), 1, c->vocab, TG_BIAS, TG_INIT_ZERO, true);
    if (status == TG_OK && !c->tied)
        status = tg_model_declare(model, &index, DECODER, c->vocab, c->width, TG_MATRIX, TG_INIT_NORMAL, false);
    if (status == TG_OK)
        status = declare_pair(model, TRANSFORM ".dense", c->width, c->width);
    return status == TG_OK ? declare_pair(model, TRANSFORM ".LayerNorm", c->width, 0) : status;
}

/* ---- graph ---- */

static int linear(tg_model *model, tg_graph *graph, const char *part, int x)
{
    return tg_linear(graph, part, x, tg_model_index(model, "%s.weight", part), tg_model_index(model, "%s.bias", part),
                     false);
}

static int norm(tg_model *model, tg_graph *graph, const char *part, int x)
{
    return tg_layernorm(graph, part, x, tg_model_index(model, "%s.weight", part),
                        tg_model_index(model, "%s.bias", part), model->config.eps);
}

static int block_linear(tg_model *model, tg_graph *graph, size_t layer, const char *part, int x)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "bert.encoder.layer.%zu.%s", layer, part);
    return linear(model, graph, name, x);
}

/* layernorm(x + dropout(dense y)); `part` has both: "attention.output". */
static int add_norm(tg_model *model, tg_graph *graph, size_t layer, const char *part, int x, int y)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "bert.encoder.layer.%zu.%s.dense", layer, part);
    y = linear(model, graph, name, y);
    snprintf(name, sizeof name, "layer.%zu.%s.dropout", layer, part);
    y = tg_dropout(graph, name, y, model->config.dropout);
    snprintf(name, sizeof name, "layer.%zu.%s.add", layer, part);
    y = tg_add(graph, name, x, y);
    snprintf(name, sizeof name, "bert.encoder.layer.%zu.%s.LayerNorm", layer, part);
    return norm(model, graph, name, y);
}

static int build_block(tg_model *model, tg_graph *graph, size_t layer, int x)
{
    const tg_model_config *c = &model->config;
    const tg_attention_config attention = {.heads = c->heads, .kv_heads = c->kv_heads, .head_dim = c->head_dim};
    char name[NAME_BYTES];
    const int q = block_linear(model, graph, layer, "attention.self.query", x);
    const int k = block_linear(model, graph, layer, "attention.self.key", x);
    const int v = block_linear(model, graph, layer, "attention.self.value", x);
    snprintf(name, sizeof name, "layer.%zu.attention", layer);
    int y = tg_attention(graph, name, q, k, v, &attention);
    x = add_norm(model, graph, layer, "attention.output", x, y);
    y = block_linear(model, graph, layer, "intermediate.dense", x);
    snprintf(name, sizeof name, "layer.%zu.intermediate.act", layer);
    y = tg_activation(graph, name, y, TG_GELU);
    return add_norm(model, graph, layer, "output", x, y);
}

static tg_status build(tg_model *model, tg_graph *graph)
{
    const int words = tg_model_index(model, EMBEDDINGS ".word_embeddings.weight");
    int x = tg_embedding(graph, "embeddings", words, tg_model_index(model, EMBEDDINGS ".position_embeddings.weight"),
                         tg_model_index(model, EMBEDDINGS ".token_type_embeddings.weight"));
    x = norm(model, graph, EMBEDDINGS ".LayerNorm", x);
    x = tg_dropout(graph, "embeddings.dropout", x, model->config.dropout);
    for (size_t layer = 0; layer < model->config.layers; layer++) {
        tg_graph_block_begin(graph);
        x = build_block(model, graph, layer, x);
        tg_graph_block_end(graph);
    }
    x = linear(model, graph, TRANSFORM ".dense", x);
    x = tg_activation(graph, TRANSFORM ".act", x, TG_GELU);
    x = norm(model, graph, TRANSFORM ".LayerNorm", x);
    tg_head(graph, "predictions", x, model->config.tied ? words : tg_model_index(model, DECODER),
            tg_model_index(model, "%s", output_bias(model)), 0.0);
    return TG_OK;
}

static void constants(const tg_model_config *config, void *json_object)
{
    (void)config;
    json_object_set_new(json_object, "attention_probs_dropout_prob", json_real(0.0));
}

const tg_model_type tg_model_bert = {
    .info = {.name = "bert",
             .help = "encoder that sees both sides of a token; learns to fill in masked ones",
             .architecture = "BertForMaskedLM",
             .tasks = TG_CAN(TG_TASK_LANGUAGE),
             .masked = true,
             .options = {options, sizeof options / sizeof *options}},
    .hf_type = "bert",
    .keys = keys,
    .key_count = sizeof keys / sizeof *keys,
    .constant = constant,
    .constant_count = sizeof constant / sizeof *constant,
    .prefix = "bert.",
    .head = DECODER,
    .positions = EMBEDDINGS ".position_embeddings.weight",
    .ignored = ignored,
    .renames = renames,
    .complete = tg_model_complete_equal_heads,
    .declare = declare,
    .build = build,
    .constants = constants,
};
