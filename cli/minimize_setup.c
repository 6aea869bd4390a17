/* minimize_setup.c -- the flags of `tiger minimize` as a problem, a start and methods. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "minimize.h"
#include "problem.h"
#include "tiger/minimize.h"
#include "tiger/optim.h"

/* ---- the start --------------------------------------------------------------------------------------------------- */

static size_t find_variable(const cli_minimization *m, const char *name, size_t bytes)
{
    char known[64];
    for (size_t i = 0; i < m->n; i++) {
        tg_problem_variable_name(known, sizeof known, m->problem, i);
        if (strlen(known) == bytes && strncmp(known, name, bytes) == 0)
            return i;
    }
    return m->n;
}

/* "1,-2.5" in the variables' order, or "y=-2.5,x=1". */
static int read_start(cli_minimization *m, const char *text)
{
    static const tg_option number = {.name = "start", .kind = TG_REAL, .least = -INFINITY, .most = INFINITY};
    char value[64];
    size_t count = 0;
    for (const char *item = text; item != NULL; count++) {
        const char *comma = strchr(item, ','), *equals = strchr(item, '=');
        const size_t bytes = comma != NULL ? (size_t)(comma - item) : strlen(item);
        const bool named = equals != NULL && (size_t)(equals - item) < bytes;
        const char *begin = named ? equals + 1 : item;
        const size_t index = named ? find_variable(m, item, (size_t)(equals - item)) : count;
        snprintf(value, sizeof value, "%.*s", (int)(bytes - (size_t)(begin - item)), begin);
        if (named && index == m->n)
            return cli_usage(m->args, "--start: there is no variable '%.*s'", (int)(equals - item), item);
        if (index >= m->n)
            return cli_usage(m->args, "--start has more than %zu numbers", m->n);
        if (tg_option_parse(&m->start[index], &number, value) != TG_OK)
            return cli_usage(m->args, "%s", tg_message());
        if (named)
            count = m->n - 1; /* the rest keeps the standard start */
        item = comma != NULL ? comma + 1 : NULL;
    }
    if (count < m->n)
        return cli_usage(m->args, "--start has %zu of %zu numbers", count, m->n);
    return CLI_OK;
}

static int make_start(cli_minimization *m)
{
    const char *start = cli_text_of(m->args, "start");
    tg_problem_start(m->problem, m->start);
    if (start == NULL)
        return CLI_OK;
    if (cli_is_given(m->args, "random-starts"))
        return cli_usage(m->args, "--start and --random-starts at once: take one");
    return read_start(m, start);
}

/* ---- the methods ------------------------------------------------------------------------------------------------- */

/* The tables of an optimizer or a minimizer: its own options, and those of all of its kind. */
typedef struct tables {
    const tg_option_table *own, *common;
} tables;

/* Those of the method that a group is of; own is NULL when it is of none. */
static tables tables_of(const cli_group *group)
{
    const tg_rule_info *rule = group->prefix != NULL ? tg_rule_find(group->prefix) : NULL;
    const tg_minimizer_info *minimizer = group->prefix != NULL ? tg_minimizer_find(group->prefix) : NULL;
    if (rule != NULL)
        return (tables){&rule->options, tg_optim_common_options()};
    return minimizer != NULL ? (tables){&minimizer->options, tg_minimizer_common_options()} : (tables){NULL, NULL};
}

static bool is_of_methods(const cli_group *group)
{
    return tables_of(group).own != NULL || group->table.at == tg_optim_common_options()->at ||
           group->table.at == tg_minimizer_common_options()->at;
}

static bool has(const tables *of, const char *name)
{
    return tg_option_find(of->own, name) < of->own->count || tg_option_find(of->common, name) < of->common->count;
}

/* The last value of an option counts. */
static void add_setting(cli_method *method, const char *name, const char *text)
{
    size_t i = 0;
    while (i < method->settings && strcmp(method->setting[i].name, name) != 0)
        i++;
    method->setting[i] = (tg_setting){name, text};
    method->settings += i == method->settings;
}

static void make_title(cli_method *method)
{
    size_t used = (size_t)snprintf(method->title, sizeof method->title, "%s", method->name);
    for (size_t i = 0; i < method->settings && used < sizeof method->title; i++)
        used += (size_t)snprintf(method->title + used, sizeof method->title - used, " %s=%s", method->setting[i].name,
                                 method->setting[i].value);
}

/* The preset of the method whose group is `g`: what was given with a prefix is for it alone; without, for every
 * optimizer that has it. NULL: none. The last counts. */
