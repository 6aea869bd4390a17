/* base/map.h -- whole files mapped for reading. */
#ifndef TG_BASE_MAP_H
#define TG_BASE_MAP_H

#include <stddef.h>

#include "tiger/status.h"

/* Starts as {0}; so it is for an empty file, too. */
typedef struct tg_map {
    void *at;
    size_t bytes;
} tg_map;

/* Maps a regular file; a pipe is refused, not waited for. */
tg_status tg_map_open(tg_map *map, const char *path);
void tg_map_close(tg_map *map); /* fine on {0} */

/* Tells the system that the pages that lie wholly within these bytes of a mapped file need not stay in memory; they
 * come back when they are read. */
void tg_map_forget(const void *at, size_t bytes);

/* The same for memory of an allocator with `mapped` set, and for the pages at both ends, too: nothing is lost. */
void tg_map_rest(void *at, size_t bytes);

#endif
