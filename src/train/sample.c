/* train/sample.c -- text from a trained model, token by token. */
#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "train/generate.h"
#include "train/pick.h"
#include "train/pieces.h"
#include "train/sample.h"

#define PURPOSE 0x73616d706c65u /* "sample" */

static tg_status check(const tg_sample_config *config)
{
    if (!(config->temperature >= 0) || !isfinite(config->temperature))
        return tg_fail(TG_EINVAL, "temperature must be >= 0, not %g", config->temperature);
    if (config->directory == NULL)
        return tg_fail(TG_EINVAL, "sampling needs a model's directory");
    return TG_OK;
}

/* In front of the prompt's own tokens what the tokenizer puts there, unless the prompt begins with it. */
static tg_status add_front(uint32_t **ids, size_t *count, const tg_tokenizer *tokenizer)
{
    size_t before, after;
    const uint32_t *const frame = tg_tokenizer_frame(tokenizer, &before, &after);
    if (before == 0 || (*count >= before && memcmp(*ids, frame, before * sizeof *frame) == 0))
        return TG_OK;
    uint32_t *const more = tg_heap_resize(*ids, *count, *count + before, sizeof *more);
    if (more == NULL)
        return tg_no_memory("a prompt", (*count + before) * sizeof *more);
    memmove(more + before, more, *count * sizeof *more);
    memcpy(more, frame, before * sizeof *frame);
    *ids = more;
    *count += before;
    return TG_OK;
}

/* The tokens to begin with: the prompt's; of an empty one what stands in front of every text, what ends a document, a
 * newline, or whatever token is the first. */
static tg_status encode_prompt(uint32_t **ids, size_t *count, const tg_tokenizer *tokenizer, const char *prompt)
{
    const size_t bytes = prompt == NULL ? 0 : strlen(prompt);
    size_t before, after;
    tg_tokenizer_frame(tokenizer, &before, &after);
    if (bytes > 0 || before > 0) {
        const tg_status status = tg_tokenizer_encode(tokenizer, ids, count, bytes > 0 ? prompt : "", bytes);
        return status == TG_OK ? add_front(ids, count, tokenizer) : status;
    }
    uint32_t id = 0;
    if (!tg_tokenizer_end(tokenizer, &id) && tg_tokenizer_encode(tokenizer, ids, count, "\n", 1) == TG_OK)
        return TG_OK;
    size_t first_bytes;
    const char *first = tg_tokenizer_token(tokenizer, id, &first_bytes);
    return tg_tokenizer_encode(tokenizer, ids, count, first, first_bytes);
}

static tg_status make_text(const tg_sample_config *config, const tg_tokenizer *tokenizer, tg_generator *generator,
                           uint32_t *heap, tg_pieces *pieces)
{
    const size_t vocab = tg_tokenizer_vocab(tokenizer); /* the model's may be padded */
    for (size_t i = 0; i < config->tokens; i++) {
        uint32_t token;
        size_t bytes;
        const tg_key key = tg_key_make(config->seed, PURPOSE, i, 0);
        tg_status status =
            tg_pick_token(&token, generator->logits, vocab, config->temperature, config->top_k, heap, key);
        if (status != TG_OK)
            return status;
        const char *text = tg_tokenizer_token(tokenizer, token, &bytes);
        tg_pieces_add(pieces, text, bytes);
        if (i + 1 < config->tokens && (status = tg_generator_read(generator, &token, 1)) != TG_OK)
            return status;
    }
    return TG_OK;
}

tg_status tg_sample_check_prompt(const tg_tokenizer *tokenizer, const char *prompt)
{
    uint32_t *ids = NULL;
    size_t count;
    const tg_status status = encode_prompt(&ids, &count, tokenizer, prompt);
    tg_tokens_free(ids);
    return status;
}

tg_status tg_sample_model(const tg_sample_config *config, const tg_loaded *loaded, const tg_graph *lender,
                          void (*text)(void *ctx, const char *bytes, size_t count), void *ctx)
{
    tg_generator generator = {0};
    uint32_t *ids = NULL, *heap = NULL;
    size_t count = 0, heap_size = 0;
    tg_pieces pieces = {.text = text, .ctx = ctx};
    const tg_model_info *model = tg_model_get_config(loaded->model)->info;
    tg_status status =
        loaded->tokenizer == NULL ? tg_fail(TG_EUNSUPPORTED, "%s writes no text, it learns from samples", model->name)
        : model->masked           ? tg_fail(TG_EUNSUPPORTED, "%s writes no text, it fills in masked tokens", model->name) : TG_OK;
    if (status == TG_OK)
        status = encode_prompt(&ids, &count, loaded->tokenizer, config->prompt);
    if (status == TG_OK)
        status = tg_generator_init(&generator, loaded->model, loaded->activations);
    if (status != TG_OK)
        goto done;
    generator.lender = lender;
    heap_size = config->top_k < tg_tokenizer_vocab(loaded->tokenizer) ? config->top_k : 0;
    if (heap_size > 0 && (heap = tg_alloc(NULL, heap_size, sizeof *heap)) == NULL) {
        status = tg_no_memory("the most likely tokens", heap_size * sizeof *heap);
        goto done;
    }
    if ((status = tg_generator_read(&generator, ids, count)) != TG_OK)
        goto done;
    if (config->prompt != NULL)
        tg_pieces_add(&pieces, config->prompt, strlen(config->prompt));
    status = make_text(config, loaded->tokenizer, &generator, heap, &pieces);
done:
    tg_free(NULL, heap, heap_size, sizeof *heap);
    tg_tokens_free(ids);
    tg_generator_fini(&generator);
    return status;
}

tg_status tg_sample(const tg_sample_config *config, void (*text)(void *ctx, const char *bytes, size_t count), void *ctx)
{
    tg_loaded loaded = {0};
    tg_status status = check(config);
    if (status == TG_OK)
        status = tg_loaded_open(&loaded, config->directory, config->precision);
    if (status == TG_OK)
        status = tg_sample_model(config, &loaded, NULL, text, ctx);
    tg_loaded_close(&loaded);
    return status;
}
