/* setup.c -- what `train` and `plan` share: the flags that describe a run, and the run they describe. */
#include "setup.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "choose.h"

static const cli_text run_texts[] = {
    CLI_TEXT_DATA,
    CLI_TEXT_LABELS,
    CLI_TEXT_TARGET,
    {"out", "DIR", NULL, "the run's directory: checkpoints, metrics, the model"},
    {"resume", NULL, NULL,
     "go on from the newest checkpoint in --out, with the settings the run has; other flags may be left out"},
    CLI_TEXT_MODEL,
    CLI_TEXT_INIT,
    CLI_TEXT_TOKENIZER,
    CLI_TEXT_EVAL_DATA,
    CLI_TEXT_EVAL_LABELS,
    {"max-time", "TIME", NULL, "save and stop after so long: 90, 90s, 30m, 1.5h; --resume goes on"},
    {"sample-prompt", "TEXT", NULL, "what the samples of --sample-every begin with"},
    {"peak", "GFLOPS", "measure",
     "the machine's best matrix product, for the utilisation (MFU): a number, measure, or off"},
};

static const tg_option run_options[] = {
    CLI_OPTION_VOCAB,
};

static const cli_text training_texts[] = {
    {"optimizer", "NAME", "tiger", "the optimizer, or a minimizer such as lbfgs (see: tiger list optimizers)"},
    {"state-file", "FILE", NULL, "keep the optimizer's states in this new file, mapped: for states larger than memory"},
    {"weight-file", "FILE", NULL, "keep the weights in this new file, mapped: for weights larger than memory"},
    {"schedule", "TEXT", "warmup:100 > cosine:min=0.1",
     "the course of the learning rate, and of other options: \"cosine; weight_decay=constant:0.5\" (see: tiger list "
     "schedules)"},
};

static const cli_text preset_text[] = {CLI_TEXT_PRESET};

/* The directory of --out beside --resume, before the command line is parsed or after; else NULL. */
static const char *run_to_resume(const cli_args *args)
{
    return cli_peek_flag(args, "resume") ? cli_peek(args, "out", NULL) : NULL;
}

/* What --optimizer says, or the run to resume has, or the default. */
static const char *optimizer_of(const cli_args *args)
{
    const char *run = run_to_resume(args), *said = cli_peek(args, "optimizer", NULL);
    const char *saved = said == NULL && run != NULL ? tg_train_saved_optimizer(run) : NULL;
    return said != NULL ? said : saved != NULL ? saved : training_texts[0].initial;
}

int cli_setup_choose_model(const tg_model_info **model, const cli_args *args)
{
    const char *init = cli_peek(args, "init", NULL), *name = cli_peek(args, "model", NULL);
    const char *run = run_to_resume(args);
    tg_model_config config;
    if (init == NULL && name == NULL && run != NULL && tg_model_config_read(&config, run) == TG_OK) {
        *model = config.info; /* that of the run to resume */
        return CLI_OK;
    }
    if (init == NULL)
        return cli_choose_model(model, args, name != NULL ? name : "gpt2");
    if (name != NULL)
        return cli_usage(args, "--init brings its own model: leave out --model");
    const int status = cli_answer(args, tg_model_config_read(&config, init));
    if (status != CLI_OK)
        return status;
    *model = config.info;
    return CLI_OK;
}

int cli_setup_arrange(cli_args *args)
{
    cli_add_group(args, &(cli_group){.title = "Run",
                                     .text = run_texts,
                                     .texts = sizeof run_texts / sizeof *run_texts,
                                     .table = {run_options, sizeof run_options / sizeof *run_options}});
    cli_add_group(args, &(cli_group){.title = "Training",
                                     .text = training_texts,
                                     .texts = sizeof training_texts / sizeof *training_texts,
                                     .table = *tg_train_options()});
    return cli_setup_arrange_chosen(args);
}

/* --target is a table's column, so that a minimizer's loss to come down to is --minimizer-target. */
static bool names_a_column(const char *name) { return strcmp(name, "target") == 0; }

int cli_setup_arrange_chosen(cli_args *args)
{
    tg_method method = {0};
    const tg_model_info *model = NULL;
    int status = cli_choose_method(&method, args, optimizer_of(args));
    if (status == CLI_OK)
        status = cli_setup_choose_model(&model, args);
    if (status != CLI_OK)
        return status;
    snprintf(args->title[0], sizeof args->title[0], "Model %s", model->name);
    cli_setup_model_group(args, args->title[0], &model->options);
    snprintf(args->title[1], sizeof args->title[1], "Optimizer %s", method.name);
    cli_add_group(args, &(cli_group){.title = args->title[1],
                                     .text = preset_text,
                                     .texts = method.rule != NULL ? 1 : 0,
                                     .table = *method.options});
    if (method.rule != NULL)
        cli_add_group(args, &(cli_group){.title = "Every optimizer", .table = *method.common});
    else
        cli_add_group(args, &(cli_group){.title = "Every minimizer",
                                         .prefix = "minimizer",
                                         .reserved = names_a_column,
                                         .table = *method.common});
    return CLI_OK;
}

