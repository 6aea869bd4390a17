/* model/gguf_tokenizer.c -- the byte-level BPE of a GGUF file as tokenizer.json in Hugging Face's layout.
 *
 * tokenizer.ggml.tokens and .merges are vocab and merges as they stand; .token_type says which tokens are added ones;
 * .pre names how text is cut before merging: the regular expressions are those of the models that brought the names. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "model/gguf.h"
#include "store/safetensors_json.h"

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER = 4 }; /* of tokenizer.ggml.token_type */

#define BYTE_LEVEL(use_regex)                                                                                          \
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": " use_regex "}"
#define SEQUENCE(first, use_regex)                                                                                     \
    "{\"type\": \"Sequence\", \"pretokenizers\": [" first ", " BYTE_LEVEL(use_regex) "]}"
#define SPLIT(regex)                                                                                                   \
    "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"" regex "\"}, \"behavior\": \"Isolated\", \"invert\": false}"
#define DIGITS "{\"type\": \"Digits\", \"individual_digits\": true}"
#define WORDS(digits)                                                                                                  \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" digits                                     \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

static const char byte_level[] = BYTE_LEVEL("true");

/* tokenizer.ggml.pre */
static const struct {
    const char *name, *pre_tokenizer;
    bool ignore_merges, adds_bos; /* adds_bos: unless the file says otherwise */
} cuts[] = {
    {"default", BYTE_LEVEL("true"), false, false},
    {"gpt-2", BYTE_LEVEL("true"), false, false},
    {"smollm", SEQUENCE(DIGITS, "true"), false, false},
    {"starcoder", SEQUENCE(DIGITS, "true"), false, false},
    {"refact", SEQUENCE(DIGITS, "true"), false, false},
    {"command-r", SEQUENCE(DIGITS, "true"), false, false},
    {"llama-bpe", SEQUENCE(SPLIT(WORDS("\\\\p{N}{1,3}")), "false"), true, true},
    {"llama3", SEQUENCE(SPLIT(WORDS("\\\\p{N}{1,3}")), "false"), true, true},
    {"qwen2", SEQUENCE(SPLIT(WORDS("\\\\p{N}")), "false"), false, false},
};
#define CUTS (sizeof cuts / sizeof *cuts)

/* A token with a meaning, and its key in tokenizer_config.json. */
static const struct { const char *key, *name; } meanings[] = {
    {"tokenizer.ggml.bos_token_id", "bos_token"},
    {"tokenizer.ggml.eos_token_id", "eos_token"},
    {"tokenizer.ggml.unknown_token_id", "unk_token"},
    {"tokenizer.ggml.padding_token_id", "pad_token"},
};

typedef struct maker {
    const tg_gguf *file;
    const char *path; /* for messages */
    size_t cut;       /* in cuts */
    json_t *vocab, *merges, *added;
    json_t **token;   /* (tokens): each text */
    size_t tokens;
} maker;

static tg_status no_memory(void) { return tg_no_memory("a tokenizer", 0); }

/* Takes the reference; false when there is no memory. */
static bool set(json_t *object, const char *key, json_t *value)
{
    return value != NULL && json_object_set_new(object, key, value) == 0;
}

/* ---- what the file has ---- */

static bool is_text(const tg_gguf_value *value, const char *text)
{
    return value != NULL && value->type == TG_GGUF_STRING && value->bytes == strlen(text) &&
           memcmp(value->data, text, value->bytes) == 0;
}

static bool is_texts(const tg_gguf_value *value)
{
    return value != NULL && value->type == TG_GGUF_ARRAY && value->element == TG_GGUF_STRING;
}

/* False, with a note, when the file's tokenizer is none that this file writes. */
static bool find_kind(char note[TG_CONVERSION_NOTE_BYTES], maker *m)
{
    const tg_gguf_value *model = tg_gguf_find(m->file, "tokenizer.ggml.model");
    const tg_gguf_value *pre = tg_gguf_find(m->file, "tokenizer.ggml.pre");
    char word[64] = "";
    if (model == NULL) {
        snprintf(note, TG_CONVERSION_NOTE_BYTES, "the file has no tokenizer");
        return false;
    }
    if (!is_text(model, "gpt2")) {
        snprintf(note, TG_CONVERSION_NOTE_BYTES,
                 "the file's tokenizer is no byte-level BPE (tokenizer.ggml.model is not gpt2)");
        return false;
    }
    for (m->cut = 0; pre != NULL && m->cut < CUTS && !is_text(pre, cuts[m->cut].name);)
        m->cut++;
    if (m->cut < CUTS)
        return true;
    const size_t shown = pre->type == TG_GGUF_STRING && pre->bytes < sizeof word ? pre->bytes : 0;
    for (size_t i = 0; i < shown; i++)
        word[i] = pre->data[i] < 0x20 || pre->data[i] > 0x7e ? '?' : (char)pre->data[i];
    snprintf(note, TG_CONVERSION_NOTE_BYTES, "how its tokenizer cuts text (tokenizer.ggml.pre '%s') is not known here",
             word);
    return false;
}

