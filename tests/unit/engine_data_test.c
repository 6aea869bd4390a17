/* Text as tokens: strict UTF-8, tokenizers and their files, the corpus, batches and windows. */

#include "base/memory.h"
#include "base/random.h"
#include "data/tokenizer.h"
#include "base/utf8.h"
#include "home_support.h"

static const char directory[] = ".", path[] = "text"; /* in the folder that home_support.h enters */

static void put(const char *name, const void *bytes, size_t count)
{
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

/* ---- UTF-8 --------------------------------------------------------------------------------------------------- */

static void test_utf8_every_character(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < TG_CODE_POINTS; c++) {
        char text[TG_UTF8_BYTES];
        uint32_t back = 7;
        if (c >= 0xd800 && c < 0xe000)
            continue;
        const size_t bytes = tg_utf8_encode(text, c);
        assert_int_equal(bytes, c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
        assert_int_equal(tg_utf8_decode(&back, text, bytes), bytes);
        assert_int_equal(back, c);
        for (size_t less = 0; less < bytes; less++)
            assert_int_equal(tg_utf8_decode(&back, text, less), 0);
    }
}

static void test_utf8_refuses(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xf8\x88\x80\x80\x80",
        "\xff",
        "\xfe",
        "\xc3(",
        "\xe2(\xa1",
        "\xe2\x82(",
        "\xf0\x9f(\xbc",
        "\xf0\x9f\x92(",
        "\xe2\x82",
        "\xc3\xc3",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint32_t c = 7;
        assert_int_equal(tg_utf8_decode(&c, wrong[i], strlen(wrong[i])), 0);
        assert_int_equal(c, 7);
    }
}

/* ---- tokenizers ---------------------------------------------------------------------------------------------- */

static const char sample[] = "Straße\n\r\n\t\"q\\\" €5 𝄞 à la  a\u0301 \x7f\x01<unk>";

static void encodes(const tg_tokenizer *tokenizer, const char *text, size_t bytes)
{
    uint32_t *ids = NULL;
    size_t count = 0, at = 0;
    assert_int_equal(tg_tokenizer_encode(tokenizer, &ids, &count, text, bytes), TG_OK);
    for (size_t i = 0; i < count; i++) {
        size_t length;
        const char *const token = tg_tokenizer_token(tokenizer, ids[i], &length);
        assert_true(length >= 1 && length <= 4 && at + length <= bytes);
        assert_memory_equal(token, text + at, length);
        at += length;
    }
    assert_int_equal(at, bytes);
    tg_tokens_free(ids);
}

static tg_tokenizer *chars_of(const char *text, size_t bytes)
{
    tg_tokenizer *tokenizer = NULL;
    if (tg_tokenizer_char(&tokenizer, text, bytes) != TG_OK)
        fail_msg("%s", tg_message());
    return tokenizer;
}

static void test_byte(void **state)
{
    (void)state;
    tg_tokenizer *tokenizer = NULL;
    char all[256];
    uint32_t *ids = NULL;
    size_t count, bytes;
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    assert_int_equal(tg_tokenizer_byte(&tokenizer), TG_OK);
    assert_string_equal(tg_tokenizer_kind(tokenizer), "byte");
    assert_int_equal(tg_tokenizer_vocab(tokenizer), 256);
    assert_int_equal(tg_tokenizer_encode(tokenizer, &ids, &count, all, 256), TG_OK);
    assert_int_equal(count, 256);
    for (uint32_t i = 0; i < 256; i++)
        assert_int_equal(ids[i], i);
    tg_tokens_free(ids);
    encodes(tokenizer, all, 256);
    encodes(tokenizer, "", 0);
    tg_tokenizer_token(tokenizer, 256, &bytes);
    assert_int_equal(bytes, 0);
    tg_tokenizer_destroy(tokenizer);
}

