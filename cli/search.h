/* search.h -- what `tiger search` works with, and what it tells. */
#ifndef TIGER_CLI_SEARCH_H
#define TIGER_CLI_SEARCH_H

#include "command.h"
#include "tiger/engine/search.h"
#include "tiger/engine/train.h"

#define CLI_SEARCHABLE 4 /* options of a training that may be searched */

typedef struct cli_searching {
    const cli_args *args;
    tg_train_config config; /* of all trials */
    tg_option training[CLI_SEARCHABLE];
    tg_space space;
    tg_study *study;
    char *path, *settings; /* heap */
    size_t trials;         /* that the study is to have */
    size_t begun_with;     /* trials that were made before */
    double started;
    int failed;            /* exit status of a trial that could not be made */
    bool held;             /* this process keeps others from writing to the study */
} cli_searching;

/* Whether --NAME is one of a family. */
int cli_search_choose(size_t *index, const cli_args *args, const char *name,
                      const tg_sampler_info *(*at)(size_t index));
/* Makes the directory of --out, and s->path. */
int cli_search_directory(cli_searching *s);

void cli_search_begin(cli_searching *s, size_t made, size_t jobs); /* the first line */
void cli_search_tell(const cli_searching *s, const char *worker); /* a line on the trial that it made */
int cli_search_report(cli_searching *s);                           /* the table, and how to train with the best */

#endif
