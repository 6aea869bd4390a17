/* Any bytes are a tokenizer.json or are refused; byte and char tokenizers give every one of their tokens back, and what
 * a bpe tokenizer encodes is made of tokens it has. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tokens(const tg_tokenizer *tokenizer)
{
    for (uint32_t id = 0; id < tg_tokenizer_vocab(tokenizer); id++) {
        size_t bytes, count;
        uint32_t *ids;
        const char *const token = tg_tokenizer_token(tokenizer, id, &bytes);
        uint32_t mask;
        if (tg_tokenizer_mask(tokenizer, &mask) && id == mask)
            continue;
        if (bytes < 1 || bytes > 4 || tg_tokenizer_encode(tokenizer, &ids, &count, token, bytes) != TG_OK)
            abort();
        if (count != 1 || *ids != id)
            abort();
        tg_tokens_free(ids);
    }
}

static void check_text(const tg_tokenizer *tokenizer)
{
    static const char text[] = "the lion's  12 <|endoftext|>\n\xe6\x95\x8f\xff";
    uint32_t *ids;
    size_t count, bytes;
    if (tg_tokenizer_encode(tokenizer, &ids, &count, text, sizeof text - 1) != TG_OK)
        return; /* it may lack bytes */
    for (size_t i = 0; i < count; i++)
        if (ids[i] >= tg_tokenizer_vocab(tokenizer) || tg_tokenizer_token(tokenizer, ids[i], &bytes) == NULL ||
            bytes == 0)
            abort();
    tg_tokens_free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tg_tokenizer *tokenizer = NULL;
    if (tg_tokenizer_parse(&tokenizer, (const char *)data, size, "fuzz") != TG_OK) {
        if (tokenizer != NULL || *tg_message() == '\0')
            abort();
        return 0;
    }
    if (strcmp(tg_tokenizer_kind(tokenizer), "bpe") == 0 || strcmp(tg_tokenizer_kind(tokenizer), "wordpiece") == 0)
        check_text(tokenizer);
    else
        check_tokens(tokenizer);
    tg_tokenizer_destroy(tokenizer);
    return 0;
}
