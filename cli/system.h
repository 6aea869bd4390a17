/* system.h -- what several commands ask of the system. */
#ifndef TIGER_CLI_SYSTEM_H
#define TIGER_CLI_SYSTEM_H

#include <stdint.h>

int64_t cli_now_ns(void); /* of a clock that never goes back */
double cli_seconds(void); /* of the same */

/* Lets all threads share one heap, where the C library would give each its own and keep in every one of them what only one
 * thread at a time has use for. Before there are threads. */
void cli_share_heap(void);

/* "DIRECTORY/NAME" on the heap, for free(); NULL when there is no memory. */
char *cli_path_join(const char *directory, const char *name);

#endif
