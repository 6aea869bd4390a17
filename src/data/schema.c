/* data/schema.c -- samples.json: {"kind", "rows", "cols", "channels": [{"name", "mean", "std"}, ...], "target": {...}};
 * target has "classes", a list of names, or "mean" and "std", and the "name" of its column. */
#include "data/schema.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"

static const char file_name[] = "samples.json";

size_t tg_schema_features(const tg_schema *s) { return s->channels * s->rows * s->cols; }

size_t tg_schema_outputs(const tg_schema *s) { return s->class_name != NULL ? s->classes : 1; }

size_t tg_schema_bytes(const tg_schema *s)
{
    size_t bytes = sizeof *s + s->channels * sizeof *s->channel + s->classes * sizeof *s->class_name;
    for (size_t i = 0; i < s->channels; i++)
        bytes += strlen(s->channel[i].name) + 1;
    for (size_t i = 0; i < s->classes; i++)
        bytes += strlen(s->class_name[i]) + 1;
    return bytes;
}

/* ---- life ---- */

tg_status tg_schema_create(tg_schema **out, size_t channels, size_t classes)
{
    tg_schema *s = tg_heap_alloc(1, sizeof *s);
    if (s == NULL)
        return tg_no_memory("a schema", sizeof *s);
    s->channels = channels;
    s->classes = classes;
    s->rows = s->cols = 1;
    s->target_std = 1;
    s->channel = tg_heap_alloc(channels, sizeof *s->channel);
    s->class_name = classes == 0 ? NULL : tg_heap_alloc(classes, sizeof *s->class_name);
    if (s->channel == NULL || (classes > 0 && s->class_name == NULL)) {
        tg_schema_destroy(s);
        return tg_no_memory("a schema", channels * sizeof *s->channel + classes * sizeof *s->class_name);
    }
    *out = s;
    return TG_OK;
}

void tg_schema_destroy(tg_schema *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->channels && s->channel != NULL; i++)
        tg_heap_free(s->channel[i].name);
    for (size_t i = 0; i < s->classes && s->class_name != NULL; i++)
        tg_heap_free(s->class_name[i]);
    tg_heap_free(s->channel);
    tg_heap_free(s->class_name);
    tg_heap_free(s->target);
    tg_heap_free(s);
}

tg_status tg_schema_copy(tg_schema **out, const tg_schema *from)
{
    tg_schema *s = NULL;
    tg_status status = tg_schema_create(&s, from->channels, from->classes);
    if (status != TG_OK)
        return status;
    bool all = true;
    s->images = from->images;
    s->rows = from->rows;
    s->cols = from->cols;
    s->target_mean = from->target_mean;
    s->target_std = from->target_std;
    for (size_t i = 0; i < s->channels; i++) {
        s->channel[i] = from->channel[i];
        all = (s->channel[i].name = tg_heap_text(from->channel[i].name)) != NULL && all;
    }
    for (size_t i = 0; i < s->classes; i++)
        all = (s->class_name[i] = tg_heap_text(from->class_name[i])) != NULL && all;
    if (from->target != NULL)
        all = (s->target = tg_heap_text(from->target)) != NULL && all;
    if (!all) {
        tg_schema_destroy(s);
        return tg_no_memory("a schema", tg_schema_bytes(from));
    }
    *out = s;
    return TG_OK;
}

/* ---- writing ---- */

static json_t *channels_array(const tg_schema *s)
{
    json_t *array = json_array();
    for (size_t i = 0; i < s->channels; i++)
        json_array_append_new(array, json_pack("{s:s, s:f, s:f}", "name", s->channel[i].name, "mean",
                                               s->channel[i].mean, "std", s->channel[i].std));
    return array;
}

static json_t *target_object(const tg_schema *s)
{
    json_t *object = json_object(), *classes = json_array();
    if (s->target != NULL)
        json_object_set_new(object, "name", json_string(s->target));
    for (size_t i = 0; i < s->classes; i++)
        json_array_append_new(classes, json_string(s->class_name[i]));
    if (s->class_name != NULL)
        json_object_set(object, "classes", classes);
    else {
        json_object_set_new(object, "mean", json_real(s->target_mean));
        json_object_set_new(object, "std", json_real(s->target_std));
    }
    json_decref(classes);
    return object;
}

tg_status tg_schema_write(const tg_schema *s, const char *directory)
{
    json_t *root =
        json_pack("{s:s, s:I, s:I, s:o*, s:o*}", "kind", s->images ? "images" : "table", "rows", (json_int_t)s->rows,
                  "cols", (json_int_t)s->cols, "channels", channels_array(s), "target", target_object(s));
    char *text = root == NULL ? NULL : json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    char *path = tg_file_join(directory, file_name);
    tg_status status = text == NULL || path == NULL ? tg_no_memory(file_name, 4096) : TG_OK;
    if (status == TG_OK)
        status = tg_file_write_whole(path, text, strlen(text));
    json_decref(root);
    free(text);
    tg_heap_free(path);
    return status;
}

