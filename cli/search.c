/* search.c -- tiger search: settings of an optimizer, proposed by a sampler from what earlier trials came to.
 *
 * Trials are trainings in processes side by side. All they share is the study's journal, which other processes, on
 * other machines too, may work on at the same time: the same command begun there. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "children.h"
#include "choose.h"
#include "human.h"
#include "search.h"
#include "setup.h"
#include "system.h"

#define TRIALS 50

static const cli_text search_texts[] = {
    {"out", "DIR", NULL, "where the study goes, as DIR/study.journal; one that is there is gone on with"},
    {"space", "TEXT", NULL,
     "what to search: \"lr=1e-4..1e-2 beta=0.9/0.95 batch\"; left out: every option of the optimizer that has a search "
     "range and no value here"},
    {"sampler", "NAME", "tpe", "how trials are proposed: tpe, gp, random, grid, genetic, anneal"},
    {"pruner", "NAME", "median", "what ends trials that lead nowhere: median, asha, none"},
};

static const tg_option search_options[] = {
    {.name = "trials",
     .kind = TG_INTEGER,
     .value = TRIALS,
     .least = 1,
     .most = 1000000,
     .help = "trials of the study, those that are there included"},
    CLI_OPTION_JOBS,
};

static const cli_text training_texts[] = {
    CLI_TEXT_DATA,
    CLI_TEXT_LABELS,
    CLI_TEXT_TARGET,
    CLI_TEXT_EVAL_DATA,
    CLI_TEXT_EVAL_LABELS,
    CLI_TEXT_MODEL,
    CLI_TEXT_INIT,
    CLI_TEXT_TOKENIZER,
    CLI_TEXT_OPTIMIZER,
    {"schedule", "TEXT", "warmup:100 > cosine:min=0.1", "the course of the learning rate (see: tiger list schedules)"},
};

static int arrange(cli_args *args)
{
    cli_add_group(args, &(cli_group){.title = "Search",
                                     .text = search_texts,
                                     .texts = sizeof search_texts / sizeof *search_texts,
                                     .table = {search_options, sizeof search_options / sizeof *search_options}});
    cli_setup_trial_group(args, training_texts, sizeof training_texts / sizeof *training_texts,
                          "of the sampler, and of every training's weights and batches");
    return cli_setup_arrange_chosen(args);
}

/* ---- the space --------------------------------------------------------------------------------------------------- */

/* Options of a training that make another way to the same end; others would change what is measured. */
static const size_t searchable[] = {TG_TRAIN_BATCH, TG_TRAIN_ACCUMULATE, TG_TRAIN_PRECISION, TG_TRAIN_CLOSURE};
#define SEARCHABLE (sizeof searchable / sizeof *searchable)

/* What was given is not searched. Heap. */
static tg_setting *given_settings(size_t *count, const cli_args *args)
{
    tg_setting *setting = calloc(args->given_count + 1, sizeof *setting);
    *count = 0;
    for (size_t i = 0; i < args->given_count && setting != NULL; i++)
        if (args->given[i].is_option)
            setting[(*count)++] = (tg_setting){args->group[args->given[i].group].table.at[args->given[i].index].name,
                                               args->given[i].text};
    return setting;
}

static int open_space(cli_searching *s)
{
    tg_method method;
    size_t count;
    for (size_t i = 0; i < SEARCHABLE; i++)
        s->training[i] = tg_train_options()->at[searchable[i]];
    tg_method_find(&method, s->config.optimizer);
    const tg_option_table tables[] = {
        *method.options, *method.common, {s->training, SEARCHABLE}, s->config.model.info->options};
    tg_setting *given = given_settings(&count, s->args);
    if (given == NULL)
        return cli_usage(s->args, "no memory for the settings"), CLI_FAILED;
    const tg_status status =
        tg_space_parse(&s->space, cli_text_of(s->args, "space"), tables, sizeof tables / sizeof *tables, given, count);
    free(given);
    if (status != TG_OK)
        return cli_usage(s->args, "--space: %s", tg_message());
    for (size_t d = 0; d < s->space.count; d++)
        if (strcmp(s->space.at[d].name, "seed") == 0 || strcmp(s->space.at[d].name, "threads") == 0)
            return cli_usage(s->args, "--space: %s is no setting to search: the best of it is luck",
                             s->space.at[d].name);
    return CLI_OK;
}

