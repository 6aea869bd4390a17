/* optim_bits_test.c -- the same bits, for every rule and every switch: on 1, 2 and 7 threads, on every instruction set,
 * for every split of gradients into tiles, and from released as from buffered gradients. */
#include "optim_support.h"

static const tg_format formats[] = {TG_F32, TG_BF16, TG_F16};
static const char *const roundings[] = {"stochastic", "nearest", "kahan", "weyl"};
enum { ROUNDINGS = sizeof roundings / sizeof *roundings };

typedef struct setting {
    const char *rule;
    const work_option *options;
    tg_format format;
    tg_isa isa;
    work_way way;
    size_t micro;
    bool long_sides; /* factors of every side, however long: seconds */
} setting;

static uint64_t run(const setting *s)
{
    work w;
    tg_isa_force(s->isa);
    work_create(&w, s->rule, s->options);
    if (rule_has(s->rule, "max_dim") && !s->long_sides)
        must(tg_optim_set(w.o, TG_ALL_GROUPS, "max_dim", "129")); /* the bag has longer ones and shorter ones */
    work_add_bag(&w, s->format);
    work_start(&w);
    for (size_t u = 0; u < 3; u++)
        work_update(&w, u, s->micro, s->way);
    const uint64_t hash = work_hash(&w);
    work_destroy(&w);
    return hash;
}

static void expect(const setting *s, uint64_t want, const char *what)
{
    if (run(s) != want)
        fail_msg("%s%s, weights %s, %s: other bits", s->rule, options_text(s->options), tg_format_name(s->format), what);
}

/* options: room for three more behind `count`. */
static void check_threads(setting s, work_option *options, size_t count)
{
    const tg_isa best = s.isa;
    options[count] = (work_option){"threads", "1"};
    const uint64_t want = run(&s);
    for (int isa = 0; isa < TG_ISA_COUNT; isa++)
        if (tg_isa_usable((tg_isa)isa) && (tg_isa)isa != best) {
            s.isa = (tg_isa)isa;
            expect(&s, want, tg_isa_name((tg_isa)isa));
        }
    s.isa = best;
    options[count] = (work_option){"threads", "2"};
    expect(&s, want, "2 threads");
    options[count] = (work_option){"threads", "7"};
    expect(&s, want, "7 threads");
    options[count] = (work_option){0};
}

static void check_arrays(const char *rule, work_option *options, size_t count)
{
    setting s = {.rule = rule, .options = options, .isa = tg_isa_chosen(), .way = WORK_ARRAYS, .micro = 1};
    for (size_t f = 0; f < 3; f++)
        for (size_t r = 0; r < (formats[f] == TG_F32 ? 1 : ROUNDINGS); r++) {
            options[count] = (work_option){"rounding", roundings[r]};
            s.format = formats[f];
            check_threads(s, options, count + 1);
        }
    options[count] = (work_option){0};
}

static bool folds(const char *rule, const work_option *options)
{
    tg_optim *o;
    float x = 2.385f;
    must(tg_optim_create(&o, rule, NULL));
    for (; options->name != NULL; options++)
        must(tg_optim_set(o, TG_ALL_GROUPS, options->name, options->value));
    must(tg_optim_add(o, &(tg_param){.name = "x", .data = &x, .rows = 1, .cols = 1}, NULL));
    must(tg_optim_start(o));
    const bool result = tg_optim_gradient_place(o) == TG_FOLDED;
    tg_optim_destroy(o);
    return result;
}

/* Rows that catch up: with their next tile by one factor, before an array step by another and the rule's own. */
static bool catches_up(const char *rule, const work_option *options)
{
    bool lazy = rule_has(rule, "embedding_update");
    for (; options->name != NULL; options++)
        lazy = lazy && strcmp(options->value, "dense") != 0;
    return lazy;
}

/* In each place: threads and instruction sets on three micro-steps of panels, then the splits on one micro-step. */
static void check_place(const char *rule, work_option *options, size_t count, const char *place, tg_format format)
{
    setting s = {.rule = rule, .options = options, .format = format, .isa = tg_isa_chosen(), .way = WORK_PANELS};
    s.micro = strcmp(place, "released") == 0 ? 1 : 3;
    options[count] = (work_option){"gradients", place};
    check_threads(s, options, count + 1);
    s.micro = 1;
    s.way = WORK_TILE;
    const uint64_t want = run(&s);
    s.way = WORK_ROWS;
    expect(&s, want, "tiles of one row");
    s.way = WORK_PANELS;
    expect(&s, want, "tiles of three rows");
    if (s.format == TG_F32 && !(strcmp(place, "folded") == 0 && catches_up(rule, options))) { /* of stored gradients or momenta */
        s.way = WORK_ARRAYS;
        expect(&s, want, "arrays");
    }
    options[count] = (work_option){0};
}

static void check_tiles(const char *rule, work_option *options, size_t count)
{
    for (size_t f = 0; f < 2; f++) {
        check_place(rule, options, count, "buffered", formats[f]);
        check_place(rule, options, count, "released", formats[f]);
        if (folds(rule, options))
            check_place(rule, options, count, "folded", formats[f]);
    }
}

