/* data/wordpiece_json.c -- a WordPiece tokenizer from tokenizer.json.
 *
 * Read are: added_tokens; normalizer: BertNormalizer or null; pre_tokenizer: BertPreTokenizer; model: WordPiece with
 * vocab, unk_token, continuing_subword_prefix and max_input_chars_per_word. The post_processor is read by frame.c; the
 * decoder, truncation and padding are kept in the file and not looked at. Everything else that would change ids is
 * refused by its name. */
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "data/tokenizer.h"
#include "data/wordpiece.h"

#define KIND "a WordPiece tokenizer"
#define MOST_ADDED 65536
#define MOST_HOLES 65536

typedef struct reader {
    tg_wordpiece *w;
    const json_t *document, *vocab;
    const char *name, *prefix;
    const char **key; /* (vocab) by id; NULL: no token */
    bool *added;      /* (vocab) */
} reader;

static bool is_null(const json_t *value) { return value == NULL || json_is_null(value); }
static bool is_on(const json_t *object, const char *key) { return json_is_true(json_object_get(object, key)); }

static const char *type_of(const json_t *object)
{
    const char *const type = json_string_value(json_object_get(object, "type"));
    return type != NULL ? type : is_null(object) ? "null" : "";
}

static tg_status unsupported(const reader *r, const char *where, const char *what)
{
    return tg_fail(TG_EUNSUPPORTED, "'%s': %s '%.60s' is not supported in a WordPiece tokenizer", r->name, where, what);
}

/* ---- what is done to a text ---- */

static tg_status read_normalizer(const reader *r)
{
    const json_t *const n = json_object_get(r->document, "normalizer");
    const json_t *const accents = json_object_get(n, "strip_accents");
    if (is_null(n))
        return TG_OK;
    if (strcmp(type_of(n), "BertNormalizer") != 0)
        return unsupported(r, "the normalizer", type_of(n));
    r->w->normalizer =
        (tg_normalizer){.cleans = is_on(n, "clean_text"),
                        .parts_chinese = is_on(n, "handle_chinese_chars"),
                        .strips_accents = is_null(accents) ? is_on(n, "lowercase") : json_is_true(accents),
                        .lowers = is_on(n, "lowercase")};
    return TG_OK;
}

static tg_status read_model(reader *r, const json_t *model)
{
    const json_t *const most = json_object_get(model, "max_input_chars_per_word");
    const json_t *const words = json_object_get(r->document, "pre_tokenizer");
    const char *const unknown = json_string_value(json_object_get(model, "unk_token"));
    const json_t *const id = json_object_get(r->vocab, unknown == NULL ? "" : unknown);
    r->prefix = json_string_value(json_object_get(model, "continuing_subword_prefix"));
    if (strcmp(type_of(words), "BertPreTokenizer") != 0)
        return unsupported(r, "the pre_tokenizer", type_of(words));
    if (r->prefix == NULL || *r->prefix == '\0')
        return unsupported(r, "model.continuing_subword_prefix", r->prefix == NULL ? "null" : "");
    if (!json_is_integer(id))
        return tg_fail(TG_EFORMAT, "'%s': model.unk_token '%.60s' is not in the vocabulary", r->name,
                       unknown == NULL ? "" : unknown);
    if (!json_is_integer(most) || json_integer_value(most) < 1 || json_integer_value(most) > TG_LONGEST_PIECES)
        return tg_fail(TG_EUNSUPPORTED, "'%s': model.max_input_chars_per_word must be from 1 to %d", r->name,
                       TG_LONGEST_PIECES);
    r->w->most_characters = (size_t)json_integer_value(most);
    r->w->unknown = (uint32_t)json_integer_value(id);
    return TG_OK;
}

/* ---- vocabulary ---- */

