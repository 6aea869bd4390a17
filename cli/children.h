/* children.h -- work in child processes, a few at a time. */
#ifndef TIGER_CLI_CHILDREN_H
#define TIGER_CLI_CHILDREN_H

#include <stdbool.h>
#include <stddef.h>

/* What there is to do: `work` runs in a child and gives its exit status; the others run here. */
typedef struct cli_children {
    size_t count;                            /* numbered from 0; begun in this order */
    size_t jobs;                             /* at a time, at least 1 */
    bool (*wanted)(void *ctx, size_t index); /* false: nothing to do for it */
    int (*work)(void *ctx, size_t index);
    bool (*ended)(void *ctx, size_t index,
                  int status);  /* exit status, or -signal; false: begin no more, end what runs */
    bool (*stopped)(void *ctx); /* asked a few times a second: true: likewise */
    void *ctx;
} cli_children;

/* True when all was begun and ended. Children that must end get SIGTERM, and are waited for. */
bool cli_children_run(const cli_children *children);

#endif