/* ---- what trials share
 * -------------------------------------------------------------------------------------------------- */

/* Flags that change nothing of what a trial with the same settings comes to. */
static bool is_silent(const char *flag)
{
    static const char *const silent[] = {"out", "space", "sampler", "pruner", "trials", "jobs", "threads", "optimizer"};
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
        if (strcmp(flag, silent[i]) == 0)
            return true;
    return false;
}

static void put_flag(FILE *out, const cli_args *args, size_t group, bool is_option, size_t index)
{
    char flag[64], value[512];
    const cli_group *in = &args->group[group];
    if (!cli_flag_name(flag, sizeof flag, args, group, is_option, index) || is_silent(flag) ||
        !cli_is_given(args, flag))
        return;
    if (is_option)
        tg_option_print(value, sizeof value, &in->table.at[index], cli_number_of(args, flag));
    fprintf(out, " --%s %s", flag, is_option ? value : cli_text_of(args, flag));
}

/* The flags that were given and matter, in the order of the help: the same for the same search. Heap; NULL: no memory.
 */
static char *shared_settings(const cli_searching *s)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL)
        return NULL;
    fprintf(out, "--optimizer %s", s->config.optimizer);
    for (size_t g = 0; g < s->args->groups; g++) {
        for (size_t i = 0; i < s->args->group[g].texts; i++)
            put_flag(out, s->args, g, false, i);
        for (size_t i = 0; i < s->args->group[g].table.count; i++)
            put_flag(out, s->args, g, true, i);
    }
    const bool whole = fclose(out) == 0;
    return whole ? text : (free(text), NULL);
}

/* ---- a trial ----------------------------------------------------------------------------------------------------- */

typedef struct trying {
    tg_study *study;
    size_t trial;
    bool prune;
    tg_status status; /* of the study */
} trying;

static void on_evaluated(void *ctx, const tg_evaluated *evaluated)
{
    trying *t = ctx;
    if (t->status == TG_OK && !t->prune)
        t->status = tg_study_report(t->study, t->trial, evaluated->update, evaluated->of.loss, &t->prune);
}

static bool enough(void *ctx) { return ((trying *)ctx)->prune || ((trying *)ctx)->status != TG_OK; }

static bool is_of(const tg_option_table *table, const char *name) { return tg_option_find(table, name) < table->count; }

/* One setting of the trial, over what was given. */
static tg_status set_one(tg_train_config *config, tg_setting *setting, const char *name, const char *value)
{
    tg_method method;
    const tg_option_table *train = tg_train_options();
    tg_method_find(&method, config->optimizer);
    if (!is_of(method.options, name) && !is_of(method.common, name)) {
        const size_t at = tg_option_find(train, name);
        return at < train->count ? tg_option_parse(&config->option[at], &train->at[at], value)
                                 : tg_model_config_set(&config->model, name, value);
    }
    size_t i = 0;
    while (i < config->settings && strcmp(setting[i].name, name) != 0)
        i++;
    setting[i] = (tg_setting){name, value};
    config->settings += i == config->settings;
    return TG_OK;
}

/* The training of a trial, told to the study when it has ended. That it diverges is a result. */
static tg_status train(trying *t, const cli_searching *s, tg_setting *setting, char (*text)[TG_SPACE_TEXT])
{
    tg_train_config config = s->config;
    tg_train_result result;
    const tg_train_listener listener = {.evaluated = on_evaluated, .enough = enough, .ctx = t};
    tg_status status = TG_OK;
    memcpy(setting, config.setting, config.settings * sizeof *setting);
    config.setting = setting;
    for (size_t d = 0; d < s->space.count && status == TG_OK; d++) {
        tg_dimension_print(text[d], &s->space.at[d], tg_study_trial(t->study, t->trial)->param[d]);
        status = set_one(&config, setting, s->space.at[d].name, text[d]);
    }
    if (status == TG_OK)
        status = tg_train_run(&result, &config, &listener);
    if (t->status != TG_OK)
        return t->status;
    if (status != TG_OK && status != TG_EDIVERGED)
        return status;
    const bool cut = status == TG_EDIVERGED || result.interrupted || !isfinite(result.validation_loss);
    return tg_study_tell(t->study, t->trial, cut ? TG_TRIAL_PRUNED : TG_TRIAL_COMPLETE,
                         cut ? NAN : result.validation_loss);
}

