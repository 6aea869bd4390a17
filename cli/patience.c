/* patience.c -- how long threads wait for each other before they give the processor away.
 *
 * GNU OpenMP spins some ten milliseconds at every barrier. Alone on the machine that is right; beside other busy programs it
 * is ruin, because the thread waited for is the one that the spinning keeps off its processor: a training beside five was
 * seen at 280 tokens a second, and at 7,200 with a spin of 1,000. The spin here, some tenths of a millisecond, is a
 * compromise: alone, longer ones were up to a quarter faster for the smallest models. The library reads its environment once,
 * before main, so the program sets it and begins again. */
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
