/* Any bytes are a text for a byte-level BPE, and come back from its tokens. The first byte chooses the words: GPT-2's,
 * a pattern of its own, or digits one by one. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/byte_name.h"
#include "data/tokenizer.h"

#define KINDS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const pre_tokenizers[KINDS] = {
    "{\"type\":\"ByteLevel\"}",
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":"
    "\"(?i:'s|'t)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}},"
    "{\"type\":\"ByteLevel\",\"use_regex\":false}]}",
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},{\"type\":"
    "\"ByteLevel\"}]}",
};

static tg_tokenizer *make(int kind)
{
    static char json[1 << 14];
    tg_tokenizer *tokenizer = NULL;
    size_t used =
        (size_t)sprintf(json,
                        "{\"added_tokens\":[{\"id\":262,\"content\":\"<e>\",\"special\":true,\"normalized\":false},"
                        "{\"id\":263,\"content\":\"<e\",\"special\":false,\"normalized\":true}],\"pre_tokenizer\":%s,"
                        "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"ignore_merges\":%s,"
                        "\"merges\":[\"a a\",\"aa aa\","
                        "\"a b\",\"ab "
                        "a\",[\"\\u0120\",\"a\"]],\"vocab\":{\"aa\":256,\"aaaa\":257,\"ab\":258,\"aba\":259,"
                        "\"\\u0120a\":260,\"cc\":261",
                        pre_tokenizers[kind], kind == 1 ? "true" : "false");
    for (uint32_t byte = 0; byte < TG_BYTES; byte++)
        used += (size_t)sprintf(json + used, ",\"\\u%04x\":%u", (unsigned)tg_byte_name(byte), (unsigned)byte);
    used += (size_t)sprintf(json + used, "}}}");
    if (tg_tokenizer_parse(&tokenizer, json, used, "fuzz") != TG_OK)
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
    const char *const text = (const char *)data + 1;
    const size_t bytes = size - 1;
    uint32_t *ids;
    size_t count, at = 0;
    if (tg_tokenizer_encode(*tokenizer, &ids, &count, text, bytes) != TG_OK)
        abort();
    for (size_t i = 0; i < count; i++) {
        size_t length;
        const char *const token = tg_tokenizer_token(*tokenizer, ids[i], &length);
        if (length == 0 || length > bytes - at || memcmp(token, text + at, length) != 0)
            abort();
        at += length;
    }
    if (at != bytes)
        abort();
    tg_tokens_free(ids);
    return 0;
}
