/* store/append.c -- see append.h. */
#include "store/append.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"

tg_status tg_append_whole(int descriptor, const char *path, const void *data, size_t bytes)
{
    struct stat about;
    if (fstat(descriptor, &about) != 0)
        return tg_fail_errno(errno, "cannot write '%s'", path);
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = write(descriptor, (const char *)data + done, bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            const int error = n < 0 ? errno : ENOSPC;
            const bool cut = done == 0 || ftruncate(descriptor, about.st_size) == 0;
            return tg_fail_errno(error, "cannot write '%s'%s", path, cut ? "" : " (half a record stands at its end)");
        }
        done += (size_t)n;
    }
    return TG_OK;
}
