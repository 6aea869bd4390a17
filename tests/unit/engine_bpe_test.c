/* engine_bpe_test.c -- byte-level BPE: the ids of Hugging Face tokenizers, any bytes, files that are refused; patterns;
 * documents as lines and JSON Lines. */
#include <jansson.h>

#include "base/memory.h"
#include "base/random.h"
#include "data/bpe.h"
#include "data/documents.h"
#include "data/split.h"
#include "home_support.h"

static const char directory[] = ".", path[] = "text"; /* in the folder that home_support.h enters */
static const char *const names[] = {"gpt2", "llama3", "smollm2"};
#define NAMES (sizeof names / sizeof *names)

static void put_file(const char *name, const void *bytes, size_t count)
{
    char full[256];
    snprintf(full, sizeof full, "%s/%s", directory, name);
    FILE *file = fopen(full, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static tg_tokenizer *golden(const char *name)
{
    char file[256];
    tg_tokenizer *tokenizer = NULL;
    snprintf(file, sizeof file, TG_TESTS_DIR "/golden/bpe_%s.json", name);
    if (tg_tokenizer_read(&tokenizer, file) != TG_OK)
        fail_msg("%s", tg_message());
    return tokenizer;
}

static tg_tokenizer *parsed(const char *json)
{
    tg_tokenizer *tokenizer = NULL;
    if (tg_tokenizer_parse(&tokenizer, json, strlen(json), "t.json") != TG_OK)
        fail_msg("%s", tg_message());
    return tokenizer;
}

/* ---- ids --------------------------------------------------------------------------------------------------------- */

static void gives_back(const tg_tokenizer *tokenizer, const uint32_t *ids, size_t count, const char *text, size_t bytes)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t length;
        const char *const token = tg_tokenizer_token(tokenizer, ids[i], &length);
        assert_true(length >= 1 && length <= bytes - at);
        assert_memory_equal(token, text + at, length);
        at += length;
    }
    assert_int_equal(at, bytes);
}

static void test_golden_ids(void **state)
{
    (void)state;
    json_error_t error;
    json_t *const cases = json_load_file(TG_TESTS_DIR "/golden/bpe_cases.json", JSON_ALLOW_NUL, &error);
    assert_non_null(cases);
    assert_true(json_array_size(cases) >= 15);
    for (size_t n = 0; n < NAMES; n++) {
        tg_tokenizer *const tokenizer = golden(names[n]);
        assert_string_equal(tg_tokenizer_kind(tokenizer), "bpe");
        assert_int_equal(tg_tokenizer_vocab(tokenizer), 643);
        for (size_t i = 0; i < json_array_size(cases); i++) {
            const json_t *const row = json_array_get(cases, i), *const text = json_object_get(row, "text");
            const json_t *const expected = json_object_get(row, names[n]);
            uint32_t *ids;
            size_t count;
            assert_int_equal(
                tg_tokenizer_encode(tokenizer, &ids, &count, json_string_value(text), json_string_length(text)), TG_OK);
            assert_int_equal(count, json_array_size(expected));
            for (size_t k = 0; k < count; k++)
                assert_int_equal(ids[k], json_integer_value(json_array_get(expected, k)));
            gives_back(tokenizer, ids, count, json_string_value(text), json_string_length(text));
            tg_tokens_free(ids);
        }
        tg_tokenizer_destroy(tokenizer);
    }
    json_decref(cases);
}

/* Random bytes, most of them no UTF-8, come back; tokens do not depend on what was encoded before. */
static void test_any_bytes(void **state)
{
    (void)state;
    enum { MOST = 3000 };
    static const char *const awkward[] = {"<|endoftext|>", "<|end", "\xf0\x9f\x99\x82", "\xe6\x95",
                                          "  \n",          "'s",    "\xc2\xa0",         "9"};
    for (size_t n = 0; n < NAMES; n++) {
        tg_tokenizer *const tokenizer = golden(names[n]);
        for (uint32_t round = 0; round < 60; round++) {
            char text[MOST + 16];
            const tg_key key = tg_key_make(2385, n, round, 0);
            size_t bytes = 0, count;
            uint32_t *ids;
            for (uint32_t i = 0; bytes < MOST && i < 40 * round; i++) {
                const uint64_t draw = tg_random_below(key, i, 256 + 8);
                const char byte = (char)draw;
                const char *const piece = draw < 256 ? &byte : awkward[draw - 256];
                const size_t length = draw < 256 ? 1 : strlen(piece);
                memcpy(text + bytes, piece, length);
                bytes += length;
            }
            assert_int_equal(tg_tokenizer_encode(tokenizer, &ids, &count, text, bytes), TG_OK);
            gives_back(tokenizer, ids, count, text, bytes);
            tg_tokens_free(ids);
        }
        tg_tokenizer_destroy(tokenizer);
    }
}

