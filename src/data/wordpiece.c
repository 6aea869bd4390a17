/* data/wordpiece.c -- the WordPiece tokenizer: of a word the longest token it begins with, of the rest the longest that
 * may go on, and so forth; a word where that fails is the unknown token as a whole. */
#include "data/wordpiece.h"

#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "data/tokenizer.h"

typedef struct encoder {
    const tg_wordpiece *wordpiece;
    const tg_token_sink *sink;
    const char *text; /* what is encoded, for offsets */
    tg_normal_work normal;
    char *word; /* (room): a blank, and a word */
    size_t room;
    uint32_t *pieces; /* (most_characters) */
    size_t waiting;   /* of out */
    uint32_t out[TG_TOKENS_AT_ONCE];
} encoder;

/* ---- handing on ---- */

static tg_status flush(encoder *e)
{
    const size_t count = e->waiting;
    e->waiting = 0;
    return count == 0 ? TG_OK : e->sink->put(e->sink->ctx, e->out, count);
}

static tg_status put(encoder *e, uint32_t id)
{
    e->out[e->waiting++] = id;
    return e->waiting == TG_TOKENS_AT_ONCE ? flush(e) : TG_OK;
}

/* ---- words ---- */

static size_t characters(const char *text, size_t bytes)
{
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

/* The longest token at `from` of e->word[0 ... end); *next is behind it. */
static uint32_t longest_piece(const encoder *e, size_t from, size_t end, size_t *next)
{
    const tg_wordpiece *const w = e->wordpiece;
    for (size_t to = end - from > w->longest ? from + w->longest : end; to > from; to--) {
        if (to < end && ((unsigned char)e->word[to] & 0xc0) == 0x80) /* inside a character */
            continue;
        const uint32_t id = tg_bpe_whole_find(&w->table, e->word + from, to - from);
        if (id != TG_NO_TOKEN) {
            *next = to;
            return id;
        }
    }
    return TG_NO_TOKEN;
}

static tg_status copy_word(encoder *e, const char *word, size_t bytes)
{
    if (bytes + 1 > e->room) {
        char *const more = tg_heap_resize(e->word, e->room, 2 * bytes + 1, 1);
        if (more == NULL)
            return tg_no_memory("a word", 2 * bytes + 1);
        e->word = more;
        e->room = 2 * bytes + 1;
    }
    e->word[0] = ' ';
    memcpy(e->word + 1, word, bytes);
    return TG_OK;
}

static tg_status encode_word(encoder *e, const char *word, size_t bytes)
{
    const tg_wordpiece *const w = e->wordpiece;
    if (characters(word, bytes) > w->most_characters)
        return put(e, w->unknown);
    tg_status status = copy_word(e, word, bytes);
    size_t count = 0;
    for (size_t at = 0; status == TG_OK && at < bytes + 1;) {
        const uint32_t id = longest_piece(e, at, bytes + 1, &at);
        if (id == TG_NO_TOKEN)
            return put(e, w->unknown);
        e->pieces[count++] = id;
    }
    for (size_t i = 0; status == TG_OK && i < count; i++)
        status = put(e, e->pieces[i]);
    return status;
}

/* ---- between special tokens ---- */

static tg_status encode_words(encoder *e, const char *text, size_t bytes)
{
    const char *word;
    size_t length, at = 0;
    tg_status status = TG_OK;
    while (status == TG_OK && tg_next_word(&word, &length, text, bytes, &at))
        status = encode_word(e, word, length);
    return status;
}

/* Tokens that are looked for in the normal form, and the words between them. */
static tg_status encode_normal(encoder *e, const char *text, size_t bytes)
{
    tg_status status = TG_OK;
    for (size_t at = 0; status == TG_OK && at < bytes;) {
        size_t begin = bytes, end = bytes;
        const tg_special *const special =
            tg_specials_find(&e->wordpiece->table.specials, true, text, bytes, at, bytes, &begin);
        if (special != NULL) {
            end = begin + special->bytes;
            tg_special_strip(special, text, bytes, at, &begin, &end);
        }
        status = encode_words(e, text + at, begin - at);
        if (status == TG_OK && special != NULL)
            status = put(e, special->id);
        at = end;
    }
    return status;
}

/* Pieces that end at a blank: no word, and no character with its marks, goes on behind it. */
static tg_status encode_plain(encoder *e, const char *text, size_t bytes)
{
    tg_status status = TG_OK;
    for (size_t at = 0, end; status == TG_OK && at < bytes; at = end) {
        uint32_t c = 0;
        end = at;
        while (end < bytes && c != ' ' && c != '\n') {
            const size_t step = tg_utf8_decode(&c, text + end, bytes - end);
            if (step == 0)
                return tg_fail(TG_EFORMAT, "byte 0x%02x at offset %zu is no UTF-8: a WordPiece tokenizer needs it",
                               (unsigned)(unsigned char)text[end], (size_t)(text + end - e->text));
            end += step;
        }
        status = tg_normalize(&e->wordpiece->normalizer, &e->normal, text + at, end - at);
        if (status == TG_OK)
            status = encode_normal(e, e->normal.text.at, e->normal.text.used);
        if (e->sink->passed != NULL)
            e->sink->passed(e->sink->ctx, text + at, text + end);
    }
    return status;
}

/* ---- the kind ---- */

static tg_status encode(const tg_tokenizer *tokenizer, void *work, const char *text, size_t bytes,
                        const tg_token_sink *sink)
{
    encoder *const e = work;
    (void)tokenizer;
    e->sink = sink;
    e->text = text;
    e->waiting = 0;
    tg_status status = TG_OK;
    for (size_t at = 0; status == TG_OK && at < bytes;) {
        size_t begin = bytes, end = bytes;
        const tg_special *const special =
            tg_specials_find(&e->wordpiece->table.specials, false, text, bytes, at, bytes, &begin);
        if (special != NULL) {
            end = begin + special->bytes;
            tg_special_strip(special, text, bytes, at, &begin, &end);
        }
        status = encode_plain(e, text + at, begin - at);
        if (status == TG_OK && special != NULL)
            status = put(e, special->id);
        at = end;
    }
    return status == TG_OK ? flush(e) : status;
}

static void close(void *work)
{
    encoder *const e = work;
    tg_normal_work_free(&e->normal);
    tg_heap_free(e->word);
    tg_heap_free(e->pieces);
    tg_heap_free(e);
}

static tg_status open(void **work, const tg_tokenizer *tokenizer)
{
    encoder *const e = tg_heap_alloc(1, sizeof *e);
    if (e == NULL)
        return tg_no_memory("an encoder", sizeof *e);
    e->wordpiece = tokenizer->own;
    const size_t most = e->wordpiece->most_characters;
    e->pieces = tg_heap_alloc(most + 1, sizeof *e->pieces);
    if (e->pieces == NULL) {
        close(e);
        return tg_no_memory("an encoder", most * sizeof *e->pieces);
    }
    *work = e;
    return TG_OK;
}

static const char *token(const tg_tokenizer *tokenizer, uint32_t id, size_t *bytes)
{
    return tg_bpe_token(&((const tg_wordpiece *)tokenizer->own)->table, id, bytes);
}

static size_t own_bytes(const void *own)
{
    const tg_bpe *const table = &((const tg_wordpiece *)own)->table;
    return sizeof(tg_wordpiece) + table->start[table->vocab] + (table->vocab + 1) * sizeof *table->start +
           table->whole_slots * sizeof *table->whole + tg_specials_bytes(&table->specials);
}

static bool is_special(const void *own, uint32_t id)
{
    return tg_specials_has(&((const tg_wordpiece *)own)->table.specials, id);
}

static void destroy(void *own)
{
    tg_wordpiece *const w = own;
    if (w == NULL)
        return;
    tg_specials_free(&w->table.specials);
    tg_heap_free(w->table.bytes);
    tg_heap_free(w->table.start);
    tg_heap_free(w->table.whole);
    tg_heap_free(w);
}

const tg_tokenizer_type tg_tokenizer_type_wordpiece = {
    .name = "wordpiece",
    .essential = "{'model': {'type': 'WordPiece'}}",
    .read = tg_wordpiece_read,
    .open = open,
    .close = close,
    .encode = encode,
    .token = token,
    .own_bytes = own_bytes,
    .is_special = is_special,
    .destroy = destroy,
};