/* Who a child is: the study's journal has it beside every line. */
static void worker_name(char *name, size_t bytes, size_t index, pid_t parent)
{
    char host[64] = "";
    gethostname(host, sizeof host);
    host[sizeof host - 1] = '\0';
    snprintf(name, bytes, "%s-%ld-%zu", host, (long)parent, index);
}

static tg_status open_study(tg_study **study, const cli_searching *s, const char *worker)
{
    const tg_study_config config = {.path = s->path,
                                    .name = "tiger",
                                    .space = &s->space,
                                    .sampler = cli_text_of(s->args, "sampler"),
                                    .pruner = cli_text_of(s->args, "pruner"),
                                    .seed = (uint64_t)cli_number_of(s->args, "seed"),
                                    .settings = s->settings,
                                    .worker = worker};
    return tg_study_open(study, &config);
}

/* Trials that count: those that came to something, or are about to. */
static size_t count_trials(const tg_study *study, bool running)
{
    size_t count = 0;
    for (size_t i = 0; i < tg_study_trials(study); i++) {
        const tg_trial_state state = tg_study_trial(study, i)->state;
        count += state == TG_TRIAL_COMPLETE || state == TG_TRIAL_PRUNED || (running && state == TG_TRIAL_RUNNING);
    }
    return count;
}

static int work(void *ctx, size_t index)
{
    cli_searching *s = ctx;
    char worker[128];
    trying t = {.status = TG_OK};
    worker_name(worker, sizeof worker, index, getppid());
    tg_setting *setting = calloc(s->config.settings + s->space.count + 1, sizeof *setting);
    char(*text)[TG_SPACE_TEXT] = calloc(s->space.count, sizeof *text);
    if (setting == NULL || text == NULL)
        return cli_usage(s->args, "no memory for a trial"), CLI_FAILED;
    int status = cli_answer(s->args, open_study(&t.study, s, worker));
    if (status == CLI_OK && count_trials(t.study, true) < s->trials) { /* others may have made them */
        status = cli_answer(s->args, tg_study_ask(t.study, &t.trial));
        if (status == CLI_OK)
            status = cli_answer(s->args, train(&t, s, setting, text));
        if (status != CLI_OK)
            tg_study_forget(t.study, worker);
    }
    tg_study_close(t.study);
    free(text);
    free(setting);
    return status;
}

/* ---- all of them
 * ------------------------------------------------------------------------------------------------------- */

static bool wanted(void *ctx, size_t index) { return (void)index, ((cli_searching *)ctx)->failed == CLI_OK; }

static bool ended(void *ctx, size_t index, int status)
{
    cli_searching *s = ctx;
    char worker[128];
    worker_name(worker, sizeof worker, index, getpid());
    if (status == CLI_OK) {
        s->failed = cli_answer(s->args, tg_study_refresh(s->study));
        if (s->failed == CLI_OK)
            cli_search_tell(s, worker);
        return s->failed == CLI_OK;
    }
    tg_study_forget(s->study, worker);
    if (status < 0 && cli_children_signal() == 0)
        fprintf(stderr, "tiger search: a trial was ended by signal %d\n", -status);
    s->failed = status > 0 ? status : CLI_FAILED;
    return false;
}

/* No child is ended in the midst of a write. What cannot be locked cannot be: then one may. */
static void ending(void *ctx)
{
    cli_searching *s = ctx;
    s->held = tg_study_hold(s->study) == TG_OK;
}

