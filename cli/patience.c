/* patience.c -- how long threads wait for each other before they give the processor away.
 *
 * GNU OpenMP spins some ten milliseconds at every barrier. Alone on the machine that is right; beside one other busy
 * process it is ruin, because the thread waited for is the one that the spinning keeps off its processor: a training was
 * measured at 280 tokens a second instead of 7,200. A spin of less than a millisecond costs little when alone.
 * The library reads its environment once, before main, so the program sets it and begins again. */
#include "patience.h"

#include <stdlib.h>
#include <unistd.h>

#define SPINS "4000"

void cli_wait_politely(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") != NULL || getenv("GOMP_SPINCOUNT") != NULL || setenv("GOMP_SPINCOUNT", SPINS, 1) != 0)
        return;
    char path[4096]; /* by its name, which process lists show; where there is no /proc, the long spin remains */
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0)
        return;
    path[length] = '\0';
    execv(path, argv);
}
