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
    tg_heap_free(tokenizer->frame);
    tg_heap_free(tokenizer->text);
    tg_heap_free(tokenizer->config);
    for (size_t i = 0; i < TG_KEPT_FILES; i++)
        tg_heap_free(tokenizer->kept[i]);
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

bool tg_tokenizer_begin(const tg_tokenizer *tokenizer, uint32_t *id)
{
    if (tokenizer->has_begin)
        *id = tokenizer->begin;
    return tokenizer->has_begin;
}

bool tg_tokenizer_pad(const tg_tokenizer *tokenizer, uint32_t *id)
{
    if (tokenizer->has_pad)
        *id = tokenizer->pad;
    return tokenizer->has_pad;
}

bool tg_tokenizer_mask(const tg_tokenizer *tokenizer, uint32_t *id)
{
    if (tokenizer->has_mask)
        *id = tokenizer->mask;
    return tokenizer->has_mask;
}

tg_status tg_tokenizer_add_mask(tg_tokenizer *tokenizer)
{
    if (tokenizer->has_mask)
        return TG_OK;
    if (tokenizer->type->layout == NULL)
        return tg_fail(TG_EUNSUPPORTED, "the tokenizer has no mask token: it needs a special token [MASK] or <mask>");
    tokenizer->has_mask = tokenizer->own_mask = true;
    tokenizer->mask = (uint32_t)tokenizer->vocab++;
    return TG_OK;
}

bool tg_tokenizer_is_special(const tg_tokenizer *tokenizer, uint32_t id)
{
    return (tokenizer->has_mask && id == tokenizer->mask) ||
           (tokenizer->type->is_special != NULL && tokenizer->type->is_special(tokenizer->own, id));
}

const uint32_t *tg_tokenizer_frame(const tg_tokenizer *tokenizer, size_t *before, size_t *after)
{
    *before = tokenizer->before;
    *after = tokenizer->after;
    return tokenizer->frame;
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

static tg_status encode(const tg_encoder *encoder, const char *text, size_t bytes, const tg_token_sink *sink)
{
    return encoder->tokenizer->type->encode(encoder->tokenizer, encoder->work, text, bytes, sink);
}

/* The first "[MASK]" of text[from ... bytes); `bytes` when there is none. */
static size_t find_mask(const char *text, size_t bytes, size_t from)
{
    const size_t length = strlen(TG_MASK_TEXT);
    while (bytes - from >= length) {
        const char *const at = memchr(text + from, *TG_MASK_TEXT, bytes - from - length + 1);
        if (at == NULL)
            break;
        from = (size_t)(at - text);
        if (memcmp(at, TG_MASK_TEXT, length) == 0)
            return from;
        from++;
    }
    return bytes;
}

tg_status tg_encoder_run(const tg_encoder *encoder, const char *text, size_t bytes, const tg_token_sink *sink)
{
    tg_status status = TG_OK;
    if (!encoder->tokenizer->own_mask)
        return encode(encoder, text, bytes, sink);
    for (size_t at = 0; status == TG_OK && at < bytes;) {
        const size_t mask = find_mask(text, bytes, at);
        if (mask > at)
            status = encode(encoder, text + at, mask - at, sink);
        if (status == TG_OK && mask < bytes)
            status = sink->put(sink->ctx, &encoder->tokenizer->mask, 1);
        at = mask < bytes ? mask + strlen(TG_MASK_TEXT) : bytes;
    }
    return status;
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
    if (tokenizer->own_mask && id == tokenizer->mask) {
        *bytes = strlen(TG_MASK_TEXT);
        return TG_MASK_TEXT;
    }
    return id < tokenizer->vocab ? tokenizer->type->token(tokenizer, id, bytes) : "";
}
