/* data/wordpiece_files.c -- vocab.txt, a token a line, as BERT was published: brought into the form of a
 * tokenizer.json, as transformers does it, which is then read, and written beside checkpoints, like any other. */
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "data/tokenizer.h"

static const char *const specials[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

/* *vocab <- the lines' tokens; of two that are the same the last counts, as in a dictionary of Python. */
static tg_status read_lines(json_t *vocab, const char *text, size_t bytes, const char *name)
{
    size_t number = 0;
    for (size_t at = 0, end; at < bytes; at = end + 1) {
        const char *const line = text + at, *const newline = memchr(line, '\n', bytes - at);
        end = newline == NULL ? bytes : (size_t)(newline - text);
        const size_t length = end - at - (end > at && text[end - 1] == '\r');
        json_t *const key = json_stringn(line, length);
        if (key == NULL || json_string_length(key) != strlen(json_string_value(key))) {
            json_decref(key);
            return tg_fail(TG_EFORMAT, "'%s' line %zu: this is no UTF-8, or has the character 0", name, number + 1);
        }
        const int bad = json_object_set_new(vocab, json_string_value(key), json_integer((json_int_t)number++));
        json_decref(key);
        if (bad != 0)
            return tg_no_memory("a vocabulary", bytes);
    }
    return TG_OK;
}

static json_t *added_tokens(const json_t *vocab)
{
    json_t *const list = json_array();
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++) {
        json_t *const id = json_object_get(vocab, specials[i]);
        if (id != NULL)
            json_array_append_new(list,
                                  json_pack("{s:O, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id, "content", specials[i],
                                            "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1));
    }
    return list;
}

static json_t *token_of(const char *name, int segment)
{
    return json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", name, "type_id", segment);
}

static json_t *text_of(const char *name, int segment)
{
    return json_pack("{s:{s:s, s:i}}", "Sequence", "id", name, "type_id", segment);
}

/* [CLS] text [SEP]; null for a vocabulary without them. */
static json_t *post_processor(const json_t *vocab)
{
    json_t *const cls = json_object_get(vocab, "[CLS]"), *const sep = json_object_get(vocab, "[SEP]");
    if (cls == NULL || sep == NULL)
        return json_null();
    return json_pack("{s:s, s:[o, o, o], s:[o, o, o, o, o], s:{s:{s:s, s:[O], s:[s]}, s:{s:s, s:[O], s:[s]}}}", "type",
                     "TemplateProcessing", "single", token_of("[CLS]", 0), text_of("A", 0), token_of("[SEP]", 0),
                     "pair", token_of("[CLS]", 0), text_of("A", 0), token_of("[SEP]", 0), text_of("B", 1),
                     token_of("[SEP]", 1), "special_tokens", "[CLS]", "id", "[CLS]", "ids", cls, "tokens", "[CLS]",
                     "[SEP]", "id", "[SEP]", "ids", sep, "tokens", "[SEP]");
}

/* A switch of tokenizer_config.json. */
static json_t *switch_of(const json_t *config, const char *key, json_t *otherwise)
{
    json_t *const value = json_object_get(config, key);
    return value == NULL ? otherwise : value;
}

tg_status tg_vocabulary_document(json_t **document, const char *text, size_t bytes, const json_t *config,
                                 const char *name)
{
    json_t *const vocab = json_object();
    tg_status status = vocab == NULL ? tg_no_memory("a vocabulary", bytes) : read_lines(vocab, text, bytes, name);
    if (status != TG_OK) {
        json_decref(vocab);
        return status;
    }
    json_t *const normalizer = json_pack(
        "{s:s, s:b, s:O, s:O, s:O}", "type", "BertNormalizer", "clean_text", 1, "handle_chinese_chars",
        switch_of(config, "tokenize_chinese_chars", json_true()), "strip_accents",
        switch_of(config, "strip_accents", json_null()), "lowercase", switch_of(config, "do_lower_case", json_true()));
    json_t *const decoder = json_pack("{s:s, s:s, s:b}", "type", "WordPiece", "prefix", "##", "cleanup", 1);
    json_t *const added = added_tokens(vocab), *const after = post_processor(vocab);
    json_t *const model = json_pack("{s:s, s:s, s:s, s:i, s:o}", "type", "WordPiece", "unk_token", "[UNK]",
                                    "continuing_subword_prefix", "##", "max_input_chars_per_word", 100, "vocab", vocab);
    *document = json_pack("{s:s, s:n, s:n, s:o, s:o, s:{s:s}, s:o, s:o, s:o}", "version", "1.0", "truncation",
                          "padding", "added_tokens", added, "normalizer", normalizer, "pre_tokenizer", "type",
                          "BertPreTokenizer", "post_processor", after, "decoder", decoder, "model", model);
    return *document == NULL ? tg_no_memory("a tokenizer", bytes) : TG_OK;
}
