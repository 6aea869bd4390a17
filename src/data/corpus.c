/* data/corpus.c -- a text as tokens, and batches of it.
 *
 * Tokens are kept in 1, 2 or 4 bytes each: those of a text and the byte tokenizer in the mapped file itself, others in
 * chunks, so that nothing is moved or counted beforehand. Where some tokens do not count, a bit for each says so. The
 * first part is for training, the rest for validation; no batch crosses the border. */
#include <stdatomic.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/random.h"
#include "data/documents.h"
#include "data/tokenizer.h"

#define PURPOSE 0x62617463u             /* "batc": keeps this stream apart from others of the same seed */
#define PIECE 4096                      /* tokens looked at at a time */
#define CHUNK ((size_t)1 << 19)         /* tokens; small enough not to be laid on huge pages, which fill as a whole */
#define TRIES 64                        /* places drawn for a row in which a token counts */
#define FORGET_EVERY ((size_t)16 << 20) /* bytes of the file kept in memory while encoding */
#define UNCOUNTED 0x80000000u           /* on a token, in the hash: above every id */

typedef struct chunk {
    void *tokens;
    uint64_t *counted; /* (CHUNK / 64) bits; NULL: all do */
} chunk;

struct tg_corpus {
    size_t width;        /* bytes a token */
    size_t count, train; /* tokens in all, and of them in the training split */
    const char *text;    /* the mapping the tokens lie in, or NULL */
    size_t text_bytes;
    chunk *chunks;
    size_t chunk_count;
    bool masked; /* some tokens do not count: every chunk has bits */
    size_t predicted_bytes;
    char *path;
    _Atomic uint64_t *hash; /* 0: not asked for yet; behind a pointer, for a corpus is constant to its users */
};

/* ---- storing ------------------------------------------------------------------------------------------------- */

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

static tg_status add_bits(chunk *c)
{
    c->counted = tg_alloc(NULL, CHUNK / 64, sizeof *c->counted);
    if (c->counted == NULL)
        return tg_no_memory("which tokens count", CHUNK / 8);
    memset(c->counted, 0xff, CHUNK / 8);
    return TG_OK;
}

static tg_status add_chunk(tg_corpus *corpus)
{
    chunk *const more =
        tg_heap_resize(corpus->chunks, corpus->chunk_count, corpus->chunk_count + 1, sizeof *corpus->chunks);
    if (more == NULL)
        return tg_no_memory("the tokens of the text", (corpus->chunk_count + 1) * sizeof *more);
    corpus->chunks = more;
    chunk *const added = &more[corpus->chunk_count];
    *added = (chunk){.tokens = tg_alloc(NULL, CHUNK, corpus->width)};
    if (added->tokens == NULL)
        return tg_no_memory("the tokens of the text", CHUNK * corpus->width);
    corpus->chunk_count++;
    return corpus->masked ? add_bits(added) : TG_OK;
}

/* From now on tokens may be such that do not count. */
static tg_status add_mask(tg_corpus *corpus)
{
    tg_status status = TG_OK;
    for (size_t i = 0; status == TG_OK && !corpus->masked && i < corpus->chunk_count; i++)
        status = add_bits(&corpus->chunks[i]);
    corpus->masked = true;
    return status;
}

/* ---- opening ------------------------------------------------------------------------------------------------- */

typedef struct filling {
    tg_corpus *corpus;
    const tg_tokenizer *tokenizer;
    tg_encoder encoder;
    bool counts;      /* do the tokens that come now? */
    const char *text; /* the mapped file */
    const char *passed, *passed_end;
    size_t forgotten;
} filling;

static tg_status put(void *ctx, const uint32_t *ids, size_t count)
{
    const filling *const f = ctx;
    tg_corpus *const corpus = f->corpus;
    while (count > 0) {
        const size_t at = corpus->count % CHUNK, room = CHUNK - at, n = count < room ? count : room;
        if (at == 0) {
            const tg_status status = add_chunk(corpus);
            if (status != TG_OK)
                return status;
        }
        chunk *const last = &corpus->chunks[corpus->chunk_count - 1];
        pack(last->tokens, corpus->width, at, ids, n);
        for (size_t i = at; !f->counts && i < at + n; i++)
            last->counted[i / 64] &= ~((uint64_t)1 << i % 64);
        corpus->count += n;
        ids += n;
        count -= n;
    }
    return TG_OK;
}

static void passed(void *ctx, const char *from, const char *to)
{
    filling *const f = ctx;
    if (from != f->passed_end)
        f->passed = from;
    f->passed_end = to;
    if ((size_t)(to - f->passed) < FORGET_EVERY)
        return;
    tg_text_forget(f->text, (size_t)(f->passed - f->text), (size_t)(to - f->text));
    f->passed = to;
}

