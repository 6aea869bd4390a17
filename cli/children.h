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
    void (*ending)(void *ctx);  /* before what runs is ended; NULL: nothing to do */
    void *ctx;
} cli_children;

/* True when all was begun and ended. Children that must end get SIGTERM, and are waited for. A signal that
 * cli_children_signals knows ends them, too. */
bool cli_children_run(const cli_children *children);

/* From now on the first SIGINT, SIGTERM or SIGHUP is kept for cli_children_signal, which gives 0 before. */
void cli_children_signals(void);
int cli_children_signal(void);

/* How many at a time: `wanted`, or when that is 0 as many as there are cores for processes of so many `threads` (0: of all
 * cores; NaN: of one). */
size_t cli_children_jobs(double wanted, double threads);
#define CLI_OPTION_JOBS                                                                                                \
    {.name = "jobs", .kind = TG_INTEGER, .value = 0, .least = 0, .most = 4096,                                         \
     .help = "runs at a time; 0: as many as there are cores for"}

#endif
