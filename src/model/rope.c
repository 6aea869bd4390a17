/* model/rope.c -- see rope.h. Names and defaults are those of transformers. */
#include "model/rope.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/fail.h"

static const char *const types[TG_ROPE_TYPES] = {
    [TG_ROPE_DEFAULT] = "default", [TG_ROPE_LINEAR] = "linear", [TG_ROPE_DYNAMIC] = "dynamic",
    [TG_ROPE_LLAMA3] = "llama3",   [TG_ROPE_YARN] = "yarn",
};

/* A number of the object and the field it fills. */
static const struct key {
    const char *name;
    size_t offset;      /* in tg_rope_scaling */
    unsigned needed_by; /* bits of types */
    double absent;      /* NaN: derived */
} keys[] = {
#define ONLY(type) (1u << (type))
    {"factor", offsetof(tg_rope_scaling, factor), ~ONLY(TG_ROPE_DEFAULT), 1},
    {"low_freq_factor", offsetof(tg_rope_scaling, low), ONLY(TG_ROPE_LLAMA3), 1},
    {"high_freq_factor", offsetof(tg_rope_scaling, high), ONLY(TG_ROPE_LLAMA3), 4},
    {"original_max_position_embeddings", offsetof(tg_rope_scaling, original), 0, NAN},
    {"beta_fast", offsetof(tg_rope_scaling, fast), 0, 32},
    {"beta_slow", offsetof(tg_rope_scaling, slow), 0, 1},
    {"attention_factor", offsetof(tg_rope_scaling, attention), 0, NAN},
};
#define KEYS (sizeof keys / sizeof *keys)

static double *field(tg_rope_scaling *rope, const struct key *key)
{
    return (double *)(void *)((char *)rope + key->offset);
}

static tg_status read_number(double *value, const json_t *object, const char *key, const char *name)
{
    const json_t *const json = json_object_get(object, key);
    if (json == NULL || json_is_null(json))
        return TG_OK;
    if (!json_is_number(json) || !(json_number_value(json) > 0) || !isfinite(json_number_value(json)))
        return tg_fail(TG_EFORMAT, "'%s': \"%s\" of the rotary positions must be a number above 0", name, key);
    *value = json_number_value(json);
    return TG_OK;
}

static double magnitude(double factor, double scale) { return factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1; }

/* What stretching by yarn multiplies cosines and sines with, unless the file says. */
static tg_status read_attention(tg_rope_scaling *rope, const json_t *object, const char *name)
{
    double one = 0, all = 0;
    tg_status status = read_number(&one, object, "mscale", name);
    if (status == TG_OK)
        status = read_number(&all, object, "mscale_all_dim", name);
    if (isnan(rope->attention))
        rope->attention = rope->type != TG_ROPE_YARN ? 1
                          : one > 0 && all > 0       ? magnitude(rope->factor, one) / magnitude(rope->factor, all)
                                                     : magnitude(rope->factor, 1);
    if (rope->type != TG_ROPE_YARN)
        rope->attention = 1;
    return status;
}

static tg_status read_type(tg_rope_scaling *rope, const json_t *object, const char *name)
{
    const json_t *const part = json_object_get(object, "partial_rotary_factor");
    const char *type = json_string_value(json_object_get(object, "rope_type"));
    if (type == NULL)
        type = json_string_value(json_object_get(object, "type"));
    while (type != NULL && rope->type < TG_ROPE_TYPES && strcmp(types[rope->type], type) != 0)
        rope->type++;
    if (rope->type == TG_ROPE_TYPES)
        return tg_fail(TG_EUNSUPPORTED,
                       "'%s': rotary positions of type '%.40s' are not computed here, only default, linear, dynamic, "
                       "llama3 and yarn",
                       name, type);
    if (part != NULL && !json_is_null(part) && json_number_value(part) != 1)
        return tg_fail(TG_EUNSUPPORTED, "'%s': \"partial_rotary_factor\" other than 1 is not computed here", name);
    return TG_OK;
}

tg_status tg_rope_read(tg_model_config *config, const void *json_object, const char *name)
{
    const json_t *object = json_object_get(json_object, "rope_scaling");
    tg_rope_scaling rope = {0};
    if (object == NULL || json_is_null(object))
        object = json_object_get(json_object, "rope_parameters");
    tg_status status = read_type(&rope, object, name);
    for (size_t k = 0; k < KEYS && status == TG_OK; k++) {
        const json_t *const json = json_object_get(object, keys[k].name);
        *field(&rope, &keys[k]) = keys[k].absent;
        if ((keys[k].needed_by >> rope.type & 1) != 0 && !json_is_number(json))
            return tg_fail(TG_EFORMAT, "'%s': rotary positions of type '%s' need \"%s\"", name, types[rope.type],
                           keys[k].name);
        status = read_number(field(&rope, &keys[k]), object, keys[k].name, name);
    }
    if (status == TG_OK)
        status = read_attention(&rope, object, name);
    if (isnan(rope.original))
        rope.original = (double)config->context;
    rope.whole = !json_is_false(json_object_get(object, "truncate"));
    if (status == TG_OK && rope.type == TG_ROPE_LLAMA3 && !(rope.high > rope.low))
        status = tg_fail(TG_EFORMAT, "'%s': \"high_freq_factor\" must be above \"low_freq_factor\"", name);
    if (status == TG_OK && rope.type == TG_ROPE_YARN && config->rope_theta == 1)
        status = tg_fail(TG_EFORMAT, "'%s': yarn needs another \"rope_theta\" than 1", name);
    if (status == TG_OK)
        config->rope = rope;
    return status;
}

void tg_rope_write(const tg_model_config *config, void *json)
{
    tg_rope_scaling rope = config->rope;
    if (rope.type == TG_ROPE_DEFAULT) {
        json_object_set_new(json, "rope_scaling", json_null());
        return;
    }
    json_t *const object = json_object();
    json_object_set_new(object, "rope_type", json_string(types[rope.type]));
    json_object_set_new(object, "type", json_string(types[rope.type]));
    for (size_t k = 0; k < KEYS; k++) {
        const double value = *field(&rope, &keys[k]);
        const bool integer =
            value == floor(value) && value < 0x1p53 && keys[k].offset == offsetof(tg_rope_scaling, original);
        const bool wanted = rope.type == TG_ROPE_YARN ? keys[k].needed_by != ONLY(TG_ROPE_LLAMA3)
                            : rope.type == TG_ROPE_LLAMA3
                                ? keys[k].needed_by != 0 || keys[k].offset == offsetof(tg_rope_scaling, original)
                                : keys[k].needed_by != ONLY(TG_ROPE_LLAMA3) && keys[k].needed_by != 0;
        if (wanted)
            json_object_set_new(object, keys[k].name, integer ? json_integer((json_int_t)value) : json_real(value));
    }
    if (rope.type == TG_ROPE_YARN)
        json_object_set_new(object, "truncate", json_boolean(rope.whole));
    json_object_set_new(json, "rope_scaling", object);
}
