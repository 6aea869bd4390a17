/* train/language.c -- the task of language models: a text as tokens, and what is next, or at masked places. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "graph/run.h"
#include "model/model.h"
#include "train/sample.h"
#include "train/task.h"

static tg_data_format format_of(const tg_train_config *c) { return (tg_data_format)(int)c->option[TG_TRAIN_FORMAT]; }

/* ---- settings ---- */

static tg_status check(const tg_train_config *c)
{
    const struct {
        const char *name;
        bool said;
    } others[] = {{"labels", c->labels != NULL},           {"eval_labels", c->eval_labels != NULL},
                  {"target", c->target != NULL},           {"crop", c->option[TG_TRAIN_CROP] != 0},
                  {"flip", c->option[TG_TRAIN_FLIP] != 0}, {"adversarial", c->option[TG_TRAIN_ADVERSARIAL] != 0}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i].said)
            return tg_fail(TG_EINVAL,
                           "%s: %s learns from a text; for images and tables take a model such as mlp (--model mlp)",
                           others[i].name, c->model.info->name);
    return TG_OK;
}

/* ---- text ---- */

static tg_status make_tokenizer(tg_tokenizer **out, const char *kind, const tg_train_config *c)
{
    if (strcmp(kind, "byte") == 0)
        return tg_tokenizer_byte(out);
    if (strcmp(kind, "char") != 0) {
        const tg_status status = tg_tokenizer_read(out, kind);
        if (status != TG_ENOTFOUND || strchr(kind, '/') != NULL)
            return status;
        return tg_fail(TG_EINVAL, "there is no tokenizer '%s' (byte, char, or the path of one)", kind);
    }
    if (c->data == NULL)
        return tg_fail(TG_EINVAL, "the char tokenizer is made from the text: name it with data");
    return tg_tokenizer_char_from(out, c->data, format_of(c));
}

/* With masking, for a model that fills in masked tokens; options of it are nothing for others. */
static tg_status mask_corpus(const tg_session *s, tg_corpus *corpus)
{
    const double *option = s->config->option;
    return corpus == NULL ? TG_OK
                          : tg_corpus_mask(corpus, s->tokenizer, option[TG_TRAIN_MASK_RATE],
                                           option[TG_TRAIN_MASK_RANDOM], option[TG_TRAIN_MASK_KEEP]);
}

static tg_status begin(tg_session *s)
{
    const tg_train_config *c = s->config;
    const tg_model_info *model = tg_model_get_config(s->model)->info;
    if (model->masked && c->option[TG_TRAIN_SAMPLE_EVERY] > 0)
        return tg_fail(TG_EINVAL, "sample_every: %s writes no text, it fills in masked tokens", model->name);
    if (model->masked) {
        const tg_status status = mask_corpus(s, s->corpus);
        return status == TG_OK ? mask_corpus(s, s->held_out) : status;
    }
    for (size_t i = TG_TRAIN_MASK_RATE; i <= TG_TRAIN_MASK_KEEP; i++)
        if (c->option[i] != tg_train_options()->at[i].value)
            return tg_fail(TG_EINVAL, "%s is for models that fill in masked tokens, and %s predicts the next one",
                           tg_train_options()->at[i].name, model->name);
    return TG_OK;
}

static tg_status open(tg_session *s, const char *directory)
{
    const tg_train_config *c = s->config;
    const char *from = directory != c->init || c->tokenizer == NULL ? directory : NULL;
    tg_status status = TG_OK;
    if (from != NULL)
        status = tg_tokenizer_read(&s->tokenizer, from);
    else if (c->data != NULL || c->vocab == 0)
        status = make_tokenizer(&s->tokenizer,
                                c->tokenizer != NULL ? c->tokenizer
                                : c->data == NULL    ? "byte"
                                                     : "char",
                                c);
    if (status == TG_OK && s->tokenizer != NULL && directory == NULL && c->model.info->masked)
        status = tg_tokenizer_add_mask(s->tokenizer);
    if (status == TG_OK && c->data != NULL)
        status = tg_corpus_open(&s->corpus, c->data, s->tokenizer, format_of(c),
                                c->eval_data != NULL ? 0.0 : c->option[TG_TRAIN_VALIDATION]);
    if (status == TG_OK && c->data != NULL && c->eval_data != NULL)
        status = tg_corpus_open(&s->held_out, c->eval_data, s->tokenizer, format_of(c), 0.0);
    return status;
}

