/* race/training.c -- the task of training a model: judged by its validation loss.
 *
 * A run is a training that keeps no checkpoint. An optimizer makes all updates and is evaluated after every so many. A
 * minimizer's updates cost as much as they want, so its run is cut by what it costs: it is over when it has taken
 * as many samples forward and backward as --updates updates of --batch x --accumulate, and is evaluated, as nearly as
 * whole updates allow, where an optimizer has cost as much. So the n-th evaluations of all contenders compare. */
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/memory.h"
#include "data/cifar_files.h"
#include "race/race.h"
#include "train/process.h"

/* What a run is made with: train's settings under the point's. */
typedef struct setup {
    tg_train_config config;
    tg_setting *setting; /* config.setting; the texts belong to the contender */
} setup;

/* A setting of the training itself; false when it is none. */
static bool set_training(tg_train_config *config, const tg_setting *setting, tg_status *status)
{
    const tg_option_table *table = tg_train_options();
    const size_t index = tg_option_find(table, setting->name);
    if (strcmp(setting->name, "schedule") == 0)
        config->schedule = setting->value;
    else if (index < table->count)
        *status = tg_option_parse(&config->option[index], &table->at[index], setting->value);
    else
        return false;
    return true;
}

/* Samples of one evaluation of loss and gradient, as races count them, whatever a contender's own batch is. */
static double unit(const tg_race_config *race)
{
    return race->train->option[TG_TRAIN_BATCH] * race->train->option[TG_TRAIN_ACCUMULATE];
}

static tg_status setup_init(setup *made, const tg_race_config *race, const tg_race_run *run)
{
    const tg_contender *contender = &race->contender[run->contender];
    const tg_race_point *point = &contender->point[run->point];
    tg_status status = TG_OK;
    *made = (setup){.config = *race->train, .setting = tg_heap_alloc(point->settings + 1, sizeof(tg_setting))};
    if (made->setting == NULL)
        return tg_no_memory("a run's settings", point->settings * sizeof(tg_setting));
    tg_train_config *c = &made->config;
    c->out = NULL;
    c->resume = false;
    c->state_file = c->weight_file = NULL;
    c->peak_flops = -1;
    c->optimizer = contender->name;
    c->setting = made->setting;
    c->settings = 0;
    if (contender->minimizer != NULL) /* what is said for all is for those whom it concerns */
        c->schedule = NULL;
    else
        c->option[TG_TRAIN_CLOSURE] = TG_CLOSURE_AUTO;
    c->option[TG_TRAIN_SEED] = (double)run->seed;
    for (size_t i = 0; i < point->settings && status == TG_OK; i++) {
        const tg_option_table *own = tg_contender_options(contender);
        const bool is_own = tg_option_find(own, point->setting[i].name) < own->count;
        if (is_own || !set_training(c, &point->setting[i], &status))
            made->setting[c->settings++] = point->setting[i];
    }
    if (c->schedule == NULL)
        c->schedule = "constant";
    if (contender->minimizer != NULL) {
        c->eval_work = unit(race) * c->option[TG_TRAIN_EVAL_EVERY];
        c->max_work = unit(race) * c->option[TG_TRAIN_UPDATES];
        /* The work ends it, not their number: an iteration is a batch forward, a third of its work, at the least. */
        const double least = c->option[TG_TRAIN_BATCH] * c->option[TG_TRAIN_ACCUMULATE] / 3;
        c->option[TG_TRAIN_UPDATES] = fmin(tg_train_options()->at[TG_TRAIN_UPDATES].most,
                                           fmax(c->option[TG_TRAIN_UPDATES], ceil(c->max_work / least)));
    }
    return status;
}

static void setup_fini(setup *made)
{
    tg_heap_free(made->setting);
    made->setting = NULL;
}

/* ---- written down ---- */

/* Options of the training that change nothing of what a race keeps. */
static bool is_silent(size_t option)
{
    static const size_t silent[] = {
        TG_TRAIN_SAVE,        TG_TRAIN_SAVE_EVERY,       TG_TRAIN_KEEP,          TG_TRAIN_KEEP_BEST,
        TG_TRAIN_LOG_EVERY,   TG_TRAIN_SAMPLE_EVERY,     TG_TRAIN_SAMPLE_TOKENS, TG_TRAIN_MEMORY,
        TG_TRAIN_TENSORBOARD, TG_TRAIN_TENSORBOARD_EVERY};
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
        if (silent[i] == option)
            return true;
    return false;
}

