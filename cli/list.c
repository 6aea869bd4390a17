/* list.c -- tiger list: the members of a family, and everything about one of them. */
#include <stdio.h>

#include "args.h"
#include "choose.h"
#include "help.h"
#include "markdown.h"
#include "tiger/engine/problem.h"
#include "tiger/schedule.h"

/* A family: how many members, each one's name and line, and the page about it. */
typedef struct family {
    const char *name, *member; /* "optimizers", "optimizer" */
    size_t (*count)(void);
    const char *(*name_at)(size_t index);
    const char *(*line_at)(size_t index);
    void (*show)(size_t index);
    void (*markdown)(void); /* the family's page of the documentation; NULL: there is none */
} family;

static void show_options(const char *title, const tg_option_table *table)
{
    char left[256], right[1024];
    if (table->count == 0)
        return;
    printf("\n%s:\n", title);
    for (size_t i = 0; i < table->count; i++) {
        const tg_option *option = &table->at[i];
        const bool choice = option->kind == TG_CHOICE;
        snprintf(left, sizeof left, "%s%s%s", option->name, choice ? " " : "", choice ? option->choices : "");
        cli_help_option(right, sizeof right, option);
        cli_help_entry(stdout, left, right);
    }
}

static void show_head(const char *name, const char *line, const char *equations)
{
    printf("%s -- %s\n", name, line);
    if (equations == NULL || equations[0] == '\0')
        return;
    putchar('\n');
    cli_help_text(stdout, 4, equations);
}

/* ---- rules ---- */

static void show_slot(const tg_slot *slot)
{
    static const char *const shape[] = {
        [TG_SLOT_FULL] = "a value per weight, 4 bytes in fp32, 2 in bf16 and fp16",
        [TG_SLOT_ROW] = "a value per row, 4 bytes",
        [TG_SLOT_COLUMN] = "a value per column, 4 bytes",
        [TG_SLOT_SCALAR] = "a value per tensor, 8 bytes",
        [TG_SLOT_LEFT] = "(rows, rows) values, or (rows) beyond max_dim, 4 bytes",
        [TG_SLOT_RIGHT] = "(columns, columns) values, or (columns) beyond max_dim, 4 bytes",
    };
    static const char *const owner[] = {
        [TG_SLOT_ALL] = "", [TG_SLOT_MATRICES] = "; matrices only", [TG_SLOT_VECTORS] = "; vectors only",
        [TG_SLOT_WHOLE] = "; matrices worked whole", [TG_SLOT_REST] = "; the other tensors"};
    char line[256];
    snprintf(line, sizeof line, "%s%s%s%s%s",
             slot->codes == TG_CODES_NONE ? shape[slot->shape] : "a value per weight, 1 byte, and a scale for each 256",
             slot->needs_range ? "; fp32 unless told otherwise" : "", owner[slot->owner],
             slot->when != NULL ? "; only with " : "", slot->when != NULL ? slot->when : "");
    cli_help_entry(stdout, slot->name, line);
}

static void show_presets(const tg_rule_info *rule)
{
    if (rule->preset_count > 0)
        printf("\nPresets (--preset NAME; options given beside it win):\n");
    for (size_t i = 0; i < rule->preset_count; i++) {
        const tg_preset *preset = &rule->presets[i];
        char line[512];
        size_t used = 0;
        for (size_t s = 0; s < preset->settings && used < sizeof line; s++)
            used += (size_t)snprintf(line + used, sizeof line - used, "%s%s=%s", s > 0 ? " " : "",
                                     preset->setting[s].name, preset->setting[s].value);
        if (used < sizeof line)
            snprintf(line + used, sizeof line - used, " (%s)", preset->source);
        cli_help_entry(stdout, preset->name, line);
    }
}

static void show_rule(const tg_rule_info *rule)
{
    size_t always = 0, sometimes = 0;
    show_head(rule->name, rule->title, rule->equations);
    putchar('\n');
    cli_help_entry(stdout, "source", rule->source);
    if (rule->when_to_use != NULL)
        cli_help_entry(stdout, "for", rule->when_to_use);
    printf("\nState:\n");
    for (size_t i = 0; i < rule->slot_count; i++) {
        show_slot(&rule->slots[i]);
        const tg_slot_owner owner = rule->slots[i].owner;
        if (rule->slots[i].shape == TG_SLOT_FULL && owner != TG_SLOT_REST)
            *(rule->slots[i].when == NULL && (owner == TG_SLOT_ALL || owner == TG_SLOT_WHOLE) ? &always : &sometimes) +=
                rule->slots[i].codes == TG_CODES_NONE ? 4 : 1;
    }
    printf("  %zu", always);
    if (sometimes != 0)
        printf(" to %zu", always + sometimes);
    printf(" bytes a weight%s in fp32%s\n", rule->matrices ? " of a matrix" : "",
           rule->folds ? "; gradients can go into the first state and then need no memory of their own" : "");
    show_options("Options", &rule->options);
    show_presets(rule);
    show_options("Options of every optimizer", tg_optim_common_options());
}

/* ---- minimizers ---- */

static const char *minimizer_name(size_t index) { return tg_minimizer_at(index)->name; }

static const char *minimizer_line(size_t index) { return tg_minimizer_at(index)->title; }

