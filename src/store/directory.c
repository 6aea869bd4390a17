/* store/directory.c -- replacing a directory so that a reader sees the old one or the new one.
 *
 * What exists when the process dies, step by step (the new files are synced before any rename; T is .tiger-tmp-, O is
 * .tiger-old-):
 *     making         NAME old or absent, T partly filled    the next begin removes T
 *     exchanged      NAME new, T old                        the next begin removes T
 * and where the file system cannot exchange:
 *     first rename   NAME absent, O old, T new              recover renames O to NAME
 *     second         NAME new, O old                        recover removes O
 * A T is a leftover when nobody holds its lock: locks die with their process, but numbers of processes come again. */
#define _GNU_SOURCE
#include "store/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "store/tree.h"

#define OLD ".tiger-old-"
#define ATTEMPTS 1000

static bool begins(const char *name, const char *with) { return strncmp(name, with, strlen(with)) == 0; }

/* A directory of ours, locked until closed: only one process at a time makes, exchanges or sweeps names in it. */
static tg_status open_parent(int *fd, const char *parent)
{
    const int opened = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened < 0)
        return tg_fail_errno(errno, "cannot open directory '%s'", parent);
    while (flock(opened, LOCK_EX) != 0 && errno == EINTR) /* a file system without locks has to do without */
        continue;
    *fd = opened;
    return TG_OK;
}

/* ---- leftovers ---- */

static bool is_held(int directory, const char *name)
{
    const int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    const bool held = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return held;
}

static tg_status recover_entry(void *ctx, int directory, const char *name)
{
    struct stat about;
    (void)ctx;
    if (begins(name, OLD)) {
        const char *true_name = name + strlen(OLD);
        if (fstatat(directory, true_name, &about, AT_SYMLINK_NOFOLLOW) == 0)
            return tg_tree_remove(directory, name);
        if (renameat(directory, name, directory, true_name) != 0)
            return tg_fail_errno(errno, "cannot put '%s' back", true_name);
        return fsync(directory) == 0 || errno == EINVAL ? TG_OK
                                                        : tg_fail_errno(errno, "cannot put '%s' back", true_name);
    }
    return begins(name, TG_TEMPORARY) && !is_held(directory, name) ? tg_tree_remove(directory, name) : TG_OK;
}

static tg_status recover(int parent)
{
    return tg_tree_each(parent, ".", recover_entry, NULL);
}

tg_status tg_directory_recover(const char *parent)
{
    int fd = -1;
    tg_status status = open_parent(&fd, parent);
    if (status != TG_OK)
        return status;
    status = recover(fd);
    close(fd);
    return status;
}

/* ---- life ---- */

void tg_directory_abort(tg_directory *dir)
{
    if (dir->temporary != NULL)
        (void)tg_directory_remove(dir->temporary); /* what stays is removed by the next begin */
    if (dir->parent != NULL && dir->lock >= 0) /* a zeroed struct holds no descriptor */
        close(dir->lock);
    tg_heap_free(dir->temporary);
    tg_heap_free(dir->parent);
    tg_heap_free(dir->name);
    *dir = (tg_directory){.lock = -1};
}

/* ".tiger-tmp-NAME-PID", and from the second attempt on "-ATTEMPT"; NULL when there is no memory. */
static char *temporary_path(const tg_directory *dir, int attempt)
{
    const size_t room = strlen(dir->name) + 64;
    char *name = tg_heap_alloc(room, 1), *path;
    if (name == NULL)
        return NULL;
    if (attempt == 0)
        snprintf(name, room, TG_TEMPORARY "%s-%ld", dir->name, (long)getpid());
    else
        snprintf(name, room, TG_TEMPORARY "%s-%ld-%d", dir->name, (long)getpid(), attempt);
    path = tg_file_join(dir->parent, name);
    tg_heap_free(name);
    return path;
}

/* The parent is locked: nobody can take the new directory for a leftover before it has its own lock. */
static tg_status make_temporary(tg_directory *dir)
{
    int error = EEXIST;
    for (int attempt = 0; attempt < ATTEMPTS && error == EEXIST; attempt++) {
        char *path = temporary_path(dir, attempt);
        if (path == NULL)
            return tg_no_memory("a path", strlen(dir->name));
        if (mkdir(path, 0777) == 0) {
            dir->temporary = path;
            dir->lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (dir->lock < 0)
                return tg_fail_errno(errno, "cannot open directory '%s'", path);
            (void)flock(dir->lock, LOCK_EX | LOCK_NB);
            return TG_OK;
        }
        error = errno;
        tg_heap_free(path);
    }
    return tg_fail_errno(error, "cannot make a directory in '%s'", dir->parent);
}

