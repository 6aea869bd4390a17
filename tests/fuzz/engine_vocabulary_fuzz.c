/* engine_vocabulary_fuzz.c -- any bytes are a vocab.txt, from which a tokenizer is made that reads a text, or are
 * refused. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "The lion's ##den, [MASK]\xc3\xa9";
    json_t *document = NULL;
    tg_tokenizer *tokenizer = NULL;
    uint32_t *ids;
    size_t count;
    if (tg_vocabulary_document(&document, (const char *)data, size, NULL, "fuzz") != TG_OK) {
        if (document != NULL || *tg_message() == '\0')
            abort();
        return 0;
    }
    if (tg_tokenizer_from_document(&tokenizer, document, "fuzz") == TG_OK) {
        if (tg_tokenizer_encode(tokenizer, &ids, &count, text, sizeof text - 1) != TG_OK)
            abort();
        for (size_t i = 0; i < count; i++)
            if (ids[i] >= tg_tokenizer_vocab(tokenizer))
                abort();
        tg_tokens_free(ids);
    }
    tg_tokenizer_destroy(tokenizer);
    json_decref(document);
    return 0;
}
