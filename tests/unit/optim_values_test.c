/* optim_values_test.c -- single values of a state beside all of them, in every format a state can have. */
#include "optim_support.h"

typedef struct variant {
    const char *rule, *format;
} variant;

static const variant variants[] = {{"adamw", "fp32"}, {"adamw", "bf16"}, {"adamw", "fp16"}, {"adamw8bit", NULL},
                                   {"lion8bit", NULL}, {"nadam", "fp32"}};

static void make(work *w, const variant *v)
{
    const work_option options[] = {{"lr", "0.0031"}, 
                                   {v->format == NULL ? NULL : "state_format", v->format}, {NULL, NULL}};
    work_create(w, v->rule, options);
    work_add(w, 37, 65, TG_MATRIX, 17, TG_F32);
    work_add(w, 1, 301, TG_BIAS, 18, TG_BF16);
    work_start(w);
    for (size_t u = 0; u < 7; u++)
        work_update(w, u, 1, WORK_ARRAYS);
}

static void check_state(const work *w, size_t index, size_t n)
{
    static float all[37 * 65], some[5];
    const size_t at[] = {n - 1, n / 3, n / 3, 0, n > 257 ? 257 : n - 1};
    must(tg_optim_state_values(w->o, index, all));
    must(tg_optim_state_values_at(w->o, index, at, 5, some));
    for (size_t i = 0; i < 5; i++)
        assert_true(some[i] == all[at[i]]);
    assert_true(n == 1 || all[n / 3] != all[n - 1]); /* or any place would do */
    some[0] = 2.385f;
    assert_int_equal(tg_optim_state_values_at(w->o, index, (size_t[]){n}, 1, some), TG_EINVAL);
    assert_true(some[0] == 2.385f);
}

static void test_values_at(void **state)
{
    (void)state;
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        work w;
        size_t checked = 0;
        make(&w, &variants[v]);
        for (size_t i = 0; i < tg_optim_state_count(w.o); i++) {
            const char *name = tg_optim_state(w.o, i)->name;
            if (strstr(name, "/exp_avg") == NULL || strstr(name, "_range") != NULL || strstr(name, "_scale") != NULL) {
                if (strstr(name, "mu_product") != NULL)
                    check_state(&w, i, 1);
                continue;
            }
            check_state(&w, i, strncmp(name, "t0", 2) == 0 ? 37 * 65 : 301);
            checked++;
        }
        assert_true(checked == (strncmp(variants[v].rule, "lion", 4) == 0 ? 2 : 4));
        float value;
        assert_int_equal(tg_optim_state_values_at(w.o, tg_optim_state_count(w.o), (size_t[]){0}, 1, &value), TG_EINVAL);
        work_destroy(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values_at)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
