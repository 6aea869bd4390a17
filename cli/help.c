/* help.c -- `--help`, made from the tables. */
#include "help.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "args.h"

#define COLUMNS 100
#define LEFT 30 /* where explanations begin */

/* Prints words from `column` on, breaking before COLUMNS; lines after the first begin at `indent`. */
static void wrap(FILE *to, size_t column, size_t indent, const char *text)
{
    while (*text != '\0') {
        const size_t blanks = strspn(text, " "), word = strcspn(text + blanks, " ");
        if (word == 0)
            break;
        if (column > indent && column + blanks + word > COLUMNS) {
            fprintf(to, "\n%*s", (int)indent, "");
            column = indent;
        } else {
            fprintf(to, "%*s", (int)blanks, "");
            column += blanks;
        }
        fwrite(text + blanks, 1, word, to);
        column += word;
        text += blanks + word;
    }
    fputc('\n', to);
}

void cli_help_text(FILE *to, size_t indent, const char *text)
{
    char line[1024];
    while (*text != '\0') {
        const size_t length = strcspn(text, "\n"), deeper = strspn(text, " ");
        snprintf(line, sizeof line, "%.*s", (int)(length - deeper), text + deeper);
        fprintf(to, "%*s", (int)(indent + deeper), "");
        wrap(to, indent + deeper, indent + deeper, line);
        text += length + (text[length] == '\n');
    }
}

void cli_help_entry(FILE *to, const char *left, const char *right)
{
    const size_t length = strlen(left) + 2;
    fprintf(to, "  %s", left);
    if (length + 1 > LEFT)
        fprintf(to, "\n%*s", LEFT, "");
    else
        fprintf(to, "%*s", (int)(LEFT - length), "");
    wrap(to, LEFT, LEFT, right);
}

void cli_help_option(char *text, size_t bytes, const tg_option *option)
{
    char value[64], range[128];
    tg_option_print(value, sizeof value, option, option->value);
    tg_option_range(range, sizeof range, option);
    const char *help = option->help != NULL ? option->help : "";
    if (isnan(option->value))
        snprintf(text, bytes, "%s (required; %s)", help, range);
    else if (option->kind == TG_SWITCH || option->kind == TG_CHOICE)
        snprintf(text, bytes, "%s (default %s)", help, value);
    else
        snprintf(text, bytes, "%s (default %s%s%s)", help, value, range[0] != '\0' ? "; " : "", range);
}

static const char *placeholder(const tg_option *option)
{
    switch (option->kind) {
    case TG_REAL:
        return "X";
    case TG_INTEGER:
        return "N";
    case TG_BYTES:
        return "SIZE";
    case TG_CHOICE:
        return option->choices;
    case TG_SWITCH:
        break;
    }
    return "[on|off]";
}

static void print_flag(FILE *to, const cli_args *args, size_t group, bool is_option, size_t index)
{
    const cli_group *in = &args->group[group];
    char name[64], left[256], right[1024];
    if (!cli_flag_name(name, sizeof name, args, group, is_option, index))
        return;
    if (is_option) {
        snprintf(left, sizeof left, "--%s %s", name, placeholder(&in->table.at[index]));
        cli_help_option(right, sizeof right, &in->table.at[index]);
    } else {
        const cli_text *text = &in->text[index];
        snprintf(left, sizeof left, "--%s%s%s", name, text->placeholder != NULL ? " " : "",
                 text->placeholder != NULL ? text->placeholder : "");
        if (text->initial != NULL && text->initial[0] != '\0')
            snprintf(right, sizeof right, "%s (default %s)", text->help, text->initial);
        else
            snprintf(right, sizeof right, "%s", text->help);
    }
    cli_help_entry(to, left, right);
}

void cli_help(FILE *to, const cli_args *args)
{
    const cli_command *command = args->command;
    fprintf(to, "Usage: tiger %s %s\n\n%c%s.\n", command->name, command->usage,
            toupper((unsigned char)command->summary[0]), command->summary + 1);
    if (command->details != NULL) {
        fputc('\n', to);
        cli_help_text(to, 0, command->details);
    }
    for (size_t g = 0; g < args->groups; g++) {
        const cli_group *group = &args->group[g];
        fprintf(to, "\n%s:\n", group->title);
        for (size_t i = 0; i < group->texts; i++)
            print_flag(to, args, g, false, i);
        for (size_t i = 0; i < group->table.count; i++)
            print_flag(to, args, g, true, i);
    }
}

void cli_help_all(FILE *to)
{
    fputs("Usage: tiger COMMAND [arguments]\n\n"
          "Trains language models and classifiers on ordinary machines in the least memory.\n\nCommands:\n",
          to);
    for (size_t i = 0; i < cli_command_count(); i++)
        cli_help_entry(to, cli_command_at(i)->name, cli_command_at(i)->summary);
    fputs("\nOther:\n", to);
    cli_help_entry(to, "help [COMMAND]", "this page, or a command's; the same as tiger COMMAND --help");
    cli_help_entry(to, "--version", "the version");
    fputs("\nExit status: 0 done, 1 failed, 2 wrong usage.\n", to);
}
