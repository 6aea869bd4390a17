/* system.h -- what several commands ask of the system. */
#ifndef TIGER_CLI_SYSTEM_H
#define TIGER_CLI_SYSTEM_H

#include <stdint.h>

int64_t cli_now_ns(void); /* of a clock that never goes back */
double cli_seconds(void); /* of the same */

/* "DIRECTORY/NAME" on the heap, for free(); NULL when there is no memory. */
char *cli_path_join(const char *directory, const char *name);

#endif
