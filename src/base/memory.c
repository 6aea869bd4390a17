/* base/memory.c -- allocation, with huge pages for large blocks and a switch that makes the n-th call fail. */
#define _DEFAULT_SOURCE
#include "base/memory.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fail.h"

#define HUGE_PAGE ((size_t)2 << 20)
#define MAPPED_FROM (2 * HUGE_PAGE) /* smaller blocks gain nothing from pages of their own */

static atomic_long fail_countdown;

void tg_memory_fail_at(long n) { atomic_store(&fail_countdown, n); }

static bool told_to_fail(void)
{
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) <= 0)
        return false;
    return atomic_fetch_sub(&fail_countdown, 1) == 1;
}

bool tg_multiply(size_t *product, size_t a, size_t b)
{
    if (b != 0 && a > SIZE_MAX / b)
        return false;
    *product = a * b;
    return true;
}

bool tg_add_size(size_t *sum, size_t a, size_t b)
{
    if (a > SIZE_MAX - b)
        return false;
    *sum = a + b;
    return true;
}

/* A whole number of huge pages, aligned to one, so that the kernel can back all of it with them. */
static void *map_pages(size_t bytes)
{
    const size_t wanted = tg_round_up(bytes, HUGE_PAGE), mapped = wanted + HUGE_PAGE;
    char *raw = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    const size_t head = (HUGE_PAGE - (uintptr_t)raw % HUGE_PAGE) % HUGE_PAGE, tail = HUGE_PAGE - head;
    if (head != 0)
        munmap(raw, head);
    if (tail != 0)
        munmap(raw + head + wanted, tail);
#ifdef MADV_HUGEPAGE
    madvise(raw + head, wanted, MADV_HUGEPAGE); /* advice: a kernel without huge pages serves small ones */
#endif
    return raw + head;
}

void *tg_alloc(const tg_allocator *allocator, size_t count, size_t size)
{
    size_t bytes;
    if (!tg_multiply(&bytes, count, size) || bytes > SIZE_MAX - 2 * HUGE_PAGE || told_to_fail())
        return NULL;
    bytes = bytes == 0 ? TG_CACHE_LINE : tg_round_up(bytes, TG_CACHE_LINE);
    if (allocator == NULL && bytes >= MAPPED_FROM)
        return map_pages(bytes);
    void *memory = allocator != NULL ? allocator->alloc(allocator->ctx, bytes, TG_CACHE_LINE)
                                     : aligned_alloc(TG_CACHE_LINE, bytes);
    if (memory != NULL && (allocator == NULL || !allocator->mapped))
        memset(memory, 0, bytes);
    return memory;
}

size_t tg_alloc_slack(size_t bytes) { return bytes >= MAPPED_FROM ? tg_round_up(bytes, HUGE_PAGE) - bytes : 0; }

void tg_free(const tg_allocator *allocator, void *memory, size_t count, size_t size)
{
    if (memory == NULL)
        return;
    const size_t bytes = count * size == 0 ? TG_CACHE_LINE : tg_round_up(count * size, TG_CACHE_LINE);
    if (allocator != NULL)
        allocator->free(allocator->ctx, memory, bytes);
    else if (bytes >= MAPPED_FROM)
        munmap(memory, tg_round_up(bytes, HUGE_PAGE));
    else
        free(memory);
}

void *tg_heap_alloc(size_t count, size_t size)
{
    if (told_to_fail())
        return NULL;
    return calloc(count == 0 ? 1 : count, size == 0 ? 1 : size);
}

void *tg_heap_resize(void *memory, size_t old_count, size_t new_count, size_t size)
{
    size_t bytes;
    if (!tg_multiply(&bytes, new_count, size) || told_to_fail())
        return NULL;
    char *resized = realloc(memory, bytes == 0 ? 1 : bytes);
    if (resized != NULL && new_count > old_count)
        memset(resized + old_count * size, 0, (new_count - old_count) * size);
    return resized;
}

char *tg_heap_text(const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = tg_heap_alloc(bytes, 1);
    return copy == NULL ? NULL : memcpy(copy, text, bytes);
}

void tg_heap_free(void *memory) { free(memory); }

tg_status tg_no_memory(const char *what, size_t bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double size = (double)bytes;
    size_t u = 0;
    for (; size >= 999.5 && u + 1 < sizeof unit / sizeof *unit; u++) /* three digits, as the command prints sizes */
        size /= 1024;
    return tg_fail(TG_ENOMEM, "no memory for %s (%.3g %s)", what, size, unit[u]);
}