static void test_char(void **state)
{
    (void)state;
    static const char text[] = "\nbcaé€a\xf0\x9d\x84\x9e\n"; /* in order: newline a b c é € clef */
    static const uint32_t expected[] = {0, 2, 3, 1, 4, 5, 1, 6, 0};
    tg_tokenizer *const tokenizer = chars_of(text, sizeof text - 1);
    uint32_t *ids = NULL;
    size_t count, bytes;
    assert_string_equal(tg_tokenizer_kind(tokenizer), "char");
    assert_int_equal(tg_tokenizer_vocab(tokenizer), 7);
    assert_int_equal(tg_tokenizer_encode(tokenizer, &ids, &count, text, sizeof text - 1), TG_OK);
    assert_int_equal(count, sizeof expected / sizeof *expected);
    assert_memory_equal(ids, expected, sizeof expected);
    tg_tokens_free(ids);
    tg_tokenizer_token(tokenizer, 7, &bytes);
    assert_int_equal(bytes, 0);

    ids = NULL;
    assert_int_equal(tg_tokenizer_encode(tokenizer, &ids, &count, "abö", 4), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "the tokenizer does not know the character U+00F6 'ö' at offset 2: "));
    assert_int_equal(tg_tokenizer_encode(tokenizer, &ids, &count, "a\r", 2), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "the tokenizer does not know the character U+000D at offset 1: "));
    assert_int_equal(tg_tokenizer_encode(tokenizer, &ids, &count, "ab\xe2\x82", 4), TG_EFORMAT);
    assert_int_equal(tg_tokenizer_encode(tokenizer, &ids, &count, "\x80\x80", 2), TG_EFORMAT);
    assert_null(ids);
    tg_tokenizer_destroy(tokenizer);
}

static void test_char_refuses(void **state)
{
    (void)state;
    tg_tokenizer *tokenizer = NULL;
    assert_int_equal(tg_tokenizer_char(&tokenizer, "abc\xff", 4), TG_EFORMAT);
    assert_string_equal(
        tg_message(),
        "byte 0xff at offset 3 is no UTF-8, which the char tokenizer needs: --tokenizer byte takes any file");
    assert_int_equal(tg_tokenizer_char(&tokenizer, "ab\0c", 4), TG_EFORMAT);
    assert_int_equal(tg_tokenizer_char(&tokenizer, "", 0), TG_EINVAL);
    assert_null(tokenizer);
}

static void test_files(void **state)
{
    (void)state;
    tg_tokenizer *made[2] = {NULL, chars_of(sample, sizeof sample - 1)};
    assert_int_equal(tg_tokenizer_byte(&made[0]), TG_OK);
    for (int i = 0; i < 2; i++) {
        tg_tokenizer *read = NULL;
        assert_int_equal(tg_tokenizer_write(made[i], directory), TG_OK);
        if (tg_tokenizer_read(&read, directory) != TG_OK)
            fail_msg("%s", tg_message());
        assert_string_equal(tg_tokenizer_kind(read), tg_tokenizer_kind(made[i]));
        assert_int_equal(tg_tokenizer_vocab(read), tg_tokenizer_vocab(made[i]));
        for (uint32_t id = 0; id < tg_tokenizer_vocab(read); id++) {
            size_t a, b;
            const char *const token = tg_tokenizer_token(made[i], id, &a);
            assert_memory_equal(token, tg_tokenizer_token(read, id, &b), a);
            assert_int_equal(a, b);
        }
        encodes(read, sample, sizeof sample - 1);
        tg_tokenizer_destroy(read);
        tg_tokenizer_destroy(made[i]);
    }
    tg_tokenizer *none = NULL;
    assert_int_equal(tg_tokenizer_read(&none, "/nowhere/at/all"), TG_ENOTFOUND);
    assert_null(none);
}

/* The files are byte for byte those that Hugging Face tokenizers writes for the same vocabularies. */
static void test_golden_files(void **state)
{
    (void)state;
    static const char *const kinds[] = {"byte", "char"};
    const char *text, *expected, *written;
    size_t bytes, expected_bytes, written_bytes;
    assert_int_equal(tg_text_open(&text, &bytes, TG_TESTS_DIR "/golden/tokenizer_text.txt"), TG_OK);
    for (int i = 0; i < 2; i++) {
        char name[256];
        tg_tokenizer *tokenizer = NULL;
        assert_int_equal(i == 0 ? tg_tokenizer_byte(&tokenizer) : tg_tokenizer_char(&tokenizer, text, bytes), TG_OK);
        assert_int_equal(tg_tokenizer_write(tokenizer, directory), TG_OK);
        snprintf(name, sizeof name, TG_TESTS_DIR "/golden/tokenizer_%s.json", kinds[i]);
        assert_int_equal(tg_text_open(&expected, &expected_bytes, name), TG_OK);
        snprintf(name, sizeof name, "%s/tokenizer.json", directory);
        assert_int_equal(tg_text_open(&written, &written_bytes, name), TG_OK);
        assert_int_equal(written_bytes, expected_bytes);
        assert_memory_equal(written, expected, expected_bytes);
        encodes(tokenizer, text, bytes);
        tg_text_close(written, written_bytes);
        tg_text_close(expected, expected_bytes);
        tg_tokenizer_destroy(tokenizer);
    }
    tg_text_close(text, bytes);
}

