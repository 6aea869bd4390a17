/* logits.c -- what interchange_models.py runs: models made by this engine, and the logits it computes.
 *
 *   logits create DIRECTORY MODEL FORMAT SEED [OPTION VALUE]...   writes a model with irregular weights
 *   logits copy DIRECTORY COPY          opens the one and writes the other
 *   logits full DIRECTORY TOKEN...      prints a line of logits for every position, each computed from its whole past
 *   logits cached DIRECTORY TOKEN...    the same, token by token with the key/value cache
 *   logits samples DIRECTORY FILE       prints a line for every sample, the features of which FILE has as fp32
 *
 * A model that fills in masked tokens sees all of them for every position; "cached" then pads them to its context. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/random.h"
#include "graph/run.h"
#include "model/model.h"
#include "tiger/engine/model.h"
#include "train/generate.h"

static int fail(void)
{
    fprintf(stderr, "logits: %s\n", tg_message());
    return 1;
}

/* Fresh weights have biases 0 and gains 1, which would hide mistakes. */
static void disturb(tg_model *model, uint64_t seed)
{
    for (size_t w = 0; w < tg_model_weight_count(model); w++) {
        const tg_param *param = tg_model_weight(model, w);
        const tg_key key = tg_key_make(seed, w, 0, 0);
        for (size_t i = 0; i < param->rows * param->cols; i++) {
            const float change = 0.137f * tg_random_normal(key, (uint32_t)i);
            if (param->format == TG_F32)
                ((float *)param->data)[i] += change;
            else
                ((uint16_t *)param->data)[i] =
                    tg_f32_to_bf16(tg_bf16_to_f32(((uint16_t *)param->data)[i]) + change);
        }
    }
}

static int create(int count, char **argument)
{
    tg_model_config config;
    tg_model *model = NULL;
    if (count < 4 || tg_model_config_default(&config, argument[1]) != TG_OK)
        return fail();
    const uint64_t seed = strtoull(argument[3], NULL, 10);
    for (int i = 4; i + 1 < count; i += 2) {
        if (strcmp(argument[i], "vocab") == 0)
            config.vocab = strtoull(argument[i + 1], NULL, 10);
        else if (tg_model_config_set(&config, argument[i], argument[i + 1]) != TG_OK)
            return fail();
    }
    if (tg_model_config_complete(&config) != TG_OK ||
        tg_model_create(&model, &config, tg_format_parse(argument[2])) != TG_OK ||
        tg_model_initialize(model, seed) != TG_OK)
        return fail();
    disturb(model, seed);
    const int result = tg_model_save(model, argument[0]) == TG_OK ? 0 : fail();
    tg_model_destroy(model);
    return result;
}

static void print(const float *logits, size_t vocab)
{
    for (size_t i = 0; i < vocab; i++)
        printf("%.9g%c", (double)logits[i], i + 1 == vocab ? '\n' : ' ');
}

/* Reads the first `count` tokens at once, knowing nothing. */
static tg_status run_full(tg_generator *generator, tg_model *model, const uint32_t *tokens, size_t count)
{
    tg_generator_fini(generator);
    const tg_status status = tg_generator_init(generator, model, TG_F32);
    return status == TG_OK ? tg_generator_read(generator, tokens, count) : status;
}

/* A line for every place of a window of `time`, of which `count` are tokens. */
static tg_status show_window(tg_model *model, const uint32_t *tokens, size_t count, size_t time)
{
    tg_graph *graph = NULL;
    const size_t vocab = tg_model_get_config(model)->vocab;
    const uint32_t length = (uint32_t)count;
    float *logits = tg_heap_alloc(vocab, sizeof *logits);
    uint32_t *window = tg_heap_alloc(time, sizeof *window);
    tg_status status = logits == NULL || window == NULL ? TG_ENOMEM : TG_OK;
    if (status == TG_OK)
        status = tg_model_graph(&graph, model, TG_GENERATE, TG_F32, 1, time);
    if (status == TG_OK)
        status = tg_graph_plan(graph, TG_RECOMPUTE_NONE);
    if (status == TG_OK)
        status = tg_graph_allocate(graph);
    for (size_t i = 0; status == TG_OK && i < time; i++)
        window[i] = i < count ? tokens[i] : (uint32_t)(i % vocab);
    for (size_t i = 0; status == TG_OK && i < count; i++) {
        tg_run run = {.tokens = window, .lengths = &length, .logits = logits, .places_back = time - 1 - i};
        if ((status = tg_graph_run(graph, &run)) == TG_OK)
            print(logits, vocab);
    }
    tg_graph_destroy(graph);
    tg_heap_free(window);
    tg_heap_free(logits);
    return status;
}