static void show_minimizer(const tg_minimizer_info *minimizer)
{
    static const char *const needs[] = {
        [TG_NEEDS_VALUE] = "values alone", [TG_NEEDS_GRADIENT] = "gradients",
        [TG_NEEDS_PRODUCT] = "gradients, and products of the Hessian with vectors (by differences without)",
        [TG_NEEDS_FISHER] = "gradients, and products of a Fisher matrix with vectors: a likelihood"};
    show_head(minimizer->name, minimizer->title, minimizer->equations);
    putchar('\n');
    cli_help_entry(stdout, "source", minimizer->source);
    if (minimizer->when_to_use != NULL)
        cli_help_entry(stdout, "for", minimizer->when_to_use);
    cli_help_entry(stdout, "needs", needs[minimizer->needs]);
    show_options("Options", &minimizer->options);
    show_options("Options of every minimizer", tg_minimizer_common_options());
}

static void show_minimizer_at(size_t index) { show_minimizer(tg_minimizer_at(index)); }

/* ---- optimizers: rules and minimizers ---- */

static const char *method_name(size_t index)
{
    tg_method method;
    tg_method_at(&method, index);
    return method.name;
}

static const char *method_line(size_t index)
{
    tg_method method;
    tg_method_at(&method, index);
    return method.title;
}

static void show_method(size_t index)
{
    tg_method method;
    tg_method_at(&method, index);
    if (method.rule != NULL)
        show_rule(method.rule);
    else
        show_minimizer(method.minimizer);
}

/* ---- schedules ---- */

static const char *schedule_name(size_t index) { return tg_schedule_at(index)->name; }

static const char *schedule_line(size_t index) { return tg_schedule_at(index)->help; }

static void show_schedule(size_t index)
{
    const tg_schedule_info *schedule = tg_schedule_at(index);
    show_head(schedule->name, schedule->help, schedule->formula);
    show_options("Options", &schedule->options);
    putchar('\n');
    if (schedule->list != NULL)
        printf("Takes a list: %s:%s\n", schedule->name, schedule->list);
    if (schedule->first != NULL)
        printf("%s:VALUE sets %s.\n", schedule->name, schedule->first);
    cli_help_text(stdout, 0,
                  "Stages are joined by '>', courses of several options by ';': \"warmup:100 > cosine; "
                  "weight_decay=constant:0.5\". tiger plot schedule TEXT draws.");
}

/* ---- layers ---- */

static const char *layer_name(size_t index) { return tg_layer_at(index)->name; }

static const char *layer_line(size_t index) { return tg_layer_at(index)->help; }

static void show_layer(size_t index)
{
    const tg_layer_info *layer = tg_layer_at(index);
    show_head(layer->name, layer->help, layer->equations);
}

/* ---- models ---- */

static const char *model_name(size_t index) { return tg_model_at(index)->name; }

static const char *model_line(size_t index) { return tg_model_at(index)->help; }

static void show_model(size_t index)
{
    const tg_model_info *model = tg_model_at(index);
    show_head(model->name, model->help, NULL);
    if (*model->architecture != '\0')
        printf("\nIn transformers: %s\n", model->architecture);
    show_options("Options", &model->options);
}

/* ---- problems ---- */

static const char *problem_name(size_t index) { return tg_problem_at(index)->name; }

static const char *problem_line(size_t index) { return tg_problem_at(index)->title; }

static void show_problem(size_t index)
{
    const tg_problem_info *problem = tg_problem_at(index);
    show_head(problem->name, problem->title, problem->equations);
    putchar('\n');
    cli_help_entry(stdout, "source", problem->source);
    show_options("Options", &problem->options);
}

static const family families[] = {
    {"optimizers", "optimizer", tg_method_count, method_name, method_line, show_method, cli_markdown_optimizers},
    {"schedules", "schedule", tg_schedule_count, schedule_name, schedule_line, show_schedule, NULL},
    {"layers", "layer", tg_layer_count, layer_name, layer_line, show_layer, NULL},
    {"models", "model", tg_model_count, model_name, model_line, show_model, NULL},
    {"minimizers", "minimizer", tg_minimizer_count, minimizer_name, minimizer_line, show_minimizer_at, NULL},
    {"problems", "problem", tg_problem_count, problem_name, problem_line, show_problem, NULL},
};

static const char *family_name(size_t index) { return families[index].name; }

static const cli_text texts[] = {
    {"markdown", NULL, NULL, "all about the optimizers, as the page docs/optimizers.md"},
};

static int arrange(cli_args *args)
{
    cli_add_group(args, &(cli_group){.title = "Options", .text = texts, .texts = sizeof texts / sizeof *texts});
    return CLI_OK;
}

static int run(const cli_args *args)
{
    size_t chosen, member;
    int status =
        cli_choose(&chosen, args, "family", args->positional[0], sizeof families / sizeof *families, family_name);
    if (status != CLI_OK)
        return status;
    const family *of = &families[chosen];
    if (cli_is_given(args, "markdown")) {
        if (of->markdown == NULL || args->positionals > 1)
            return cli_usage(args, "--markdown goes with optimizers alone");
        of->markdown();
        return CLI_OK;
    }
    if (args->positionals == 1) {
        for (size_t i = 0; i < of->count(); i++)
            cli_help_entry(stdout, of->name_at(i), of->line_at(i));
        return CLI_OK;
    }
    status = cli_choose(&member, args, of->member, args->positional[1], of->count(), of->name_at);
    if (status == CLI_OK)
        of->show(member);
    return status;
}

const cli_command cli_list = {
    .name = "list",
    .summary = "lists optimizers, schedules, layers, models, minimizers or problems; with NAME everything about one",
    .usage = "optimizers|schedules|layers|models|minimizers|problems [NAME]",
    .positionals_least = 1,
    .positionals_most = 2,
    .arrange = arrange,
    .run = run,
};
