/* data/bpe.c -- the byte-level BPE tokenizer: special tokens, then words, then merges, with a cache of words seen.
 *
 * Any bytes are a text. Words are cut from legal UTF-8; a run of bytes that is none is a word of its own, and what is
 * before and behind it is cut as if the text ended there. So the tokens of a text give its bytes back, whatever they
 * are, but for the blanks that some special tokens take along (lstrip, rstrip) and the one that add_prefix_space adds.
 */
#include "data/bpe.h"

#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "data/tokenizer.h"

#define CACHED_BYTES 30 /* of a word, and its tokens: an entry is a cache line */
#define CACHED_TOKENS 8
#define CACHE_SLOTS ((size_t)1 << 15)
#define STRIDE ((size_t)1 << 22) /* bytes looked through before the sink is told */

typedef struct cached_word {
    uint8_t bytes, count; /* bytes 0: free */
    char word[CACHED_BYTES];
    uint32_t ids[CACHED_TOKENS];
} cached_word;

typedef struct encoder {
    const tg_bpe *bpe;
    const tg_token_sink *sink;
    const char *text, *told, *text_end; /* what is encoded; up to where the sink was told */
    tg_split_work split;
    tg_merger merger;
    cached_word *cache; /* (CACHE_SLOTS), by the word's hash */
    size_t waiting;     /* of out */
    uint32_t out[TG_TOKENS_AT_ONCE];
} encoder;

/* ---- handing on ---- */

static tg_status flush(encoder *e)
{
    const size_t count = e->waiting;
    e->waiting = 0;
    return count == 0 ? TG_OK : e->sink->put(e->sink->ctx, e->out, count);
}

static tg_status put(encoder *e, const uint32_t *ids, size_t count)
{
    tg_status status = TG_OK;
    while (status == TG_OK && count > 0) {
        const size_t room = TG_TOKENS_AT_ONCE - e->waiting, n = count < room ? count : room;
        memcpy(e->out + e->waiting, ids, n * sizeof *ids);
        e->waiting += n;
        ids += n;
        count -= n;
        if (e->waiting == TG_TOKENS_AT_ONCE)
            status = flush(e);
    }
    return status;
}

static void tell(const encoder *e, const char *from, const char *to)
{
    if (e->sink->passed != NULL && from < to)
        e->sink->passed(e->sink->ctx, from, to);
}

/* ---- words ---- */

static tg_status merge_word(encoder *e, cached_word *slot, const char *word, size_t bytes)
{
    size_t count;
    const tg_status status = tg_merger_run(&e->merger, &count, e->bpe, word, bytes);
    if (status != TG_OK)
        return status;
    if (bytes <= CACHED_BYTES && count <= CACHED_TOKENS) {
        slot->bytes = (uint8_t)bytes;
        slot->count = (uint8_t)count;
        memcpy(slot->word, word, bytes);
        memcpy(slot->ids, e->merger.ids, count * sizeof *slot->ids);
    }
    return put(e, e->merger.ids, count);
}

static tg_status encode_word(void *ctx, const char *word, size_t bytes)
{
    encoder *const e = ctx;
    if (e->bpe->whole != NULL) {
        const uint32_t id = tg_bpe_whole_find(e->bpe, word, bytes);
        if (id != TG_NO_TOKEN)
            return put(e, &id, 1);
    }
    cached_word *const slot = &e->cache[bytes > CACHED_BYTES ? 0 : tg_bpe_hash(word, bytes) & (CACHE_SLOTS - 1)];
    const tg_status status = slot->bytes == bytes && memcmp(slot->word, word, bytes) == 0
                                 ? put(e, slot->ids, slot->count)
                                 : merge_word(e, slot, word, bytes);
    if (word >= e->told && word < e->text_end && (size_t)(word - e->told) >= STRIDE) {
        tell(e, e->told, word);
        e->told = word;
    }
    return status;
}

/* ---- between special tokens ---- */

/* Bytes of legal UTF-8 from the beginning, or of what is none. */
static size_t run_of(const encoder *e, const char *text, size_t bytes, bool legal)
{
    size_t at = 0, told = 0;
    while (at < bytes) {
        uint32_t c;
        const size_t length = tg_utf8_decode(&c, text + at, bytes - at);
        if ((length > 0) != legal)
            break;
        at += legal ? length : 1;
        if (at - told >= STRIDE) {
            tell(e, text + told, text + at);
            told = at;
        }
    }
    return at;
}