static tg_status see_id(const reader *r, size_t *largest, const json_t *id, size_t most, const char *what)
{
    if (!json_is_integer(id) || json_integer_value(id) < 0 || (size_t)json_integer_value(id) >= most)
        return tg_fail(TG_EFORMAT, "'%s': token '%.60s' needs an id from 0 to %zu", r->name, what, most - 1);
    if ((size_t)json_integer_value(id) > *largest)
        *largest = (size_t)json_integer_value(id);
    return TG_OK;
}

static tg_status measure(reader *r)
{
    const json_t *const added = json_object_get(r->document, "added_tokens");
    const size_t most = 2 * (json_object_size(r->vocab) + json_array_size(added)) + MOST_HOLES;
    size_t largest = 0;
    const char *key;
    json_t *value;
    tg_status status = TG_OK;
    if (json_object_size(r->vocab) == 0)
        return tg_fail(TG_EFORMAT, "'%s': model.vocab is no object with tokens", r->name);
    if (json_array_size(added) > MOST_ADDED)
        return tg_fail(TG_EUNSUPPORTED, "'%s': more than %d added tokens", r->name, MOST_ADDED);
    json_object_foreach((json_t *)r->vocab, key, value)
    {
        if (status == TG_OK)
            status = see_id(r, &largest, value, most, key);
    }
    for (size_t i = 0; status == TG_OK && i < json_array_size(added); i++)
        status = see_id(r, &largest, json_object_get(json_array_get(added, i), "id"), most, "added");
    r->w->table.vocab = largest + 1;
    return status;
}

static tg_status take_key(const reader *r, size_t id, const char *key)
{
    if (r->key[id] != NULL && strcmp(r->key[id], key) != 0)
        return tg_fail(TG_EFORMAT, "'%s': two tokens have the id %zu", r->name, id);
    r->key[id] = key;
    return TG_OK;
}

/* A token that is looked for in the normal form is itself brought into it. */
static tg_status add_special(const reader *r, tg_special *special)
{
    tg_normal_work work = {0};
    tg_status status = TG_OK;
    if (special->late) {
        status = tg_normalize(&r->w->normalizer, &work, special->text, special->bytes);
        special->text = work.text.at;
        special->bytes = work.text.used;
    }
    bool blank = false;
    for (size_t i = 0; special->late && i < special->bytes; i++)
        blank = blank || special->text[i] == ' ' || special->text[i] == '\n';
    if (status == TG_OK && (special->bytes == 0 || blank))
        status = unsupported(r, "a normalized added token", "with a blank, or of nothing");
    if (status == TG_OK)
        status = tg_specials_add(&r->w->table.specials, special);
    tg_normal_work_free(&work);
    return status;
}

static tg_status read_added(const reader *r, const json_t *added)
{
    const json_t *const content = json_object_get(added, "content"), *const normalized =
                                                                         json_object_get(added, "normalized");
    const char *const text = json_string_value(content);
    const size_t id = (size_t)json_integer_value(json_object_get(added, "id"));
    if (text == NULL || *text == '\0' || strlen(text) != json_string_length(content))
        return tg_fail(TG_EFORMAT, "'%s': the added token with id %zu has no content", r->name, id);
    const json_t *const own = json_object_get(r->vocab, text);
    if (own != NULL && (size_t)json_integer_value(own) != id)
        return tg_fail(TG_EUNSUPPORTED, "'%s': the added token '%.60s' has the id %zu, which must be %lld", r->name,
                       text, id, (long long)json_integer_value(own));
    if (is_on(added, "single_word"))
        return unsupported(r, "single_word of added token", text);
    const tg_status status = take_key(r, id, text);
    if (status != TG_OK)
        return status;
    r->added[id] = true;
    return add_special(
        r, &(tg_special){.text = (char *)(uintptr_t)text,
                         .bytes = strlen(text),
                         .id = (uint32_t)id,
                         .strips_left = is_on(added, "lstrip"),
                         .strips_right = is_on(added, "rstrip"),
                         .special = is_on(added, "special"),
                         .late = is_null(normalized) ? !is_on(added, "special") : json_is_true(normalized)});
}

