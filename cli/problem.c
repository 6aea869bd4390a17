/* problem.c -- flags that say which textbook problem, or which function, is meant. */
#include "problem.h"

#include <stdio.h>
#include <string.h>

#include "args.h"
#include "choose.h"
#include "setup.h"

static const char *problem_name(size_t index) { return tg_problem_at(index)->name; }

int cli_problem_arrange(cli_args *args, const char *name)
{
    size_t index = 0;
    const int status = cli_choose(&index, args, "problem", name, tg_problem_count(), problem_name);
    if (status != CLI_OK)
        return status;
    const tg_problem_info *info = tg_problem_at(index);
    if (info->options.count > 0) {
        snprintf(args->title[0], sizeof args->title[0], "Problem %s", info->name);
        cli_setup_prefixed_group(args, args->title[0], "problem", &info->options);
    }
    return CLI_OK;
}

/* The library's line, and under it the text with a caret where it went wrong; a long text is cut around that place. */
static int bad_expression(const cli_args *args, const char *text, size_t column)
{
    const size_t from = column > 60 ? column - 40 : 1;
    cli_failed(args);
    if (column == 0)
        return CLI_USAGE;
    fprintf(stderr, "    ");
    for (size_t i = from - 1; text[i] != '\0' && i < from + 79; i++)
        fputc((unsigned char)text[i] < 0x20 ? ' ' : text[i], stderr);
    fprintf(stderr, "\n    ");
    for (size_t i = from; i < column; i++) /* a sign of several bytes is one column wide */
        if (((unsigned char)text[i - 1] & 0xc0) != 0x80)
            fputc(' ', stderr);
    fputs("^\n", stderr);
    return CLI_USAGE;
}

int cli_problem_make(tg_problem **problem, const cli_args *args, const char *name)
{
    const char *text = cli_text_of(args, "f");
    size_t column = 0;
    if (text != NULL && name != NULL)
        return cli_usage(args, "--f and the problem '%s' at once: take one", name);
    if (text == NULL && name == NULL)
        return cli_usage(args, "what to minimize is missing: PROBLEM (see: tiger list problems) or --f EXPRESSION");
    if (text != NULL)
        return tg_problem_parse(problem, text, &column) == TG_OK ? CLI_OK : bad_expression(args, text, column);
    const tg_problem_info *info = tg_problem_find(name);
    if (info == NULL)
        return cli_usage(args, "there is no problem '%s' (see: tiger list problems)", name);
    double option[CLI_OWN_OPTIONS];
    for (size_t i = 0; i < info->options.count; i++)
        option[i] = info->options.at[i].value;
    for (size_t i = 0; i < args->given_count; i++) {
        const cli_given *given = &args->given[i];
        if (given->is_option && args->group[given->group].table.at == info->options.at)
            option[given->index] = given->number;
    }
    return tg_problem_create(problem, info->name, option) == TG_OK ? CLI_OK : cli_failed(args);
}
