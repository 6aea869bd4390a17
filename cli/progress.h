/* progress.h -- the console of a running training: one live line on a terminal, plain lines elsewhere. */
#ifndef TIGER_CLI_PROGRESS_H
#define TIGER_CLI_PROGRESS_H

#include <stdint.h>

#include "tiger/engine/train.h"

typedef struct cli_progress {
    bool live;               /* stdout is a terminal */
    bool drawn;              /* a live line stands on the screen */
    uint64_t every;          /* updates between plain lines */
    int64_t next_ns;         /* when the live line may be drawn again */
    uint64_t updates;        /* of the whole run */
    bool unread;             /* whoever read the output is gone: what matters goes to stderr */
    char saved[4096];        /* where the last checkpoint went; "" when there was none */
} cli_progress;

void cli_progress_init(cli_progress *progress, uint64_t every);
tg_train_listener cli_progress_listener(cli_progress *progress);
/* Ends the live line, so that other text can follow. */
void cli_progress_clear(cli_progress *progress);

void cli_progress_flush(cli_progress *progress);

/* The line itself, at most `columns` wide, into `line` of `bytes`. With columns 0: without the bar. */
void cli_progress_line(char *line, size_t bytes, size_t columns, const tg_progress *progress);

#endif