static json_t *training_object(const tg_train_config *c)
{
    const tg_option_table *table = tg_train_options();
    json_t *object = json_object();
    for (size_t i = 0; i < table->count && i < TG_TRAIN_OPTIONS; i++)
        if (!is_silent(i))
            json_object_set_new(object, table->at[i].name, tg_race_option_value(&table->at[i], c->option[i]));
    json_object_set_new(object, "schedule", json_string(c->schedule));
    if (c->max_work > 0)
        json_object_set_new(object, "max_work", json_real(c->max_work));
    if (c->eval_work > 0)
        json_object_set_new(object, "eval_work", json_real(c->eval_work));
    return object;
}

static json_t *model_object(const tg_train_config *c)
{
    const tg_option_table *table = &c->model.info->options;
    json_t *object = json_object();
    json_object_set_new(object, "model", json_string(c->model.info->name));
    if (c->init != NULL)
        json_object_set_new(object, "init", json_string(c->init));
    json_object_set_new(object, "vocab", json_integer((json_int_t)c->vocab));
    for (size_t i = 0; i < table->count; i++) {
        double value;
        if (tg_model_config_get(&c->model, table->at[i].name, &value) == TG_OK)
            json_object_set_new(object, table->at[i].name, tg_race_option_value(&table->at[i], value));
    }
    return object;
}

/* The size of a file, or of all that stand for one. */
static void set_bytes(json_t *object, const char *key, const char *data)
{
    tg_cifar_files files;
    struct stat about;
    json_int_t bytes = 0;
    if (tg_cifar_files_find(&files, data, TG_CIFAR_TRAIN_AND_TEST) != TG_OK)
        return;
    for (size_t i = 0; i < files.count; i++)
        bytes += stat(files.path[i], &about) == 0 ? (json_int_t)about.st_size : 0;
    json_object_set_new(object, key, json_integer(bytes));
    tg_cifar_files_fini(&files);
}

/* The data by name and size: enough to notice another text. */
static json_t *data_object(const tg_train_config *c)
{
    json_t *object = json_object();
    json_object_set_new(object, "file", json_string(c->data));
    set_bytes(object, "bytes", c->data);
    if (c->eval_data != NULL) {
        json_object_set_new(object, "eval_data", json_string(c->eval_data));
        set_bytes(object, "eval_data_bytes", c->eval_data);
    }
    if (c->model.task == TG_TASK_LANGUAGE)
        json_object_set_new(object, "tokenizer", json_string(c->tokenizer != NULL ? c->tokenizer : "char"));
    const char *const more[][2] = {{"labels", c->labels}, {"target", c->target}, {"eval_labels", c->eval_labels}};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (more[i][1] != NULL)
            json_object_set_new(object, more[i][0], json_string(more[i][1]));
    return object;
}

static tg_status shared(json_t **object, const tg_train_config *c)
{
    json_t *training = training_object(c);
    json_object_del(training, tg_train_options()->at[TG_TRAIN_SEED].name);
    *object = json_pack("{s:o*, s:o*, s:o*}", "data", data_object(c), "model", model_object(c), "training", training);
    return TG_OK;
}

static tg_status settings(json_t **object, const tg_race_config *race, const tg_race_run *run)
{
    if (run == NULL)
        return shared(object, race->train);
    setup made = {0};
    const tg_status status = setup_init(&made, race, run);
    const tg_train_config *c = &made.config;
    if (status == TG_OK)
        *object =
            json_pack("{s:o*, s:o*, s:o*, s:o*}", "data", data_object(c), "model", model_object(c), "optimizer",
                      tg_race_method_object(c->optimizer, c->setting, c->settings), "training", training_object(c));
    setup_fini(&made);
    return status;
}

/* ---- one run ---- */

#define MOST_FIELDS 5

typedef struct making {
    tg_metrics *metrics;
    double mark, busy; /* when the updates were last seen to go on; seconds they have taken, */
    double optimizer;  /* and the optimizer of these */
    double last_loss;
    tg_plan plan;
    uint64_t updates;
    double work, unit;           /* samples taken forward and backward; those of an evaluation */
    uint64_t lines;              /* written, */
    uint64_t every, most;        /* evaluations between them and lines of a whole run, where cost decides; else 0 */
    tg_metric line[MOST_FIELDS]; /* the last, */
    size_t fields;               /* so many of it, */
    uint64_t at;                 /* and the update it is of */
    tg_status status;            /* a line could not be written */
} making;

