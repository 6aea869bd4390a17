/* race/training.c -- the task of training a model: judged by its validation loss.
 *
 * A run is a training that keeps no checkpoint. */
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/memory.h"
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
    c->option[TG_TRAIN_SEED] = (double)run->seed;
    for (size_t i = 0; i < point->settings && status == TG_OK; i++) {
        const tg_option_table *own = tg_contender_options(contender);
        const bool is_own = tg_option_find(own, point->setting[i].name) < own->count;
        if (is_own || !set_training(c, &point->setting[i], &status))
            made->setting[c->settings++] = point->setting[i];
    }
    if (c->schedule == NULL)
        c->schedule = "constant";
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

/* The data by name and size: enough to notice another text. */
static json_t *data_object(const tg_train_config *c)
{
    struct stat about;
    json_t *object = json_object();
    json_object_set_new(object, "file", json_string(c->data));
    if (stat(c->data, &about) == 0)
        json_object_set_new(object, "bytes", json_integer((json_int_t)about.st_size));
    if (c->eval_data != NULL)
        json_object_set_new(object, "eval_data", json_string(c->eval_data));
    if (c->eval_data != NULL && stat(c->eval_data, &about) == 0)
        json_object_set_new(object, "eval_data_bytes", json_integer((json_int_t)about.st_size));
    if (c->model.task == TG_TASK_LANGUAGE)
        json_object_set_new(object, "tokenizer", json_string(c->tokenizer != NULL ? c->tokenizer : "char"));
    const char *const more[][2] = {{"labels", c->labels}, {"target", c->target}, {"eval_labels", c->eval_labels}};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++)
        if (more[i][1] != NULL)
            json_object_set_new(object, more[i][0], json_string(more[i][1]));
    return object;
}

static tg_status settings(json_t **object, const tg_race_config *race, const tg_race_run *run)
{
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

typedef struct making {
    tg_metrics *metrics;
    double mark, busy; /* when the updates were last seen to go on; seconds they have taken, */
    double optimizer;  /* and the optimizer of these */
    double last_loss;
    tg_plan plan;
    uint64_t updates;
    tg_status status; /* a line could not be written */
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
    m->last_loss = progress->loss;
}

static void on_evaluated(void *ctx, const tg_evaluated *evaluated)
{
    making *m = ctx;
    const double loss = evaluated->of.loss;
    tg_metric fields[4] = {{.name = "validation_loss", .value = loss},
                           {.name = "loss", .value = m->last_loss},
                           {.name = "seconds", .value = m->busy}};
    size_t count = 3;
    for (size_t i = 0; i < tg_score_count() && count < sizeof fields / sizeof *fields; i++) {
        const tg_score *score = tg_score_at(i);
        const double value = tg_score_value(score, &evaluated->of);
        if (score->main && !isnan(value))
            fields[count++] = (tg_metric){.name = score->name, .value = value};
    }
    const tg_status status = tg_metrics_append(m->metrics, evaluated->update, fields, count);
    if (m->status == TG_OK)
        m->status = status;
    m->last_loss = loss;
    m->mark = tg_process_seconds(); /* what the evaluation took is not the updates' */
}

static tg_status write_end(const making *m, bool finished)
{
    return tg_race_write_end(m->metrics,
                             &(tg_race_end){.updates = m->updates,
                                            .finished = finished,
                                            .busy = m->busy,
                                            .optimizer = m->optimizer,
                                            .state_bytes = (double)(m->plan.states_bytes + m->plan.gradients_bytes),
                                            .bytes_per_parameter = m->plan.bytes_per_parameter,
                                            .parameters = (double)m->plan.parameters});
}

static tg_status make(tg_metrics *metrics, const tg_race_config *race, const tg_race_run *run)
{
    making m = {.metrics = metrics, .status = TG_OK};
    tg_train_result result = {0};
    setup made = {0};
    tg_status status = setup_init(&made, race, run);
    if (status == TG_OK) {
        const tg_train_listener listener = {
            .plan = on_plan, .progress = on_progress, .evaluated = on_evaluated, .ctx = &m};
        status = tg_train_run(&result, &made.config, &listener);
        const bool diverged =
            status == TG_EDIVERGED || (status == TG_OK && !result.interrupted && !isfinite(m.last_loss));
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
