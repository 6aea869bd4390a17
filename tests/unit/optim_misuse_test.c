/* optim_misuse_test.c -- bad options, bad tensors and calls out of order: a clear error, and nothing has changed. */
#include "optim_support.h"

static void expect_message(const char *word, const char *what)
{
    if (strstr(tg_message(), word) == NULL)
        fail_msg("%s: the message '%s' does not mention '%s'", what, tg_message(), word);
}

static void refuse_number(tg_optim *o, const tg_option *option, double value)
{
    double before, after;
    must(tg_optim_get(o, TG_ALL_GROUPS, option->name, &before));
    if (tg_optim_set_number(o, TG_ALL_GROUPS, option->name, value) != TG_EINVAL)
        fail_msg("%s = %g was taken", option->name, value);
    expect_message(option->name, "a bad value");
    must(tg_optim_get(o, TG_ALL_GROUPS, option->name, &after));
    assert_true(before == after);
}

static void refuse_text(tg_optim *o, const tg_option *option, const char *text)
{
    double before, after;
    must(tg_optim_get(o, TG_ALL_GROUPS, option->name, &before));
    if (tg_optim_set(o, TG_ALL_GROUPS, option->name, text) != TG_EINVAL)
        fail_msg("%s = '%s' was taken", option->name, text);
    expect_message(option->name, "a bad text");
    must(tg_optim_get(o, TG_ALL_GROUPS, option->name, &after));
    assert_true(before == after);
}

static void check_option(tg_optim *o, const tg_option *option)
{
    static const char *const texts[] = {"", "abc", "1e-3x", "--1", "nan", "1 2", "0x", "rms|dim"};
    char text[64];
    assert_true(option->help != NULL && option->help[0] != '\0');
    must(tg_option_check(option, option->value)); /* the default is legal */
    refuse_number(o, option, (double)NAN);
    refuse_number(o, option, option->above ? option->least : nextafter(option->least, -INFINITY));
    refuse_number(o, option, -INFINITY);
    if (isfinite(option->most))
        refuse_number(o, option, nextafter(option->most, INFINITY));
    if (option->kind != TG_REAL)
        refuse_number(o, option, option->least + 0.385);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        refuse_text(o, option, texts[i]);
    if (option->kind == TG_CHOICE) {
        snprintf(text, sizeof text, "%.40s2", "none");
        refuse_text(o, option, text);
    }
    tg_option_print(text, sizeof text, option, option->value); /* what is printed reads back */
    must(tg_optim_set(o, TG_ALL_GROUPS, option->name, text));
    double value;
    must(tg_optim_get(o, TG_ALL_GROUPS, option->name, &value));
    assert_true(value == option->value);
}

static void test_options(void **state)
{
    (void)state;
    for (size_t r = 0; r < tg_rule_count(); r++) {
        const tg_rule_info *info = tg_rule_at(r);
        tg_optim *o;
        double value = 2.385;
        must(tg_optim_create(&o, info->name, NULL));
        for (size_t i = 0; i < info->options.count; i++) {
            check_option(o, &info->options.at[i]);
            assert_true(tg_option_find(tg_optim_common_options(), info->options.at[i].name) ==
                        tg_optim_common_options()->count); /* no name means two things */
        }
        for (size_t i = 0; i < tg_optim_common_options()->count; i++)
            check_option(o, &tg_optim_common_options()->at[i]);
        assert_int_equal(tg_optim_set(o, TG_ALL_GROUPS, "learning_rat", "1"), TG_ENOTFOUND);
        expect_message("learning_rat", info->name);
        assert_int_equal(tg_optim_get(o, 0, "learning_rat", &value), TG_ENOTFOUND);
        assert_int_equal(tg_optim_set(o, 1, "lr", "1"), TG_EINVAL);
        assert_int_equal(tg_optim_set(o, -2, "lr", "1"), TG_EINVAL);
        assert_int_equal(tg_optim_get(o, 1, "lr", &value), TG_EINVAL);
        assert_true(value == 2.385);
        assert_int_equal(tg_optim_set(o, 0, "seed", "1"), TG_EINVAL);
        assert_int_equal(tg_optim_scale(o, "lr", (double)NAN), TG_EINVAL);
        assert_int_equal(tg_optim_scale(o, "lr", -1), TG_EINVAL);
        assert_int_equal(tg_optim_scale(o, "nothing", 1), TG_ENOTFOUND);
        tg_optim_destroy(o);
    }
}

