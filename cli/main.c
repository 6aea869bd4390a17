/* main.c -- the `tiger` command: finds the sub-command in the table and runs it.
 *
 * Exit status: 0 done, 1 failed, 2 wrong usage: what was asked for cannot be. A reader that goes away ends the program
 * silently, but for trainings (progress.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "help.h"
#include "patience.h"
#include "suggest.h"
#include "system.h"
#include "tiger/status.h"

#define COMMAND(name) extern const cli_command cli_##name;
#include "commands.inc"
#undef COMMAND

static const cli_command *const commands[] = {
#define COMMAND(name) &cli_##name,
#include "commands.inc"
#undef COMMAND
};

size_t cli_command_count(void) { return sizeof commands / sizeof *commands; }

const cli_command *cli_command_at(size_t index) { return index < cli_command_count() ? commands[index] : NULL; }

const cli_command *cli_command_find(const char *name)
{
    for (size_t i = 0; i < cli_command_count(); i++)
        if (strcmp(name, commands[i]->name) == 0)
            return commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    cli_suggestion best = {.wanted = name, .bytes = strlen(name)};
    for (size_t i = 0; i < cli_command_count(); i++)
        cli_suggest(&best, commands[i]->name);
    if (best.name[0] != '\0')
        fprintf(stderr, "tiger: unknown command '%s' (did you mean %s?)\n", name, best.name);
    else
        fprintf(stderr, "tiger: unknown command '%s' (see: tiger help)\n", name);
    return CLI_USAGE;
}

static int run_command(const cli_command *command, int argc, char **argv)
{
    cli_args args;
    int status = cli_args_init(&args, command, argc, argv);
    if (status == CLI_OK && args.help)
        cli_help(stdout, &args);
    else if (status == CLI_OK)
        status = command->run(&args);
    cli_args_fini(&args);
    return status;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        cli_help_all(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("tiger %s\n", tg_version());
        return CLI_OK;
    }
    const bool help = strcmp(argv[1], "help") == 0;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || (help && argc == 2)) {
        cli_help_all(stdout);
        return CLI_OK;
    }
    const char *name = help ? argv[2] : argv[1];
    const cli_command *command = cli_command_find(name);
    if (command == NULL)
        return unknown_command(name);
    if (!help)
        return run_command(command, argc - 2, argv + 2);
    argv[2] = (char[]){"--help"}; /* and what follows it: tiger help train --optimizer lion */
    return run_command(command, argc - 2, argv + 2);
}

int main(int argc, char **argv)
{
    cli_wait_politely(argv);
    cli_share_heap();
    const int status = dispatch(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    if (errno != EPIPE)
        fprintf(stderr, "tiger: cannot write the output: %s\n", strerror(errno));
    return status != CLI_OK ? status : CLI_FAILED;
}
