/* engine_tensors_test.c -- models in shards, models from GGUF files, and their conversion: the same weights as in one
 * file, and a message that names file and tensor for what does not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/memory.h"
#include "home_support.h"
#include "model/model.h"
#include "store/directory.h"
#include "store/tensors.h"

#define SHARDS 3
#define INDEX "m/model.safetensors.index.json"

/* A small model with weights that are no round numbers, gains and biases among them. */
static tg_model *small(const char *name, bool tied)
{
    tg_model_config c;
    tg_model *m = NULL;
    ok(tg_model_config_default(&c, name));
    c.vocab = 53;
    c.layers = 11; /* numbers of two digits */
    c.heads = 6;
    c.kv_heads = strcmp(name, "llama") == 0 ? 2 : 0;
    c.width = 24;
    c.hidden = 40;
    c.context = 16;
    c.tied = tied;
    ok(tg_model_create(&m, &c, TG_F32));
    ok(tg_model_initialize(m, 4711));
    for (size_t w = 0; w < m->weights; w++)
        for (size_t i = 0; i < m->weight[w].param.rows * m->weight[w].param.cols; i++)
            ((float *)m->weight[w].param.data)[i] += 0.001385f * (float)((i * 7 + w * 13) % 101);
    return m;
}

static void assert_same(const tg_model *a, const tg_model *b)
{
    assert_int_equal(a->weights, b->weights);
    for (size_t w = 0; w < a->weights; w++) {
        const tg_param *p = &a->weight[w].param, *q = &b->weight[w].param;
        if (p->rows != q->rows || p->cols != q->cols ||
            memcmp(p->data, q->data, p->rows * p->cols * sizeof(float)) != 0)
            fail_msg("%s differs", p->name);
    }
}

static tg_model *load(const char *directory)
{
    tg_model_config c;
    tg_model *m = NULL;
    ok(tg_model_config_read(&c, directory));
    ok(tg_model_create(&m, &c, TG_F32));
    ok(tg_model_load(m, directory));
    return m;
}

/* ---- shards ---- */

typedef struct shard_change {
    size_t leave_out, twice, elsewhere; /* weights: in no file; also in the next; in the index as the next file's */
} shard_change;
#define NONE SIZE_MAX

static void write_shards(const tg_model *m, const shard_change *change)
{
    FILE *index = fopen(INDEX, "w");
    fprintf(index, "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {");
    for (size_t w = 0; w < m->weights; w++)
        fprintf(index, "%s\"%s\": \"part-%zu.safetensors\"", w > 0 ? ", " : "", m->weight[w].param.name,
                (w + (w == change->elsewhere)) % SHARDS);
    fprintf(index, "}}");
    fclose(index);
    for (size_t s = 0; s < SHARDS; s++) {
        tg_named_tensor *t = calloc(m->weights, sizeof *t);
        char path[64];
        size_t n = 0;
        for (size_t w = 0; w < m->weights; w++) {
            const tg_param *p = &m->weight[w].param;
            if ((w % SHARDS != s && !(w == change->twice && (w + 1) % SHARDS == s)) || w == change->leave_out)
                continue;
            t[n] =
                (tg_named_tensor){.name = p->name, .format = TG_F32, .data = p->data, .bytes = p->rows * p->cols * 4};
            t[n].rank = tg_weight_shape(t[n].shape, &m->weight[w]);
            n++;
        }
        snprintf(path, sizeof path, "m/part-%zu.safetensors", s);
        ok(tg_safetensors_write(path, t, n, NULL, 0));
        free(t);
    }
}

