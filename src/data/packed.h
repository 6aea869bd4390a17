/* data/packed.h -- the bytes of a whole file, as they are or out of gzip. */
#ifndef TG_DATA_PACKED_H
#define TG_DATA_PACKED_H

#include <stdbool.h>
#include <stddef.h>

#include "tiger/status.h"

/* Starts as {0}. */
typedef struct tg_packed {
    const char *at;
    size_t bytes, room; /* room: of the heap block; 0: mapped */
} tg_packed;

/* A file that begins as gzip files do is unpacked, whatever its name. TG_EUNSUPPORTED, saying what to do, for one where
 * this was built without zlib; TG_EFORMAT for one that is cut off or damaged. */
tg_status tg_packed_open(tg_packed *file, const char *path);
void tg_packed_close(tg_packed *file); /* fine on {0} */

/* Whether gzip files can be read here. */
bool tg_packed_unpacks(void);

#endif
