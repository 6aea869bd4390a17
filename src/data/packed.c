/* data/packed.c -- see packed.h. Several members one behind the other are one file, as gzip itself has it. */
#include "data/packed.h"

#include <stdint.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "tiger/engine/data.h"

#ifdef TIGER_HAVE_ZLIB
#include <limits.h>
#include <zlib.h>

#define GZIP_WINDOW (15 + 16) /* zlib's word for: the gzip format, any window */
#define FIRST_ROOM ((size_t)1 << 20)

static tg_status grow(tg_packed *to)
{
    const size_t room = to->room == 0 ? FIRST_ROOM : 2 * to->room;
    char *at = room < to->room ? NULL : tg_alloc(NULL, room, 1);
    if (at == NULL)
        return tg_no_memory("an unpacked file", room);
    if (to->bytes > 0)
        memcpy(at, to->at, to->bytes);
    tg_free(NULL, (void *)(uintptr_t)to->at, to->room, 1);
    to->at = at;
    to->room = room;
    return TG_OK;
}

static uInt at_most(size_t n) { return n < UINT_MAX ? (uInt)n : UINT_MAX; }

/* One call of zlib; *result is what it says. */
static tg_status inflate_some(tg_packed *to, z_stream *z, size_t left, int *result)
{
    const tg_status status = to->bytes == to->room ? grow(to) : TG_OK;
    if (status != TG_OK)
        return status;
    const uInt room = at_most(to->room - to->bytes);
    z->avail_in = at_most(left);
    z->avail_out = room;
    z->next_out = (Bytef *)(uintptr_t)to->at + to->bytes;
    *result = inflate(z, Z_NO_FLUSH);
    to->bytes += room - z->avail_out;
    return TG_OK;
}

static tg_status unpack(tg_packed *to, const tg_packed *from, const char *path)
{
    z_stream z = {0};
    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return tg_no_memory("unpacking", 1 << 16);
    z.next_in = (Bytef *)(uintptr_t)from->at;
    tg_status status = TG_OK;
    for (int result = Z_OK; status == TG_OK;) {
        const size_t used = (size_t)((const char *)z.next_in - from->at);
        if (result == Z_STREAM_END && used == from->bytes)
            break;
        if (used == from->bytes) {
            status = tg_fail(TG_EFORMAT, "'%s': the gzip file is cut off after %zu bytes", path, used);
            break;
        }
        if (result == Z_STREAM_END)
            inflateReset(&z); /* another member follows */
        status = inflate_some(to, &z, from->bytes - used, &result);
        if (status == TG_OK && result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            status = tg_fail(TG_EFORMAT, "'%s': the gzip file is damaged near byte %zu: %s", path,
                             (size_t)((const char *)z.next_in - from->at), z.msg != NULL ? z.msg : "wrong data");
    }
    inflateEnd(&z);
    return status;
}

bool tg_packed_unpacks(void) { return true; }
#else
static tg_status unpack(tg_packed *to, const tg_packed *from, const char *path)
{
    (void)to;
    (void)from;
    return tg_fail(TG_EUNSUPPORTED,
                   "'%s' is a gzip file, and this tiger was built without zlib: gunzip it, or build with zlib1g-dev",
                   path);
}

bool tg_packed_unpacks(void) { return false; }
#endif

tg_status tg_packed_open(tg_packed *file, const char *path)
{
    tg_packed raw = {0}, unpacked = {0};
    tg_status status = tg_text_open(&raw.at, &raw.bytes, path);
    if (status != TG_OK)
        return status;
    if (raw.bytes < 2 || memcmp(raw.at, "\x1f\x8b", 2) != 0) {
        *file = raw;
        return TG_OK;
    }
    status = unpack(&unpacked, &raw, path);
    tg_packed_close(&raw);
    if (status == TG_OK)
        *file = unpacked;
    else
        tg_packed_close(&unpacked);
    return status;
}

void tg_packed_close(tg_packed *file)
{
    if (file->room > 0)
        tg_free(NULL, (void *)(uintptr_t)file->at, file->room, 1);
    else
        tg_text_close(file->at, file->bytes);
    *file = (tg_packed){0};
}
