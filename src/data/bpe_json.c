/* data/bpe_json.c -- a byte-level BPE from tokenizer.json.
 *
 * Read are: added_tokens; pre_tokenizer: ByteLevel, or a Sequence of Split, Digits and last ByteLevel; decoder:
 * ByteLevel; model: BPE with vocab, merges (texts or pairs) and ignore_merges. What post_processor puts around a text
 * is read by frame.c; truncation and padding are kept in the file and not looked at. Everything else that would change
 * ids is refused by its name. */
#include <limits.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "data/bpe.h"

#define KIND "a BPE tokenizer"
#define MOST_ADDED 65536
#define MOST_HOLES 65536 /* numbers without token that a vocabulary may have, beside as many as tokens */

typedef struct reader {
    tg_bpe *bpe;
    const json_t *document, *vocab;
    const char *name;
    const char **key;         /* (vocab) by id; NULL: no token */
    bool *added;              /* (vocab) */
    json_int_t highest_added; /* id so far; -1: none */
} reader;

static bool is_on(const json_t *object, const char *key) { return json_is_true(json_object_get(object, key)); }
static bool is_null(const json_t *value) { return value == NULL || json_is_null(value); }

static const char *type_of(const json_t *object)
{
    const char *const type = json_string_value(json_object_get(object, "type"));
    return type == NULL ? "" : type;
}

static tg_status unsupported(const reader *r, const char *where, const char *what)
{
    return tg_fail(TG_EUNSUPPORTED, "'%s': %s '%.60s' is not supported in a byte-level BPE", r->name, where, what);
}

static tg_status no_memory(size_t bytes) { return tg_no_memory(KIND, bytes); }

/* ---- what must not be there ---- */

static bool is_empty_text(const json_t *value)
{
    return is_null(value) || (json_is_string(value) && json_string_length(value) == 0);
}

static tg_status check_model(const reader *r, const json_t *model)
{
    const json_t *const dropout = json_object_get(model, "dropout");
    if (!is_null(dropout) && !(json_is_number(dropout) && json_number_value(dropout) == 0))
        return unsupported(r, "model.dropout", "other than null");
    if (!is_empty_text(json_object_get(model, "continuing_subword_prefix")))
        return unsupported(r, "model.continuing_subword_prefix", "other than null");
    if (!is_empty_text(json_object_get(model, "end_of_word_suffix")))
        return unsupported(r, "model.end_of_word_suffix", "other than null");
    if (is_on(model, "byte_fallback"))
        return unsupported(r, "model.byte_fallback", "true");
    return TG_OK;
}

static tg_status check_frame(const reader *r)
{
    const json_t *const normalizer = json_object_get(r->document, "normalizer");
    const json_t *const decoder = json_object_get(r->document, "decoder");
    if (!is_null(normalizer))
        return unsupported(r, "the normalizer", type_of(normalizer));
    if (strcmp(type_of(decoder), "ByteLevel") != 0)
        return unsupported(r, "the decoder", is_null(decoder) ? "null" : type_of(decoder));
    return TG_OK;
}

/* ---- pre_tokenizer ---- */

static tg_status add_pattern(const reader *r, const char *pattern, bool literal)
{
    const tg_status status = tg_splitter_add(&r->bpe->splitter, pattern, literal);
    return status == TG_OK ? TG_OK : tg_fail(status, "'%s': pre_tokenizer: %s", r->name, tg_message());
}

static tg_status read_split(const reader *r, const json_t *step)
{
    const json_t *const pattern = json_object_get(step, "pattern");
    const char *const regex = json_string_value(json_object_get(pattern, "Regex"));
    const char *const literal = json_string_value(json_object_get(pattern, "String"));
    const char *const behavior = json_string_value(json_object_get(step, "behavior"));
    if (behavior == NULL || strcmp(behavior, "Isolated") != 0)
        return unsupported(r, "pre_tokenizer Split with behavior", behavior == NULL ? "" : behavior);
    if (regex == NULL && (literal == NULL || *literal == '\0'))
        return tg_fail(TG_EFORMAT, "'%s': pre_tokenizer Split has no pattern", r->name);
    return add_pattern(r, regex != NULL ? regex : literal, regex == NULL);
}

static tg_status read_digits(const reader *r, const json_t *step)
{
    return add_pattern(r, is_on(step, "individual_digits") ? "\\p{N}" : "\\p{N}+", false);
}