/* ---- trainings of which there are many ---- */

#define TRIAL_UPDATES 500
#define TRIAL_EVALUATIONS 20

/* The options of a training that races and searches have too; --vocab behind them. */
static const size_t shared[] = {TG_TRAIN_UPDATES,    TG_TRAIN_BATCH,        TG_TRAIN_ACCUMULATE, TG_TRAIN_PRECISION,
                                TG_TRAIN_RECOMPUTE,  TG_TRAIN_VALIDATION,   TG_TRAIN_SEED,       TG_TRAIN_THREADS,
                                TG_TRAIN_EVAL_EVERY, TG_TRAIN_EVAL_BATCHES, TG_TRAIN_FORMAT,     TG_TRAIN_CLOSURE};
#define SHARED (sizeof shared / sizeof *shared)
_Static_assert(SHARED < CLI_OWN_OPTIONS, "room for the training's options");

static tg_option *shared_option(cli_args *args, size_t option)
{
    for (size_t i = 0; i < SHARED; i++)
        if (shared[i] == option)
            return &args->option[i];
    return NULL;
}

void cli_setup_trial_group(cli_args *args, const cli_text *text, size_t texts, const char *seed)
{
    for (size_t i = 0; i < SHARED; i++)
        args->option[i] = tg_train_options()->at[shared[i]];
    args->option[SHARED] = (tg_option)CLI_OPTION_VOCAB;
    shared_option(args, TG_TRAIN_UPDATES)->value = TRIAL_UPDATES;
    shared_option(args, TG_TRAIN_THREADS)->value = 1;
    shared_option(args, TG_TRAIN_SEED)->help = seed;
    shared_option(args, TG_TRAIN_EVAL_EVERY)->value = 0;
    shared_option(args, TG_TRAIN_EVAL_EVERY)->help = "updates between evaluations; 0: a twentieth of the run";
    cli_add_group(args,
                  &(cli_group){.title = "Training", .text = text, .texts = texts, .table = {args->option, SHARED + 1}});
}

void cli_setup_trial(tg_train_config *config)
{
    double *every = &config->option[TG_TRAIN_EVAL_EVERY];
    if (*every == 0)
        *every = fmax(1, floor(config->option[TG_TRAIN_UPDATES] / TRIAL_EVALUATIONS));
}

/* ---- the chosen model and optimizer ---- */

static bool some_method_has(const char *name)
{
    tg_method method;
    for (size_t i = 0; tg_method_at(&method, i); i++)
        if (tg_option_find(method.options, name) < method.options->count)
            return true;
    return false;
}

static const char model_prefix[] = "model";

void cli_setup_prefixed_group(cli_args *args, const char *title, const char *prefix, const tg_option_table *table)
{
    cli_add_group(args, &(cli_group){.title = title, .prefix = prefix, .reserved = some_method_has, .table = *table});
}

void cli_setup_model_group(cli_args *args, const char *title, const tg_option_table *table)
{
    cli_setup_prefixed_group(args, title, model_prefix, table);
}

static const tg_option *option_of(const cli_args *args, const cli_given *given)
{
    return &args->group[given->group].table.at[given->index];
}

static bool is_of_model(const cli_group *group)
{
    return group->prefix != NULL && strcmp(group->prefix, model_prefix) == 0;
}

int cli_setup_model(tg_model_config *model, const cli_args *args)
{
    for (size_t i = 0; i < args->given_count; i++) {
        const cli_given *given = &args->given[i];
        int status = CLI_OK;
        if (given->is_option && is_of_model(&args->group[given->group]))
            status = cli_answer(args, tg_model_config_set(model, option_of(args, given)->name, given->text));
        if (status != CLI_OK)
            return status;
    }
    return CLI_OK;
}

static bool has_setting(const tg_train_config *config, const char *name)
{
    for (size_t i = 0; i < config->settings; i++)
        if (strcmp(config->setting[i].name, name) == 0)
            return true;
    return false;
}

/* Behind what was given: the preset's options that were not. */
static void add_preset(tg_train_config *config, tg_setting *setting, const tg_preset *preset)
{
    for (size_t i = 0; i < preset->settings; i++)
        if (!has_setting(config, preset->setting[i].name))
            setting[config->settings++] = preset->setting[i];
}

static int setup_settings(tg_train_config *config, const cli_args *args)
{
    static const tg_preset none = {0};
    const char *wanted = cli_text_of(args, "preset");
    const tg_preset *preset = &none;
    if (config->optimizer == NULL) /* the command has no such flag */
        return CLI_OK;
    tg_method method;
    tg_method_find(&method, config->optimizer);
    if (wanted != NULL && tg_preset_find(&preset, method.rule, wanted) != TG_OK)
        return cli_usage(args, "--preset: %s", tg_message());
    tg_setting *setting = calloc(args->given_count + preset->settings + 1, sizeof *setting);
    if (setting == NULL) {
        cli_usage(args, "no memory for the settings");
        return CLI_FAILED;
    }
    config->setting = setting;
    for (size_t i = 0; i < args->given_count; i++) {
        const cli_given *given = &args->given[i];
        const tg_option *table = args->group[given->group].table.at;
        if (given->is_option && (table == method.options->at || table == method.common->at))
            setting[config->settings++] = (tg_setting){option_of(args, given)->name, given->text};
    }
    add_preset(config, setting, preset);
    return CLI_OK;
}

