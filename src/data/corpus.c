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
#include "data/masking.h"
#include "data/tokenizer.h"

#define PURPOSE 0x62617463u             /* "batc": keeps this stream apart from others of the same seed */
#define PIECE 4096                      /* tokens looked at at a time */
#define CHUNK ((size_t)1 << 19)         /* tokens; small enough not to be laid on huge pages, which fill as a whole */
#define TRIES 64                        /* places drawn for a row in which a token counts */
#define FORGET_EVERY ((size_t)16 << 20) /* bytes of the file kept in memory while encoding */
#define PURPOSE_MASK 0x6d61736bu        /* "mask" */
#define EVALUATION_SEED 0x6576616cu     /* evaluations mask the same places in every run */
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
    tg_masking *masking; /* NULL: targets are the tokens that come next */
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

/* What ends a document: what the tokenizer puts behind a text, else the token for it, else a newline. */
static tg_status put_end(filling *f, const tg_token_sink *sink)
{
    const tg_tokenizer *const t = f->tokenizer;
    uint32_t end;
    if (t->after > 0)
        return put(f, t->frame + t->before, t->after);
    return tg_tokenizer_end(t, &end) ? put(f, &end, 1) : tg_encoder_run(&f->encoder, "\n", 1, sink);
}

/* What the tokenizer puts in front of a text; the prompt, which does not count; the text; what ends it. */
static tg_status put_document(void *ctx, const tg_document *document)
{
    filling *const f = ctx;
    const tg_token_sink sink = {.put = put, .ctx = f};
    tg_status status = TG_OK;
    if (document->prompt != NULL && !f->corpus->masked)
        status = add_mask(f->corpus);
    f->counts = document->prompt == NULL;
    if (status == TG_OK)
        status = put(f, f->tokenizer->frame, f->tokenizer->before);
    if (status == TG_OK && document->prompt != NULL)
        status = tg_encoder_run(&f->encoder, document->prompt, document->prompt_bytes, &sink);
    f->counts = true;
    if (status == TG_OK)
        status = tg_encoder_run(&f->encoder, document->text, document->text_bytes, &sink);
    if (status == TG_OK)
        status = put_end(f, &sink);
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
    if (tokenizer->type->bytes_are_tokens && !tokenizer->own_mask && format == TG_FORMAT_TEXT) {
        corpus->text = text;
        corpus->width = 1;
        corpus->count = corpus->text_bytes = corpus->predicted_bytes = bytes;
    } else {
        status = encode(corpus, tokenizer, format, text, bytes);
        tg_text_close(text, bytes);
    }
    if (status == TG_EINVAL) /* of a tokenizer, for a text: here it is the file's */
        status = TG_EFORMAT;
    if (status == TG_OK && corpus->count == 0)
        status = tg_fail(TG_EFORMAT, "'%s' has no document", corpus->path);
    if (status == TG_OK && corpus->count < 2)
        status = tg_fail(TG_EFORMAT, "'%s' has only one token: there is nothing to predict", corpus->path);
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
    if (corpus->masking != NULL)
        tg_heap_free(corpus->masking->special);
    tg_heap_free(corpus->masking);
    tg_heap_free(corpus->chunks);
    tg_heap_free(corpus->hash);
    tg_heap_free(corpus->path);
    tg_heap_free(corpus);
}

/* ---- masking ------------------------------------------------------------------------------------------------- */

static bool is_share(double x) { return x >= 0 && x <= 1; }