static tg_status read_byte_level(const reader *r, const json_t *step)
{
    tg_splitter *const splitter = &r->bpe->splitter;
    const json_t *const use_regex = json_object_get(step, "use_regex");
    splitter->adds_blank = is_on(step, "add_prefix_space");
    splitter->last_cuts = is_null(use_regex) || json_is_true(use_regex);
    return splitter->last_cuts ? add_pattern(r, TG_GPT2_PATTERN, false) : TG_OK;
}

static const struct {
    const char *type;
    bool last; /* makes bytes of the text: nothing cuts behind it, and one there must be */
    tg_status (*read)(const reader *r, const json_t *step);
} steps[] = {
    {"Split", false, read_split},
    {"Digits", false, read_digits},
    {"ByteLevel", true, read_byte_level},
};
#define STEPS (sizeof steps / sizeof *steps)

static tg_status read_step(const reader *r, const json_t *step, bool last)
{
    for (size_t i = 0; i < STEPS; i++)
        if (strcmp(type_of(step), steps[i].type) == 0) {
            if (steps[i].last != last)
                return tg_fail(TG_EUNSUPPORTED, "'%s': pre_tokenizer: ByteLevel must be its last step, and only that",
                               r->name);
            return steps[i].read(r, step);
        }
    return unsupported(r, "pre_tokenizer", type_of(step));
}

static tg_status read_pre_tokenizer(const reader *r)
{
    const json_t *const first = json_object_get(r->document, "pre_tokenizer");
    if (strcmp(type_of(first), "Sequence") != 0)
        return is_null(first) ? unsupported(r, "pre_tokenizer", "null") : read_step(r, first, true);
    const json_t *const list = json_object_get(first, "pretokenizers");
    const size_t count = json_array_size(list);
    if (count == 0)
        return unsupported(r, "pre_tokenizer", "empty Sequence");
    tg_status status = TG_OK;
    for (size_t i = 0; status == TG_OK && i < count; i++)
        status = read_step(r, json_array_get(list, i), i + 1 == count);
    return status;
}

/* ---- vocabulary ---- */

/* *count <- the largest id and one. */
static tg_status measure(reader *r, size_t *count)
{
    const json_t *const added = json_object_get(r->document, "added_tokens");
    if (!json_is_object(r->vocab) || json_object_size(r->vocab) == 0)
        return tg_fail(TG_EFORMAT, "'%s': model.vocab is no object with tokens", r->name);
    const size_t tokens = json_object_size(r->vocab) + json_array_size(added), most = 2 * tokens + MOST_HOLES;
    size_t largest = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)r->vocab, key, value)
    {
        if (!json_is_integer(value) || json_integer_value(value) < 0 || (size_t)json_integer_value(value) >= most)
            return tg_fail(TG_EFORMAT, "'%s': token '%.60s' needs an id from 0 to %zu", r->name, key, most - 1);
        if ((size_t)json_integer_value(value) > largest)
            largest = (size_t)json_integer_value(value);
    }
    if (json_array_size(added) > MOST_ADDED)
        return tg_fail(TG_EUNSUPPORTED, "'%s': more than %d added tokens", r->name, MOST_ADDED);
    for (size_t i = 0; i < json_array_size(added); i++) {
        const json_t *const id = json_object_get(json_array_get(added, i), "id");
        if (!json_is_integer(id) || json_integer_value(id) < 0 || (size_t)json_integer_value(id) >= most)
            return tg_fail(TG_EFORMAT, "'%s': added token %zu needs an id from 0 to %zu", r->name, i, most - 1);
        if ((size_t)json_integer_value(id) > largest)
            largest = (size_t)json_integer_value(id);
    }
    *count = largest + 1;
    return TG_OK;
}

/* The bytes that a token's name writes, into `out` unless it is NULL; a name with a character that is no byte's stands
 * for itself. */
static size_t bytes_of_name(char *out, const char *name)
{
    const size_t length = strlen(name);
    size_t made = 0;
    for (size_t at = 0; at < length;) {
        uint32_t c = 0;
        const size_t step = tg_utf8_decode(&c, name + at, length - at);
        const uint32_t byte = step == 0 ? TG_BYTES : tg_named_byte(c);
        if (byte == TG_BYTES) {
            if (out != NULL)
                memcpy(out, name, length);
            return length;
        }
        if (out != NULL)
            out[made] = (char)byte;
        made++;
        at += step;
    }
    return made;
}

static tg_status read_keys(reader *r)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)r->vocab, key, value)
    {
        const char **const place = &r->key[json_integer_value(value)];
        if (*place != NULL)
            return tg_fail(TG_EFORMAT, "'%s': two tokens have the id %lld", r->name,
                           (long long)json_integer_value(value));
        *place = key;
    }
    return TG_OK;
}

