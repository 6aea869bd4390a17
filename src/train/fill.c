/* train/fill.c -- what a model thinks stands at the masked places of a prompt, most likely first. */
#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "graph/run.h"
#include "model/model.h"
#include "train/loaded.h"

#define MOST_FILLINGS 1000

typedef struct prompt {
    uint32_t *tokens; /* (count): with what the tokenizer puts around a text */
    size_t count, masks;
} prompt;

static tg_status read_prompt(prompt *p, const tg_loaded *d, const char *text)
{
    uint32_t *ids = NULL, mask = 0;
    size_t count = 0, before, after;
    const size_t context = tg_model_get_config(d->model)->context;
    if (d->tokenizer == NULL || !tg_tokenizer_mask(d->tokenizer, &mask))
        return tg_fail(TG_EUNSUPPORTED, "the model's tokenizer has no mask token to be filled in");
    tg_status status = tg_tokenizer_encode(d->tokenizer, &ids, &count, text, strlen(text));
    if (status != TG_OK)
        return status;
    const uint32_t *const frame = tg_tokenizer_frame(d->tokenizer, &before, &after);
    for (size_t i = 0; i < count; i++)
        p->masks += ids[i] == mask;
    p->count = before + count + after;
    size_t bytes;
    const char *const word = tg_tokenizer_token(d->tokenizer, mask, &bytes);
    if (p->masks == 0)
        status = tg_fail(TG_EINVAL, "this model writes no text, it fills in masked places: give it a prompt with %.*s",
                         (int)bytes, word);
    else if (p->count > context)
        status = tg_fail(TG_EINVAL, "the prompt has %zu tokens, and the model sees %zu", p->count, context);
    else if ((p->tokens = tg_heap_alloc(p->count, sizeof *p->tokens)) == NULL)
        status = tg_no_memory("a prompt", p->count * sizeof *p->tokens);
    if (status == TG_OK) {
        memcpy(p->tokens + before, ids, count * sizeof *ids);
        for (size_t i = 0; i < before; i++)
            p->tokens[i] = frame[i];
        for (size_t i = 0; i < after; i++)
            p->tokens[before + count + i] = frame[before + i];
    }
    tg_tokens_free(ids);
    return status;
}

static tg_status make_graph(tg_graph **graph, const tg_loaded *d, size_t time)
{
    tg_status status = tg_model_graph(graph, d->model, TG_GENERATE, d->activations, 1, time);
    if (status == TG_OK)
        status = tg_graph_plan(*graph, TG_RECOMPUTE_NONE);
    return status == TG_OK ? tg_graph_allocate(*graph) : status;
}

/* The `wanted` most likely tokens; each is struck from the logits once it was told. */
static tg_status tell(float *logits, const tg_loaded *d, size_t mask, size_t wanted,
                      void (*filling)(void *ctx, const tg_filling *filling), void *ctx)
{
    const size_t vocab = tg_tokenizer_vocab(d->tokenizer); /* the model's may be padded: those count in the sum alone */
    double sum = 0, most = -INFINITY;
    for (size_t i = 0; i < tg_model_get_config(d->model)->vocab; i++)
        most = fmax(most, (double)logits[i]);
    for (size_t i = 0; i < tg_model_get_config(d->model)->vocab; i++)
        sum += exp((double)logits[i] - most);
    if (!isfinite(sum))
        return tg_fail(TG_EDIVERGED, "the model's output is not a number: its weights are damaged or it diverged");
    for (size_t rank = 0; rank < wanted && rank < vocab; rank++) {
        size_t best = 0;
        for (size_t i = 1; i < vocab; i++)
            best = logits[i] > logits[best] ? i : best;
        tg_filling told = {.mask = mask, .rank = rank, .probability = exp((double)logits[best] - most) / sum};
        told.text = tg_tokenizer_token(d->tokenizer, (uint32_t)best, &told.bytes);
        filling(ctx, &told);
        logits[best] = -INFINITY;
    }
    return TG_OK;
}

static tg_status fill(const tg_loaded *d, const prompt *p, size_t wanted,
                      void (*filling)(void *ctx, const tg_filling *filling), void *ctx)
{
    const size_t vocab = tg_model_get_config(d->model)->vocab;
    tg_graph *graph = NULL;
    uint32_t mask = 0;
    tg_tokenizer_mask(d->tokenizer, &mask); /* there is one */
    float *logits = tg_alloc(NULL, vocab, sizeof *logits);
    tg_status status =
        logits == NULL ? tg_no_memory("logits", vocab * sizeof *logits) : make_graph(&graph, d, p->count);
    for (size_t i = 0, seen = 0; status == TG_OK && i < p->count; i++) {
        if (p->tokens[i] != mask)
            continue;
        tg_run run = {.tokens = p->tokens, .logits = logits, .places_back = p->count - 1 - i};
        status = tg_graph_run(graph, &run);
        if (status == TG_OK)
            status = tell(logits, d, seen++, wanted, filling, ctx);
    }
    tg_graph_destroy(graph);
    tg_free(NULL, logits, vocab, sizeof *logits);
    return status;
}

tg_status tg_fill(const tg_sample_config *config, void (*filling)(void *ctx, const tg_filling *filling), void *ctx)
{
    tg_loaded directory = {0};
    prompt p = {0};
    if (config->top_k > MOST_FILLINGS)
        return tg_fail(TG_EINVAL, "top_k must be at most %d here", MOST_FILLINGS);
    tg_status status = tg_loaded_open(&directory, config->directory, config->precision);
    if (status == TG_OK && !tg_model_get_config(directory.model)->info->masked)
        status = tg_fail(TG_EUNSUPPORTED, "%s predicts the next token, and fills in none",
                         tg_model_get_config(directory.model)->info->name);
    if (status == TG_OK)
        status = read_prompt(&p, &directory, config->prompt == NULL ? "" : config->prompt);
    if (status == TG_OK)
        status = fill(&directory, &p, config->top_k == 0 ? TG_FILLINGS : config->top_k, filling, ctx);
    tg_heap_free(p.tokens);
    tg_loaded_close(&directory);
    return status;
}
