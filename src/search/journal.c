/* search/journal.c -- see journal.h. */
#define _XOPEN_SOURCE 700 /* symlink */
#include "search/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "store/append.h"

#define WAIT_LEAST 1000000L /* nanoseconds */
#define WAIT_MOST 1000000000L
#define ABANDONED 30.0 /* seconds for which a lock has not changed */
#define PIECE (1u << 16)

tg_status tg_journal_open(tg_journal *j, const char *path)
{
    char *copy = tg_heap_text(path), *lock = tg_heap_alloc(strlen(path) + sizeof ".lock", 1);
    *j = (tg_journal){.path = copy, .lock = lock, .descriptor = -1};
    if (copy == NULL || lock == NULL)
        return tg_no_memory("a journal", strlen(path));
    memcpy(lock, path, strlen(path));
    memcpy(lock + strlen(path), ".lock", sizeof ".lock");
    j->descriptor = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    return j->descriptor >= 0 ? TG_OK : tg_fail_errno(errno, "cannot open '%s'", path);
}

void tg_journal_fini(tg_journal *j)
{
    while (j->held > 0)
        tg_journal_unlock(j);
    if (j->descriptor >= 0)
        close(j->descriptor);
    tg_heap_free(j->path);
    tg_heap_free(j->lock);
    *j = (tg_journal){.descriptor = -1};
}

/* ---- the lock ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Away by a name of its own first: of two who would remove it, one finds that it is gone. */
static void remove_lock(const tg_journal *j)
{
    char *away = tg_heap_alloc(strlen(j->lock) + 64, 1);
    struct timespec t;
    if (away == NULL) {
        unlink(j->lock);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &t);
    snprintf(away, strlen(j->lock) + 64, "%s.%ld.%ld.%ld", j->lock, (long)getpid(), (long)t.tv_sec, t.tv_nsec);
    if (rename(j->lock, away) == 0)
        unlink(away);
    tg_heap_free(away);
}

tg_status tg_journal_lock(tg_journal *j)
{
    struct stat about, before = {0};
    double since = now();
    long wait = WAIT_LEAST;
    if (j->held > 0)
        return j->held++, TG_OK;
    while (symlink(j->path, j->lock) != 0) {
        if (errno != EEXIST)
            return tg_fail_errno(errno, "cannot lock '%s'", j->path);
        const bool there = lstat(j->lock, &about) == 0;
        if (!there || about.st_ino != before.st_ino || about.st_mtim.tv_sec != before.st_mtim.tv_sec ||
            about.st_mtim.tv_nsec != before.st_mtim.tv_nsec) {
            since = now(); /* another's by now */
            before = there ? about : (struct stat){0};
        } else if (now() - since > ABANDONED) {
            remove_lock(j);
            continue;
        }
        nanosleep(&(struct timespec){.tv_sec = wait / 1000000000L, .tv_nsec = wait % 1000000000L}, NULL);
        wait = 2 * wait < WAIT_MOST ? 2 * wait : WAIT_MOST;
    }
    j->held = 1;
    return TG_OK;
}

void tg_journal_unlock(tg_journal *j)
{
    if (j->held > 0 && --j->held == 0)
        remove_lock(j);
}

/* ---- reading ---- */

/* Python writes NaN, Infinity and -Infinity outside of texts; what JSON has for them comes in their place. */
static void put_right(tg_text *out, const char *line, size_t bytes)
{
    static const struct {
        const char *word, *json;
    } words[] = {{"NaN", "null"}, {"Infinity", "1.7976931348623157e308"}};
    bool quoted = false;
    out->used = 0;
    for (size_t i = 0; i < bytes;) {
        size_t length = 1;
        const char *as = line + i;
        size_t as_length = 1;
        if (quoted && line[i] == '\\' && i + 1 < bytes)
            length = as_length = 2;
        else if (line[i] == '"')
            quoted = !quoted;
        for (size_t w = 0; !quoted && w < sizeof words / sizeof *words; w++)
            if (bytes - i >= strlen(words[w].word) && memcmp(line + i, words[w].word, strlen(words[w].word)) == 0) {
                length = strlen(words[w].word);
                as = words[w].json;
                as_length = strlen(as);
            }
        tg_text_append(out, as, as_length);
        i += length;
    }
}

/* text <- all bytes behind j->at. */
static tg_status load(tg_text *text, const tg_journal *j)
{
    char *piece = tg_heap_alloc(PIECE, 1);
    ssize_t got = piece == NULL ? 0 : 1;
    if (piece == NULL)
        return tg_no_memory("a journal", PIECE);
    while (got > 0 && !text->failed) {
        got = pread(j->descriptor, piece, PIECE, (off_t)(j->at + text->used));
        if (got > 0)
            tg_text_append(text, piece, (size_t)got);
        else if (got < 0 && errno == EINTR)
            got = 1;
    }
    tg_heap_free(piece);
    if (got < 0)
        return tg_fail_errno(errno, "cannot read '%s'", j->path);
    return text->failed ? tg_no_memory("a journal", text->room) : TG_OK;
}

tg_status tg_journal_read(tg_journal *j, tg_status (*take)(void *ctx, const json_t *record), void *ctx)
{
    tg_text text = {0}, line = {0};
    tg_status status = load(&text, j);
    for (size_t at = 0; status == TG_OK && at < text.used;) {
        const char *end = memchr(text.at + at, '\n', text.used - at);
        json_error_t error;
        if (end == NULL)
            break;
        const size_t bytes = (size_t)(end - text.at) - at;
        put_right(&line, text.at + at, bytes);
        json_t *record = line.failed ? NULL : json_loadb(line.at, line.used, 0, &error);
        if (line.failed)
            status = tg_no_memory("a journal", bytes);
        else if (!json_is_object(record))
            status = tg_fail(TG_EFORMAT, "'%s', line %zu: no JSON object (%s): not a journal of Optuna's, or damaged",
                             j->path, j->line + 1, record == NULL ? error.text : "something else");
        else if ((status = take(ctx, record)) == TG_EFORMAT)
            status = tg_fail(TG_EFORMAT, "'%s', line %zu: %s", j->path, j->line + 1, tg_message());
        json_decref(record);
        if (status == TG_OK) {
            j->at += bytes + 1;
            j->line++;
            at += bytes + 1;
        }
    }
    tg_text_free(&line);
    tg_text_free(&text);
    return status;
}

/* ---- appending ---- */

tg_status tg_journal_append(tg_journal *j, const tg_text *lines)
{
    struct stat about;
    if (lines->failed)
        return tg_no_memory("a journal's lines", lines->room);
    if (fstat(j->descriptor, &about) != 0)
        return tg_fail_errno(errno, "cannot write '%s'", j->path);
    if ((size_t)about.st_size > j->at &&
        ftruncate(j->descriptor, (off_t)j->at) != 0) /* all has been read but a torn line */
        return tg_fail_errno(errno, "cannot cut the torn line off '%s'", j->path);
    const tg_status status = tg_append_whole(j->descriptor, j->path, lines->at, lines->used);
    if (status == TG_OK && fsync(j->descriptor) != 0)
        return tg_fail_errno(errno, "cannot sync '%s'", j->path);
    return status;
}
