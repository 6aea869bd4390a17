/* optim_threads_test.c -- optimizers are independent: two in two threads at once do what each does alone, and each thread
 * has its own message. */
#include <pthread.h>

#include "optim_support.h"

enum { UPDATES = 40 };

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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_two_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
