/* model/config.c -- a model's configuration: from options, and from and to config.json in Hugging Face's keys. */
#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "model/model.h"

#define MAX_FILE ((size_t)16 << 20) /* of config.json; real ones have a few KiB */
#define MAX_SIZE 0x1p53             /* integers above it are not exact as options' values */

/* The fields that options name. */
static const struct field {
    const char *name;
    size_t offset;
    int kind; /* of tg_config_key */
} fields[] = {
#define SIZE(name) {#name, offsetof(tg_model_config, name), TG_KEY_SIZE}
#define REAL(name) {#name, offsetof(tg_model_config, name), TG_KEY_REAL}
#define CHOICE(name) {#name, offsetof(tg_model_config, name), TG_KEY_CHOICE}
    SIZE(layers), SIZE(heads), SIZE(kv_heads), SIZE(head_dim), SIZE(width), SIZE(hidden), SIZE(context), SIZE(segments), SIZE(vocab),
    SIZE(features), SIZE(outputs), SIZE(channels), SIZE(rows), SIZE(cols), SIZE(depth), SIZE(groups), CHOICE(task), CHOICE(activation), CHOICE(norm),
    CHOICE(shortcut), CHOICE(attention),
    REAL(eps), REAL(rope_theta), REAL(dropout), REAL(init_std),
    {"attention_bias", offsetof(tg_model_config, attention_bias), TG_KEY_BOOL},
    {"mlp_bias", offsetof(tg_model_config, mlp_bias), TG_KEY_BOOL},
    {"tied", offsetof(tg_model_config, tied), TG_KEY_BOOL},
#undef SIZE
#undef REAL
#undef CHOICE
};

static const struct field *find_field(const char *name)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

static double get(const tg_model_config *config, size_t offset, int kind)
{
    const char *at = (const char *)config + offset;
    return kind == TG_KEY_SIZE ? (double)*(const size_t *)(const void *)at
           : kind == TG_KEY_REAL   ? *(const double *)(const void *)at
           : kind == TG_KEY_CHOICE ? (double)*(const int *)(const void *)at
                                   : (double)*(const bool *)(const void *)at;
}

static void put(tg_model_config *config, size_t offset, int kind, double value)
{
    char *at = (char *)config + offset;
    if (kind == TG_KEY_SIZE)
        *(size_t *)(void *)at = (size_t)value;
    else if (kind == TG_KEY_REAL)
        *(double *)(void *)at = value;
    else if (kind == TG_KEY_CHOICE)
        *(int *)(void *)at = (int)value;
    else
        *(bool *)(void *)at = value != 0;
}

/* ---- from options ---- */

static tg_status unknown_model(const char *name)
{
    char known[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < tg_model_count() && used < sizeof known - 1; i++) {
        const int n = snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "", tg_model_at(i)->name);
        used += n > 0 ? (size_t)n : 0;
    }
    return tg_fail(TG_ENOTFOUND, "there is no model '%.80s'; there are: %s", name, known);
}

static void take_defaults(tg_model_config *config, const tg_model_info *info)
{
    memset(config, 0, sizeof *config);
    config->info = info;
    for (int task = TG_TASK_AUTO; task < TG_TASK_COUNT; task++)
        if (info->tasks == TG_CAN(task))
            config->task = task;
    for (size_t i = 0; i < info->options.count; i++) {
        const struct field *f = find_field(info->options.at[i].name);
        if (f != NULL)
            put(config, f->offset, f->kind, info->options.at[i].value);
    }
}

tg_status tg_model_config_default(tg_model_config *config, const char *model)
{
    const tg_model_info *info = tg_model_find(model);
    if (info == NULL)
        return unknown_model(model);
    take_defaults(config, info);
    return TG_OK;
}

