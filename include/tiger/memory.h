/* tiger/memory.h -- where the library takes its memory. */
#ifndef TIGER_MEMORY_H
#define TIGER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include "tiger/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A caller's allocator: for all that grows with the weights or the problem; names and tables come from the C library's
 * heap all the same. alloc returns `bytes` bytes aligned to `align` (a power of two, at most 4096), or NULL; the
 * memory need not be zero unless `mapped` is set. free gets the same `bytes` back. Both may be called from the thread that calls the library
 * only. Functions that take a `const tg_allocator *` accept NULL for the C library's heap, with huge pages for large
 * blocks; the struct is copied, `ctx` must outlive the object. */
typedef struct tg_allocator {
    void *(*alloc)(void *ctx, size_t bytes, size_t align);
    void (*free)(void *ctx, void *memory, size_t bytes);
    void *ctx;
    bool mapped; /* its memory is shared pages of a file, zero at first: what is let go of in RAM comes back as it was */
} tg_allocator;

/* An allocator whose memory lies in a new file at `path`, mapped: RAM then holds what is being touched, and the system
 * writes the rest out. For states and weights that are larger than memory. The file is without a name from the start, so it is gone
 * with the process; TG_EIO when it cannot be made (or is there already), and allocations fail when the disk is full.
 * Objects that use it must be destroyed before it is. */
tg_status tg_paged_create(tg_allocator *allocator, const char *path);
void tg_paged_destroy(tg_allocator *allocator); /* NULL and a zeroed one are fine */

#ifdef __cplusplus
}
#endif
#endif
