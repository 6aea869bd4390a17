/* data/corpus.c -- a text as tokens, and batches of it.
 *
 * Tokens lie one behind the other in 1, 2 or 4 bytes each: those of the byte tokenizer in the mapped file itself,
 * others in memory of their own. The first part is for training, the rest for validation; no batch crosses the border.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/random.h"
#include "data/tokenizer.h"

#define PURPOSE 0x62617463u             /* "batc": keeps this stream apart from others of the same seed */
#define PIECE 4096                      /* tokens encoded at a time */
#define FORGET_EVERY ((size_t)16 << 20) /* bytes of the file kept in memory while encoding */

struct tg_corpus {
    const void *tokens;
    size_t width;        /* bytes a token */
    size_t count, train; /* tokens in all, and of them in the training split */
    const char *text;    /* the mapping the tokens lie in, or NULL */
    size_t text_bytes;
    size_t room; /* tokens there is memory for, when it is our own */
    char *path;
    _Atomic uint64_t *hash; /* 0: not asked for yet; behind a pointer, for a corpus is constant to its users */
};

/* ---- opening ------------------------------------------------------------------------------------------------- */

static size_t width_of(size_t vocab) { return vocab <= 1u << 8 ? 1 : vocab <= 1u << 16 ? 2 : 4; }

static void pack(void *to, size_t width, size_t at, const uint32_t *ids, size_t count)
{
    uint8_t *const narrow = (uint8_t *)to + at * width;
    if (width == 1)
        for (size_t i = 0; i < count; i++)
            narrow[i] = (uint8_t)ids[i];
    else if (width == 2)
        for (size_t i = 0; i < count; i++)
            ((uint16_t *)(void *)narrow)[i] = (uint16_t)ids[i];
    else
        memcpy(narrow, ids, count * sizeof *ids);
}

/* The most tokens the text can become, letting its pages go behind itself. */
static size_t most_tokens(const tg_tokenizer_type *type, const char *text, size_t bytes)
{
    size_t most = 0;
    for (size_t at = 0, end; at < bytes; at = end) {
        end = bytes - at > FORGET_EVERY ? at + FORGET_EVERY : bytes;
        most += type->most_tokens(text + at, end - at);
        tg_text_forget(text, at, end);
    }
    return most;
}

static tg_status encode(tg_corpus *corpus, const tg_tokenizer *tokenizer, const char *text, size_t bytes)
{
    const size_t room = most_tokens(tokenizer->type, text, bytes), width = width_of(tokenizer->vocab);
    size_t offset = 0, forgotten = 0, made = 0;
    uint32_t piece[PIECE];
    void *const tokens = tg_alloc(NULL, room, width);
    if (tokens == NULL)
        return tg_no_memory("the tokens of the text", room * width);
    corpus->tokens = tokens;
    corpus->width = width;
    corpus->room = room;
    while (offset < bytes) {
        size_t count = 0;
        const tg_status status = tokenizer->type->encode(tokenizer, piece, PIECE, &count, text, bytes, &offset);
        if (status != TG_OK)
            return tg_fail(status, "'%s': %s", corpus->path, tg_message());
        pack(tokens, width, made, piece, count);
        made += count;
        if (offset - forgotten >= FORGET_EVERY) {
            tg_text_forget(text, forgotten, offset);
            forgotten = offset;
        }
    }
    corpus->count = made;
    return TG_OK;
}

static tg_status fill(tg_corpus *corpus, const tg_tokenizer *tokenizer)
{
    const char *text;
    size_t bytes;
    tg_status status = tg_text_open(&text, &bytes, corpus->path);
    if (status != TG_OK)
        return status;
    if (tokenizer->type->bytes_are_tokens) {
        corpus->tokens = corpus->text = text;
        corpus->width = 1;
        corpus->count = corpus->text_bytes = bytes;
    } else {
        status = encode(corpus, tokenizer, text, bytes);
        tg_text_close(text, bytes);
    }
    if (status == TG_OK && corpus->count < 2)
        status = tg_fail(TG_EINVAL, "'%s' has only one token: there is nothing to predict", corpus->path);
    return status;
}

tg_status tg_corpus_open(tg_corpus **out, const char *path, const tg_tokenizer *tokenizer, double validation)
{
    if (!(validation >= 0 && validation < 1))
        return tg_fail(TG_EINVAL, "the validation share must be a number, 0 <= share < 1, not %g", validation);
    tg_corpus *const corpus = tg_heap_alloc(1, sizeof *corpus);
    if (corpus == NULL)
        return tg_no_memory("a corpus", sizeof *corpus);
    corpus->path = tg_heap_text(path);
    corpus->hash = tg_heap_alloc(1, sizeof *corpus->hash);
    const tg_status status = corpus->path == NULL || corpus->hash == NULL ? tg_no_memory("a corpus", sizeof *corpus)
                                                                          : fill(corpus, tokenizer);
    if (status != TG_OK) {
        tg_corpus_destroy(corpus);
        return status;
    }
    corpus->train = (size_t)((1 - validation) * (double)corpus->count);
    *out = corpus;
    return TG_OK;
}

void tg_corpus_destroy(tg_corpus *corpus)
{
    if (corpus == NULL)
        return;
    if (corpus->text != NULL)
        tg_text_close(corpus->text, corpus->text_bytes);
    else
        tg_free(NULL, (void *)(uintptr_t)corpus->tokens, corpus->room, corpus->width);
    tg_heap_free(corpus->hash);
    tg_heap_free(corpus->path);
    tg_heap_free(corpus);
}

