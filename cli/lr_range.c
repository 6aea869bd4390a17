/* lr_range.c -- tiger lr-range: the learning-rate range test. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "args.h"
#include "choose.h"
#include "human.h"
#include "picture.h"
#include "progress.h"
#include "setup.h"
#include "signals.h"
#include "system.h"

#define ROWS 20          /* of the printed table */
#define WIDER 100        /* a range begins and ends so many times beyond where searches look */
#define UPDATES 200      /* enough for tens of points in each power of ten */
#define LEAST_UPDATES 10

static const cli_text texts[] = {
    CLI_TEXT_DATA,
    CLI_TEXT_LABELS,
    CLI_TEXT_TARGET,
    {"out", "DIR", NULL, "where lr-range.png and lr-range.tsv go; without it the curve is drawn with characters"},
    CLI_TEXT_MODEL, CLI_TEXT_INIT, CLI_TEXT_TOKENIZER, CLI_TEXT_OPTIMIZER,
};

static const tg_option options[] = {
    {.name = "from", .kind = TG_REAL, .least = 0, .most = INFINITY, .above = 1, .help = "the first learning rate"},
    {.name = "to", .kind = TG_REAL, .least = 0, .most = INFINITY, .above = 1, .help = "the last"},
    {.name = "smooth", .kind = TG_REAL, .value = 0.8, .least = 0, .most = 0x1.fffffffffffffp-1,
     .help = "weight of the past in the average of the losses"},
    CLI_OPTION_VOCAB,
};
#define OWN (sizeof options / sizeof *options)

/* The options of a training that a trial has too. */
static const size_t shared[] = {TG_TRAIN_UPDATES,   TG_TRAIN_BATCH, TG_TRAIN_ACCUMULATE, TG_TRAIN_PRECISION,
                                TG_TRAIN_RECOMPUTE, TG_TRAIN_SEED,  TG_TRAIN_THREADS, TG_TRAIN_FORMAT};

/* As a person would write it. */
static double two_digits(double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.1e", value);
    return strtod(text, NULL);
}

static int arrange(cli_args *args)
{
    const tg_rule_info *rule = NULL;
    const int status = cli_choose_rule(&rule, args, cli_peek(args, "optimizer", "tiger"));
    if (status != CLI_OK)
        return status;
    const size_t found = tg_option_find(&rule->options, "lr");
    if (found == rule->options.count)
        return cli_usage(args, "%s has no learning rate", rule->name);
    memcpy(args->option, options, sizeof options);
    args->option[0].value = two_digits(rule->options.at[found].search_least / WIDER);
    args->option[1].value = two_digits(rule->options.at[found].search_most * WIDER);
    const size_t count = sizeof shared / sizeof *shared;
    for (size_t i = 0; i < count; i++)
        args->option[OWN + i] = tg_train_options()->at[shared[i]];
    args->option[OWN].value = UPDATES;
    args->option[OWN].least = LEAST_UPDATES;
    args->option[OWN].help = "updates from the first learning rate to the last";
    cli_add_group(args, &(cli_group){.title = "Range test", .text = texts, .texts = sizeof texts / sizeof *texts,
                                     .table = {args->option, OWN}});
    cli_add_group(args, &(cli_group){.title = "Training", .table = {args->option + OWN, count}});
    return cli_setup_arrange_chosen(args);
}

/* ---- the result ---- */

static void print_table(const tg_lr_range *range)
{
    const size_t rows = range->count < ROWS ? range->count : ROWS;
    puts("          lr       loss   smoothed");
    for (size_t r = 0; r < rows; r++) {
        const size_t i = rows == 1 ? 0 : r * (range->count - 1) / (rows - 1);
        printf("%12.3e %10.4f %10.4f\n", range->lr[i], range->loss[i], range->smoothed[i]);
    }
}

static void print_rates(const tg_lr_range *range)
{
    if (isnan(range->diverged))
        printf("the loss did not diverge up to   %.2e\n", range->lr[range->count - 1]);
    else
        printf("diverged (4 times the least) at  %.2e\n", range->diverged);
    printf("last stable (least loss) at      %.2e\n", range->last_stable);
    printf("suggested (steepest descent)     %.2e\n", range->suggested);
}

static int write_table(const cli_args *args, const tg_lr_range *range, const char *path)
{
    const char *const name[] = {"lr", "loss", "smoothed"};
    const double *const column[] = {range->lr, range->loss, range->smoothed};
    const tg_status status = tg_table_write(path, name, column, 3, range->count);
    if (status != TG_OK)
        return cli_answer(args, status);
    printf("numbers: %s\n", path);
    return CLI_OK;
}

