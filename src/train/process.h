/* train/process.h -- what the operating system says of this process. */
#ifndef TG_TRAIN_PROCESS_H
#define TG_TRAIN_PROCESS_H

#include <stddef.h>

size_t tg_process_resident_bytes(void); /* physical memory now; 0 where the system does not tell */
size_t tg_process_peak_bytes(void);      /* and at its highest since the start */
/* What the machine has free or can free, and this process has already; 0: unknown. */
size_t tg_process_available_bytes(void);
double tg_process_seconds(void); /* monotonic clock */

#endif
