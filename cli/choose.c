/* choose.c -- names of families on the command line. */
#include "choose.h"

#include <stdio.h>
#include <string.h>

#include "args.h"
#include "suggest.h"

int cli_choose(size_t *index, const cli_args *args, const char *what, const char *name, size_t count, cli_name_at at)
{
    cli_suggestion best = {.wanted = name, .bytes = strlen(name)};
    char all[512] = "";
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, at(i)) == 0) {
            *index = i;
            return CLI_OK;
        }
        cli_suggest(&best, at(i));
        const int n = snprintf(all + used, sizeof all - used, "%s%s", i == 0 ? "" : ", ", at(i));
        used = n > 0 && (size_t)n < sizeof all - used ? used + (size_t)n : used;
    }
    if (best.name[0] != '\0')
        return cli_usage(args, "no %s '%s' (did you mean %s?)", what, name, best.name);
    return cli_usage(args, "no %s '%s' (there are: %s)", what, name, all);
}

static const char *rule_name(size_t index) { return tg_rule_at(index)->name; }

static const char *model_name(size_t index) { return tg_model_at(index)->name; }

static const char *method_name(size_t index)
{
    tg_method method;
    tg_method_at(&method, index);
    return method.name;
}

int cli_choose_method(tg_method *method, const cli_args *args, const char *name)
{
    size_t index = 0;
    const int status = cli_choose(&index, args, "optimizer", name, tg_method_count(), method_name);
    if (status == CLI_OK)
        tg_method_at(method, index);
    return status;
}

int cli_choose_rule(const tg_rule_info **rule, const cli_args *args, const char *name)
{
    size_t index = 0;
    const int status = cli_choose(&index, args, "optimizer", name, tg_rule_count(), rule_name);
    if (status == CLI_OK)
        *rule = tg_rule_at(index);
    return status;
}

int cli_choose_model(const tg_model_info **model, const cli_args *args, const char *name)
{
    size_t index = 0;
    const int status = cli_choose(&index, args, "model", name, tg_model_count(), model_name);
    if (status == CLI_OK)
        *model = tg_model_at(index);
    return status;
}

int cli_choose_directory_at(char directory[CLI_PATH_BYTES], const cli_args *args, size_t positional)
{
    const char *best = cli_is_given(args, "best") ? "/best" : "";
    const int n = snprintf(directory, CLI_PATH_BYTES, "%s%s", args->positional[positional], best);
    return n > 0 && n < CLI_PATH_BYTES ? CLI_OK : cli_usage(args, "the path of the model is too long");
}

int cli_choose_directory(char directory[CLI_PATH_BYTES], const cli_args *args)
{
    return cli_choose_directory_at(directory, args, 0);
}
