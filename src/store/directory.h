/* store/directory.h -- directories that appear whole, and the checkpoints of a run among them.
 *
 *     tg_directory dir;
 *     tg_directory_begin(&dir, parent, name);   makes PARENT/.tiger-tmp-NAME-PID, removes what killed processes left
 *     ... files are written into dir.temporary ...
 *     tg_directory_commit(&dir);                all synced, renamed to PARENT/NAME, PARENT synced
 *
 * Whenever the process or the machine dies, PARENT/NAME is the old directory or the new one, whole. An existing NAME is
 * exchanged with the new directory in one system call. Where the file system cannot do that, NAME is away for the
 * moment between two renames: then the old one is PARENT/.tiger-old-NAME, and tg_directory_recover (begin calls it)
 * puts it back. */
#ifndef TG_STORE_DIRECTORY_H
#define TG_STORE_DIRECTORY_H

#include <stddef.h>
#include <stdint.h>

#include "tiger/status.h"

typedef struct tg_directory {
    char *parent, *name;
    char *temporary; /* where to write files; NULL after commit and abort */
    int lock;        /* holds a lock on it: nobody takes it for a leftover */
} tg_directory;

tg_status tg_directory_begin(tg_directory *dir, const char *parent, const char *name);
/* Ends it either way. Failing, PARENT/NAME is as it was; only when the last sync of PARENT is what failed is it new. */
tg_status tg_directory_commit(tg_directory *dir);
void tg_directory_abort(tg_directory *dir); /* fine after commit, after a failed begin, and on {0} */

/* Puts back a directory whose replacing was cut short, and removes temporary files and directories that no living
 * process holds. Before a run looks for its newest checkpoint. */
tg_status tg_directory_recover(const char *parent);

tg_status tg_directory_make(const char *path);   /* with its parents; fine when it exists */
tg_status tg_directory_remove(const char *path); /* with all inside; follows no links; fine when absent */

/* ---- checkpoints: PARENT/checkpoint-00001234, by number of updates ---- */

#define TG_CHECKPOINT_NAME_BYTES 40
void tg_checkpoint_name(char name[TG_CHECKPOINT_NAME_BYTES], uint64_t update);

/* The updates that have a checkpoint, newest first; released by tg_heap_free. None, *count = 0, also when PARENT does
 * not exist. */
tg_status tg_checkpoint_list(uint64_t **updates, size_t *count, const char *parent);

#define TG_SPARE_NONE UINT64_MAX
/* Removes all but the newest `keep` (at least one) and that of update `spare`. A checkpoint loses its name before its
 * first file. */
tg_status tg_checkpoint_prune(const char *parent, size_t keep, uint64_t spare);

#endif