static tg_status put_text(void *ctx, const tg_document *document)
{
    filling *const f = ctx;
    const tg_token_sink sink = {.put = put, .passed = passed, .ctx = f};
    f->corpus->predicted_bytes = document->text_bytes;
    return tg_encoder_run(&f->encoder, document->text, document->text_bytes, &sink);
}

/* The prompt, which does not count; the text; what ends it. */
static tg_status put_document(void *ctx, const tg_document *document)
{
    filling *const f = ctx;
    const tg_token_sink sink = {.put = put, .ctx = f};
    uint32_t end;
    tg_status status = TG_OK;
    if (document->prompt != NULL && !f->corpus->masked)
        status = add_mask(f->corpus);
    f->counts = false;
    if (status == TG_OK && document->prompt != NULL)
        status = tg_encoder_run(&f->encoder, document->prompt, document->prompt_bytes, &sink);
    f->counts = true;
    if (status == TG_OK)
        status = tg_encoder_run(&f->encoder, document->text, document->text_bytes, &sink);
    if (status == TG_OK)
        status = tg_tokenizer_end(f->tokenizer, &end) ? put(f, &end, 1) : tg_encoder_run(&f->encoder, "\n", 1, &sink);
    f->corpus->predicted_bytes += document->text_bytes;
    if (document->end - f->forgotten >= FORGET_EVERY) {
        tg_text_forget(f->text, f->forgotten, document->end);
        f->forgotten = document->end;
    }
    return status;
}

static tg_status encode(tg_corpus *corpus, const tg_tokenizer *tokenizer, tg_data_format format, const char *text,
                        size_t bytes)
{
    filling f = {.corpus = corpus, .tokenizer = tokenizer, .counts = true, .text = text};
    tg_status status = tg_encoder_open(&f.encoder, tokenizer);
    corpus->width = width_of(tokenizer->vocab);
    if (status == TG_OK)
        status =
            tg_documents_run(format, text, bytes, corpus->path, format == TG_FORMAT_TEXT ? put_text : put_document, &f);
    tg_encoder_close(&f.encoder);
    return status;
}

static tg_status fill(tg_corpus *corpus, const tg_tokenizer *tokenizer, tg_data_format format)
{
    const char *text;
    size_t bytes;
    tg_status status = tg_text_open(&text, &bytes, corpus->path);
    if (status != TG_OK)
        return status;
    if (tokenizer->type->bytes_are_tokens && format == TG_FORMAT_TEXT) {
        corpus->text = text;
        corpus->width = 1;
        corpus->count = corpus->text_bytes = corpus->predicted_bytes = bytes;
    } else {
        status = encode(corpus, tokenizer, format, text, bytes);
        tg_text_close(text, bytes);
    }
    if (status == TG_OK && corpus->count == 0)
        status = tg_fail(TG_EINVAL, "'%s' has no document", corpus->path);
    if (status == TG_OK && corpus->count < 2)
        status = tg_fail(TG_EINVAL, "'%s' has only one token: there is nothing to predict", corpus->path);
    return status;
}

tg_status tg_corpus_open(tg_corpus **out, const char *path, const tg_tokenizer *tokenizer, tg_data_format format,
                         double validation)
{
    if (!(validation >= 0 && validation < 1))
        return tg_fail(TG_EINVAL, "the validation share must be a number, 0 <= share < 1, not %g", validation);
    tg_corpus *const corpus = tg_heap_alloc(1, sizeof *corpus);
    if (corpus == NULL)
        return tg_no_memory("a corpus", sizeof *corpus);
    corpus->path = tg_heap_text(path);
    corpus->hash = tg_heap_alloc(1, sizeof *corpus->hash);
    const tg_status status = corpus->path == NULL || corpus->hash == NULL ? tg_no_memory("a corpus", sizeof *corpus)
                                                                          : fill(corpus, tokenizer, format);
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
    tg_text_close(corpus->text, corpus->text_bytes);
    for (size_t i = 0; i < corpus->chunk_count; i++) {
        tg_free(NULL, corpus->chunks[i].tokens, CHUNK, corpus->width);
        tg_free(NULL, corpus->chunks[i].counted, CHUNK / 64, sizeof *corpus->chunks[i].counted);
    }
    tg_heap_free(corpus->chunks);
    tg_heap_free(corpus->hash);
    tg_heap_free(corpus->path);
    tg_heap_free(corpus);
}

/* ---- characters of documents --------------------------------------------------------------------------------- */

static tg_status add_text(void *ctx, const tg_document *document)
{
    return tg_chars_add(ctx, document->text, document->text_bytes);
}

