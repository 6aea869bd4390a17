/* model/model.c -- the table of families, and the life of a model: declare every weight, then one block for all. */
#include "model/model.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

#define NAME_BYTES 256

#define TG_MODEL(name) extern const tg_model_type tg_model_##name;
#include "model/models.inc"
#undef TG_MODEL

static const tg_model_type *const types[] = {
#define TG_MODEL(name) &tg_model_##name,
#include "model/models.inc"
#undef TG_MODEL
};

size_t tg_model_count(void) { return sizeof types / sizeof *types; }

const tg_model_info *tg_model_at(size_t index) { return index < tg_model_count() ? &types[index]->info : NULL; }

const tg_model_info *tg_model_find(const char *name)
{
    for (size_t i = 0; i < tg_model_count(); i++)
        if (strcmp(types[i]->info.name, name) == 0)
            return &types[i]->info;
    return NULL;
}

/* ---- names ---- */

static size_t hash(const char *name)
{
    const uint64_t h = tg_hash_text(TG_HASH_BEGIN, name);
    return (size_t)(h ^ h >> 32);
}

/* The place of `name` in the table, or the free place it would have. */
static int *place_of(const tg_model *m, const char *name)
{
    size_t at = hash(name) & (m->by_name_room - 1);
    while (m->by_name[at] != TG_NONE && strcmp(m->weight[m->by_name[at]].param.name, name) != 0)
        at = (at + 1) & (m->by_name_room - 1);
    return &m->by_name[at];
}

/* Keeps at least half of the table free; grows it and the array of weights. */
static tg_status make_room(tg_model *m)
{
    if (2 * (m->weights + 1) <= m->by_name_room)
        return TG_OK;
    const size_t room = m->by_name_room == 0 ? 64 : 2 * m->by_name_room;
    tg_weight *weight = tg_heap_resize(m->weight, m->weights, room / 2, sizeof *weight);
    if (weight == NULL)
        return tg_no_memory("the list of weights", room / 2 * sizeof *weight);
    m->weight = weight;
    int *table = tg_heap_resize(m->by_name, m->by_name_room, room, sizeof *table);
    if (table == NULL)
        return tg_no_memory("the list of weights", room * sizeof *table);
    m->by_name = table;
    m->by_name_room = room;
    for (size_t i = 0; i < room; i++)
        table[i] = TG_NONE;
    for (size_t i = 0; i < m->weights; i++)
        *place_of(m, m->weight[i].param.name) = (int)i;
    return TG_OK;
}

tg_status tg_model_declare(tg_model *m, int *index, const char *name, size_t rows, size_t cols, tg_role role,
                           tg_init init, bool vector)
{
    size_t values, bytes;
    if (!tg_multiply(&values, rows, cols) || !tg_multiply(&bytes, values, tg_format_bytes(m->format)) ||
        bytes > PTRDIFF_MAX)
        return tg_fail(TG_EINVAL, "weight '%s' of %zu x %zu values is too large", name, rows, cols);
    const tg_status status = make_room(m);
    if (status != TG_OK)
        return status;
    int *place = place_of(m, name);
    if (*place != TG_NONE)
        return tg_fail(TG_EINVAL, "weight '%s' is declared twice", name);
    char *copy = tg_heap_text(name);
    if (copy == NULL)
        return tg_no_memory("the name of a weight", strlen(name));
    m->weight[m->weights] = (tg_weight){
        .param = {.name = copy, .format = m->format, .rows = rows, .cols = cols, .role = role},
        .init = init,
        .vector = vector,
    };
    *place = *index = (int)m->weights++;
    return TG_OK;
}

tg_status tg_model_declare_kernel(tg_model *m, int *index, const char *name, size_t out, size_t in,
                                  const size_t kernel[2], tg_init init)
{
    size_t values;
    if (!tg_multiply(&values, kernel[0], kernel[1]) || !tg_multiply(&values, values, in))
        return tg_fail(TG_EINVAL, "weight '%s' is too large", name);
    const tg_status status = tg_model_declare(m, index, name, out, values, TG_MATRIX, init, false);
    for (int side = 0; side < 2 && status == TG_OK; side++)
        m->weight[*index].kernel[side] = kernel[side];
    return status;
}

tg_status tg_model_declare_statistic(tg_model *m, int *index, const char *name, size_t n, tg_init init)
{
    const tg_status status = tg_model_declare(m, index, name, 1, n, TG_BIAS, init, true);
    if (status != TG_OK)
        return status;
    m->weight[*index].param.format = TG_F32;
    m->weight[*index].param.frozen = true;
    return TG_OK;
}

