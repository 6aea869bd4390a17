/* model/gguf.c -- the configuration and the weights of a GGUF file of a llama or a gpt2.
 *
 * Keys begin with the architecture's name: "llama.block_count". The output product is the token table's when there is
 * no output.weight, or when it holds the same bytes. */
#include "model/gguf.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/number.h"
#include "store/safetensors_json.h"

#define NAME_BYTES 256
#define TOKENS "token_embd.weight"
#define OUTPUT "output.weight"

/* ---- the families ---- */

/* A key and the field it fills. */
typedef struct field_key {
    const char *name;
    size_t offset; /* in tg_model_config */
    bool real, required;
} field_key;

/* A key that may be there with one value only, because nothing else is computed here. */
typedef struct fixed {
    const char *name;
    double value;
    const char *text; /* not NULL: counts instead */
    size_t equals;    /* not 0: the value must be that of the size at this offset of the configuration */
} fixed;

/* '*' stands for the block's number. */
typedef struct name_pair {
    const char *ours, *theirs;
    tg_gguf_order order;
} name_pair;

typedef struct family {
    const char *model; /* ours, and their architecture */
    const field_key *keys;
    size_t key_count;
    const fixed *fixed;
    size_t fixed_count;
    const name_pair *names;
    size_t name_count;
} family;

#define FIELD(name) offsetof(tg_model_config, name)

static const field_key llama_keys[] = {
    {"block_count", FIELD(layers), false, true},
    {"context_length", FIELD(context), false, true},
    {"embedding_length", FIELD(width), false, true},
    {"feed_forward_length", FIELD(hidden), false, true},
    {"attention.head_count", FIELD(heads), false, true},
    {"attention.head_count_kv", FIELD(kv_heads), false, false},
    {"attention.key_length", FIELD(head_dim), false, false},
    {"attention.layer_norm_rms_epsilon", FIELD(eps), true, true},
    {"rope.freq_base", FIELD(rope_theta), true, false},
};

static const fixed llama_fixed[] = {
    {"attention.value_length", .equals = FIELD(head_dim)},
    {"rope.dimension_count", .equals = FIELD(head_dim)},
    {"rope.scaling.type", .text = "none"},
    {"rope.scaling.factor", .value = 1},
    {"rope.scale_linear", .value = 1},
    {"expert_count", .value = 0},
    {"attention.scale", .value = 0},
    {"attention.clamp_kqv", .value = 0},
    {"attention.max_alibi_bias", .value = 0},
    {"logit_scale", .value = 0},
    {"residual_scale", .value = 0},
    {"embedding_scale", .value = 0},
};

static const name_pair llama_names[] = {
    {"model.embed_tokens.weight", TOKENS, TG_GGUF_AS_IS},
    {"model.norm.weight", "output_norm.weight", TG_GGUF_AS_IS},
    {"lm_head.weight", OUTPUT, TG_GGUF_AS_IS},
    {"model.layers.*.input_layernorm.weight", "blk.*.attn_norm.weight", TG_GGUF_AS_IS},
    {"model.layers.*.self_attn.q_proj.weight", "blk.*.attn_q.weight", TG_GGUF_QUERIES},
    {"model.layers.*.self_attn.k_proj.weight", "blk.*.attn_k.weight", TG_GGUF_KEYS},
    {"model.layers.*.self_attn.v_proj.weight", "blk.*.attn_v.weight", TG_GGUF_AS_IS},
    {"model.layers.*.self_attn.o_proj.weight", "blk.*.attn_output.weight", TG_GGUF_AS_IS},
    {"model.layers.*.post_attention_layernorm.weight", "blk.*.ffn_norm.weight", TG_GGUF_AS_IS},
    {"model.layers.*.mlp.gate_proj.weight", "blk.*.ffn_gate.weight", TG_GGUF_AS_IS},
    {"model.layers.*.mlp.up_proj.weight", "blk.*.ffn_up.weight", TG_GGUF_AS_IS},
    {"model.layers.*.mlp.down_proj.weight", "blk.*.ffn_down.weight", TG_GGUF_AS_IS},
};

