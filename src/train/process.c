/* train/process.c -- resident memory from /proc, and the monotonic clock. Only reports; no result depends on it. */
#include "train/process.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* A line "NAME:   1234 kB" of /proc/self/status. */
static size_t status_kib(const char *name)
{
    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL)
        return 0;
    char line[256];
    unsigned long long kib = 0;
    const size_t length = strlen(name);
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            if (sscanf(line + length + 1, "%llu", &kib) != 1)
                kib = 0;
    fclose(file);
    return (size_t)kib << 10;
}

size_t tg_process_resident_bytes(void) { return status_kib("VmRSS"); }
size_t tg_process_peak_bytes(void) { return status_kib("VmHWM"); }

double tg_process_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