static int run_all(cli_searching *s)
{
    const size_t made = count_trials(s->study, false);
    const double threads = cli_number_of(s->args, "threads");
    const size_t jobs = cli_children_jobs(cli_number_of(s->args, "jobs"), threads);
    cli_search_begin(s, made, jobs);
    if (made >= s->trials)
        return CLI_OK;
    cli_children_signals();
    const cli_children children = {.count = s->trials - made,
                                   .jobs = jobs,
                                   .wanted = wanted,
                                   .work = work,
                                   .ended = ended,
                                   .ending = ending,
                                   .ctx = s};
    const bool all = cli_children_run(&children);
    if (s->held)
        tg_study_let_go(s->study);
    if (all && s->failed == CLI_OK)
        return CLI_OK;
    const int signalled = cli_children_signal();
    if (signalled != 0)
        printf("stopped with %zu of %zu trials made; the same command goes on\n", count_trials(s->study, false),
               s->trials);
    return signalled != 0 ? 128 + signalled : s->failed != CLI_OK ? s->failed : CLI_FAILED;
}

static int check(const cli_args *args)
{
    size_t found;
    if (cli_text_of(args, "data") == NULL)
        return cli_usage(args, "--data FILE is missing: the text, images or table to train on");
    if (cli_text_of(args, "out") == NULL)
        return cli_usage(args, "--out DIR is missing: where the study goes");
    if (cli_text_of(args, "eval-data") == NULL && cli_number_of(args, "validation") == 0)
        return cli_usage(args, "--validation 0 leaves nothing to judge by");
    const int status = cli_search_choose(&found, args, "sampler", tg_sampler_at);
    return status == CLI_OK ? cli_search_choose(&found, args, "pruner", tg_pruner_at) : status;
}

static int open_all(cli_searching *s)
{
    int status = check(s->args);
    if (status == CLI_OK)
        status = cli_setup(&s->config, s->args);
    if (status != CLI_OK)
        return status;
    cli_setup_trial(&s->config);
    s->config.out = NULL;
    status = open_space(s);
    if (status == CLI_OK)
        status = cli_search_directory(s);
    if (status != CLI_OK)
        return status;
    s->settings = shared_settings(s);
    if (s->settings == NULL)
        return cli_usage(s->args, "no memory for the settings"), CLI_FAILED;
    const size_t most = tg_sampler_trials(cli_text_of(s->args, "sampler"), &s->space);
    const double trials = cli_number_of(s->args, "trials");
    s->trials = trials < (double)most ? (size_t)trials : most;
    return cli_answer(s->args, open_study(&s->study, s, NULL));
}

static int run(const cli_args *args)
{
    cli_searching s = {.args = args, .failed = CLI_OK};
    int status = open_all(&s);
    if (status == CLI_OK)
        status = run_all(&s);
    if (status == CLI_OK)
        status = cli_search_report(&s);
    tg_study_close(s.study);
    tg_space_fini(&s.space);
    cli_setup_fini(&s.config);
    free(s.settings);
    free(s.path);
    return status;
}

const cli_command cli_search = {
    .name = "search",
    .summary = "searches good settings of an optimizer: many trainings, each proposed from what the others came to",
    .usage = "--data FILE --out DIR [options]",
    .details =
        "Searched are the optimizer's options that have a search range (see: tiger list optimizers NAME), or what "
        "--space says: ranges (lr=1e-4..1e-2) and choices (scale=rms/none) of options of the optimizer, of the model, "
        "and batch, accumulate, precision and closure. What is given as a flag stays as it is. Every trial is a "
        "training of --updates updates with the same seed, judged by its validation loss at the end.\n"
        "Samplers: tpe and gp learn from the trials before; random and grid do not; genetic and anneal stay near good "
        "ones. Pruners end a trial early by its evaluations: median, when it is worse than half of the complete ones "
        "were then; asha, when it is not in the best quarter at its 1st, 4th, 16th evaluation.\n"
        "The same command goes on with a study, and may run several times at once, on several machines that share DIR. "
        "DIR/study.journal is a journal of Optuna's, with the study 'tiger': optuna-dashboard shows it.",
    .arrange = arrange,
    .run = run,
};