tg_status tg_directory_begin(tg_directory *dir, const char *parent, const char *name)
{
    int fd = -1;
    *dir = (tg_directory){.lock = -1};
    if (*name == 0 || *name == '.' || strchr(name, '/') != NULL)
        return tg_fail(TG_EINVAL, "'%s' is no name for a directory", name);
    dir->parent = tg_heap_text(parent);
    dir->name = tg_heap_text(name);
    tg_status status = dir->parent == NULL || dir->name == NULL ? tg_no_memory("a path", strlen(parent)) : TG_OK;
    if (status == TG_OK)
        status = open_parent(&fd, parent);
    if (status == TG_OK)
        status = recover(fd);
    if (status == TG_OK)
        status = make_temporary(dir);
    if (fd >= 0)
        close(fd);
    if (status != TG_OK)
        tg_directory_abort(dir);
    return status;
}

/* Two renames instead of one exchange; between them the old directory is .tiger-old-NAME. */
static tg_status replace_in_two(int parent, const char *temporary, const char *name)
{
    const size_t room = strlen(name) + sizeof OLD;
    char *old = tg_heap_alloc(room, 1);
    if (old == NULL)
        return tg_no_memory("a path", room);
    snprintf(old, room, OLD "%s", name);
    tg_status status = TG_OK;
    if (renameat(parent, name, parent, old) != 0)
        status = tg_fail_errno(errno, "cannot replace '%s'", name);
    else if (renameat(parent, temporary, parent, name) != 0) {
        status = tg_fail_errno(errno, "cannot replace '%s'", name);
        (void)renameat(parent, old, parent, name);
    }
    tg_heap_free(old);
    return status;
}

/* The new directory takes its name; an old one of that name is then called `temporary`, or .tiger-old-NAME. */
static tg_status give_name(int parent, const char *temporary, const char *name)
{
    if (renameat(parent, temporary, parent, name) == 0) /* absent, or empty */
        return TG_OK;
    if (errno != EEXIST && errno != ENOTEMPTY)
        return tg_fail_errno(errno, "cannot name directory '%s'", name);
#ifdef RENAME_EXCHANGE
    if (renameat2(parent, temporary, parent, name, RENAME_EXCHANGE) == 0)
        return TG_OK;
    if (errno != EINVAL && errno != ENOSYS)
        return tg_fail_errno(errno, "cannot replace '%s'", name);
#endif
    return replace_in_two(parent, temporary, name);
}

tg_status tg_directory_commit(tg_directory *dir)
{
    int parent = -1;
    const char *temporary = strrchr(dir->temporary, '/') + 1;
    tg_status status = tg_tree_sync(AT_FDCWD, dir->temporary);
    if (status == TG_OK)
        status = open_parent(&parent, dir->parent);
    if (status == TG_OK)
        status = give_name(parent, temporary, dir->name);
    if (status == TG_OK) {
        tg_heap_free(dir->temporary); /* from here on nothing of that name is ours to undo */
        dir->temporary = NULL;
        if (fsync(parent) != 0 && errno != EINVAL)
            status = tg_fail_errno(errno, "cannot sync directory '%s'", dir->parent);
        else
            (void)recover(parent); /* removes the old directory; a later begin does when this cannot */
    }
    if (parent >= 0)
        close(parent);
    tg_directory_abort(dir);
    return status;
}

tg_status tg_directory_remove(const char *path) { return tg_tree_remove(AT_FDCWD, path); }

tg_status tg_directory_make(const char *path)
{
    struct stat about;
    tg_status status = TG_OK;
    if (mkdir(path, 0777) == 0)
        return TG_OK;
    if (errno == EEXIST)
        return stat(path, &about) == 0 && S_ISDIR(about.st_mode)
                   ? TG_OK : tg_fail(TG_EIO, "'%s' exists and is no directory", path);
    if (errno != ENOENT)
        return tg_fail_errno(errno, "cannot make directory '%s'", path);
    char *parent = tg_file_parent(path);
    if (parent == NULL)
        return tg_no_memory("a path", strlen(path));
    if (strcmp(parent, path) == 0 || strcmp(parent, ".") == 0) /* nothing left to make */
        status = tg_fail_errno(ENOENT, "cannot make directory '%s'", path);
    else
        status = tg_directory_make(parent);
    tg_heap_free(parent);
    if (status == TG_OK && mkdir(path, 0777) != 0 && errno != EEXIST)
        status = tg_fail_errno(errno, "cannot make directory '%s'", path);
    return status;
}
