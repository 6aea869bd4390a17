/* store/checkpoint_list.c -- which checkpoints a run has, and removing the old ones. */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/sort.h"
#include "store/directory.h"
#include "store/tree.h"

#define PREFIX "checkpoint-"

void tg_checkpoint_name(char name[TG_CHECKPOINT_NAME_BYTES], uint64_t update)
{
    snprintf(name, TG_CHECKPOINT_NAME_BYTES, PREFIX "%08llu", (unsigned long long)update);
}

/* True, and *update, when `name` is exactly what tg_checkpoint_name makes. */
static bool is_checkpoint(const char *name, uint64_t *update)
{
    char again[TG_CHECKPOINT_NAME_BYTES];
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 || strlen(name) >= sizeof again)
        return false;
    uint64_t v = 0;
    for (const char *at = name + strlen(PREFIX); *at != 0; at++) {
        if (*at < '0' || *at > '9' || v > (UINT64_MAX - (uint64_t)(*at - '0')) / 10)
            return false;
        v = 10 * v + (uint64_t)(*at - '0');
    }
    tg_checkpoint_name(again, v);
    *update = v;
    return strcmp(name, again) == 0;
}

typedef struct found {
    uint64_t *update;
    size_t count, room;
} found;

static tg_status add(void *ctx, int directory, const char *name)
{
    found *f = ctx;
    struct stat about;
    uint64_t update;
    if (!is_checkpoint(name, &update) || fstatat(directory, name, &about, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISDIR(about.st_mode))
        return TG_OK;
    if (f->count == f->room) {
        const size_t room = f->room == 0 ? 16 : 2 * f->room;
        uint64_t *grown = tg_heap_resize(f->update, f->room, room, sizeof *grown);
        if (grown == NULL)
            return tg_no_memory("the list of checkpoints", room * sizeof *grown);
        f->update = grown;
        f->room = room;
    }
    f->update[f->count++] = update;
    return TG_OK;
}

static int newest_first(const void *ctx, size_t a, size_t b)
{
    const uint64_t *update = ctx;
    return (update[a] < update[b]) - (update[a] > update[b]);
}

/* *sorted <- a heap copy, newest first. */
static tg_status sort(uint64_t **sorted, const found *f)
{
    size_t *order = tg_heap_alloc(f->count, sizeof *order);
    uint64_t *copy = tg_heap_alloc(f->count, sizeof *copy);
    if (order == NULL || copy == NULL) {
        tg_heap_free(order);
        tg_heap_free(copy);
        return tg_no_memory("the list of checkpoints", f->count * sizeof *copy);
    }
    for (size_t i = 0; i < f->count; i++)
        order[i] = i;
    tg_sort(order, f->count, newest_first, f->update);
    for (size_t i = 0; i < f->count; i++)
        copy[i] = f->update[order[i]];
    tg_heap_free(order);
    *sorted = copy;
    return TG_OK;
}

tg_status tg_checkpoint_list(uint64_t **updates, size_t *count, const char *parent)
{
    found f = {0};
    uint64_t *sorted = NULL;
    tg_status status = tg_tree_each(AT_FDCWD, parent, add, &f);
    if (status == TG_ENOTFOUND)
        status = TG_OK;
    if (status == TG_OK)
        status = sort(&sorted, &f);
    if (status == TG_OK) {
        *updates = sorted;
        *count = f.count;
    }
    tg_heap_free(f.update);
    return status;
}

/* Away from its name in one step; then nobody takes what is left of it for a checkpoint. */
static tg_status remove_checkpoint(int parent, uint64_t update)
{
    char name[TG_CHECKPOINT_NAME_BYTES], gone[TG_CHECKPOINT_NAME_BYTES + 40];
    tg_checkpoint_name(name, update);
    snprintf(gone, sizeof gone, TG_TEMPORARY "%s-%ld-gone", name, (long)getpid());
    if (renameat(parent, name, parent, gone) != 0)
        return errno == ENOENT ? TG_OK : tg_fail_errno(errno, "cannot remove '%s'", name);
    return tg_tree_remove(parent, gone);
}

tg_status tg_checkpoint_prune(const char *parent, size_t keep, uint64_t spare)
{
    uint64_t *updates;
    size_t count;
    tg_status status = tg_checkpoint_list(&updates, &count, parent);
    if (status != TG_OK)
        return status;
    const int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        status = tg_fail_errno(errno, "cannot open directory '%s'", parent);
    for (size_t i = keep == 0 ? 1 : keep; i < count && status == TG_OK; i++)
        if (updates[i] != spare)
            status = remove_checkpoint(fd, updates[i]);
    if (fd >= 0)
        close(fd);
    tg_heap_free(updates);
    return status;
}