tg_status tg_model_config_set(tg_model_config *config, const char *option, const char *text)
{
    const tg_option_table *table = &config->info->options;
    const size_t index = tg_option_find(table, option);
    const struct field *f = index < table->count ? find_field(table->at[index].name) : NULL;
    double value = 0;
    if (f == NULL)
        return tg_fail(TG_ENOTFOUND, "model %s has no option '%.80s'", config->info->name, option);
    const tg_status status = tg_option_parse(&value, &table->at[index], text);
    if (status == TG_OK)
        put(config, f->offset, f->kind, value);
    return status;
}

tg_status tg_model_config_get(const tg_model_config *config, const char *option, double *value)
{
    const tg_option_table *table = &config->info->options;
    const size_t index = tg_option_find(table, option);
    const struct field *f = index < table->count ? find_field(table->at[index].name) : NULL;
    if (f == NULL)
        return tg_fail(TG_ENOTFOUND, "model %s has no option '%.80s'", config->info->name, option);
    *value = get(config, f->offset, f->kind);
    return TG_OK;
}

/* Every field against its option's range; those of sizes must be set when `whole`. */
static tg_status check_fields(const tg_model_config *config, bool whole)
{
    const tg_option_table *table = &config->info->options;
    for (size_t i = 0; i < table->count; i++) {
        const struct field *f = find_field(table->at[i].name);
        if (f == NULL)
            continue;
        const double value = get(config, f->offset, f->kind);
        const tg_status status = tg_option_check(&table->at[i], value);
        if (status != TG_OK)
            return status;
        if (whole && f->kind == TG_KEY_SIZE && value == 0)
            return tg_fail(TG_EINVAL, "%s must be above 0", f->name);
    }
    if ((config->info->tasks & TG_CAN(TG_TASK_LANGUAGE)) == 0)
        return TG_OK;
    if (config->vocab == 0 || config->vocab > TG_MODEL_MAX_VOCAB)
        return tg_fail(TG_EINVAL, "the vocabulary must have 1 to %d tokens, not %zu", TG_MODEL_MAX_VOCAB,
                       config->vocab);
    return TG_OK;
}

tg_status tg_model_config_complete(tg_model_config *config)
{
    tg_model_config full = *config;
    tg_status status = check_fields(&full, false); /* complete() divides by some of them */
    if (status != TG_OK || (status = tg_model_type_of(full.info)->complete(&full)) != TG_OK ||
        (status = check_fields(&full, true)) != TG_OK)
        return status;
    *config = full;
    return TG_OK;
}

tg_status tg_model_complete_equal_heads(tg_model_config *config)
{
    const char *model = config->info->name;
    if (config->kv_heads != 0 && config->kv_heads != config->heads)
        return tg_fail(TG_EINVAL, "%s has no grouped queries: kv_heads must be heads (%zu), not %zu", model, config->heads,
                       config->kv_heads);
    if (config->width % config->heads != 0)
        return tg_fail(TG_EINVAL, "%s: width %zu is no multiple of heads %zu", model, config->width, config->heads);
    if (config->head_dim != 0 && config->head_dim != config->width / config->heads)
        return tg_fail(TG_EINVAL, "%s: head_dim must be width / heads (%zu), not %zu", model, config->width / config->heads,
                       config->head_dim);
    config->kv_heads = config->heads;
    config->head_dim = config->width / config->heads;
    if (config->hidden == 0)
        config->hidden = 4 * config->width;
    return TG_OK;
}

/* ---- from config.json ---- */

/* The value at "key" or "object.key"; NULL when absent or null. */
static const json_t *look_up(const json_t *object, const char *path)
{
    const char *dot = strchr(path, '.');
    const json_t *value;
    if (dot == NULL)
        value = json_object_get(object, path);
    else {
        char head[64];
        const size_t n = (size_t)(dot - path);
        if (n >= sizeof head)
            return NULL;
        memcpy(head, path, n);
        head[n] = 0;
        value = json_object_get(json_object_get(object, head), dot + 1);
    }
    return json_is_null(value) ? NULL : value;
}

