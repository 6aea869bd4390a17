/* human.c -- numbers as people read them: three digits and a unit. */
#include "human.h"

#include <math.h>
#include <stdio.h>

static int decimals(double value) { return value < 9.995 ? 2 : value < 99.95 ? 1 : 0; }

void cli_human_bytes(char *text, size_t bytes, double value)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t u = 0;
    while (value >= 999.5 && u + 1 < sizeof unit / sizeof *unit) {
        value /= 1024;
        u++;
    }
    snprintf(text, bytes, "%.*f %s", u == 0 ? 0 : decimals(value), value, unit[u]);
}

void cli_human_count(char *text, size_t bytes, double value, const char *gap)
{
    static const char *const unit[] = {"", "k", "M", "G", "T", "P"};
    size_t u = 0;
    if (!isfinite(value)) {
        snprintf(text, bytes, "-");
        return;
    }
    while (value >= 999.5 && u + 1 < sizeof unit / sizeof *unit) {
        value /= 1000;
        u++;
    }
    const int digits = u == 0 && value == floor(value) ? 0 : decimals(value);
    snprintf(text, bytes, "%.*f%s%s", digits, value, gap, unit[u]);
}

void cli_human_seconds(char *text, size_t bytes, double seconds)
{
    if (!isfinite(seconds) || seconds < 0 || seconds >= 3.6e6) {
        snprintf(text, bytes, "-");
        return;
    }
    const unsigned long s = (unsigned long)(seconds + 0.5);
    if (s >= 3600)
        snprintf(text, bytes, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(text, bytes, "%lu:%02lu", s / 60, s % 60);
}

void cli_human_duration(char *text, size_t bytes, double seconds)
{
    if (seconds < 0.9995)
        snprintf(text, bytes, "%.3g ms", 1e3 * seconds);
    else
        snprintf(text, bytes, seconds < 999.5 ? "%.3g s" : "%.0f s", seconds);
}