static void shards(void **state)
{
    (void)state;
    static const shard_change none = {NONE, NONE, NONE};
    tg_model *m = small("llama", false), *b;
    ok(tg_model_config_write(&m->config, TG_F32, "m"));
    write_shards(m, &none);
    b = load("m");
    assert_same(m, b);
    tg_model_destroy(b);
    for (long n = 1;; n++) {
        tg_model_create(&b, &m->config, TG_F32);
        tg_memory_fail_at(n);
        const tg_status status = tg_model_load(b, "m");
        tg_memory_fail_at(0);
        tg_model_destroy(b);
        if (status == TG_OK)
            break;
        assert_int_equal(status, TG_ENOMEM);
    }
    write_shards(m, &(shard_change){4, NONE, NONE});
    refused(tg_model_load(m, "m"), TG_EFORMAT, "'m/part-1.safetensors'|self_attn.v_proj.weight' is missing|index");
    write_shards(m, &(shard_change){NONE, 4, NONE});
    refused(tg_model_load(m, "m"), TG_EFORMAT, "'m/part-2.safetensors'|self_attn.v_proj.weight'|another file's");
    write_shards(m, &(shard_change){NONE, NONE, 4});
    refused(tg_model_load(m, "m"), TG_EFORMAT, "'m/part-1.safetensors'|self_attn.v_proj.weight'|another file's");
    write_shards(m, &none);
    assert_int_equal(truncate("m/part-2.safetensors", 1000), 0);
    refused(tg_model_load(m, "m"), TG_EFORMAT, "'m/part-2.safetensors'|cut short");
    assert_int_equal(unlink("m/part-2.safetensors"), 0);
    refused(tg_model_load(m, "m"), TG_ENOTFOUND, "'m/part-2.safetensors'");
    tg_model_destroy(m);
}