static tg_status read_value(double *value, const tg_config_key *key, const json_t *json, const char *name)
{
    if (key->kind == TG_KEY_BOOL) {
        if (!json_is_boolean(json))
            return tg_fail(TG_EFORMAT, "'%s': \"%s\" must be true or false", name, key->key);
        *value = json_is_true(json);
    } else if (key->kind == TG_KEY_SIZE) {
        if (!json_is_integer(json) || json_integer_value(json) < 0 || (double)json_integer_value(json) > MAX_SIZE)
            return tg_fail(TG_EFORMAT, "'%s': \"%s\" must be a non-negative integer", name, key->key);
        *value = (double)json_integer_value(json);
    } else if (key->kind == TG_KEY_CHOICE) {
        const tg_option option = {.name = key->key, .kind = TG_CHOICE, .choices = key->choices};
        if (!json_is_string(json) || tg_option_parse(value, &option, json_string_value(json)) != TG_OK)
            return tg_fail(TG_EFORMAT, "'%s': \"%s\" must be one of %s", name, key->key, key->choices);
    } else {
        if (!json_is_number(json))
            return tg_fail(TG_EFORMAT, "'%s': \"%s\" must be a number", name, key->key);
        *value = json_number_value(json);
    }
    return TG_OK;
}

/* Does the file have one of the first `count` keys that fill the field of key k? */
static bool is_given(const tg_model_type *type, const json_t *object, size_t k, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (type->keys[i].offset == type->keys[k].offset && look_up(object, type->keys[i].key) != NULL)
            return true;
    return false;
}

static tg_status read_keys(tg_model_config *config, const tg_model_type *type, const json_t *object, const char *name)
{
    for (size_t k = 0; k < type->key_count; k++) {
        const tg_config_key *key = &type->keys[k];
        const json_t *json = look_up(object, key->key);
        double value = key->absent;
        if (json == NULL && is_given(type, object, k, type->key_count))
            continue;
        if (json == NULL && key->required)
            return tg_fail(TG_EFORMAT, "'%s': \"%s\" is missing", name, key->key);
        if (json == NULL && key->alias)
            continue;
        const tg_status status = json == NULL ? TG_OK : read_value(&value, key, json, name);
        if (status != TG_OK)
            return status;
        if (json != NULL && is_given(type, object, k, k) && value != get(config, key->offset, key->kind))
            return tg_fail(TG_EUNSUPPORTED,
                           "'%s': \"%s\" is %g, which another key contradicts; %s has one value for both", name,
                           key->key, value, type->info.name);
        put(config, key->offset, key->kind, value);
    }
    return TG_OK;
}

static tg_status check_constants(const tg_model_type *type, const json_t *object, const char *name)
{
    for (size_t i = 0; i < type->constant_count; i++) {
        const tg_config_constant *c = &type->constant[i];
        const json_t *json = look_up(object, c->key);
        if (json == NULL)
            continue;
        json_t *allowed = json_loads(c->allowed, JSON_DECODE_ANY, NULL);
        if (allowed == NULL)
            return tg_no_memory("reading config.json", strlen(c->allowed));
        bool good = false;
        for (size_t a = 0; a < json_array_size(allowed); a++)
            good = good || json_equal(json, json_array_get(allowed, a));
        json_decref(allowed);
        if (!good)
            return tg_fail(TG_EUNSUPPORTED,
                           "'%s': \"%s\" has a value that %s does not compute here; it must be one of %s", name, c->key,
                           type->info.name, c->allowed);
    }
    return TG_OK;
}

