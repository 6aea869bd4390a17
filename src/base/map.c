/* base/map.c -- whole files mapped for reading. */
#define _DEFAULT_SOURCE
#include "base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"

tg_status tg_map_open(tg_map *map, const char *path)
{
    struct stat about;
    tg_status status = TG_OK;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return tg_fail_errno(errno, "cannot open '%s'", path);
    if (fstat(fd, &about) != 0)
        status = tg_fail_errno(errno, "cannot open '%s'", path);
    else if (!S_ISREG(about.st_mode))
        status = tg_fail(TG_EFORMAT, "'%s' is no regular file", path);
    else if (about.st_size < 0 || (uint64_t)about.st_size > PTRDIFF_MAX)
        status = tg_fail(TG_EFORMAT, "'%s' is too large for this machine's addresses", path);
    else if (about.st_size == 0)
        *map = (tg_map){0};
    else {
        void *at = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at == MAP_FAILED)
            status = tg_fail_errno(errno, "cannot map '%s'", path);
        else
            *map = (tg_map){at, (size_t)about.st_size};
    }
    close(fd);
    return status;
}

void tg_map_close(tg_map *map)
{
    if (map->bytes != 0)
        munmap(map->at, map->bytes);
    *map = (tg_map){0};
}

void tg_map_forget(const void *at, size_t bytes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)at, end = begin + bytes;
    const uintptr_t first = (begin + page - 1) / page * page, last = end / page * page;
    if (last > first)
        madvise((void *)first, last - first, MADV_DONTNEED);
}

void tg_map_rest(void *at, size_t bytes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)at / page * page;
    const uintptr_t end = ((uintptr_t)at + bytes + page - 1) / page * page;
    if (bytes > 0)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}