#define CHAR_HEAD "{" CHAR_REST
#define CHAR_REST                                                                                                      \
    "\"added_tokens\":[],\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[\\\\s\\\\S]\"},"              \
    "\"behavior\":\"Isolated\",\"invert\":false},\"decoder\":{\"type\":\"Fuse\"},\"model\":{\"type\":\"WordLevel\","   \
    "\"vocab\":"

static void parse_fails(const char *json, tg_status status, const char *message)
{
    tg_tokenizer *tokenizer = NULL;
    assert_int_equal(tg_tokenizer_parse(&tokenizer, json, strlen(json), "t.json"), status);
    assert_null(tokenizer);
    if (strncmp(tg_message(), message, strlen(message)) != 0)
        fail_msg("'%s' where '%s...' was expected", tg_message(), message);
}

static void test_parse(void **state)
{
    (void)state;
    static const char good[] = CHAR_HEAD "{\"b\":0,\"\\u20ac\":2,\"a\":1}}}";
    tg_tokenizer *tokenizer = NULL;
    if (tg_tokenizer_parse(&tokenizer, good, sizeof good - 1, "t.json") != TG_OK)
        fail_msg("%s", tg_message());
    encodes(tokenizer, "ab€b", 6);
    tg_tokenizer_destroy(tokenizer);

    parse_fails("", TG_EFORMAT, "'t.json' line 1 column 0: ");
    parse_fails("[]", TG_EFORMAT, "'t.json': model.type is missing");
    parse_fails("{\"model\":{\"type\":3}}", TG_EFORMAT, "'t.json': model.type is missing");
    parse_fails("{\"model\":{\"type\":\"Unigram\"}}", TG_EUNSUPPORTED,
                "'t.json': a tokenizer of type 'Unigram' is not known");
    parse_fails("{\"normalizer\":{\"type\":\"Lowercase\"}," CHAR_REST "{\"a\":0}}}", TG_EUNSUPPORTED,
                "'t.json': normalizer is not that of a plain char tokenizer");
    parse_fails(CHAR_HEAD "{}}}", TG_EFORMAT, "'t.json': a vocabulary of 0 characters");
    parse_fails(CHAR_HEAD "[]}}", TG_EFORMAT, "'t.json': model.vocab is no object");
    parse_fails(CHAR_HEAD "{\"a\":0,\"b\":2}}}", TG_EFORMAT, "'t.json': token 'b' needs an id from 0 to 1");
    parse_fails(CHAR_HEAD "{\"a\":0,\"b\":-1}}}", TG_EFORMAT, "'t.json': token 'b' needs an id from 0 to 1");
    parse_fails(CHAR_HEAD "{\"a\":0,\"b\":0.5}}}", TG_EFORMAT, "'t.json': token 'b' needs an id from 0 to 1");
    parse_fails(CHAR_HEAD "{\"a\":0,\"b\":0}}}", TG_EFORMAT, "'t.json': two tokens have the id 0");
    parse_fails(CHAR_HEAD "{\"a\":0,\"a\":1}}}", TG_EFORMAT, "'t.json' line 1");
    parse_fails(CHAR_HEAD "{\"a\":0,\"the\":1}}}", TG_EUNSUPPORTED, "'t.json': token 'the' is not one character");
    parse_fails(CHAR_HEAD "{\"\":0}}}", TG_EUNSUPPORTED, "'t.json': token '' is not one character");
}