static void on_plan(void *ctx, const tg_plan *plan)
{
    making *m = ctx;
    m->plan = *plan;
    m->mark = tg_process_seconds();
}

static void on_progress(void *ctx, const tg_progress *progress)
{
    making *m = ctx;
    const double t = tg_process_seconds();
    m->busy += t - m->mark;
    m->mark = t;
    m->optimizer = progress->optimizer_seconds;
    m->updates = progress->update;
    m->work = progress->work;
    m->last_loss = progress->loss;
}

/* One that is dearer than what lies between two lines is all of them. */
static void write_lines(making *m, uint64_t until)
{
    for (; m->lines < until && m->fields > 0 && m->status == TG_OK; m->lines++)
        m->status = tg_metrics_append(m->metrics, m->at, m->line, m->fields);
}

static void on_evaluated(void *ctx, const tg_evaluated *evaluated)
{
    making *m = ctx;
    const double loss = evaluated->of.loss, evaluations = m->work / m->unit;
    m->at = evaluated->update;
    m->fields = 0;
    m->line[m->fields++] = (tg_metric){.name = "validation_loss", .value = loss};
    m->line[m->fields++] = (tg_metric){.name = "loss", .value = m->last_loss};
    m->line[m->fields++] = (tg_metric){.name = "seconds", .value = m->busy};
    m->line[m->fields++] = (tg_metric){.name = "evaluations", .value = evaluations};
    for (size_t i = 0; i < tg_score_count() && m->fields < MOST_FIELDS; i++) {
        const tg_score *score = tg_score_at(i);
        const double value = tg_score_value(score, &evaluated->of);
        if (score->main && !isnan(value))
            m->line[m->fields++] = (tg_metric){.name = score->name, .value = value};
    }
    const uint64_t passed = m->every > 0 ? (uint64_t)fmin(floor(evaluations / (double)m->every), (double)m->most) : 0;
    write_lines(m, passed > m->lines ? passed : m->lines + 1);
    m->last_loss = loss;
    m->mark = tg_process_seconds(); /* what the evaluation took is not the updates' */
}

static tg_status write_end(const making *m, bool finished)
{
    return tg_race_write_end(m->metrics,
                             &(tg_race_end){.updates = m->updates > 0 ? m->updates : 1,
                                            .finished = finished,
                                            .busy = m->busy,
                                            .optimizer = m->optimizer,
                                            .state_bytes = (double)(m->plan.states_bytes + m->plan.gradients_bytes),
                                            .bytes_per_parameter = m->plan.bytes_per_parameter,
                                            .parameters = (double)m->plan.parameters});
}

static making making_of(tg_metrics *metrics, const tg_race_config *race, const tg_train_config *config)
{
    making m = {.metrics = metrics, .unit = unit(race), .status = TG_OK};
    if (config->eval_work > 0) {
        m.every = (uint64_t)config->option[TG_TRAIN_EVAL_EVERY];
        m.most = (uint64_t)ceil(config->max_work / config->eval_work);
    }
    return m;
}

static tg_status make(tg_metrics *metrics, const tg_race_config *race, const tg_race_run *run)
{
    tg_train_result result = {0};
    setup made = {0};
    tg_status status = setup_init(&made, race, run);
    making m = making_of(metrics, race, &made.config);
    if (status == TG_OK) {
        const tg_train_listener listener = {
            .plan = on_plan, .progress = on_progress, .evaluated = on_evaluated, .ctx = &m};
        status = tg_train_run(&result, &made.config, &listener);
        const bool diverged =
            status == TG_EDIVERGED || (status == TG_OK && !result.interrupted && !isfinite(m.last_loss));
        if (status == TG_OK && !diverged && !result.interrupted)
            write_lines(&m, m.most); /* one that has ended stays where it is */
        if (m.status != TG_OK)
            status = m.status;
        else if (diverged || (status == TG_OK && !result.interrupted))
            status = write_end(&m, !diverged);
    }
    setup_fini(&made);
    return status;
}

static tg_race_measure measure(const tg_race_config *race)
{
    (void)race;
    return (tg_race_measure){.key = "validation_loss", .words = "validation loss"};
}

static tg_status check(const tg_race_config *race)
{
    return race->train->data != NULL ? TG_OK : tg_fail(TG_EINVAL, "a race needs data to train on");
}

const tg_race_task tg_race_task_training = {.name = "training",
                                            .options = tg_train_options,
                                            .measure = measure,
                                            .check = check,
                                            .settings = settings,
                                            .make = make};
