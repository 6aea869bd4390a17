/* race_training.c -- tiger race --data FILE: contenders on the training of a model. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "race.h"
#include "setup.h"

#define UPDATES 500
#define EVALUATIONS 20

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

/* The options of a training that a race has too; --vocab behind them. */
static const size_t shared[] = {TG_TRAIN_UPDATES,    TG_TRAIN_BATCH,        TG_TRAIN_ACCUMULATE, TG_TRAIN_PRECISION,
                                TG_TRAIN_RECOMPUTE,  TG_TRAIN_VALIDATION,   TG_TRAIN_SEED,       TG_TRAIN_THREADS,
                                TG_TRAIN_EVAL_EVERY, TG_TRAIN_EVAL_BATCHES, TG_TRAIN_FORMAT,     TG_TRAIN_CLOSURE};
#define SHARED (sizeof shared / sizeof *shared)
_Static_assert(SHARED < CLI_OWN_OPTIONS, "room for the training's options");

static tg_option *shared_option(cli_args *args, size_t option)
{
    for (size_t i = 0; i < SHARED; i++)
        if (shared[i] == option)
            return &args->option[i];
    return NULL;
}

static bool wanted(const cli_args *args) { return (void)args, true; }

static int arrange(cli_args *args)
{
    const tg_model_info *model = NULL;
    for (size_t i = 0; i < SHARED; i++)
        args->option[i] = tg_train_options()->at[shared[i]];
    args->option[SHARED] = (tg_option)CLI_OPTION_VOCAB;
    shared_option(args, TG_TRAIN_UPDATES)->value = UPDATES;
    shared_option(args, TG_TRAIN_THREADS)->value = 1;
    shared_option(args, TG_TRAIN_EVAL_EVERY)->value = 0;
    shared_option(args, TG_TRAIN_EVAL_EVERY)->help = "updates between evaluations; 0: a twentieth of the run";
    shared_option(args, TG_TRAIN_SEED)->help = "the first seed";
    cli_add_group(args, &(cli_group){.title = "Training",
                                     .text = texts,
                                     .texts = sizeof texts / sizeof *texts,
                                     .table = {args->option, SHARED + 1}});
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
    double *every = &ground->train.option[TG_TRAIN_EVAL_EVERY];
    ground->updates = (uint64_t)ground->train.option[TG_TRAIN_UPDATES];
    if (*every == 0)
        *every = fmax(1, floor(ground->train.option[TG_TRAIN_UPDATES] / EVALUATIONS));
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