/* Every allocation of ours fails in turn: a status, nothing leaked (the sanitizers' runs see that). */
static void test_no_memory(void **state)
{
    (void)state;
    put(path, "höher als hoch", 15);
    tg_status status = TG_ENOMEM;
    long n = 0;
    while (status == TG_ENOMEM) {
        tg_tokenizer *tokenizer = NULL, *again = NULL;
        tg_corpus *corpus = NULL;
        assert_true(++n < 100);
        tg_memory_fail_at(n);
        status = tg_tokenizer_char(&tokenizer, "höher als hoch", 15);
        if (status == TG_OK)
            status = tg_tokenizer_write(tokenizer, directory);
        if (status == TG_OK)
            status = tg_tokenizer_read(&again, directory);
        if (status == TG_OK)
            status = tg_corpus_open(&corpus, path, again, TG_FORMAT_TEXT, 0.25);
        tg_memory_fail_at(0);
        tg_corpus_destroy(corpus);
        tg_tokenizer_destroy(again);
        tg_tokenizer_destroy(tokenizer);
    }
    assert_int_equal(status, TG_OK);
    assert_true(n > 8);
}

/* ---- corpus -------------------------------------------------------------------------------------------------- */

static tg_corpus *opened(const tg_tokenizer *tokenizer, double validation)
{
    tg_corpus *corpus = NULL;
    if (tg_corpus_open(&corpus, path, tokenizer, TG_FORMAT_TEXT, validation) != TG_OK)
        fail_msg("%s", tg_message());
    return corpus;
}

static void open_fails(const char *name, const tg_tokenizer *tokenizer, double validation, tg_status status,
                       const char *message)
{
    tg_corpus *corpus = NULL;
    assert_int_equal(tg_corpus_open(&corpus, name, tokenizer, TG_FORMAT_TEXT, validation), status);
    assert_null(corpus);
    if (strstr(tg_message(), message) == NULL)
        fail_msg("'%s' where '%s' was expected", tg_message(), message);
}

static void test_bad_files(void **state)
{
    (void)state;
    tg_tokenizer *byte = NULL, *chars = chars_of("abc", 3);
    uint32_t tokens[8];
    int32_t targets[8];
    assert_int_equal(tg_tokenizer_byte(&byte), TG_OK);
    open_fails("/nowhere/at/all", byte, 0.1, TG_ENOTFOUND, "cannot read '/nowhere/at/all'");
    open_fails(directory, byte, 0.1, TG_EINVAL, "is a directory");
    put(path, "", 0);
    open_fails(path, byte, 0.1, TG_EFORMAT, "is empty");
    put(path, "a", 1);
    open_fails(path, byte, 0.1, TG_EFORMAT, "only one token");
    open_fails(path, chars, 0.1, TG_EFORMAT, "only one token");
    put(path, "abd", 3);
    open_fails(path, chars, 0.1, TG_EFORMAT, "text': the tokenizer does not know the character U+0064 'd' at offset 2");
    put(path, "ab\xc3", 3);
    open_fails(path, chars, 0.1, TG_EFORMAT, "text': byte 0xc3 at offset 2 is no UTF-8");
    open_fails(path, byte, 1, TG_EINVAL, "validation share");
    open_fails(path, byte, -0.1, TG_EINVAL, "validation share");
    put(path, "abcabcab", 8);
    tg_corpus *const corpus = opened(byte, 0.5);
    assert_int_equal(tg_corpus_batch(corpus, tokens, targets, 1, 4, 1, 0, 0), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "has 4 tokens to train on; a context of 4 needs 5"));
    assert_int_equal(tg_corpus_batch(corpus, tokens, targets, 1, 3, 1, 0, 0), TG_OK);
    assert_int_equal(tg_corpus_window(corpus, TG_SPLIT_TRAIN, tokens, targets, 1, 0, 0, NULL), TG_EINVAL);
    tg_corpus_destroy(corpus);
    tg_corpus_destroy(NULL);
    tg_tokenizer_destroy(byte);
    tg_tokenizer_destroy(chars);
    tg_tokenizer_destroy(NULL);
}

