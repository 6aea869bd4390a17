/* Any bytes are a tokenizer.json or are refused; a tokenizer gives every one of its tokens back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tg_tokenizer *tokenizer = NULL;
    if (tg_tokenizer_parse(&tokenizer, (const char *)data, size, "fuzz") != TG_OK) {
        if (tokenizer != NULL || *tg_message() == '\0')
            abort();
        return 0;
    }
    for (uint32_t id = 0; id < tg_tokenizer_vocab(tokenizer); id++) {
        size_t bytes, count;
        uint32_t *ids;
        const char *const token = tg_tokenizer_token(tokenizer, id, &bytes);
        if (bytes < 1 || bytes > 4 || tg_tokenizer_encode(tokenizer, &ids, &count, token, bytes) != TG_OK)
            abort();
        if (count != 1 || *ids != id)
            abort();
        tg_tokens_free(ids);
    }
    tg_tokenizer_destroy(tokenizer);
    return 0;
}
