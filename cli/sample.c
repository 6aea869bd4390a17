/* sample.c -- tiger sample: text from a model. */
#include <stdio.h>

#include "args.h"
#include "choose.h"
#include "tiger/engine/train.h"

static const cli_text texts[] = {
    {"prompt", "TEXT", "", "what the text begins with"},
    CLI_TEXT_BEST,
};

static const tg_option options[] = {
    {.name = "tokens", .kind = TG_INTEGER, .value = 200, .least = 0, .most = 1 << 30,
     .help = "how many tokens to make"},
    {.name = "temperature", .kind = TG_REAL, .value = 0.8, .least = 0, .most = 100,
     .help = "below 1 likelier, above 1 wilder text; 0 always takes the likeliest token"},
    {.name = "top_k", .kind = TG_INTEGER, .value = 0, .least = 0, .most = 1 << 24,
     .help = "choose among the k likeliest tokens only; 0: all"},
    {.name = "seed", .kind = TG_INTEGER, .value = 1, .least = 0, .most = 9007199254740992.0,
     .help = "the same seed gives the same text"},
    {.name = "precision", .kind = TG_CHOICE, .value = TG_PRECISION_FP32, .most = TG_PRECISION_COUNT - 1, .choices = "fp32|mixed|bf16|fp16",
     .help = "number format of the activations"},
};

static int arrange(cli_args *args)
{
    cli_add_group(args, &(cli_group){.title = "Options", .text = texts, .texts = sizeof texts / sizeof *texts,
                                     .table = {options, sizeof options / sizeof *options}});
    return CLI_OK;
}

static void print_piece(void *ctx, const char *bytes, size_t count)
{
    (void)ctx;
    fwrite(bytes, 1, count, stdout);
    fflush(stdout);
}

static int run(const cli_args *args)
{
    char directory[CLI_PATH_BYTES];
    const int status = cli_choose_directory(directory, args);
    if (status != CLI_OK)
        return status;
    const tg_sample_config config = {
        .directory = directory,
        .prompt = cli_text_of(args, "prompt"),
        .tokens = (size_t)cli_number_of(args, "tokens"),
        .top_k = (size_t)cli_number_of(args, "top_k"),
        .temperature = cli_number_of(args, "temperature"),
        .seed = (uint64_t)cli_number_of(args, "seed"),
        .precision = (tg_precision)cli_number_of(args, "precision"),
    };
    if (tg_sample(&config, print_piece, NULL) != TG_OK)
        return cli_failed(args);
    putchar('\n');
    return CLI_OK;
}

const cli_command cli_sample = {
    .name = "sample",
    .summary = "writes text with a trained model",
    .usage = "DIR [options]",
    .details = "DIR is a model directory, for example one that tiger train has written.",
    .positionals_least = 1,
    .positionals_most = 1,
    .arrange = arrange,
    .run = run,
};