/* A text whose token at i tells i (mod the vocabulary, odd steps): chars from `base` on, `vocab` of them. */
static tg_tokenizer *numbered_text(size_t count, uint32_t base, uint32_t vocab)
{
    char *const text = malloc(count * TG_UTF8_BYTES);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += tg_utf8_encode(text + bytes, base + (uint32_t)(i % vocab));
    put(path, text, bytes);
    tg_tokenizer *const tokenizer = chars_of(text, bytes);
    free(text);
    return tokenizer;
}

/* One, two and four bytes a token: the same text, the same tokens. */
static void test_widths(void **state)
{
    (void)state;
    static const struct {
        uint32_t base, vocab;
        size_t width;
    } cases[] = {{0x20, 200, 1}, {0x4e00, 256, 1}, {0x4e00, 257, 2}, {0x10000, 65536, 2}, {0x10000, 70001, 4}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        enum { COUNT = 141234, TIME = 31 };
        tg_tokenizer *const tokenizer = numbered_text(COUNT, cases[c].base, cases[c].vocab);
        tg_corpus *const corpus = opened(tokenizer, 0);
        uint32_t tokens[TIME];
        int32_t targets[TIME];
        size_t windows = 0;
        assert_int_equal(tg_corpus_tokens(corpus, TG_SPLIT_TRAIN), COUNT);
        assert_int_equal(tg_corpus_bytes(corpus), COUNT * cases[c].width);
        for (size_t w = 0, at = 0; w == 0 || w < windows; w++) {
            assert_int_equal(tg_corpus_window(corpus, TG_SPLIT_TRAIN, tokens, targets, 1, TIME, w, &windows), TG_OK);
            for (size_t t = 0; t < TIME && targets[t] >= 0; t++, at++) {
                assert_int_equal(tokens[t], at % cases[c].vocab);
                assert_int_equal(targets[t], (at + 1) % cases[c].vocab);
            }
        }
        tg_corpus_destroy(corpus);
        tg_tokenizer_destroy(tokenizer);
    }
}

/* Windows tile a split: every token but its first is a target once, in order; the rest is ignored. */
static void test_windows(void **state)
{
    (void)state;
    enum { COUNT = 97, BATCH = 3, TIME = 5 };
    tg_tokenizer *const tokenizer = numbered_text(COUNT, 0x30, COUNT);
    tg_corpus *const corpus = opened(tokenizer, 0.3);
    const size_t train = tg_corpus_tokens(corpus, TG_SPLIT_TRAIN), held = tg_corpus_tokens(corpus, TG_SPLIT_VALIDATION);
    assert_int_equal(train, 67);
    assert_int_equal(held, 30);
    for (int split = 0; split < 2; split++) {
        const size_t first = split == 0 ? 0 : train, last = split == 0 ? train : COUNT;
        size_t windows = 0, at = first, ignored = 0;
        assert_int_equal(tg_corpus_window(corpus, (tg_split)split, NULL, NULL, 0, TIME, 0, &windows), TG_OK);
        assert_int_equal(windows, (last - first - 1 + TIME - 1) / TIME);
        const size_t calls = (windows + BATCH - 1) / BATCH;
        for (size_t i = 0; i < calls + 2; i++) {
            uint32_t tokens[BATCH * TIME];
            int32_t targets[BATCH * TIME];
            assert_int_equal(tg_corpus_window(corpus, (tg_split)split, tokens, targets, BATCH, TIME, i, NULL), TG_OK);
            for (size_t k = 0; k < BATCH * TIME; k++) {
                if (targets[k] < 0) {
                    assert_int_equal(targets[k], -1);
                    ignored++;
                    continue;
                }
                assert_int_equal(tokens[k], at);
                assert_int_equal(targets[k], at + 1);
                at++;
            }
        }
        assert_int_equal(at, last - 1);
        assert_int_equal(ignored, (calls + 2) * BATCH * TIME - (last - first - 1));
        uint32_t tokens[2 * TIME];
        int32_t targets[2 * TIME];
        assert_int_equal(tg_corpus_window(corpus, (tg_split)split, tokens, targets, 2, TIME, SIZE_MAX / 2 + 1, NULL),
                         TG_OK);
        assert_int_equal(targets[0], -1); /* 2 * index is 0 in a size_t */
    }
    tg_corpus_destroy(corpus);
    tg_tokenizer_destroy(tokenizer);
}

