/* args.c -- the command line against the groups of a command. */
#include "args.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suggest.h"
#include "tiger/status.h"

#define NAME_BYTES 64

/* Where a flag was found. */
typedef struct place {
    size_t group, index;
    bool is_option, prefixed, negated;
} place;

int cli_usage(const cli_args *args, const char *format, ...)
{
    va_list list;
    fflush(stdout);
    fprintf(stderr, "tiger %s: ", args->command->name);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    return CLI_USAGE;
}

int cli_exit_status(tg_status status)
{
    return status == TG_OK ? CLI_OK : status == TG_EINVAL ? CLI_USAGE : CLI_FAILED;
}

int cli_answer(const cli_args *args, tg_status status)
{
    if (status != TG_OK) {
        fflush(stdout);
        fprintf(stderr, "tiger %s: %s\n", args->command->name, tg_message());
    }
    return cli_exit_status(status);
}

void cli_add_group(cli_args *args, const cli_group *group)
{
    if (args->groups < CLI_GROUPS)
        args->group[args->groups++] = *group;
}

/* Same name, '-' and '_' alike; `a` may go on behind its `bytes`. */
static bool same_name(const char *a, size_t bytes, const char *b)
{
    for (size_t i = 0; i < bytes; i++) {
        const char x = a[i] == '_' ? '-' : a[i], y = b[i] == '_' ? '-' : b[i];
        if (x != y || y == '\0')
            return false;
    }
    return b[bytes] == '\0';
}

static bool find_in_group(place *found, const cli_args *args, size_t g, const char *name, size_t bytes)
{
    const cli_group *group = &args->group[g];
    for (size_t i = 0; i < group->texts; i++)
        if (same_name(name, bytes, group->text[i].name)) {
            *found = (place){.group = g, .index = i};
            return true;
        }
    for (size_t i = 0; i < group->table.count; i++)
        if (same_name(name, bytes, group->table.at[i].name)) {
            *found = (place){.group = g, .index = i, .is_option = true};
            return true;
        }
    return false;
}

/* Whether what was found in a group is so named that it needs the prefix. */
static bool is_reserved(const cli_args *args, const place *at)
{
    const cli_group *group = &args->group[at->group];
    return group->reserved != NULL && at->is_option && group->reserved(group->table.at[at->index].name);
}

static bool find_flag(place *found, const cli_args *args, const char *name, size_t bytes)
{
    for (size_t g = 0; g < args->groups; g++)
        if (find_in_group(found, args, g, name, bytes) && !is_reserved(args, found))
            return true;
    for (size_t g = 0; g < args->groups; g++) {
        const char *prefix = args->group[g].prefix;
        const size_t length = prefix != NULL ? strlen(prefix) : 0;
        if (length != 0 && bytes > length + 1 && same_name(name, length, prefix) &&
            (name[length] == '-' || name[length] == '_') &&
            find_in_group(found, args, g, name + length + 1, bytes - length - 1)) {
            found->prefixed = true;
            return true;
        }
    }
    return false;
}

static bool takes_value(const cli_args *args, const place *at)
{
    const cli_group *group = &args->group[at->group];
    return at->is_option ? group->table.at[at->index].kind != TG_SWITCH : group->text[at->index].placeholder != NULL;
}

/* As find_flag; --no-NAME is the negation of a switch. */
static bool find_or_negated(place *found, const cli_args *args, const char *name, size_t bytes)
{
    if (find_flag(found, args, name, bytes))
        return true;
    if (bytes <= 3 || !same_name(name, 3, "no-") || !find_flag(found, args, name + 3, bytes - 3) || !found->is_option ||
        takes_value(args, found))
        return false;
    found->negated = true;
    return true;
}

bool cli_flag_name(char *name, size_t bytes, const cli_args *args, size_t group, bool is_option, size_t index)
{
    const cli_group *in = &args->group[group];
    const char *plain = is_option ? in->table.at[index].name : in->text[index].name;
    place found;
    const bool mine = find_flag(&found, args, plain, strlen(plain)) && found.group == group &&
                      found.is_option == is_option && found.index == index;
    if (!mine && in->prefix == NULL)
        return false;
    snprintf(name, bytes, "%s%s%s", mine ? "" : in->prefix, mine ? "" : "-", plain);
    for (char *c = name; *c != '\0'; c++)
        *c = *c == '_' ? '-' : *c;
    return true;
}

static int unknown_flag(const cli_args *args, const char *flag, size_t bytes)
{
    cli_suggestion best = {.wanted = flag, .bytes = bytes};
    char name[NAME_BYTES];
    for (size_t g = 0; g < args->groups; g++) {
        for (size_t i = 0; i < args->group[g].texts; i++)
            if (cli_flag_name(name, sizeof name, args, g, false, i))
                cli_suggest(&best, name);
        for (size_t i = 0; i < args->group[g].table.count; i++)
            if (cli_flag_name(name, sizeof name, args, g, true, i))
                cli_suggest(&best, name);
    }
    if (best.name[0] != '\0')
        return cli_usage(args, "unknown option --%.*s (did you mean --%s?)", (int)bytes, flag, best.name);
    return cli_usage(args, "unknown option --%.*s (see: tiger %s --help)", (int)bytes, flag, args->command->name);
}