static const field_key gpt2_keys[] = {
    {"block_count", FIELD(layers), false, true},
    {"context_length", FIELD(context), false, true},
    {"embedding_length", FIELD(width), false, true},
    {"feed_forward_length", FIELD(hidden), false, false},
    {"attention.head_count", FIELD(heads), false, true},
    {"attention.layer_norm_epsilon", FIELD(eps), true, true},
};

static const fixed gpt2_fixed[] = {
    {"attention.head_count_kv", .equals = FIELD(heads)},
    {"attention.key_length", .equals = FIELD(head_dim)},
    {"attention.value_length", .equals = FIELD(head_dim)},
};

static const name_pair gpt2_names[] = {
    {"transformer.wte.weight", TOKENS, TG_GGUF_AS_IS},
    {"transformer.wpe.weight", "position_embd.weight", TG_GGUF_AS_IS},
    {"transformer.ln_f.weight", "output_norm.weight", TG_GGUF_AS_IS},
    {"transformer.ln_f.bias", "output_norm.bias", TG_GGUF_AS_IS},
    {"lm_head.weight", OUTPUT, TG_GGUF_AS_IS},
    {"transformer.h.*.ln_1.weight", "blk.*.attn_norm.weight", TG_GGUF_AS_IS},
    {"transformer.h.*.ln_1.bias", "blk.*.attn_norm.bias", TG_GGUF_AS_IS},
    {"transformer.h.*.attn.c_attn.weight", "blk.*.attn_qkv.weight", TG_GGUF_TURNED},
    {"transformer.h.*.attn.c_attn.bias", "blk.*.attn_qkv.bias", TG_GGUF_AS_IS},
    {"transformer.h.*.attn.c_proj.weight", "blk.*.attn_output.weight", TG_GGUF_TURNED},
    {"transformer.h.*.attn.c_proj.bias", "blk.*.attn_output.bias", TG_GGUF_AS_IS},
    {"transformer.h.*.ln_2.weight", "blk.*.ffn_norm.weight", TG_GGUF_AS_IS},
    {"transformer.h.*.ln_2.bias", "blk.*.ffn_norm.bias", TG_GGUF_AS_IS},
    {"transformer.h.*.mlp.c_fc.weight", "blk.*.ffn_up.weight", TG_GGUF_TURNED},
    {"transformer.h.*.mlp.c_fc.bias", "blk.*.ffn_up.bias", TG_GGUF_AS_IS},
    {"transformer.h.*.mlp.c_proj.weight", "blk.*.ffn_down.weight", TG_GGUF_TURNED},
    {"transformer.h.*.mlp.c_proj.bias", "blk.*.ffn_down.bias", TG_GGUF_AS_IS},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))
static const family families[] = {
    {"llama", llama_keys, COUNT(llama_keys), llama_fixed, COUNT(llama_fixed), llama_names, COUNT(llama_names)},
    {"gpt2", gpt2_keys, COUNT(gpt2_keys), gpt2_fixed, COUNT(gpt2_fixed), gpt2_names, COUNT(gpt2_names)},
};

static const family *find_family(const char *name, size_t bytes)
{
    for (size_t i = 0; i < COUNT(families); i++)
        if (strlen(families[i].model) == bytes && memcmp(families[i].model, name, bytes) == 0)
            return &families[i];
    return NULL;
}

/* ---- the configuration ---- */

static const tg_gguf_value *look_up(char full[NAME_BYTES], const tg_gguf *file, const family *f, const char *key)
{
    snprintf(full, NAME_BYTES, "%s.%s", f->model, key);
    return tg_gguf_find(file, full);
}

/* A number, or an array of the same number for every block. */
static tg_status number(double *out, const tg_gguf_value *value, const char *key, const char *path)
{
    double first = 0, other = 0;
    if (!tg_gguf_real(&first, value, 0))
        return tg_fail(TG_EFORMAT, "'%s': metadata key '%s' is no number", path, key);
    for (uint64_t i = 1; i < value->count; i++)
        if (!tg_gguf_real(&other, value, i) || other != first)
            return tg_fail(TG_EUNSUPPORTED, "'%s': metadata key '%s' differs from block to block; all are alike here",
                           path, key);
    *out = first;
    return TG_OK;
}