/* The picture of a curve that explodes shows nothing else: the curves end where they rise above the start by half. */
static int draw(const cli_args *args, const tg_lr_range *range, const char *unit, const char *path)
{
    const double most = 1.5 * range->smoothed[0];
    size_t shown = 1;
    while (shown < range->count && range->loss[shown] < most && range->smoothed[shown] < most)
        shown++;
    const tg_curve curve[] = {{.title = "loss", .x = range->lr, .y = range->loss, .count = shown},
                              {.title = "smoothed", .x = range->lr, .y = range->smoothed, .count = shown}};
    const tg_plot_mark mark[] = {{range->suggested, "suggested"}, {range->last_stable, "last stable"}};
    const tg_plot plot = {.x_label = "learning rate (log scale)",
                          .y_label = unit,
                          .x_log = true,
                          .curve = curve,
                          .curves = 2,
                          .mark = mark,
                          .marks = 2};
    return cli_picture(args, &plot, path);
}

static int write_files(const cli_args *args, const tg_lr_range *range, const char *unit, const char *out)
{
    char *table = cli_path_join(out, "lr-range.tsv"), *picture = cli_path_join(out, "lr-range.png");
    int status = CLI_FAILED;
    if (table == NULL || picture == NULL)
        cli_usage(args, "no memory for a path");
    else
        status = write_table(args, range, table);
    if (status == CLI_OK)
        status = draw(args, range, unit, picture);
    free(table);
    free(picture);
    return status;
}

static int finish(const cli_args *args, const tg_lr_range *range, const char *unit, const cli_progress *progress)
{
    const char *out = cli_text_of(args, "out");
    if (range->interrupted) {
        if (progress->unread)
            fputs("tiger lr-range: nobody reads the output any more: ", stderr);
        fprintf(progress->unread ? stderr : stdout, "stopped after %zu updates: nothing was written\n",
                range->count + 1);
        return cli_signal_status();
    }
    print_table(range);
    if (isnan(range->suggested)) {
        fflush(stdout);
        fprintf(stderr, "tiger lr-range: no learning rate lowered the loss: try a smaller --from or more --updates\n");
        return CLI_FAILED;
    }
    print_rates(range);
    return out != NULL ? write_files(args, range, unit, out) : draw(args, range, unit, NULL);
}

/* ---- running ---- */

static int check(const cli_args *args)
{
    if (cli_text_of(args, "data") == NULL)
        return cli_usage(args, "--data FILE is missing: the text, images or table to train on");
    if (cli_is_given(args, "lr"))
        return cli_usage(args, "--lr is what is looked for: leave it out, or set the range with --from and --to");
    if (!(cli_number_of(args, "from") < cli_number_of(args, "to")))
        return cli_usage(args, "--from must be less than --to");
    return CLI_OK;
}

/* A preset may have a learning rate. */
static void leave_out_rate(tg_train_config *config)
{
    tg_setting *setting = (tg_setting *)config->setting;
    size_t kept = 0;
    for (size_t i = 0; i < config->settings; i++)
        if (strcmp(setting[i].name, "lr") != 0)
            setting[kept++] = setting[i];
    config->settings = kept;
}

/* Before the test, so that nobody waits for a result that cannot be written. */
static int make_directory(bool *made, const char *out)
{
    *made = out != NULL && mkdir(out, 0777) == 0;
    if (out == NULL || *made || errno == EEXIST)
        return CLI_OK;
    fprintf(stderr, "tiger lr-range: cannot make the directory '%s': %s\n", out, strerror(errno));
    return CLI_FAILED;
}

static int run(const cli_args *args)
{
    tg_train_config config = {0};
    tg_lr_range range = {0};
    cli_progress progress;
    const char *out = cli_text_of(args, "out");
    bool made = false;
    int status = check(args);
    if (status == CLI_OK)
        status = make_directory(&made, out);
    if (status == CLI_OK)
        status = cli_setup(&config, args);
    if (status != CLI_OK)
        goto done;
    leave_out_rate(&config);
    cli_catch_signals();
    const uint64_t updates = (uint64_t)config.option[TG_TRAIN_UPDATES];
    cli_progress_init(&progress, updates / 10);
    tg_train_listener listener = cli_progress_listener(&progress);
    listener.plan = NULL;
    const tg_status trained = tg_lr_range_run(&range, &config, cli_number_of(args, "from"), cli_number_of(args, "to"),
                                              cli_number_of(args, "smooth"), &listener);
    if (progress.drawn)
        putchar('\n');
    const bool of_tokens = config.model.info->tasks == TG_CAN(TG_TASK_LANGUAGE);
    status = trained == TG_OK ? finish(args, &range, of_tokens ? "loss (nats a token)" : "loss", &progress)
                              : cli_answer(args, trained);
done:
    if (status != CLI_OK && made)
        rmdir(out); /* which leaves it when there is something in it */
    tg_lr_range_fini(&range);
    cli_setup_fini(&config);
    return status;
}

const cli_command cli_lr_range = {
    .name = "lr-range",
    .summary = "finds a learning rate: trains while it grows, and shows where the loss falls and where it breaks",
    .usage = "--data FILE [options]",
    .details = "The learning rate grows exponentially from --from to --to; the test ends where the smoothed loss is 4 "
               "times its least. The other options are those of tiger train, whose run it tries; none of it is kept. "
               "--lr is what is looked for. The suggested rate is that of the steepest descent.",
    .arrange = arrange,
    .run = run,
};
