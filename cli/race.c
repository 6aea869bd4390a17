/* race.c -- tiger race: optimizers by settings by seeds on one task, in processes side by side. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "args.h"
#include "children.h"
#include "human.h"
#include "problem.h"
#include "race.h"
#include "race_report.h"
#include "system.h"
#include "tiger/engine/race.h"

#define SEEDS 3
#define RATES 5

static const cli_race_task *const tasks[] = {&cli_race_problem, &cli_race_training}; /* the last takes what is left */

static const cli_text texts[] = {
    {"problem", "NAME", NULL, "race on this problem (see: tiger list problems) instead of a training"},
    CLI_TEXT_FUNCTION,
    {"out", "DIR", NULL, "where the results go, a file for each run; a race that was stopped goes on from there"},
    {"reach", "LOSS", NULL,
     "loss to reach, of a problem f - f* where f* is known; left out: what the first contender comes to"},
};

static const tg_option options[] = {
    {.name = "seeds",
     .kind = TG_INTEGER,
     .value = SEEDS,
     .least = 1,
     .most = 1000,
     .help = "runs of every setting, with --seed and the seeds behind it"},
    {.name = "rates",
     .kind = TG_INTEGER,
     .value = RATES,
     .least = 1,
     .most = 100,
     .help = "learning rates for an optimizer that names none, over its search range"},
    CLI_OPTION_JOBS,
    {.name = "pictures",
     .kind = TG_CHOICE,
     .value = 0,
     .least = 0,
     .most = 2,
     .choices = CLI_RACE_PICTURES,
     .help = "what pictures are: images, drawings, or gnuplot's scripts"},
};

static const cli_race_task *task_of(const cli_args *args)
{
    size_t i = 0;
    while (!tasks[i]->wanted(args))
        i++;
    return tasks[i];
}

static int arrange(cli_args *args)
{
    cli_add_group(args, &(cli_group){.title = "Race",
                                     .text = texts,
                                     .texts = sizeof texts / sizeof *texts,
                                     .table = {options, sizeof options / sizeof *options}});
    return task_of(args)->arrange(args);
}

/* ---- what is raced ---- */

typedef struct racing {
    const cli_args *args;
    const cli_race_task *task;
    cli_race_ground ground;
    tg_contender contender[CLI_POSITIONALS];
    tg_race_config config;
    tg_race race;
    size_t jobs, done, begun_with; /* runs that have ended; of those, by an earlier race */
    double started, target;
    tg_race_measure measure;
    int lock;
    int failed;        /* exit status of a run that could not be made */
    atomic_flag *said; /* shared with the children: one has said why it could not be made, which is enough */
} racing;

/* NaN where none is named. */
static int read_target(racing *r)
{
    const bool positive = tg_race_measure_of(&r->config).logarithmic;
    const tg_option number = {
        .name = "reach", .kind = TG_REAL, .least = positive ? 0 : -INFINITY, .above = positive, .most = INFINITY};
    const char *text = cli_text_of(r->args, "reach");
    r->target = NAN;
    return text == NULL || tg_option_parse(&r->target, &number, text) == TG_OK
               ? CLI_OK
               : cli_usage(r->args, "--%s", tg_message());
}

static int open_contenders(racing *r)
{
    const cli_args *args = r->args;
    for (size_t i = 0; i < args->positionals; i++) {
        const int status = cli_answer(args, tg_contender_parse(&r->contender[i], args->positional[i],
                                                               (size_t)cli_number_of(args, "rates"), r->config.task));
        if (status != CLI_OK)
            return status;
    }
    return CLI_OK;
}

static int open_race(racing *r)
{
    const cli_args *args = r->args;
    r->config = (tg_race_config){.task = tg_race_task_find(r->task->name),
                                 .contender = r->contender,
                                 .contenders = args->positionals,
                                 .seed = (uint64_t)cli_number_of(args, "seed"),
                                 .seeds = (size_t)cli_number_of(args, "seeds"),
                                 .out = cli_text_of(args, "out")};
    if (r->config.out == NULL)
        return cli_usage(args, "--out DIR is missing: where the results go");
    int status = r->task->open(&r->ground, &r->config, args);
    if (status == CLI_OK)
        status = read_target(r);
    if (status == CLI_OK)
        status = open_contenders(r);
    if (status != CLI_OK)
        return status;
    r->jobs = cli_children_jobs(cli_number_of(args, "jobs"), cli_number_of(args, "threads"));
    return cli_answer(args, tg_race_open(&r->race, &r->config));
}

/* Two races in one directory would write the same files. */
static int lock_out(racing *r)
{
    r->lock = open(r->config.out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->lock >= 0 && flock(r->lock, LOCK_EX | LOCK_NB) == 0)
        return CLI_OK;
    fprintf(stderr, "tiger race: %s: %s\n", r->config.out,
            errno == EWOULDBLOCK ? "another race is under way there" : strerror(errno));
    return CLI_FAILED;
}

static void racing_fini(racing *r)
{
    munmap(r->said, sizeof *r->said);
    if (r->lock >= 0)
        close(r->lock);
    tg_race_close(&r->race);
    for (size_t i = 0; i < CLI_POSITIONALS; i++)
        tg_contender_fini(&r->contender[i]);
    r->task->close(&r->ground);
}

/* ---- running ---- */

static bool wanted(void *ctx, size_t index) { return ((racing *)ctx)->race.run[index].outcome == TG_RACE_OPEN; }

static int work(void *ctx, size_t index)
{
    racing *r = ctx;
    const tg_status made = tg_race_make(&r->race, index);
    if (made == TG_OK)
        return CLI_OK;
    signal(SIGTERM, SIG_IGN); /* the first to fail says why, even when another's silent end makes the parent end all */
    if (!atomic_flag_test_and_set(r->said))
        fprintf(stderr, "tiger race: %s: %s\n", r->race.run[index].name, tg_message());
    return cli_exit_status(made);
}

