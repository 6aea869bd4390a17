/* Any bytes are a merges.txt or are refused with the line; of those that are, every line is a merge of the document. */
#include <stdint.h>
#include <stdlib.h>

#include "data/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *document = NULL, *vocab = json_pack("{s:i, s:i, s:i, s:i}", "a", 0, "b", 1, "ab", 2, "<|endoftext|>", 3);
    tg_tokenizer *tokenizer = NULL;
    if (tg_merges_document(&document, vocab, (const char *)data, size, "fuzz") != TG_OK) {
        if (document != NULL || *tg_message() == '\0')
            abort();
        return 0;
    }
    const size_t merges = json_array_size(json_object_get(json_object_get(document, "model"), "merges"));
    size_t lines = 0;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    if (merges > lines + 1)
        abort();
    if (tg_tokenizer_from_document(&tokenizer, document, "fuzz") != TG_OK && tokenizer != NULL)
        abort();
    tg_tokenizer_destroy(tokenizer);
    json_decref(document);
    return 0;
}
