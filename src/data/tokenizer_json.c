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
#define MASKED_CONFIG                                                                                                  \
    "{\n  \"mask_token\": \"" TG_MASK_TEXT "\",\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n"
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

/* added_tokens of a tokenizer that was given a mask of its own. */
static json_t *mask_json(json_int_t id)
{
    return json_pack("[{s:I, s:s, s:b, s:b, s:b, s:b, s:b}]", "id", id, "content", TG_MASK_TEXT, "single_word", 0,
                     "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1);
}

/* *plain <- the document without the mask that a tokenizer of ours may have been given, a new reference, and *id that
 * mask's; or the document itself and -1. */
static tg_status take_mask(json_t **plain, json_int_t *id, const json_t *document)
{
    const json_t *const added = json_object_get(document, "added_tokens");
    const json_t *const first = json_array_get(added, 0), *const number = json_object_get(first, "id");
    json_t *const wanted = mask_json(json_integer_value(number));
    const bool has = wanted != NULL && json_is_integer(number) && json_equal(added, wanted);
    json_decref(wanted);
    *id = has ? json_integer_value(number) : -1;
    *plain = has ? json_copy((json_t *)document) : json_incref((json_t *)document);
    if (*plain == NULL || (has && json_object_set_new(*plain, "added_tokens", json_array()) != 0)) {
        json_decref(*plain);
        return tg_no_memory("reading a tokenizer", MAX_LAYOUT);
    }
    return TG_OK;
}

static tg_status read_as(tg_tokenizer **out, const tg_tokenizer_type *type, const json_t *document, json_int_t mask,
                         const char *name)
{
    tg_tokenizer *const tokenizer = tg_tokenizer_new(type);
    if (tokenizer == NULL)
        return TG_ENOMEM;
    tg_status status = type->read(tokenizer, document, name);
    if (status == TG_OK)
        status = tg_tokenizer_read_frame(tokenizer, document, name);
    if (status == TG_OK && mask >= 0 && type->layout != NULL)
        status = (size_t)mask == tokenizer->vocab
                     ? tg_tokenizer_add_mask(tokenizer)
                     : tg_fail(TG_EUNSUPPORTED, "'%s': " TG_MASK_TEXT " has the id %lld, which must be %zu", name,
                               (long long)mask, tokenizer->vocab);
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
    json_t *plain;
    json_int_t mask;
    if ((status = take_mask(&plain, &mask, document)) != TG_OK)
        return status;
    for (size_t i = 0; i < TYPES; i++) {
        bool same = false;
        const json_t *const own = types[i]->layout != NULL ? plain : document;
        status = fits(&same, types[i], own, name);
        if (!same && status == TG_OK)
            continue;
        any = true;
        if (status == TG_OK && !json_is_object(json_object_get(model, "vocab")))
            status = tg_fail(TG_EFORMAT, "'%s': model.vocab is no object", name);
        if (status == TG_OK)
            status = read_as(out, types[i], own, mask, name);
        if (status != TG_EUNSUPPORTED) {
            json_decref(plain);
            return status;
        }
    }
    json_decref(plain);
    if (any)
        return TG_EUNSUPPORTED;
    return tg_fail(TG_EUNSUPPORTED,
                   "'%s': a tokenizer of type '%.40s' is not known, only byte, char, BPE and WordPiece are", name,
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
    bool good = document != NULL && vocab != NULL &&
                json_object_set(json_object_get(document, "model"), "vocab", vocab) == 0;
    if (good && tokenizer->own_mask)
        good = json_object_set_new(document, "added_tokens", mask_json(tokenizer->mask)) == 0;
    if (good)
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
    const char *const config = tokenizer->config != NULL ? tokenizer->config
                               : tokenizer->own_mask     ? MASKED_CONFIG
                                                         : CONFIG_TEXT;
    tg_status status = write_in(directory, FILE_NAME, text, made == NULL ? tokenizer->text_bytes : strlen(made));
    if (status == TG_OK)
        status = write_in(directory, CONFIG_NAME, config, strlen(config));
    for (size_t i = 0; status == TG_OK && i < TG_KEPT_FILES; i++)
        if (tokenizer->kept[i] != NULL)
            status = write_in(directory, tg_kept_files[i], tokenizer->kept[i], strlen(tokenizer->kept[i]));
    free(made);
    return status;
}
