/* optim_resume_test.c -- stop, save, load, go on: the same bits as without a stop, for every rule, switch, format,
 * rounding and place of gradients; and files that do not fit are refused without a trace. */
#include "optim_support.h"

#include <unistd.h>

static char path[200];

static int make_path(void **state)
{
    (void)state;
    const char *directory = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/tiger-resume-%ld.safetensors", directory == NULL ? "/tmp" : directory,
             (long)getpid());
    return 0;
}

static int remove_path(void **state)
{
    (void)state;
    remove(path);
    return 0;
}

static void add_small_bag(work *w, tg_format format)
{
    static const size_t shape[][2] = {{3, 5}, {33, 17}, {1, 65}, {1, 9}, {2, 5000}, {64, 11}};
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++)
        work_add(w, shape[i][0], shape[i][1], (tg_role)(i % TG_ROLE_COUNT), (uint32_t)(40 + i), format);
}

static void create(work *w, const char *rule, const work_option *options, tg_format format)
{
    work_create(w, rule, options);
    must(tg_optim_set(w->o, TG_ALL_GROUPS, "threads", "1"));
    add_small_bag(w, format);
}

static void take_weights(work *to, const work *from)
{
    for (size_t k = 0; k < to->count; k++)
        memcpy(to->t[k].data, from->t[k].data, to->t[k].n * tg_format_bytes(to->t[k].format));
}

static void check_resume(const char *rule, const work_option *options, tg_format format, work_way way, size_t micro)
{
    work whole, rest;
    create(&whole, rule, options, format);
    work_start(&whole);
    for (size_t u = 0; u < 5; u++)
        work_update(&whole, u, micro, way);
    must(tg_optim_save(whole.o, path));
    create(&rest, rule, options, format);
    take_weights(&rest, &whole);
    work_start(&rest);
    must(tg_optim_load(rest.o, path));
    assert_int_equal(tg_optim_updates(rest.o), 5);
    assert_true(work_hash(&rest) == work_hash(&whole));
    for (size_t u = 5; u < 9; u++) {
        work_update(&whole, u, micro, way);
        work_update(&rest, u, micro, way);
    }
    if (work_hash(&rest) != work_hash(&whole))
        fail_msg("%s%s, weights %s, way %d: other bits after a stop", rule, options_text(options),
                 tg_format_name(format), (int)way);
    work_destroy(&whole);
    work_destroy(&rest);
}

static void check_variant(const char *rule, work_option *options, size_t count)
{
    static const tg_format formats[] = {TG_F32, TG_BF16, TG_F16};
    static const char *const roundings[] = {"stochastic", "nearest", "kahan", "weyl"};
    static const char *const states[] = {"auto", "fp32", "bf16"};
    for (size_t f = 0; f < 3; f++)
        for (size_t r = 0; r < sizeof roundings / sizeof *roundings; r++)
            for (size_t s = 0; s < (rule_is_coded(rule) ? 1 : 3); s++) {
                options[count] = (work_option){"rounding", roundings[r]};
                options[count + 1] = (work_option){"state_format", states[s]};
                check_resume(rule, options, formats[f], WORK_ARRAYS, 1);
            }
    options[count + 1] = (work_option){"gradients", "buffered"};
    check_resume(rule, options, TG_BF16, WORK_PANELS, 3);
    options[count + 1] = (work_option){"gradients", "released"};
    check_resume(rule, options, TG_BF16, WORK_PANELS, 1);
    options[count] = options[count + 1] = (work_option){0};
}

static void test_resume(void **state) { (void)state, for_each_variant(check_variant); }

/* What a caller does who keeps the states himself: they are written where they lie, and the count of updates is set. */
static void check_written(tg_format format)
{
    work whole, rest;
    const work_option none[] = {{0}};
    create(&whole, "tiger", none, format);
    work_start(&whole);
    for (size_t u = 0; u < 5; u++)
        work_update(&whole, u, 1, WORK_ARRAYS);
    create(&rest, "tiger", none, format);
    assert_int_equal(tg_optim_set_updates(rest.o, 5), TG_ESTATE);
    take_weights(&rest, &whole);
    work_start(&rest);
    for (size_t i = 0; i < tg_optim_state_count(whole.o); i++)
        memcpy((void *)tg_optim_state(rest.o, i)->data, tg_optim_state(whole.o, i)->data,
               tg_optim_state(whole.o, i)->bytes);
    must(tg_optim_set_updates(rest.o, 5));
    must(tg_optim_refresh(rest.o));
    assert_int_equal(tg_optim_updates(rest.o), 5);
    for (size_t u = 5; u < 9; u++) {
        work_update(&whole, u, 1, WORK_ARRAYS);
        work_update(&rest, u, 1, WORK_ARRAYS);
    }
    assert_true(work_hash(&rest) == work_hash(&whole));
    must(tg_optim_begin(rest.o, 1));
    assert_int_equal(tg_optim_set_updates(rest.o, 9), TG_ESTATE);
    work_destroy(&whole);
    work_destroy(&rest);
}