/* A run of bytes that are no UTF-8 is a word: it merges with nothing beside it. */
static void test_broken_bytes_are_words(void **state)
{
    (void)state;
    tg_tokenizer *const tokenizer = golden("gpt2");
    static const char text[] = "the\xe6\x95the\xff\xfe\xfdthe";
    static const size_t pieces[][2] = {{0, 3}, {3, 2}, {5, 3}, {8, 3}, {11, 3}};
    uint32_t *all, *ids;
    size_t count, at = 0, more;
    assert_int_equal(tg_tokenizer_encode(tokenizer, &all, &count, text, sizeof text - 1), TG_OK);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        assert_int_equal(tg_tokenizer_encode(tokenizer, &ids, &more, text + pieces[i][0], pieces[i][1]), TG_OK);
        assert_true(at + more <= count);
        assert_memory_equal(all + at, ids, more * sizeof *ids);
        at += more;
        tg_tokens_free(ids);
    }
    assert_int_equal(at, count);
    tg_tokens_free(all);
    tg_tokenizer_destroy(tokenizer);
}

/* A million letters without a blank: n log n, or this test never ends. */
static void test_long_word(void **state)
{
    (void)state;
    enum { LETTERS = 1000003 };
    char *const text = malloc(LETTERS);
    memset(text, 'a', LETTERS);
    for (size_t n = 0; n < NAMES; n++) {
        tg_tokenizer *const tokenizer = golden(names[n]);
        uint32_t *ids;
        size_t count;
        assert_int_equal(tg_tokenizer_encode(tokenizer, &ids, &count, text, LETTERS), TG_OK);
        gives_back(tokenizer, ids, count, text, LETTERS);
        tg_tokens_free(ids);
        tg_tokenizer_destroy(tokenizer);
    }
    free(text);
}

/* ---- files ---------------------------------------------------------------------------------------------------------
 */

/* All bytes, and "ab", "abc" by merges; %s stands where a case puts what it is about. */
static char *small_json(const char *model_more, const char *merges, const char *frame)
{
    static char json[1 << 14];
    size_t used =
        (size_t)sprintf(json,
                        "{%s,\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\"%s,\"vocab\":{\"ab\":256,"
                        "\"abc\":257,\"bc\":258",
                        frame, model_more);
    for (uint32_t byte = 0; byte < TG_BYTES; byte++)
        used += (size_t)sprintf(json + used, ",\"\\u%04x\":%u", (unsigned)tg_byte_name(byte), (unsigned)byte);
    sprintf(json + used, "},\"merges\":%s}}", merges);
    return json;
}

#define BYTE_LEVEL "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}"
#define MERGES "[\"a b\",[\"ab\",\"c\"],\"b c\"]"

static void expect(const tg_tokenizer *tokenizer, const char *text, size_t count, const uint32_t *expected)
{
    uint32_t *ids;
    size_t made;
    assert_int_equal(tg_tokenizer_encode(tokenizer, &ids, &made, text, strlen(text)), TG_OK);
    assert_int_equal(made, count);
    assert_memory_equal(ids, expected, count * sizeof *ids);
    tg_tokens_free(ids);
}

static void test_merges(void **state)
{
    (void)state;
    tg_tokenizer *tokenizer = parsed(small_json("", MERGES, BYTE_LEVEL));
    expect(tokenizer, "abcbcab", 3, (const uint32_t[]){257, 258, 256});
    tg_tokenizer_destroy(tokenizer);
    tokenizer =
        parsed(small_json("", "[\"b c\",\"a b\"]", BYTE_LEVEL)); /* abc is in the vocabulary, but no merge makes it */
    expect(tokenizer, "abc", 2, (const uint32_t[]){'a', 258});
    tg_tokenizer_destroy(tokenizer);
    tokenizer = parsed(small_json(",\"ignore_merges\":true", "[\"b c\",\"a b\"]", BYTE_LEVEL));
    expect(tokenizer, "abc", 1, (const uint32_t[]){257});
    expect(tokenizer, "abcb", 3, (const uint32_t[]){'a', 258, 'b'});
    tg_tokenizer_destroy(tokenizer);
}