/* What evaluations read. */
static const tg_corpus *held_out(const tg_session *s, tg_split *split)
{
    *split = s->held_out != NULL ? TG_SPLIT_TRAIN : TG_SPLIT_VALIDATION;
    return s->held_out != NULL ? s->held_out : s->corpus;
}

static void close(tg_session *s)
{
    tg_corpus_destroy(s->held_out);
    tg_corpus_destroy(s->corpus);
    tg_tokenizer_destroy(s->tokenizer);
    tg_free(NULL, s->tokens, s->places, sizeof *s->tokens);
    tg_free(NULL, s->targets, s->places, sizeof *s->targets);
}

static tg_status fit_model(const tg_session *s, tg_model_config *model, bool fixed)
{
    if (!fixed)
        model->vocab = s->config->vocab != 0 ? s->config->vocab : tg_tokenizer_vocab(s->tokenizer);
    else if (s->config->vocab != 0 && s->config->vocab != model->vocab)
        return tg_fail(TG_EINVAL, "vocab %zu: the model there is has one of %zu tokens, and keeps it", s->config->vocab,
                       model->vocab);
    const size_t needed = s->tokenizer == NULL ? 0 : tg_tokenizer_vocab(s->tokenizer);
    if (model->vocab >= needed)
        return TG_OK;
    return tg_fail(TG_EINVAL, "the tokenizer has %zu tokens, and %s %zu", needed,
                   fixed ? "the model there is knows only" : "vocab is", model->vocab);
}

static tg_status check_data(const tg_session *s)
{
    const char *prompt = s->config->sample_prompt;
    if (tg_corpus_tokens(s->corpus, TG_SPLIT_TRAIN) <= s->train->time)
        return tg_fail(TG_EINVAL,
                       "%s: %zu tokens to train on are too few for a context of %zu: take more text, less "
                       "validation or a smaller context",
                       s->config->data, tg_corpus_tokens(s->corpus, TG_SPLIT_TRAIN), s->train->time);
    if (prompt != NULL && tg_sample_check_prompt(s->tokenizer, prompt) != TG_OK)
        return tg_fail(TG_EINVAL, "sample_prompt: %s", tg_message());
    return TG_OK;
}

static uint64_t hash(const tg_session *s, bool of_held_out)
{
    const tg_corpus *corpus = of_held_out ? s->held_out : s->corpus;
    return corpus == NULL ? 0 : tg_corpus_hash(corpus);
}

/* ---- batches ---- */

static tg_status allocate(tg_session *s)
{
    s->tokens = tg_alloc(NULL, s->places, sizeof *s->tokens);
    s->targets = tg_alloc(NULL, s->places, sizeof *s->targets);
    return s->tokens != NULL && s->targets != NULL ? TG_OK : tg_no_memory("a batch", s->places * 8);
}

static size_t bytes(const tg_session *s)
{
    return (s->corpus == NULL ? 0 : tg_corpus_bytes(s->corpus)) +
           (s->held_out == NULL ? 0 : tg_corpus_bytes(s->held_out)) +
           (s->tokenizer == NULL ? 0 : tg_tokenizer_bytes(s->tokenizer)) + s->places * 8;
}

static tg_status batch(tg_session *s, uint64_t update, uint32_t micro_step)
{
    return tg_corpus_batch(s->corpus, s->tokens, s->targets, s->train->batch, s->train->time,
                           (uint64_t)s->config->option[TG_TRAIN_SEED], update, micro_step);
}

static size_t windows(const tg_session *s, size_t size)
{
    size_t count = 0;
    if (s->corpus == NULL)
        return 0;
    tg_corpus_window(s->corpus, TG_SPLIT_TRAIN, NULL, NULL, 0, tg_model_get_config(s->model)->context, 0, &count);
    return count < size ? 1 : (count + size - 1) / size;
}

static tg_status window(tg_session *s, size_t index, uint32_t *lengths)
{
    const size_t size = s->train->batch, time = s->train->time;
    const tg_status status =
        tg_corpus_window(s->corpus, TG_SPLIT_TRAIN, s->tokens, s->targets, size, time, index, NULL);
    tg_corpus_lengths(s->corpus, TG_SPLIT_TRAIN, lengths, size, time, index);
    return status;
}

/* ---- evaluation ---- */

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

/* *out <- over the targets of the split. tokens and targets are work space for the graph's batch, (B,T) each. At most
 * `batches` batches are looked at, spread evenly over the split and always the same; 0: all. */
