/* race_problem.c -- tiger race --problem NAME or --f EXPRESSION: contenders on a textbook problem, from random starts.
 */
#include <math.h>

#include "args.h"
#include "problem.h"
#include "race.h"

static const cli_text texts[] = {
    {"schedule", "TEXT", "constant",
     "the course of the learning rate, and of other options; minimizers have none (see: tiger list schedules)"},
};

static const tg_option options[] = {
    {.name = "updates",
     .kind = TG_INTEGER,
     .value = 500,
     .least = 1,
     .most = 1e9,
     .help = "of every run; of minimizers: iterations at most"},
    {.name = "weights",
     .kind = TG_CHOICE,
     .choices = "fp32|bf16|fp16",
     .help = "number format of an optimizer's variables; minimizers work in double"},
    {.name = "tolerance",
     .kind = TG_REAL,
     .least = 0,
     .most = INFINITY,
     .help = "end a run where the gradient's norm is not above it"},
    {.name = "seed",
     .kind = TG_INTEGER,
     .value = 1,
     .least = 0,
     .most = TG_WHOLE_MOST - 1000,
     .help =
         "the first seed: of the random start, uniform in the problem's box (5 around 0 for --f), and of methods that "
         "draw"},
    {.name = "eval_every",
     .kind = TG_INTEGER,
     .value = 0,
     .least = 0,
     .most = 1e9,
     .help = "updates between the points that are kept; 0: a 500th of the run"},
};

static bool wanted(const cli_args *args)
{
    return cli_peek(args, "problem", NULL) != NULL || cli_peek(args, "f", NULL) != NULL;
}

static int arrange(cli_args *args)
{
    const char *name = cli_peek(args, "problem", NULL);
    cli_add_group(args, &(cli_group){.title = "Minimizing",
                                     .text = texts,
                                     .texts = sizeof texts / sizeof *texts,
                                     .table = {options, sizeof options / sizeof *options}});
    return name == NULL ? CLI_OK : cli_problem_arrange(args, name);
}

static int open_ground(cli_race_ground *ground, tg_race_config *config, const cli_args *args)
{
    static const tg_format format[] = {TG_F32, TG_BF16, TG_F16};
    const int status = cli_problem_make(&ground->problem, args, cli_text_of(args, "problem"));
    if (status != CLI_OK)
        return status;
    ground->updates = (uint64_t)cli_number_of(args, "updates");
    ground->descent = (tg_descent_config){.problem = ground->problem,
                                          .schedule = cli_text_of(args, "schedule"),
                                          .updates = ground->updates,
                                          .tolerance = cli_number_of(args, "tolerance"),
                                          .weights = format[(int)cli_number_of(args, "weights")]};
    config->descent = &ground->descent;
    config->every = (uint64_t)cli_number_of(args, "eval-every");
    return CLI_OK;
}

static void close_ground(cli_race_ground *ground) { tg_problem_destroy(ground->problem); }

const cli_race_task cli_race_problem = {
    .name = "problem",
    .wanted = wanted,
    .arrange = arrange,
    .open = open_ground,
    .close = close_ground,
    .column = {CLI_RACE_CONTENDER, CLI_RACE_LOSS, CLI_RACE_DISTANCE, CLI_RACE_BEST, CLI_RACE_UPDATES, CLI_RACE_CALLS,
               CLI_RACE_SECONDS},
    .columns = 7,
};
