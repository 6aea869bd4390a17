/* suggest.h -- "did you mean": the known name nearest to what was typed. */
#ifndef TIGER_CLI_SUGGEST_H
#define TIGER_CLI_SUGGEST_H

#include <stddef.h>

typedef struct cli_suggestion {
    const char *wanted; /* set these two, then offer every known name to cli_suggest */
    size_t bytes;
    char name[64];      /* the nearest so far; "" when none is near enough to be meant */
    size_t distance;
} cli_suggestion;

void cli_suggest(cli_suggestion *best, const char *known);

#endif
