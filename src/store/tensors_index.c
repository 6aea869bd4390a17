/* store/tensors_index.c -- model.safetensors.index.json: which tensor is in which file.
 *
 *   {"metadata": {...}, "weight_map": {"model.norm.weight": "model-00002-of-00002.safetensors", ...}} */
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "store/safetensors_json.h"
#include "store/tensors_index.h"

/* A file beside the index: no path that leads elsewhere. */
static bool is_plain(const char *name)
{
    return *name != 0 && strchr(name, '/') == NULL && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static tg_status read_map(tg_index *index, const char *name)
{
    char tensor[TG_PRINTABLE_BYTES], word[TG_PRINTABLE_BYTES];
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)index->map, key, value)
    {
        const char *file = json_string_value(value);
        if (file == NULL)
            return tg_fail(TG_EFORMAT, "'%s': tensor '%s': its file is no text", name, tg_printable(tensor, key));
        if (!is_plain(file) || strlen(file) != json_string_length(value))
            return tg_fail(TG_EFORMAT, "'%s': tensor '%s': '%s' is no name of a file beside the index", name,
                           tg_printable(tensor, key), tg_printable(word, file));
        if (json_object_get(index->files, file) == NULL &&
            json_object_set_new(index->files, file, json_integer((json_int_t)json_object_size(index->files))) != 0)
            return tg_no_memory("the index of a model", strlen(file));
    }
    return TG_OK;
}

tg_status tg_index_parse(tg_index *out, const char *text, size_t bytes, const char *name)
{
    json_error_t error;
    tg_index index = {.document = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error)};
    tg_status status;
    if (index.document == NULL)
        return tg_fail(TG_EFORMAT, "'%s' line %d column %d: %s", name, error.line, error.column, error.text);
    index.map = json_object_get(index.document, "weight_map");
    index.files = json_object();
    if (index.files == NULL)
        status = tg_no_memory("the index of a model", bytes);
    else if (!json_is_object(index.map) || json_object_size(index.map) == 0)
        status = tg_fail(TG_EFORMAT, "'%s': weight_map, the object that names each tensor's file, is missing or empty",
                         name);
    else
        status = read_map(&index, name);
    if (status == TG_OK)
        *out = index;
    else
        tg_index_fini(&index);
    return status;
}

void tg_index_fini(tg_index *index)
{
    json_decref(index->files);
    json_decref(index->document);
    *index = (tg_index){0};
}
