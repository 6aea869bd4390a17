/* data/chars.c -- the char tokenizer: a token for every Unicode character that occurs in a text, in code point order.
 *
 * In tokenizer.json it is a WordLevel vocabulary behind a pre-tokenizer that splits after every character (newlines are
 * characters: the pattern is [\s\S], not "."). U+0000 has no place in the keys of a vocabulary and is refused. */
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "data/tokenizer.h"

#define PAGE 256
#define PAGES (TG_CODE_POINTS / PAGE)

/* Ids are found through pages of code points: a text uses few of them. */
typedef struct char_table {
    char (*text)[TG_UTF8_BYTES]; /* (vocab,4) by id */
    uint32_t *page[PAGES];       /* id + 1 by code point; 0: unknown */
} char_table;

static void destroy(void *own)
{
    char_table *const table = own;
    if (table == NULL)
        return;
    for (size_t i = 0; i < PAGES; i++)
        tg_heap_free(table->page[i]);
    tg_heap_free(table->text);
    tg_heap_free(table);
}

static uint32_t *find_slot(const char_table *table, uint32_t code_point)
{
    uint32_t *const page = table->page[code_point / PAGE];
    return page == NULL ? NULL : &page[code_point % PAGE];
}

/* The slot of a code point, its page made where there is none yet; NULL when there is no memory. */
static uint32_t *make_slot(char_table *table, uint32_t code_point)
{
    uint32_t **const page = &table->page[code_point / PAGE];
    if (*page == NULL)
        *page = tg_heap_alloc(PAGE, sizeof **page);
    return *page == NULL ? NULL : &(*page)[code_point % PAGE];
}

static tg_status no_memory(void) { return tg_no_memory("a char tokenizer", sizeof(char_table)); }

/* Control characters are named, not shown: a message is one line. */
static tg_status unknown(uint32_t code_point, const char *text, size_t length, size_t offset)
{
    const bool shown = code_point >= 0x20 && !(code_point >= 0x7f && code_point < 0xa0);
    return tg_fail(
        TG_EINVAL,
        "the tokenizer does not know the character U+%04X%s%.*s%s at offset %zu: it has those of the text it "
        "was made from (a model trained with --tokenizer byte reads any text)",
        (unsigned)code_point, shown ? " '" : "", shown ? (int)length : 0, text + offset, shown ? "'" : "", offset);
}

static tg_status no_utf8(const char *text, size_t offset)
{
    return tg_fail(
        TG_EFORMAT,
        "byte 0x%02x at offset %zu is no UTF-8, which the char tokenizer needs: --tokenizer byte takes any file",
        (unsigned)(unsigned char)text[offset], offset);
}

/* Marks the characters of the text with 1 in their slots; *count is their number. */
static tg_status collect(char_table *table, size_t *count, const char *text, size_t bytes)
{
    size_t distinct = 0;
    for (size_t offset = 0; offset < bytes;) {
        uint32_t code_point;
        const size_t length = tg_utf8_decode(&code_point, text + offset, bytes - offset);
        if (length == 0)
            return no_utf8(text, offset);
        if (code_point == 0)
            return tg_fail(
                TG_EFORMAT,
                "a 0 byte at offset %zu is in no text, which the char tokenizer needs: --tokenizer byte takes any file",
                offset);
        uint32_t *const slot = make_slot(table, code_point);
        if (slot == NULL)
            return no_memory();
        distinct += *slot == 0;
        *slot = 1;
        offset += length;
    }
    *count = distinct;
    return TG_OK;
}

/* Numbers the marked slots in order. */
static tg_status number(char_table *table, size_t count)
{
    uint32_t id = 0;
    table->text = tg_heap_alloc(count, sizeof *table->text);
    if (table->text == NULL)
        return no_memory();
    for (uint32_t p = 0; p < PAGES; p++)
        for (uint32_t i = 0; table->page[p] != NULL && i < PAGE; i++)
            if (table->page[p][i] != 0) {
                tg_utf8_encode(table->text[id], p * PAGE + i);
                table->page[p][i] = ++id;
            }
    return TG_OK;
}

tg_status tg_chars_begin(tg_tokenizer **out)
{
    tg_tokenizer *const tokenizer = tg_tokenizer_new(&tg_tokenizer_type_char);
    if (tokenizer == NULL)
        return TG_ENOMEM;
    tokenizer->own = tg_heap_alloc(1, sizeof(char_table));
    if (tokenizer->own == NULL) {
        tg_tokenizer_destroy(tokenizer);
        return no_memory();
    }
    *out = tokenizer;
    return TG_OK;
}

tg_status tg_chars_add(tg_tokenizer *tokenizer, const char *text, size_t bytes)
{
    size_t more = 0;
    const tg_status status = collect(tokenizer->own, &more, text, bytes);
    tokenizer->vocab += more;
    return status;
}

tg_status tg_chars_end(tg_tokenizer *tokenizer)
{
    if (tokenizer->vocab == 0)
        return tg_fail(TG_EINVAL, "a char tokenizer needs a text with at least one character");
    return number(tokenizer->own, tokenizer->vocab);
}

tg_status tg_tokenizer_char(tg_tokenizer **out, const char *text, size_t bytes)
{
    tg_tokenizer *tokenizer = NULL;
    tg_status status = tg_chars_begin(&tokenizer);
    if (status == TG_OK)
        status = tg_chars_add(tokenizer, text, bytes);
    if (status == TG_OK)
        status = tg_chars_end(tokenizer);
    if (status != TG_OK)
        tg_tokenizer_destroy(tokenizer);
    else
        *out = tokenizer;
    return status;
}

