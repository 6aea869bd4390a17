/* train/process.c -- resident memory from /proc, and the monotonic clock. Only reports; no result depends on it. */
#include "train/process.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* A line "NAME:   1234 kB" of a file, in bytes. */
static size_t read_kib(const char *path, const char *name)
{
    FILE *file = fopen(path, "r");
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

static const char own[] = "/proc/self/status";

size_t tg_process_resident_bytes(void) { return read_kib(own, "VmRSS"); }
size_t tg_process_peak_bytes(void) { return read_kib(own, "VmHWM"); }

size_t tg_process_available_bytes(void)
{
    const size_t available = read_kib("/proc/meminfo", "MemAvailable");
    return available == 0 ? 0 : available + tg_process_resident_bytes();
}

double tg_process_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
