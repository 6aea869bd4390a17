/* data/byte.c -- the byte tokenizer: token = byte value. Any file is legal.
 *
 * In tokenizer.json it is a byte-level BPE without merges. Hugging Face (after GPT-2) writes every byte there as one
 * printable character: itself where it is printable in Latin-1, otherwise the next unused one from U+0100 on. */
#include <string.h>

#include "base/fail.h"
#include "data/tokenizer.h"
#include "base/utf8.h"

#define BYTES 256

#define FOUR(b) (char)(b), (char)((b) + 1), (char)((b) + 2), (char)((b) + 3)
#define SIXTEEN(b) FOUR(b), FOUR((b) + 4), FOUR((b) + 8), FOUR((b) + 12)
#define SIXTY_FOUR(b) SIXTEEN(b), SIXTEEN((b) + 16), SIXTEEN((b) + 32), SIXTEEN((b) + 48)
static const char every_byte[BYTES] = {SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192)};

static bool stands_for_itself(uint32_t byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/* The name of `byte` in the vocabulary, with a 0; `*spare` is the next unused character. To be called in byte order. */
static void byte_name(char text[static TG_UTF8_BYTES + 1], uint32_t byte, uint32_t *spare)
{
    const uint32_t code_point = stands_for_itself(byte) ? byte : (*spare)++;
    text[tg_utf8_encode(text, code_point)] = '\0';
}

static json_t *vocab_json(const tg_tokenizer *tokenizer)
{
    (void)tokenizer;
    json_t *vocab = json_object();
    uint32_t spare = BYTES;
    for (uint32_t byte = 0; vocab != NULL && byte < BYTES; byte++) {
        char name[TG_UTF8_BYTES + 1];
        byte_name(name, byte, &spare);
        if (json_object_set_new(vocab, name, json_integer(byte)) != 0) {
            json_decref(vocab);
            return NULL;
        }
    }
    return vocab;
}

static tg_status read_vocab(tg_tokenizer *tokenizer, const json_t *vocab, const char *name)
{
    uint32_t spare = BYTES;
    for (uint32_t byte = 0; byte < BYTES; byte++) {
        char key[TG_UTF8_BYTES + 1];
        byte_name(key, byte, &spare);
        const json_t *const id = json_object_get(vocab, key);
        if (!json_is_integer(id) || json_integer_value(id) != byte)
            return tg_fail(TG_EUNSUPPORTED, "'%s': byte %u is not token %u; only the plain byte vocabulary is known",
                           name, (unsigned)byte, (unsigned)byte);
    }
    if (json_object_size(vocab) != BYTES)
        return tg_fail(TG_EUNSUPPORTED, "'%s': a byte vocabulary has 256 tokens, not %zu", name,
                       json_object_size(vocab));
    tokenizer->vocab = BYTES;
    return TG_OK;
}

static size_t most_tokens(const char *text, size_t bytes)
{
    (void)text;
    return bytes;
}

static tg_status encode(const tg_tokenizer *tokenizer, uint32_t *ids, size_t room, size_t *count, const char *text,
                        size_t bytes, size_t *offset)
{
    (void)tokenizer;
    const size_t left = bytes - *offset, n = left < room ? left : room;
    for (size_t i = 0; i < n; i++)
        ids[i] = (unsigned char)text[*offset + i];
    *offset += n;
    *count = n;
    return TG_OK;
}

static const char *token(const tg_tokenizer *tokenizer, uint32_t id, size_t *bytes)
{
    (void)tokenizer;
    *bytes = 1;
    return &every_byte[id];
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
    .read_vocab = read_vocab,
    .most_tokens = most_tokens,
    .encode = encode,
    .token = token,
    .destroy = destroy,
};

tg_status tg_tokenizer_byte(tg_tokenizer **out)
{
    tg_tokenizer *const tokenizer = tg_tokenizer_new(&tg_tokenizer_type_byte);
    if (tokenizer == NULL)
        return TG_ENOMEM;
    tokenizer->vocab = BYTES;
    *out = tokenizer;
    return TG_OK;
}
