/* train/generate.c -- a model that reads tokens and tells the logits of the next one, with a key/value cache.
 *
 * Positions cannot move in the cache (learned positions are in every key, rotary ones are turned into them), so when the
 * context is full the cache is emptied and the last half of the context is read again from position 0. */
#include "train/generate.h"

#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "model/model.h"

static size_t key_count(const tg_model_config *c) { return c->kv_heads * c->context * c->head_dim; }

static size_t value_count(const tg_model_config *c)
{
    return c->kv_heads * c->context * (c->value_dim == 0 ? c->head_dim : c->value_dim);
}

size_t tg_generator_bytes(const tg_model_config *c)
{
    return c->layers * (key_count(c) + value_count(c)) * sizeof(float) + c->context * sizeof(uint32_t) +
           c->vocab * sizeof(float);
}

static tg_status make_cache(tg_cache *cache, const tg_model_config *c)
{
    *cache = (tg_cache){.layers = c->layers, .capacity = c->context};
    cache->key = tg_heap_alloc(c->layers, sizeof *cache->key);
    cache->value = tg_heap_alloc(c->layers, sizeof *cache->value);
    if (cache->key == NULL || cache->value == NULL)
        return tg_no_memory("the key/value cache", c->layers * sizeof *cache->key);
    for (size_t l = 0; l < c->layers; l++) {
        cache->key[l] = tg_alloc(NULL, key_count(c), sizeof(float));
        cache->value[l] = tg_alloc(NULL, value_count(c), sizeof(float));
        if (cache->key[l] == NULL || cache->value[l] == NULL)
            return tg_no_memory("the key/value cache", c->layers * (key_count(c) + value_count(c)) * sizeof(float));
    }
    return TG_OK;
}

static void drop_cache(tg_cache *cache, const tg_model_config *c)
{
    for (size_t l = 0; l < cache->layers; l++) {
        if (cache->key != NULL)
            tg_free(NULL, cache->key[l], key_count(c), sizeof(float));
        if (cache->value != NULL)
            tg_free(NULL, cache->value[l], value_count(c), sizeof(float));
    }
    tg_heap_free(cache->key);
    tg_heap_free(cache->value);
}

tg_status tg_generator_init(tg_generator *generator, tg_model *model, tg_format activations)
{
    const tg_model_config *c = tg_model_get_config(model);
    tg_generator made = {.model = model, .activations = activations};
    tg_status status = make_cache(&made.cache, c);
    if (status != TG_OK)
        goto fail;
    made.window = tg_alloc(NULL, c->context, sizeof *made.window);
    made.logits = tg_alloc(NULL, c->vocab, sizeof *made.logits);
    if (made.window == NULL || made.logits == NULL) {
        status = tg_no_memory("the tokens read", c->context * sizeof *made.window + c->vocab * sizeof *made.logits);
        goto fail;
    }
    *generator = made;
    return TG_OK;
fail:
    tg_generator_fini(&made);
    return status;
}

void tg_generator_fini(tg_generator *generator)
{
    if (generator->model == NULL)
        return;
    const tg_model_config *c = tg_model_get_config(generator->model);
    tg_graph_destroy(generator->one);
    tg_graph_destroy(generator->many);
    drop_cache(&generator->cache, c);
    tg_free(NULL, generator->window, c->context, sizeof *generator->window);
    tg_free(NULL, generator->logits, c->vocab, sizeof *generator->logits);
    *generator = (tg_generator){0};
}

/* A graph for `count` tokens at once, kept for the next time. */
static tg_status graph_for(tg_graph **out, tg_generator *generator, size_t count)
{
    tg_graph **place = count == 1 ? &generator->one : &generator->many;
    if (*place == NULL || (*place)->time != count) {
        tg_graph *made = NULL;
        tg_status status = tg_model_graph(&made, generator->model, TG_GENERATE, generator->activations, 1, count);
        if (status == TG_OK)
            status = tg_graph_plan(made, TG_RECOMPUTE_NONE);
        if (status == TG_OK)
            status = generator->lender == NULL ? tg_graph_allocate(made) : tg_graph_share(made, generator->lender);
        if (status != TG_OK) {
            tg_graph_destroy(made);
            return status;
        }
        tg_graph_destroy(*place);
        *place = made;
    }
    *out = *place;
    return TG_OK;
}

/* Runs the model over tokens that fit behind those in the window. */
static tg_status read_fitting(tg_generator *generator, const uint32_t *tokens, size_t count)
{
    tg_graph *graph;
    const size_t used = generator->cache.used;
    tg_status status = graph_for(&graph, generator, count);
    if (status != TG_OK)
        return status;
    tg_run run = {.tokens = tokens, .cache = &generator->cache, .logits = generator->logits};
    if ((status = tg_graph_run(graph, &run)) != TG_OK) {
        generator->cache.used = used;
        return status;
    }
    if (tokens != generator->window)
        memcpy(generator->window + used, tokens, count * sizeof *tokens);
    return TG_OK;
}

/* Empties the cache and reads the last half of the context again. */
static tg_status start_over(tg_generator *generator)
{
    const size_t used = generator->cache.used, keep = generator->cache.capacity / 2;
    memmove(generator->window, generator->window + used - keep, keep * sizeof *generator->window);
    generator->cache.used = 0;
    return keep == 0 ? TG_OK : read_fitting(generator, generator->window, keep);
}

tg_status tg_generator_read(tg_generator *generator, const uint32_t *tokens, size_t count)
{
    const size_t capacity = generator->cache.capacity;
    if (count == 0)
        return tg_fail(TG_EINVAL, "there is no token to read");
    if (count > capacity) { /* what is further back would be forgotten at once */
        tokens += count - capacity;
        count = capacity;
        generator->cache.used = 0;
    }
    while (count > 0) {
        if (generator->cache.used == capacity) {
            const tg_status status = start_over(generator);
            if (status != TG_OK)
                return status;
        }
        const size_t room = capacity - generator->cache.used, now = count < room ? count : room;
        const tg_status status = read_fitting(generator, tokens, now);
        if (status != TG_OK)
            return status;
        tokens += now;
        count -= now;
    }
    return TG_OK;
}