static const char *token(const tg_tokenizer *tokenizer, uint32_t id, size_t *bytes)
{
    const char_table *const table = tokenizer->own;
    uint32_t code_point;
    *bytes = tg_utf8_decode(&code_point, table->text[id], TG_UTF8_BYTES);
    return table->text[id];
}

static json_t *vocab_json(const tg_tokenizer *tokenizer)
{
    json_t *vocab = json_object();
    for (uint32_t id = 0; vocab != NULL && id < tokenizer->vocab - tokenizer->own_mask; id++) {
        size_t bytes;
        char key[TG_UTF8_BYTES + 1] = "";
        memcpy(key, token(tokenizer, id, &bytes), TG_UTF8_BYTES);
        key[bytes] = '\0';
        if (json_object_set_new(vocab, key, json_integer(id)) != 0) {
            json_decref(vocab);
            return NULL;
        }
    }
    return vocab;
}

/* One pair of the vocabulary into the table. */
static tg_status read_pair(char_table *table, size_t count, const char *key, const json_t *value, const char *name)
{
    const size_t bytes = strlen(key);
    uint32_t code_point;
    if (bytes == 0 || tg_utf8_decode(&code_point, key, bytes) != bytes)
        return tg_fail(
            TG_EUNSUPPORTED,
            "'%s': token '%.40s' is not one character; of WordLevel vocabularies only those of characters are known",
            name, key);
    const json_int_t id = json_integer_value(value);
    if (!json_is_integer(value) || id < 0 || (size_t)id >= count)
        return tg_fail(TG_EFORMAT, "'%s': token '%s' needs an id from 0 to %zu", name, key, count - 1);
    if (table->text[id][0] != '\0')
        return tg_fail(TG_EFORMAT, "'%s': two tokens have the id %lld", name, (long long)id);
    uint32_t *const slot = make_slot(table, code_point);
    if (slot == NULL)
        return no_memory();
    memcpy(table->text[id], key, bytes);
    *slot = (uint32_t)id + 1;
    return TG_OK;
}

static tg_status read(tg_tokenizer *tokenizer, const json_t *document, const char *name)
{
    const json_t *const vocab = json_object_get(json_object_get(document, "model"), "vocab");
    const size_t count = json_object_size(vocab);
    if (count == 0 || count > TG_CODE_POINTS)
        return tg_fail(TG_EFORMAT, "'%s': a vocabulary of %zu characters", name, count);
    char_table *const table = tokenizer->own = tg_heap_alloc(1, sizeof *table);
    if (table == NULL || (table->text = tg_heap_alloc(count, sizeof *table->text)) == NULL)
        return no_memory();
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)vocab, key, value)
    {
        const tg_status status = read_pair(table, count, key, value, name);
        if (status != TG_OK)
            return status;
    }
    tokenizer->vocab = count;
    return TG_OK;
}

/* At most TG_TOKENS_AT_ONCE of the characters from *offset on. */
static tg_status encode_some(const char_table *table, uint32_t *ids, size_t *count, const char *text, size_t bytes,
                             size_t *offset)
{
    size_t made = 0, at = *offset;
    while (made < TG_TOKENS_AT_ONCE && at < bytes) {
        uint32_t code_point;
        const size_t length = tg_utf8_decode(&code_point, text + at, bytes - at);
        if (length == 0)
            return no_utf8(text, at);
        const uint32_t *const slot = find_slot(table, code_point);
        if (slot == NULL || *slot == 0)
            return unknown(code_point, text, length, at);
        ids[made++] = *slot - 1;
        at += length;
    }
    *count = made;
    *offset = at;
    return TG_OK;
}

static tg_status encode(const tg_tokenizer *tokenizer, void *work, const char *text, size_t bytes,
                        const tg_token_sink *sink)
{
    (void)work;
    uint32_t ids[TG_TOKENS_AT_ONCE];
    size_t at = 0, count = 0;
    tg_status status = TG_OK;
    while (status == TG_OK && at < bytes) {
        const size_t from = at;
        status = encode_some(tokenizer->own, ids, &count, text, bytes, &at);
        if (status == TG_OK)
            status = sink->put(sink->ctx, ids, count);
        if (sink->passed != NULL)
            sink->passed(sink->ctx, text + from, text + at);
    }
    return status;
}

static size_t own_bytes(const void *own)
{
    const char_table *const table = own;
    size_t bytes = sizeof *table;
    for (size_t i = 0; i < PAGES; i++)
        bytes += table->page[i] == NULL ? 0 : PAGE * sizeof **table->page;
    return bytes;
}

const tg_tokenizer_type tg_tokenizer_type_char = {
    .name = "char",
    .layout = "{'version': '1.0', 'truncation': null, 'padding': null, 'added_tokens': [], 'normalizer': null,"
              " 'pre_tokenizer': {'type': 'Split', 'pattern': {'Regex': '[\\\\s\\\\S]'}, 'behavior': 'Isolated',"
              " 'invert': false}, 'post_processor': null, 'decoder': {'type': 'Fuse'},"
              " 'model': {'type': 'WordLevel', 'vocab': {}, 'unk_token': '<unk>'}}",
    .essential =
        "{'added_tokens': [], 'normalizer': null,"
        " 'pre_tokenizer': {'type': 'Split', 'pattern': {'Regex': '[\\\\s\\\\S]'}, 'behavior': 'Isolated',"
        " 'invert': false}, 'post_processor': null, 'decoder': {'type': 'Fuse'}, 'model': {'type': 'WordLevel'}}",
    .vocab_json = vocab_json,
    .read = read,
    .encode = encode,
    .token = token,
    .own_bytes = own_bytes,
    .destroy = destroy,
};