static void bad_indexes(void **state)
{
    (void)state;
    static const struct { const char *text, *words;
    } bad[] = {
        {"", "line 1"},
        {"[]", "weight_map"},
        {"{\"weight_map\": {}}", "weight_map"},
        {"{\"weight_map\": {\"a\": 7}}", "tensor 'a'|no text"},
        {"{\"weight_map\": {\"a\": \"../x\"}}", "tensor 'a'|'../x'"},
        {"{\"weight_map\": {\"a\": \"..\"}}", "tensor 'a'|'..'"},
        {"{\"weight_map\": {\"a\": \"\"}}", "tensor 'a'"},
        {"{\"weight_map\": {\"a\": \"x\", \"a\": \"y\"}}", "duplicate"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tg_tensors *t = NULL;
        FILE *file = fopen(INDEX, "w");
        fputs(bad[i].text, file);
        fclose(file);
        refused(tg_tensors_open(&t, "m"), TG_EFORMAT, bad[i].words);
        assert_non_null(strstr(tg_message(), INDEX));
        assert_null(t);
    }
}

/* ---- a table of positions longer than the context ---- */

static void smaller_context(void **state)
{
    (void)state;
    tg_model *m = small("gpt2", true), *b = NULL;
    ok(tg_model_save(m, "m"));
    tg_model_config c = m->config;
    c.context = 9;
    ok(tg_model_create(&b, &c, TG_F32));
    ok(tg_model_load(b, "m"));
    const int wpe = tg_model_index(m, "transformer.wpe.weight");
    assert_memory_equal(b->weight[wpe].param.data, m->weight[wpe].param.data, 9 * 24 * sizeof(float));
    tg_model_destroy(b);
    c.context = 17;
    ok(tg_model_create(&b, &c, TG_F32));
    refused(tg_model_load(b, "m"), TG_EFORMAT, "wpe.weight|(16, 24)|(17, 24)");
    tg_model_destroy(b);
    tg_model_destroy(m);
}

/* ---- conversion ---- */

static void converting_a_directory(void **state)
{
    (void)state;
    static const shard_change none = {NONE, NONE, NONE};
    tg_conversion made;
    tg_model *m = small("llama", false);
    ok(tg_model_config_write(&m->config, TG_F32, "m"));
    write_shards(m, &none);
    FILE *file = fopen("m/tokenizer.json", "w");
    fputs("{}", file);
    fclose(file);
    ok(tg_model_convert(&made, "m", "new/deep/", TG_F32));
    assert_string_equal(made.model, "llama");
    assert_int_equal(made.parameters, tg_model_parameters(m));
    assert_string_equal(made.note, "");
    tg_model *b = load("new/deep");
    assert_same(m, b);
    tg_model_destroy(b);
    assert_int_equal(access("new/deep/tokenizer.json", R_OK), 0);
    refused(tg_model_convert(&made, "m", "new/deep", TG_F32), TG_EINVAL, "'new/deep' exists already");
    refused(tg_model_convert(&made, "m/part-1.safetensors", "no", TG_F32), TG_EINVAL, "neither a GGUF file");
    refused(tg_model_convert(&made, "none", "no", TG_F32), TG_ENOTFOUND, "'none'");
    ok(tg_model_convert(&made, "m", "half", TG_BF16));
    tg_tensors *t = NULL;
    tg_tensor_statistics s;
    ok(tg_tensors_open(&t, "half"));
    const tg_tensor_info *last = tg_tensors_at(t, tg_tensors_count(t) - 1);
    assert_string_equal(last->type, "BF16");
    assert_string_equal(last->file, "half/model.safetensors");
    ok(tg_tensors_statistics(&s, t, 0));
    assert_int_equal(s.values, 53 * 24);
    assert_true(s.least < s.mean && s.mean < s.most && s.rms > fabs(s.mean));
    tg_tensors_destroy(t);
    for (long n = 1;; n++) {
        tg_memory_fail_at(n);
        const tg_status status = tg_model_convert(&made, "m", "failing", TG_F16);
        tg_memory_fail_at(0);
        if (status == TG_OK)
            break;
        assert_int_equal(status, TG_ENOMEM);
        assert_int_equal(access("failing", F_OK), -1);
    }
    tg_model_destroy(m);
}

static void statistics(void **state)
{
    (void)state;
    const float x[8] = {2.385f, -0.0f, NAN, -7.5f, 0, INFINITY, 1.25f, -INFINITY};
    const tg_named_tensor t[2] = {{"x", TG_F32, 2, {2, 4}, x, sizeof x}, {"none", TG_F16, 1, {0}, x, 0}};
    tg_tensors *tensors = NULL;
    tg_tensor_statistics s;
    char *value = NULL;
    ok(tg_safetensors_write("m/x", t, 2, (const char *const[]){"made by", "hand\n"}, 1));
    ok(tg_tensors_open(&tensors, "m/x"));
    ok(tg_tensors_statistics(&s, tensors, 0));
    assert_int_equal(s.values, 8);
    assert_int_equal(s.zeros, 2);
    assert_int_equal(s.non_finite, 3);
    assert_true(s.least == -7.5 && s.most == (double)2.385f);
    assert_true(fabs(s.mean - ((double)2.385f - 7.5 + 1.25) / 5) < 1e-15);
    assert_true(fabs(s.rms - sqrt(((double)2.385f * (double)2.385f + 7.5 * 7.5 + 1.25 * 1.25) / 5)) < 1e-15);
    ok(tg_tensors_statistics(&s, tensors, 1));
    assert_true(s.values == 0 && isnan(s.least) && isnan(s.mean));
    assert_string_equal(tg_tensors_metadata(tensors, 0, &value), "made by");
    assert_string_equal(value, "hand\\n");
    tg_tensors_value_free(value);
    assert_null(tg_tensors_metadata(tensors, 1, &value));
    refused(tg_tensors_statistics(&s, tensors, 2), TG_ENOTFOUND, "number 2");
    uint64_t counts[4] = {10};
    ok(tg_tensors_histogram(counts, 4, -1, 2.385f, tensors, 0)); /* -7.5 lies below, the upper border within */
    assert_true(counts[0] == 10 && counts[1] == 2 && counts[2] == 1 && counts[3] == 1);
    ok(tg_tensors_histogram(counts, 1, -8, -7, tensors, 0));
    assert_true(counts[0] == 11 && counts[1] == 2);
    refused(tg_tensors_histogram(counts, 4, 1, 1, tensors, 0), TG_EINVAL, "low < high");
    refused(tg_tensors_histogram(counts, 4, 0, 1, tensors, 2), TG_ENOTFOUND, "number 2");
    tg_tensors_destroy(tensors);
}

/* ---- GGUF ---- */

static FILE *gguf;

static void put(uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        fputc(i < 8 ? (int)(value >> (8 * i) & 0xff) : 0, gguf);
}

static void put_text(const char *text)
{
    put(strlen(text), 8);
    fputs(text, gguf);
}

static void size_key(const char *key, size_t value)
{
    put_text(key);
    put(TG_GGUF_U32, 4);
    put(value, 4);
}

static void real_key(const char *key, float value)
{
    put_text(key);
    put(TG_GGUF_F32, 4);
    put(tg_bits_from_float(value), 4);
}

static const char *const parts[][2] = {
    {"input_layernorm", "attn_norm"}, {"self_attn.q_proj", "attn_q"},      {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},   {"self_attn.o_proj", "attn_output"}, {"post_attention_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},    {"mlp.up_proj", "ffn_up"},           {"mlp.down_proj", "ffn_down"},
};

static void their_name(char *out, size_t room, const char *ours)
{
    size_t layer;
    char part[64];
    if (sscanf(ours, "model.layers.%zu.%63s", &layer, part) == 2) {
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            if (strncmp(part, parts[i][0], strlen(parts[i][0])) == 0)
                snprintf(out, room, "blk.%zu.%s.weight", layer, parts[i][1]);
    } else
        snprintf(out, room, "%s", strstr(ours, "embed") != NULL ? "token_embd.weight"
                                  : strstr(ours, "norm") != NULL ? "output_norm.weight" : "output.weight");
}

/* Row `row` of the file's queries or keys, by the format's rule: pair i of a head is rows 2 i and 2 i + 1. */
static size_t our_row(const tg_param *p, size_t row, size_t head_dim)
{
    if (strstr(p->name, "q_proj") == NULL && strstr(p->name, "k_proj") == NULL)
        return row;
    const size_t in = row % head_dim;
    return row - in + (in % 2) * (head_dim / 2) + in / 2;
}

static void texts_key(const char *key, const char *const *texts, size_t count)
{
    put_text(key);
    put(TG_GGUF_ARRAY, 4);
    put(TG_GGUF_STRING, 4);
    put(count, 8);
    for (size_t i = 0; i < count; i++)
        put_text(texts[i]);
}

/* A byte-level BPE of six tokens and two merges, and what changes from test to test. */
typedef struct small_bpe {
    const char *pre, *sixth_token, *second_merge;
} small_bpe;
static const small_bpe *bpe; /* of the next file; NULL: none */

#define BPE_PAIRS 7

static void put_bpe(void)
{
    const char *const tokens[] = {"<|end|>", "a", "b", "\xc4\xa0", "ab", bpe->sixth_token};
    const char *const merges[] = {"a b", bpe->second_merge};
    put_text("tokenizer.ggml.model");
    put(TG_GGUF_STRING, 4);
    put_text("gpt2");
    put_text("tokenizer.ggml.pre");
    put(TG_GGUF_STRING, 4);
    put_text(bpe->pre);
    texts_key("tokenizer.ggml.tokens", tokens, 6);
    texts_key("tokenizer.ggml.merges", merges, 2);
    put_text("tokenizer.ggml.token_type");
    put(TG_GGUF_ARRAY, 4);
    put(TG_GGUF_I32, 4);
    put(6, 8);
    for (size_t i = 0; i < 6; i++)
        put(i == 0 ? 3 : 1, 4);
    size_key("tokenizer.ggml.eos_token_id", 0);
    size_key("tokenizer.ggml.bos_token_id", 99); /* no token: left out */
}

/* `extra`: a further tensor's name. */
static void write_gguf(const tg_model *m, const char *architecture, const char *extra)
{
    const tg_model_config *c = &m->config;
    size_t offset = 0;
    gguf = fopen("m.gguf", "wb");
    fputs("GGUF", gguf);
    put(3, 4);
    put(m->weights + (extra != NULL), 8);
    put(9 + (bpe != NULL ? BPE_PAIRS : 0), 8);
    put_text("general.architecture");
    put(TG_GGUF_STRING, 4);
    put_text(architecture);
    size_key("llama.block_count", c->layers);
    size_key("llama.context_length", c->context);
    size_key("llama.embedding_length", c->width);
    size_key("llama.feed_forward_length", c->hidden);
    size_key("llama.attention.head_count", c->heads);
    size_key("llama.attention.head_count_kv", c->kv_heads);
    real_key("llama.attention.layer_norm_rms_epsilon", 3e-5f);
    real_key("llama.rope.freq_base", 731.5f);
    if (bpe != NULL)
        put_bpe();
    for (size_t w = 0; w < m->weights; w++) {
        const tg_param *p = &m->weight[w].param;
        char name[96] = "";
        their_name(name, sizeof name, p->name);
        put_text(name);
        put(m->weight[w].vector ? 1 : 2, 4);
        put(p->cols, 8);
        if (!m->weight[w].vector)
            put(p->rows, 8);
        put(0, 4);
        put(offset, 8);
        offset += tg_round_up(p->rows * p->cols * 4, 32);
    }
    if (extra != NULL) {
        put_text(extra);
        put(0, 4);
        put(0, 4);
        put(offset, 8);
    }
    for (size_t w = 0; w < m->weights; w++) {
        const tg_param *p = &m->weight[w].param;
        put(0, (size_t)(-ftell(gguf) & 31));
        for (size_t r = 0; r < p->rows; r++)
            fwrite((const float *)p->data + our_row(p, r, c->head_dim) * p->cols, 4, p->cols, gguf);
    }
    put(0, (size_t)(-ftell(gguf) & 31));
    if (extra != NULL)
        put(0, 4);
    fclose(gguf);
}

static void from_gguf(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        char out[16];
        tg_conversion made;
        tg_model *m = small("llama", tied != 0);
        write_gguf(m, "llama", NULL);
        snprintf(out, sizeof out, "hf%d", tied);
        ok(tg_model_convert(&made, "m.gguf", out, TG_F32));
        assert_non_null(strstr(made.note, "no tokenizer"));
        tg_model *b = load(out);
        const tg_model_config *c = tg_model_get_config(b);
        assert_true(c->eps == 3e-5 && c->rope_theta == 731.5 && c->tied == (tied != 0) && c->vocab == 53);
        assert_int_equal(c->kv_heads, 2);
        assert_same(m, b);
        tg_model_destroy(b);
        tg_model_destroy(m);
    }
}

/* Files of jansson's, read back: what they say at a path of keys. */
static const json_t *at(const json_t *value, const char *path)
{
    char copy[96];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *key = strtok(copy, "/"); key != NULL; key = strtok(NULL, "/"))
        value = json_is_array(value) ? json_array_get(value, strtoul(key, NULL, 10)) : json_object_get(value, key);
    return value;
}

