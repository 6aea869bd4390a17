/* race/settings.c -- what one run of a race is made with, and how that is written down. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "race/race.h"

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

tg_status tg_race_setup_init(tg_race_setup *setup, const tg_race_config *race, const tg_race_run *run)
{
    const tg_contender *contender = &race->contender[run->contender];
    const tg_race_point *point = &contender->point[run->point];
    tg_status status = TG_OK;
    *setup = (tg_race_setup){.config = *race->train, .setting = tg_heap_alloc(point->settings + 1, sizeof(tg_setting))};
    if (setup->setting == NULL)
        return tg_no_memory("a run's settings", point->settings * sizeof(tg_setting));
    tg_train_config *c = &setup->config;
    c->out = NULL;
    c->resume = false;
    c->state_file = c->weight_file = NULL;
    c->peak_flops = -1;
    c->optimizer = contender->rule->name;
    c->setting = setup->setting;
    c->settings = 0;
    c->option[TG_TRAIN_SEED] = (double)run->seed;
    for (size_t i = 0; i < point->settings && status == TG_OK; i++) {
        const tg_option_table *own = &contender->rule->options;
        const bool is_own = tg_option_find(own, point->setting[i].name) < own->count;
        if (is_own || !set_training(c, &point->setting[i], &status))
            setup->setting[c->settings++] = point->setting[i];
    }
    if (c->schedule == NULL)
        c->schedule = "constant";
    return status;
}

void tg_race_setup_fini(tg_race_setup *setup)
{
    tg_heap_free(setup->setting);
    setup->setting = NULL;
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

static json_t *option_value(const tg_option *option, double value)
{
    char text[64];
    if (option->kind == TG_SWITCH)
        return json_boolean(value != 0);
    if (option->kind == TG_INTEGER)
        return json_integer((json_int_t)value);
    if (option->kind == TG_REAL)
        return json_real(value);
    tg_option_print(text, sizeof text, option, value);
    return json_string(text);
}

static json_t *training_object(const tg_train_config *c)
{
    const tg_option_table *table = tg_train_options();
    json_t *object = json_object();
    for (size_t i = 0; i < table->count && i < TG_TRAIN_OPTIONS; i++)
        if (!is_silent(i))
            json_object_set_new(object, table->at[i].name, option_value(&table->at[i], c->option[i]));
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
            json_object_set_new(object, table->at[i].name, option_value(&table->at[i], value));
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
    json_object_set_new(object, "tokenizer", json_string(c->tokenizer != NULL ? c->tokenizer : "char"));
    return object;
}

static json_t *optimizer_object(const tg_train_config *c)
{
    json_t *object = json_object();
    json_object_set_new(object, "optimizer", json_string(c->optimizer));
    for (size_t i = 0; i < c->settings; i++)
        json_object_set_new(object, c->setting[i].name, json_string(c->setting[i].value));
    return object;
}

tg_status tg_race_settings(char **text, const tg_race_config *race, const tg_race_run *run)
{
    tg_race_setup setup = {0};
    tg_status status = tg_race_setup_init(&setup, race, run);
    if (status == TG_OK) {
        const tg_train_config *c = &setup.config;
        json_t *object = json_pack("{s:o*, s:o*, s:o*, s:o*}", "data", data_object(c), "model", model_object(c),
                                   "optimizer", optimizer_object(c), "training", training_object(c));
        char *dumped = object == NULL ? NULL : json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
        *text = dumped == NULL ? NULL : tg_heap_text(dumped);
        free(dumped);
        json_decref(object);
        if (*text == NULL)
            status = tg_fail(TG_ENOMEM,
                             "the settings of a run could not be written down: no memory, or a path that is no UTF-8");
    }
    tg_race_setup_fini(&setup);
    return status;
}

char *tg_race_path(const tg_race_config *race, const tg_race_run *run, const char *file)
{
    char *runs = tg_file_join(race->out, "runs"), *directory = runs == NULL ? NULL : tg_file_join(runs, run->name),
         *path = NULL;
    tg_heap_free(runs);
    if (directory == NULL || file == NULL)
        return directory;
    path = tg_file_join(directory, file);
    tg_heap_free(directory);
    return path;
}
