/* minimize.c -- tiger minimize: any optimizer or minimizer on a textbook problem, or on a function that the user writes
 * down. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "choose.h"
#include "minimize.h"
#include "problem.h"
#include "setup.h"

static const cli_text texts[] = {
    CLI_TEXT_FUNCTION,
    {"optimizer", "NAME[,NAME]", "tiger",
     "the optimizer or minimizer (see: tiger list optimizers, tiger list minimizers); several are compared in a table"},
    {"schedule", "TEXT", "constant",
     "the course of the learning rate, and of other options; minimizers have none (see: tiger list schedules)"},
    {"start", "NUMBERS", NULL,
     "where to begin: -1.2,1 in the variables' order (of --f: that of their names), or y=1,x=-1.2 (default: the "
     "problem's; 1 for --f)"},
    {"out", "FILE.jsonl", NULL, "write the paths, for tiger plot minimize"},
};

static const tg_option options[] = {
    {.name = "updates",
     .kind = TG_INTEGER,
     .value = 1000,
     .least = 1,
     .most = 1e9,
     .help = "at most so many; of minimizers: iterations"},
    {.name = "tolerance",
     .kind = TG_REAL,
     .value = 1e-4,
     .least = 0,
     .most = INFINITY,
     .help = "end where the gradient's norm is not above it"},
    {.name = "random_starts",
     .kind = TG_INTEGER,
     .value = 0,
     .least = 0,
     .most = 100000,
     .help = "begin at so many points, uniform in the problem's box (5 around 0 for --f); 0: at the start"},
    {.name = "seed",
     .kind = TG_INTEGER,
     .value = 1,
     .least = 0,
     .most = TG_WHOLE_MOST,
     .help = "of the random starts, and of optimizers that draw"},
    {.name = "every",
     .kind = TG_INTEGER,
     .value = 0,
     .least = 0,
     .most = 1e9,
     .help = "print and write every so many updates; 0: print ten, write all"},
    {.name = "weights",
     .kind = TG_CHOICE,
     .value = 0,
     .choices = "fp32|bf16|fp16",
     .help = "number format of an optimizer's variables; minimizers work in double"},
};

/* ---- flags ------------------------------------------------------------------------------------------------------- */

/* The problem is named first, so that its own options are known: tiger help minimize quadratic has the help before. */
static int arrange_problem(cli_args *args)
{
    const int at = args->argc > 0 && strcmp(args->argv[0], "--help") == 0 ? 1 : 0;
    const char *name = args->argc > at && args->argv[at][0] != '-' ? args->argv[at] : NULL;
    return name == NULL ? CLI_OK : cli_problem_arrange(args, name);
}

static const cli_text preset_text[] = {CLI_TEXT_PRESET};

static int add_method(cli_args *args, const char *name, size_t number, bool *rules, bool *minimizers)
{
    tg_method method;
    const int status = cli_choose_method(&method, args, name);
    if (status != CLI_OK)
        return status;
    for (size_t g = 0; g < args->groups; g++)
        if (args->group[g].prefix == method.name)
            return cli_usage(args, "%s is named twice", method.name);
    snprintf(args->title[number], sizeof args->title[number], "%s %s", method.rule != NULL ? "Optimizer" : "Minimizer",
             method.name);
    cli_add_group(args, &(cli_group){.title = args->title[number],
                                     .prefix = method.name,
                                     .text = preset_text,
                                     .texts = method.rule != NULL ? 1 : 0,
                                     .table = *method.options});
    *rules = *rules || method.rule != NULL;
    *minimizers = *minimizers || method.minimizer != NULL;
    return CLI_OK;
}

static int arrange_methods(cli_args *args)
{
    bool rules = false, minimizers = false;
    const char *names = cli_peek(args, "optimizer", texts[1].initial);
    for (size_t count = 1; names != NULL; count++) {
        const char *comma = strchr(names, ',');
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)(comma != NULL ? (size_t)(comma - names) : strlen(names)), names);
        if (count > CLI_METHODS)
            return cli_usage(args, "more than %d optimizers", CLI_METHODS);
        const int status = add_method(args, name, count, &rules, &minimizers);
        if (status != CLI_OK)
            return status;
        names = comma != NULL ? comma + 1 : NULL;
    }
    if (rules)
        cli_add_group(args, &(cli_group){.title = "Every optimizer", .table = *tg_optim_common_options()});
    if (minimizers)
        cli_add_group(args, &(cli_group){.title = "Every minimizer", .table = *tg_minimizer_common_options()});
    return CLI_OK;
}