static void tokenizer_of_gguf(void **state)
{
    (void)state;
    static const small_bpe good = {"smollm", "\xc4\xa0" "ab", "\xc4\xa0 ab"}, unknown = {"viking", "x", "a b"};
    tg_conversion made;
    tg_model *m = small("llama", true);
    bpe = &good;
    write_gguf(m, "llama", NULL);
    ok(tg_model_convert(&made, "m.gguf", "hf", TG_BF16));
    assert_string_equal(made.note, "");
    json_t *t = json_load_file("hf/tokenizer.json", 0, NULL), *c = json_load_file("hf/config.json", 0, NULL);
    json_t *k = json_load_file("hf/tokenizer_config.json", 0, NULL);
    assert_string_equal(json_string_value(at(t, "model/type")), "BPE");
    assert_int_equal(json_integer_value(at(t, "model/vocab/\xc4\xa0" "ab")), 5);
    assert_string_equal(json_string_value(at(t, "model/merges/1")), "\xc4\xa0 ab");
    assert_string_equal(json_string_value(at(t, "added_tokens/0/content")), "<|end|>");
    assert_null(at(t, "added_tokens/1"));
    assert_string_equal(json_string_value(at(t, "pre_tokenizer/pretokenizers/0/type")), "Digits");
    assert_string_equal(json_string_value(at(t, "pre_tokenizer/pretokenizers/1/type")), "ByteLevel");
    assert_string_equal(json_string_value(at(t, "decoder/type")), "ByteLevel");
    assert_int_equal(json_integer_value(at(c, "eos_token_id")), 0);
    assert_true(json_is_integer(at(c, "eos_token_id")) && json_is_null(at(c, "bos_token_id")));
    assert_string_equal(json_string_value(at(k, "eos_token")), "<|end|>");
    assert_null(at(k, "bos_token"));
    json_decref(t);
    json_decref(c);
    json_decref(k);
    bpe = &unknown;
    write_gguf(m, "llama", NULL);
    ok(tg_model_convert(&made, "m.gguf", "none", TG_BF16));
    assert_non_null(strstr(made.note, "'viking'"));
    assert_int_equal(access("none/tokenizer.json", F_OK), -1);
    static const struct { small_bpe bpe; const char *words;
    } bad[] = {
        {{"smollm", "ab", "a b"}, "tokens 4 and 5 are the same"},
        {{"smollm", "\xff", "a b"}, "token 5 is no UTF-8"},
        {{"smollm", "x", "b a"}, "merge 1 is not of two tokens"},
        {{"smollm", "x", "ab"}, "merge 1 is not of two tokens"},
        {{"smollm", "x", "a "}, "merge 1 is not of two tokens"},
        {{"smollm", "x", ""}, "merge 1 is not of two tokens"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bpe = &bad[i].bpe;
        write_gguf(m, "llama", NULL);
        refused(tg_model_convert(&made, "m.gguf", "no", TG_F32), TG_EFORMAT, bad[i].words);
        assert_int_equal(access("no", F_OK), -1);
    }
    bpe = NULL;
    tg_model_destroy(m);
}

static void gguf_that_do_not_fit(void **state)
{
    (void)state;
    tg_conversion made;
    tg_model *m = small("llama", true);
    write_gguf(m, "mamba", NULL);
    refused(tg_model_convert(&made, "m.gguf", "no", TG_F32), TG_EUNSUPPORTED, "'m.gguf'|'mamba'|llama and gpt2");
    write_gguf(m, "llama", "rope_freqs.weight");
    refused(tg_model_convert(&made, "m.gguf", "no", TG_F32), TG_EUNSUPPORTED, "'m.gguf'|'rope_freqs.weight'|no weight");
    m->config.heads = 5;
    write_gguf(m, "llama", NULL);
    refused(tg_model_convert(&made, "m.gguf", "no", TG_F32), TG_EFORMAT, "'m.gguf'|heads 5");
    m->config.heads = 6;
    m->config.hidden = 41;
    write_gguf(m, "llama", NULL);
    refused(tg_model_convert(&made, "m.gguf", "no", TG_F32), TG_EFORMAT, "'blk.0.ffn_gate.weight'|(41, 24)");
    m->config.hidden = 40;
    m->config.layers = 12;
    write_gguf(m, "llama", NULL);
    refused(tg_model_convert(&made, "m.gguf", "no", TG_F32), TG_EFORMAT, "'blk.11.attn_norm.weight' is missing");
    assert_int_equal(access("no", F_OK), -1);
    tg_model_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(shards, enter, leave),
        cmocka_unit_test_setup_teardown(bad_indexes, enter, leave),
        cmocka_unit_test_setup_teardown(smaller_context, enter, leave),
        cmocka_unit_test_setup_teardown(converting_a_directory, enter, leave),
        cmocka_unit_test_setup_teardown(statistics, enter, leave),
        cmocka_unit_test_setup_teardown(from_gguf, enter, leave),
        cmocka_unit_test_setup_teardown(tokenizer_of_gguf, enter, leave),
        cmocka_unit_test_setup_teardown(gguf_that_do_not_fit, enter, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
