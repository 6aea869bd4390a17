/* check.c -- tiger check: a model's gradients against differences of its loss, tensor by tensor. */
#include <stdio.h>

#include "args.h"
#include "choose.h"
#include "setup.h"

static const cli_text texts[] = {
    {"model", "NAME", "gpt2", "the model to check (see: tiger list models)"},
};

static const tg_option options[] = {
    {.name = "vocab", .kind = TG_INTEGER, .value = 29, .least = 2, .most = 1 << 24, .help = "tokens of the vocabulary"},
    {.name = "batch", .kind = TG_INTEGER, .value = 2, .least = 1, .most = 1 << 16, .help = "sequences"},
    {.name = "time", .kind = TG_INTEGER, .value = 7, .least = 1, .most = 1 << 16, .help = "tokens of a sequence"},
    {.name = "probes", .kind = TG_INTEGER, .value = 8, .least = 1, .most = 1 << 16, .help = "differences a tensor"},
    {.name = "seed", .kind = TG_INTEGER, .value = 1, .least = 0, .most = TG_WHOLE_MOST,
     .help = "of weights, tokens and probes"},
};

/* A check needs every path of the model but no size: the model's table with other defaults. */
static const struct { const char *name; double value; } small[] = {
    {"layers", 2}, {"heads", 4}, {"kv_heads", 2}, {"width", 24}, {"context", 8}, {"hidden", 40}, {"features", 13},
    {"outputs", 5}, {"activation", TG_GELU}, {"depth", 8}, {"channels", 3}, {"rows", 16}, {"cols", 15},
    {"groups", 4},
};

static tg_option_table small_table(tg_option *at, const tg_option_table *table)
{
    const tg_option_table copy = {at, table->count < CLI_OWN_OPTIONS ? table->count : CLI_OWN_OPTIONS};
    for (size_t i = 0; i < copy.count; i++)
        at[i] = table->at[i];
    for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
        const size_t found = tg_option_find(&copy, small[i].name);
        if (found < copy.count)
            at[found].value = small[i].value;
    }
    return copy;
}

static int arrange(cli_args *args)
{
    const tg_model_info *model = NULL;
    cli_add_group(args, &(cli_group){.title = "Check", .text = texts, .texts = sizeof texts / sizeof *texts,
                                     .table = {options, sizeof options / sizeof *options}});
    const int status = cli_choose_model(&model, args, cli_peek(args, "model", texts[0].initial));
    if (status != CLI_OK)
        return status;
    snprintf(args->title[0], sizeof args->title[0], "Model %s", model->name);
    const tg_option_table table = small_table(args->option, &model->options);
    cli_setup_model_group(args, args->title[0], &table);
    return CLI_OK;
}

static int small_model(tg_model_config *model, const cli_args *args)
{
    const tg_option_table *table = &args->group[1].table;
    tg_status made = tg_model_config_default(model, cli_text_of(args, "model"));
    for (size_t i = 0; i < table->count && made == TG_OK; i++) {
        char text[64];
        tg_option_print(text, sizeof text, &table->at[i], table->at[i].value);
        made = tg_model_config_set(model, table->at[i].name, text);
    }
    if (made != TG_OK)
        return cli_answer(args, made);
    model->vocab = (size_t)cli_number_of(args, "vocab");
    const int status = cli_setup_model(model, args);
    return status != CLI_OK ? status : cli_answer(args, tg_model_config_complete(model));
}

static void print_row(void *ctx, const tg_check_row *row)
{
    (void)ctx;
    printf("%-55s %11.4e %11.4e %9.1e %5zu  %s\n", row->weight, row->analytic_norm, row->numeric_norm,
           row->relative_error, row->probed, row->good ? "good" : "BAD");
    fflush(stdout);
}

static int run(const cli_args *args)
{
    tg_model_config model;
    bool all_good = false;
    const int status = small_model(&model, args);
    if (status != CLI_OK)
        return status;
    printf("%-55s %11s %11s %9s %5s\n", "weight", "backward", "difference", "error", "of");
    const tg_status checked = tg_check_gradients(
        &model, (size_t)cli_number_of(args, "batch"), (size_t)cli_number_of(args, "time"),
        (size_t)cli_number_of(args, "probes"), (uint64_t)cli_number_of(args, "seed"), print_row, NULL, &all_good);
    if (checked != TG_OK)
        return cli_answer(args, checked);
    puts(all_good ? "every gradient agrees" : "some gradients do not agree");
    return all_good ? CLI_OK : CLI_FAILED;
}

const cli_command cli_check = {
    .name = "check",
    .summary = "compares a model's gradients with differences of its loss",
    .usage = "[--model NAME] [options]",
    .details = "Central differences in fp32 on a small model; exit status 1 when a tensor's gradient does not "
               "agree. mlp and resnet are checked with gelu unless "
               "another activation is named: relu bends, and a difference across a bend is no gradient.",
    .arrange = arrange,
    .run = run,
};
