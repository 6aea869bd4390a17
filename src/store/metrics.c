/* store/metrics.c -- metrics.jsonl: whole lines appended, and cut back when a run resumes. */
#include "store/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/text.h"
#include "store/append.h"

struct tg_metrics {
    int descriptor;
    char *path;
    tg_text line;
};

void tg_metrics_destroy(tg_metrics *m)
{
    if (m == NULL)
        return;
    if (m->descriptor >= 0)
        close(m->descriptor);
    tg_text_free(&m->line);
    tg_heap_free(m->path);
    tg_heap_free(m);
}

static tg_status open_file(tg_metrics **out, const char *path, int flags)
{
    tg_metrics *m = tg_heap_alloc(1, sizeof *m);
    if (m == NULL)
        return tg_no_memory("metrics", sizeof *m);
    m->descriptor = -1;
    m->path = tg_heap_text(path);
    tg_status status = m->path == NULL ? tg_no_memory("metrics", strlen(path)) : TG_OK;
    if (status == TG_OK) {
        m->descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | flags, 0666);
        if (m->descriptor < 0)
            status = tg_fail_errno(errno, "cannot write '%s'", path);
    }
    if (status != TG_OK)
        tg_metrics_destroy(m);
    else
        *out = m;
    return status;
}

tg_status tg_metrics_create(tg_metrics **out, const char *path) { return open_file(out, path, O_TRUNC); }

/* ---- resuming ---- */

/* A whole object, of an update no later than `update` (or of none). */
static bool is_kept(const char *line, size_t bytes, uint64_t update)
{
    json_t *object = json_loadb(line, bytes, 0, NULL);
    const json_t *number = json_object_get(object, "update");
    const bool kept = json_is_object(object) &&
                      (!json_is_number(number) || json_number_value(number) <= (double)update);
    json_decref(object);
    return kept;
}

/* The kept lines of `text` into `path`, in runs of neighbours. */
static tg_status rewrite(const char *path, const char *text, size_t bytes, uint64_t update)
{
    tg_file file;
    tg_status status = tg_file_begin(&file, path);
    size_t from = 0, at = 0; /* text[from .. at) is kept and not yet written */
    while (at < bytes && status == TG_OK) {
        const char *end = memchr(text + at, '\n', bytes - at);
        const size_t next = end == NULL ? bytes : (size_t)(end - text) + 1;
        if (!is_kept(text + at, next - at, update)) {
            status = tg_file_write(&file, text + from, at - from);
            from = next;
        }
        at = next;
    }
    if (status == TG_OK && from < at) {
        status = tg_file_write(&file, text + from, at - from);
        if (status == TG_OK && text[at - 1] != '\n')
            status = tg_file_write(&file, "\n", 1);
    }
    return status == TG_OK ? tg_file_commit(&file) : status;
}

static tg_status cut_back(const char *path, uint64_t update)
{
    struct stat about;
    tg_status status = TG_OK;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? TG_OK : tg_fail_errno(errno, "cannot open '%s'", path);
    if (fstat(fd, &about) != 0)
        status = tg_fail_errno(errno, "cannot open '%s'", path);
    else if (!S_ISREG(about.st_mode))
        status = tg_fail(TG_EIO, "'%s' is no regular file", path);
    else if (about.st_size > 0) {
        void *map = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
            status = tg_fail_errno(errno, "cannot map '%s'", path);
        else {
            status = rewrite(path, map, (size_t)about.st_size, update);
            munmap(map, (size_t)about.st_size);
        }
    }
    close(fd);
    return status;
}

tg_status tg_metrics_resume(tg_metrics **out, const char *path, uint64_t update)
{
    const tg_status status = cut_back(path, update);
    return status == TG_OK ? open_file(out, path, 0) : status;
}

/* ---- appending ---- */

static bool append_field(tg_text *line, const tg_metric *field)
{
    tg_text_append(line, ",", 1);
    if (!tg_text_quoted(line, field->name))
        return false;
    tg_text_append(line, ":", 1);
    if (field->text != NULL)
        return tg_text_quoted(line, field->text);
    if (field->json != NULL) {
        tg_text_append(line, field->json, strlen(field->json));
        return true;
    }
    char number[TG_NUMBER_BYTES] = "null";
    if (isfinite(field->value))
        tg_number_print(number, field->value);
    tg_text_append(line, number, strlen(number));
    return true;
}

tg_status tg_metrics_append(tg_metrics *m, uint64_t update, const tg_metric *fields, size_t count)
{
    m->line.used = 0;
    m->line.failed = false;
    tg_text_format(&m->line, "{\"update\":%" PRIu64, update);
    for (size_t i = 0; i < count; i++)
        if (!append_field(&m->line, &fields[i]))
            return tg_fail(TG_EINVAL, "'%s': a metric's name or text is not UTF-8", m->path);
    tg_text_append(&m->line, "}\n", 2);
    return m->line.failed ? tg_no_memory("a line of metrics", m->line.room)
                          : tg_append_whole(m->descriptor, m->path, m->line.at, m->line.used);
}

tg_status tg_metrics_sync(tg_metrics *m)
{
    return fsync(m->descriptor) == 0 ? TG_OK : tg_fail_errno(errno, "cannot sync '%s'", m->path);
}
