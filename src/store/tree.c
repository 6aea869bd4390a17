/* store/tree.c -- directory walks by descriptor, so that no path is looked up twice, and to a bounded depth. */
#include "store/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"

#define MAX_DEPTH 32

tg_status tg_tree_each(int at, const char *name, tg_status (*entry)(void *ctx, int directory, const char *name),
                       void *ctx)
{
    const int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return tg_fail_errno(errno, "cannot open directory '%s'", name);
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        const int error = errno;
        close(fd);
        return tg_fail_errno(error, "cannot open directory '%s'", name);
    }
    tg_status status = TG_OK;
    while (status == TG_OK) {
        errno = 0;
        const struct dirent *found = readdir(stream);
        if (found == NULL) {
            if (errno != 0)
                status = tg_fail_errno(errno, "cannot read directory '%s'", name);
            break;
        }
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
            status = entry(ctx, fd, found->d_name);
    }
    closedir(stream);
    return status;
}

/* ---- removing ---- */

static tg_status remove_entry(void *depth, int directory, const char *name)
{
    const int left = *(const int *)depth;
    if (unlinkat(directory, name, 0) == 0 || errno == ENOENT)
        return TG_OK;
    if (errno != EISDIR && errno != EPERM) /* what unlink says of a directory */
        return tg_fail_errno(errno, "cannot remove '%s'", name);
    if (left == 0)
        return tg_fail(TG_EIO, "cannot remove '%s': too deep", name);
    int next = left - 1;
    const tg_status status = tg_tree_each(directory, name, remove_entry, &next);
    if (status != TG_OK)
        return status == TG_ENOTFOUND ? TG_OK : status;
    if (unlinkat(directory, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        return tg_fail_errno(errno, "cannot remove '%s'", name);
    return TG_OK;
}

tg_status tg_tree_remove(int at, const char *name)
{
    int depth = MAX_DEPTH;
    return remove_entry(&depth, at, name);
}

/* ---- syncing ---- */

static tg_status sync_one(int directory, const char *name, int flags)
{
    const int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | flags);
    if (fd < 0)
        return tg_fail_errno(errno, "cannot sync '%s'", name);
    const int result = fsync(fd), error = errno;
    close(fd);
    if (result != 0 && !(flags == O_DIRECTORY && error == EINVAL)) /* some file systems do not sync directories */
        return tg_fail_errno(error, "cannot sync '%s'", name);
    return TG_OK;
}

static tg_status sync_entry(void *depth, int directory, const char *name)
{
    struct stat about;
    const int left = *(const int *)depth;
    if (fstatat(directory, name, &about, AT_SYMLINK_NOFOLLOW) != 0)
        return tg_fail_errno(errno, "cannot sync '%s'", name);
    if (S_ISREG(about.st_mode))
        return sync_one(directory, name, 0);
    if (!S_ISDIR(about.st_mode))
        return TG_OK;
    if (left == 0)
        return tg_fail(TG_EIO, "cannot sync '%s': too deep", name);
    int next = left - 1;
    const tg_status status = tg_tree_each(directory, name, sync_entry, &next);
    return status == TG_OK ? sync_one(directory, name, O_DIRECTORY) : status;
}

tg_status tg_tree_sync(int at, const char *name)
{
    int depth = MAX_DEPTH;
    return sync_entry(&depth, at, name);
}
