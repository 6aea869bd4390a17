/* memory_test.c -- allocation: sizes that overflow, the switch that makes the n-th call fail, a caller's allocator. */
#include "optim_support.h"

#include "base/memory.h"

static void test_overflow(void **state)
{
    (void)state;
    size_t r = 2385;
    assert_true(tg_multiply(&r, 3, 5));
    assert_int_equal(r, 15);
    assert_true(tg_multiply(&r, SIZE_MAX, 1));
    assert_true(tg_multiply(&r, SIZE_MAX, 0));
    assert_int_equal(r, 0);
    assert_false(tg_multiply(&r, SIZE_MAX / 2 + 1, 2));
    assert_false(tg_multiply(&r, (size_t)1 << 33, (size_t)1 << 33));
    assert_int_equal(r, 0);
    assert_true(tg_add_size(&r, SIZE_MAX - 7, 7));
    assert_int_equal(r, SIZE_MAX);
    assert_false(tg_add_size(&r, SIZE_MAX - 7, 8));
    assert_null(tg_alloc(NULL, SIZE_MAX / 2, 4));
    assert_null(tg_alloc(NULL, SIZE_MAX - 8, 1));
    assert_null(tg_heap_alloc(SIZE_MAX / 2, 4));
    assert_null(tg_heap_resize(NULL, 0, SIZE_MAX / 2, 4));
}

static void test_alloc(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 63, 64, 65, 4096, ((size_t)4 << 20) - 64, (size_t)4 << 20, ((size_t)5 << 20) + 3};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        unsigned char *m = tg_alloc(NULL, sizes[s], 1);
        assert_non_null(m);
        assert_int_equal((uintptr_t)m % TG_CACHE_LINE, 0);
        for (size_t i = 0; i < sizes[s]; i += sizes[s] > 5000 ? 997 : 1) {
            assert_int_equal(m[i], 0);
            m[i] = 0xa5;
        }
        if (sizes[s] > 0)
            m[sizes[s] - 1] = 0xa5;
        tg_free(NULL, m, sizes[s], 1);
    }
    tg_free(NULL, NULL, 7, 1);
}

static void test_fail_at(void **state)
{
    (void)state;
    tg_memory_fail_at(2);
    void *a = tg_heap_alloc(1, 8);
    assert_non_null(a);
    assert_null(tg_alloc(NULL, 1, 8));
    void *b = tg_heap_alloc(1, 8); /* fails once only */
    assert_non_null(b);
    tg_memory_fail_at(1);
    assert_null(tg_heap_text("text"));
    tg_memory_fail_at(1);
    assert_null(tg_heap_resize(a, 1, 2, 8)); /* a stands */
    tg_memory_fail_at(1);
    tg_memory_fail_at(0);
    void *c = tg_heap_alloc(1, 8);
    assert_non_null(c);
    tg_heap_free(a);
    tg_heap_free(b);
    tg_heap_free(c);
    tg_heap_free(NULL);
}

static void test_resize(void **state)
{
    (void)state;
    uint32_t *v = NULL;
    for (size_t n = 1; n < 300; n += 7) {
        const size_t old = n == 1 ? 0 : n - 7;
        v = tg_heap_resize(v, old, n, sizeof *v);
        assert_non_null(v);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(v[i], i < old ? i * 3 + 1 : 0);
        for (size_t i = 0; i < n; i++)
            v[i] = (uint32_t)(i * 3 + 1);
    }
    tg_heap_free(v);
}

typedef struct ledger {
    size_t bytes, calls;
} ledger;

static void *ledger_alloc(void *ctx, size_t bytes, size_t align)
{
    ledger *l = ctx;
    void *m = aligned_alloc(align, (bytes + align - 1) / align * align);
    assert_non_null(m);
    memset(m, 0xee, bytes);
    l->bytes += bytes, l->calls++;
    return m;
}

static void ledger_free(void *ctx, void *memory, size_t bytes)
{
    ((ledger *)ctx)->bytes -= bytes;
    free(memory);
}

static void test_own_allocator(void **state)
{
    (void)state;
    ledger l = {0};
    const tg_allocator allocator = {.alloc = ledger_alloc, .free = ledger_free, .ctx = &l};
    unsigned char *m = tg_alloc(&allocator, 77, 3), *big = tg_alloc(&allocator, 5, (size_t)1 << 20);
    for (size_t i = 0; i < 231; i++)
        assert_int_equal(m[i], 0); /* zeroed, whatever the allocator gave */
    assert_true(l.bytes >= 231 + ((size_t)5 << 20));
    assert_int_equal(l.calls, 2);
    tg_free(&allocator, m, 77, 3);
    tg_free(&allocator, big, 5, (size_t)1 << 20);
    assert_int_equal(l.bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_overflow), cmocka_unit_test(test_alloc),
                                       cmocka_unit_test(test_fail_at), cmocka_unit_test(test_resize),
                                       cmocka_unit_test(test_own_allocator)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
