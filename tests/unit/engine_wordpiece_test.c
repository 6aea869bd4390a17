/* engine_wordpiece_test.c -- WordPiece by hand: pieces, normal form, special tokens; what stands around a text; files
 * that are refused, and files that are kept. tests/oracle/wordpiece.py holds the ids against Hugging Face. */
#include "base/memory.h"
#include "data/tokenizer.h"
#include "home_support.h"

#define VOCAB                                                                                                          \
    "\"[U]\":0,\"[M]\":1,\"un\":2,\"##aff\":3,\"##able\":4,\"a\":5,\"##b\":6,\",\":7,\"\\u4e00\":8,\"e\":9,\"##e\":10"
#define BERT "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"lowercase\":true}"
#define ADDED "{\"id\":1,\"content\":\"[M]\",\"special\":true}"

/* A file with some parts; NULL: what is usual. */
static tg_status parse(tg_tokenizer **out, const char *normalizer, const char *words, const char *after,
                       const char *model)
{
    char json[2048];
    snprintf(json, sizeof json,
             "{\"added_tokens\":[" ADDED "],\"normalizer\":%s,\"pre_tokenizer\":%s,\"post_processor\":%s,\"model\":"
             "{\"type\":\"WordPiece\",%s,\"vocab\":{" VOCAB "}}}",
             normalizer == NULL ? BERT : normalizer, words == NULL ? "{\"type\":\"BertPreTokenizer\"}" : words,
             after == NULL ? "null" : after,
             model == NULL ? "\"unk_token\":\"[U]\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":9"
                           : model);
    return tg_tokenizer_parse(out, json, strlen(json), "x.json");
}

static void expect(const tg_tokenizer *tokenizer, const char *text, const uint32_t *wanted, size_t wanted_count)
{
    uint32_t *ids;
    size_t count;
    ok(tg_tokenizer_encode(tokenizer, &ids, &count, text, strlen(text)));
    if (count != wanted_count || (count > 0 && memcmp(ids, wanted, count * sizeof *ids) != 0))
        fail_msg("'%s' has %zu ids, not %zu, or others", text, count, wanted_count);
    tg_tokens_free(ids);
}

#define IDS(...) (const uint32_t[]){__VA_ARGS__}, sizeof(const uint32_t[]){__VA_ARGS__} / sizeof(uint32_t)

static void pieces(void **state)
{
    (void)state;
    tg_tokenizer *t;
    uint32_t mask;
    size_t bytes;
    ok(parse(&t, NULL, NULL, NULL, NULL));
    assert_string_equal(tg_tokenizer_kind(t), "wordpiece");
    assert_int_equal(tg_tokenizer_vocab(t), 11);
    assert_false(tg_tokenizer_mask(t, &mask));
    expect(t, "unaffable, UNAFFABLE", IDS(2, 3, 4, 7, 2, 3, 4));
    expect(t, "unaffablb a", IDS(0, 5));                                  /* no piece for the end: unknown as a whole */
    expect(t, "abbbbbbbb abbbbbbbbb", IDS(5, 6, 6, 6, 6, 6, 6, 6, 6, 0)); /* nine characters are a word, ten not */
    expect(t, "\xc3\xa9\xcc\x81 a\xe2\x80\x8b\x62", IDS(9, 5, 6));        /* accents and what has no width go */
    expect(t, "a\xe4\xb8\x80\x61", IDS(5, 8, 5));
    expect(t, "[M]a[M] [m]", IDS(1, 5, 1, 0, 0, 0));
    expect(t, "", NULL, 0);
    assert_memory_equal(tg_tokenizer_token(t, 2, &bytes), " un", 3);
    assert_memory_equal(tg_tokenizer_token(t, 3, &bytes), "aff", 3);
    assert_memory_equal(tg_tokenizer_token(t, 1, &bytes), "[M]", 3);
    assert_true(tg_tokenizer_is_special(t, 1) && !tg_tokenizer_is_special(t, 2));
    uint32_t *ids;
    refused(tg_tokenizer_encode(t, &ids, &bytes, "ab \xff", 4), TG_EFORMAT, "0xff|offset 3|UTF-8");
    tg_tokenizer_destroy(t);
}

