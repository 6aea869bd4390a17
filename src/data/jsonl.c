/* data/jsonl.c -- one line of JSON Lines: {"text": ...} or {"prompt": ..., "response": ...}; other keys are not looked
 * at. */
#include <jansson.h>

#include "base/fail.h"
#include "data/documents.h"

static tg_status wrong(const char *key) { return tg_fail(TG_EFORMAT, "\"%s\" is not a text", key); }

static tg_status read_object(tg_document *document, const json_t *object)
{
    const json_t *const text = json_object_get(object, "text"), *const prompt = json_object_get(object, "prompt");
    const json_t *const response = json_object_get(object, "response");
    if (!json_is_object(object))
        return tg_fail(TG_EFORMAT, "this is no object");
    if ((text != NULL) == (prompt != NULL || response != NULL) || (prompt != NULL) != (response != NULL))
        return tg_fail(TG_EFORMAT, "an object needs \"text\", or \"prompt\" and \"response\"");
    const json_t *const own = text != NULL ? text : response;
    if (!json_is_string(own))
        return wrong(text != NULL ? "text" : "response");
    if (prompt != NULL && !json_is_string(prompt))
        return wrong("prompt");
    document->text = json_string_value(own);
    document->text_bytes = json_string_length(own);
    document->prompt = json_string_value(prompt);
    document->prompt_bytes = json_string_length(prompt);
    return TG_OK;
}

tg_status tg_jsonl_run(const char *line, size_t bytes, size_t end, tg_document_function *each, void *ctx)
{
    json_error_t error;
    tg_document document = {.end = end};
    json_t *const object = json_loadb(line, bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (object == NULL)
        return tg_fail(TG_EFORMAT, "column %d: %s", error.column, error.text);
    tg_status status = read_object(&document, object);
    if (status == TG_OK)
        status = each(ctx, &document);
    json_decref(object);
    return status;
}