/* A minimizer has no rate for the usual one to drive. */
static void setup_schedule(tg_train_config *config, const cli_args *args)
{
    tg_method method;
    const bool minimizes =
        config->optimizer != NULL && tg_method_find(&method, config->optimizer) && method.minimizer != NULL;
    if (minimizes && !cli_is_given(args, "schedule"))
        return;
    if (config->resume && !cli_is_given(args, "schedule"))
        config->default_schedule = cli_text_of(args, "schedule");
    else
        config->schedule = cli_text_of(args, "schedule");
}

/* "90", "90s", "1.5m", "2h" in seconds; CLI_USAGE for anything else. */
static int setup_max_time(double *seconds, const cli_args *args)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}};
    const char *text = cli_text_of(args, "max-time");
    if (text == NULL)
        return CLI_OK;
    char *end;
    const double number = strtod(text, &end);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (end != text && strcmp(end, units[i].unit) == 0 && number > 0 && number * units[i].seconds < 1e9) {
            *seconds = number * units[i].seconds;
            return CLI_OK;
        }
    return cli_usage(args, "--max-time: '%s' is no time above 0 (90, 90s, 30m, 1.5h)", text);
}

static int setup_peak(double *flops, const cli_args *args)
{
    const char *text = cli_text_of(args, "peak");
    *flops = -1;
    if (text == NULL || strcmp(text, "off") == 0)
        return CLI_OK;
    *flops = 0;
    if (strcmp(text, "measure") == 0)
        return CLI_OK;
    char *end;
    *flops = 1e9 * strtod(text, &end);
    if (end != text && *end == '\0' && *flops > 0 && isfinite(*flops))
        return CLI_OK;
    return cli_usage(args, "--peak: '%s' is no number of GFLOP/s above 0, nor measure, nor off", text);
}

/* The model that the options are set on: what is not said of a run to resume is as the run has it. A run that has none
 * yet, or a damaged one, is for the training to tell. */
static tg_status base_model(tg_train_config *config, const cli_args *args)
{
    const char *name = cli_text_of(args, "model");
    tg_model_config has;
    config->given_model = cli_is_given(args, "model");
    if (config->init != NULL)
        return tg_model_config_read(&config->model, config->init);
    if (config->resume && config->out != NULL && tg_model_config_read(&has, config->out) == TG_OK &&
        (!config->given_model || strcmp(has.info->name, name) == 0)) {
        config->model = has;
        config->given_model = true;
        config->vocab = config->vocab == 0 ? has.vocab : config->vocab;
        return TG_OK;
    }
    return tg_model_config_default(&config->model, name);
}

int cli_setup(tg_train_config *config, const cli_args *args)
{
    tg_train_config_default(config);
    config->setting = NULL;
    config->settings = 0;
    config->data = cli_text_of(args, "data");
    config->labels = cli_text_of(args, "labels");
    config->target = cli_text_of(args, "target");
    config->eval_labels = cli_text_of(args, "eval-labels");
    config->out = cli_text_of(args, "out");
    config->init = cli_text_of(args, "init");
    config->eval_data = cli_text_of(args, "eval-data");
    config->sample_prompt = cli_text_of(args, "sample-prompt");
    config->state_file = cli_text_of(args, "state-file");
    config->weight_file = cli_text_of(args, "weight-file");
    config->resume = cli_is_given(args, "resume");
    config->tokenizer = cli_text_of(args, "tokenizer");
    config->vocab = (size_t)cli_number_of(args, "vocab");
    config->optimizer = cli_text_of(args, "optimizer") != NULL ? optimizer_of(args) : NULL;
    setup_schedule(config, args);
    const tg_option_table *table = tg_train_options();
    for (size_t i = 0; i < table->count && i < TG_TRAIN_OPTIONS; i++) {
        const double number = cli_number_of(args, table->at[i].name);
        if (!isnan(number)) /* the command has that flag */
            config->option[i] = number;
        config->given[i] = cli_is_given(args, table->at[i].name);
    }
    int status = setup_max_time(&config->max_seconds, args);
    if (status == CLI_OK)
        status = setup_peak(&config->peak_flops, args);
    if (status != CLI_OK)
        return status;
    status = cli_answer(args, base_model(config, args));
    if (status == CLI_OK)
        status = cli_setup_model(&config->model, args);
    return status != CLI_OK ? status : setup_settings(config, args);
}

void cli_setup_fini(tg_train_config *config)
{
    free((void *)config->setting);
    config->setting = NULL;
    config->settings = 0;
}