/* Every place of the training split is drawn, the last included, about equally often; validation text never is. */
static void test_batches(void **state)
{
    (void)state;
    enum { COUNT = 90, TRAIN = 72, BATCH = 12, TIME = 7, PLACES = TRAIN - TIME, UPDATES = 4000 };
    tg_tokenizer *const tokenizer = numbered_text(COUNT, 0x30, COUNT);
    tg_corpus *const corpus = opened(tokenizer, 0.2);
    size_t drawn[PLACES] = {0};
    assert_int_equal(tg_corpus_tokens(corpus, TG_SPLIT_TRAIN), TRAIN);
    for (uint64_t update = 0; update < UPDATES; update++) {
        uint32_t tokens[BATCH * TIME];
        int32_t targets[BATCH * TIME];
        assert_int_equal(tg_corpus_batch(corpus, tokens, targets, BATCH, TIME, 2385, update, (uint32_t)(update % 3)),
                         TG_OK);
        for (size_t b = 0; b < BATCH; b++) {
            const uint32_t *const row = tokens + b * TIME;
            assert_true(row[0] < PLACES);
            drawn[row[0]]++;
            for (size_t t = 0; t < TIME; t++) {
                assert_int_equal(row[t], row[0] + t);
                assert_int_equal(targets[b * TIME + t], row[0] + t + 1);
            }
        }
    }
    /* Chi-squared with 64 degrees of freedom lies above 120 once in 30,000 times; the draw is fixed, so it is now or
     * never. */
    double chi = 0;
    const double expected = (double)UPDATES * BATCH / PLACES;
    for (size_t i = 0; i < PLACES; i++)
        chi += ((double)drawn[i] - expected) * ((double)drawn[i] - expected) / expected;
    if (!(chi > 25 && chi < 120))
        fail_msg("chi-squared %g", chi);
    tg_corpus_destroy(corpus);
    tg_tokenizer_destroy(tokenizer);
}

static void test_batch_is_a_function(void **state)
{
    (void)state;
    enum { COUNT = 5000, BATCH = 4, TIME = 16, CALLS = 5 };
    static const struct {
        uint64_t seed, update;
        uint32_t micro;
    } calls[CALLS] = {{7, 5, 2}, {7, 5, 2}, {8, 5, 2}, {7, 6, 2}, {7, 5, 3}};
    uint32_t tokens[CALLS][BATCH * TIME];
    int32_t targets[BATCH * TIME];
    tg_tokenizer *const tokenizer = numbered_text(COUNT, 0x4e00, COUNT);
    tg_corpus *const corpus = opened(tokenizer, 0.1);
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(
            tg_corpus_batch(corpus, tokens[i], targets, BATCH, TIME, calls[i].seed, calls[i].update, calls[i].micro),
            TG_OK);
    assert_memory_equal(tokens[0], tokens[1], sizeof tokens[0]);
    for (int i = 2; i < CALLS; i++)
        for (int j = 0; j < i; j++)
            if (j != 1)
                assert_memory_not_equal(tokens[i], tokens[j], sizeof tokens[0]);
    tg_corpus_destroy(corpus);
    tg_tokenizer_destroy(tokenizer);
}

/* However an update is cut into micro-batches, its rows are the same. */
static void test_micro_batches_share_rows(void **state)
{
    (void)state;
    enum { COUNT = 5000, BATCH = 12, PART = 4, TIME = 16 };
    uint32_t whole[BATCH * TIME], parts[BATCH * TIME];
    int32_t targets[BATCH * TIME];
    tg_tokenizer *const tokenizer = numbered_text(COUNT, 0x4e00, COUNT);
    tg_corpus *const corpus = opened(tokenizer, 0.1);
    assert_int_equal(tg_corpus_batch(corpus, whole, targets, BATCH, TIME, 7, 5, 0), TG_OK);
    for (uint32_t micro = 0; micro < BATCH / PART; micro++)
        assert_int_equal(tg_corpus_batch(corpus, parts + micro * PART * TIME, targets, PART, TIME, 7, 5, micro), TG_OK);
    assert_memory_equal(whole, parts, sizeof whole);
    tg_corpus_destroy(corpus);
    tg_tokenizer_destroy(tokenizer);
}