tg_status tg_model_declare_bias(tg_model *m, int matrix, tg_layer_form form, const char *name, size_t out)
{
    int bias;
    const tg_status status = tg_model_declare(m, &bias, name, 1, out, TG_BIAS, TG_INIT_ZERO, true);
    if (status != TG_OK)
        return status;
    m->weight[matrix].param.layer = form;
    m->weight[matrix].param.bias = m->weight[bias].param.name;
    return TG_OK;
}

int tg_model_index(const tg_model *m, const char *format, ...)
{
    char name[NAME_BYTES];
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(name, sizeof name, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof name || m->by_name_room == 0)
        return TG_NONE;
    return *place_of(m, name);
}

/* ---- life ---- */

/* One block for all weights, each at a multiple of a cache line. */
static tg_status allocate(tg_model *m, const tg_allocator *allocator)
{
    size_t total = 0;
    m->own_heap = allocator == NULL;
    if (allocator != NULL)
        m->allocator = *allocator;
    for (size_t i = 0; i < m->weights; i++) {
        const tg_param *p = &m->weight[i].param;
        const size_t bytes = p->rows * p->cols * tg_format_bytes(p->format); /* checked when declared */
        if (!tg_add_size(&total, total, tg_round_up(bytes, TG_CACHE_LINE)) || total > PTRDIFF_MAX)
            return tg_fail(TG_EINVAL, "the model is too large for this machine's addresses");
    }
    char *at = m->block = tg_alloc(allocator, total, 1);
    if (at == NULL)
        return tg_no_memory("the model's weights", total);
    m->block_bytes = total;
    for (size_t i = 0; i < m->weights; i++) {
        tg_param *p = &m->weight[i].param;
        p->data = at;
        p->mapped = allocator != NULL && allocator->mapped;
        at += tg_round_up(p->rows * p->cols * tg_format_bytes(p->format), TG_CACHE_LINE);
    }
    return TG_OK;
}

tg_status tg_model_outline(tg_model **out, const tg_model_config *config, tg_format weights)
{
    tg_model_config complete = *config;
    if (weights != TG_F32 && weights != TG_BF16 && weights != TG_F16)
        return tg_fail(TG_EINVAL, "weights are F32, BF16 or F16, not %s", tg_format_name(weights));
    tg_status status = tg_model_config_complete(&complete);
    if (status != TG_OK)
        return status;
    tg_model *m = tg_heap_alloc(1, sizeof *m);
    if (m == NULL)
        return tg_no_memory("a model", sizeof *m);
    m->type = tg_model_type_of(config->info);
    m->config = complete;
    m->format = weights;
    status = m->type->declare(m);
    if (status != TG_OK)
        tg_model_destroy(m);
    else
        *out = m;
    return status;
}

tg_status tg_model_create(tg_model **out, const tg_model_config *config, tg_format weights)
{
    return tg_model_create_in(out, config, weights, NULL);
}

tg_status tg_model_create_in(tg_model **out, const tg_model_config *config, tg_format weights,
                             const tg_allocator *allocator)
{
    tg_model *m = NULL;
    tg_status status = tg_model_outline(&m, config, weights);
    if (status == TG_OK)
        status = allocate(m, allocator);
    if (status != TG_OK)
        tg_model_destroy(m);
    else
        *out = m;
    return status;
}

void tg_model_destroy(tg_model *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->weights; i++)
        tg_heap_free((void *)m->weight[i].param.name);
    tg_heap_free(m->weight);
    tg_heap_free(m->by_name);
    tg_free(m->own_heap ? NULL : &m->allocator, m->block, m->block_bytes, 1);
    tg_heap_free(m);
}

const tg_model_config *tg_model_get_config(const tg_model *m) { return &m->config; }

size_t tg_model_weight_count(const tg_model *m) { return m->weights; }

const tg_param *tg_model_weight(const tg_model *m, size_t index)
{
    return index < m->weights ? &m->weight[index].param : NULL;
}

size_t tg_model_parameters(const tg_model *m)
{
    size_t values = 0;
    for (size_t i = 0; i < m->weights; i++)
        values += m->weight[i].param.rows * m->weight[i].param.cols;
    return values;
}

size_t tg_model_bytes(const tg_model *m) { return m->block_bytes; }
