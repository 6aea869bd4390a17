/* store/metrics.h -- metrics.jsonl: one JSON object a line, each with the number of its update. */
#ifndef TG_STORE_METRICS_H
#define TG_STORE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "tiger/status.h"

typedef struct tg_metrics tg_metrics;

/* A text when `text` is not NULL, the JSON value that `json` spells on one line when that is not, else a number: the
 * shortest text that reads back to the same double; NaN and the infinities are null. */
typedef struct tg_metric {
    const char *name;
    double value;
    const char *text, *json;
} tg_metric;

/* A new file, in place of one that is there. */
tg_status tg_metrics_create(tg_metrics **out, const char *path);
/* Goes on with the file after `update`: lines whose "update" is above it, and what is no whole JSON object (a line cut
 * short by a kill), are dropped, atomically. A file that does not exist is made. */
tg_status tg_metrics_resume(tg_metrics **out, const char *path, uint64_t update);
/* Appends {"update": update, ...} in one write: other processes see whole lines at once. */
tg_status tg_metrics_append(tg_metrics *metrics, uint64_t update, const tg_metric *fields, size_t count);
/* Waits until the lines are on disk: before a checkpoint says that they are. */
tg_status tg_metrics_sync(tg_metrics *metrics);
void tg_metrics_destroy(tg_metrics *metrics);

#endif
