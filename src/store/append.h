/* store/append.h -- appending a whole record to a file, or nothing of it. */
#ifndef TG_STORE_APPEND_H
#define TG_STORE_APPEND_H

#include <stddef.h>

#include "tiger/status.h"

/* `descriptor` is open with O_APPEND; `path` is for messages. Failing (a full disk), what was written is cut off. */
tg_status tg_append_whole(int descriptor, const char *path, const void *data, size_t bytes);

#endif