static tg_status read_object(tg_model_config *config, const json_t *object, const char *name)
{
    const char *wanted = json_string_value(json_object_get(object, "model_type"));
    const tg_model_type *type = NULL;
    if (wanted == NULL)
        return tg_fail(TG_EFORMAT, "'%s': \"model_type\" is missing", name);
    for (size_t i = 0; i < tg_model_count() && type == NULL; i++)
        if (strcmp(tg_model_type_of(tg_model_at(i))->hf_type, wanted) == 0)
            type = tg_model_type_of(tg_model_at(i));
    if (type == NULL) {
        unknown_model(wanted);
        return tg_fail(TG_EUNSUPPORTED, "'%s': %s", name, tg_message());
    }
    tg_model_config read;
    take_defaults(&read, &type->info);
    tg_status status = read_keys(&read, type, object, name);
    if (status != TG_OK || (status = check_constants(type, object, name)) != TG_OK)
        return status;
    status = type->read_more == NULL ? TG_OK : type->read_more(&read, object, name);
    if (status != TG_OK)
        return status;
    status = tg_model_config_complete(&read);
    if (status != TG_OK)
        return tg_fail(status == TG_EINVAL ? TG_EFORMAT : status, "'%s': %s", name, tg_message());
    *config = read;
    return TG_OK;
}

tg_status tg_model_config_parse(tg_model_config *config, const char *text, size_t bytes, const char *name)
{
    json_error_t error;
    json_t *object = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    tg_status status;
    if (object == NULL)
        status = tg_fail(TG_EFORMAT, "'%s': %s, at line %d, byte %d of the file", name, error.text, error.line,
                         error.position);
    else if (!json_is_object(object))
        status = tg_fail(TG_EFORMAT, "'%s': not a JSON object", name);
    else
        status = read_object(config, object, name);
    json_decref(object);
    return status;
}

/* The whole of a small file on the heap. */
static tg_status read_small(char **text, size_t *bytes, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return tg_fail_errno(errno, "cannot open '%s'", path);
    tg_status status = TG_OK;
    char *at = NULL;
    size_t used = 0, room = 0;
    for (;;) {
        if (used == room) {
            const size_t more = room == 0 ? 8192 : 2 * room;
            char *grown = more > MAX_FILE ? NULL : tg_heap_resize(at, room, more, 1);
            if (grown == NULL) {
                status = more > MAX_FILE ? tg_fail(TG_EFORMAT, "'%s' is too large for a configuration", path)
                                         : tg_no_memory("reading config.json", more);
                break;
            }
            at = grown;
            room = more;
        }
        const size_t n = fread(at + used, 1, room - used, file);
        used += n;
        if (n == 0) {
            if (ferror(file))
                status = tg_fail_errno(errno, "cannot read '%s'", path);
            break;
        }
    }
    fclose(file);
    if (status != TG_OK) {
        tg_heap_free(at);
        return status;
    }
    *text = at;
    *bytes = used;
    return TG_OK;
}

tg_status tg_model_config_read(tg_model_config *config, const char *directory)
{
    char *path = tg_file_join(directory, "config.json"), *text = NULL;
    size_t bytes = 0;
    if (path == NULL)
        return tg_no_memory("a path", strlen(directory));
    tg_status status = read_small(&text, &bytes, path);
    if (status == TG_ENOTFOUND)
        status = tg_fail(status, "'%s' is no directory of a model: there is no '%s'", directory, path);
    if (status == TG_OK)
        status = tg_model_config_parse(config, text, bytes, path);
    tg_heap_free(text);
    tg_heap_free(path);
    return status;
}

/* ---- to config.json ---- */

static const char *dtype_name(tg_format format)
{
    return format == TG_BF16 ? "bfloat16" : format == TG_F16 ? "float16" : "float32";
}

static json_t *to_json(const tg_model_config *config, const tg_config_key *key)
{
    const double value = get(config, key->offset, key->kind);
    char text[64];
    if (key->kind == TG_KEY_CHOICE) {
        tg_option_print(text, sizeof text, &(tg_option){.kind = TG_CHOICE, .choices = key->choices}, value);
        return json_string(text);
    }
    return key->kind == TG_KEY_SIZE ? json_integer((json_int_t)value)
           : key->kind == TG_KEY_REAL ? json_real(value) : json_boolean(value != 0);
}