static void test_descriptions(void **state)
{
    (void)state;
    for (size_t r = 0; r < tg_rule_count(); r++) {
        const tg_rule_info *info = tg_rule_at(r);
        assert_ptr_equal(tg_rule_find(info->name), info);
        assert_true(info->title != NULL && info->source != NULL && info->equations != NULL && info->when_to_use != NULL);
        assert_true(rule_has(info->name, "lr") && rule_has(info->name, "weight_decay"));
        for (size_t s = 0; s < info->slot_count; s++)
            assert_true(info->slots[s].when == NULL || rule_has(info->name, info->slots[s].when));
        for (size_t q = 0; q < r; q++)
            assert_string_not_equal(tg_rule_at(q)->name, info->name);
    }
    assert_null(tg_rule_at(tg_rule_count()));
    assert_null(tg_rule_find("adamx"));
    tg_optim *o = (tg_optim *)&o;
    assert_int_equal(tg_optim_create(&o, "adamx", NULL), TG_ENOTFOUND);
    assert_ptr_equal(o, &o);
    expect_message("adamx", "create");
    tg_optim_destroy(NULL);
}

static void test_params(void **state)
{
    (void)state;
    tg_optim *o;
    float x[8] = {0};
    size_t index = 77;
    const tg_param good = {.name = "w", .data = x, .rows = 2, .cols = 3};
    tg_param p[10];
    for (size_t i = 0; i < 10; i++)
        p[i] = good;
    p[0].name = NULL;
    p[1].name = "";
    p[2].data = NULL;
    p[3].format = TG_F64;
    p[4].format = (tg_format)99;
    p[5].role = TG_ROLE_COUNT;
    p[6].group = 1;
    p[7].group = -1;
    p[8].rows = SIZE_MAX / 2;
    p[9].data = (char *)x + 1;
    must(tg_optim_create(&o, "tiger", NULL));
    for (size_t i = 0; i < 10; i++) {
        if (tg_optim_add(o, &p[i], &index) != TG_EINVAL)
            fail_msg("bad tensor %zu was taken", i);
        assert_int_equal(index, 77);
        assert_int_equal(tg_optim_param_count(o), 0);
    }
    must(tg_optim_add(o, &good, &index));
    assert_int_equal(index, 0);
    must(tg_optim_add(o, &good, &index));
    assert_int_equal(tg_optim_start(o), TG_EINVAL); /* two of a name */
    expect_message("'w'", "start");
    assert_null(tg_optim_param(o, 2));
    tg_optim_destroy(o);
}

static void begin_with(work *w, const char *gradients)
{
    work_create(w, "tiger", (work_option[]){{"gradients", gradients}, {NULL, NULL}});
    work_add(w, 5, 3, TG_MATRIX, 4, TG_F32);
    work_add(w, 4, 2, TG_EMBEDDING, 5, TG_F32);
}

/* Every call in a state that does not allow it. */
static void test_order(void **state)
{
    (void)state;
    work w;
    float tile[15] = {0};
    tg_grad grads[2] = {{.data = tile, .format = TG_F32}, {0}};
    begin_with(&w, "auto");
    assert_int_equal(tg_optim_step(w.o, grads), TG_ESTATE);
    assert_int_equal(tg_optim_begin(w.o, 1), TG_ESTATE);
    assert_int_equal(tg_optim_save(w.o, "/nowhere"), TG_ESTATE);
    assert_int_equal(tg_optim_refresh(w.o), TG_ESTATE);
    work_start(&w);
    const uint64_t before = work_hash(&w), weights = hash_bytes(1, w.t[0].data, 60);
    int group = 9;
    assert_int_equal(tg_optim_start(w.o), TG_ESTATE);
    assert_int_equal(tg_optim_add(w.o, tg_optim_param(w.o, 0), NULL), TG_ESTATE);
    assert_int_equal(tg_optim_add_group(w.o, &group), TG_ESTATE);
    assert_int_equal(group, 9);
    assert_int_equal(tg_optim_set(w.o, TG_ALL_GROUPS, "rounding", "nearest"), TG_ESTATE);
    assert_int_equal(tg_optim_accumulate(w.o, 0, 0, 1, tile), TG_ESTATE);
    assert_int_equal(tg_optim_reject(w.o, 0), TG_ESTATE);
    assert_int_equal(tg_optim_reject(w.o, TG_ALL_PARAMS), TG_ESTATE);
    assert_int_equal(tg_optim_complete(w.o, 0), TG_ESTATE);
    assert_int_equal(tg_optim_micro_end(w.o), TG_ESTATE);
    assert_int_equal(tg_optim_end(w.o), TG_ESTATE);
    assert_int_equal(tg_optim_begin(w.o, 0), TG_EINVAL);
    must(tg_optim_begin(w.o, 2));
    assert_int_equal(tg_optim_begin(w.o, 1), TG_ESTATE);
    assert_int_equal(tg_optim_step(w.o, grads), TG_ESTATE);
    assert_int_equal(tg_optim_load(w.o, "/nowhere"), TG_ESTATE);
    assert_int_equal(tg_optim_end(w.o), TG_ESTATE);
    assert_int_equal(tg_optim_accumulate(w.o, 2, 0, 1, tile), TG_EINVAL);
    assert_int_equal(tg_optim_accumulate(w.o, 0, 5, 1, tile), TG_EINVAL);
    assert_int_equal(tg_optim_accumulate(w.o, 0, 3, SIZE_MAX, tile), TG_EINVAL);
    assert_int_equal(tg_optim_accumulate_rows(w.o, 1, (uint32_t[]){1, 1}, 2, tile), TG_EINVAL);
    assert_int_equal(tg_optim_accumulate_rows(w.o, 1, (uint32_t[]){2, 1}, 2, tile), TG_EINVAL);
    assert_int_equal(tg_optim_accumulate_rows(w.o, 1, (uint32_t[]){4}, 1, tile), TG_EINVAL);
    assert_true(work_hash(&w) == before);
    must(tg_optim_micro_end(w.o));
    must(tg_optim_micro_end(w.o));
    assert_int_equal(tg_optim_micro_end(w.o), TG_ESTATE);
    assert_int_equal(tg_optim_accumulate(w.o, 0, 0, 1, tile), TG_ESTATE);
    must(tg_optim_end(w.o)); /* a window without any gradient */
    assert_int_equal(tg_optim_updates(w.o), 1);
    assert_true(hash_bytes(1, w.t[0].data, 60) == weights); /* the refused rejections left nothing behind */
    work_destroy(&w);
}