static int show(int count, char **argument, int cached)
{
    tg_model_config config;
    tg_model *model = NULL;
    tg_generator generator = {0};
    const size_t tokens = (size_t)count - 1;
    uint32_t *token = tg_heap_alloc(tokens, sizeof *token);
    tg_status status = tg_model_config_read(&config, argument[0]);
    if (status == TG_OK)
        status = tg_model_create(&model, &config, TG_F32);
    if (status == TG_OK)
        status = tg_model_load(model, argument[0]);
    for (size_t i = 0; i < tokens && token != NULL; i++)
        token[i] = (uint32_t)strtoul(argument[i + 1], NULL, 10);
    const bool masked = status == TG_OK && config.info->masked;
    if (status == TG_OK)
        status = masked ? show_window(model, token, tokens, cached ? config.context : tokens)
                        : tg_generator_init(&generator, model, TG_F32);
    for (size_t i = 0; i < tokens && status == TG_OK && token != NULL && !masked; i++) {
        status = cached ? tg_generator_read(&generator, token + i, 1) : run_full(&generator, model, token, i + 1);
        if (status == TG_OK)
            print(generator.logits, config.vocab);
    }
    tg_generator_fini(&generator);
    tg_model_destroy(model);
    tg_heap_free(token);
    return status == TG_OK ? 0 : fail();
}

static tg_status show_samples(tg_model *model, FILE *file)
{
    const tg_model_config *config = tg_model_get_config(model);
    tg_graph *graph = NULL;
    float *features = tg_heap_alloc(config->features, sizeof *features);
    float *logits = tg_heap_alloc(config->outputs, sizeof *logits);
    tg_status status = features == NULL || logits == NULL ? TG_ENOMEM : TG_OK;
    if (status == TG_OK)
        status = tg_model_graph(&graph, model, TG_GENERATE, TG_F32, 1, 1);
    if (status == TG_OK)
        status = tg_graph_plan(graph, TG_RECOMPUTE_NONE);
    if (status == TG_OK)
        status = tg_graph_allocate(graph);
    while (status == TG_OK && fread(features, sizeof *features, config->features, file) == config->features) {
        tg_run run = {.features = features, .logits = logits};
        if ((status = tg_graph_run(graph, &run)) == TG_OK)
            print(logits, config->outputs);
    }
    tg_graph_destroy(graph);
    tg_heap_free(logits);
    tg_heap_free(features);
    return status;
}

static int samples(char **argument)
{
    tg_model_config config;
    tg_model *model = NULL;
    FILE *file = fopen(argument[1], "rb");
    tg_status status = file == NULL ? TG_EIO : tg_model_config_read(&config, argument[0]);
    if (status == TG_OK)
        status = tg_model_create(&model, &config, TG_F32);
    if (status == TG_OK)
        status = tg_model_load(model, argument[0]);
    if (status == TG_OK)
        status = show_samples(model, file);
    tg_model_destroy(model);
    if (file != NULL)
        fclose(file);
    return status == TG_OK ? 0 : fail();
}

static int copy(char **argument)
{
    tg_model_config config;
    tg_model *model = NULL;
    if (tg_model_config_read(&config, argument[0]) != TG_OK || tg_model_create(&model, &config, TG_F32) != TG_OK ||
        tg_model_load(model, argument[0]) != TG_OK || mkdir(argument[1], 0700) != 0 ||
        tg_model_save(model, argument[1]) != TG_OK)
        return fail();
    tg_model_destroy(model);
    return 0;
}

int main(int count, char **argument)
{
    if (count >= 6 && strcmp(argument[1], "create") == 0)
        return create(count - 2, argument + 2);
    if (count == 4 && strcmp(argument[1], "copy") == 0)
        return copy(argument + 2);
    if (count == 4 && strcmp(argument[1], "samples") == 0)
        return samples(argument + 2);
    if (count >= 4 && (strcmp(argument[1], "full") == 0 || strcmp(argument[1], "cached") == 0))
        return show(count - 2, argument + 2, strcmp(argument[1], "cached") == 0);
    fprintf(stderr, "usage: logits create DIRECTORY MODEL FORMAT SEED [OPTION VALUE]... | copy DIRECTORY COPY | "
                    "full|cached DIRECTORY TOKEN... | samples DIRECTORY FILE\n");
    return 2;
}
