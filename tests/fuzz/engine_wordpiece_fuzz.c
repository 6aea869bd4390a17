/* engine_wordpiece_fuzz.c -- any legal text is one for a WordPiece, and its ids are tokens; other bytes are refused.
 * The first byte chooses the normal form. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/tokenizer.h"

#define KINDS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const normalizers[KINDS] = {
    "null",
    "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_accents\":null,"
    "\"lowercase\":true}",
    "{\"type\":\"BertNormalizer\",\"clean_text\":false,\"handle_chinese_chars\":true,\"strip_accents\":false,"
    "\"lowercase\":true}",
    "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":false,\"strip_accents\":true,"
    "\"lowercase\":false}",
};

static tg_tokenizer *make(int kind)
{
    char json[4096];
    tg_tokenizer *tokenizer = NULL;
    const int used = snprintf(
        json, sizeof json,
        "{\"added_tokens\":[{\"id\":0,\"content\":\"[M]\",\"special\":true,\"normalized\":false,\"lstrip\":true},"
        "{\"id\":14,\"content\":\"Ab\",\"special\":false,\"normalized\":true}],\"normalizer\":%s,"
        "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":"
        "[\"a\",2],\"sep\":[\"b\",3]},\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[U]\",\"continuing_subword_"
        "prefix\":"
        "\"##\",\"max_input_chars_per_word\":7,\"vocab\":{\"[M]\":0,\"[U]\":1,\"a\":2,\"b\":3,\"##a\":4,\"##b\":5,"
        "\"ab\":6,"
        "\"##ab\":7,\"e\":8,\"##e\":9,\"##\\u0301\":10,\".\":11,\"\\u4e00\":12,\"##\":13}}}",
        normalizers[kind]);
    if (tg_tokenizer_parse(&tokenizer, json, (size_t)used, "fuzz") != TG_OK)
        abort();
    return tokenizer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static tg_tokenizer *tokenizers[KINDS];
    if (size == 0)
        return 0;
    tg_tokenizer **const tokenizer = &tokenizers[data[0] % KINDS];
    if (*tokenizer == NULL)
        *tokenizer = make(data[0] % KINDS);
    uint32_t *ids;
    size_t count, bytes;
    const tg_status status = tg_tokenizer_encode(*tokenizer, &ids, &count, (const char *)data + 1, size - 1);
    if (status != TG_OK) {
        if (status != TG_EFORMAT)
            abort();
        return 0;
    }
    for (size_t i = 0; i < count; i++)
        if (ids[i] >= tg_tokenizer_vocab(*tokenizer) || tg_tokenizer_token(*tokenizer, ids[i], &bytes) == NULL ||
            bytes == 0)
            abort();
    tg_tokens_free(ids);
    return 0;
}
