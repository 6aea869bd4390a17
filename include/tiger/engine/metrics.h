/* tiger/engine/metrics.h -- reading what a run wrote about itself in metrics.jsonl. */
#ifndef TIGER_ENGINE_METRICS_H
#define TIGER_ENGINE_METRICS_H

#include <stddef.h>

#include "tiger/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One number over the updates, in the order of the file. */
typedef struct tg_series {
    double *update, *value;
    size_t count, room;
} tg_series;

/* The numbers called `name` ("loss", "lr", "validation_loss") in DIRECTORY/metrics.jsonl; count 0 when there is none. A
 * last line that is not whole, as a running training may show it, is passed over; any other is TG_EFORMAT with its
 * number. */
tg_status tg_series_read(tg_series *series, const char *directory, const char *name);
/* The same of a text; `file` for messages. */
tg_status tg_series_parse(tg_series *series, const char *text, size_t bytes, const char *name, const char *file);
void tg_series_fini(tg_series *series); /* fine on {0} */

#ifdef __cplusplus
}
#endif
#endif