/* A tensor whose gradient is stepped at once ends up as one whose gradient waits, in every format. */
static void check_released(const char *rule, work_option *options, size_t count)
{
    static const char *const gradient_formats[] = {"fp32", "bf16", "fp16"};
    if (tg_rule_find(rule)->layers) /* they wait for each other: optim_kfac_test sees it refused */
        return;
    for (size_t f = 0; f < 3; f++)
        for (size_t g = 0; g < 3; g++) {
            setting s = {rule, options, formats[f], tg_isa_chosen(), WORK_PANELS, 1, false};
            options[count] = (work_option){"gradient_format", gradient_formats[g]};
            options[count + 1] = (work_option){"gradients", "buffered"};
            const uint64_t want = run(&s);
            options[count + 1] = (work_option){"gradients", "released"};
            expect(&s, want, "released against buffered");
        }
    options[count] = options[count + 1] = (work_option){0};
}

/* Two updates from gradient arrays in the weights' format, scaled or not. */
static uint64_t run_scaled(const char *rule, const work_option *options, tg_format format, float scale)
{
    static float g[3][1230];
    work w;
    tg_grad grads[3];
    work_create(&w, rule, options);
    must(tg_optim_set(w.o, TG_ALL_GROUPS, "threads", "1")); /* which measures rows and columns in one walk */
    work_add(&w, 3, 410, TG_MATRIX, 77, format); /* blocks of even lengths are worked in storage, in bf16 */
    work_add(&w, 1, 1031, TG_BIAS, 78, format);
    work_add(&w, 5, 13, TG_EMBEDDING, 79, format);
    work_start(&w);
    for (size_t u = 0; u < 2; u++) {
        work_fill(&w, u);
        for (size_t k = 0; k < w.count; k++) {
            for (size_t i = 0; i < w.t[k].n; i++)
                w.t[k].g[i] *= scale;
            tg_kernels_get()->narrow(g[k], w.t[k].g, format, w.t[k].n);
            grads[k] = (tg_grad){.data = g[k], .format = format, .scale = scale};
        }
        must(tg_optim_step(w.o, grads));
    }
    const uint64_t hash = work_hash(&w);
    work_destroy(&w);
    return hash;
}

/* A block worked in registers ends up as one that passes through arrays, which a bound that nothing reaches asks for.
 * options: room for two more behind `count`. */
static void check_way(const char *rule, work_option *options, size_t count, tg_format format, float scale)
{
    options[count] = (work_option){0};
    const uint64_t want = run_scaled(rule, options, format, scale);
    options[count] = (work_option){"clip_value", "1e30"};
    if (run_scaled(rule, options, format, scale) != want)
        fail_msg("%s%s, %s, scale %g, %s: other bits", rule, options_text(options), tg_format_name(format), (double)scale,
                 tg_isa_name(tg_isa_chosen()));
    options[count] = (work_option){0};
}

/* In bf16 also without a scale, where the loop leaves out factors of 1, and with draws that turn, where it may not. */
static void check_ways(const char *rule, work_option *options, size_t count)
{
    const tg_isa best = tg_isa_chosen();
    for (int isa = 0; isa < TG_ISA_COUNT; isa++) {
        if (!tg_isa_usable((tg_isa)isa))
            continue;
        tg_isa_force((tg_isa)isa);
        for (size_t f = 0; f < 2; f++)
            check_way(rule, options, count, formats[f], 2.385f);
        check_way(rule, options, count, TG_BF16, 1);
        options[count] = (work_option){"rounding", "weyl"};
        check_way(rule, options, count + 1, TG_BF16, 1);
        options[count] = (work_option){0};
    }
    tg_isa_force(best);
}

static void test_arrays(void **state) { (void)state, for_each_variant(check_arrays); }
static void test_ways(void **state) { (void)state, for_each_variant(check_ways); }
static void test_tiles(void **state) { (void)state, for_each_variant(check_tiles); }
static void test_released(void **state) { (void)state, for_each_variant(check_released); }

static void test_long_sides(void **state)
{
    (void)state;
    for (size_t r = 0; r < tg_rule_count(); r++) {
        work_option options[WORK_OPTIONS] = {{"weight_decay", "0.113"}, {"lr", "0.0071"}};
        setting s = {.rule = tg_rule_at(r)->name, .options = options, .isa = tg_isa_chosen(), .way = WORK_ARRAYS, .micro = 1};
        s.long_sides = true;
        if (rule_wanted(s.rule) && rule_has(s.rule, "max_dim"))
            check_threads(s, options, 2);
    }
}

/* Two optimizers that differ in the seed alone differ; so do two tensors with the same values, and two updates. */
static void test_seed(void **state)
{
    (void)state;
    work_option options[] = {{"seed", "1"}, {"lr", "0.01"}, {NULL, NULL}};
    setting s = {"adamw", options, TG_BF16, tg_isa_chosen(), WORK_ARRAYS, 1, false};
    const uint64_t one = run(&s);
    assert_true(run(&s) == one);
    options[0].value = "2";
    assert_true(run(&s) != one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_arrays), cmocka_unit_test(test_ways), cmocka_unit_test(test_tiles),
                                       cmocka_unit_test(test_released), cmocka_unit_test(test_long_sides),
                                       cmocka_unit_test(test_seed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