#define TOKEN(id, text, more) "{\"id\":" id ",\"content\":\"" text "\",\"special\":true,\"normalized\":false" more "}"

static void test_special(void **state)
{
    (void)state;
    tg_tokenizer *const tokenizer = parsed(
        small_json("", MERGES,
                   "\"added_tokens\":[" TOKEN("259", "<a>", "") "," TOKEN("260", "<a>b", "") "," TOKEN(
                       "261", "<l>",
                       ",\"lstrip\":true") "," TOKEN("262", "<r>",
                                                     ",\"rstrip\":true") ",{\"id\":263,\"content\":\"<a\",\"special\":"
                                                                         "false,\"normalized\":true}]," BYTE_LEVEL));
    uint32_t end = 7;
    expect(tokenizer, "<a><a>bc<a", 4, (const uint32_t[]){259, 260, 'c', 263});
    expect(tokenizer, "a \xe3\x80\x80\n<l> a", 4, (const uint32_t[]){'a', 261, ' ', 'a'});
    expect(tokenizer,
           "<r>\t\xc2\xa0<l>\xe3\x80\x80"
           "a",
           6, (const uint32_t[]){262, 261, 0xe3, 0x80, 0x80, 'a'});
    assert_false(tg_tokenizer_end(tokenizer, &end));
    tg_tokenizer_destroy(tokenizer);
}

static void not_read(const char *json, tg_status status, const char *message)
{
    tg_tokenizer *tokenizer = NULL;
    assert_int_equal(tg_tokenizer_parse(&tokenizer, json, strlen(json), "t.json"), status);
    assert_null(tokenizer);
    if (strncmp(tg_message(), message, strlen(message)) != 0)
        fail_msg("'%s' where '%s...' was expected", tg_message(), message);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *model, *merges, *frame;
        tg_status status;
        const char *message;
    } cases[] = {
        {",\"byte_fallback\":true", MERGES, BYTE_LEVEL, TG_EUNSUPPORTED, "'t.json': model.byte_fallback 'true' is not"},
        {",\"dropout\":0.1", MERGES, BYTE_LEVEL, TG_EUNSUPPORTED, "'t.json': model.dropout 'other than null' is not"},
        {",\"end_of_word_suffix\":\"</w>\"", MERGES, BYTE_LEVEL, TG_EUNSUPPORTED, "'t.json': model.end_of_word_suffix"},
        {",\"continuing_subword_prefix\":\"##\"", MERGES, BYTE_LEVEL, TG_EUNSUPPORTED,
         "'t.json': model.continuing_subword"},
        {"", "[\"a b c\"]", BYTE_LEVEL, TG_EFORMAT, "'t.json': merge 0 is no pair of tokens"},
        {"", "[\"a b\",[\"a\"]]", BYTE_LEVEL, TG_EFORMAT, "'t.json': merge 1 is no pair of tokens"},
        {"", "[\"a c\"]", BYTE_LEVEL, TG_EFORMAT, "'t.json': merge 0: token 'ac' is not in the vocabulary"},
        {"", "[\"xy c\"]", BYTE_LEVEL, TG_EFORMAT, "'t.json': merge 0: token 'xy' is not in the vocabulary"},
        {"", "{}", BYTE_LEVEL, TG_EFORMAT, "'t.json': model.merges is no list"},
        {"", MERGES, "\"normalizer\":{\"type\":\"NFC\"}," BYTE_LEVEL, TG_EUNSUPPORTED,
         "'t.json': the normalizer 'NFC' is not"},
        {"", MERGES, "\"pre_tokenizer\":null", TG_EUNSUPPORTED, "'t.json': pre_tokenizer 'null' is not"},
        {"", MERGES, "\"pre_tokenizer\":{\"type\":\"Metaspace\"}", TG_EUNSUPPORTED,
         "'t.json': pre_tokenizer 'Metaspace' is not"},
        {"", MERGES, "\"pre_tokenizer\":{\"type\":\"Digits\"}", TG_EUNSUPPORTED,
         "'t.json': pre_tokenizer: ByteLevel must be"},
        {"", MERGES,
         "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"}"
         ","
         "\"behavior\":\"Removed\"},{\"type\":\"ByteLevel\"}]}",
         TG_EUNSUPPORTED, "'t.json': pre_tokenizer Split with behavior 'Removed'"},
        {"", MERGES,
         "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a$"
         "\"},"
         "\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\"}]}",
         TG_EUNSUPPORTED, "'t.json': pre_tokenizer: '$' in a pattern"},
        {"", MERGES,
         "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"("
         "a\"},"
         "\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\"}]}",
         TG_EFORMAT, "'t.json': pre_tokenizer: a pattern is wrong at offset 2"},
        {"", MERGES, "\"added_tokens\":[" TOKEN("300", "<a>", "") "]," BYTE_LEVEL, TG_EUNSUPPORTED,
         "'t.json': the added token '<a>' has the id 300, which must be 259"},
        {"", MERGES, "\"added_tokens\":[" TOKEN("255", "ab", "") "]," BYTE_LEVEL, TG_EUNSUPPORTED,
         "'t.json': the added token 'ab' has the id 255, which must be 256"},
        {"", MERGES, "\"added_tokens\":[" TOKEN("259", "", "") "]," BYTE_LEVEL, TG_EFORMAT,
         "'t.json': the added token with id 259"},
        {"", MERGES, "\"added_tokens\":[" TOKEN("259", "<a>", ",\"single_word\":true") "]," BYTE_LEVEL, TG_EUNSUPPORTED,
         "'t.json': single_word of added token '<a>' is not"},
        {"", MERGES, "\"added_tokens\":[" TOKEN("-1", "<a>", "") "]," BYTE_LEVEL, TG_EFORMAT,
         "'t.json': added token 0 needs an id"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        not_read(small_json(cases[i].model, cases[i].merges, cases[i].frame), cases[i].status, cases[i].message);
    not_read("{\"decoder\":{\"type\":\"ByteLevel\"}," BYTE_LEVEL
            ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}",
            TG_EFORMAT, "'t.json': two tokens have the id 0");
    not_read("{\"decoder\":{\"type\":\"Fuse\"}," BYTE_LEVEL
            ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}}",
            TG_EUNSUPPORTED, "'t.json': the decoder 'Fuse' is not");
}

