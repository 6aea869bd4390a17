/* race_training.c -- tiger race --data FILE: contenders on the training of a model. */
#include <stdio.h>

#include "args.h"
#include "race.h"
#include "setup.h"

static const cli_text texts[] = {
    CLI_TEXT_DATA,
    CLI_TEXT_LABELS,
    CLI_TEXT_TARGET,
    CLI_TEXT_EVAL_DATA,
    CLI_TEXT_EVAL_LABELS,
    CLI_TEXT_MODEL,
    CLI_TEXT_INIT,
    CLI_TEXT_TOKENIZER,
    {"schedule", "TEXT", "warmup:100 > cosine:min=0.1",
     "the course of the learning rate; minimizers have none (see: tiger list schedules)"},
};

static bool wanted(const cli_args *args) { return (void)args, true; }

static int arrange(cli_args *args)
{
    const tg_model_info *model = NULL;
    cli_setup_trial_group(args, texts, sizeof texts / sizeof *texts, "the first seed");
    const int status = cli_setup_choose_model(&model, args);
    if (status != CLI_OK)
        return status;
    snprintf(args->title[0], sizeof args->title[0], "Model %s", model->name);
    cli_setup_model_group(args, args->title[0], &model->options);
    return CLI_OK;
}

static int check(const cli_args *args)
{
    if (cli_text_of(args, "data") == NULL)
        return cli_usage(args, "what to race on is missing: --data FILE, what to train on, or --problem NAME");
    if (cli_text_of(args, "eval-data") == NULL && cli_number_of(args, "validation") == 0)
        return cli_usage(args, "--validation 0 leaves nothing to judge by");
    return CLI_OK;
}

static int open_ground(cli_race_ground *ground, tg_race_config *config, const cli_args *args)
{
    int status = check(args);
    if (status == CLI_OK)
        status = cli_setup(&ground->train, args);
    if (status != CLI_OK)
        return status;
    ground->updates = (uint64_t)ground->train.option[TG_TRAIN_UPDATES];
    cli_setup_trial(&ground->train);
    config->train = &ground->train;
    return CLI_OK;
}

static void close_ground(cli_race_ground *ground) { cli_setup_fini(&ground->train); }

const cli_race_task cli_race_training = {
    .name = "training",
    .wanted = wanted,
    .arrange = arrange,
    .open = open_ground,
    .close = close_ground,
    .column = {CLI_RACE_CONTENDER, CLI_RACE_LOSS, CLI_RACE_SCORE, CLI_RACE_BEST, CLI_RACE_UPDATES, CLI_RACE_CALLS,
               CLI_RACE_SECONDS, CLI_RACE_STATE, CLI_RACE_TIME, CLI_RACE_OPTIMIZER},
    .columns = 10,
};
