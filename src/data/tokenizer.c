/* data/tokenizer.c -- what the public functions of all tokenizers share. */
#include "data/tokenizer.h"

#include <string.h>

#include "base/fail.h"
#include "base/memory.h"

tg_tokenizer *tg_tokenizer_new(const tg_tokenizer_type *type)
{
    tg_tokenizer *const tokenizer = tg_heap_alloc(1, sizeof *tokenizer);
    if (tokenizer == NULL) {
        tg_no_memory("a tokenizer", sizeof *tokenizer);
        return NULL;
    }
    tokenizer->type = type;
    return tokenizer;
}

void tg_tokenizer_destroy(tg_tokenizer *tokenizer)
{
    if (tokenizer == NULL)
        return;
    tokenizer->type->destroy(tokenizer->own);
    tg_heap_free(tokenizer->text);
    tg_heap_free(tokenizer->config);
    tg_heap_free(tokenizer);
}

const char *tg_tokenizer_kind(const tg_tokenizer *tokenizer) { return tokenizer->type->name; }
size_t tg_tokenizer_vocab(const tg_tokenizer *tokenizer) { return tokenizer->vocab; }

bool tg_tokenizer_end(const tg_tokenizer *tokenizer, uint32_t *id)
{
    if (tokenizer->has_end)
        *id = tokenizer->end;
    return tokenizer->has_end;
}

size_t tg_tokenizer_bytes(const tg_tokenizer *tokenizer)
{
    return sizeof *tokenizer + tokenizer->text_bytes + tokenizer->type->own_bytes(tokenizer->own);
}

/* ---- encoding ---- */

tg_status tg_encoder_open(tg_encoder *encoder, const tg_tokenizer *tokenizer)
{
    *encoder = (tg_encoder){.tokenizer = tokenizer};
    return tokenizer->type->open == NULL ? TG_OK : tokenizer->type->open(&encoder->work, tokenizer);
}

tg_status tg_encoder_run(const tg_encoder *encoder, const char *text, size_t bytes, const tg_token_sink *sink)
{
    return encoder->tokenizer->type->encode(encoder->tokenizer, encoder->work, text, bytes, sink);
}

void tg_encoder_close(tg_encoder *encoder)
{
    if (encoder->work != NULL)
        encoder->tokenizer->type->close(encoder->work);
    *encoder = (tg_encoder){0};
}

typedef struct growing {
    uint32_t *ids;
    size_t count, room;
} growing;

static tg_status grow(void *ctx, const uint32_t *ids, size_t count)
{
    growing *const to = ctx;
    if (to->room - to->count < count) {
        const size_t room = to->room + to->room / 2 + count;
        uint32_t *const more = tg_heap_resize(to->ids, to->room, room, sizeof *more);
        if (more == NULL)
            return tg_no_memory("tokens", room * sizeof *more);
        to->ids = more;
        to->room = room;
    }
    memcpy(to->ids + to->count, ids, count * sizeof *ids);
    to->count += count;
    return TG_OK;
}

tg_status tg_tokenizer_encode(const tg_tokenizer *tokenizer, uint32_t **ids, size_t *count, const char *text,
                              size_t bytes)
{
    growing to = {.ids = tg_heap_alloc(1, sizeof *to.ids), .room = 1}; /* never NULL, of an empty text neither */
    tg_encoder encoder = {0};
    const tg_token_sink sink = {.put = grow, .ctx = &to};
    tg_status status = to.ids == NULL ? tg_no_memory("tokens", sizeof *to.ids) : tg_encoder_open(&encoder, tokenizer);
    if (status == TG_OK)
        status = tg_encoder_run(&encoder, text, bytes, &sink);
    tg_encoder_close(&encoder);
    if (status != TG_OK) {
        tg_heap_free(to.ids);
        return status;
    }
    *ids = to.ids;
    *count = to.count;
    return TG_OK;
}

void tg_tokens_free(uint32_t *ids) { tg_heap_free(ids); }

const char *tg_tokenizer_token(const tg_tokenizer *tokenizer, uint32_t id, size_t *bytes)
{
    *bytes = 0;
    return id < tokenizer->vocab ? tokenizer->type->token(tokenizer, id, bytes) : "";
}
