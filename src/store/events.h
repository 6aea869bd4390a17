/* store/events.h -- TensorBoard's event files.
 *
 * A file is a sequence of TFRecords, a record an Event message of protocol buffers:
 *
 *     record    length (8 bytes), masked CRC32C of them (4), data, masked CRC32C of the data (4); little-endian
 *     Event     1 wall_time double  2 step int64  3 file_version string  5 summary Summary  7 session_log SessionLog
 *     Summary   1 value, repeated:  1 tag string  2 simple_value float  5 histo HistogramProto
 *     HistogramProto    1 min  2 max  3 num  4 sum  5 sum_squares  double    6 bucket_limit  7 bucket  packed double
 *     SessionLog        1 status enum: START is 1
 *
 * Sources: tensorflow/core/util/event.proto, framework/summary.proto, lib/io/record_writer.h and lib/hash/crc32c.h.
 *
 * A file is never changed once its process has ended. A resumed run makes another, which TensorBoard reads behind the
 * older ones; it begins with SessionLog START at the first update it will tell of, and TensorBoard drops what it has
 * from that step on: what a killed process told beyond its last checkpoint, a record cut short at its end included. */
#ifndef TG_STORE_EVENTS_H
#define TG_STORE_EVENTS_H

#include <stddef.h>
#include <stdint.h>

#include "tiger/status.h"

typedef struct tg_events tg_events;

/* DIRECTORY/events.out.tfevents.SECONDS.HOST.PID, named behind all that are there. `first` is the step told of next. */
tg_status tg_events_create(tg_events **out, const char *directory, uint64_t first);
void tg_events_destroy(tg_events *events);

/* Collects values of one step. What is no number (a loss of NaN) is told as it is. */
void tg_events_scalar(tg_events *events, const char *tag, double value);
/* Of the finite ones among the values, in 40 buckets of one width. Nothing without such. */
void tg_events_histogram(tg_events *events, const char *tag, const float *values, size_t count);
/* Appends what was collected, if anything, as one record in one write. */
tg_status tg_events_flush(tg_events *events, uint64_t step);

tg_status tg_events_sync(tg_events *events); /* waits until the records are on disk */

#endif
