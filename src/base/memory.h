/* base/memory.h -- all heap of the project passes through here, so that a test can make the n-th allocation fail. */
#ifndef TG_BASE_MEMORY_H
#define TG_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include "tiger/memory.h"
#include "tiger/status.h"

#define TG_CACHE_LINE 64

/* `count` values of `size` bytes, zeroed, aligned to a cache line; NULL when there is no memory or count * size
 * overflows. Blocks of 4 MiB and more lie on huge pages where the system has them, and their pages are zero without
 * being touched. */
void *tg_alloc(const tg_allocator *allocator, size_t count, size_t size);
void tg_free(const tg_allocator *allocator, void *memory, size_t count, size_t size);

/* What such a block occupies, of memory that has no allocator, beyond its `bytes`: large ones are whole huge pages. */
size_t tg_alloc_slack(size_t bytes);

/* The same for small objects of unknown size at release; release with tg_heap_free. */
void *tg_heap_alloc(size_t count, size_t size);
void *tg_heap_resize(void *memory, size_t old_count, size_t new_count, size_t size); /* new values are zero */
char *tg_heap_text(const char *text);
void tg_heap_free(void *memory);

/* Fails with TG_ENOMEM and a message that says what for. */
tg_status tg_no_memory(const char *what, size_t bytes);

/* False when a * b overflows; otherwise *product is set. */
bool tg_multiply(size_t *product, size_t a, size_t b);
bool tg_add_size(size_t *sum, size_t a, size_t b);

static inline size_t tg_round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }
static inline size_t tg_least(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t tg_larger(size_t a, size_t b) { return a > b ? a : b; }

/* For tests: the n-th allocation from now on (1 = the next) fails, once; 0 turns it off. */
void tg_memory_fail_at(long n);

#endif
