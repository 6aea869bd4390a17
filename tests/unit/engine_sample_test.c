/* engine_sample_test.c -- choosing tokens, whole characters, and sampling and evaluating from a directory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "model/model.h"
#include "store/directory.h"
#include "tiger/engine/train.h"
#include "train/pick.h"
#include "train/pieces.h"

#define ok(expression)                                                                                                 \
    do {                                                                                                               \
        if ((expression) != TG_OK)                                                                                     \
            fail_msg("%s: %s", #expression, tg_message());                                                             \
    } while (0)

/* ---- choosing ---- */

static const float logits[] = {0.3f, 2.1f, -1.7f, 2.1f, 0.9f, -INFINITY, 1.4f};
#define VOCAB (sizeof logits / sizeof *logits)
#define DRAWS 20000

static void count_draws(size_t *count, double temperature, size_t top_k)
{
    uint32_t heap[VOCAB], token;
    memset(count, 0, VOCAB * sizeof *count);
    for (uint64_t i = 0; i < DRAWS; i++) {
        assert_int_equal(
            tg_pick_token(&token, logits, VOCAB, temperature, top_k, heap, tg_key_make(77, 1, i, 0)), TG_OK);
        assert_true(token < VOCAB);
        count[token]++;
    }
}

static void draws_follow_the_softmax(void **state)
{
    (void)state;
    static const size_t best_first[] = {1, 3, 6, 4, 0, 2, 5};
    const size_t ks[] = {0, 1, 2, 3, 5, VOCAB, 100};
    for (size_t k = 0; k < sizeof ks / sizeof *ks; k++)
        for (double temperature = 0.6; temperature < 1.5; temperature += 0.7) {
            const size_t kept = ks[k] == 0 || ks[k] > VOCAB ? VOCAB : ks[k];
            size_t count[VOCAB];
            double sum = 0;
            count_draws(count, temperature, ks[k]);
            for (size_t i = 0; i < kept; i++)
                sum += exp(logits[best_first[i]] / temperature);
            for (size_t i = 0; i < VOCAB; i++) {
                const double p = i < kept ? exp(logits[best_first[i]] / temperature) / sum : 0;
                const double deviation = 4.5 * sqrt(DRAWS * p * (1 - p));
                assert_true(fabs((double)count[best_first[i]] - DRAWS * p) <= deviation);
            }
        }
}

static void temperature_0_takes_the_first_of_the_best(void **state)
{
    (void)state;
    uint32_t token = 99;
    ok(tg_pick_token(&token, logits, VOCAB, 0, 3, NULL, tg_key_make(1, 2, 3, 4)));
    assert_int_equal(token, 1);
}

static void bad_logits_are_told(void **state)
{
    (void)state;
    uint32_t token = 99;
    const float bad[] = {0.3f, NAN, 1.2f}, infinite[] = {0.3f, INFINITY}, nothing[] = {-INFINITY, -INFINITY};
    assert_int_equal(tg_pick_token(&token, bad, 3, 1, 0, NULL, tg_key_make(1, 2, 3, 4)), TG_EDIVERGED);
    assert_int_equal(tg_pick_token(&token, infinite, 2, 0, 0, NULL, tg_key_make(1, 2, 3, 4)), TG_EDIVERGED);
    assert_int_equal(tg_pick_token(&token, nothing, 2, 1, 0, NULL, tg_key_make(1, 2, 3, 4)), TG_EDIVERGED);
    assert_int_equal(token, 99);
}

/* ---- whole characters ---- */

typedef struct collected {
    char text[65536];
    size_t bytes, calls;
} collected;

static void collect(void *ctx, const char *bytes, size_t count)
{
    collected *c = ctx;
    assert_true(c->bytes + count < sizeof c->text);
    memcpy(c->text + c->bytes, bytes, count);
    c->bytes += count;
    c->text[c->bytes] = 0;
    c->calls++;
}

static void assert_pieces(const char *bytes, const char *wanted, size_t calls)
{
    collected c = {.bytes = 0};
    tg_pieces pieces = {.text = collect, .ctx = &c};
    for (size_t i = 0; i < strlen(bytes); i++)
        tg_pieces_add(&pieces, bytes + i, 1);
    assert_string_equal(c.text, wanted);
    assert_int_equal(c.calls, calls);
}

