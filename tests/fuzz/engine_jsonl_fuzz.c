/* Any bytes are JSON Lines or are refused with a message that names the line; every document is counted by its end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "data/documents.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static tg_status look(void *ctx, const tg_document *document)
{
    size_t *const last = ctx;
    if (document->text == NULL || document->end <= *last || (document->prompt == NULL && document->prompt_bytes > 0))
        abort();
    if (document->text[document->text_bytes] != '\0')
        abort();
    *last = document->end;
    return TG_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t last = 0;
    const tg_status status = tg_documents_run(TG_FORMAT_JSONL, (const char *)data, size, "fuzz", look, &last);
    if (status != TG_OK && (status != TG_EFORMAT || strncmp(tg_message(), "'fuzz' line ", 12) != 0))
        abort();
    return 0;
}
