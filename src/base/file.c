/* base/file.c -- files that appear whole: temporary name, sync, rename, sync of the directory. */
#define _DEFAULT_SOURCE
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/memory.h"

#define PIECE ((size_t)64 << 20) /* some systems refuse single writes of 2 GiB */
#define ATTEMPTS 1000

char *tg_file_join(const char *directory, const char *name)
{
    const size_t a = strlen(directory), b = strlen(name);
    char *path = tg_heap_alloc(a + b + 2, 1);
    if (path == NULL)
        return NULL;
    memcpy(path, directory, a);
    path[a] = '/';
    memcpy(path + a + 1, name, b + 1);
    return path;
}

char *tg_file_parent(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') /* "a/b/" is "a/b" */
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    if (n == 0)
        return tg_heap_text(".");
    while (n > 1 && path[n - 1] == '/')
        n--;
    char *parent = tg_heap_alloc(n + 1, 1);
    return parent == NULL ? NULL : memcpy(parent, path, n);
}

tg_status tg_file_sync_directory(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return tg_fail_errno(errno, "cannot open directory '%s'", path);
    const int result = fsync(fd), error = errno;
    close(fd);
    if (result != 0 && error != EINVAL) /* EINVAL: a file system that does not sync directories */
        return tg_fail_errno(error, "cannot sync directory '%s'", path);
    return TG_OK;
}

static tg_status sync_parent(const char *path)
{
    char *parent = tg_file_parent(path);
    if (parent == NULL)
        return tg_no_memory("a path", strlen(path));
    const tg_status status = tg_file_sync_directory(parent);
    tg_heap_free(parent);
    return status;
}

/* A name beside `path` that no other process uses; with the n-th attempt in it. NULL when there is no memory. */
static char *temporary_name(const char *path, int attempt)
{
    const char *slash = strrchr(path, '/');
    const size_t head = slash == NULL ? 0 : (size_t)(slash - path) + 1, room = head + 64;
    char *name = tg_heap_alloc(room, 1);
    if (name == NULL)
        return NULL;
    memcpy(name, path, head);
    snprintf(name + head, room - head, TG_TEMPORARY "file-%ld-%d", (long)getpid(), attempt);
    return name;
}

void tg_file_abort(tg_file *file)
{
    if (file->path != NULL && file->descriptor >= 0) /* a zeroed struct holds no descriptor */
        close(file->descriptor);
    if (file->temporary != NULL)
        unlink(file->temporary);
    tg_heap_free(file->temporary);
    tg_heap_free(file->path);
    *file = (tg_file){.descriptor = -1};
}

/* Reports `error`, and undoes. */
static tg_status give_up(tg_file *file, const char *what, int error)
{
    const tg_status status = tg_fail_errno(error, "cannot %s '%s'", what, file->path);
    tg_file_abort(file);
    return status;
}

tg_status tg_file_begin(tg_file *file, const char *path)
{
    *file = (tg_file){.descriptor = -1};
    file->path = tg_heap_text(path);
    if (file->path == NULL)
        return tg_no_memory("a path", strlen(path));
    int error = EEXIST;
    for (int attempt = 0; attempt < ATTEMPTS && error == EEXIST; attempt++) {
        char *name = temporary_name(path, attempt);
        if (name == NULL) {
            tg_file_abort(file);
            return tg_no_memory("a path", strlen(path));
        }
        file->descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file->descriptor >= 0) {
            file->temporary = name;
            (void)flock(file->descriptor, LOCK_EX | LOCK_NB); /* in use: no leftover of a killed process */
            return TG_OK;
        }
        error = errno;
        tg_heap_free(name);
    }
    return give_up(file, "write", error);
}

tg_status tg_file_write(tg_file *file, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0) {
        const ssize_t n = write(file->descriptor, at, bytes < PIECE ? bytes : PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return give_up(file, "write", n < 0 ? errno : ENOSPC);
        at += n;
        bytes -= (size_t)n;
    }
    return TG_OK;
}

tg_status tg_file_commit(tg_file *file)
{
    if (fsync(file->descriptor) != 0)
        return give_up(file, "sync", errno);
    const int fd = file->descriptor;
    file->descriptor = -1;
    if (close(fd) != 0 && errno != EINTR)
        return give_up(file, "close", errno);
    if (rename(file->temporary, file->path) != 0)
        return give_up(file, "write", errno);
    tg_heap_free(file->temporary);
    file->temporary = NULL;
    const tg_status status = sync_parent(file->path);
    tg_file_abort(file);
    return status;
}

tg_status tg_file_write_whole(const char *path, const void *data, size_t bytes)
{
    tg_file file;
    tg_status status = tg_file_begin(&file, path);
    if (status == TG_OK)
        status = tg_file_write(&file, data, bytes);
    return status == TG_OK ? tg_file_commit(&file) : status;
}

/* ---- links and copies ---- */

static tg_status copy(const char *dst, const char *src)
{
    enum { BUFFER = 1 << 16 };
    tg_file file = {.descriptor = -1};
    char *buffer = NULL;
    tg_status status;
    const int fd = open(src, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return tg_fail_errno(errno, "cannot read '%s'", src);
    buffer = tg_heap_alloc(BUFFER, 1);
    status = buffer == NULL ? tg_no_memory("copying a file", BUFFER) : tg_file_begin(&file, dst);
    while (status == TG_OK) {
        const ssize_t n = read(fd, buffer, BUFFER);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            status = tg_fail_errno(errno, "cannot read '%s'", src);
        else if (n == 0)
            break;
        else
            status = tg_file_write(&file, buffer, (size_t)n);
    }
    if (status == TG_OK)
        status = tg_file_commit(&file);
    tg_file_abort(&file);
    tg_heap_free(buffer);
    close(fd);
    return status;
}

tg_status tg_file_link(const char *dst, const char *src)
{
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        char *name = temporary_name(dst, attempt);
        if (name == NULL)
            return tg_no_memory("a path", strlen(dst));
        if (link(src, name) != 0) {
            const int error = errno;
            tg_heap_free(name);
            if (error == EEXIST)
                continue;
            if (error == ENOENT)
                return tg_fail_errno(error, "cannot link '%s' to '%s'", dst, src);
            return copy(dst, src); /* another file system, or one without links */
        }
        const int result = rename(name, dst), error = errno;
        unlink(name); /* rename leaves it where both are already the same file */
        tg_heap_free(name);
        if (result != 0)
            return tg_fail_errno(error, "cannot write '%s'", dst);
        return sync_parent(dst);
    }
    return tg_fail(TG_EIO, "cannot write '%s': too many temporary files beside it", dst);
}