static void test_written(void **state)
{
    (void)state;
    check_written(TG_F32);
    check_written(TG_BF16);
    check_written(TG_F16);
}

static void test_resume_folded(void **state)
{
    (void)state;
    static const char *const rules[] = {"tiger", "signum", "sgd"};
    for (size_t r = 0; r < 3; r++)
        for (int f = TG_F32; f <= TG_F16; f++) {
            work_option options[] = {{"gradients", "folded"}, {NULL, NULL}, {NULL, NULL}};
            if (strcmp(rules[r], "sgd") == 0)
                options[1] = (work_option){"momentum", "0.9"};
            check_resume(rules[r], options, (tg_format)f, WORK_PANELS, 3);
        }
}

/* ---- files that do not fit ---- */

static void refuse(work *w, tg_status want, const char *word)
{
    const uint64_t before = work_hash(w), updates = tg_optim_updates(w->o);
    assert_int_equal(tg_optim_load(w->o, path), want);
    if (strstr(tg_message(), word) == NULL)
        fail_msg("'%s' does not mention '%s'", tg_message(), word);
    assert_true(work_hash(w) == before && tg_optim_updates(w->o) == updates);
    work_update(w, 1, 1, WORK_ARRAYS); /* still usable */
    work_destroy(w);
}

static void save_one(const char *rule, const work_option *options)
{
    work w;
    create(&w, rule, options, TG_BF16);
    work_start(&w);
    work_update(&w, 0, 1, WORK_ARRAYS);
    must(tg_optim_save(w.o, path));
    work_destroy(&w);
}

static void other(work *w, const char *rule, const work_option *options, tg_format format)
{
    create(w, rule, options, format);
    work_start(w);
    work_update(w, 0, 1, WORK_ARRAYS);
}

static void test_refused(void **state)
{
    (void)state;
    work w;
    save_one("adamw", NULL);
    other(&w, "lion", NULL, TG_BF16);
    refuse(&w, TG_EFORMAT, "adamw");
    other(&w, "adamw", (work_option[]){{"state_format", "fp32"}, {NULL, NULL}}, TG_BF16);
    refuse(&w, TG_EFORMAT, "exp_avg");
    other(&w, "adamw", (work_option[]){{"amsgrad", "1"}, {NULL, NULL}}, TG_BF16);
    refuse(&w, TG_EFORMAT, "there is no state 't0/max_exp_avg_sq'");
    create(&w, "adamw", NULL, TG_BF16);
    w.t[1].rows = 17, w.t[1].cols = 33; /* the same number of values in another shape */
    work_start(&w);
    work_update(&w, 0, 1, WORK_ARRAYS);
    refuse(&w, TG_EFORMAT, "t1/exp_avg is (17, 33) here, (33, 17) in the file");
    create(&w, "adamw", NULL, TG_BF16);
    strcpy(w.t[4].name, "named");
    work_start(&w);
    work_update(&w, 0, 1, WORK_ARRAYS);
    refuse(&w, TG_EFORMAT, "named/exp_avg");
    save_one("adamw", (work_option[]){{"amsgrad", "1"}, {NULL, NULL}});
    other(&w, "adamw", NULL, TG_BF16);
    refuse(&w, TG_EFORMAT, "max_exp_avg_sq' has no place here");
    remove(path);
    other(&w, "adamw", NULL, TG_BF16);
    refuse(&w, TG_ENOTFOUND, "tiger-resume");
}

/* A file that ends anywhere before its end. */
static void test_truncated(void **state)
{
    (void)state;
    static char bytes[1 << 20];
    save_one("tiger", NULL);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    const size_t size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    assert_true(size > 1000 && size < sizeof bytes);
    for (size_t cut = 0; cut < size; cut += cut < 16 ? 1 : size / 13) {
        work w;
        other(&w, "tiger", NULL, TG_BF16);
        f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(bytes, 1, cut, f), cut);
        fclose(f);
        const uint64_t before = work_hash(&w);
        assert_true(tg_optim_load(w.o, path) != TG_OK);
        assert_true(work_hash(&w) == before);
        work_destroy(&w);
    }
}

/* The caller changes weights by other means: what is remembered of them follows at a refresh. */
static void test_refresh(void **state)
{
    (void)state;
    work w;
    double rms;
    work_create(&w, "tiger", NULL);
    work_add(&w, 9, 7, TG_MATRIX, 3, TG_F32);
    work_start(&w);
    for (size_t i = 0; i < 63; i++)
        ((float *)w.t[0].data)[i] = i % 2 ? 2.385f : -2.385f;
    must(tg_optim_refresh(w.o));
    must(tg_optim_rms(w.o, 0, &rms));
    assert_true(fabs(rms - 2.385) < 1e-6);
    work_destroy(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_resume),        cmocka_unit_test(test_written),
                                       cmocka_unit_test(test_resume_folded), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_truncated),     cmocka_unit_test(test_refresh)};
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
