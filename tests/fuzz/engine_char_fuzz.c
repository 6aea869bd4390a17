/* Any bytes are a text for the char tokenizer or are refused at a place; a text comes back from its tokens. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/tokenizer.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How many bytes from the beginning are characters other than U+0000. */
static size_t legal_bytes(const char *text, size_t bytes)
{
    size_t at = 0;
    while (at < bytes) {
        uint32_t code_point;
        char again[TG_UTF8_BYTES];
        const size_t length = tg_utf8_decode(&code_point, text + at, bytes - at);
        if (length == 0 || code_point == 0)
            break;
        if (tg_utf8_encode(again, code_point) != length || memcmp(again, text + at, length) != 0)
            abort();
        at += length;
    }
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *const text = (const char *)data;
    tg_tokenizer *tokenizer = NULL;
    const size_t legal = legal_bytes(text, size);
    const tg_status status = tg_tokenizer_char(&tokenizer, text, size);
    if ((status == TG_OK) != (legal == size && size > 0))
        abort();
    if (status != TG_OK)
        return 0;
    uint32_t *ids;
    size_t count, at = 0;
    if (tg_tokenizer_encode(tokenizer, &ids, &count, text, size) != TG_OK)
        abort();
    for (size_t i = 0; i < count; i++) {
        size_t bytes;
        const char *const token = tg_tokenizer_token(tokenizer, ids[i], &bytes);
        if (bytes > size - at || memcmp(token, text + at, bytes) != 0)
            abort();
        at += bytes;
    }
    if (at != size)
        abort();
    tg_tokens_free(ids);
    tg_tokenizer_destroy(tokenizer);
    return 0;
}
