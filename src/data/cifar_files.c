/* data/cifar_files.c -- see cifar_files.h. Names are those of cifar-10-binary.tar.gz and cifar-100-binary.tar.gz. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "data/cifar_files.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"

#define BATCHES 5

static const struct archive {
    const char *train[BATCHES + 1], *test; /* NULL behind the last */
} archives[] = {
    {{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", NULL},
     "test_batch.bin"},
    {{"train.bin", NULL}, "test.bin"},
};

/* ---- which files ---- */

static bool is_directory(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

static bool exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

/* Takes `path`, of the heap, over. */
static tg_status take(tg_cifar_files *files, char *path)
{
    if (path == NULL)
        return tg_no_memory("a path", 4096);
    if (files->count == TG_CIFAR_MOST_FILES) {
        tg_heap_free(path);
        return tg_fail(TG_EINVAL, "more than %d files of images at once", TG_CIFAR_MOST_FILES);
    }
    files->path[files->count++] = path;
    return TG_OK;
}

/* How many of an archive's training files there are; `missing` is the first that is not. */
static tg_status count_files(size_t *there, const char **missing, const char *directory, const struct archive *a)
{
    *there = 0;
    *missing = NULL;
    for (size_t i = 0; a->train[i] != NULL; i++) {
        char *path = tg_file_join(directory, a->train[i]);
        if (path == NULL)
            return tg_no_memory("a path", strlen(directory));
        if (exists(path))
            ++*there;
        else if (*missing == NULL)
            *missing = a->train[i];
        tg_heap_free(path);
    }
    return TG_OK;
}

static tg_status take_archive(tg_cifar_files *files, const char *directory, const struct archive *a, tg_cifar_part part)
{
    char *test = tg_file_join(directory, a->test);
    tg_status status = test == NULL ? tg_no_memory("a path", strlen(directory)) : TG_OK;
    const bool has_test = test != NULL && exists(test);
    for (size_t i = 0; a->train[i] != NULL && (part != TG_CIFAR_TEST || !has_test) && status == TG_OK; i++)
        status = take(files, tg_file_join(directory, a->train[i]));
    if (status != TG_OK || !has_test || part == TG_CIFAR_TRAIN) {
        tg_heap_free(test);
        return status;
    }
    files->tests = part == TG_CIFAR_TRAIN_AND_TEST;
    return take(files, test);
}

static tg_status find_in(tg_cifar_files *files, const char *directory, tg_cifar_part part)
{
    for (size_t i = 0; i < sizeof archives / sizeof *archives; i++) {
        size_t there;
        const char *missing;
        const tg_status status = count_files(&there, &missing, directory, &archives[i]);
        if (status != TG_OK)
            return status;
        if (there > 0 && missing != NULL)
            return tg_fail(
                TG_EINVAL,
                "'%s' has no %s: unpack the archive again, or name the files to be read, with commas between them",
                directory, missing);
        if (there > 0)
            return take_archive(files, directory, &archives[i], part);
    }
    return tg_fail(
        TG_EINVAL,
        "'%s' is a directory, and has neither data_batch_1.bin, as CIFAR-10's, nor train.bin, as CIFAR-100's: name a "
        "file",
        directory);
}

/* Files with commas between them. */
static tg_status take_list(tg_cifar_files *files, const char *said)
{
    tg_status status = TG_OK;
    for (const char *at = said; status == TG_OK; at++) {
        const size_t bytes = strcspn(at, ",");
        char *path = bytes == 0 ? NULL : tg_heap_alloc(bytes + 1, 1);
        if (bytes == 0)
            return tg_fail(TG_EINVAL, "'%s': a file between commas has no name", said);
        if (path != NULL) {
            memcpy(path, at, bytes);
            path[bytes] = '\0';
        }
        status = take(files, path);
        at += bytes;
        if (*at == '\0')
            break;
    }
    return status;
}

tg_status tg_cifar_files_find(tg_cifar_files *files, const char *said, tg_cifar_part part)
{
    *files = (tg_cifar_files){0};
    const tg_status status = is_directory(said)                          ? find_in(files, said, part)
                             : strchr(said, ',') == NULL || exists(said) ? take(files, tg_heap_text(said))
                                                                         : take_list(files, said);
    if (status != TG_OK)
        tg_cifar_files_fini(files);
    return status;
}

void tg_cifar_files_fini(tg_cifar_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        tg_heap_free(files->path[i]);
    *files = (tg_cifar_files){0};
}

/* A file's own path, or what was said where there is none. */
static char *absolute(const char *path)
{
    char *found = realpath(path, NULL), *copy = tg_heap_text(found != NULL ? found : path);
    free(found);
    return copy;
}

char *tg_cifar_files_absolute(const char *said)
{
    tg_cifar_files files;
    if (strchr(said, ',') == NULL || exists(said) || tg_cifar_files_find(&files, said, TG_CIFAR_TRAIN) != TG_OK)
        return absolute(said);
    char *all = NULL;
    for (size_t i = 0; i < files.count; i++) {
        char *path = absolute(files.path[i]), *before = all;
        const size_t bytes = path == NULL ? 0 : strlen(path) + (before == NULL ? 0 : strlen(before)) + 2;
        all = path == NULL ? NULL : tg_heap_alloc(bytes, 1);
        if (all != NULL)
            snprintf(all, bytes, "%s%s%s", before == NULL ? "" : before, before == NULL ? "" : ",", path);
        tg_heap_free(path);
        tg_heap_free(before);
        if (all == NULL)
            break;
    }
    tg_cifar_files_fini(&files);
    return all;
}

/* ---- their records ---- */

/* Records of one file, which stays open. */
static tg_status open_one(tg_cifar *records, tg_packed *file, const char *path)
{
    tg_status status = tg_packed_open(file, path);
    if (status == TG_OK)
        status = tg_cifar_parse(records, file->at, file->bytes, path);
    return status;
}

/* Looks at all of them, one after the other: what they come to. */
static tg_status survey(tg_cifar *all, size_t *tests, size_t *bytes, const tg_cifar_files *files)
{
    *all = (tg_cifar){0};
    *tests = *bytes = 0;
    for (size_t i = 0; i < files->count; i++) {
        tg_packed file = {0};
        tg_cifar one;
        tg_status status = open_one(&one, &file, files->path[i]);
        if (status == TG_OK && i > 0 && one.classes != all->classes)
            status = tg_fail(TG_EFORMAT, "'%s' has images of %zu classes, and '%s' of %zu", files->path[i], one.classes,
                             files->path[0], all->classes);
        if (status == TG_OK && file.bytes > SIZE_MAX - *bytes)
            status = tg_no_memory("images", SIZE_MAX);
        const size_t file_bytes = file.bytes;
        tg_packed_close(&file);
        if (status != TG_OK)
            return status;
        all->classes = one.classes;
        all->step = one.step;
        all->count += one.count;
        *bytes += file_bytes;
        *tests += i >= files->count - files->tests ? one.count : 0;
    }
    return TG_OK;
}

static tg_status copy_all(char *to, size_t bytes, const tg_cifar_files *files)
{
    for (size_t i = 0, at = 0; i < files->count; i++) {
        tg_packed file = {0};
        tg_cifar one;
        tg_status status = open_one(&one, &file, files->path[i]);
        if (status == TG_OK && (file.bytes > bytes - at || (i + 1 == files->count && file.bytes < bytes - at)))
            status = tg_fail(TG_EFORMAT, "'%s' has changed while it was read", files->path[i]);
        if (status == TG_OK)
            memcpy(to + at, file.at, file.bytes);
        at += file.bytes;
        tg_packed_close(&file);
        if (status != TG_OK)
            return status;
    }
    return TG_OK;
}

tg_status tg_cifar_join(tg_cifar *all, size_t *tests, tg_packed *block, const tg_cifar_files *files)
{
    tg_packed joined = {0};
    tg_cifar records;
    size_t held;
    tg_status status = survey(&records, &held, &joined.room, files);
    if (status != TG_OK)
        return status;
    char *to = tg_alloc(NULL, joined.room, 1);
    if (to == NULL)
        return tg_no_memory("images", joined.room);
    joined.at = to;
    joined.bytes = joined.room;
    status = copy_all(to, joined.bytes, files);
    if (status != TG_OK) {
        tg_packed_close(&joined);
        return status;
    }
    records.label = (const unsigned char *)to + records.step - TG_CIFAR_IMAGE_BYTES - 1;
    records.image = records.label + 1;
    *block = joined;
    *all = records;
    *tests = held;
    return TG_OK;
}