static tg_status read_tokens(maker *m)
{
    const tg_gguf_value *value = tg_gguf_find(m->file, "tokenizer.ggml.tokens");
    const char *text;
    size_t bytes, offset = 0;
    if (!is_texts(value) || value->count == 0)
        return tg_fail(TG_EFORMAT, "'%s': metadata key 'tokenizer.ggml.tokens', a list of texts, is missing", m->path);
    m->token = tg_heap_alloc((size_t)value->count, sizeof(json_t *));
    if (m->token == NULL)
        return no_memory();
    while (tg_gguf_string(&text, &bytes, value, &offset)) {
        json_t *token = json_stringn(text, bytes);
        if (token == NULL || strlen(json_string_value(token)) != bytes) {
            json_decref(token);
            return tg_fail(TG_EFORMAT, "'%s': token %zu is no UTF-8 or holds the character 0", m->path, m->tokens);
        }
        const char *name = json_string_value(token);
        const json_t *twin = json_object_get(m->vocab, name);
        const size_t id = m->tokens++;
        m->token[id] = token;
        if (twin != NULL)
            return tg_fail(TG_EFORMAT, "'%s': tokens %lld and %zu are the same", m->path,
                           (long long)json_integer_value(twin), id);
        if (!set(m->vocab, name, json_integer((json_int_t)id)))
            return no_memory();
    }
    return TG_OK;
}

/* Is text[0..bytes) a token? `room` has space for it. */
static bool is_token(const maker *m, char *room, const char *text, size_t bytes)
{
    memcpy(room, text, bytes);
    room[bytes] = 0;
    return strlen(room) == bytes && json_object_get(m->vocab, room) != NULL;
}

/* "a b": both halves are tokens, and so is what they make. */
static bool is_merge(const maker *m, char *room, const char *text, size_t bytes)
{
    const char *blank = bytes < 2 ? NULL : memchr(text + 1, ' ', bytes - 1);
    if (blank == NULL)
        return false;
    const size_t left = (size_t)(blank - text), right = bytes - left - 1;
    if (right == 0 || !is_token(m, room, text, left) || !is_token(m, room, blank + 1, right))
        return false;
    memcpy(room, text, left);
    memcpy(room + left, blank + 1, right);
    room[left + right] = 0;
    return json_object_get(m->vocab, room) != NULL;
}

static tg_status read_merges(maker *m)
{
    const tg_gguf_value *value = tg_gguf_find(m->file, "tokenizer.ggml.merges");
    const char *text;
    size_t bytes, offset = 0;
    if (!is_texts(value))
        return tg_fail(TG_EFORMAT, "'%s': metadata key 'tokenizer.ggml.merges', a list of texts, is missing", m->path);
    char *room = tg_heap_alloc(value->bytes + 1, 1);
    tg_status status = room == NULL ? no_memory() : TG_OK;
    while (status == TG_OK && tg_gguf_string(&text, &bytes, value, &offset)) {
        if (!is_merge(m, room, text, bytes))
            status = tg_fail(TG_EFORMAT, "'%s': merge %zu is not of two tokens that make a third", m->path,
                             json_array_size(m->merges));
        else if (json_array_append_new(m->merges, json_stringn(text, bytes)) != 0)
            status = no_memory();
    }
    tg_heap_free(room);
    return status;
}

static tg_status read_added(maker *m)
{
    const tg_gguf_value *types = tg_gguf_find(m->file, "tokenizer.ggml.token_type");
    int64_t type = TYPE_NORMAL;
    if (types != NULL && (types->type != TG_GGUF_ARRAY || types->count != m->tokens))
        return tg_fail(TG_EFORMAT, "'%s': metadata key 'tokenizer.ggml.token_type' must have a number for every token",
                       m->path);
    for (size_t i = 0; types != NULL && i < m->tokens; i++) {
        if (!tg_gguf_integer(&type, types, i))
            return tg_fail(TG_EFORMAT, "'%s': metadata key 'tokenizer.ggml.token_type' holds no whole numbers",
                           m->path);
        if (type != TYPE_UNKNOWN && type != TYPE_CONTROL && type != TYPE_USER)
            continue;
        json_t *added = json_pack("{s:I, s:O, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)i, "content", m->token[i],
                                  "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special",
                                  type != TYPE_USER);
        if (json_array_append_new(m->added, added) != 0)
            return no_memory();
    }
    return TG_OK;
}

/* The token that a key names; NULL when there is none. */
static json_t *named_token(const maker *m, const char *key)
{
    const tg_gguf_value *value = tg_gguf_find(m->file, key);
    int64_t id;
    return value != NULL && tg_gguf_integer(&id, value, 0) && id >= 0 && (uint64_t)id < m->tokens ? m->token[id] : NULL;
}

/* ---- the documents ---- */

static json_t *pre_tokenizer(const maker *m)
{
    const tg_gguf_value *value = tg_gguf_find(m->file, "tokenizer.ggml.add_space_prefix");
    bool prefix = false;
    json_t *made = json_loads(cuts[m->cut].pre_tokenizer, 0, NULL), *list = json_object_get(made, "pretokenizers");
    json_t *last = list == NULL ? made : json_array_get(list, json_array_size(list) - 1);
    if (made != NULL && value != NULL && tg_gguf_bool(&prefix, value))
        json_object_set_new(last, "add_prefix_space", json_boolean(prefix));
    return made;
}

