/* data/tokenizer.c -- what the public functions of all tokenizers share. */
#include "data/tokenizer.h"

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
    tg_heap_free(tokenizer);
}

const char *tg_tokenizer_kind(const tg_tokenizer *tokenizer) { return tokenizer->type->name; }
size_t tg_tokenizer_vocab(const tg_tokenizer *tokenizer) { return tokenizer->vocab; }

tg_status tg_tokenizer_encode(const tg_tokenizer *tokenizer, uint32_t **ids, size_t *count, const char *text,
                              size_t bytes)
{
    const size_t room = tokenizer->type->most_tokens(text, bytes) + 1; /* never none: what is left over is an error's */
    size_t made = 0, offset = 0;
    uint32_t *const tokens = tg_heap_alloc(room, sizeof *tokens);
    if (tokens == NULL)
        return tg_no_memory("tokens", room * sizeof *tokens);
    while (offset < bytes) {
        size_t more = 0;
        const tg_status status =
            tokenizer->type->encode(tokenizer, tokens + made, room - made, &more, text, bytes, &offset);
        if (status != TG_OK) {
            tg_heap_free(tokens);
            return status;
        }
        made += more;
    }
    *ids = tokens;
    *count = made;
    return TG_OK;
}

void tg_tokens_free(uint32_t *ids) { tg_heap_free(ids); }

const char *tg_tokenizer_token(const tg_tokenizer *tokenizer, uint32_t id, size_t *bytes)
{
    *bytes = 0;
    return id < tokenizer->vocab ? tokenizer->type->token(tokenizer, id, bytes) : "";
}