static const tg_preset *preset_of(const cli_minimization *m, size_t g)
{
    const cli_args *args = m->args;
    const tg_rule_info *rule = tg_rule_find(args->group[g].prefix);
    const tg_preset *preset = NULL, *found;
    for (int prefixed = 0; prefixed < 2; prefixed++)
        for (size_t i = 0; i < args->given_count; i++) {
            const cli_given *given = &args->given[i];
            if (given->is_option || tables_of(&args->group[given->group]).own == NULL ||
                given->prefixed != (prefixed == 1) || (prefixed == 1 && given->group != g))
                continue;
            if (rule != NULL && tg_preset_find(&found, rule, given->text) == TG_OK)
                preset = found;
        }
    return preset;
}

/* Whether --preset and --NAME-preset named what is there: each some optimizer's, and that optimizer's. */
static int check_presets(const cli_minimization *m)
{
    const cli_args *args = m->args;
    for (size_t i = 0; i < args->given_count; i++) {
        const cli_given *given = &args->given[i];
        const tg_preset *preset;
        bool any = false;
        if (given->is_option || tables_of(&args->group[given->group]).own == NULL)
            continue;
        for (size_t g = args->groups; g-- > 0 && !any;) { /* the message is about the first */
            const tg_rule_info *rule = args->group[g].prefix != NULL ? tg_rule_find(args->group[g].prefix) : NULL;
            if (rule != NULL && (!given->prefixed || given->group == g))
                any = tg_preset_find(&preset, rule, given->text) == TG_OK;
        }
        if (!any)
            return cli_usage(args, "--preset: %s", tg_message());
    }
    return CLI_OK;
}

/* What was given without a prefix is for every method that has it; what was given with one, for that alone. */
static int make_method(cli_minimization *m, size_t g)
{
    const cli_args *args = m->args;
    const tables of = tables_of(&args->group[g]);
    cli_method *method = &m->method[m->methods++];
    method->name = args->group[g].prefix;
    method->in_double = tg_rule_find(method->name) == NULL;
    const tg_preset *preset = preset_of(m, g);
    method->setting = calloc(args->given_count + 2 + (preset != NULL ? preset->settings : 0), sizeof *method->setting);
    if (method->setting == NULL) {
        cli_usage(args, "no memory for the settings");
        return CLI_FAILED;
    }
    for (size_t i = 0; preset != NULL && i < preset->settings; i++)
        add_setting(method, preset->setting[i].name, preset->setting[i].value);
    for (int prefixed = 0; prefixed < 2; prefixed++)
        for (size_t i = 0; i < args->given_count; i++) {
            const cli_given *given = &args->given[i];
            const cli_group *group = &args->group[given->group];
            if (!given->is_option || given->prefixed != (prefixed == 1) || !is_of_methods(group))
                continue;
            const char *name = group->table.at[given->index].name;
            if (prefixed ? given->group == g : has(&of, name))
                add_setting(method, name, given->text);
        }
    make_title(method);
    if (cli_is_given(args, "seed"))
        add_setting(method, "seed", cli_text_of(args, "seed"));
    return CLI_OK;
}

static int make_methods(cli_minimization *m)
{
    int status = check_presets(m);
    for (size_t g = 0; g < m->args->groups && status == CLI_OK; g++)
        if (tables_of(&m->args->group[g]).own != NULL)
            status = make_method(m, g);
    return status;
}

int cli_minimization_make(cli_minimization *m, const cli_args *args)
{
    *m = (cli_minimization){.args = args, .starts = (size_t)cli_number_of(args, "random-starts")};
    m->starts = m->starts == 0 ? 1 : m->starts;
    int status = cli_problem_make(&m->problem, args, args->positionals > 0 ? args->positional[0] : NULL);
    if (status == CLI_OK)
        status = make_methods(m);
    if (status != CLI_OK)
        return status;
    if (tg_problem_data_name(m->problem) != NULL && cli_text_of(args, "out") != NULL)
        return cli_usage(args, "--out keeps paths of what can be made again from the file alone: not on a table (--data)");
    const size_t runs = m->methods * m->starts;
    m->n = tg_problem_variables(m->problem);
    m->start = calloc(m->n, sizeof *m->start);
    m->end = calloc(m->n, sizeof *m->end);
    m->outcome = calloc(runs, sizeof *m->outcome);
    m->trace = cli_text_of(args, "out") != NULL ? calloc(runs, sizeof *m->trace) : NULL;
    if (m->start == NULL || m->end == NULL || m->outcome == NULL ||
        (m->trace == NULL && cli_text_of(args, "out") != NULL)) {
        cli_usage(args, "no memory for %zu runs", runs);
        return CLI_FAILED;
    }
    return make_start(m);
}

void cli_minimization_release(cli_minimization *m)
{
    for (size_t i = 0; m->trace != NULL && i < m->methods * m->starts; i++)
        tg_trace_fini(&m->trace[i]);
    for (size_t i = 0; i < m->methods; i++)
        free(m->method[i].setting);
    free(m->trace);
    free(m->outcome);
    free(m->start);
    free(m->end);
    tg_problem_destroy(m->problem);
}