tg_status tg_corpus_mask(tg_corpus *corpus, const tg_tokenizer *tokenizer, double rate, double random, double keep)
{
    uint32_t mask;
    const size_t vocab = tokenizer->vocab;
    if (!tg_tokenizer_mask(tokenizer, &mask))
        return tg_fail(TG_EINVAL, "the tokenizer has no mask token: it needs a special token [MASK] or <mask>");
    if (!is_share(rate) || rate == 0 || !is_share(random) || !is_share(keep) || random + keep > 1)
        return tg_fail(TG_EINVAL, "mask_rate %g must be in (0, 1], mask_random %g and mask_keep %g in [0, 1] together",
                       rate, random, keep);
    tg_masking *const masking = tg_heap_alloc(1, sizeof *masking);
    uint64_t *const special = tg_heap_alloc(vocab / 64 + 1, sizeof *special);
    if (masking == NULL || special == NULL) {
        tg_heap_free(masking);
        tg_heap_free(special);
        return tg_no_memory("masking", vocab / 8);
    }
    for (uint32_t id = 0; id < vocab; id++)
        special[id / 64] |= (uint64_t)tg_tokenizer_is_special(tokenizer, id) << id % 64;
    *masking =
        (tg_masking){.rate = rate, .random = random, .keep = keep, .mask = mask, .vocab = vocab, .special = special};
    corpus->masking = masking;
    return TG_OK;
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

/* One row: `count` <= time tokens from `at` and their successors, or with masking they themselves; the rest is ignored
 * by the loss. */
static void read_row(const tg_corpus *corpus, uint32_t *tokens, int32_t *targets, size_t time, size_t at, size_t count)
{
    read_tokens(tokens, corpus, at, count);
    for (size_t t = 0; corpus->masking != NULL && t < count; t++)
        targets[t] = counts(corpus, at + t) ? (int32_t)tokens[t] : -1;
    if (count > 0 && corpus->masking == NULL) {
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

/* Whether one of the `count` tokens behind `at` counts, or with masking of those from `at` on. */
static bool any_counts(const tg_corpus *corpus, size_t at, size_t count)
{
    const size_t first = corpus->masking == NULL ? at + 1 : at;
    size_t i = 0;
    while (i < count && !counts(corpus, first + i))
        i++;
    return i < count;
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
        if (corpus->masking != NULL)
            tg_mask_row(corpus->masking, tokens + b * time, targets + b * time, time,
                        tg_key_make(seed, PURPOSE_MASK, update, micro_step * batch + b), 0);
    }
    return TG_OK;
}

/* Targets of a split: with masking every token may be one. */
static size_t targets_of(const tg_corpus *corpus, tg_split split)
{
    const size_t held = tg_corpus_tokens(corpus, split);
    return corpus->masking != NULL ? held : held < 2 ? 0 : held - 1;
}

/* Window number b of batch `index`: where it begins in the split, and how many targets it has. */
static size_t window_at(const tg_corpus *corpus, tg_split split, size_t batch, size_t time, size_t index, size_t b,
                        size_t *count)
{
    const size_t wanted = targets_of(corpus, split), there = (wanted + time - 1) / time;
    const bool past = index > there / batch || index * batch + b >= there;
    const size_t at = past ? 0 : (index * batch + b) * time, left = past ? 0 : wanted - at;
    *count = left < time ? left : time;
    return at;
}

void tg_corpus_lengths(const tg_corpus *corpus, tg_split split, uint32_t *lengths, size_t batch, size_t time,
                       size_t index)
{
    for (size_t b = 0; b < batch; b++) {
        size_t count;
        window_at(corpus, split, batch, time, index, b, &count);
        lengths[b] = (uint32_t)count;
    }
}

tg_status tg_corpus_window(const tg_corpus *corpus, tg_split split, uint32_t *tokens, int32_t *targets, size_t batch,
                           size_t time, size_t index, size_t *windows)
{
    if (time == 0)
        return tg_fail(TG_EINVAL, "windows of 0 tokens");
    const size_t first = split == TG_SPLIT_TRAIN ? 0 : corpus->train;
    for (size_t b = 0; b < batch; b++) {
        size_t count;
        const size_t at = window_at(corpus, split, batch, time, index, b, &count);
        read_row(corpus, tokens + b * time, targets + b * time, time, first + at, count);
        if (corpus->masking != NULL)
            tg_mask_row(corpus->masking, tokens + b * time, targets + b * time, count,
                        tg_key_make(EVALUATION_SEED, PURPOSE_MASK, (uint64_t)split, at), 0);
    }
    if (windows != NULL)
        *windows = (targets_of(corpus, split) + time - 1) / time;
    return TG_OK;
}
