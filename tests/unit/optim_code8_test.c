/* optim_code8_test.c -- states of 8 bits: beside fp32's trajectory, at the size they promise, and in a mapped file. */
#include <unistd.h>

#include "optim_support.h"

enum { UPDATES = 200, ROWS = 64, COLS = 65 };

/* Distance from the rule with fp32 states, as a share of the way it went. Signs of a momentum that is near 0 differ. */
typedef struct pair {
    const char *rule, *fp32;
    double farthest;
} pair;

static const pair pairs[] = {{"adamw8bit", "adamw", 0.06}, {"lion8bit", "lion", 0.25}};

static void make(work *w, const char *rule, const char *rounding)
{
    const work_option options[] = {{"lr", "0.0031"}, {"weight_decay", "0.113"}, {"rounding", rounding}, {NULL, NULL}};
    work_create(w, rule, options);
    work_add(w, ROWS, COLS, TG_MATRIX, 17, TG_F32);
    work_add(w, 1, 300, TG_BIAS, 18, TG_F32);
    work_start(w);
}

static double distance(const pair *p, const char *rounding)
{
    work coded, full;
    double apart = 0, way = 0;
    make(&coded, p->rule, rounding);
    make(&full, p->fp32, rounding);
    for (size_t u = 0; u < UPDATES; u++) {
        work_update(&coded, u, 1, WORK_ARRAYS);
        work_update(&full, u, 1, WORK_ARRAYS);
    }
    for (size_t i = 0; i < full.t[0].n; i++) {
        const double x = (double)((float *)full.t[0].data)[i];
        apart += pow((double)((float *)coded.t[0].data)[i] - x, 2);
        way += pow(x - (double)input_weight(17, i, TG_MATRIX), 2);
    }
    work_destroy(&coded);
    work_destroy(&full);
    return sqrt(apart / way);
}

static void test_beside_fp32(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const double stochastic = distance(&pairs[i], "stochastic"), nearest = distance(&pairs[i], "nearest");
        print_message("%s: %.4f of the way from %s, rounded to nearest %.4f\n", pairs[i].rule, stochastic, pairs[i].fp32,
                      nearest);
        assert_true(stochastic > 0 && stochastic < pairs[i].farthest);
        assert_true(nearest > 0 && nearest < 2 * pairs[i].farthest);
    }
}

static void test_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        work w;
        tg_optim_bytes bytes;
        make(&w, pairs[i].rule, "stochastic");
        must(tg_optim_measure(w.o, &bytes));
        const size_t slots = tg_rule_find(pairs[i].rule)->slot_count, n = ROWS * COLS + 300;
        assert_true(bytes.states >= slots * n && bytes.states <= slots * (n + n / 60 + 512));
        work_destroy(&w);
    }
}

/* States in a mapped file: the same bits, and nothing is left of the file. */
static void test_paged(void **state)
{
    (void)state;
    char path[] = "/tmp/tiger_paged_XXXXXX";
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    tg_allocator paged = {0};
    assert_int_equal(tg_paged_create(&paged, path), TG_EIO); /* it exists */
    assert_non_null(strstr(tg_message(), path));
    unlink(path);
    must(tg_paged_create(&paged, path));
    assert_int_not_equal(access(path, F_OK), 0);
    work plain, mapped;
    make(&plain, "adamw8bit", "stochastic");
    mapped = (work){0};
    must(tg_optim_create(&mapped.o, "adamw8bit", &paged));
    must(tg_optim_set(mapped.o, TG_ALL_GROUPS, "lr", "0.0031"));
    must(tg_optim_set(mapped.o, TG_ALL_GROUPS, "weight_decay", "0.113"));
    work_add(&mapped, ROWS, COLS, TG_MATRIX, 17, TG_F32);
    work_add(&mapped, 1, 300, TG_BIAS, 18, TG_F32);
    work_start(&mapped);
    for (size_t u = 0; u < 7; u++) {
        work_update(&plain, u, 1, WORK_ARRAYS);
        work_update(&mapped, u, 1, WORK_ARRAYS);
    }
    assert_true(work_hash(&plain) == work_hash(&mapped));
    work_destroy(&plain);
    work_destroy(&mapped);
    tg_paged_destroy(&paged);
    tg_paged_destroy(&paged); /* a zeroed one is fine */
}

static void test_formats_are_fixed(void **state)
{
    (void)state;
    const work_option options[] = {{"state_format", "bf16"}, {NULL, NULL}};
    work w;
    work_create(&w, "adamw8bit", options);
    assert_int_equal(tg_optim_start(w.o), TG_EINVAL);
    assert_non_null(strstr(tg_message(), "state_format"));
    work_destroy(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_beside_fp32), cmocka_unit_test(test_size),
                                       cmocka_unit_test(test_paged), cmocka_unit_test(test_formats_are_fixed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
