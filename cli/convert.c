/* convert.c -- tiger convert: a model's files to a directory in Hugging Face's layout. */
#include <stdio.h>

#include "args.h"
#include "human.h"
#include "tiger/engine/model.h"

static const tg_option options[] = {
    {.name = "format", .kind = TG_CHOICE, .value = 0, .most = 2, .choices = "fp32|bf16|fp16",
     .help = "number format of the weights written"},
};
static const tg_format formats[] = {TG_F32, TG_BF16, TG_F16};

static int arrange(cli_args *args)
{
    cli_add_group(args, &(cli_group){.title = "Options", .table = {options, sizeof options / sizeof *options}});
    return CLI_OK;
}

static int run(const cli_args *args)
{
    tg_conversion made;
    char count[32], size[32];
    const tg_status status =
        tg_model_convert(&made, args->positional[0], args->positional[1], formats[(int)cli_number_of(args, "format")]);
    if (status != TG_OK)
        return cli_answer(args, status);
    cli_human_count(count, sizeof count, (double)made.parameters, "");
    cli_human_bytes(size, sizeof size, (double)made.bytes);
    printf("%s: a %s of %s parameters in %zu tensors, %s\n", args->positional[1], made.model, count, made.tensors,
           size);
    if (made.note[0] != '\0')
        printf("no tokenizer.json: %s\n", made.note);
    return CLI_OK;
}

const cli_command cli_convert = {
    .name = "convert",
    .summary = "writes a GGUF file's model, or a directory's, as a Hugging Face directory",
    .usage = "IN OUT_DIR [options]",
    .details =
        "IN is a GGUF file of a llama or gpt2 architecture (F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to "
        "Q6_K), or a Hugging Face directory, in one file or in shards. OUT_DIR must not exist; tiger train --init "
        "and transformers open it. A byte-level BPE tokenizer comes along as tokenizer.json.",
    .positionals_least = 2,
    .positionals_most = 2,
    .arrange = arrange,
    .run = run,
};