static int arrange(cli_args *args)
{
    cli_add_group(args, &(cli_group){.title = "Minimizing",
                                     .text = texts,
                                     .texts = sizeof texts / sizeof *texts,
                                     .table = {options, sizeof options / sizeof *options}});
    const int status = arrange_problem(args);
    return status == CLI_OK ? arrange_methods(args) : status;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* What looks at a run's points: prints them, keeps them, or both. */
typedef struct watch {
    const cli_minimization *m;
    tg_trace *trace; /* NULL: not kept */
    bool prints;
    uint64_t print_every, keep_every;
    tg_status status;
} watch;

static bool see(void *ctx, const tg_descent_point *point)
{
    watch *w = ctx;
    if (w->prints && point->update == 0)
        cli_minimize_print_head(w->m);
    if (w->prints && (point->update % w->print_every == 0 || point->last))
        cli_minimize_print_point(w->m, point);
    if (w->trace != NULL && (point->update % w->keep_every == 0 || point->last))
        w->status = tg_trace_append(w->trace, point);
    return w->status == TG_OK;
}

static int run_one(cli_minimization *m, size_t method, size_t number)
{
    static const tg_format format[] = {TG_F32, TG_BF16, TG_F16};
    const cli_args *args = m->args;
    const size_t index = method * m->starts + number;
    const uint64_t updates = (uint64_t)cli_number_of(args, "updates"), every = (uint64_t)cli_number_of(args, "every");
    const bool random = cli_number_of(args, "random-starts") > 0;
    watch w = {.m = m, .trace = m->trace != NULL ? &m->trace[index] : NULL, .prints = m->methods * m->starts == 1};
    w.print_every = every > 0 ? every : (updates + 9) / 10;
    w.keep_every = every > 0 ? every : 1;
    if (random)
        tg_problem_random_start(m->problem, m->start, (unsigned long long)cli_number_of(args, "seed"), number);
    if (w.trace != NULL) {
        char title[TG_TRACE_TITLE];
        snprintf(title, sizeof title, random ? "%.120s, start %zu" : "%s", m->method[method].title, number + 1);
        tg_trace_init(w.trace, title, m->problem);
    }
    const tg_descent_config config = {.problem = m->problem,
                                      .optimizer = m->method[method].name,
                                      .setting = m->method[method].setting,
                                      .settings = m->method[method].settings,
                                      .schedule = cli_text_of(args, "schedule"),
                                      .updates = updates,
                                      .tolerance = cli_number_of(args, "tolerance"),
                                      .weights = format[(int)cli_number_of(args, "weights")],
                                      .start = m->start};
    m->outcome[index].method = method;
    const tg_status status = tg_descend(&m->outcome[index].result, m->end, &config, see, &w);
    return cli_answer(args, status != TG_OK ? status : w.status);
}

static int finish(const cli_minimization *m)
{
    const char *out = cli_text_of(m->args, "out");
    const size_t runs = m->methods * m->starts;
    bool any = false;
    if (runs == 1)
        cli_minimize_print_end(m, &m->outcome[0]);
    else
        cli_minimize_print_table(m);
    const tg_status written = out == NULL ? TG_OK : tg_traces_write(m->trace, runs, out);
    if (written != TG_OK)
        return cli_answer(m->args, written);
    if (out != NULL)
        printf("paths: %s\n", out);
    for (size_t i = 0; i < runs; i++)
        any = any || m->outcome[i].result.end != TG_DESCENT_DIVERGED;
    return any ? CLI_OK : CLI_FAILED;
}

static int run(const cli_args *args)
{
    cli_minimization m;
    int status = cli_minimization_make(&m, args);
    for (size_t i = 0; i < m.methods && status == CLI_OK; i++)
        for (size_t s = 0; s < m.starts && status == CLI_OK; s++)
            status = run_one(&m, i, s);
    if (status == CLI_OK)
        status = finish(&m);
    cli_minimization_release(&m);
    return status;
}

const cli_command cli_minimize = {
    .name = "minimize",
    .summary = "runs optimizers and minimizers on textbook problems, or on a function you write down",
    .usage = "PROBLEM|--f EXPRESSION [options]",
    .details =
        "PROBLEM comes first (see: tiger list problems); tiger help minimize quadratic shows the options of one. "
        "f is computed in double. An optimizer updates weights in fp32 (or --weights), as it does in training; a "
        "minimizer (lbfgs, cmaes, ...) works in double.\n"
        "An EXPRESSION has numbers, variables of any names, + - * / ^, parentheses, pi, e, and the functions sin cos "
        "tan "
        "asin acos atan sinh cosh tanh exp log log2 log10 sqrt cbrt abs sign pow min max hypot atan2; its gradient is "
        "exact.\n"
        "With several optimizers --lr is for each that has it, --adamw-lr for adamw alone; so for every option. The "
        "exit "
        "status is 1 when every run diverged.",
    .positionals_most = 1,
    .arrange = arrange,
    .run = run,
};