static void tell(racing *r, const tg_race_run *run)
{
    const double spent = cli_seconds() - r->started;
    const size_t made = r->done - r->begun_with;
    const tg_contender *c = &r->contender[run->contender];
    char left[32], result[32] = "diverged";
    cli_human_seconds(left, sizeof left, made == 0 ? NAN : spent / (double)made * (double)(r->race.runs - r->done));
    if (run->outcome == TG_RACE_FINISHED)
        snprintf(result, sizeof result, r->measure.logarithmic ? "%.3e" : "%.4f", run->final_loss);
    const char *label = c->point[run->point].label;
    printf("%4zu/%zu  %s%s%s seed %llu: %s, %s left\n", r->done, r->race.runs, c->title, *label == '\0' ? "" : " ",
           label, (unsigned long long)run->seed, result, left);
    fflush(stdout);
}

static bool ended(void *ctx, size_t index, int status)
{
    racing *r = ctx;
    tg_race_run *run = &r->race.run[index];
    if (status == CLI_OK)
        status = cli_answer(r->args, tg_race_read(&r->race, index));
    if (status != CLI_OK) {
        if (status > 0)
            r->failed = status;
        else if (cli_children_signal() == 0 && r->failed == 0) {
            fprintf(stderr, "tiger race: %s was ended by signal %d\n", run->name, -status);
            r->failed = CLI_FAILED;
        }
        return false;
    }
    r->done++;
    tell(r, run);
    return true;
}

static int run_all(racing *r)
{
    for (size_t i = 0; i < r->race.runs; i++)
        r->done += r->race.run[i].outcome != TG_RACE_OPEN;
    r->begun_with = r->done;
    r->started = cli_seconds();
    r->measure = tg_race_measure_of(&r->config);
    const double threads = cli_number_of(r->args, "threads");
    printf("%zu run%s of %llu update%s, %zu at a time", r->race.runs, CLI_PLURAL(r->race.runs),
           (unsigned long long)r->ground.updates, CLI_PLURAL(r->ground.updates), r->jobs);
    if (!isnan(threads))
        printf(", %.0f thread%s each", threads, CLI_PLURAL(threads));
    if (r->done > 0)
        printf("; %zu %s there already", r->done, r->done == 1 ? "is" : "are");
    putchar('\n');
    cli_children_signals();
    const cli_children children = {
        .count = r->race.runs, .jobs = r->jobs, .wanted = wanted, .work = work, .ended = ended, .ctx = r};
    const bool all = cli_children_run(&children);
    if (all && r->failed == 0)
        return CLI_OK;
    const int signalled = cli_children_signal();
    if (signalled != 0)
        printf("stopped with %zu of %zu runs made; the same command goes on\n", r->done, r->race.runs);
    return signalled != 0 ? 128 + signalled : r->failed != 0 ? r->failed : CLI_FAILED;
}

static int report(racing *r)
{
    tg_race_row *row = NULL;
    double target = r->target;
    char path[4096];
    int status = cli_answer(r->args, tg_race_judge(&row, &target, &r->race));
    if (status != CLI_OK)
        return status;
    cli_race_print(r->task, &r->race, row, target);
    snprintf(path, sizeof path, "%s/race.json", r->config.out);
    status = cli_answer(r->args, tg_race_write(&r->race, row, target, path));
    if (status == CLI_OK) {
        printf("\nresults: %s\n", path);
        status = cli_race_draw(r->args, &r->race, row);
    }
    if (status == CLI_OK && row[0].point == SIZE_MAX) {
        fflush(stdout);
        fprintf(stderr, "tiger race: no setting finished with every seed\n");
        status = CLI_FAILED;
    }
    tg_race_rows_free(row);
    return status;
}

static int run(const cli_args *args)
{
    racing r = {.args = args, .task = task_of(args), .lock = -1};
    r.said = mmap(NULL, sizeof *r.said, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r.said == MAP_FAILED)
        return cli_usage(args, "no memory for %zu contenders", args->positionals), CLI_FAILED;
    int status = open_race(&r);
    if (status == CLI_OK)
        status = lock_out(&r);
    if (status == CLI_OK)
        status = run_all(&r);
    if (status == CLI_OK)
        status = report(&r);
    racing_fini(&r);
    return status;
}

const cli_command cli_race = {
    .name = "race",
    .summary = "races optimizers: settings by seeds on one training or problem, with a table, tests and pictures",
    .usage = "CONTENDER... --data FILE|--problem NAME|--f EXPRESSION --out DIR [options]",
    .details =
        "A contender is an optimizer with options, each with a value or several: \"adamw lr=1e-3/3e-3 beta2=0.99\". "
        "Every combination is run with every seed. Options are the optimizer's, those all optimizers have, those of a "
        "training or a problem, schedule, and preset. An optimizer without lr gets --rates values of its search "
        "range.\n"
        "The race is on a training of --data, or on a textbook problem or a function written down; minimizers (lbfgs, "
        "cmaes, ...) are contenders too: of a training as long as they have cost no more forward and backward than "
        "--updates of --batch x --accumulate. tiger help race --problem NAME shows the flags of a problem.\n"
        "Seeds are shared: the same first weights and batches, or the same random start, for all contenders, so their "
        "differences are tested in pairs. The same command goes on with a race that was stopped, or with more "
        "contenders or seeds; what has ended is not made again.",
    .positionals_least = 1,
    .positionals_most = CLI_POSITIONALS,
    .arrange = arrange,
    .run = run,
};