static void normal_forms(void **state)
{
    (void)state;
    tg_tokenizer *t;
    ok(parse(&t, "null", NULL, NULL, NULL));
    expect(t, "A a", IDS(0, 5));
    tg_tokenizer_destroy(t);
    ok(parse(&t, "{\"type\":\"BertNormalizer\",\"clean_text\":false,\"lowercase\":true,\"strip_accents\":false}", NULL,
             NULL, NULL));
    expect(t, "A \xc3\x89", IDS(5, 0));
    tg_tokenizer_destroy(t);
    refused(parse(&t, "{\"type\":\"NFKC\"}", NULL, NULL, NULL), TG_EUNSUPPORTED, "normalizer|NFKC");
    refused(parse(&t, NULL, "{\"type\":\"Whitespace\"}", NULL, NULL), TG_EUNSUPPORTED, "pre_tokenizer|Whitespace");
    refused(parse(&t, NULL, NULL, NULL, "\"unk_token\":\"?\",\"continuing_subword_prefix\":\"##\""), TG_EFORMAT,
            "unk_token");
    refused(parse(&t, NULL, NULL, NULL,
                  "\"unk_token\":\"[U]\",\"continuing_subword_prefix\":\"\",\"max_input_chars_per_word\":9"),
            TG_EUNSUPPORTED, "continuing_subword_prefix");
    refused(parse(&t, NULL, NULL, NULL,
                  "\"unk_token\":\"[U]\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":1000000"),
            TG_EUNSUPPORTED, "max_input_chars_per_word");
}

/* ---- what stands around a text ---- */

#define TEMPLATE(single)                                                                                               \
    "{\"type\":\"TemplateProcessing\",\"single\":[" single                                                             \
    "],\"special_tokens\":{\"x\":{\"ids\":[2,3]},\"y\":{\"ids\":[7]}}}"
#define TOKEN(name) "{\"SpecialToken\":{\"id\":\"" name "\"}}"
#define HERE "{\"Sequence\":{\"id\":\"A\"}}"
#define SEQUENCE(list) "{\"type\":\"Sequence\",\"processors\":[" list "]}"

static void frames(void **state)
{
    (void)state;
    static const struct {
        const char *after;
        size_t before_count, after_count;
        uint32_t ids[4];
    } good[] = {
        {"null", 0, 0, {0}},
        {"{\"type\":\"ByteLevel\"}", 0, 0, {0}},
        {TEMPLATE(TOKEN("x") "," HERE "," TOKEN("y")), 2, 1, {2, 3, 7}},
        {TEMPLATE(HERE "," TOKEN("x")), 0, 2, {2, 3}},
        {"{\"type\":\"BertProcessing\",\"sep\":[\"y\",7],\"cls\":[\"x\",5]}", 1, 1, {5, 7}},
        {SEQUENCE("{\"type\":\"ByteLevel\"}," TEMPLATE(TOKEN("y") "," HERE)), 1, 0, {7}},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        tg_tokenizer *t;
        size_t before, after;
        ok(parse(&t, NULL, NULL, good[i].after, NULL));
        const uint32_t *const frame = tg_tokenizer_frame(t, &before, &after);
        assert_int_equal(before, good[i].before_count);
        assert_int_equal(after, good[i].after_count);
        if (before + after > 0)
            assert_memory_equal(frame, good[i].ids, (before + after) * sizeof *frame);
        tg_tokenizer_destroy(t);
    }
}

static void bad_frames(void **state)
{
    (void)state;
    static const struct {
        const char *after;
        tg_status status;
        const char *words;
    } bad[] = {
        {"{}", TG_EFORMAT, "post_processor|type"},
        {"{\"type\":\"Other\"}", TG_EUNSUPPORTED, "post_processor|Other"},
        {TEMPLATE(TOKEN("x")), TG_EFORMAT, "one place"},
        {TEMPLATE(HERE "," HERE), TG_EFORMAT, "one place"},
        {TEMPLATE(HERE "," TOKEN("z")), TG_EFORMAT, "no ids"},
        {"{\"type\":\"BertProcessing\",\"sep\":[\"y\",11],\"cls\":[\"x\",5]}", TG_EFORMAT, "no token's"},
        {"{\"type\":\"BertProcessing\"}", TG_EFORMAT, "no token's"},
        {SEQUENCE(TEMPLATE(TOKEN("y") "," HERE) "," TEMPLATE(TOKEN("y") "," HERE)), TG_EUNSUPPORTED,
         "two of a Sequence"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tg_tokenizer *t = NULL;
        refused(parse(&t, NULL, NULL, bad[i].after, NULL), bad[i].status, bad[i].words);
        assert_null(t);
    }
}

/* ---- directories ---- */

static void put(const char *name, const char *text)
{
    FILE *const file = fopen(name, "wb");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0 && fclose(file) == 0);
}

static void vocabulary_files(void **state)
{
    (void)state;
    tg_tokenizer *t;
    uint32_t id;
    size_t before, after;
    put("m/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nlion\n##s\r\nLion\n");
    put("m/tokenizer_config.json",
        "{\"do_lower_case\": false, \"pad_token\": \"[PAD]\", \"eos_token\": {\"content\": \"[SEP]\"}}");
    put("m/special_tokens_map.json", "{\"mask_token\": \"[MASK]\"}\n");
    ok(tg_tokenizer_read(&t, "m"));
    expect(t, "Lion lions [MASK] LION", IDS(7, 5, 6, 4, 1));
    const uint32_t *const frame = tg_tokenizer_frame(t, &before, &after);
    assert_true(before == 1 && after == 1 && frame[0] == 2 && frame[1] == 3);
    assert_true(tg_tokenizer_mask(t, &id) && id == 4);
    assert_true(tg_tokenizer_pad(t, &id) && id == 0);
    assert_true(tg_tokenizer_end(t, &id) && id == 3);
    assert_false(tg_tokenizer_begin(t, &id));
    assert_int_equal(mkdir("again", 0700), 0);
    ok(tg_tokenizer_write(t, "again"));
    tg_tokenizer_destroy(t);
    ok(tg_tokenizer_read(&t, "again"));
    expect(t, "Lion lions [MASK] LION", IDS(7, 5, 6, 4, 1));
    tg_tokenizer_destroy(t);
    char kept[64] = "";
    FILE *const file = fopen("again/special_tokens_map.json", "rb");
    assert_non_null(file);
    assert_non_null(fgets(kept, sizeof kept, file));
    fclose(file);
    assert_string_equal(kept, "{\"mask_token\": \"[MASK]\"}\n");
    put("m/vocab.txt", "a\n\xff\n");
    refused(tg_tokenizer_read(&t, "m"), TG_EFORMAT, "vocab.txt|line 2|UTF-8");
    put("m/vocab.txt", "a\nb\n");
    refused(tg_tokenizer_read(&t, "m"), TG_EFORMAT, "unk_token");
}

static void lack_of_memory(void **state)
{
    (void)state;
    put("m/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nlion\n##s\n");
    for (long n = 1;; n++) {
        tg_tokenizer *t = NULL;
        uint32_t *ids = NULL;
        size_t count;
        tg_memory_fail_at(n);
        tg_status status = tg_tokenizer_read(&t, "m");
        if (status == TG_OK)
            status = tg_tokenizer_encode(t, &ids, &count, "Lions \xc3\xa9", 8);
        tg_memory_fail_at(0);
        tg_tokens_free(ids);
        tg_tokenizer_destroy(t);
        assert_true(status == TG_OK || status == TG_ENOMEM);
        if (status == TG_OK) {
            assert_true(n > 10);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces),     cmocka_unit_test(normal_forms),     cmocka_unit_test(frames),
        cmocka_unit_test(bad_frames), cmocka_unit_test(vocabulary_files), cmocka_unit_test(lack_of_memory),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
