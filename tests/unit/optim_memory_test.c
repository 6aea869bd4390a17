/* optim_memory_test.c -- what an optimizer holds is what it says it holds; nothing is allocated after the start; and when
 * any one allocation fails, the call says so and leaves everything as it was. */
#include "optim_support.h"

#include <unistd.h>

#include "base/memory.h"

typedef struct ledger {
    size_t bytes, most, calls;
} ledger;

static void *ledger_alloc(void *ctx, size_t bytes, size_t align)
{
    ledger *l = ctx;
    void *memory = aligned_alloc(align, (bytes + align - 1) / align * align);
    if (memory == NULL)
        return NULL;
    l->bytes += bytes, l->calls++;
    l->most = l->bytes > l->most ? l->bytes : l->most;
    return memory;
}

static void ledger_free(void *ctx, void *memory, size_t bytes)
{
    ledger *l = ctx;
    assert_true(l->bytes >= bytes);
    l->bytes -= bytes;
    free(memory);
}

static size_t total(const tg_optim_bytes *b) { return b->states + b->kahan + b->gradients + b->bookkeeping; }

/* A transformer layer's shapes, small. */
static const size_t shape[][2] = {{512, 96}, {96, 288}, {96, 384}, {384, 96}, {1, 384}, {1, 96}, {1, 96}};
enum { SHAPES = sizeof shape / sizeof *shape };

static size_t add_layer(work *w, tg_format format)
{
    size_t n = 0;
    for (size_t i = 0; i < SHAPES; i++) {
        work_add(w, shape[i][0], shape[i][1], i == 0 ? TG_EMBEDDING : i < 4 ? TG_MATRIX : i == 5 ? TG_GAIN : TG_BIAS,
                 (uint32_t)i, format);
        n += shape[i][0] * shape[i][1];
    }
    return n;
}

static void create_with(work *w, const char *rule, const work_option *options, const tg_allocator *allocator)
{
    *w = (work){0};
    must(tg_optim_create(&w->o, rule, allocator));
    for (; options != NULL && options->name != NULL; options++)
        must(tg_optim_set(w->o, TG_ALL_GROUPS, options->name, options->value));
}

static void check_measure(const char *rule, work_option *options, size_t count)
{
    static const char *const places[] = {"auto", "buffered", "released"}, *const roundings[] = {"nearest", "kahan"};
    for (size_t p = 0; p < 3; p++)
        for (size_t r = 0; r < 2; r++)
            for (int format = TG_F32; format <= TG_F16; format++) {
                ledger l = {0};
                const tg_allocator allocator = {.alloc = ledger_alloc, .free = ledger_free, .ctx = &l};
                tg_optim_bytes plan, real;
                work w;
                options[count] = (work_option){"gradients", places[p]};
                options[count + 1] = (work_option){"rounding", roundings[r]};
                create_with(&w, rule, options, &allocator);
                add_layer(&w, (tg_format)format);
                work_start(&w);
                tg_optim *twin;
                must(tg_optim_create(&twin, rule, &allocator));
                for (const work_option *q = options; q->name != NULL; q++)
                    must(tg_optim_set(twin, TG_ALL_GROUPS, q->name, q->value));
                for (size_t k = 0; k < w.count; k++)
                    must(tg_optim_add(twin, tg_optim_param(w.o, k), NULL));
                must(tg_optim_measure(twin, &plan)); /* the plan, before a start */
                must(tg_optim_measure(w.o, &real));
                assert_memory_equal(&plan, &real, sizeof plan);
                assert_int_equal(l.bytes, total(&real));
                tg_optim_destroy(twin);
                work_destroy(&w);
                assert_int_equal(l.bytes, 0);
            }
    options[count] = options[count + 1] = (work_option){0};
}

static void test_measure(void **state) { (void)state, for_each_variant(check_measure); }

static tg_optim_bytes bytes_of(const char *rule, const work_option *options, tg_format format, size_t *n)
{
    work w;
    tg_optim_bytes bytes;
    work_create(&w, rule, options);
    *n = add_layer(&w, format);
    work_start(&w);
    must(tg_optim_measure(w.o, &bytes));
    work_destroy(&w);
    return bytes;
}