static void test_released_order(void **state)
{
    (void)state;
    work w;
    float tile[15] = {1};
    begin_with(&w, "released");
    work_start(&w);
    assert_int_equal(tg_optim_begin(w.o, 2), TG_EINVAL);
    must(tg_optim_begin(w.o, 1));
    must(tg_optim_accumulate(w.o, 0, 0, 5, tile));
    assert_int_equal(tg_optim_accumulate(w.o, 1, 0, 4, tile), TG_ESTATE); /* one tensor's gradient at a time */
    must(tg_optim_complete(w.o, 0));
    assert_int_equal(tg_optim_accumulate(w.o, 0, 0, 5, tile), TG_ESTATE); /* it has been updated */
    must(tg_optim_accumulate(w.o, 1, 0, 4, tile));
    must(tg_optim_micro_end(w.o));
    must(tg_optim_end(w.o));
    work_destroy(&w);
}

/* A window that is given up leaves no trace of what was buffered, in its random numbers neither. */
static void test_abandoned_buffers(void **state)
{
    (void)state;
    work plain, w;
    const work_option options[] = {{"gradients", "buffered"}, {"gradient_format", "bf16"}, {"clip_norm", "0.7"}, {0}};
    work_create(&plain, "adamw", options);
    work_create(&w, "adamw", options);
    work_add_bag(&plain, TG_BF16);
    work_add_bag(&w, TG_BF16);
    work_start(&plain);
    work_start(&w);
    tg_optim_abandon(w.o); /* none is open */
    for (size_t update = 0; update < 3; update++) {
        must(tg_optim_begin(w.o, 2));
        work_fill(&w, 17 + update);
        work_micro(&w, 17 + update, WORK_PANELS);
        for (size_t k = 3; k < 6; k++)
            work_tiles(&w, k, WORK_ROWS);
        w.t[6].g[0] = NAN;
        work_tiles(&w, 6, WORK_TILE);
        tg_optim_abandon(w.o);
        assert_int_equal(tg_optim_updates(w.o), update);
        work_update(&w, update, 2, WORK_TILE);
        work_update(&plain, update, 2, WORK_TILE);
        assert_true(work_hash(&w) == work_hash(&plain));
    }
    work_destroy(&plain);
    work_destroy(&w);
}

