/* train.c -- tiger train: trains a model on its data, or goes on with a run that was stopped.
 *
 * SIGINT, SIGTERM, SIGHUP, the end of --max-time, and a reader of stdout that goes away save the run's state and end it
 * with success; a second signal ends it at once, and costs what was done since the last checkpoint. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "human.h"
#include "progress.h"
#include "scores.h"
#include "setup.h"
#include "signals.h"

static void print_memory(const tg_train_result *result)
{
    char planned[32], measured[32];
    cli_human_bytes(planned, sizeof planned, (double)result->planned_bytes);
    cli_human_bytes(measured, sizeof measured, (double)result->peak_bytes);
    printf("peak memory %s (planned %s", measured, planned);
    if (result->peak_bytes > 0)
        printf(", %+.1f %%", 100.0 * ((double)result->planned_bytes / (double)result->peak_bytes - 1.0));
    puts(")");
}

static void print_update(const tg_train_result *result)
{
    char products[32], optimizer[32];
    cli_human_duration(products, sizeof products, result->update_seconds - result->optimizer_seconds);
    cli_human_duration(optimizer, sizeof optimizer, result->optimizer_seconds);
    printf("an update: forward and backward %s, the optimizer beside them %s\n", products, optimizer);
}

static void print_utilisation(const tg_train_result *result)
{
    char peak[32];
    cli_human_count(peak, sizeof peak, result->peak_flops, " ");
    printf("model FLOP utilisation %.1f %% of %sFLOP/s, the machine's best product\n", 100 * result->utilisation, peak);
}

static void print_result(const tg_train_result *result, const tg_train_config *config, const cli_progress *progress)
{
    char rate[32], time[32], evaluations[48] = "";
    cli_human_count(rate, sizeof rate, result->tokens_per_second, "");
    cli_human_seconds(time, sizeof time, result->seconds);
    if (result->evaluations > result->updates)
        snprintf(evaluations, sizeof evaluations, ", %llu evaluations", (unsigned long long)result->evaluations);
    if (isfinite(result->validation_loss)) {
        printf("validation loss %.4f", result->validation_loss);
        cli_scores_line(&result->validation, " (", ")");
        putchar('\n');
    }
    if (result->best_loss < result->validation_loss)
        printf("best: %.4f, of update %llu\n", result->best_loss, (unsigned long long)result->best_update);
    if (result->ended != NULL)
        printf("ended after update %llu: %s\n", (unsigned long long)result->updates, result->ended);
    if (isnan(result->update_seconds) && !result->interrupted && result->ended == NULL)
        printf("all %llu updates had been made before: with more --updates the run goes on\n",
               (unsigned long long)result->updates);
    if (isfinite(result->train_loss))
        printf("%llu update%s%s, training loss %.4f, %s, %s %s/s\n", (unsigned long long)result->updates,
               CLI_PLURAL(result->updates), evaluations, result->train_loss, time, rate, result->rate);
    if (isfinite(result->update_seconds))
        print_update(result);
    if (isfinite(result->utilisation))
        print_utilisation(result);
    print_memory(result);
    if (progress->saved[0] != '\0')
        printf("model:   %s\n", progress->saved);
    printf("metrics: %s/metrics.jsonl\n", config->out);
}

static int finish(const tg_train_result *result, const tg_train_config *config, cli_progress *progress)
{
    print_result(result, config, progress);
    cli_progress_flush(progress);
    if (!result->interrupted)
        return CLI_OK;
    FILE *const to = progress->unread ? stderr : stdout;
    if (progress->unread)
        fputs("tiger train: nobody reads the output any more: ", to);
    fprintf(to, "stopped after update %llu of %llu; ", (unsigned long long)result->updates,
            (unsigned long long)progress->updates);
    if (config->option[TG_TRAIN_SAVE] == 0) {
        fputs("with --no-save there is nothing to go on from\n", to);
        return cli_signal_status();
    }
    fprintf(to, "go on with: tiger train --out %s --resume\n", config->out);
    return CLI_OK;
}

static int check_needed(const cli_args *args)
{
    if (cli_text_of(args, "out") == NULL)
        return cli_usage(args, "--out DIR is missing: where the run's files go");
    if (cli_text_of(args, "data") == NULL && !cli_is_given(args, "resume"))
        return cli_usage(args, "--data FILE is missing: the text, images or table to train on");
    return CLI_OK;
}

static int run(const cli_args *args)
{
    tg_train_config config = {0};
    tg_train_result result;
    cli_progress progress;
    int status = check_needed(args);
    if (status == CLI_OK)
        status = cli_setup(&config, args);
    if (status != CLI_OK)
        goto done;
    cli_catch_signals();
    cli_progress_init(&progress, (uint64_t)config.option[TG_TRAIN_LOG_EVERY]);
    const tg_train_listener listener = cli_progress_listener(&progress);
    const tg_status trained = tg_train_run(&result, &config, &listener);
    if (progress.drawn)
        putchar('\n');
    status = trained == TG_OK ? finish(&result, &config, &progress) : cli_answer(args, trained);
done:
    cli_setup_fini(&config);
    return status;
}

const cli_command cli_train = {
    .name = "train",
    .summary = "trains a model on a text, images or a table, or goes on with a run",
    .usage = "--data FILE --out DIR [options]",
    .details =
        "The options below are those of the chosen optimizer and model: tiger train --help --optimizer lion "
        "--model llama shows others. '-' and '_' are the same in names, and so are --name value and "
        "--name=value.\n"
        "A model of language learns from a text. mlp, resnet, logistic and linear learn from samples: images with "
        "--labels, which files of CIFAR have inside, or a table with --target.\n"
        "Ctrl-C, SIGTERM, the end of --max-time, and a reader of the output that goes away (| head) save the "
        "run and end it, with exit status 0; --resume goes on, and comes to the same bits as a run that was "
        "never stopped. A second signal stops at once.",
    .arrange = cli_setup_arrange,
    .run = run,
};