/* ---- reading ---- */

static tg_status wrong(const char *name, const char *key)
{
    return tg_fail(TG_EFORMAT, "'%s': \"%s\" is missing or not what it should be", name, key);
}

static bool read_size(size_t *size, const json_t *root, const char *key)
{
    const json_t *value = json_object_get(root, key);
    const json_int_t n = json_integer_value(value);
    *size = (size_t)n;
    return json_is_integer(value) && n >= 1 && (size_t)n <= TG_MOST_FEATURES;
}

static bool read_statistics(double *mean, double *std, const json_t *object)
{
    const json_t *m = json_object_get(object, "mean"), *s = json_object_get(object, "std");
    *mean = json_number_value(m);
    *std = json_number_value(s);
    return json_is_number(m) && json_is_number(s) && *std > 0;
}

static tg_status read_name(char **name, const json_t *value)
{
    *name = tg_heap_text(json_string_value(value));
    return *name != NULL ? TG_OK : tg_no_memory("a name", json_string_length(value));
}

static tg_status read_channels(tg_schema *s, const json_t *array, const char *file)
{
    for (size_t i = 0; i < s->channels; i++) {
        const json_t *object = json_array_get(array, i), *name = json_object_get(object, "name");
        tg_channel *c = &s->channel[i];
        if (!json_is_string(name) || !read_statistics(&c->mean, &c->std, object))
            return wrong(file, "channels");
        const tg_status status = read_name(&c->name, name);
        if (status != TG_OK)
            return status;
    }
    return TG_OK;
}

static tg_status read_target(tg_schema *s, const json_t *target, const char *file)
{
    const json_t *name = json_object_get(target, "name"), *classes = json_object_get(target, "classes");
    tg_status status = TG_OK;
    if (!s->images && !json_is_string(name))
        return wrong(file, "target");
    if (json_is_string(name))
        status = read_name(&s->target, name);
    for (size_t i = 0; i < s->classes && status == TG_OK; i++) {
        const json_t *class_name = json_array_get(classes, i);
        status = json_is_string(class_name) ? read_name(&s->class_name[i], class_name) : wrong(file, "target");
    }
    if (status == TG_OK && s->class_name == NULL && !read_statistics(&s->target_mean, &s->target_std, target))
        status = wrong(file, "target");
    return status;
}

static tg_status read_root(tg_schema **out, const json_t *root, const char *file)
{
    const char *kind = json_string_value(json_object_get(root, "kind"));
    const json_t *channels = json_object_get(root, "channels"), *target = json_object_get(root, "target");
    const json_t *classes = json_object_get(target, "classes");
    size_t rows, cols, features;
    if (kind == NULL || (strcmp(kind, "images") != 0 && strcmp(kind, "table") != 0))
        return wrong(file, "kind");
    if (!read_size(&rows, root, "rows") || !read_size(&cols, root, "cols"))
        return wrong(file, "rows or cols");
    if (json_array_size(channels) == 0 || !tg_multiply(&features, rows * cols, json_array_size(channels)) ||
        features > TG_MOST_FEATURES)
        return wrong(file, "channels");
    if (!json_is_object(target) || (classes != NULL && json_array_size(classes) < 2) ||
        json_array_size(classes) > TG_MOST_CLASSES)
        return wrong(file, "target");
    tg_schema *s = NULL;
    tg_status status = tg_schema_create(&s, json_array_size(channels), json_array_size(classes));
    if (status != TG_OK)
        return status;
    s->images = kind[0] == 'i';
    s->rows = rows;
    s->cols = cols;
    status = read_channels(s, channels, file);
    if (status == TG_OK)
        status = read_target(s, target, file);
    if (status == TG_OK)
        *out = s;
    else
        tg_schema_destroy(s);
    return status;
}

tg_status tg_schema_parse(tg_schema **out, const char *text, size_t bytes, const char *name)
{
    json_error_t error;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    const tg_status status = root == NULL ? tg_fail(TG_EFORMAT, "'%s' line %d: %s", name, error.line, error.text)
                                          : read_root(out, root, name);
    json_decref(root);
    return status;
}

tg_status tg_schema_read(tg_schema **out, const char *directory)
{
    char *path = tg_file_join(directory, file_name);
    const char *text;
    size_t bytes;
    tg_status status = path == NULL ? tg_no_memory("a path", strlen(directory)) : tg_text_open(&text, &bytes, path);
    if (status == TG_OK) {
        status = tg_schema_parse(out, text, bytes, path);
        tg_text_close(text, bytes);
    }
    tg_heap_free(path);
    return status;
}
