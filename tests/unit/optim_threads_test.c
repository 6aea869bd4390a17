/* optim_threads_test.c -- threads, in short, for the thread sanitizer: every rule on three threads, in every place of its
 * gradients, does what it does on one (optim_bits_test.c walks all switches); two optimizers in two threads at once do what
 * each does alone, and each thread has its own message. */
#include <pthread.h>

#include "optim_support.h"

enum { UPDATES = 40 };

/* ---- one optimizer, several threads ---- */

/* "auto": folded into the momentum where the rule can, else from whole arrays. */
static uint64_t run_on(const char *threads, const char *rule, const char *place, tg_format format)
{
    const work_option options[] = {
        {"lr", "0.0071"}, {"weight_decay", "0.113"}, {"gradients", place}, {"threads", threads}, {NULL, NULL}};
    work w;
    work_create(&w, rule, options);
    if (rule_has(rule, "max_dim"))
        must(tg_optim_set(w.o, TG_ALL_GROUPS, "max_dim", "129"));
    work_add_bag(&w, format);
    work_start(&w);
    const bool arrays = strcmp(place, "auto") == 0 && tg_optim_gradient_place(w.o) != TG_FOLDED;
    for (size_t u = 0; u < 2; u++)
        work_update(&w, u, 1, arrays ? WORK_ARRAYS : WORK_PANELS);
    const uint64_t hash = work_hash(&w);
    work_destroy(&w);
    return hash;
}

static void check_rule(const char *rule)
{
    static const char *const places[] = {"auto", "buffered", "released"};
    for (size_t p = 0; p < 3; p++)
        for (int format = TG_F32; format <= TG_BF16; format++)
            if (run_on("3", rule, places[p], (tg_format)format) != run_on("1", rule, places[p], (tg_format)format))
                fail_msg("%s, %s gradients, %s: other bits", rule, places[p], tg_format_name((tg_format)format));
}

static void test_every_rule(void **state)
{
    (void)state;
    for (size_t r = 0; r < tg_rule_count(); r++)
        if (rule_wanted(tg_rule_at(r)->name))
            check_rule(tg_rule_at(r)->name);
}

/* ---- two optimizers at once ---- */

typedef struct job {
    const char *rule;
    uint64_t hash;
    char message[200];
} job;

static void run(job *j)
{
    const work_option options[] = {{"lr", "0.0071"}, {"threads", "2"}, {NULL, NULL}};
    work w;
    work_create(&w, j->rule, options);
    work_add_bag(&w, TG_BF16);
    work_start(&w);
    for (size_t u = 0; u < UPDATES; u++) {
        work_update(&w, u, 1, WORK_ARRAYS);
        assert_int_not_equal(tg_optim_set(w.o, TG_ALL_GROUPS, j->rule, "1"), TG_OK); /* no such option */
    }
    j->hash = work_hash(&w);
    snprintf(j->message, sizeof j->message, "%s", tg_message());
    work_destroy(&w);
}

static void *start(void *arg) { return run(arg), NULL; }

static void test_two_at_once(void **state)
{
    (void)state;
    job alone[2] = {{.rule = "tiger"}, {.rule = "adamw8bit"}}, together[2] = {{.rule = "tiger"}, {.rule = "adamw8bit"}};
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        run(&alone[i]);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, start, &together[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < 2; i++) {
        assert_true(alone[i].hash == together[i].hash);
        assert_string_equal(alone[i].message, together[i].message);
        assert_non_null(strstr(together[i].message, together[i].rule));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_rule), cmocka_unit_test(test_two_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
