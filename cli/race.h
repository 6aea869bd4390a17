/* race.h -- what `tiger race` can run contenders on: flags, what all runs share, and the table's columns. */
#ifndef TIGER_CLI_RACE_H
#define TIGER_CLI_RACE_H

#include "command.h"
#include "tiger/engine/race.h"

/* Columns of the table, in race_report.c. */
typedef enum cli_race_column {
    CLI_RACE_CONTENDER,
    CLI_RACE_LOSS,
    CLI_RACE_SCORE,
    CLI_RACE_DISTANCE,
    CLI_RACE_BEST,
    CLI_RACE_UPDATES,
    CLI_RACE_CALLS,
    CLI_RACE_SECONDS,
    CLI_RACE_STATE,
    CLI_RACE_TIME,
    CLI_RACE_OPTIMIZER,
    CLI_RACE_COLUMNS
} cli_race_column;

/* What the runs of any task share. */
typedef struct cli_race_ground {
    tg_train_config train;
    tg_problem *problem;
    tg_descent_config descent;
    uint64_t updates; /* as the first line says */
} cli_race_ground;

/* A task: one const descriptor, one file, named in race.c. */
typedef struct cli_race_task {
    const char *name;                     /* tg_race_task_find's */
    bool (*wanted)(const cli_args *args); /* the command line names it */
    int (*arrange)(cli_args *args);       /* adds its flags; args->option is free for it */
    /* Fills *ground, and in *config what is the task's. Close in any case. */
    int (*open)(cli_race_ground *ground, tg_race_config *config, const cli_args *args);
    void (*close)(cli_race_ground *ground);
    cli_race_column column[CLI_RACE_COLUMNS]; /* from the left, */
    size_t columns;                           /* so many */
} cli_race_task;

extern const cli_race_task cli_race_training, cli_race_problem;

#endif
