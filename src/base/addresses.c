/* base/addresses.c -- memory that is only promised: addresses for plans of what this machine may be too small for. */
#define _DEFAULT_SOURCE
#include "base/addresses.h"

#include <sys/mman.h>

static void *reserve(void *ctx, size_t bytes, size_t align)
{
    (void)ctx;
    (void)align; /* pages are aligned to all that an allocator may be asked for */
    void *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static void release(void *ctx, void *memory, size_t bytes)
{
    (void)ctx;
    munmap(memory, bytes);
}

const tg_allocator tg_addresses = {.alloc = reserve, .free = release, .mapped = true};
