/* base/file.h -- writing one file so that nobody ever sees half of it.
 *
 *     tg_file file;
 *     tg_file_begin(&file, path);            a temporary file in path's directory
 *     tg_file_write(&file, data, bytes) ...
 *     tg_file_commit(&file);                 synced, renamed onto path, directory synced
 *
 * A reader, or a machine that loses power, has the old file or the new one. A failing write or commit removes the
 * temporary and leaves the old file; tg_file_abort does the same and is fine after either, and on {0}. */
#ifndef TG_BASE_FILE_H
#define TG_BASE_FILE_H

#include <stddef.h>

#include "tiger/status.h"

/* What the names of temporary files and directories begin with; a process that is killed may leave some. A flock is
 * held on those in use. */
#define TG_TEMPORARY ".tiger-tmp-"

typedef struct tg_file {
    char *path, *temporary;
    int descriptor;
} tg_file;

tg_status tg_file_begin(tg_file *file, const char *path);
tg_status tg_file_write(tg_file *file, const void *data, size_t bytes);
tg_status tg_file_commit(tg_file *file);
void tg_file_abort(tg_file *file);

/* The same in one call. */
tg_status tg_file_write_whole(const char *path, const void *data, size_t bytes);

/* `dst` becomes another name of the file `src`, or a copy of it where links cannot be made; atomically as above. */
tg_status tg_file_link(const char *dst, const char *src);

/* Waits until the names in a directory are on disk. */
tg_status tg_file_sync_directory(const char *path);

/* Heap texts, released by tg_heap_free; NULL when there is no memory. */
char *tg_file_join(const char *directory, const char *name); /* "directory/name" */
char *tg_file_parent(const char *path);                      /* "." for a bare name, "/" for the root */

#endif
