/* eval.c -- tiger eval: the loss of a model on a text.
 *
 *   perplexity = exp(loss)      bits per byte, per character = the sum of all losses / ln 2 / bytes, characters
 *
 * A model that fills in masked tokens is measured on those, and has no bits per byte. */
#include <math.h>
#include <stdio.h>

#include "args.h"
#include "choose.h"
#include "tiger/engine/train.h"

static const cli_text texts[] = {
    {"data", "FILE", NULL, "the text; every token of it but the first is predicted once"},
    CLI_TEXT_BEST,
};

static const tg_option options[] = {
    {.name = "batch", .kind = TG_INTEGER, .value = 12, .least = 1, .most = 1 << 20,
     .help = "windows worked on at once"},
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
        return cli_usage(args, "--data FILE is missing: the text to evaluate on");
    char directory[CLI_PATH_BYTES];
    const int status = cli_choose_directory(directory, args);
    if (status != CLI_OK)
        return status;
    if (tg_evaluate(&result, directory, data, (tg_data_format)(int)cli_number_of(args, "format"),
                    (size_t)cli_number_of(args, "batch"), (tg_precision)cli_number_of(args, "precision")) != TG_OK)
        return cli_failed(args);
    printf("loss           %.4f nats a token\n", result.loss);
    printf("perplexity     %.4f\n", exp(result.loss));
    if (!isnan(result.bits_per_byte))
        printf("bits per byte  %.4f\n", result.bits_per_byte);
    if (!isnan(result.bits_per_char))
        printf("bits per char  %.4f\n", result.bits_per_char);
    printf("tokens         %zu\n", result.targets);
    return CLI_OK;
}

const cli_command cli_eval = {
    .name = "eval",
    .summary = "measures a model's loss on a text",
    .usage = "DIR --data FILE [options]",
    .details = "DIR is a model directory, for example one that tiger train has written.",
    .positionals_least = 1,
    .positionals_most = 1,
    .arrange = arrange,
    .run = run,
};