/* False when there is no memory. */
static bool fill(json_t *object, const tg_model_config *config, tg_format weights)
{
    const tg_model_type *type = tg_model_type_of(config->info);
    bool good = *type->info.architecture == '\0' ||
                json_object_set_new(object, "architectures", json_pack("[s]", type->info.architecture)) == 0;
    good = good && json_object_set_new(object, "model_type", json_string(type->hf_type)) == 0;
    good = good && json_object_set_new(object, "dtype", json_string(dtype_name(weights))) == 0;
    good = good && json_object_set_new(object, "torch_dtype", json_string(dtype_name(weights))) == 0;
    for (size_t k = 0; good && k < type->key_count; k++)
        if (!type->keys[k].alias)
            good = json_object_set_new(object, type->keys[k].key, to_json(config, &type->keys[k])) == 0;
    for (size_t c = 0; good && c < type->constant_count; c++)
        if (strchr(type->constant[c].key, '.') == NULL) {
            json_t *allowed = json_loads(type->constant[c].allowed, JSON_DECODE_ANY, NULL);
            good = json_object_set(object, type->constant[c].key, json_array_get(allowed, 0)) == 0;
            json_decref(allowed);
        }
    /* Byte and character vocabularies have no such tokens; transformers' own defaults lie outside them. */
    static const char *const roles[] = {"bos_token_id", "eos_token_id"};
    const bool language = (type->info.tasks & TG_CAN(TG_TASK_LANGUAGE)) != 0;
    for (size_t i = 0; good && language && i < sizeof roles / sizeof *roles; i++)
        good = json_object_set_new(object, roles[i], json_null()) == 0;
    if (good && type->constants != NULL)
        type->constants(config, object);
    return good;
}

/* The text with the fewest digits that reads back to the same values; released by free. */
static char *dump(const json_t *object)
{
    for (size_t digits = DBL_DIG; digits <= DBL_DECIMAL_DIG; digits++) {
        char *text = json_dumps(object, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(digits));
        json_t *back = text == NULL ? NULL : json_loads(text, 0, NULL);
        const bool same = back != NULL && json_equal(object, back);
        json_decref(back);
        if (same || text == NULL)
            return text;
        free(text);
    }
    return NULL;
}

static tg_status write_object(const json_t *object, const char *directory)
{
    tg_status status;
    char *text = object != NULL ? dump(object) : NULL, *path = tg_file_join(directory, "config.json");
    if (text == NULL || path == NULL)
        status = tg_no_memory("writing config.json", 0);
    else
        status = tg_file_write_whole(path, text, strlen(text));
    tg_heap_free(path);
    free(text);
    return status;
}

tg_status tg_model_config_write_more(const tg_model_config *config, tg_format weights, const char *directory,
                                     const void *more)
{
    json_t *object = json_object();
    const bool good = object != NULL && fill(object, config, weights) &&
                      (more == NULL || json_object_update(object, (json_t *)more) == 0);
    const tg_status status = write_object(good ? object : NULL, directory);
    json_decref(object);
    return status;
}

tg_status tg_model_config_write(const tg_model_config *config, tg_format weights, const char *directory)
{
    return tg_model_config_write_more(config, weights, directory, NULL);
}

tg_status tg_model_config_copy(const char *to, const char *from, tg_format weights)
{
    char *path = tg_file_join(from, "config.json"), *text = NULL;
    size_t bytes = 0;
    if (path == NULL)
        return tg_no_memory("a path", strlen(from));
    tg_status status = read_small(&text, &bytes, path);
    if (status == TG_OK) {
        json_error_t error;
        json_t *object = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
        if (object == NULL)
            status = tg_fail(TG_EFORMAT, "'%s' line %d column %d: %s", path, error.line, error.column, error.text);
        else {
            const bool good = json_object_set_new(object, "dtype", json_string(dtype_name(weights))) == 0 &&
                              json_object_set_new(object, "torch_dtype", json_string(dtype_name(weights))) == 0;
            status = write_object(good ? object : NULL, to);
        }
        json_decref(object);
    }
    tg_heap_free(text);
    tg_heap_free(path);
    return status;
}