/* A vocabulary may lack bytes: a text that has one is refused, not changed. */
static void test_missing_byte(void **state)
{
    (void)state;
    uint32_t *ids = NULL;
    size_t count;
    tg_tokenizer *const tokenizer = parsed("{\"decoder\":{\"type\":\"ByteLevel\"}," BYTE_LEVEL
                                           ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":3,\"b\":0},\"merges\":[]}}");
    assert_int_equal(tg_tokenizer_vocab(tokenizer), 4);
    expect(tokenizer, "ab", 2, (const uint32_t[]){3, 0});
    assert_string_equal(tg_tokenizer_token(tokenizer, 1, &count), "a"); /* of no bytes, where a's begin */
    assert_int_equal(count, 0);
    assert_int_equal(tg_tokenizer_encode(tokenizer, &ids, &count, "abc", 3), TG_EUNSUPPORTED);
    assert_string_equal(tg_message(), "the tokenizer has no token for the byte 0x63");
    assert_null(ids);
    tg_tokenizer_destroy(tokenizer);
}

static void same_file(const char *name, const char *expected, size_t bytes)
{
    char full[256];
    const char *text;
    size_t there;
    snprintf(full, sizeof full, "%s/%s", directory, name);
    assert_int_equal(tg_text_open(&text, &there, full), TG_OK);
    assert_int_equal(there, bytes);
    assert_memory_equal(text, expected, bytes);
    tg_text_close(text, there);
}

/* Written as they were read; eos_token says what ends a document. */
static void test_written_as_read(void **state)
{
    (void)state;
    static const char config[] = "{ \"eos_token\": {\"content\": \"<|end|>\"}, \"x\": [1] }";
    const char *text;
    size_t bytes;
    uint32_t end = 0;
    tg_tokenizer *tokenizer = golden("llama3");
    assert_true(tg_tokenizer_end(tokenizer, &end));
    assert_int_equal(end, 640);
    assert_int_equal(tg_tokenizer_write(tokenizer, directory), TG_OK);
    tg_tokenizer_destroy(tokenizer);
    assert_int_equal(tg_text_open(&text, &bytes, TG_TESTS_DIR "/golden/bpe_llama3.json"), TG_OK);
    same_file("tokenizer.json", text, bytes);
    put_file("tokenizer_config.json", config, sizeof config - 1);
    assert_int_equal(tg_tokenizer_read(&tokenizer, directory), TG_OK);
    assert_true(tg_tokenizer_end(tokenizer, &end));
    assert_int_equal(end, 641);
    put_file("tokenizer.json", "{}", 2);
    put_file("tokenizer_config.json", "{}", 2);
    assert_int_equal(tg_tokenizer_write(tokenizer, directory), TG_OK);
    same_file("tokenizer.json", text, bytes);
    same_file("tokenizer_config.json", config, sizeof config - 1);
    tg_text_close(text, bytes);
    tg_tokenizer_destroy(tokenizer);
}

