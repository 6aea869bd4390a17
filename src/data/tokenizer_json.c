/* data/tokenizer_json.c -- tokenizer.json in the layout of Hugging Face `tokenizers`.
 *
 * A kind is told by what it writes: a file is of the first kind whose essential part it has. A file that would give
 * other ids than ours is refused, not guessed at. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "data/tokenizer.h"

#define FILE_NAME TG_TOKENIZER_FILE
#define CONFIG_NAME TG_TOKENIZER_CONFIG
#define CONFIG_TEXT "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n"
#define MAX_LAYOUT 1024

static const tg_tokenizer_type *const types[] = {
#define TG_TOKENIZER(name) &tg_tokenizer_type_##name,
#include "data/tokenizers.inc"
#undef TG_TOKENIZER
};
#define TYPES (sizeof types / sizeof *types)

/* A descriptor's text as JSON; NULL when there is no memory. */
static json_t *from_layout(const char *layout)
{
    char text[MAX_LAYOUT];
    size_t i = 0;
    for (; layout[i] != '\0' && i + 1 < sizeof text; i++)
        text[i] = layout[i] == '\'' ? '"' : layout[i];
    return json_loadb(text, i, 0, NULL);
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

/* The path of the first place where `value` lacks what `wanted` has, into `path` behind its `used` letters; false when
 * there is none. */
static bool lacks(const json_t *value, const json_t *wanted, char *path, size_t room, size_t used)
{
    if (json_is_null(wanted))
        return value != NULL && !json_is_null(value);
    if (!json_is_object(wanted))
        return value == NULL || !json_equal(value, wanted);
    if (!json_is_object(value))
        return true;
    const char *key;
    json_t *part;
    json_object_foreach((json_t *)wanted, key, part)
    {
        const int more = snprintf(path + used, room - used, "%s%s", used == 0 ? "" : ".", key);
        if (lacks(json_object_get(value, key), part, path, room, used + (size_t)more))
            return true;
    }
    path[used] = '\0';
    return false;
}

/* Whether the file has what a kind needs; *same when its type of model at least is that kind's. */
static tg_status fits(bool *same, const tg_tokenizer_type *type, const json_t *document, const char *name)
{
    const json_t *const model = json_object_get(document, "model");
    json_t *const essential = from_layout(type->essential);
    if (essential == NULL)
        return tg_no_memory("reading a tokenizer", MAX_LAYOUT);
    const char *const known = json_string_value(json_object_get(json_object_get(essential, "model"), "type"));
    char path[MAX_LAYOUT] = "";
    *same = strcmp(json_string_value(json_object_get(model, "type")), known) == 0;
    const bool differs = *same && lacks(document, essential, path, sizeof path, 0);
    json_decref(essential);
    if (differs)
        return tg_fail(TG_EUNSUPPORTED, "'%s': %s is not that of a plain %s tokenizer, and others are not known", name,
                       path, type->name);
    return TG_OK;
}

static tg_status read_as(tg_tokenizer **out, const tg_tokenizer_type *type, const json_t *document, const char *name)
{
    tg_tokenizer *const tokenizer = tg_tokenizer_new(type);
    if (tokenizer == NULL)
        return TG_ENOMEM;
    const tg_status status = type->read(tokenizer, document, name);
    if (status != TG_OK)
        tg_tokenizer_destroy(tokenizer);
    else
        *out = tokenizer;
    return status;
}

/* The first kind that knows the file; the message is the last one's with the file's type of model. */
tg_status tg_tokenizer_from_document(tg_tokenizer **out, const json_t *document, const char *name)
{
    const json_t *const model = json_object_get(document, "model");
    const char *const model_type = json_string_value(json_object_get(model, "type"));
    bool any = false;
    tg_status status = TG_OK;
    if (model_type == NULL)
        return tg_fail(TG_EFORMAT, "'%s': model.type is missing; this is no " FILE_NAME " of Hugging Face tokenizers",
                       name);
    for (size_t i = 0; i < TYPES; i++) {
        bool same = false;
        status = fits(&same, types[i], document, name);
        if (!same && status == TG_OK)
            continue;
        any = true;
        if (status == TG_OK && !json_is_object(json_object_get(model, "vocab")))
            status = tg_fail(TG_EFORMAT, "'%s': model.vocab is no object", name);
        if (status == TG_OK)
            status = read_as(out, types[i], document, name);
        if (status != TG_EUNSUPPORTED)
            return status;
    }
    if (any)
        return TG_EUNSUPPORTED;
    return tg_fail(TG_EUNSUPPORTED, "'%s': a tokenizer of type '%.40s' is not known, only byte, char and BPE are", name,
                   model_type);
}

/* A kind without a layout is written as it was read. */
static tg_status keep_text(tg_tokenizer *tokenizer, const char *text, size_t bytes)
{
    if (tokenizer->type->layout != NULL)
        return TG_OK;
    tokenizer->text = tg_heap_alloc(bytes, 1);
    if (tokenizer->text == NULL)
        return tg_no_memory("a tokenizer's text", bytes);
    memcpy(tokenizer->text, text, bytes);
    tokenizer->text_bytes = bytes;
    return TG_OK;
}

tg_status tg_tokenizer_parse(tg_tokenizer **out, const char *json, size_t bytes, const char *name)
{
    json_error_t error;
    tg_tokenizer *tokenizer = NULL;
    json_t *const document = json_loadb(json, bytes, JSON_REJECT_DUPLICATES, &error);
    if (document == NULL)
        return tg_fail(TG_EFORMAT, "'%s' line %d column %d: %s", name, error.line, error.column, error.text);
    tg_status status = tg_tokenizer_from_document(&tokenizer, document, name);
    json_decref(document);
    if (status == TG_OK)
        status = keep_text(tokenizer, json, bytes);
    if (status != TG_OK)
        tg_tokenizer_destroy(tokenizer);
    else
        *out = tokenizer;
    return status;
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* The whole file as text, released by free (jansson's memory); NULL when there is none. */
static char *to_text(const tg_tokenizer *tokenizer)
{
    json_t *const document = from_layout(tokenizer->type->layout);
    json_t *const vocab = tokenizer->type->vocab_json(tokenizer);
    char *text = NULL;
    if (document != NULL && vocab != NULL && json_object_set(json_object_get(document, "model"), "vocab", vocab) == 0)
        text = json_dumps(document, JSON_INDENT(2));
    json_decref(vocab);
    json_decref(document);
    return text;
}

static tg_status write_in(const char *directory, const char *name, const char *text, size_t bytes)
{
    char *const path = tg_file_join(directory, name);
    if (path == NULL)
        return tg_no_memory("a path", strlen(directory));
    const tg_status status = tg_file_write_whole(path, text, bytes);
    tg_heap_free(path);
    return status;
}

tg_status tg_tokenizer_write(const tg_tokenizer *tokenizer, const char *directory)
{
    char *const made = tokenizer->text == NULL ? to_text(tokenizer) : NULL;
    const char *const text = tokenizer->text != NULL ? tokenizer->text : made;
    if (text == NULL)
        return tg_no_memory("writing a tokenizer", tokenizer->vocab);
    const char *const config = tokenizer->config != NULL ? tokenizer->config : CONFIG_TEXT;
    tg_status status = write_in(directory, FILE_NAME, text, made == NULL ? tokenizer->text_bytes : strlen(made));
    if (status == TG_OK)
        status = write_in(directory, CONFIG_NAME, config, strlen(config));
    free(made);
    return status;
}
