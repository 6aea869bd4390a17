/* store/events.c -- see events.h. Messages are built from their end: a tag, a length, and what is inside. */
#define _DEFAULT_SOURCE /* gethostname */
#include "store/events.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "store/append.h"
#include "store/crc32c.h"
#include "store/tree.h"

#define PREFIX "events.out.tfevents."
#define BUCKETS 40
#define ATTEMPTS 100

struct tg_events {
    int descriptor;
    char *path;
    tg_text summary, value, event, record; /* being built, each inside the next */
};

/* ---- protocol buffers: the wire format --------------------------------------------------------------------------- */

enum { VARINT, FIXED64, BYTES, FIXED32 = 5 }; /* wire types */

static void put_varint(tg_text *to, uint64_t value)
{
    char bytes[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        bytes[n++] = (char)(value | 0x80);
    bytes[n++] = (char)value;
    tg_text_append(to, bytes, n);
}

static void put_key(tg_text *to, unsigned field, unsigned type) { put_varint(to, field << 3 | type); }

static void put_little_endian(tg_text *to, uint64_t value, size_t count)
{
    char bytes[8];
    for (size_t i = 0; i < count; i++)
        bytes[i] = (char)(value >> 8 * i);
    tg_text_append(to, bytes, count);
}

static void put_bits(tg_text *to, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_little_endian(to, bits, sizeof bits);
}

static void put_double(tg_text *to, unsigned field, double value)
{
    put_key(to, field, FIXED64);
    put_bits(to, value);
}

static void put_float(tg_text *to, unsigned field, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(to, field, FIXED32);
    put_little_endian(to, bits, sizeof bits);
}

static void put_bytes(tg_text *to, unsigned field, const void *bytes, size_t count)
{
    put_key(to, field, BYTES);
    put_varint(to, count);
    tg_text_append(to, bytes, count);
}

static void put_doubles(tg_text *to, unsigned field, const double *values, size_t count)
{
    put_key(to, field, BYTES);
    put_varint(to, count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        put_bits(to, values[i]);
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static double wall_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void begin_event(tg_events *e, uint64_t step)
{
    e->event.used = 0;
    put_double(&e->event, 1, wall_time());
    put_key(&e->event, 2, VARINT);
    put_varint(&e->event, step);
}

static void put_record(tg_text *to, const tg_text *data)
{
    const size_t at = to->used;
    put_little_endian(to, data->used, 8);
    const uint32_t of_length = to->failed ? 0 : tg_crc32c_masked(to->at + at, 8);
    put_little_endian(to, of_length, 4);
    tg_text_append(to, data->at, data->used);
    put_little_endian(to, tg_crc32c_masked(data->at, data->used), 4);
}

/* Appends the records; everything is collected anew. */
static tg_status write_records(tg_events *e)
{
    const bool failed = e->summary.failed || e->value.failed || e->event.failed || e->record.failed;
    const tg_status status = failed ? tg_no_memory("events", e->record.room)
                                    : tg_append_whole(e->descriptor, e->path, e->record.at, e->record.used);
    e->summary.used = e->record.used = 0;
    return status;
}

tg_status tg_events_flush(tg_events *e, uint64_t step)
{
    if (e->summary.used == 0 && !e->summary.failed)
        return TG_OK;
    begin_event(e, step);
    put_bytes(&e->event, 5, e->summary.at, e->summary.used);
    put_record(&e->record, &e->event);
    return write_records(e);
}

tg_status tg_events_sync(tg_events *e)
{
    return fsync(e->descriptor) == 0 ? TG_OK : tg_fail_errno(errno, "cannot sync '%s'", e->path);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static void begin_value(tg_events *e, const char *tag)
{
    e->value.used = 0;
    put_bytes(&e->value, 1, tag, strlen(tag));
}

static void end_value(tg_events *e) { put_bytes(&e->summary, 1, e->value.at, e->value.used); }

void tg_events_scalar(tg_events *e, const char *tag, double value)
{
    begin_value(e, tag);
    put_float(&e->value, 2, (float)value);
    end_value(e);
}

typedef struct histogram {
    double least, most, count, sum, squares;
    double limit[BUCKETS], bucket[BUCKETS];
} histogram;

static void measure(histogram *h, const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const double v = values[i];
        if (!isfinite(v))
            continue;
        h->least = fmin(h->least, v);
        h->most = fmax(h->most, v);
        h->count++;
        h->sum += v;
        h->squares += v * v;
    }
}

static void fill(histogram *h, const float *values, size_t count)
{
    const double width = (h->most - h->least) / BUCKETS;
    for (size_t b = 0; b < BUCKETS; b++)
        h->limit[b] = b + 1 == BUCKETS ? h->most : h->least + (double)(b + 1) * width;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i]))
            continue;
        const double at = width > 0 ? (values[i] - h->least) / width : 0;
        h->bucket[at < BUCKETS - 1 ? (size_t)at : BUCKETS - 1]++;
    }
}

