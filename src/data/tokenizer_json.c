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

#define FILE_NAME "tokenizer.json"
#define CONFIG_NAME "tokenizer_config.json"
#define CONFIG_TEXT "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n"
#define MAX_FILE ((size_t)256 << 20) /* a vocabulary of all of Unicode has 30 MiB */
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

/* The kind with the same type of model; the place where the file is not that kind's goes into the message. */
static tg_status find_type(const tg_tokenizer_type **type, const json_t *document, const char *name)
{
    const json_t *const model = json_object_get(document, "model");
    const char *const model_type = json_string_value(json_object_get(model, "type"));
    if (model_type == NULL)
        return tg_fail(TG_EFORMAT, "'%s': model.type is missing; this is no " FILE_NAME " of Hugging Face tokenizers",
                       name);
    for (size_t i = 0; i < TYPES; i++) {
        json_t *const essential = from_layout(types[i]->essential);
        if (essential == NULL)
            return tg_no_memory("reading a tokenizer", MAX_LAYOUT);
        const char *const known = json_string_value(json_object_get(json_object_get(essential, "model"), "type"));
        char path[MAX_LAYOUT] = "";
        const bool same_model = strcmp(model_type, known) == 0;
        const bool differs = same_model && lacks(document, essential, path, sizeof path, 0);
        json_decref(essential);
        if (same_model && !differs) {
            *type = types[i];
            return TG_OK;
        }
        if (differs)
            return tg_fail(TG_EUNSUPPORTED, "'%s': %s is not that of a plain %s tokenizer, and others are not known",
                           name, path, types[i]->name);
    }
    return tg_fail(TG_EUNSUPPORTED, "'%s': a tokenizer of type '%.40s' is not known, only byte and char are", name,
                   model_type);
}

static tg_status read_document(tg_tokenizer **out, const json_t *document, const char *name)
{
    const tg_tokenizer_type *type = NULL;
    tg_status status = find_type(&type, document, name);
    if (status != TG_OK)
        return status;
    const json_t *const vocab = json_object_get(json_object_get(document, "model"), "vocab");
    if (!json_is_object(vocab))
        return tg_fail(TG_EFORMAT, "'%s': model.vocab is no object", name);
    tg_tokenizer *const tokenizer = tg_tokenizer_new(type);
    if (tokenizer == NULL)
        return TG_ENOMEM;
    status = type->read_vocab(tokenizer, vocab, name);
    if (status != TG_OK) {
        tg_tokenizer_destroy(tokenizer);
        return status;
    }
    *out = tokenizer;
    return TG_OK;
}

tg_status tg_tokenizer_parse(tg_tokenizer **out, const char *json, size_t bytes, const char *name)
{
    json_error_t error;
    json_t *const document = json_loadb(json, bytes, JSON_REJECT_DUPLICATES, &error);
    if (document == NULL)
        return tg_fail(TG_EFORMAT, "'%s' line %d column %d: %s", name, error.line, error.column, error.text);
    const tg_status status = read_document(out, document, name);
    json_decref(document);
    return status;
}

tg_status tg_tokenizer_read(tg_tokenizer **out, const char *directory)
{
    const char *text;
    size_t bytes;
    char *const path = tg_file_join(directory, FILE_NAME);
    if (path == NULL)
        return tg_no_memory("a path", strlen(directory));
    tg_status status = tg_text_open(&text, &bytes, path);
    if (status == TG_OK) {
        status = bytes > MAX_FILE ? tg_fail(TG_EFORMAT, "'%s' is too large for a tokenizer (%zu bytes)", path, bytes)
                                  : tg_tokenizer_parse(out, text, bytes, path);
        tg_text_close(text, bytes);
    }
    tg_heap_free(path);
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

static tg_status write_in(const char *directory, const char *name, const char *text)
{
    char *const path = tg_file_join(directory, name);
    if (path == NULL)
        return tg_no_memory("a path", strlen(directory));
    const tg_status status = tg_file_write_whole(path, text, strlen(text));
    tg_heap_free(path);
    return status;
}

tg_status tg_tokenizer_write(const tg_tokenizer *tokenizer, const char *directory)
{
    char *const text = to_text(tokenizer);
    if (text == NULL)
        return tg_no_memory("writing a tokenizer", tokenizer->vocab);
    tg_status status = write_in(directory, FILE_NAME, text);
    if (status == TG_OK)
        status = write_in(directory, CONFIG_NAME, CONFIG_TEXT);
    free(text);
    return status;
}
