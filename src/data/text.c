/* data/text.c -- a file's bytes, mapped: nothing is read before it is used, and the system may drop it again. */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/memory.h"
#include "data/tokenizer.h"

static tg_status map(const char **text, size_t *bytes, int fd, const char *path)
{
    struct stat about;
    if (fstat(fd, &about) != 0)
        return tg_fail_errno(errno, "cannot read '%s'", path);
    if (S_ISDIR(about.st_mode))
        return tg_fail(TG_EINVAL, "'%s' is a directory; give the file itself", path);
    if (!S_ISREG(about.st_mode))
        return tg_fail(TG_EINVAL, "'%s' is not a regular file; write what comes from it into one first", path);
    if (about.st_size == 0)
        return tg_fail(TG_EFORMAT, "'%s' is empty", path);
    if ((uintmax_t)about.st_size > SIZE_MAX)
        return tg_fail(TG_EUNSUPPORTED, "'%s' is larger than this machine's addresses", path);
    void *const memory = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return tg_fail_errno(errno, "cannot map '%s'", path);
    *text = memory;
    *bytes = (size_t)about.st_size;
    return TG_OK;
}

tg_status tg_text_open(const char **text, size_t *bytes, const char *path)
{
    int fd;
    do
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe without a writer is refused, not waited for */
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return tg_fail_errno(errno, "cannot read '%s'", path);
    const tg_status status = map(text, bytes, fd, path);
    close(fd);
    return status;
}

void tg_text_close(const char *text, size_t bytes)
{
    if (text != NULL)
        munmap((void *)(uintptr_t)text, bytes);
}

void tg_text_forget(const char *text, size_t from, size_t to)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    from = tg_round_up(from, page);
    to = to / page * page;
    if (from < to)
        madvise((void *)(uintptr_t)(text + from), to - from, MADV_DONTNEED);
}