static tg_status encode_plain(encoder *e, const char *text, size_t bytes)
{
    tg_status status = TG_OK;
    bool legal = true;
    for (size_t at = 0; status == TG_OK && at < bytes; legal = !legal) {
        const size_t run = run_of(e, text + at, bytes - at, legal);
        if (legal)
            status = tg_splitter_run(&e->bpe->splitter, &e->split, text + at, run, encode_word, e);
        else if (run > 0)
            status = encode_word(e, text + at, run);
        at += run;
    }
    return status;
}

/* ---- special tokens ---- */

static const tg_special *find_special(const encoder *e, bool late, const char *text, size_t bytes, size_t from,
                                      size_t *place)
{
    for (size_t to; from < bytes; from = to) {
        to = bytes - from > STRIDE ? from + STRIDE : bytes;
        const tg_special *const special = tg_specials_find(&e->bpe->specials, late, text, bytes, from, to, place);
        if (special != NULL)
            return special;
        tell(e, text + from, text + to);
    }
    return NULL;
}

/* The first round, and in what it leaves the late one. */
static tg_status encode_round(encoder *e, bool late, const char *text, size_t bytes)
{
    tg_status status = TG_OK;
    size_t at = 0;
    while (status == TG_OK && at < bytes) {
        size_t begin = bytes, end = bytes;
        const tg_special *const special = find_special(e, late, text, bytes, at, &begin);
        if (special != NULL) {
            end = begin + special->bytes;
            tg_special_strip(special, text, bytes, at, &begin, &end);
        }
        if (begin > at)
            status = late ? encode_plain(e, text + at, begin - at) : encode_round(e, true, text + at, begin - at);
        if (status == TG_OK && special != NULL)
            status = put(e, &special->id, 1);
        at = end;
    }
    return status;
}

static tg_status encode(const tg_tokenizer *tokenizer, void *work, const char *text, size_t bytes,
                        const tg_token_sink *sink)
{
    encoder *const e = work;
    (void)tokenizer;
    e->sink = sink;
    e->text = e->told = text;
    e->text_end = text + bytes;
    e->waiting = 0;
    const tg_status status = encode_round(e, false, text, bytes);
    return status == TG_OK ? flush(e) : status;
}

/* ---- the kind ---- */

static void close(void *work)
{
    encoder *const e = work;
    tg_split_work_free(&e->split);
    tg_merger_free(&e->merger);
    tg_heap_free(e->cache);
    tg_heap_free(e);
}

static tg_status open(void **work, const tg_tokenizer *tokenizer)
{
    encoder *const e = tg_heap_alloc(1, sizeof *e);
    if (e == NULL)
        return tg_no_memory("an encoder", sizeof *e);
    e->bpe = tokenizer->own;
    e->cache = tg_heap_alloc(CACHE_SLOTS, sizeof *e->cache);
    const tg_status status = e->cache == NULL ? tg_no_memory("a cache of words", CACHE_SLOTS * sizeof *e->cache)
                                              : tg_split_work_open(&e->split, &e->bpe->splitter);
    if (status != TG_OK)
        close(e);
    else
        *work = e;
    return status;
}

static const char *token(const tg_tokenizer *tokenizer, uint32_t id, size_t *bytes)
{
    return tg_bpe_token(tokenizer->own, id, bytes);
}

static size_t own_bytes(const void *own)
{
    const tg_bpe *const bpe = own;
    return sizeof *bpe + bpe->start[bpe->vocab] + (bpe->vocab + 1) * sizeof *bpe->start +
           bpe->slots * sizeof *bpe->merge + bpe->whole_slots * sizeof *bpe->whole + tg_specials_bytes(&bpe->specials) +
           bpe->splitter.bytes;
}

static bool is_special(const void *own, uint32_t id) { return tg_specials_has(&((const tg_bpe *)own)->specials, id); }

static void destroy(void *own)
{
    tg_bpe *const bpe = own;
    if (bpe == NULL)
        return;
    tg_specials_free(&bpe->specials);
    tg_splitter_free(&bpe->splitter);
    tg_heap_free(bpe->bytes);
    tg_heap_free(bpe->start);
    tg_heap_free(bpe->merge);
    tg_heap_free(bpe->whole);
    tg_heap_free(bpe);
}

const tg_tokenizer_type tg_tokenizer_type_bpe = {
    .name = "bpe",
    .essential = "{'model': {'type': 'BPE'}}",
    .read = tg_bpe_read,
    .open = open,
    .close = close,
    .encode = encode,
    .token = token,
    .own_bytes = own_bytes,
    .is_special = is_special,
    .destroy = destroy,
};
