/* Any bytes as a study's journal are refused with a message and left as they are, or give a study that can be gone on
 * with: a trial is asked for, told of, and there for the next who opens it. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tiger/engine/search.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const tg_option table[] = {
    {.name = "lr",
     .kind = TG_REAL,
     .value = 0.01,
     .least = 0,
     .most = 1,
     .search_least = 1e-4,
     .search_most = 0.1,
     .search_log = 1},
    {.name = "scale", .kind = TG_CHOICE, .value = 0, .least = 0, .most = 1, .choices = "rms|none"}};

/* "/tmp/tiger-fuzz-PID.journal" with the input. */
static void write_input(char *path, size_t bytes, const uint8_t *data, size_t size)
{
    snprintf(path, bytes, "/tmp/tiger-fuzz-%ld.journal", (long)getpid());
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        abort();
}

static void go_on(tg_study *study, const tg_study_config *config)
{
    size_t trial = 0;
    bool prune = false;
    tg_study *again = NULL;
    if (tg_study_ask(study, &trial) != TG_OK || tg_study_report(study, trial, 3, 2.385, &prune) != TG_OK ||
        tg_study_tell(study, trial, TG_TRIAL_COMPLETE, 1.5) != TG_OK || tg_study_open(&again, config) != TG_OK)
        abort();
    const tg_trial *t = tg_study_trial(again, trial);
    if (t == NULL || t->state != TG_TRIAL_COMPLETE || t->value != 1.5 || isnan(t->param[0]) || isnan(t->param[1]) ||
        tg_study_trials(again) != tg_study_trials(study))
        abort();
    tg_study_close(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    tg_space space;
    tg_study *study = NULL;
    const tg_option_table tables = {table, 2};
    write_input(path, sizeof path, data, size);
    if (tg_space_parse(&space, "lr scale=rms/none", &tables, 1, NULL, 0) != TG_OK)
        abort();
    const tg_study_config config = {.path = path, .name = "t", .space = &space, .sampler = "tpe", .pruner = "median"};
    const tg_status status = tg_study_open(&study, &config);
    if (status == TG_OK)
        go_on(study, &config);
    else if (*tg_message() == '\0')
        abort();
    tg_study_close(study);
    tg_space_fini(&space);
    unlink(path);
    return 0;
}