/* vocab.json and merges.txt are the same tokenizer, and are written as tokenizer.json. */
static void test_vocab_and_merges(void **state)
{
    (void)state;
    json_error_t error;
    char name[256];
    json_t *const golden_json = json_load_file(TG_TESTS_DIR "/golden/bpe_gpt2.json", 0, &error);
    const json_t *const model = json_object_get(golden_json, "model"), *const merges = json_object_get(model, "merges");
    snprintf(name, sizeof name, "%s/tokenizer.json", directory);
    unlink(name);
    snprintf(name, sizeof name, "%s/tokenizer_config.json", directory);
    unlink(name);
    snprintf(name, sizeof name, "%s/vocab.json", directory);
    assert_int_equal(json_dump_file(json_object_get(model, "vocab"), name, 0), 0);
    snprintf(name, sizeof name, "%s/merges.txt", directory);
    FILE *file = fopen(name, "w");
    fprintf(file, "#version: 0.2\r\n");
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const json_t *const merge = json_array_get(merges, i);
        fprintf(file, "%s %s\n", json_string_value(json_array_get(merge, 0)),
                json_string_value(json_array_get(merge, 1)));
    }
    assert_int_equal(fclose(file), 0);
    json_decref(golden_json);

    tg_tokenizer *one = golden("gpt2"), *two = NULL;
    static const char text[] = "It's the lion, and the tiger  lay down: 1234 敏捷";
    for (int written = 0; written < 2; written++) {
        uint32_t *ids, *same;
        size_t count, as_many;
        if (tg_tokenizer_read(&two, directory) != TG_OK)
            fail_msg("%s", tg_message());
        assert_int_equal(tg_tokenizer_encode(one, &ids, &count, text, sizeof text - 1), TG_OK);
        assert_int_equal(tg_tokenizer_encode(two, &same, &as_many, text, sizeof text - 1), TG_OK);
        assert_int_equal(count, as_many);
        assert_memory_equal(ids, same, count * sizeof *ids);
        tg_tokens_free(ids);
        tg_tokens_free(same);
        assert_int_equal(tg_tokenizer_write(two, directory), TG_OK);
        tg_tokenizer_destroy(two);
    }
    tg_tokenizer_destroy(one);

    json_t *document = NULL;
    assert_int_equal(tg_merges_document(&document, json_object(), "a b\nc\n", 6, "m"), TG_EFORMAT);
    assert_string_equal(tg_message(), "'m' line 2: a merge is two tokens with a blank between them");
    assert_int_equal(tg_merges_document(&document, json_object(), "a b\n\xff b\n", 8, "m"), TG_EFORMAT);
    assert_string_equal(tg_message(), "'m' line 2: this is no UTF-8");
    assert_null(document);
}

/* ---- patterns -------------------------------------------------------------------------------------------------------
 */

static void test_patterns(void **state)
{
    (void)state;
    static const char *const bad[] = {"^a",     "a$",    "\\w+",  "\\bx",   "[a[b]]",  "[a&&b]", "\\p{Han}", "\\pL",
                                      "[^\\S]", "a{2}+", "a{,3}", "(?m)a",  "(?<n>a)", "[]a]",   "[^]a]",    "[a",
                                      "a\\",    "\\p{L", "\\x41", "(*UCP)", "{",       "\\v"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tg_text text = {0};
        if (tg_pattern_translate(&text, bad[i]) != TG_EUNSUPPORTED || text.at != NULL)
            fail_msg("'%s' passed", bad[i]);
    }
    tg_text text = {0};
    assert_int_equal(tg_pattern_translate(&text, "(?i:a)[^\\p{L}\\]\\d]{1,3}?\\."), TG_OK);
    assert_string_equal(text.at, "(?i:a)[^\\p{L}\\]\\d]{1,3}?\\.");
    tg_text_free(&text);
}

static tg_status show_word(void *ctx, const char *word, size_t bytes)
{
    char *const shown = ctx;
    sprintf(shown + strlen(shown), "%.*s|", (int)bytes, word);
    return TG_OK;
}

