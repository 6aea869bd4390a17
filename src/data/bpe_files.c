/* data/bpe_files.c -- vocab.json and merges.txt, as GPT-2 and its heirs are published: brought into the form of a
 * tokenizer.json, which is then read, and written beside checkpoints, like any other. */
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "data/tokenizer.h"

#define VERSION "#version"
#define END_OF_TEXT "<|endoftext|>"

/* One line, without its end, onto the list. */
static tg_status append_merge(json_t *list, const char *line, size_t bytes, const char *name, size_t number)
{
    const char *const blank = memchr(line, ' ', bytes);
    const size_t left = blank == NULL ? 0 : (size_t)(blank - line), right = blank == NULL ? 0 : bytes - left - 1;
    if (left == 0 || right == 0 || memchr(blank + 1, ' ', right) != NULL)
        return tg_fail(TG_EFORMAT, "'%s' line %zu: a merge is two tokens with a blank between them", name, number);
    json_t *const a = json_stringn(line, left), *const b = json_stringn(blank + 1, right);
    if (a == NULL || b == NULL) {
        json_decref(a);
        json_decref(b);
        return tg_fail(TG_EFORMAT, "'%s' line %zu: this is no UTF-8", name, number);
    }
    json_t *const pair = json_array();
    const bool bad = json_array_append_new(pair, a) != 0 || json_array_append_new(pair, b) != 0;
    if (json_array_append_new(list, pair) != 0 || bad)
        return tg_no_memory("merges", bytes);
    return TG_OK;
}

static tg_status read_lines(json_t *list, const char *text, size_t bytes, const char *name)
{
    tg_status status = TG_OK;
    size_t number = 0;
    for (size_t at = 0, end; status == TG_OK && at < bytes; at = end + 1) {
        const char *const line = text + at, *const newline = memchr(line, '\n', bytes - at);
        end = newline == NULL ? bytes : (size_t)(newline - text);
        size_t length = end - at;
        length -= length > 0 && line[length - 1] == '\r';
        number++;
        if (length >= strlen(VERSION) && memcmp(line, VERSION, strlen(VERSION)) == 0)
            continue;
        status = append_merge(list, line, length, name, number);
    }
    return status;
}

/* In Hugging Face's order of keys. The end of a text is GPT-2's, where the vocabulary has it. */
static json_t *frame(json_t *vocab, json_t *merges)
{
    const json_t *const end = json_object_get(vocab, END_OF_TEXT);
    json_t *const added = json_array();
    if (json_is_integer(end))
        json_array_append_new(added, json_pack("{s:I, s:s, s:b, s:b, s:b, s:b, s:b}", "id", json_integer_value(end),
                                               "content", END_OF_TEXT, "single_word", 0, "lstrip", 0, "rstrip", 0,
                                               "normalized", 0, "special", 1));
    static const char step[] = "{s:s, s:b, s:b, s:b}";
    json_t *const cut = json_pack(step, "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 1);
    json_t *const after =
        json_pack(step, "type", "ByteLevel", "add_prefix_space", 1, "trim_offsets", 0, "use_regex", 1);
    json_t *const back = json_pack(step, "type", "ByteLevel", "add_prefix_space", 1, "trim_offsets", 1, "use_regex", 1);
    json_t *const model = json_pack("{s:s, s:n, s:n, s:s, s:s, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout",
                                    "unk_token", "continuing_subword_prefix", "", "end_of_word_suffix", "", "fuse_unk",
                                    0, "byte_fallback", 0, "ignore_merges", 0, "vocab", vocab, "merges", merges);
    return json_pack("{s:s, s:n, s:n, s:o, s:n, s:o, s:o, s:o, s:o}", "version", "1.0", "truncation", "padding",
                     "added_tokens", added, "normalizer", "pre_tokenizer", cut, "post_processor", after, "decoder",
                     back, "model", model);
}

tg_status tg_merges_document(json_t **document, json_t *vocab, const char *merges, size_t bytes, const char *name)
{
    json_t *const list = json_array();
    tg_status status = list == NULL ? tg_no_memory("merges", bytes) : read_lines(list, merges, bytes, name);
    if (status != TG_OK) {
        json_decref(list);
        json_decref(vocab);
        return status;
    }
    json_t *const made = frame(vocab, list);
    if (made == NULL)
        return tg_no_memory("a tokenizer", bytes);
    *document = made;
    return TG_OK;
}
