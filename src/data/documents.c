/* data/documents.c -- the documents of a file: all of it, its lines, or the objects of JSON Lines. */
#include "data/documents.h"

#include <string.h>

#include "base/fail.h"

static tg_status run_line(const char *line, size_t bytes, size_t end, tg_document_function *each, void *ctx)
{
    return each(ctx, &(tg_document){.text = line, .text_bytes = bytes, .end = end});
}

/* How one line becomes a document; NULL: the file is one. */
static tg_status (*const by_line[TG_FORMATS])(const char *line, size_t bytes, size_t end, tg_document_function *each,
                                              void *ctx) = {
    [TG_FORMAT_LINES] = run_line,
    [TG_FORMAT_JSONL] = tg_jsonl_run,
};

static bool is_blank(const char *line, size_t bytes)
{
    size_t i = 0;
    while (i < bytes && (line[i] == ' ' || (line[i] >= '\t' && line[i] <= '\r')))
        i++;
    return i == bytes;
}

static tg_status run_lines(tg_data_format format, const char *text, size_t bytes, const char *name,
                           tg_document_function *each, void *ctx)
{
    size_t number = 0;
    for (size_t at = 0, end; at < bytes; at = end + 1) {
        const char *const line = text + at, *const newline = memchr(line, '\n', bytes - at);
        end = newline == NULL ? bytes : (size_t)(newline - text);
        size_t length = end - at;
        length -= length > 0 && line[length - 1] == '\r';
        number++;
        if (is_blank(line, length))
            continue;
        const tg_status status = by_line[format](line, length, end, each, ctx);
        if (status != TG_OK)
            return tg_fail(status, "'%s' line %zu: %s", name, number, tg_message());
    }
    return TG_OK;
}

tg_status tg_documents_run(tg_data_format format, const char *text, size_t bytes, const char *name,
                           tg_document_function *each, void *ctx)
{
    if (by_line[format] != NULL)
        return run_lines(format, text, bytes, name, each, ctx);
    const tg_status status = run_line(text, bytes, bytes, each, ctx);
    return status == TG_OK ? TG_OK : tg_fail(status, "'%s': %s", name, tg_message());
}
