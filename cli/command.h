/* command.h -- what a command is: one const descriptor, one file, one line in commands.inc.
 *
 * A command's flags come in groups. A group has text flags (paths, names) and an option table; the same tables serve
 * parsing, range checks and `--help`. Groups may depend on what was chosen: `--optimizer lion` brings lion's. */
#ifndef TIGER_CLI_COMMAND_H
#define TIGER_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "tiger/option.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 }; /* exit statuses */

#define CLI_GROUPS 12
#define CLI_POSITIONALS 16
#define CLI_OWN_OPTIONS 32

/* A flag whose value is text; without a placeholder it takes no value. */
typedef struct cli_text {
    const char *name, *placeholder, *initial, *help; /* initial: the default, NULL for none */
} cli_text;

typedef struct cli_group {
    const char *title;
    const char *prefix; /* "model": --model-NAME is this group's NAME too. NULL: there is no such form, and options that
                           an earlier group has as well are not offered */
    bool (*reserved)(const char *name); /* names that mean this group only behind its prefix; NULL: none */
    const cli_text *text;
    size_t texts;
    tg_option_table table;
} cli_group;

/* One flag as it stands on the command line. */
typedef struct cli_given {
    size_t group, index;
    bool is_option;   /* of the group's table; otherwise one of its text flags */
    bool prefixed;    /* given with the group's prefix */
    const char *text; /* the value; "1" or "0" for switches given alone */
    double number;    /* the option's value */
} cli_given;

struct cli_command;

typedef struct cli_args {
    const struct cli_command *command;
    int argc;
    char **argv; /* behind the command's name */
    cli_group group[CLI_GROUPS];
    size_t groups;
    char title[CLI_GROUPS][64];         /* of groups whose title is made, */
    tg_option option[CLI_OWN_OPTIONS]; /* or whose defaults are the command's own */
    cli_given *given;
    size_t given_count;
    const char *positional[CLI_POSITIONALS];
    size_t positionals;
    bool help;
} cli_args;

typedef struct cli_command {
    const char *name, *summary;
    const char *usage;                  /* behind the name: "DIR --data FILE [options]" */
    const char *details;                /* further lines of the help, or NULL */
    size_t positionals_least, positionals_most;
    int (*arrange)(cli_args *args);     /* adds the groups; CLI_OK, or prints and gives the exit status */
    int (*run)(const cli_args *args);   /* gives the exit status */
} cli_command;

size_t cli_command_count(void);
const cli_command *cli_command_at(size_t index);
const cli_command *cli_command_find(const char *name);

#endif