/* Stores one flag; `value` NULL: given alone. */
static int give(cli_args *args, const place *at, const char *value)
{
    const cli_group *group = &args->group[at->group];
    cli_given given = {.group = at->group,
                       .index = at->index,
                       .is_option = at->is_option,
                       .prefixed = at->prefixed,
                       .text = value};
    if (given.text == NULL)
        given.text = at->negated ? "0" : "1";
    if (at->is_option && tg_option_parse(&given.number, &group->table.at[at->index], given.text) != TG_OK)
        return cli_usage(args, "%s", tg_message());
    args->given[args->given_count++] = given;
    return CLI_OK;
}

/* A switch takes the next argument when that reads as a switch's value ("on", "off", ...). */
static bool is_switch_value(const cli_args *args, const place *at, const char *text)
{
    double value;
    return at->is_option && !at->negated && text != NULL &&
           tg_option_parse(&value, &args->group[at->group].table.at[at->index], text) == TG_OK;
}

/* The flag at argv[*i]; moves *i over its value. */
static int parse_flag(cli_args *args, int *i)
{
    const char *flag = args->argv[*i] + 2, *equals = strchr(flag, '=');
    const size_t bytes = equals != NULL ? (size_t)(equals - flag) : strlen(flag);
    place at;
    if (!find_or_negated(&at, args, flag, bytes))
        return unknown_flag(args, flag, bytes);
    const char *next = *i + 1 < args->argc ? args->argv[*i + 1] : NULL;
    if (takes_value(args, &at)) {
        if (equals != NULL)
            return give(args, &at, equals + 1);
        if (next == NULL || strncmp(next, "--", 2) == 0)
            return cli_usage(args, "--%s needs a value", flag);
        (*i)++;
        return give(args, &at, next);
    }
    if (equals != NULL && (!at.is_option || at.negated))
        return cli_usage(args, "--%.*s takes no value", (int)bytes, flag);
    if (equals != NULL)
        return give(args, &at, equals + 1);
    if (!is_switch_value(args, &at, next))
        return give(args, &at, NULL);
    (*i)++;
    return give(args, &at, next);
}

static int parse_arguments(cli_args *args)
{
    const cli_command *command = args->command;
    for (int i = 0; i < args->argc; i++) {
        const char *word = args->argv[i];
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            args->help = true;
        } else if (strncmp(word, "--", 2) == 0) {
            const int status = parse_flag(args, &i);
            if (status != CLI_OK)
                return status;
        } else if (word[0] == '-' && word[1] != '\0') {
            return cli_usage(args, "unknown option %s (options start with two dashes; see: tiger %s --help)", word,
                             command->name);
        } else if (args->positionals == command->positionals_most) {
            return cli_usage(args, "unexpected argument '%s'; usage: tiger %s %s", word, command->name, command->usage);
        } else {
            args->positional[args->positionals++] = word;
        }
    }
    if (!args->help && args->positionals < command->positionals_least)
        return cli_usage(args, "argument missing; usage: tiger %s %s", command->name, command->usage);
    return CLI_OK;
}

int cli_args_init(cli_args *args, const cli_command *command, int argc, char **argv)
{
    *args = (cli_args){.command = command, .argc = argc, .argv = argv};
    args->given = calloc((size_t)argc + 1, sizeof *args->given);
    if (args->given == NULL) {
        fprintf(stderr, "tiger %s: no memory for the arguments\n", command->name);
        return CLI_FAILED;
    }
    const int status = command->arrange != NULL ? command->arrange(args) : CLI_OK;
    return status != CLI_OK ? status : parse_arguments(args);
}

void cli_args_fini(cli_args *args)
{
    free(args->given);
    args->given = NULL;
}

static bool is_flag(const char *word, const char *name)
{
    return strncmp(word, "--", 2) == 0 && same_name(word + 2, strcspn(word + 2, "="), name);
}

bool cli_peek_flag(const cli_args *args, const char *name)
{
    for (int i = 0; i < args->argc; i++)
        if (is_flag(args->argv[i], name))
            return true;
    return false;
}

/* A value never starts with two dashes unless it stands behind '=', so a flag is known by its start alone. */
const char *cli_peek(const cli_args *args, const char *name, const char *initial)
{
    const char *value = initial;
    for (int i = 0; i < args->argc; i++) {
        const char *equals = strchr(args->argv[i], '=');
        if (!is_flag(args->argv[i], name))
            continue;
        if (equals != NULL)
            value = equals + 1;
        else if (i + 1 < args->argc && strncmp(args->argv[i + 1], "--", 2) != 0)
            value = args->argv[i + 1];
    }
    return value;
}

static const cli_given *last_given(place *at, const cli_args *args, const char *name)
{
    if (!find_flag(at, args, name, strlen(name)))
        return NULL;
    for (size_t i = args->given_count; i-- > 0;) {
        const cli_given *given = &args->given[i];
        if (given->group == at->group && given->is_option == at->is_option && given->index == at->index)
            return given;
    }
    return NULL;
}

bool cli_is_given(const cli_args *args, const char *name)
{
    place at;
    return last_given(&at, args, name) != NULL;
}

const char *cli_text_of(const cli_args *args, const char *name)
{
    place at;
    if (!find_flag(&at, args, name, strlen(name)))
        return NULL;
    const cli_given *given = last_given(&at, args, name);
    return given != NULL ? given->text : args->group[at.group].text[at.index].initial;
}

double cli_number_of(const cli_args *args, const char *name)
{
    place at;
    if (!find_flag(&at, args, name, strlen(name)))
        return NAN;
    const cli_given *given = last_given(&at, args, name);
    return given != NULL ? given->number : args->group[at.group].table.at[at.index].value;
}
