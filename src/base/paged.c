/* base/paged.c -- memory in a mapped file: the system keeps in RAM what is touched and writes the rest out.
 *
 * The file has no name once it is open, so nothing is left behind however the process ends. Its blocks are reserved before
 * they are mapped: a full disk is an allocation that fails, not a signal later on. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/memory.h"

typedef struct paged {
    int file;
    size_t end; /* of what is in use or was */
} paged;

static void *paged_alloc(void *ctx, size_t bytes, size_t align)
{
    paged *p = ctx;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t length, end;
    if (align > page || !tg_add_size(&length, bytes, page - 1))
        return NULL;
    length = length / page * page;
    if (length == 0 || !tg_add_size(&end, p->end, length) || posix_fallocate(p->file, (off_t)p->end, (off_t)length) != 0)
        return NULL;
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, p->file, (off_t)p->end);
    if (memory == MAP_FAILED)
        return NULL;
    p->end = end;
    return memory;
}

static void paged_free(void *ctx, void *memory, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    (void)ctx;
    munmap(memory, tg_round_up(bytes, page));
}

tg_status tg_paged_create(tg_allocator *allocator, const char *path)
{
    paged *p = tg_heap_alloc(1, sizeof *p);
    if (p == NULL)
        return tg_no_memory("a paged allocator", sizeof *p);
    p->file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (p->file < 0) {
        const int why = errno;
        tg_heap_free(p);
        return tg_fail(TG_EIO, "%s: %s", path, why == EEXIST ? "there is a file of that name already" : strerror(why));
    }
    unlink(path);
    *allocator = (tg_allocator){.alloc = paged_alloc, .free = paged_free, .ctx = p, .mapped = true};
    return TG_OK;
}

void tg_paged_destroy(tg_allocator *allocator)
{
    if (allocator == NULL || allocator->ctx == NULL)
        return;
    close(((paged *)allocator->ctx)->file);
    tg_heap_free(allocator->ctx);
    *allocator = (tg_allocator){0};
}