static tg_status read_keys(const reader *r)
{
    const json_t *const added = json_object_get(r->document, "added_tokens");
    const char *key;
    json_t *value;
    tg_status status = TG_OK;
    json_object_foreach((json_t *)r->vocab, key, value)
    {
        if (status == TG_OK)
            status = take_key(r, (size_t)json_integer_value(value), key);
    }
    for (size_t i = 0; status == TG_OK && i < json_array_size(added); i++)
        status = read_added(r, json_array_get(added, i));
    return status == TG_OK ? tg_specials_arrange(&r->w->table.specials) : status;
}

/* ---- tokens by id ---- */

static bool goes_on(const reader *r, const char *key)
{
    const size_t prefix = strlen(r->prefix);
    return strncmp(key, r->prefix, prefix) == 0 && key[prefix] != '\0';
}

/* As the text has it. */
static size_t write_token(char *out, const void *context, uint32_t id)
{
    const reader *const r = context;
    const char *key = r->key[id];
    if (key == NULL)
        return 0;
    const bool begins = !r->added[id] && !goes_on(r, key);
    key += !r->added[id] && !begins ? strlen(r->prefix) : 0;
    if (out != NULL && begins)
        *out++ = ' ';
    if (out != NULL)
        memcpy(out, key, strlen(key));
    return strlen(key) + begins;
}

/* Words are looked up in what is no added token; a piece that goes on with a blank is in no word. */
static bool is_piece(const reader *r, size_t id)
{
    const char *const key = r->key[id];
    return key != NULL && *key != '\0' && json_object_get(r->vocab, key) != NULL &&
           !(goes_on(r, key) && key[strlen(r->prefix)] == ' ') && !r->added[id];
}

static tg_status fill_tokens(const reader *r)
{
    tg_bpe *const t = &r->w->table;
    tg_status status = tg_bpe_tokens_fill(t, write_token, r, r->name, KIND);
    if (status == TG_OK)
        status = tg_bpe_whole_reserve(t, json_object_size(r->vocab));
    for (uint32_t id = 0; status == TG_OK && id < t->vocab; id++) {
        const size_t bytes = t->start[id + 1] - t->start[id];
        r->w->longest = bytes > r->w->longest ? bytes : r->w->longest;
        if (is_piece(r, id))
            tg_bpe_whole_put(t, id);
    }
    return status;
}

/* ---- all of it ---- */

static tg_status read_parts(reader *r)
{
    tg_status status = read_normalizer(r);
    if (status == TG_OK)
        status = measure(r);
    if (status == TG_OK)
        status = read_model(r, json_object_get(r->document, "model"));
    if (status != TG_OK)
        return status;
    r->key = tg_heap_alloc(r->w->table.vocab, sizeof *r->key);
    r->added = tg_heap_alloc(r->w->table.vocab, sizeof *r->added);
    if (r->key == NULL || r->added == NULL)
        return tg_no_memory(KIND, r->w->table.vocab * sizeof *r->key);
    status = read_keys(r);
    return status == TG_OK ? fill_tokens(r) : status;
}

tg_status tg_wordpiece_read(tg_tokenizer *tokenizer, const json_t *document, const char *name)
{
    tg_wordpiece *const w = tokenizer->own = tg_heap_alloc(1, sizeof *w);
    if (w == NULL)
        return tg_no_memory(KIND, sizeof *w);
    reader r = {.w = w,
                .document = document,
                .name = name,
                .vocab = json_object_get(json_object_get(document, "model"), "vocab")};
    const tg_status status = read_parts(&r);
    tg_heap_free(r.key);
    tg_heap_free(r.added);
    if (status != TG_OK)
        return status;
    tokenizer->vocab = w->table.vocab;
    tg_specials_find_roles(&w->table.specials, tokenizer);
    return TG_OK;
}
