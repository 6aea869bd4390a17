/* engine_masking_test.c -- masked-language modelling: shares, purity, special tokens, windows; tokenizers with a mask
 * of their own. */
#include <math.h>

#include "base/memory.h"
#include "data/masking.h"
#include "data/tokenizer.h"
#include "home_support.h"

#define TEXT_BYTES 30011
#define TIME 47
#define BATCH 23
#define SHARE_ERROR 5 /* standard deviations */

static char text[TEXT_BYTES + 1];

static tg_tokenizer *byte_tokenizer(void)
{
    tg_tokenizer *tokenizer;
    ok(tg_tokenizer_byte(&tokenizer));
    ok(tg_tokenizer_add_mask(tokenizer));
    return tokenizer;
}

/* Bytes from 'a' on in no order, so that a replaced one shows. */
static tg_corpus *corpus_of(const tg_tokenizer *tokenizer, double validation)
{
    tg_corpus *corpus;
    for (uint32_t i = 0; i < TEXT_BYTES; i++)
        text[i] = (char)('a' + tg_random_below(tg_key_make(3, 1, 4, 1), i, 26));
    FILE *const file = fopen("text", "wb");
    assert_int_equal(fwrite(text, 1, TEXT_BYTES, file), TEXT_BYTES);
    assert_int_equal(fclose(file), 0);
    ok(tg_corpus_open(&corpus, "text", tokenizer, TG_FORMAT_TEXT, validation));
    return corpus;
}

static void near_share(size_t count, size_t of, double share)
{
    const double spread = SHARE_ERROR * sqrt((double)of * share * (1 - share));
    if (!(fabs((double)count - share * (double)of) <= spread))
        fail_msg("%zu of %zu is no share of %g", count, of, share);
}

static void shares_are_those_asked_for(void **state)
{
    (void)state;
    static uint32_t tokens[BATCH * TIME];
    static int32_t targets[BATCH * TIME];
    tg_tokenizer *tokenizer = byte_tokenizer();
    tg_corpus *corpus = corpus_of(tokenizer, 0.1);
    size_t places = 0, chosen = 0, masked = 0, kept = 0;
    ok(tg_corpus_mask(corpus, tokenizer, 0.23, 0.17, 0.09));
    for (uint64_t update = 0; update < 60; update++) {
        ok(tg_corpus_batch(corpus, tokens, targets, BATCH, TIME, 7, update, 2));
        for (size_t i = 0; i < BATCH * TIME; i++) {
            assert_true(targets[i] == -1 || (targets[i] >= 'a' && targets[i] <= 'z'));
            assert_true(tokens[i] <= 256 && (targets[i] >= 0 || (tokens[i] >= 'a' && tokens[i] <= 'z')));
            chosen += targets[i] >= 0;
            masked += targets[i] >= 0 && tokens[i] == 256;
            kept += targets[i] >= 0 && tokens[i] == (uint32_t)targets[i];
        }
        places += BATCH * TIME;
    }
    near_share(chosen, places, 0.23);
    near_share(masked, chosen, 1 - 0.17 - 0.09 + 0.17 / 257); /* the other token may be the mask, */
    near_share(kept, chosen, 0.09 + 0.17 / 257);              /* or the same one */
    tg_corpus_destroy(corpus);
    tg_tokenizer_destroy(tokenizer);
}

static void batch_is_a_function(void **state)
{
    (void)state;
    static uint32_t tokens[4][BATCH * TIME];
    static int32_t targets[4][BATCH * TIME];
    static const uint64_t seed[4] = {7, 7, 8, 7};
    static const uint32_t micro[4] = {2, 2, 2, 3};
    tg_tokenizer *tokenizer = byte_tokenizer();
    tg_corpus *corpus = corpus_of(tokenizer, 0.1);
    ok(tg_corpus_mask(corpus, tokenizer, 0.15, 0.1, 0.1));
    for (size_t i = 0; i < 4; i++)
        ok(tg_corpus_batch(corpus, tokens[i], targets[i], BATCH, TIME, seed[i], 11, micro[i]));
    assert_memory_equal(tokens[0], tokens[1], sizeof tokens[0]);
    assert_memory_equal(targets[0], targets[1], sizeof targets[0]);
    assert_memory_not_equal(targets[0], targets[2], sizeof targets[0]);
    assert_memory_not_equal(targets[0], targets[3], sizeof targets[0]);
    tg_corpus_destroy(corpus);
    tg_tokenizer_destroy(tokenizer);
}

/* The same windows whatever the batch, every token of the split in one, and lengths that say how many. */
static void windows_are_the_same_in_every_batch(void **state)
{
    (void)state;
    static uint32_t tokens[2][8 * TIME], lengths[8];
    static int32_t targets[2][8 * TIME];
    tg_tokenizer *tokenizer = byte_tokenizer();
    tg_corpus *corpus = corpus_of(tokenizer, 0.01);
    size_t windows, seen = 0;
    ok(tg_corpus_mask(corpus, tokenizer, 0.3, 0.1, 0.1));
    ok(tg_corpus_window(corpus, TG_SPLIT_VALIDATION, tokens[0], targets[0], 8, TIME, 0, &windows));
    assert_int_equal(windows, (tg_corpus_tokens(corpus, TG_SPLIT_VALIDATION) + TIME - 1) / TIME);
    assert_true(windows < 8);
    tg_corpus_lengths(corpus, TG_SPLIT_VALIDATION, lengths, 8, TIME, 0);
    for (size_t w = 0; w < 8; w++) {
        size_t chosen = 0;
        ok(tg_corpus_window(corpus, TG_SPLIT_VALIDATION, tokens[1], targets[1], 1, TIME, w, NULL));
        assert_memory_equal(tokens[0] + w * TIME, tokens[1], TIME * sizeof(uint32_t));
        assert_memory_equal(targets[0] + w * TIME, targets[1], TIME * sizeof(int32_t));
        for (size_t t = 0; t < TIME; t++) {
            chosen += targets[1][t] >= 0;
            assert_true(t < lengths[w] || targets[1][t] == -1);
        }
        assert_true((chosen > 0) == (lengths[w] > 0));
        seen += lengths[w];
    }
    assert_int_equal(seen, tg_corpus_tokens(corpus, TG_SPLIT_VALIDATION));
    tg_corpus_destroy(corpus);
    tg_tokenizer_destroy(tokenizer);
}