static tg_status add_document(void *ctx, const tg_document *document)
{
    tg_status status = tg_chars_add(ctx, document->prompt, document->prompt_bytes);
    if (status == TG_OK)
        status = add_text(ctx, document);
    return status == TG_OK ? tg_chars_add(ctx, "\n", 1) : status;
}

tg_status tg_tokenizer_char_from(tg_tokenizer **out, const char *path, tg_data_format format)
{
    const char *text;
    size_t bytes;
    tg_tokenizer *tokenizer = NULL;
    tg_status status = tg_text_open(&text, &bytes, path);
    if (status != TG_OK)
        return status;
    status = tg_chars_begin(&tokenizer);
    if (status == TG_OK)
        status =
            tg_documents_run(format, text, bytes, path, format == TG_FORMAT_TEXT ? add_text : add_document, tokenizer);
    if (status == TG_OK)
        status = tg_chars_end(tokenizer);
    tg_text_close(text, bytes);
    if (status != TG_OK)
        tg_tokenizer_destroy(tokenizer);
    else
        *out = tokenizer;
    return status;
}

/* ---- looking ------------------------------------------------------------------------------------------------- */

size_t tg_corpus_tokens(const tg_corpus *corpus, tg_split split)
{
    return split == TG_SPLIT_TRAIN ? corpus->train : corpus->count - corpus->train;
}

size_t tg_corpus_bytes(const tg_corpus *corpus)
{
    return corpus->text != NULL ? corpus->text_bytes
                                : corpus->count * corpus->width + (corpus->masked ? corpus->count / 8 : 0);
}

size_t tg_corpus_text_bytes(const tg_corpus *corpus) { return corpus->predicted_bytes; }

static void unpack(uint32_t *restrict to, const void *tokens, size_t width, size_t at, size_t count)
{
    if (width == 1) {
        const uint8_t *restrict from = (const uint8_t *)tokens + at;
        for (size_t i = 0; i < count; i++)
            to[i] = from[i];
    } else if (width == 2) {
        const uint16_t *restrict from = (const uint16_t *)tokens + at;
        for (size_t i = 0; i < count; i++)
            to[i] = from[i];
    } else {
        memcpy(to, (const uint32_t *)tokens + at, count * sizeof *to);
    }
}

/* to (count) <- the tokens from `at` on. */
static void read_tokens(uint32_t *restrict to, const tg_corpus *corpus, size_t at, size_t count)
{
    if (corpus->text != NULL) {
        unpack(to, corpus->text, 1, at, count);
        return;
    }
    for (size_t done = 0, n; done < count; done += n) {
        const size_t first = (at + done) % CHUNK, room = CHUNK - first, left = count - done;
        n = left < room ? left : room;
        unpack(to + done, corpus->chunks[(at + done) / CHUNK].tokens, corpus->width, first, n);
    }
}

static bool counts(const tg_corpus *corpus, size_t at)
{
    return !corpus->masked || (corpus->chunks[at / CHUNK].counted[at % CHUNK / 64] >> at % 64 & 1) != 0;
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
        for (size_t i = 0; corpus->masked && i < count; i++)
            piece[i] |= counts(corpus, at + i) ? 0 : UNCOUNTED;
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
        for (size_t t = 0; corpus->masked && t < count; t++)
            if (!counts(corpus, at + t + 1))
                targets[t] = -1;
    }
    for (size_t t = count; t < time; t++) {
        tokens[t] = 0;
        targets[t] = -1;
    }
}

/* Whether one of the `count` tokens behind `at` counts. */
static bool any_counts(const tg_corpus *corpus, size_t at, size_t count)
{
    size_t i = 1;
    while (i <= count && !counts(corpus, at + i))
        i++;
    return i <= count;
}

/* Where row r of an update begins; drawn again while nothing in it counts. */
static size_t draw(const tg_corpus *corpus, tg_key key, size_t r, size_t time)
{
    size_t at = 0;
    for (size_t i = 0; i < TRIES; i++) {
        at = (size_t)tg_random_below(tg_key_part(key, i), (uint32_t)r, corpus->train - time);
        if (any_counts(corpus, at, time))
            break;
    }
    return at;
}

tg_status tg_corpus_batch(const tg_corpus *corpus, uint32_t *tokens, int32_t *targets, size_t batch, size_t time,
                          uint64_t seed, uint64_t update, uint32_t micro_step)
{
    if (corpus->train <= time)
        return tg_fail(TG_EINVAL, "'%s' has %zu tokens to train on; a context of %zu needs %zu", corpus->path,
                       corpus->train, time, time + 1);
    const tg_key key = tg_key_make(seed, PURPOSE, update, 0);
    for (size_t b = 0; b < batch; b++) {
        const size_t at = draw(corpus, key, micro_step * batch + b, time);
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
