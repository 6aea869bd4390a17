/* What a run to resume must have in common with what its caller says again. */
#include <stdio.h>

#include "home_support.h"
#include "tiger/engine/train.h"

static tg_train_config tiny(const char *out)
{
    static const char *const size[][2] = {
        {"layers", "1"}, {"heads", "1"}, {"width", "6"}, {"hidden", "7"}, {"context", "5"}};
    tg_train_config config;
    tg_train_config_default(&config);
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        ok(tg_model_config_set(&config.model, size[i][0], size[i][1]));
    config.data = "text";
    config.out = out;
    config.peak_flops = -1;
    config.option[TG_TRAIN_UPDATES] = 2;
    return config;
}

static tg_status run(const tg_train_config *config)
{
    tg_train_result result;
    return tg_train_run(&result, config, NULL);
}

static int begin(void **state)
{
    if (enter(state) != 0)
        return -1;
    FILE *text = fopen("text", "w");
    for (int i = 0; i < 400; i++)
        fputc("abcd\n"[i * i % 31 % 5], text);
    fclose(text);
    const tg_train_config config = tiny("run");
    ok(run(&config));
    return 0;
}

/* A run that goes on, with nothing but its place. */
static tg_train_config resumed(void)
{
    tg_train_config config;
    tg_train_config_default(&config);
    config.out = "run";
    config.resume = true;
    config.peak_flops = -1;
    return config;
}

static void test_defaults_are_not_said(void **state)
{
    (void)state;
    const tg_train_config config = resumed(); /* whose model is gpt2's default */
    ok(run(&config));
}

static void test_the_same_may_be_said(void **state)
{
    (void)state;
    tg_train_config config = tiny("run");
    config.resume = config.given_model = true;
    config.tokenizer = "run"; /* its own */
    config.vocab = 5;
    ok(run(&config));
}

static void test_another_model_is_refused(void **state)
{
    (void)state;
    tg_train_config config = tiny("run");
    config.resume = config.given_model = true;
    ok(tg_model_config_set(&config.model, "width", "8"));
    refused(run(&config), TG_EINVAL, "has width 6, not 8");
    config = tiny("run");
    config.resume = config.given_model = true;
    config.model.hidden = 0; /* four times the width */
    refused(run(&config), TG_EINVAL, "has hidden 7, not 24");
    ok(tg_model_config_default(&config.model, "llama"));
    refused(run(&config), TG_EINVAL, "has model gpt2, not llama");
    config = resumed();
    config.vocab = 9;
    refused(run(&config), TG_EINVAL, "has vocab 5, not 9");
}

static void test_another_beginning_is_refused(void **state)
{
    (void)state;
    tg_train_config config = resumed();
    config.init = "m";
    refused(run(&config), TG_EINVAL, "has init none, not m");
    config = resumed();
    config.tokenizer = "byte";
    refused(run(&config), TG_EINVAL, "has tokenizer char of 5 tokens, not byte");
    config.tokenizer = "nowhere/";
    refused(run(&config), TG_EINVAL, "has tokenizer char of 5 tokens, not nowhere/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_not_said),
        cmocka_unit_test(test_the_same_may_be_said),
        cmocka_unit_test(test_another_model_is_refused),
        cmocka_unit_test(test_another_beginning_is_refused),
    };
    return cmocka_run_group_tests_name("engine_resume", tests, begin, leave);
}