static void special_tokens_are_never_chosen(void **state)
{
    (void)state;
    uint64_t special[1] = {0x28}; /* 3 and 5 */
    const tg_masking m = {.rate = 1, .mask = 60, .vocab = 61, .special = special};
    uint32_t tokens[6] = {3, 4, 5, 6, 5, 9};
    int32_t targets[6] = {3, 4, 5, 6, 5, -1}; /* the last is padding */
    tg_mask_row(&m, tokens, targets, 6, tg_key_make(1, 2, 3, 4), 7);
    static const uint32_t wanted_tokens[6] = {3, 60, 5, 60, 5, 9};
    static const int32_t wanted_targets[6] = {-1, 4, -1, 6, -1, -1};
    assert_memory_equal(tokens, wanted_tokens, sizeof tokens);
    assert_memory_equal(targets, wanted_targets, sizeof targets);
}

static void one_is_always_chosen(void **state)
{
    (void)state;
    uint64_t special[1] = {0};
    const tg_masking m = {.rate = 1e-7, .mask = 60, .vocab = 61, .special = special};
    for (uint32_t i = 0; i < 50; i++) {
        uint32_t tokens[5] = {3, 4, 5, 6, 7};
        int32_t targets[5] = {3, 4, -1, 6, 7};
        size_t chosen = 0;
        tg_mask_row(&m, tokens, targets, 5, tg_key_make(i, 2, 3, 4), 0);
        for (size_t t = 0; t < 5; t++)
            chosen += targets[t] >= 0 && tokens[t] == 60;
        assert_int_equal(chosen, 1);
    }
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    tg_tokenizer *plain, *tokenizer = byte_tokenizer();
    tg_corpus *corpus = corpus_of(tokenizer, 0);
    ok(tg_tokenizer_byte(&plain));
    refused(tg_corpus_mask(corpus, plain, 0.15, 0.1, 0.1), TG_EINVAL, "mask token|[MASK]");
    refused(tg_corpus_mask(corpus, tokenizer, 0, 0.1, 0.1), TG_EINVAL, "mask_rate");
    refused(tg_corpus_mask(corpus, tokenizer, (double)NAN, 0.1, 0.1), TG_EINVAL, "mask_rate");
    refused(tg_corpus_mask(corpus, tokenizer, 0.15, 0.6, 0.5), TG_EINVAL, "mask_random");
    tg_corpus_destroy(corpus);
    tg_tokenizer_destroy(plain);
    tg_tokenizer_destroy(tokenizer);
}

/* "[MASK]" is one token, also of a tokenizer that was written and read. */
static void check_own_mask(tg_tokenizer *tokenizer)
{
    static const char line[] = "[MASK]ab[MASK][MASK";
    tg_tokenizer *again;
    uint32_t *ids, *others, mask;
    size_t count, other_count, bytes;
    const size_t before = tg_tokenizer_vocab(tokenizer);
    ok(tg_tokenizer_add_mask(tokenizer));
    ok(tg_tokenizer_add_mask(tokenizer)); /* has one */
    assert_int_equal(tg_tokenizer_vocab(tokenizer), before + 1);
    assert_true(tg_tokenizer_mask(tokenizer, &mask) && mask == before && tg_tokenizer_is_special(tokenizer, mask));
    assert_memory_equal(tg_tokenizer_token(tokenizer, mask, &bytes), "[MASK]", 6);
    assert_int_equal(bytes, 6);
    ok(tg_tokenizer_encode(tokenizer, &ids, &count, line, strlen(line)));
    assert_int_equal(count, 9);
    assert_true(ids[0] == mask && ids[3] == mask && ids[1] != mask && ids[4] != mask);
    ok(tg_tokenizer_write(tokenizer, "m"));
    ok(tg_tokenizer_read(&again, "m"));
    assert_string_equal(tg_tokenizer_kind(again), tg_tokenizer_kind(tokenizer));
    assert_int_equal(tg_tokenizer_vocab(again), before + 1);
    ok(tg_tokenizer_encode(again, &others, &other_count, line, strlen(line)));
    assert_int_equal(other_count, count);
    assert_memory_equal(ids, others, count * sizeof *ids);
    tg_tokens_free(ids);
    tg_tokens_free(others);
    tg_tokenizer_destroy(again);
    tg_tokenizer_destroy(tokenizer);
}

static void own_masks(void **state)
{
    (void)state;
    tg_tokenizer *tokenizer;
    ok(tg_tokenizer_byte(&tokenizer));
    check_own_mask(tokenizer);
    ok(tg_tokenizer_char(&tokenizer, "ab[MASK]", 8));
    check_own_mask(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_are_those_asked_for),
        cmocka_unit_test(batch_is_a_function),
        cmocka_unit_test(windows_are_the_same_in_every_batch),
        cmocka_unit_test(special_tokens_are_never_chosen),
        cmocka_unit_test(one_is_always_chosen),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(own_masks),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
