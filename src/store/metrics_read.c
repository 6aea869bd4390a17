/* store/metrics_read.c -- one number of metrics.jsonl over the updates. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "tiger/engine/metrics.h"

void tg_series_fini(tg_series *s)
{
    tg_heap_free(s->update);
    tg_heap_free(s->value);
    *s = (tg_series){0};
}

static tg_status append(tg_series *s, double update, double value)
{
    if (s->count == s->room) {
        const size_t room = 2 * s->room + 256;
        double *grown = tg_heap_resize(s->update, s->room, room, sizeof *grown);
        if (grown == NULL)
            return tg_no_memory("a run's metrics", room * sizeof *grown);
        s->update = grown;
        grown = tg_heap_resize(s->value, s->room, room, sizeof *grown);
        if (grown == NULL)
            return tg_no_memory("a run's metrics", room * sizeof *grown);
        s->value = grown;
        s->room = room;
    }
    s->update[s->count] = update;
    s->value[s->count++] = value;
    return TG_OK;
}

/* Numbers that are null were not finite: left out. */
static tg_status read_line(tg_series *s, const char *line, size_t bytes, const char *name, size_t number,
                           const char *file)
{
    json_error_t error;
    json_t *object = json_loadb(line, bytes, 0, &error);
    const json_t *update = json_object_get(object, "update"), *value = json_object_get(object, name);
    tg_status status = TG_OK;
    if (object == NULL)
        status = tg_fail(TG_EFORMAT, "%s: line %zu: %s", file, number, error.text);
    else if (!json_is_object(object))
        status = tg_fail(TG_EFORMAT, "%s: line %zu is no JSON object", file, number);
    else if (json_is_number(update) && json_is_number(value))
        status = append(s, json_number_value(update), json_number_value(value));
    json_decref(object);
    return status;
}

tg_status tg_series_parse(tg_series *series, const char *text, size_t bytes, const char *name, const char *file)
{
    tg_series s = {0};
    tg_status status = TG_OK;
    size_t number = 1;
    for (const char *line = text, *end; status == TG_OK; line = end + 1, number++) {
        end = memchr(line, '\n', bytes - (size_t)(line - text));
        if (end == NULL)
            break;
        status = read_line(&s, line, (size_t)(end - line), name, number, file);
    }
    if (status == TG_OK)
        *series = s;
    else
        tg_series_fini(&s);
    return status;
}

static tg_status read_file(tg_series *series, const char *path, const char *name)
{
    struct stat about;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return tg_fail_errno(errno, "cannot open '%s'", path);
    tg_status status = TG_OK;
    if (fstat(fd, &about) != 0)
        status = tg_fail_errno(errno, "cannot open '%s'", path);
    else if (!S_ISREG(about.st_mode))
        status = tg_fail(TG_EIO, "'%s' is no regular file", path);
    else if (about.st_size == 0)
        *series = (tg_series){0};
    else {
        void *map = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
            status = tg_fail_errno(errno, "cannot map '%s'", path);
        else {
            status = tg_series_parse(series, map, (size_t)about.st_size, name, path);
            munmap(map, (size_t)about.st_size);
        }
    }
    close(fd);
    return status;
}

tg_status tg_series_read(tg_series *series, const char *directory, const char *name)
{
    char *path = tg_file_join(directory, "metrics.jsonl");
    if (path == NULL)
        return tg_no_memory("a path", strlen(directory));
    const tg_status status = read_file(series, path, name);
    tg_heap_free(path);
    return status;
}