static uint64_t hash_of(const tg_tokenizer *tokenizer, const char *text, size_t bytes)
{
    put(path, text, bytes);
    tg_corpus *const corpus = opened(tokenizer, 0.25);
    const uint64_t hash = tg_corpus_hash(corpus);
    tg_corpus_destroy(corpus);
    return hash;
}

/* The hash sees every token and its place, and not how wide tokens are kept. */
static void test_hash(void **state)
{
    (void)state;
    enum { COUNT = 9001 };
    char text[COUNT], changed[COUNT];
    uint64_t seen[64];
    size_t count = 0;
    tg_tokenizer *byte = NULL;
    assert_int_equal(tg_tokenizer_byte(&byte), TG_OK);
    const tg_key key = tg_key_make(3, 0, 0, 0);
    for (uint32_t i = 0; i < COUNT; i++)
        text[i] = (char)(1 + tg_random(key, i) % 127);
    const uint64_t few = hash_of(byte, text, 5); /* before and after a long text used the same memory */
    seen[count++] = hash_of(byte, text, COUNT);
    assert_true(hash_of(byte, text, 5) == few);
    assert_true(hash_of(byte, text, COUNT) == seen[0]);
    seen[count++] = hash_of(byte, text, COUNT - 1);
    for (size_t i = 0; i < COUNT; i += 293) {
        memcpy(changed, text, COUNT);
        changed[i] ^= 1;
        seen[count++] = hash_of(byte, changed, COUNT);
    }
    memcpy(changed, text, COUNT);
    changed[100] = text[108];
    changed[108] = text[100];
    assert_true(text[100] != text[108]);
    seen[count++] = hash_of(byte, changed, COUNT);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(seen[i] != seen[j]);

    /* ids = byte values, once in one byte each and once in two: 300 characters from U+0000 on are not to be had, so
     * the vocabulary is read from a file that gives U+0001.. the ids 1.. and U+0400 the id 0. */
    char *const json = malloc(1 << 15);
    size_t used = (size_t)sprintf(json, CHAR_HEAD "{\"\\u0400\":0");
    for (int id = 1; id < 300; id++)
        used += (size_t)sprintf(json + used, ",\"\\u%04x\":%d", (unsigned)id, id);
    used += (size_t)sprintf(json + used, "}}}");
    tg_tokenizer *wide = NULL;
    if (tg_tokenizer_parse(&wide, json, used, "wide") != TG_OK)
        fail_msg("%s", tg_message());
    assert_true(hash_of(wide, text, COUNT) == seen[0]);
    free(json);
    tg_tokenizer_destroy(wide);
    tg_tokenizer_destroy(byte);
}

/* The numbers everybody knows of this text. */
static void test_shakespeare(void **state)
{
    (void)state;
    static const char name[] = TG_TESTS_DIR "/../../shared/data/tinyshakespeare.txt";
    const char *text;
    size_t bytes;
    if (tg_text_open(&text, &bytes, name) != TG_OK) {
        print_message("%s; skipped\n", tg_message());
        skip();
    }
    tg_tokenizer *const tokenizer = chars_of(text, bytes);
    tg_corpus *corpus = NULL;
    assert_int_equal(tg_tokenizer_vocab(tokenizer), 65);
    assert_int_equal(tg_corpus_open(&corpus, name, tokenizer, TG_FORMAT_TEXT, 0.1), TG_OK);
    assert_int_equal(tg_corpus_tokens(corpus, TG_SPLIT_TRAIN), 1003854);
    assert_int_equal(tg_corpus_tokens(corpus, TG_SPLIT_VALIDATION), 111540);
    encodes(tokenizer, text, bytes);
    tg_corpus_destroy(corpus);
    tg_tokenizer_destroy(tokenizer);
    tg_text_close(text, bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_every_character),
        cmocka_unit_test(test_utf8_refuses),
        cmocka_unit_test(test_byte),
        cmocka_unit_test(test_char),
        cmocka_unit_test(test_char_refuses),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_golden_files),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_batch_is_a_function),
        cmocka_unit_test(test_micro_batches_share_rows),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_shakespeare),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