/* ---- added tokens ---- */

/* The number that Hugging Face gives an added token, whatever the file says: the vocabulary's, or the next. */
static json_int_t number_of(const reader *r, const json_t *own)
{
    const json_int_t size = (json_int_t)json_object_size(r->vocab);
    return own != NULL ? json_integer_value(own) : r->highest_added >= size ? r->highest_added + 1 : size;
}

static tg_status read_added(reader *r, const json_t *added)
{
    const json_t *const content = json_object_get(added, "content");
    const json_t *const own = json_object_get(r->vocab, json_is_string(content) ? json_string_value(content) : "");
    const json_int_t id = json_integer_value(json_object_get(added, "id"));
    if (!json_is_string(content) || json_string_length(content) == 0 ||
        strlen(json_string_value(content)) != json_string_length(content))
        return tg_fail(TG_EFORMAT, "'%s': the added token with id %lld has no content", r->name, (long long)id);
    const char *const text = json_string_value(content);
    if (number_of(r, own) != id)
        return tg_fail(TG_EUNSUPPORTED, "'%s': the added token '%.60s' has the id %lld, which must be %lld", r->name,
                       text, (long long)id, (long long)number_of(r, own));
    if (own == NULL && r->key[id] != NULL)
        return tg_fail(TG_EFORMAT, "'%s': two tokens have the id %lld", r->name, (long long)id);
    if (is_on(added, "single_word"))
        return unsupported(r, "single_word of added token", text);
    r->highest_added = id > r->highest_added ? id : r->highest_added;
    r->key[id] = text;
    r->added[id] = true;
    const json_t *const normalized = json_object_get(added, "normalized");
    const tg_special special = {.text = (char *)(uintptr_t)text,
                                .bytes = strlen(text),
                                .id = (uint32_t)id,
                                .strips_left = is_on(added, "lstrip"),
                                .strips_right = is_on(added, "rstrip"),
                                .special = is_on(added, "special"),
                                .late = is_null(normalized) ? !is_on(added, "special") : json_is_true(normalized)};
    return tg_specials_add(&r->bpe->specials, &special);
}

static tg_status read_added_tokens(reader *r)
{
    const json_t *const added = json_object_get(r->document, "added_tokens");
    tg_status status = TG_OK;
    for (size_t i = 0; status == TG_OK && i < json_array_size(added); i++)
        status = read_added(r, json_array_get(added, i));
    return status == TG_OK ? tg_specials_arrange(&r->bpe->specials) : status;
}

/* ---- tokens by id ---- */

/* Added tokens are text as it stands, the others are names of bytes. */
static size_t write_token(char *out, const void *context, uint32_t id)
{
    const reader *const r = context;
    const char *const key = r->key[id];
    if (key == NULL)
        return 0;
    if (!r->added[id])
        return bytes_of_name(out, key);
    if (out != NULL)
        memcpy(out, key, strlen(key));
    return strlen(key);
}

static tg_status fill_tokens(const reader *r)
{
    tg_bpe *const bpe = r->bpe;
    const tg_status status = tg_bpe_tokens_fill(bpe, write_token, r, r->name, KIND);
    for (uint32_t byte = 0; byte < TG_BYTES; byte++) {
        char key[TG_UTF8_BYTES + 1] = "";
        tg_utf8_encode(key, tg_byte_name(byte));
        const json_t *const id = json_object_get(r->vocab, key);
        bpe->of_byte[byte] = id == NULL ? TG_NO_TOKEN : (uint32_t)json_integer_value(id);
    }
    return status;
}

static bool names_bytes(const char *name)
{
    const size_t length = strlen(name);
    for (size_t at = 0, step; at < length; at += step) {
        uint32_t c = 0;
        step = tg_utf8_decode(&c, name + at, length - at);
        if (step == 0 || tg_named_byte(c) == TG_BYTES)
            return false;
    }
    return length > 0;
}

/* With ignore_merges a word that is a token needs no merges. Added tokens are found before there are words, and a name
 * that stands for itself is nobody's word. */
static tg_status fill_whole(const reader *r)
{
    tg_status status = tg_bpe_whole_reserve(r->bpe, json_object_size(r->vocab));
    for (uint32_t id = 0; status == TG_OK && id < r->bpe->vocab; id++)
        if (r->key[id] != NULL && !r->added[id] && names_bytes(r->key[id]))
            tg_bpe_whole_put(r->bpe, id);
    return status;
}

/* ---- merges ---- */