/* Where sequences begin with a token of their own: that, then the text. */
static json_t *post_processor(const maker *m)
{
    const tg_gguf_value *value = tg_gguf_find(m->file, "tokenizer.ggml.add_bos_token");
    json_t *bos = named_token(m, "tokenizer.ggml.bos_token_id");
    bool adds = cuts[m->cut].adds_bos;
    if (value != NULL)
        tg_gguf_bool(&adds, value);
    if (!adds || bos == NULL)
        return json_loads(byte_level, 0, NULL);
    const char *text = json_string_value(bos);
    return json_pack("{s:s, s:[{s:{s:O, s:i}}, {s:{s:s, s:i}}], s:[{s:{s:O, s:i}}, {s:{s:s, s:i}}, {s:{s:O, s:i}}, "
                     "{s:{s:s, s:i}}], s:{s:{s:O, s:[O], s:[O]}}}",
                     "type", "TemplateProcessing", "single", "SpecialToken", "id", bos, "type_id", 0, "Sequence", "id",
                     "A", "type_id", 0, "pair", "SpecialToken", "id", bos, "type_id", 0, "Sequence", "id", "A",
                     "type_id", 0, "SpecialToken", "id", bos, "type_id", 1, "Sequence", "id", "B", "type_id", 1,
                     "special_tokens", text, "id", bos, "ids", json_object_get(m->vocab, text), "tokens", bos);
}

static json_t *tokenizer_json(const maker *m)
{
    json_t *model =
        json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:O, s:O}", "type", "BPE", "dropout", "unk_token",
                  "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0, "ignore_merges",
                  cuts[m->cut].ignore_merges, "vocab", m->vocab, "merges", m->merges);
    json_t *document = json_pack("{s:s, s:n, s:n, s:O, s:n}", "version", "1.0", "truncation", "padding", "added_tokens",
                                 m->added, "normalizer");
    const bool good = document != NULL && set(document, "pre_tokenizer", pre_tokenizer(m)) &&
                      set(document, "post_processor", post_processor(m)) &&
                      set(document, "decoder", json_loads(byte_level, 0, NULL)) &&
                      json_object_set(document, "model", model) == 0;
    json_decref(model);
    if (good)
        return document;
    json_decref(document);
    return NULL;
}

static json_t *config_json(const maker *m)
{
    const tg_gguf_value *chat = tg_gguf_find(m->file, "tokenizer.chat_template");
    json_t *config =
        json_pack("{s:s, s:b}", "tokenizer_class", "PreTrainedTokenizerFast", "clean_up_tokenization_spaces", 0);
    for (size_t i = 0; config != NULL && i < sizeof meanings / sizeof *meanings; i++) {
        json_t *token = named_token(m, meanings[i].key);
        if (token != NULL)
            json_object_set(config, meanings[i].name, token);
    }
    if (config != NULL && chat != NULL && chat->type == TG_GGUF_STRING) {
        json_t *text = json_stringn((const char *)chat->data, chat->bytes); /* NULL: no UTF-8, and left out */
        if (text != NULL)
            json_object_set_new(config, "chat_template", text);
    }
    return config;
}

static tg_status write_in(const char *directory, const char *name, json_t *document) /* takes the document */
{
    char *text = document == NULL ? NULL : json_dumps(document, JSON_INDENT(2)), *path = tg_file_join(directory, name);
    const tg_status status = text == NULL || path == NULL ? no_memory() : tg_file_write_whole(path, text, strlen(text));
    tg_heap_free(path);
    free(text);
    json_decref(document);
    return status;
}

tg_status tg_gguf_tokenizer_write(char note[TG_CONVERSION_NOTE_BYTES], const tg_tensors *tensors, size_t vocab,
                                  const char *directory)
{
    maker m = {.file = tg_tensors_gguf(tensors), .path = tg_tensors_path(tensors)};
    tg_status status = TG_OK;
    *note = 0;
    if (!find_kind(note, &m))
        return TG_OK;
    m.vocab = json_object();
    m.merges = json_array();
    m.added = json_array();
    if (m.vocab == NULL || m.merges == NULL || m.added == NULL)
        status = no_memory();
    if (status == TG_OK && (status = read_tokens(&m)) == TG_OK && (status = read_merges(&m)) == TG_OK)
        status = read_added(&m);
    if (status == TG_OK && m.tokens > vocab)
        status = tg_fail(TG_EFORMAT, "'%s': the tokenizer has %zu tokens, the model only %zu", m.path, m.tokens, vocab);
    if (status == TG_OK)
        status = write_in(directory, "tokenizer.json", tokenizer_json(&m));
    if (status == TG_OK)
        status = write_in(directory, "tokenizer_config.json", config_json(&m));
    for (size_t i = 0; i < m.tokens; i++)
        json_decref(m.token[i]);
    tg_heap_free(m.token);
    json_decref(m.vocab);
    json_decref(m.merges);
    json_decref(m.added);
    return status;
}
