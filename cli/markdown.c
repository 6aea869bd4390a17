/* markdown.c -- the page docs/optimizers.md, made from the tables of the rules. */
#include "markdown.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tiger/optim.h"

/* Bytes of a slot for each weight; lines and scalars are next to nothing. */
static double slot_bytes(const tg_slot *slot, double value)
{
    if (slot->shape != TG_SLOT_FULL || slot->owner == TG_SLOT_VECTORS || slot->owner == TG_SLOT_REST)
        return 0;
    return slot->codes != TG_CODES_NONE ? 1 : slot->needs_range ? 4 : value;
}

static bool by_default(const tg_rule_info *rule, const tg_slot *slot)
{
    return slot->when == NULL || rule->options.at[tg_option_find(&rule->options, slot->when)].value != 0;
}

static void print_bytes(const tg_rule_info *rule, double value)
{
    double always = 0, most = 0;
    for (size_t i = 0; i < rule->slot_count; i++) {
        always += by_default(rule, &rule->slots[i]) ? slot_bytes(&rule->slots[i], value) : 0;
        most += slot_bytes(&rule->slots[i], value);
    }
    printf("%g", always);
    if (most > always)
        printf(" to %g", most);
}

static void overview(void)
{
    puts("| name | | state, fp32 | state, bf16 | gradient folds |\n| --- | --- | --- | --- | --- |");
    for (size_t i = 0; i < tg_rule_count(); i++) {
        const tg_rule_info *rule = tg_rule_at(i);
        printf("| [%s](#%s) | %s | ", rule->name, rule->name, rule->title);
        print_bytes(rule, 4);
        printf(" | ");
        print_bytes(rule, 2);
        printf(" | %s |\n", rule->folds ? "yes" : "");
    }
}

/* In a cell '|' would end it. */
static void cell(const char *text)
{
    for (; *text != '\0'; text++)
        printf(*text == '|' ? "\\|" : "%c", *text);
}

static void option_rows(const tg_option_table *table)
{
    puts("| option | default | range | searched | |\n| --- | --- | --- | --- | --- |");
    for (size_t i = 0; i < table->count; i++) {
        const tg_option *option = &table->at[i];
        char value[64], range[128];
        tg_option_print(value, sizeof value, option, option->value);
        tg_option_range(range, sizeof range, option);
        printf("| `%s` | %s | ", option->name, value);
        cell(range);
        printf(" | ");
        if (option->search_least < option->search_most)
            printf("%g .. %g%s", option->search_least, option->search_most, option->search_log ? ", log" : "");
        printf(" | ");
        cell(option->help);
        puts(" |");
    }
}

static void slots(const tg_rule_info *rule)
{
    static const char *const shape[] = {
        [TG_SLOT_FULL] = "per weight", [TG_SLOT_ROW] = "per row", [TG_SLOT_COLUMN] = "per column",
        [TG_SLOT_SCALAR] = "per tensor", [TG_SLOT_LEFT] = "(rows, rows)", [TG_SLOT_RIGHT] = "(columns, columns)"};
    static const char *const owner[] = {
        [TG_SLOT_ALL] = "", [TG_SLOT_MATRICES] = ", matrices only", [TG_SLOT_VECTORS] = ", vectors only",
        [TG_SLOT_WHOLE] = ", matrices worked whole", [TG_SLOT_REST] = ", the other tensors"};
    printf("State:");
    for (size_t i = 0; i < rule->slot_count; i++) {
        const tg_slot *slot = &rule->slots[i];
        printf("%s `%s` %s%s%s%s%s", i == 0 ? "" : ";", slot->name, shape[slot->shape],
               slot->codes != TG_CODES_NONE ? " in 8 bits" : slot->needs_range ? " in fp32 unless told otherwise" : "",
               owner[slot->owner], slot->when != NULL ? ", with " : "", slot->when != NULL ? slot->when : "");
    }
    puts(rule->slot_count == 0 ? " none." : ".");
}

static void presets(const tg_rule_info *rule)
{
    if (rule->preset_count > 0)
        puts("\n| preset | options | source |\n| --- | --- | --- |");
    for (size_t i = 0; i < rule->preset_count; i++) {
        const tg_preset *preset = &rule->presets[i];
        printf("| `%s` | ", preset->name);
        for (size_t s = 0; s < preset->settings; s++)
            printf("%s`%s=%s`", s > 0 ? " " : "", preset->setting[s].name, preset->setting[s].value);
        printf(" | %s |\n", preset->source);
    }
}

static void page(const tg_rule_info *rule)
{
    printf("\n## %s\n\n*%s*\n\n", rule->name, rule->title);
    for (const char *line = rule->equations; *line != '\0';) {
        const size_t length = strcspn(line, "\n");
        printf("    %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
    printf("\nSource: %s.\nFor: %s.\n", rule->source, rule->when_to_use);
    slots(rule);
    putchar('\n');
    option_rows(&rule->options);
    presets(rule);
}

void cli_markdown_optimizers(void)
{
    puts("# Optimizers\n\n"
         "Written by `tiger list optimizers --markdown` from the tables that the rules themselves run on. Bytes of state are for\n"
         "each weight, beside the weight's own; a rule whose gradient folds needs no memory for gradients either. `x` are the\n"
         "weights, `g` the gradient of the mean loss, `t` the tensor's updates from 1. Every option is a flag of `tiger train`\n"
         "(`--weight-decay`), a keyword in Python and a name for `tg_optim_set`. A preset is a set of options that was published\n"
         "together: `--preset NAME` (in a race `preset=NAME`), `tg_optim_preset`, in Python `Tiger.preset(NAME)`; options given\n"
         "beside it win.\n");
    overview();
    for (size_t i = 0; i < tg_rule_count(); i++)
        page(tg_rule_at(i));
    puts("\n## Options of every optimizer\n");
    option_rows(tg_optim_common_options());
}