/* The two names of a merge, ended with 0: a pair, or a text with one blank between them, which is copied to `room`. */
static bool names_of(const char **left, const char **right, const json_t *merge, char *room, size_t bytes)
{
    if (json_is_array(merge)) {
        *left = json_string_value(json_array_get(merge, 0));
        *right = json_string_value(json_array_get(merge, 1));
        return json_array_size(merge) == 2 && *left != NULL && *right != NULL;
    }
    const char *const text = json_string_value(merge), *const blank = text == NULL ? NULL : strchr(text, ' ');
    if (blank == NULL || strchr(blank + 1, ' ') != NULL || strlen(text) >= bytes)
        return false;
    memcpy(room, text, strlen(text) + 1);
    room[blank - text] = '\0';
    *left = room;
    *right = room + (blank - text) + 1;
    return true;
}

#define LONGEST_MERGE 4096

static tg_status read_merge(const reader *r, const json_t *value, uint32_t rank)
{
    char room[LONGEST_MERGE], both[2 * LONGEST_MERGE];
    const char *left, *right;
    if (!names_of(&left, &right, value, room, sizeof room))
        return tg_fail(TG_EFORMAT, "'%s': merge %u is no pair of tokens", r->name, (unsigned)rank);
    if (strlen(left) + strlen(right) >= sizeof both)
        return tg_fail(TG_EUNSUPPORTED, "'%s': merge %u is longer than %d bytes", r->name, (unsigned)rank,
                       LONGEST_MERGE);
    memcpy(both, left, strlen(left));
    memcpy(both + strlen(left), right, strlen(right) + 1);
    const json_t *const a = json_object_get(r->vocab, left), *const b = json_object_get(r->vocab, right);
    const json_t *const made = json_object_get(r->vocab, both);
    if (a == NULL || b == NULL || made == NULL)
        return tg_fail(TG_EFORMAT, "'%s': merge %u: token '%.60s' is not in the vocabulary", r->name, (unsigned)rank,
                       a == NULL   ? left
                       : b == NULL ? right
                                   : both);
    tg_bpe_merges_put(r->bpe, &(tg_merge){(uint32_t)json_integer_value(a), (uint32_t)json_integer_value(b), rank,
                                          (uint32_t)json_integer_value(made)});
    return TG_OK;
}

static tg_status read_merges(const reader *r, const json_t *merges)
{
    const size_t count = json_array_size(merges);
    if (!json_is_array(merges) || count > INT_MAX)
        return tg_fail(TG_EFORMAT, "'%s': model.merges is no list", r->name);
    tg_status status = tg_bpe_merges_reserve(r->bpe, count);
    for (size_t i = 0; status == TG_OK && i < count; i++)
        status = read_merge(r, json_array_get(merges, i), (uint32_t)i);
    return status;
}

/* ---- all of it ---- */

static tg_status read_parts(reader *r)
{
    const json_t *const model = json_object_get(r->document, "model");
    tg_status status = check_model(r, model);
    if (status == TG_OK)
        status = check_frame(r);
    if (status == TG_OK)
        status = read_pre_tokenizer(r);
    if (status == TG_OK)
        status = measure(r, &r->bpe->vocab);
    if (status != TG_OK)
        return status;
    r->key = tg_heap_alloc(r->bpe->vocab, sizeof *r->key);
    r->added = tg_heap_alloc(r->bpe->vocab, sizeof *r->added);
    if (r->key == NULL || r->added == NULL)
        return no_memory(r->bpe->vocab * sizeof *r->key);
    status = read_keys(r);
    if (status == TG_OK)
        status = read_added_tokens(r);
    if (status == TG_OK)
        status = fill_tokens(r);
    if (status == TG_OK && is_on(model, "ignore_merges"))
        status = fill_whole(r);
    return status == TG_OK ? read_merges(r, json_object_get(model, "merges")) : status;
}

tg_status tg_bpe_read(tg_tokenizer *tokenizer, const json_t *document, const char *name)
{
    tg_bpe *const bpe = tokenizer->own = tg_heap_alloc(1, sizeof *bpe);
    if (bpe == NULL)
        return no_memory(sizeof *bpe);
    reader r = {.bpe = bpe,
                .document = document,
                .name = name,
                .highest_added = -1,
                .vocab = json_object_get(json_object_get(document, "model"), "vocab")};
    const tg_status status = read_parts(&r);
    tg_heap_free(r.key);
    tg_heap_free(r.added);
    if (status != TG_OK)
        return status;
    tokenizer->vocab = bpe->vocab;
    tg_specials_find_roles(&bpe->specials, tokenizer); /* tokenizer_config.json may say otherwise */
    return TG_OK;
}