static void characters_come_whole(void **state)
{
    (void)state;
    assert_pieces("a\xc3\xa9z", "a\xc3\xa9z", 3);
    assert_pieces("\xe2\x82\xac\xf0\x9f\x90\xaf", "\xe2\x82\xac\xf0\x9f\x90\xaf", 2);
    assert_pieces("\xe2\x82", "", 0);                                            /* waits */
    assert_pieces("\xe2\x82q", "\xef\xbf\xbdq", 2);                              /* cut off */
    assert_pieces("\x80\xff", "\xef\xbf\xbd\xef\xbf\xbd", 2);                    /* begins nothing */
    assert_pieces("\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd", 2);                    /* overlong */
    assert_pieces("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 3);    /* surrogate */
    assert_pieces("\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 4);
    assert_pieces("\xf0\x9f\xc3\xa9", "\xef\xbf\xbd\xc3\xa9", 2);
}

/* ---- from a directory ---- */

static char directory[] = "/tmp/tiger_sample_XXXXXX", text_file[64];

static int make_directory(void **state)
{
    (void)state;
    tg_model_config config;
    tg_model *model;
    tg_tokenizer *tokenizer;
    if (mkdtemp(directory) == NULL || tg_model_config_default(&config, "gpt2") != TG_OK)
        return -1;
    config.layers = 1, config.width = 24, config.context = 12, config.vocab = 300; /* padded: bytes are 256 */
    if (tg_model_create(&model, &config, TG_F32) != TG_OK || tg_model_initialize(model, 5) != TG_OK ||
        tg_tokenizer_byte(&tokenizer) != TG_OK)
        return -1;
    float *table = tg_model_weight(model, 0)->data;
    for (size_t i = 256 * config.width; i < 300 * config.width; i++)
        table[i] *= 40; /* would be sampled mostly, if they could */
    const tg_status status = tg_model_save(model, directory);
    tg_model_destroy(model);
    if (status != TG_OK || tg_tokenizer_write(tokenizer, directory) != TG_OK)
        return -1;
    tg_tokenizer_destroy(tokenizer);
    snprintf(text_file, sizeof text_file, "%s/text", directory);
    FILE *file = fopen(text_file, "w");
    for (int i = 0; i < 331; i++)
        fputc('a' + i * i % 23, file);
    return fclose(file);
}

static int remove_directory(void **state)
{
    (void)state;
    return tg_directory_remove(directory) == TG_OK ? 0 : -1;
}

static void samples_are_a_function_of_the_seed(void **state)
{
    (void)state;
    static collected a, b, other;
    a.bytes = b.bytes = other.bytes = 0;
    tg_sample_config config = {
        .directory = directory, .prompt = "To be", .tokens = 100, .temperature = 0.9, .top_k = 40, .seed = 3};
    ok(tg_sample(&config, collect, &a));
    ok(tg_sample(&config, collect, &b));
    config.seed = 4;
    ok(tg_sample(&config, collect, &other));
    assert_string_equal(a.text, b.text);
    assert_string_not_equal(a.text, other.text);
    assert_memory_equal(a.text, "To be", 5);
    assert_true(a.bytes > 50);
}

static void samples_in_other_ways(void **state)
{
    (void)state;
    static collected a;
    const tg_precision precisions[] = {TG_PRECISION_FP32, TG_PRECISION_MIXED, TG_PRECISION_BF16,
                                       TG_PRECISION_FP16};
    for (size_t p = 0; p < sizeof precisions / sizeof *precisions; p++) {
        a.bytes = 0;
        const tg_sample_config config = {.directory = directory, .prompt = "", .tokens = 30, .precision = precisions[p]};
        ok(tg_sample(&config, collect, &a));
        assert_true(a.bytes > 0);
    }
    const tg_sample_config nothing = {.directory = directory, .prompt = "a prompt longer than the context of twelve"};
    a.bytes = 0;
    ok(tg_sample(&nothing, collect, &a));
    assert_string_equal(a.text, nothing.prompt);
    const tg_sample_config bad[] = {{.directory = directory, .temperature = -1},
                                    {.directory = directory, .temperature = NAN},
                                    {.directory = NULL},
                                    {.directory = "/nonexistent/tiger"}};
    for (size_t i = 0; i < 4; i++)
        assert_int_not_equal(tg_sample(&bad[i], collect, &a), TG_OK);
}

static void evaluation_counts_every_target_once(void **state)
{
    (void)state;
    tg_evaluation one = {0}, other = {0};
    ok(tg_evaluate(&one, &(tg_evaluate_config){.directory = directory, .data = text_file, .batch = 1, .precision = TG_PRECISION_FP32}));
    assert_int_equal(one.targets, 330);
    assert_true(one.loss > 3 && one.loss < 12);
    assert_true(fabs(one.bits_per_byte - one.loss / log(2.0)) < 1e-9);
    ok(tg_evaluate(&other, &(tg_evaluate_config){.directory = directory, .data = text_file, .batch = 5, .precision = TG_PRECISION_FP32}));
    assert_int_equal(other.targets, 330);
    assert_true(fabs(one.loss - other.loss) < 1e-6);
    ok(tg_evaluate(&other, &(tg_evaluate_config){.directory = directory, .data = text_file, .batch = 5, .precision = TG_PRECISION_BF16}));
    assert_true(fabs(one.loss - other.loss) < 0.02);
    ok(tg_evaluate(&other, &(tg_evaluate_config){.directory = directory, .data = text_file, .batch = 5, .precision = TG_PRECISION_FP16}));
    assert_true(fabs(one.loss - other.loss) < 0.0025);
    assert_int_equal(tg_evaluate(&other, &(tg_evaluate_config){.directory = directory, .data = text_file, .batch = 0, .precision = TG_PRECISION_FP32}), TG_EINVAL);
    assert_int_not_equal(tg_evaluate(&other, &(tg_evaluate_config){.directory = directory, .data = "/nonexistent/text", .batch = 1, .precision = TG_PRECISION_FP32}), TG_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_softmax),
        cmocka_unit_test(temperature_0_takes_the_first_of_the_best),
        cmocka_unit_test(bad_logits_are_told),
        cmocka_unit_test(characters_come_whole),
        cmocka_unit_test(samples_are_a_function_of_the_seed),
        cmocka_unit_test(samples_in_other_ways),
        cmocka_unit_test(evaluation_counts_every_target_once),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
