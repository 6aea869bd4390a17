/* data/byte.c -- the byte tokenizer: token = byte value. Any file is legal.
 *
 * In tokenizer.json it is a byte-level BPE without merges. */
#include <string.h>

#include "base/fail.h"
#include "base/utf8.h"
#include "data/byte_name.h"
#include "data/tokenizer.h"

#define FOUR(b) (char)(b), (char)((b) + 1), (char)((b) + 2), (char)((b) + 3)
#define SIXTEEN(b) FOUR(b), FOUR((b) + 4), FOUR((b) + 8), FOUR((b) + 12)
#define SIXTY_FOUR(b) SIXTEEN(b), SIXTEEN((b) + 16), SIXTEEN((b) + 32), SIXTEEN((b) + 48)
static const char every_byte[TG_BYTES] = {SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192)};

/* The name of `byte` in the vocabulary, with a 0. */
static void byte_name(char text[static TG_UTF8_BYTES + 1], uint32_t byte)
{
    text[tg_utf8_encode(text, tg_byte_name(byte))] = '\0';
}

static json_t *vocab_json(const tg_tokenizer *tokenizer)
{
    (void)tokenizer;
    json_t *vocab = json_object();
    for (uint32_t byte = 0; vocab != NULL && byte < TG_BYTES; byte++) {
        char name[TG_UTF8_BYTES + 1];
        byte_name(name, byte);
        if (json_object_set_new(vocab, name, json_integer(byte)) != 0) {
            json_decref(vocab);
            return NULL;
        }
    }
    return vocab;
}

static tg_status read(tg_tokenizer *tokenizer, const json_t *document, const char *name)
{
    const json_t *const vocab = json_object_get(json_object_get(document, "model"), "vocab");
    for (uint32_t byte = 0; byte < TG_BYTES; byte++) {
        char key[TG_UTF8_BYTES + 1];
        byte_name(key, byte);
        const json_t *const id = json_object_get(vocab, key);
        if (!json_is_integer(id) || json_integer_value(id) != byte)
            return tg_fail(TG_EUNSUPPORTED, "'%s': byte %u is not token %u; only the plain byte vocabulary is known",
                           name, (unsigned)byte, (unsigned)byte);
    }
    if (json_object_size(vocab) != TG_BYTES)
        return tg_fail(TG_EUNSUPPORTED, "'%s': a byte vocabulary has 256 tokens, not %zu", name,
                       json_object_size(vocab));
    tokenizer->vocab = TG_BYTES;
    return TG_OK;
}

static tg_status encode(const tg_tokenizer *tokenizer, void *work, const char *text, size_t bytes,
                        const tg_token_sink *sink)
{
    (void)tokenizer, (void)work;
    uint32_t ids[TG_TOKENS_AT_ONCE];
    tg_status status = TG_OK;
    for (size_t at = 0; status == TG_OK && at < bytes;) {
        const size_t left = bytes - at, n = left < TG_TOKENS_AT_ONCE ? left : TG_TOKENS_AT_ONCE;
        for (size_t i = 0; i < n; i++)
            ids[i] = (unsigned char)text[at + i];
        status = sink->put(sink->ctx, ids, n);
        if (sink->passed != NULL)
            sink->passed(sink->ctx, text + at, text + at + n);
        at += n;
    }
    return status;
}

static const char *token(const tg_tokenizer *tokenizer, uint32_t id, size_t *bytes)
{
    (void)tokenizer;
    *bytes = 1;
    return &every_byte[id];
}

static size_t own_bytes(const void *own)
{
    (void)own;
    return 0;
}

static void destroy(void *own) { (void)own; }

const tg_tokenizer_type tg_tokenizer_type_byte = {
    .name = "byte",
    .bytes_are_tokens = true,
    .layout =
        "{'version': '1.0', 'truncation': null, 'padding': null, 'added_tokens': [], 'normalizer': null,"
        " 'pre_tokenizer': {'type': 'ByteLevel', 'add_prefix_space': false, 'trim_offsets': true, 'use_regex': false},"
        " 'post_processor': null,"
        " 'decoder': {'type': 'ByteLevel', 'add_prefix_space': true, 'trim_offsets': true, 'use_regex': true},"
        " 'model': {'type': 'BPE', 'dropout': null, 'unk_token': null, 'continuing_subword_prefix': null,"
        " 'end_of_word_suffix': null, 'fuse_unk': false, 'byte_fallback': false, 'ignore_merges': false,"
        " 'vocab': {}, 'merges': []}}",
    .essential =
        "{'added_tokens': [], 'normalizer': null,"
        " 'pre_tokenizer': {'type': 'ByteLevel', 'add_prefix_space': false, 'use_regex': false},"
        " 'post_processor': null, 'decoder': {'type': 'ByteLevel'},"
        " 'model': {'type': 'BPE', 'continuing_subword_prefix': null, 'end_of_word_suffix': null, 'merges': []}}",
    .vocab_json = vocab_json,
    .read = read,
    .encode = encode,
    .token = token,
    .own_bytes = own_bytes,
    .destroy = destroy,
};

tg_status tg_tokenizer_byte(tg_tokenizer **out)
{
    tg_tokenizer *const tokenizer = tg_tokenizer_new(&tg_tokenizer_type_byte);
    if (tokenizer == NULL)
        return TG_ENOMEM;
    tokenizer->vocab = TG_BYTES;
    *out = tokenizer;
    return TG_OK;
}