/* The headline: with the weights' 2 bytes, 4 a parameter, and no gradient. */
static void test_tiger_bytes(void **state)
{
    (void)state;
    size_t n;
    tg_optim_bytes b = bytes_of("tiger", NULL, TG_BF16, &n);
    assert_true(b.states >= 2 * n && b.states < 2 * n + 64 * SHAPES);
    assert_int_equal(b.gradients, 0);
    assert_int_equal(b.kahan, 0);
    b = bytes_of("tiger", (work_option[]){{"rounding", "kahan"}, {NULL, NULL}}, TG_BF16, &n);
    assert_true(b.kahan >= 2 * n && b.kahan < 2 * n + 64 * SHAPES);
    b = bytes_of("tiger", NULL, TG_F32, &n);
    assert_true(b.states >= 4 * n && b.states < 4 * n + 64 * SHAPES);
    b = bytes_of("tigermuon", NULL, TG_BF16, &n); /* what it does not work whole folds too */
    assert_int_equal(b.gradients, 0);
    b = bytes_of("adamw", NULL, TG_BF16, &n); /* second moments keep their range */
    assert_true(b.states >= 6 * n && b.states < 6 * n + 128 * SHAPES);
    b = bytes_of("adamw", (work_option[]){{"state_format", "bf16"}, {NULL, NULL}}, TG_BF16, &n);
    assert_true(b.states >= 4 * n && b.states < 4 * n + 128 * SHAPES);
    b = bytes_of("sgd", NULL, TG_F32, &n);
    assert_int_equal(b.states, 0);
    b = bytes_of("adamw", (work_option[]){{"gradients", "released"}, {"gradient_format", "bf16"}, {NULL, NULL}}, TG_BF16, &n);
    assert_true(b.gradients < 2 * 512 * 96 + 128); /* the largest tensor's */
}

/* At the size of GPT-2 124M: two bytes a parameter, and bookkeeping below a hundredth of that. */
static void test_bookkeeping(void **state)
{
    (void)state;
    static const size_t block[][2] = {{2304, 768}, {768, 768}, {3072, 768}, {768, 3072}, {1, 2304}, {1, 768}, {1, 768}};
    float some[16];
    char name[32];
    tg_optim *o;
    tg_optim_bytes b;
    must(tg_optim_create(&o, "tiger", NULL));
    size_t n = (size_t)(50304 + 1024) * 768; /* a plan does not look at the data */
    must(tg_optim_add(o, &(tg_param){.name = "e", .data = some, .format = TG_BF16, .rows = 50304, .cols = 768}, NULL));
    must(tg_optim_add(o, &(tg_param){.name = "p", .data = some, .format = TG_BF16, .rows = 1024, .cols = 768,
                                     .role = TG_EMBEDDING}, NULL));
    for (size_t i = 0; i < 12 * 7; i++) {
        snprintf(name, sizeof name, "%zu", i);
        must(tg_optim_add(o, &(tg_param){.name = name, .data = some, .format = TG_BF16, .rows = block[i % 7][0],
                                         .cols = block[i % 7][1], .role = i % 7 < 4 ? TG_MATRIX : TG_BIAS}, NULL));
        n += block[i % 7][0] * block[i % 7][1];
    }
    must(tg_optim_measure(o, &b));
    print_message("tiger bf16: %zu parameters, %zu bytes of states, %zu of bookkeeping\n", n, b.states, b.bookkeeping);
    assert_int_equal(b.states, 2 * n);
    assert_int_equal(b.gradients + b.kahan, 0);
    assert_true(100 * b.bookkeeping < b.states);
    tg_optim_destroy(o);
}

/* Updates allocate nothing: a failure that waits for the next allocation is still waiting after them. */
static void check_no_allocation(const char *rule, work_option *options, size_t count)
{
    for (size_t p = 0; p < 3; p++) {
        ledger l = {0};
        const tg_allocator allocator = {.alloc = ledger_alloc, .free = ledger_free, .ctx = &l};
        work w;
        options[count] = (work_option){"gradients", p == 0 ? "auto" : p == 1 ? "buffered" : "released"};
        create_with(&w, rule, options, &allocator);
        add_layer(&w, TG_BF16);
        work_start(&w);
        const bool arrays = p == 0 && tg_optim_gradient_place(w.o) != TG_FOLDED;
        const size_t calls = l.calls;
        tg_memory_fail_at(1);
        for (size_t u = 0; u < 3; u++) /* accumulation 8 costs what 1 costs */
            work_update(&w, u, p == 2 || arrays ? 1 : u == 0 ? 1 : 8, arrays ? WORK_ARRAYS : WORK_PANELS);
        assert_null(tg_heap_alloc(1, 1));
        assert_int_equal(l.calls, calls);
        work_destroy(&w);
    }
    options[count] = (work_option){0};
}