void tg_events_histogram(tg_events *e, const char *tag, const float *values, size_t count)
{
    histogram h = {.least = INFINITY, .most = -INFINITY};
    measure(&h, values, count);
    if (h.count == 0)
        return;
    fill(&h, values, count);
    const size_t buckets = h.most > h.least ? BUCKETS : 1; /* all the same: one bucket, which ends there */
    if (buckets == 1)
        h.limit[0] = h.most;
    const double number[] = {h.least, h.most, h.count, h.sum, h.squares};
    tg_text *inner = &e->event; /* free between events */
    inner->used = 0;
    for (unsigned i = 0; i < 5; i++)
        put_double(inner, i + 1, number[i]);
    put_doubles(inner, 6, h.limit, buckets);
    put_doubles(inner, 7, h.bucket, buckets);
    begin_value(e, tag);
    put_bytes(&e->value, 5, inner->at, inner->used);
    end_value(e);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* *ctx <- the latest of the seconds in names of event files. */
static tg_status see_name(void *ctx, int directory, const char *name)
{
    long long *latest = ctx;
    (void)directory;
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
        return TG_OK;
    const long long seconds = strtoll(name + strlen(PREFIX), NULL, 10);
    *latest = seconds > *latest && seconds < 9999999999 ? seconds : *latest;
    return TG_OK;
}

/* Names are read in their order: the seconds, ten digits, are above those of every file that is there. */
static char *name_behind(const char *directory, long long latest, int attempt)
{
    char host[64] = "", name[160];
    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
        snprintf(host, sizeof host, "localhost");
    for (char *c = host; *c != '\0'; c++)
        *c = *c == '/' ? '-' : *c;
    const long long now = (long long)wall_time();
    snprintf(name, sizeof name, PREFIX "%010lld.%s.%ld", (now > latest ? now : latest + 1) + attempt, host,
             (long)getpid());
    return tg_file_join(directory, name);
}

static tg_status open_file(tg_events *e, const char *directory)
{
    long long latest = 0;
    tg_status status = tg_tree_each(AT_FDCWD, directory, see_name, &latest);
    int error = EEXIST;
    for (int attempt = 0; status == TG_OK && error == EEXIST && attempt < ATTEMPTS; attempt++) {
        tg_heap_free(e->path);
        e->path = name_behind(directory, latest, attempt);
        if (e->path == NULL)
            return tg_no_memory("a path", strlen(directory));
        e->descriptor = open(e->path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (e->descriptor >= 0)
            return TG_OK;
        error = errno;
    }
    return status != TG_OK ? status : tg_fail_errno(error, "cannot write '%s'", e->path);
}

static tg_status write_beginning(tg_events *e, uint64_t first)
{
    static const char version[] = "brain.Event:2", start[] = {1 << 3, 1}; /* field 1, a varint: START */
    begin_event(e, 0);
    put_bytes(&e->event, 3, version, sizeof version - 1);
    put_record(&e->record, &e->event);
    begin_event(e, first);
    put_bytes(&e->event, 7, start, sizeof start);
    put_record(&e->record, &e->event);
    return write_records(e);
}

tg_status tg_events_create(tg_events **out, const char *directory, uint64_t first)
{
    tg_events *e = tg_heap_alloc(1, sizeof *e);
    if (e == NULL)
        return tg_no_memory("events", sizeof *e);
    e->descriptor = -1;
    tg_status status = open_file(e, directory);
    if (status == TG_OK)
        status = write_beginning(e, first);
    if (status != TG_OK)
        tg_events_destroy(e);
    else
        *out = e;
    return status;
}

void tg_events_destroy(tg_events *e)
{
    if (e == NULL)
        return;
    if (e->descriptor >= 0)
        close(e->descriptor);
    tg_text_free(&e->summary);
    tg_text_free(&e->value);
    tg_text_free(&e->event);
    tg_text_free(&e->record);
    tg_heap_free(e->path);
    tg_heap_free(e);
}