/* Blanks are Unicode's White_Space: U+3000 is one, U+180E is not (PCRE2's own \s says it is). */
static void test_words(void **state)
{
    (void)state;
    static const char text[] = "a\u3000\u3000b\u180e\u180ec  d's\xc2\x85\xc2\x85\u00e9 12";
    tg_splitter splitter = {0};
    tg_split_work work = {0};
    char shown[128] = "";
    assert_int_equal(tg_splitter_add(&splitter, TG_GPT2_PATTERN, false), TG_OK);
    assert_int_equal(tg_split_work_open(&work, &splitter), TG_OK);
    assert_int_equal(tg_splitter_run(&splitter, &work, text, sizeof text - 1, show_word, shown), TG_OK);
    assert_string_equal(shown, "a|\u3000|\u3000|b|\u180e\u180e|c| | d|'s|\xc2\x85|\xc2\x85|\u00e9| 12|");
    tg_split_work_free(&work);
    tg_splitter_free(&splitter);
}

/* A pattern that explodes is given up with a message. */
static void test_pattern_that_explodes(void **state)
{
    (void)state;
    uint32_t *ids = NULL;
    size_t count;
    tg_tokenizer *const tokenizer =
        parsed(small_json("", MERGES,
                          "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","
                          "\"pattern\":{\"Regex\":\"(a|aa|a?)+c\"},\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\","
                          "\"use_regex\":false}]}"));
    char text[41] = "";
    memset(text, 'a', 40);
    memcpy(text + 38, "bc", 2); /* there is a c, but never behind an a */
    assert_int_equal(tg_tokenizer_encode(tokenizer, &ids, &count, text, 40), TG_EUNSUPPORTED);
    assert_string_equal(tg_message(), "a pattern of the tokenizer takes too long on this text");
    tg_tokenizer_destroy(tokenizer);
}

/* ---- documents ------------------------------------------------------------------------------------------------------
 */

static tg_corpus *corpus_of(const char *text, size_t bytes, tg_tokenizer *tokenizer, tg_data_format format)
{
    tg_corpus *corpus = NULL;
    put_file("text", text, bytes);
    if (tg_corpus_open(&corpus, path, tokenizer, format, 0) != TG_OK)
        fail_msg("%s", tg_message());
    return corpus;
}

/* The tokens of a corpus as text, those that do not count as '.'; an end of text (id 640) as '|'. */
static void shows(const tg_corpus *corpus, const tg_tokenizer *tokenizer, const char *expected)
{
    enum { TIME = 64 };
    uint32_t tokens[TIME];
    int32_t targets[TIME];
    char text[256] = "";
    size_t used = 0, windows;
    assert_int_equal(tg_corpus_window(corpus, TG_SPLIT_TRAIN, tokens, targets, 1, TIME, 0, &windows), TG_OK);
    assert_int_equal(windows, 1);
    for (size_t t = 0; t + 1 < tg_corpus_tokens(corpus, TG_SPLIT_TRAIN); t++) {
        size_t bytes;
        const char *token = targets[t] < 0 ? "." : tg_tokenizer_token(tokenizer, (uint32_t)targets[t], &bytes);
        if (targets[t] < 0)
            bytes = 1;
        else if (targets[t] == 640)
            token = "|", bytes = 1;
        memcpy(text + used, token, bytes);
        used += bytes;
    }
    assert_string_equal(text, expected);
}

static void test_lines(void **state)
{
    (void)state;
    static const char text[] = "xab\r\n\n \t\nq<|end\ncd";
    tg_tokenizer *bpe = golden("gpt2"), *byte = NULL, *chars = NULL;
    assert_int_equal(tg_tokenizer_byte(&byte), TG_OK);
    tg_corpus *corpus = corpus_of(text, sizeof text - 1, bpe, TG_FORMAT_LINES);
    shows(corpus, bpe, "ab|q<|end|cd|");
    assert_int_equal(tg_corpus_text_bytes(corpus), 11);
    assert_int_equal(tg_corpus_bytes(corpus), 2 * tg_corpus_tokens(corpus, TG_SPLIT_TRAIN)); /* 643 ids: 16 bits */
    tg_corpus_destroy(corpus);
    corpus = corpus_of(text, sizeof text - 1, byte, TG_FORMAT_LINES);
    shows(corpus, byte, "ab\nq<|end\ncd\n");
    tg_corpus_destroy(corpus);
    assert_int_equal(tg_tokenizer_char_from(&chars, path, TG_FORMAT_LINES), TG_OK);
    assert_int_equal(tg_tokenizer_vocab(chars), 11); /* x a b q < | e n d c, newline; no return, blank or tab */
    tg_tokenizer_destroy(chars);
    tg_tokenizer_destroy(byte);
    tg_tokenizer_destroy(bpe);
}

