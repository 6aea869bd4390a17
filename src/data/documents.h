/* data/documents.h -- the documents of a file: all of it, its lines, or the objects of JSON Lines. */
#ifndef TG_DATA_DOCUMENTS_H
#define TG_DATA_DOCUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "tiger/engine/data.h"

typedef struct tg_document {
    const char *prompt, *text; /* prompt NULL: none; otherwise only the text is to be predicted */
    size_t prompt_bytes, text_bytes;
    size_t end; /* offset in the file behind it */
} tg_document;

typedef tg_status tg_document_function(void *ctx, const tg_document *document);

/* Hands on every document, in order; blank lines are none. `name` is the file's: it stands in messages, with the number
 * of the line, in front of those of `each` too. */
tg_status tg_documents_run(tg_data_format format, const char *text, size_t bytes, const char *name,
                           tg_document_function *each, void *ctx);

/* One line of JSON Lines (jsonl.c); a failure's message begins with the cause. */
tg_status tg_jsonl_run(const char *line, size_t bytes, size_t end, tg_document_function *each, void *ctx);

#endif