static tg_status read_key(tg_model_config *config, const tg_gguf *file, const family *f, const field_key *k,
                          const char *path)
{
    char full[NAME_BYTES];
    double value = 0;
    const tg_gguf_value *found = look_up(full, file, f, k->name);
    if (found == NULL)
        return k->required ? tg_fail(TG_EFORMAT, "'%s': metadata key '%s' is missing", path, full) : TG_OK;
    const tg_status status = number(&value, found, full, path);
    if (status != TG_OK)
        return status;
    char *at = (char *)config + k->offset;
    if (k->real) {
        *(double *)(void *)at = value;
        return TG_OK;
    }
    if (!(value >= 0 && value <= 0x1p53) || value != (double)(size_t)value)
        return tg_fail(TG_EFORMAT, "'%s': metadata key '%s' must be a size", path, full);
    *(size_t *)(void *)at = (size_t)value;
    return TG_OK;
}

static tg_status check_fixed(const tg_model_config *config, const tg_gguf *file, const family *f, const fixed *x,
                             const char *path)
{
    char full[NAME_BYTES], wanted[TG_NUMBER_BYTES];
    double value = 0;
    const double only =
        x->equals != 0 ? (double)*(const size_t *)(const void *)((const char *)config + x->equals) : x->value;
    const tg_gguf_value *found = look_up(full, file, f, x->name);
    if (found == NULL)
        return TG_OK;
    if (x->text != NULL && found->type == TG_GGUF_STRING && found->bytes == strlen(x->text) &&
        memcmp(found->data, x->text, found->bytes) == 0)
        return TG_OK;
    if (x->text == NULL && number(&value, found, full, path) == TG_OK && value == only)
        return TG_OK;
    tg_number_print(wanted, only);
    return tg_fail(TG_EUNSUPPORTED, "'%s': metadata key '%s' has a value that %s does not compute here; it must be %s",
                   path, full, f->model, x->text != NULL ? x->text : wanted);
}

static bool is_tied(const tg_tensors *tensors)
{
    const tg_stored *tokens = tg_tensors_find(tensors, TOKENS), *output = tg_tensors_find(tensors, OUTPUT);
    if (output == NULL)
        return true;
    return tokens != NULL && tokens->encoding == output->encoding && tokens->info.bytes == output->info.bytes &&
           memcmp(tokens->data, output->data, tokens->info.bytes) == 0;
}

static tg_status read_family(const family **f, const tg_gguf *file, const char *path)
{
    char word[TG_PRINTABLE_BYTES], text[TG_PRINTABLE_BYTES] = "";
    const tg_gguf_value *value = tg_gguf_find(file, "general.architecture");
    if (value == NULL || value->type != TG_GGUF_STRING)
        return tg_fail(TG_EFORMAT, "'%s': metadata key 'general.architecture', a text, is missing", path);
    *f = find_family((const char *)value->data, value->bytes);
    if (*f != NULL)
        return TG_OK;
    memcpy(text, value->data, value->bytes < sizeof text ? value->bytes : sizeof text - 1);
    return tg_fail(TG_EUNSUPPORTED, "'%s': architecture '%s' is not known here, only llama and gpt2 are", path,
                   tg_printable(word, text));
}

tg_status tg_gguf_config(tg_model_config *config, const tg_tensors *tensors)
{
    const tg_gguf *file = tg_tensors_gguf(tensors);
    const char *path = tg_tensors_path(tensors);
    const tg_stored *tokens = tg_tensors_find(tensors, TOKENS);
    const family *f = NULL;
    tg_model_config read;
    tg_status status = read_family(&f, file, path);
    if (status != TG_OK || (status = tg_model_config_default(&read, f->model)) != TG_OK)
        return status;
    if (tokens == NULL || tokens->info.rank != 2)
        return tg_fail(TG_EFORMAT, "'%s': tensor '" TOKENS "', a matrix, is missing", path);
    read.vocab = (size_t)tokens->info.shape[0];
    read.tied = is_tied(tensors);
    for (size_t i = 0; i < f->key_count && status == TG_OK; i++)
        status = read_key(&read, file, f, &f->keys[i], path);
    if (status != TG_OK)
        return status;
    if ((status = tg_model_config_complete(&read)) != TG_OK)
        return tg_fail(status == TG_EINVAL ? TG_EFORMAT : status, "'%s': %s", path, tg_message());
    for (size_t i = 0; i < f->fixed_count && status == TG_OK; i++)
        status = check_fixed(&read, file, f, &f->fixed[i], path);
    if (status == TG_OK)
        *config = read;
    return status;
}

