/* eval.c -- tiger eval: the loss of a model on a text or on samples, and what it comes to.
 *
 *   perplexity = exp(loss)      bits per byte, per character = the sum of all losses / ln 2 / bytes, characters
 *
 * A model that fills in masked tokens is measured on those, and has no bits per byte. */
#include <math.h>
#include <stdio.h>

#include "args.h"
#include "choose.h"
#include "scores.h"
#include "setup.h"
#include "tiger/engine/train.h"

static const cli_text texts[] = {
    {"data", "FILE", NULL,
     "the text, of which every token but the first is predicted once; or the images (of a directory of CIFAR the test "
     "file) or table of a model that learned from such"},
    CLI_TEXT_LABELS,
    CLI_TEXT_TARGET,
    CLI_TEXT_BEST,
};

static const tg_option options[] = {
    {.name = "batch", .kind = TG_INTEGER, .value = 12, .least = 1, .most = 1 << 20,
     .help = "windows or samples worked on at once"},
    {.name = "precision", .kind = TG_CHOICE, .value = TG_PRECISION_FP32, .most = TG_PRECISION_COUNT - 1, .choices = "fp32|mixed|bf16|fp16",
     .help = "number format of the activations"},
    {.name = "format", .kind = TG_CHOICE, .value = TG_FORMAT_TEXT, .most = TG_FORMATS - 1, .choices = "text|lines|jsonl",
     .help = "of the data: one text, a document a line, or JSON with \"text\" or \"prompt\" and \"response\""},
};

static int arrange(cli_args *args)
{
    cli_add_group(args, &(cli_group){.title = "Options", .text = texts, .texts = sizeof texts / sizeof *texts,
                                     .table = {options, sizeof options / sizeof *options}});
    return CLI_OK;
}

static int run(const cli_args *args)
{
    const char *data = cli_text_of(args, "data");
    tg_evaluation result;
    if (data == NULL)
        return cli_usage(args, "--data FILE is missing: the text, images or table to evaluate on");
    char directory[CLI_PATH_BYTES];
    const int status = cli_choose_directory(directory, args);
    if (status != CLI_OK)
        return status;
    const tg_evaluate_config config = {.directory = directory,
                                       .data = data,
                                       .format = (tg_data_format)(int)cli_number_of(args, "format"),
                                       .labels = cli_text_of(args, "labels"),
                                       .target = cli_text_of(args, "target"),
                                       .batch = (size_t)cli_number_of(args, "batch"),
                                       .precision = (tg_precision)(int)cli_number_of(args, "precision")};
    const tg_status evaluated = tg_evaluate(&result, &config);
    if (evaluated != TG_OK)
        return cli_answer(args, evaluated);
    const bool language = !isnan(result.perplexity);
    printf("loss           %.4f%s\n", result.loss, language ? " nats a token" : "");
    cli_scores_table(&result);
    printf("%-15s%zu\n", language ? "tokens" : "samples", result.targets);
    return CLI_OK;
}

const cli_command cli_eval = {
    .name = "eval",
    .summary = "measures a model on a text, images or a table",
    .usage = "DIR --data FILE [options]",
    .details = "DIR is a model directory, for example one that tiger train has written.",
    .positionals_least = 1,
    .positionals_most = 1,
    .arrange = arrange,
    .run = run,
};
