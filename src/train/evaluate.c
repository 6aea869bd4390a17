/* train/evaluate.c -- the mean loss of a model on text: of the training loop's validation split, or of a whole file. */
#include "train/evaluate.h"

#include <math.h>

#include "base/fail.h"
#include "base/memory.h"
#include "graph/run.h"
#include "model/model.h"
#include "train/loaded.h"

/* Bytes of text, and the characters among them: a character is counted by its first byte. */
typedef struct extent {
    size_t bytes, chars;
} extent;

static void add_text(extent *e, const tg_tokenizer *tokenizer, const int32_t *targets, size_t count)
{
    uint32_t end = 0;
    const bool ends = tg_tokenizer_end(tokenizer, &end);
    for (size_t i = 0; i < count; i++) {
        size_t bytes;
        if (targets[i] < 0 || (ends && (uint32_t)targets[i] == end))
            continue;
        const char *text = tg_tokenizer_token(tokenizer, (uint32_t)targets[i], &bytes);
        e->bytes += bytes;
        for (size_t b = 0; b < bytes; b++)
            e->chars += ((unsigned char)text[b] & 0xc0) != 0x80;
    }
}

tg_status tg_evaluate_split(tg_evaluation *out, tg_graph *graph, const tg_corpus *corpus, tg_split split,
                            const tg_tokenizer *tokenizer, size_t batches, uint32_t *tokens, int32_t *targets)
{
    size_t windows = 0, counted = 0;
    double sum = 0;
    extent text = {0};
    tg_status status = tg_corpus_window(corpus, split, tokens, targets, graph->batch, graph->time, 0, &windows);
    if (status != TG_OK)
        return status;
    uint32_t *const lengths = tg_heap_alloc(graph->batch, sizeof *lengths);
    if (lengths == NULL)
        return tg_no_memory("a batch", graph->batch * sizeof *lengths);
    const size_t all = (windows + graph->batch - 1) / graph->batch;
    const size_t wanted = batches == 0 || batches > all ? all : batches;
    for (size_t i = 0; status == TG_OK && i < wanted; i++) {
        const size_t index = (size_t)((double)i * (double)all / (double)wanted);
        tg_run run = {.tokens = tokens, .targets = targets, .lengths = lengths};
        status = tg_corpus_window(corpus, split, tokens, targets, graph->batch, graph->time, index, NULL);
        tg_corpus_lengths(corpus, split, lengths, graph->batch, graph->time, index);
        if (status == TG_OK)
            status = tg_graph_run(graph, &run);
        sum += run.loss_sum;
        counted += run.targets_counted;
        add_text(&text, tokenizer, targets, graph->batch * graph->time);
    }
    tg_heap_free(lengths);
    if (status != TG_OK)
        return status;
    if (counted == 0)
        return tg_fail(TG_EINVAL, "the text is too short to evaluate on: it has no token with one before it");
    *out = (tg_evaluation){.loss = sum / (double)counted, .targets = counted};
    const bool masked = tg_model_get_config(graph->model)->info->masked; /* what is measured is no text */
    out->bits_per_byte = masked || text.bytes == 0 ? NAN : sum / log(2.0) / (double)text.bytes;
    out->bits_per_char = masked || text.chars == 0 ? NAN : sum / log(2.0) / (double)text.chars;
    return TG_OK;
}

/* The model's context, or less for a text that does not fill it. */
static size_t time_for(const tg_model *model, const tg_corpus *corpus)
{
    const size_t context = tg_model_get_config(model)->context, tokens = tg_corpus_tokens(corpus, TG_SPLIT_TRAIN);
    return tokens > context ? context : tokens > 1 ? tokens - 1 : 1;
}

static tg_status evaluate_corpus(tg_evaluation *out, const tg_loaded *directory, const tg_corpus *corpus, size_t batch)
{
    const size_t time = time_for(directory->model, corpus);
    size_t places;
    if (!tg_multiply(&places, batch, time))
        return tg_fail(TG_EINVAL, "a batch of %zu is too large", batch);
    tg_graph *graph = NULL;
    uint32_t *tokens = tg_alloc(NULL, places, sizeof *tokens);
    int32_t *targets = tg_alloc(NULL, places, sizeof *targets);
    tg_status status = tokens == NULL || targets == NULL ? tg_no_memory("a batch", places * 8) : TG_OK;
    if (status == TG_OK)
        status = tg_model_graph(&graph, directory->model, TG_EVALUATE, directory->activations, batch, time);
    if (status == TG_OK)
        status = tg_graph_plan(graph, TG_RECOMPUTE_NONE);
    if (status == TG_OK)
        status = tg_graph_allocate(graph);
    if (status == TG_OK)
        status = tg_evaluate_split(out, graph, corpus, TG_SPLIT_TRAIN, directory->tokenizer, 0, tokens, targets);
    tg_graph_destroy(graph);
    tg_free(NULL, tokens, places, sizeof *tokens);
    tg_free(NULL, targets, places, sizeof *targets);
    return status;
}

tg_status tg_evaluate(tg_evaluation *out, const char *directory, const char *data, tg_data_format format, size_t batch,
                      tg_precision precision)
{
    tg_evaluation made = {0};
    if (batch == 0)
        return tg_fail(TG_EINVAL, "batch must be at least 1");
    tg_loaded opened = {0};
    tg_corpus *corpus = NULL;
    tg_status status = tg_loaded_open(&opened, directory, precision);
    if (status == TG_OK)
        status = tg_corpus_open(&corpus, data, opened.tokenizer, format, 0.0);
    const bool masked = status == TG_OK && tg_model_get_config(opened.model)->info->masked;
    if (masked)
        status = tg_corpus_mask(corpus, opened.tokenizer, tg_train_options()->at[TG_TRAIN_MASK_RATE].value,
                                tg_train_options()->at[TG_TRAIN_MASK_RANDOM].value,
                                tg_train_options()->at[TG_TRAIN_MASK_KEEP].value);
    if (status == TG_OK)
        status = evaluate_corpus(&made, &opened, corpus, batch);
    if (status == TG_OK)
        *out = made;
    tg_corpus_destroy(corpus);
    tg_loaded_close(&opened);
    return status;
}
