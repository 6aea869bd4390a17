/* search/journal.h -- Optuna's journal file: JSON objects, one a line, appended by any number of processes.
 *
 * Who appends holds the lock: a symbolic link PATH.lock to PATH, made by symlink(), which fails when it is there. The link of
 * a process that died is broken when it has been the same for 30 seconds. A last line that has no end was torn by a crash;
 * readers pass it over, and it is cut off before the next append. (Optuna 3.1 to 5.0: JournalFileBackend with
 * JournalFileSymlinkLock, its defaults.) */
#ifndef TG_SEARCH_JOURNAL_H
#define TG_SEARCH_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "base/text.h"
#include "tiger/status.h"

typedef struct tg_journal {
    char *path, *lock;
    int descriptor;
    size_t at, line; /* read so far: bytes, all of whole lines, and these lines */
    unsigned held;   /* times that the lock was taken and not given back */
} tg_journal;

/* Makes the file when it does not exist. fini is fine on {.descriptor = -1}. */
tg_status tg_journal_open(tg_journal *journal, const char *path);
void tg_journal_fini(tg_journal *journal);

/* Hands out the whole lines behind those read before, each an object. Python's NaN and Infinity, which are no JSON, are
 * null and the largest double. TG_EFORMAT with the number of a line that is none; so is what `take` refuses. */
tg_status tg_journal_read(tg_journal *journal, tg_status (*take)(void *ctx, const json_t *record), void *ctx);

/* May be taken again by who holds it, and is then given back as often. */
tg_status tg_journal_lock(tg_journal *journal);
void tg_journal_unlock(tg_journal *journal);
/* Under the lock: whole lines, on disk when it returns; or none. */
tg_status tg_journal_append(tg_journal *journal, const tg_text *lines);

#endif