static void test_jsonl(void **state)
{
    (void)state;
    static const char text[] = "{\"text\":\"x\\u00e9\"}\n{\"prompt\":\"qqq\",\"response\":\"zz\",\"more\":[1]}\r\n\n"
                               "{\"prompt\":\"\",\"response\":\"y\"}\n{\"text\":\"k\\u0000\"}";
    tg_tokenizer *bpe = golden("llama3"), *byte = NULL;
    assert_int_equal(tg_tokenizer_byte(&byte), TG_OK);
    tg_corpus *corpus = corpus_of(text, sizeof text - 1, byte, TG_FORMAT_JSONL);
    assert_int_equal(tg_corpus_text_bytes(corpus), 8);
    assert_int_equal(tg_corpus_tokens(corpus, TG_SPLIT_TRAIN), 15);
    tg_corpus_destroy(corpus);
    corpus = corpus_of(text, sizeof text - 20, byte, TG_FORMAT_JSONL);
    shows(corpus, byte, "é\n...zz\ny\n");
    const uint64_t hash = tg_corpus_hash(corpus);
    tg_corpus_destroy(corpus);
    static const char same_tokens[] = "{\"text\":\"xé\"}\n{\"text\":\"qqqzz\"}\n{\"text\":\"y\"}";
    corpus = corpus_of(same_tokens, sizeof same_tokens - 1, byte, TG_FORMAT_JSONL);
    assert_true(tg_corpus_hash(corpus) != hash); /* the same tokens, of which others count */
    tg_corpus_destroy(corpus);
    corpus = corpus_of(text, sizeof text - 20, bpe, TG_FORMAT_JSONL);
    shows(corpus, bpe, "é|...zz|y|");
    tg_corpus_destroy(corpus);
    tg_tokenizer_destroy(byte);
    tg_tokenizer_destroy(bpe);
}

static void test_bad_lines(void **state)
{
    (void)state;
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"{\"text\":3}", "\"text\" is not a text"},
        {"{\"prompt\":null,\"response\":\"a\"}", "\"prompt\" is not a text"},
        {"{\"prompt\":\"a\",\"response\":[]}", "\"response\" is not a text"},
        {"{\"prompt\":\"a\"}", "an object needs \"text\", or \"prompt\" and \"response\""},
        {"{\"response\":\"a\"}", "an object needs "},
        {"{\"text\":\"a\",\"response\":\"a\"}", "an object needs "},
        {"{}", "an object needs "},
        {"[\"text\"]", "this is no object"},
        {"\"text\"", "this is no object"},
        {"{\"text\":\"a\"", "column "},
        {"{\"text\":\"a\"} x", "column "},
        {"{\"text\":\"a\",\"text\":\"b\"}", "column "},
        {"{\"text\":\"\xff\"}", "column "},
    };
    tg_tokenizer *byte = NULL;
    assert_int_equal(tg_tokenizer_byte(&byte), TG_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256], expected[256];
        tg_corpus *corpus = NULL;
        put_file("text", text,
                 (size_t)sprintf(text, "{\"text\":\"fine\"}\n\n%s\n{\"text\":\"fine\"}\n", cases[i].line));
        snprintf(expected, sizeof expected, "'%s' line 3: %s", path, cases[i].message);
        assert_int_equal(tg_corpus_open(&corpus, path, byte, TG_FORMAT_JSONL, 0), TG_EFORMAT);
        assert_null(corpus);
        if (strncmp(tg_message(), expected, strlen(expected)) != 0)
            fail_msg("'%s' where '%s' was expected", tg_message(), expected);
    }
    tg_corpus *corpus = NULL;
    put_file("text", " \n\n", 3);
    assert_int_equal(tg_corpus_open(&corpus, path, byte, TG_FORMAT_JSONL, 0), TG_EFORMAT);
    assert_non_null(strstr(tg_message(), "text' has no document"));
    tg_tokenizer_destroy(byte);
}