/* ---- the weights ---- */

/* `out` <- `to` with the number that stands in `name` where `from` has '*'; false when `name` is none of `from`. */
static bool rename_by(char out[NAME_BYTES], const char *name, const char *from, const char *to)
{
    const char *star = strchr(from, '*'), *into = strchr(to, '*');
    if (star == NULL) {
        snprintf(out, NAME_BYTES, "%s", to);
        return strcmp(name, from) == 0;
    }
    const size_t head = (size_t)(star - from),
                 digits = strncmp(name, from, head) == 0 ? strspn(name + head, "0123456789") : 0;
    if (digits == 0 || into == NULL || strcmp(name + head + digits, star + 1) != 0)
        return false;
    snprintf(out, NAME_BYTES, "%.*s%.*s%s", (int)(into - to), to, (int)digits, name + head, into + 1);
    return true;
}

static tg_status check_shape(const tg_weight *w, const tg_tensor_info *t, tg_gguf_order order)
{
    char word[TG_PRINTABLE_BYTES];
    const uint64_t rows = order == TG_GGUF_TURNED ? w->param.cols : w->param.rows;
    const uint64_t cols = order == TG_GGUF_TURNED ? w->param.rows : w->param.cols;
    if (w->vector ? t->rank == 1 && t->shape[0] == cols : t->rank == 2 && t->shape[0] == rows && t->shape[1] == cols)
        return TG_OK;
    return tg_fail(TG_EFORMAT, "'%s': tensor '%s' has another shape than (%llu, %llu), which the metadata says",
                   t->file, tg_printable(word, t->name), (unsigned long long)rows, (unsigned long long)cols);
}

static tg_status match_weight(const tg_stored **source, tg_gguf_order *order, const family *f, const tg_weight *w,
                              const tg_tensors *tensors)
{
    char theirs[NAME_BYTES] = "";
    size_t i = 0;
    while (i < f->name_count && !rename_by(theirs, w->param.name, f->names[i].ours, f->names[i].theirs))
        i++;
    *source = i < f->name_count ? tg_tensors_find(tensors, theirs) : NULL;
    if (*source == NULL)
        return tg_fail(TG_EFORMAT, "'%s': tensor '%s' is missing", tg_tensors_path(tensors),
                       i < f->name_count ? theirs : w->param.name);
    *order = f->names[i].order;
    const tg_status status = check_shape(w, &(*source)->info, *order);
    return status != TG_OK ? status : tg_stored_check(*source);
}

/* A tensor that no weight took would be left out of the sum: biases of attention, factors of rotary positions, experts.
 */
static tg_status find_stranger(const tg_stored *const *source, const tg_model *m, const tg_tensors *tensors)
{
    char word[TG_PRINTABLE_BYTES];
    const size_t count = tg_tensors_count(tensors);
    bool *taken = tg_heap_alloc(count + 1, sizeof *taken);
    tg_status status = taken == NULL ? tg_no_memory("converting a model", count) : TG_OK;
    for (size_t i = 0; status == TG_OK && i < m->weights; i++)
        taken[source[i] - tg_tensors_stored(tensors, 0)] = true;
    for (size_t i = 0; status == TG_OK && i < count; i++) {
        const tg_tensor_info *t = tg_tensors_at(tensors, i);
        if (!taken[i] && !(m->config.tied && strcmp(t->name, OUTPUT) == 0))
            status = tg_fail(TG_EUNSUPPORTED, "'%s': tensor '%s' is no weight of a %s as it is computed here", t->file,
                             tg_printable(word, t->name), m->type->info.name);
    }
    tg_heap_free(taken);
    return status;
}

tg_status tg_gguf_match(const tg_stored **source, tg_gguf_order *order, const tg_model *m, const tg_tensors *tensors)
{
    const char *model = m->type->info.name;
    const family *f = find_family(model, strlen(model));
    tg_status status = TG_OK;
    for (size_t i = 0; i < m->weights && status == TG_OK; i++)
        status = match_weight(&source[i], &order[i], f, &m->weight[i], tensors);
    return status == TG_OK ? find_stranger(source, m, tensors) : status;
}
