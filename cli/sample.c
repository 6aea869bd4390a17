/* sample.c -- tiger sample: text from a model, or what a masked one fills in. */
#include <stdio.h>

#include "args.h"
#include "choose.h"
#include "tiger/engine/train.h"

static const cli_text texts[] = {
    {"prompt", "TEXT", "", "what the text begins with; of an encoder: a text with [MASK] in it"},
    CLI_TEXT_BEST,
};

static const tg_option options[] = {
    {.name = "tokens", .kind = TG_INTEGER, .value = 200, .least = 0, .most = 1 << 30,
     .help = "how many tokens to make"},
    {.name = "temperature", .kind = TG_REAL, .value = 0.8, .least = 0, .most = 100,
     .help = "below 1 likelier, above 1 wilder text; 0 always takes the likeliest token"},
    {.name = "top_k", .kind = TG_INTEGER, .value = 0, .least = 0, .most = 1 << 24,
     .help = "choose among the k likeliest tokens only; 0: all. Of an encoder: show so many; 0: 5"},
    {.name = "seed", .kind = TG_INTEGER, .value = 1, .least = 0, .most = TG_WHOLE_MOST,
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

/* A token as it can be read: without blanks around it unless it is one, control characters and stray bytes as numbers.
 */
static void print_token(const char *text, size_t bytes)
{
    while (bytes > 1 && *text == ' ') {
        text++;
        bytes--;
    }
    const bool whole = bytes > 1 || (bytes == 1 && (unsigned char)*text < 0x80);
    putchar('"');
    for (size_t i = 0; i < bytes; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f || !whole)
            printf("\\x%02x", (unsigned)c);
        else
            putchar(c);
    }
    puts("\"");
}

static void print_filling(void *ctx, const tg_filling *f)
{
    (void)ctx;
    if (f->rank == 0 && f->mask > 0)
        putchar('\n');
    printf("%6.2f %%  ", 100 * f->probability);
    print_token(f->text, f->bytes);
}

static int run(const cli_args *args)
{
    tg_model_config model;
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
    tg_status made = tg_model_config_read(&model, config.directory);
    if (made == TG_OK && model.info->masked)
        return cli_answer(args, tg_fill(&config, print_filling, NULL));
    if (made == TG_OK)
        made = tg_sample(&config, print_piece, NULL);
    if (made != TG_OK)
        return cli_answer(args, made);
    putchar('\n');
    return CLI_OK;
}

const cli_command cli_sample = {
    .name = "sample",
    .summary = "writes text with a trained model, or fills in what is masked",
    .usage = "DIR [options]",
    .details =
        "DIR is a model directory, for example one that tiger train has written. An encoder, such as bert, writes no "
        "text: it tells what it thinks stands at every [MASK] of the prompt, with its probability.",
    .positionals_least = 1,
    .positionals_most = 1,
    .arrange = arrange,
    .run = run,
};