static void test_no_allocation(void **state) { (void)state, for_each_variant(check_no_allocation); }

/* ---- every allocation fails in its turn ---- */

static char path[200];

static const work_option failing_options[] = {{"rounding", "kahan"}, {"gradients", "buffered"}, {NULL, NULL}};

/* The life of an optimizer up to a load; the first failure ends it. Returns the status of that call. */
static tg_status live(tg_optim **o, const char *rule, const tg_allocator *allocator, float *x, float *y)
{
    int group;
    tg_status status = tg_optim_create(o, rule, allocator);
    for (const work_option *q = failing_options; status == TG_OK && q->name != NULL; q++)
        status = tg_optim_set(*o, TG_ALL_GROUPS, q->name, q->value);
    if (status == TG_OK)
        status = tg_optim_add_group(*o, &group);
    if (status == TG_OK)
        status = tg_optim_add(*o, &(tg_param){.name = "x", .data = x, .rows = 4, .cols = 8}, NULL);
    if (status == TG_OK)
        status = tg_optim_add(*o, &(tg_param){.name = "y", .data = y, .rows = 1, .cols = 8, .group = 1}, NULL);
    tg_optim_bytes bytes;
    if (status == TG_OK)
        status = tg_optim_measure(*o, &bytes);
    if (status == TG_OK)
        status = tg_optim_start(*o);
    if (status == TG_OK)
        status = tg_optim_save(*o, path);
    if (status == TG_OK)
        status = tg_optim_load(*o, path);
    return status;
}

static void test_failing(void **state)
{
    (void)state;
    for (size_t r = 0; r < tg_rule_count(); r++) {
        const char *rule = tg_rule_at(r)->name;
        long n = 1;
        for (bool failed = true; failed; n++) {
            ledger l = {0};
            const tg_allocator allocator = {.alloc = ledger_alloc, .free = ledger_free, .ctx = &l};
            float x[32] = {2.385f}, y[8] = {1};
            tg_optim *o = NULL;
            tg_memory_fail_at(n);
            const tg_status status = live(&o, rule, &allocator, x, y);
            tg_memory_fail_at(0);
            failed = status != TG_OK;
            if (failed) {
                assert_int_equal(status, TG_ENOMEM);
                assert_non_null(strstr(tg_message(), "memory"));
            }
            tg_optim_destroy(o);
            assert_int_equal(l.bytes, 0);
            assert_true(x[0] == 2.385f);
        }
        assert_true(n > 8);
    }
}

/* A start or a load that failed can be tried again. */
static void test_trying_again(void **state)
{
    (void)state;
    for (long n = 1; n < 12; n++) {
        work w;
        work_create(&w, "tiger", NULL);
        add_layer(&w, TG_BF16);
        for (size_t k = 0; k < w.count; k++)
            must(tg_optim_add(w.o,
                              &(tg_param){.name = w.t[k].name, .data = w.t[k].data, .format = TG_BF16,
                                          .rows = w.t[k].rows, .cols = w.t[k].cols, .role = w.t[k].role},
                              NULL));
        tg_memory_fail_at(n);
        const tg_status started = tg_optim_start(w.o);
        tg_memory_fail_at(0);
        if (started != TG_OK)
            must(tg_optim_start(w.o));
        work_update(&w, 0, 1, WORK_ARRAYS);
        must(tg_optim_save(w.o, path));
        work_update(&w, 1, 1, WORK_ARRAYS);
        const uint64_t before = work_hash(&w);
        tg_memory_fail_at(n);
        const tg_status loaded = tg_optim_load(w.o, path);
        tg_memory_fail_at(0);
        if (loaded != TG_OK) {
            assert_int_equal(loaded, TG_ENOMEM);
            assert_true(work_hash(&w) == before && tg_optim_updates(w.o) == 2);
            must(tg_optim_load(w.o, path));
        }
        assert_int_equal(tg_optim_updates(w.o), 1);
        work_destroy(&w);
    }
}

int main(void)
{
    const char *directory = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/tiger-memory-%ld.safetensors", directory == NULL ? "/tmp" : directory, (long)getpid());
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_measure), cmocka_unit_test(test_tiger_bytes),
                                       cmocka_unit_test(test_bookkeeping),
                                       cmocka_unit_test(test_no_allocation), cmocka_unit_test(test_failing),
                                       cmocka_unit_test(test_trying_again)};
    const int failures = cmocka_run_group_tests(tests, NULL, NULL);
    remove(path);
    return failures;
}