/* Rows are drawn where something counts: one token of a hundred here. */
static void test_rows_with_targets(void **state)
{
    (void)state;
    enum { BATCH = 4, TIME = 8, DOCUMENTS = 40 };
    static char text[DOCUMENTS * 160];
    size_t used = 0, counted = 0;
    tg_tokenizer *byte = NULL;
    assert_int_equal(tg_tokenizer_byte(&byte), TG_OK);
    for (int i = 0; i < DOCUMENTS; i++)
        used += (size_t)sprintf(text + used, "{\"prompt\":\"%0100d\",\"response\":\"\"}\n", i);
    tg_corpus *const corpus = corpus_of(text, used, byte, TG_FORMAT_JSONL);
    for (uint64_t update = 0; update < 50; update++) {
        uint32_t tokens[BATCH * TIME], again[BATCH * TIME];
        int32_t targets[BATCH * TIME];
        assert_int_equal(tg_corpus_batch(corpus, tokens, targets, BATCH, TIME, 77, update, 1), TG_OK);
        assert_int_equal(tg_corpus_batch(corpus, again, targets, BATCH, TIME, 77, update, 1), TG_OK);
        assert_memory_equal(tokens, again, sizeof tokens);
        for (size_t b = 0; b < BATCH; b++) {
            size_t here = 0;
            for (size_t t = 0; t < TIME; t++) {
                assert_true(targets[b * TIME + t] == '\n' || targets[b * TIME + t] == -1);
                here += targets[b * TIME + t] == '\n';
            }
            counted += here > 0;
        }
    }
    assert_true(counted >= 50 * BATCH - 4); /* each misses with (1 - 8/101)^64 = 0.5 % */
    tg_corpus_destroy(corpus);
    tg_tokenizer_destroy(byte);
}

/* Chunks join: a corpus of more tokens than one holds reads the same as its text. */
static void test_chunks(void **state)
{
    (void)state;
    enum { BYTES = 1300007, TIME = 1021 };
    tg_tokenizer *byte = NULL;
    char *const text = malloc(BYTES + 1);
    const tg_key key = tg_key_make(7, 0, 0, 0);
    assert_int_equal(tg_tokenizer_byte(&byte), TG_OK);
    for (uint32_t i = 0; i < BYTES; i++)
        text[i] = (char)('A' + tg_random_below(key, i, 40));
    text[BYTES] = '\n';
    tg_corpus *const corpus = corpus_of(text, BYTES + 1, byte, TG_FORMAT_LINES);
    assert_int_equal(tg_corpus_tokens(corpus, TG_SPLIT_TRAIN), BYTES + 1);
    for (size_t w = 0; w < BYTES / TIME; w++) {
        uint32_t tokens[TIME];
        int32_t targets[TIME];
        assert_int_equal(tg_corpus_window(corpus, TG_SPLIT_TRAIN, tokens, targets, 1, TIME, w, NULL), TG_OK);
        for (size_t t = 0; t < TIME; t++) {
            assert_int_equal(tokens[t], text[w * TIME + t]);
            assert_int_equal(targets[t], text[w * TIME + t + 1]);
        }
    }
    tg_corpus_destroy(corpus);
    tg_tokenizer_destroy(byte);
    free(text);
}

/* ---- memory ---------------------------------------------------------------------------------------------------------
 */

/* Every allocation of ours fails in turn: only where patterns are made machine code does the work go on without. */
static void test_no_memory(void **state)
{
    (void)state;
    static const char text[] = "{\"prompt\":\"the lion\",\"response\":\"and the tiger<|end|> lay down\"}\n";
    put_file("text", text, sizeof text - 1);
    size_t failed = 0;
    for (long n = 1; n < 400; n++) {
        tg_tokenizer *tokenizer = NULL;
        tg_corpus *corpus = NULL;
        tg_memory_fail_at(n);
        tg_status status = tg_tokenizer_read(&tokenizer, TG_TESTS_DIR "/golden/bpe_llama3.json");
        if (status == TG_OK)
            status = tg_corpus_open(&corpus, path, tokenizer, TG_FORMAT_JSONL, 0.25);
        tg_memory_fail_at(0);
        tg_corpus_destroy(corpus);
        tg_tokenizer_destroy(tokenizer);
        assert_true(status == TG_OK || status == TG_ENOMEM);
        failed += status == TG_ENOMEM;
    }
    assert_true(failed > 20 && failed < 399);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_ids),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_broken_bytes_are_words),
        cmocka_unit_test(test_long_word),
        cmocka_unit_test(test_merges),
        cmocka_unit_test(test_special),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_missing_byte),
        cmocka_unit_test(test_written_as_read),
        cmocka_unit_test(test_vocab_and_merges),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_pattern_that_explodes),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_jsonl),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_rows_with_targets),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