/* ---- looking ------------------------------------------------------------------------------------------------- */

size_t tg_corpus_tokens(const tg_corpus *corpus, tg_split split)
{
    return split == TG_SPLIT_TRAIN ? corpus->train : corpus->count - corpus->train;
}

size_t tg_corpus_bytes(const tg_corpus *corpus)
{
    return corpus->text != NULL ? corpus->text_bytes : corpus->room * corpus->width;
}

/* to (count) <- the tokens from `at` on. */
static void read_tokens(uint32_t *restrict to, const tg_corpus *corpus, size_t at, size_t count)
{
    if (corpus->width == 1) {
        const uint8_t *restrict from = (const uint8_t *)corpus->tokens + at;
        for (size_t i = 0; i < count; i++)
            to[i] = from[i];
    } else if (corpus->width == 2) {
        const uint16_t *restrict from = (const uint16_t *)corpus->tokens + at;
        for (size_t i = 0; i < count; i++)
            to[i] = from[i];
    } else {
        memcpy(to, (const uint32_t *)corpus->tokens + at, count * sizeof *to);
    }
}

/* Four lanes of multiply and mix over pairs of tokens; the width they are kept in does not show. */
static uint64_t hash_tokens(const tg_corpus *corpus)
{
    enum { LANES = 4 };
    uint64_t lane[LANES] = {1, 2, 3, 4};
    uint32_t piece[PIECE];
    size_t forgotten = 0;
    for (size_t at = 0; at < corpus->count; at += PIECE) {
        const size_t left = corpus->count - at, count = left < PIECE ? left : PIECE;
        read_tokens(piece, corpus, at, count);
        memset(piece + count, 0, (PIECE - count) * sizeof *piece);
        for (size_t i = 0; i < count; i += 2 * LANES)
            for (size_t l = 0; l < LANES; l++) {
                const uint64_t pair = (uint64_t)piece[i + 2 * l] << 32 | piece[i + 2 * l + 1];
                lane[l] = (lane[l] ^ pair) * 0x9e3779b97f4a7c15u;
                lane[l] ^= lane[l] >> 29;
            }
        if (corpus->text != NULL && at - forgotten >= FORGET_EVERY) {
            tg_text_forget(corpus->text, forgotten, at);
            forgotten = at;
        }
    }
    uint64_t hash = tg_mix64(corpus->count);
    for (size_t l = 0; l < LANES; l++)
        hash = tg_mix64(hash ^ lane[l]);
    return hash;
}

/* A whole file may have to be read for it, and every checkpoint asks. */
uint64_t tg_corpus_hash(const tg_corpus *corpus)
{
    uint64_t hash = atomic_load_explicit(corpus->hash, memory_order_relaxed);
    if (hash == 0) {
        hash = hash_tokens(corpus);
        atomic_store_explicit(corpus->hash, hash, memory_order_relaxed);
    }
    return hash;
}

/* ---- batches ------------------------------------------------------------------------------------------------- */

/* One row: `count` <= time tokens from `at` and their successors; the rest is ignored by the loss. */
static void read_row(const tg_corpus *corpus, uint32_t *tokens, int32_t *targets, size_t time, size_t at, size_t count)
{
    read_tokens(tokens, corpus, at, count);
    if (count > 0) {
        uint32_t last;
        read_tokens(&last, corpus, at + count, 1);
        for (size_t t = 0; t + 1 < count; t++)
            targets[t] = (int32_t)tokens[t + 1];
        targets[count - 1] = (int32_t)last;
    }
    for (size_t t = count; t < time; t++) {
        tokens[t] = 0;
        targets[t] = -1;
    }
}

tg_status tg_corpus_batch(const tg_corpus *corpus, uint32_t *tokens, int32_t *targets, size_t batch, size_t time,
                          uint64_t seed, uint64_t update, uint32_t micro_step)
{
    if (corpus->train <= time)
        return tg_fail(TG_EINVAL, "'%s' has %zu tokens to train on; a context of %zu needs %zu", corpus->path,
                       corpus->train, time, time + 1);
    const tg_key key = tg_key_make(seed, PURPOSE, update, micro_step);
    for (size_t b = 0; b < batch; b++) {
        const size_t at = (size_t)tg_random_below(key, (uint32_t)b, corpus->train - time);
        read_row(corpus, tokens + b * time, targets + b * time, time, at, time);
    }
    return TG_OK;
}

tg_status tg_corpus_window(const tg_corpus *corpus, tg_split split, uint32_t *tokens, int32_t *targets, size_t batch,
                           size_t time, size_t index, size_t *windows)
{
    if (time == 0)
        return tg_fail(TG_EINVAL, "windows of 0 tokens");
    const size_t first = split == TG_SPLIT_TRAIN ? 0 : corpus->train, held = tg_corpus_tokens(corpus, split);
    const size_t wanted = held < 2 ? 0 : held - 1, there = (wanted + time - 1) / time; /* targets, windows of them */
    for (size_t b = 0; b < batch; b++) {
        const bool past = index > there / batch || index * batch + b >= there;
        const size_t at = past ? 0 : (index * batch + b) * time, left = past ? 0 : wanted - at;
        read_row(corpus, tokens + b * time, targets + b * time, time, first + at, left < time ? left : time);
    }
    if (windows != NULL)
        *windows = there;
    return TG_OK;
}