static tg_status evaluate_split(tg_evaluation *out, tg_graph *graph, const tg_corpus *corpus, tg_split split,
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
    out->loss = sum / (double)counted;
    out->targets = counted;
    out->perplexity = exp(out->loss);
    const bool masked = tg_model_get_config(graph->model)->info->masked; /* what is measured is no text */
    out->bits_per_byte = masked || text.bytes == 0 ? NAN : sum / log(2.0) / (double)text.bytes;
    out->bits_per_char = masked || text.chars == 0 ? NAN : sum / log(2.0) / (double)text.chars;
    return TG_OK;
}

static bool has_held_out(const tg_session *s)
{
    tg_split split;
    const tg_corpus *corpus = held_out(s, &split);
    return tg_corpus_tokens(corpus, split) >= 2;
}

static tg_status evaluate(tg_evaluation *out, tg_session *s, size_t batches)
{
    tg_split split;
    const tg_corpus *corpus = held_out(s, &split);
    return evaluate_split(out, s->evaluate, corpus, split, s->tokenizer, batches, s->tokens, s->targets);
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
        status = tg_evaluation_graph(&graph, directory, batch, time);
    if (status == TG_OK)
        status = evaluate_split(out, graph, corpus, TG_SPLIT_TRAIN, directory->tokenizer, 0, tokens, targets);
    tg_graph_destroy(graph);
    tg_free(NULL, tokens, places, sizeof *tokens);
    tg_free(NULL, targets, places, sizeof *targets);
    return status;
}

static tg_status evaluate_file(tg_evaluation *out, const tg_loaded *directory, const tg_evaluate_config *config)
{
    const tg_option *option = tg_train_options()->at;
    tg_corpus *corpus = NULL;
    if (config->labels != NULL || config->target != NULL)
        return tg_fail(TG_EINVAL, "%s was trained on a text: labels and target are for images and tables",
                       config->directory);
    tg_status status = tg_corpus_open(&corpus, config->data, directory->tokenizer, config->format, 0.0);
    if (status == TG_OK && tg_model_get_config(directory->model)->info->masked)
        status = tg_corpus_mask(corpus, directory->tokenizer, option[TG_TRAIN_MASK_RATE].value,
                                option[TG_TRAIN_MASK_RANDOM].value, option[TG_TRAIN_MASK_KEEP].value);
    if (status == TG_OK)
        status = evaluate_corpus(out, directory, corpus, config->batch);
    tg_corpus_destroy(corpus);
    return status;
}

/* ---- directories ---- */

/* config.json again, with the tokens that the tokenizer has a meaning for: transformers looks for them there. */
static tg_status write_roles(const tg_session *s, const char *directory)
{
    static const struct {
        const char *key;
        bool (*of)(const tg_tokenizer *tokenizer, uint32_t *id);
    } roles[] = {
        {"bos_token_id", tg_tokenizer_begin}, {"eos_token_id", tg_tokenizer_end}, {"pad_token_id", tg_tokenizer_pad}};
    json_t *const more = json_object();
    uint32_t id = 0;
    for (size_t i = 0; more != NULL && i < sizeof roles / sizeof *roles; i++)
        if (roles[i].of(s->tokenizer, &id))
            json_object_set_new(more, roles[i].key, json_integer(id));
    const tg_status status =
        more == NULL ? tg_no_memory("config.json", 0)
        : json_object_size(more) == 0
            ? TG_OK
            : tg_model_config_write_more(tg_model_get_config(s->model), s->model->format, directory, more);
    json_decref(more);
    return status;
}

static tg_status write(const tg_session *s, const char *directory)
{
    const tg_status status = write_roles(s, directory);
    return status == TG_OK ? tg_tokenizer_write(s->tokenizer, directory) : status;
}

static tg_status load(tg_loaded *directory, const tg_model_config *config, const char *path)
{
    const tg_status status = tg_tokenizer_read(&directory->tokenizer, path);
    if (status != TG_OK || tg_tokenizer_vocab(directory->tokenizer) <= config->vocab)
        return status;
    return tg_fail(TG_EFORMAT, "%s: the tokenizer has %zu tokens, the model only %zu", path,
                   tg_tokenizer_vocab(directory->tokenizer), config->vocab);
}

const tg_task tg_task_language = {
    .rate = "tok",
    .per_second = "tokens_per_second",
    .items = "tokens",
    .data = "text",
    .check = check,
    .open = open,
    .close = close,
    .fit_model = fit_model,
    .begin = begin,
    .allocate = allocate,
    .bytes = bytes,
    .check_data = check_data,
    .batch = batch,
    .windows = windows,
    .window = window,
    .hash = hash,
    .has_held_out = has_held_out,
    .evaluate = evaluate,
    .write = write,
    .load = load,
    .evaluate_file = evaluate_file,
};