static void test_abandoned_places(void **state)
{
    (void)state;
    work w;
    float tile[15] = {0.31f};
    begin_with(&w, "released");
    work_start(&w);
    must(tg_optim_begin(w.o, 1));
    must(tg_optim_accumulate(w.o, 0, 0, 2, tile));
    tg_optim_abandon(w.o); /* before the first tensor is done */
    assert_int_equal(tg_optim_updates(w.o), 0);
    must(tg_optim_begin(w.o, 1));
    must(tg_optim_accumulate(w.o, 1, 0, 4, tile));
    must(tg_optim_complete(w.o, 1));
    must(tg_optim_accumulate(w.o, 0, 0, 2, tile));
    const uint64_t first = hash_bytes(1, w.t[0].data, 60);
    tg_optim_abandon(w.o);
    assert_int_equal(tg_optim_updates(w.o), 1);
    assert_true(hash_bytes(1, w.t[0].data, 60) == first); /* half a gradient is none */
    work_update(&w, 1, 1, WORK_TILE);
    assert_int_equal(tg_optim_updates(w.o), 2);
    work_destroy(&w);

    begin_with(&w, "folded");
    work_start(&w);
    const uint64_t before = work_hash(&w), weights = hash_bytes(1, w.t[0].data, 60);
    must(tg_optim_begin(w.o, 1));
    must(tg_optim_accumulate(w.o, 0, 0, 2, tile));
    tg_optim_abandon(w.o);
    assert_true(work_hash(&w) != before && hash_bytes(1, w.t[0].data, 60) == weights);
    assert_int_equal(tg_optim_updates(w.o), 0);
    work_update(&w, 0, 1, WORK_TILE);
    work_destroy(&w);
}

/* Options that contradict each other; the message names the way out. */
static void test_contradictions(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        work_option options[4];
        const char *word;
    } cases[] = {
        {"tiger", {{"gradients", "folded"}, {"clip_norm", "1"}}, "gradients=buffered"},
        {"tiger", {{"gradients", "folded"}, {"clip_value", "1"}}, "gradients=buffered"},
        {"tiger", {{"gradients", "folded"}, {"clip_adaptive", "1"}}, "gradients=buffered"},
        {"adam", {{"clip_norm", "1"}, {"clip_adaptive", "1"}}, "leave one of them out"},
        {"adamw", {{"gradients", "folded"}}, "gradients=buffered"},
        {"lion", {{"gradients", "folded"}}, "gradients=buffered"},
        {"adam", {{"gradients", "released"}, {"clip_norm", "1"}}, "gradients=buffered"},
        {"sgd", {{"gradients", "folded"}, {"momentum", "0.9"}, {"weight_decay", "0.1"}}, "decay=decoupled"},
        {"sgd", {{"gradients", "folded"}}, "gradients=buffered"},
        {"sgd", {{"nesterov", "1"}}, "momentum"},
        {"sgd", {{"nesterov", "1"}, {"momentum", "0.9"}, {"dampening", "0.1"}}, "dampening"},
        {"adagrad", {{"gradients", "folded"}}, "gradients=buffered"},
        {"rprop", {{"step_size_min", "0.1"}, {"step_size_max", "0.01"}}, "step_size_min"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tg_optim *o;
        float x = 1;
        must(tg_optim_create(&o, cases[i].rule, NULL));
        must(tg_optim_add(o, &(tg_param){.name = "x", .data = &x, .rows = 1, .cols = 1}, NULL));
        for (const work_option *q = cases[i].options; q->name != NULL; q++)
            must(tg_optim_set(o, TG_ALL_GROUPS, q->name, q->value));
        assert_int_equal(tg_optim_start(o), TG_EINVAL);
        expect_message(cases[i].word, cases[i].rule);
        tg_optim_destroy(o);
    }
}

static void test_grads(void **state)
{
    (void)state;
    work w;
    begin_with(&w, "auto");
    work_start(&w);
    work_fill(&w, 0);
    const uint64_t before = work_hash(&w);
    const tg_grad good = {.data = w.t[0].g, .format = TG_F32};
    tg_grad grads[5][2] = {{good, {0}}, {good, {0}}, {good, {0}}, {good, {0}}, {good, {0}}};
    grads[0][0].format = TG_F64;
    grads[1][0].scale = NAN;
    grads[2][0].scale = -1.0f;
    grads[3][0].scale = INFINITY;
    grads[4][0].data = w.t[0].data;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(tg_optim_step(w.o, grads[i]), TG_EINVAL);
        expect_message("t0", "a bad gradient");
        assert_true(work_hash(&w) == before && tg_optim_updates(w.o) == 0);
    }
    work_destroy(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_options), cmocka_unit_test(test_descriptions),
                                       cmocka_unit_test(test_params),  cmocka_unit_test(test_order),
                                       cmocka_unit_test(test_released_order), cmocka_unit_test(test_contradictions),
                                       cmocka_unit_test(test_grads), cmocka_unit_test(test_abandoned_buffers),
                                       cmocka_unit_test(test_abandoned_places)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
