/* train/settings.c -- trainer.json: written with every checkpoint, read when a run is resumed. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "train/settings.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "data/cifar_files.h"

static const char file_name[] = "trainer.json";

/* ---- writing ---- */

/* How much memory there is, and whether this trial keeps anything, is said anew each time. */
static bool is_stored(size_t option) { return option != TG_TRAIN_MEMORY && option != TG_TRAIN_SAVE; }

static json_t *options_object(const tg_train_config *config)
{
    json_t *object = json_object();
    for (size_t i = 0; i < TG_TRAIN_OPTIONS; i++) {
        if (!is_stored(i))
            continue;
        char text[64];
        tg_option_print(text, sizeof text, &tg_train_options()->at[i], config->option[i]);
        json_object_set_new(object, tg_train_options()->at[i].name, json_string(text));
    }
    return object;
}

static json_t *settings_object(const tg_train_config *config)
{
    json_t *object = json_object();
    for (size_t i = 0; i < config->settings; i++)
        json_object_set_new(object, config->setting[i].name, json_string(config->setting[i].value));
    return object;
}

/* What each course remembers; an infinite best loss is null. */
static json_t *watched_array(const tg_schedule *schedule)
{
    json_t *array = json_array();
    for (size_t i = 0; i < tg_schedule_courses(schedule); i++) {
        tg_schedule_state state;
        tg_schedule_get_state(schedule, i, &state);
        json_t *object = json_object();
        json_object_set_new(object, "stage", json_integer((json_int_t)state.stage));
        json_object_set_new(object, "factor", json_real(state.factor));
        json_object_set_new(object, "best", isfinite(state.best) ? json_real(state.best) : json_null());
        json_object_set_new(object, "waited", json_integer((json_int_t)state.waited));
        json_object_set_new(object, "cooldown", json_integer((json_int_t)state.cooldown));
        json_array_append_new(array, object);
    }
    return array;
}

/* A text by its path, to be found from anywhere, and its hash. */
static void set_text(json_t *root, const char *key, const char *path, const char *hash_key, uint64_t hash)
{
    char hex[24], *found = tg_cifar_files_absolute(path); /* which may be several files */
    snprintf(hex, sizeof hex, "%016" PRIx64, hash);
    json_object_set_new(root, key, json_string(found != NULL ? found : path));
    json_object_set_new(root, hash_key, json_string(hex));
    tg_heap_free(found);
}

/* Without a hash: one that goes with another, whose hash has it in, or a directory. */
static void set_file(json_t *root, const char *key, const char *path)
{
    char *found = path == NULL ? NULL : realpath(path, NULL);
    if (path != NULL)
        json_object_set_new(root, key, json_string(found != NULL ? found : path));
    free(found);
}

static json_t *run_object(const tg_train_config *config, const tg_schedule *schedule, const tg_reached *at)
{
    json_t *root = json_object();
    json_object_set_new(root, "tiger_version", json_string(tg_version()));
    json_object_set_new(root, "update", json_integer((json_int_t)at->update));
    json_object_set_new(root, "validation_loss",
                        isfinite(at->validation_loss) ? json_real(at->validation_loss) : json_null());
    if (isfinite(at->best_loss))
        json_object_set_new(
            root, "best",
            json_pack("{s:f, s:I}", "validation_loss", at->best_loss, "update", (json_int_t)at->best_update));
    if (config->sample_prompt != NULL)
        json_object_set_new(root, "sample_prompt", json_string(config->sample_prompt));
    json_object_set_new(root, "vocab", json_integer((json_int_t)config->vocab));
    json_object_set_new(root, "optimizer", json_string(config->optimizer));
    json_object_set_new(root, "schedule", json_string(config->schedule));
    if (tg_schedule_watches(schedule))
        json_object_set_new(root, "schedule_watched", watched_array(schedule));
    json_object_set_new(root, "options", options_object(config));
    json_object_set_new(root, "optimizer_options", settings_object(config));
    return root;
}

static json_t *guard_object(const tg_loss_guard *guard)
{
    return json_pack("{s:f, s:f, s:I, s:I}", "mean", guard->mean, "variance", guard->variance, "seen",
                     (json_int_t)guard->seen, "skipped", (json_int_t)guard->skipped);
}

tg_status tg_settings_write(const tg_train_config *config, const tg_schedule *schedule, const tg_loss_scale *loss_scale,
                            const tg_loss_guard *guard, const tg_reached *at, uint64_t corpus_hash, uint64_t eval_hash,
                            const char *directory)
{
    json_t *root = run_object(config, schedule, at);
    set_text(root, "data", config->data, "corpus_hash", corpus_hash);
    if (config->eval_data != NULL)
        set_text(root, "eval_data", config->eval_data, "eval_hash", eval_hash);
    json_object_set_new(root, "init", json_null()); /* fresh weights */
    set_file(root, "init", config->init);
    set_file(root, "labels", config->labels);
    set_file(root, "eval_labels", config->eval_labels);
    if (config->target != NULL)
        json_object_set_new(root, "target", json_string(config->target));
    if (guard->seen > 0)
        json_object_set_new(root, "loss_guard", guard_object(guard));
    if (loss_scale->on)
        json_object_set_new(root, "loss_scale", json_pack("{s:f, s:I}", "scale", loss_scale->scale, "good",
                                                          (json_int_t)loss_scale->good));
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    char *path = tg_file_join(directory, file_name);
    tg_status status = text == NULL || path == NULL ? tg_no_memory(file_name, 4096) : TG_OK;
    if (status == TG_OK)
        status = tg_file_write_whole(path, text, strlen(text));
    json_decref(root);
    free(text);
    tg_heap_free(path);
    return status;
}

/* ---- reading ---- */

static tg_status wrong(const char *name, const char *key)
{
    return tg_fail(TG_EFORMAT, "%s: \"%s\" is missing or not what it should be", name, key);
}

static tg_status read_options(tg_train_config *config, const json_t *object, const char *name)
{
    for (size_t i = 0; i < TG_TRAIN_OPTIONS; i++) {
        const tg_option *option = &tg_train_options()->at[i];
        const json_t *value = json_object_get(object, option->name);
        if (!is_stored(i) || (value == NULL && i > TG_TRAIN_FORMAT)) /* saved before there was such an option */
            continue;
        const char *text = json_string_value(value);
        if (text == NULL)
            return wrong(name, option->name);
        const tg_status status = tg_option_parse(&config->option[i], option, text);
        if (status != TG_OK)
            return tg_fail(TG_EFORMAT, "%s: %s", name, tg_message());
    }
    return TG_OK;
}

static tg_status read_settings(tg_train_config *config, json_t *object, const char *name)
{
    if (!json_is_object(object))
        return wrong(name, "optimizer_options");
    tg_setting *setting = tg_heap_alloc(json_object_size(object), sizeof *setting);
    if (setting == NULL)
        return tg_no_memory("settings", json_object_size(object) * sizeof *setting);
    config->setting = setting;
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (!json_is_string(value))
            return wrong(name, key);
        setting[config->settings++] = (tg_setting){key, json_string_value(value)};
    }
    return TG_OK;
}

static bool read_count(uint64_t *count, const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    *count = json_is_integer(value) ? (uint64_t)json_integer_value(value) : 0;
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

/* Whether the schedule can have come to it, tg_schedule_set_state says. */
static bool read_state(tg_schedule_state *state, const json_t *object)
{
    const json_t *factor = json_object_get(object, "factor"), *best = json_object_get(object, "best");
    uint64_t stage;
    if (!read_count(&stage, object, "stage") || stage > UINT32_MAX || !json_is_number(factor) ||
        (!json_is_number(best) && !json_is_null(best)) || !read_count(&state->waited, object, "waited") ||
        !read_count(&state->cooldown, object, "cooldown"))
        return false;
    state->stage = (uint32_t)stage;
    state->factor = json_number_value(factor);
    state->best = json_is_null(best) ? INFINITY : json_number_value(best);
    return true;
}

static tg_status read_watched(tg_saved_run *run, const json_t *array, const char *name)
{
    const size_t count = json_array_size(array);
    if (array == NULL) /* nothing is watched */
        return TG_OK;
    if (!json_is_array(array) || count == 0)
        return wrong(name, "schedule_watched");
    run->watched = tg_heap_alloc(count, sizeof *run->watched);
    if (run->watched == NULL)
        return tg_no_memory("a schedule's state", count * sizeof *run->watched);
    for (run->courses = 0; run->courses < count; run->courses++)
        if (!read_state(&run->watched[run->courses], json_array_get(array, run->courses)))
            return wrong(name, "schedule_watched");
    return TG_OK;
}

/* A power of two, and updates since it changed; not there where loss scaling is off. */
static tg_status read_loss_scale(tg_saved_run *run, const json_t *object, const char *name)
{
    const json_t *good = json_object_get(object, "good");
    int exponent;
    run->loss_scale = 1;
    if (object == NULL)
        return TG_OK;
    run->loss_scale = json_number_value(json_object_get(object, "scale"));
    if (!(run->loss_scale >= 1) || run->loss_scale > 0x1p60 || frexp(run->loss_scale, &exponent) != 0.5 ||
        !json_is_integer(good) || json_integer_value(good) < 0)
        return wrong(name, "loss_scale");
    run->loss_scale_good = (uint64_t)json_integer_value(good);
    return TG_OK;
}

/* Not there before the first loss it judges. */
static tg_status read_guard(tg_loss_guard *guard, const json_t *object, const char *name)
{
    const json_t *mean = json_object_get(object, "mean"), *variance = json_object_get(object, "variance");
    if (object == NULL)
        return TG_OK;
    guard->mean = json_number_value(mean);
    guard->variance = json_number_value(variance);
    if (!json_is_number(mean) || !json_is_number(variance) || !read_count(&guard->seen, object, "seen") ||
        !read_count(&guard->skipped, object, "skipped") || !tg_loss_guard_is_sound(guard))
        return wrong(name, "loss_guard");
    return TG_OK;
}

/* Not there before the first evaluation. */
static tg_status read_best(tg_reached *at, const json_t *object, const char *name)
{
    const json_t *loss = json_object_get(object, "validation_loss");
    at->best_loss = NAN;
    if (object == NULL)
        return TG_OK;
    if (!json_is_number(loss) || !read_count(&at->best_update, object, "update") || at->best_update > at->update)
        return wrong(name, "best");
    at->best_loss = json_number_value(loss);
    return TG_OK;
}

static bool read_hash(uint64_t *hash, const json_t *root, const char *key)
{
    const char *hex = json_string_value(json_object_get(root, key));
    return hex != NULL && sscanf(hex, "%16" SCNx64, hash) == 1;
}

static tg_status read_run(tg_saved_run *run, const json_t *root, const char *name)
{
    tg_train_config *config = &run->config;
    tg_train_config_default(config);
    const json_t *update = json_object_get(root, "update"), *vocab = json_object_get(root, "vocab");
    const json_t *validation = json_object_get(root, "validation_loss");
    config->data = json_string_value(json_object_get(root, "data"));
    config->optimizer = json_string_value(json_object_get(root, "optimizer"));
    config->schedule = json_string_value(json_object_get(root, "schedule"));
    config->eval_data = json_string_value(json_object_get(root, "eval_data"));
    config->sample_prompt = json_string_value(json_object_get(root, "sample_prompt"));
    config->init = json_string_value(json_object_get(root, "init"));
    run->says_init = json_object_get(root, "init") != NULL;
    config->labels = json_string_value(json_object_get(root, "labels"));
    config->eval_labels = json_string_value(json_object_get(root, "eval_labels"));
    config->target = json_string_value(json_object_get(root, "target"));
    if (!json_is_integer(update) || json_integer_value(update) < 0)
        return wrong(name, "update");
    if (!json_is_integer(vocab) || json_integer_value(vocab) < 0)
        return wrong(name, "vocab");
    if (!read_hash(&run->corpus_hash, root, "corpus_hash"))
        return wrong(name, "corpus_hash");
    if (config->eval_data != NULL && !read_hash(&run->eval_hash, root, "eval_hash"))
        return wrong(name, "eval_hash");
    if (config->optimizer == NULL)
        return wrong(name, "optimizer");
    if (config->schedule == NULL)
        return wrong(name, "schedule");
    run->at.update = (uint64_t)json_integer_value(update);
    run->at.validation_loss = json_is_number(validation) ? json_number_value(validation) : NAN;
    config->vocab = (size_t)json_integer_value(vocab);
    tg_status status = read_options(config, json_object_get(root, "options"), name);
    if (status == TG_OK)
        status = read_loss_scale(run, json_object_get(root, "loss_scale"), name);
    if (status == TG_OK)
        status = read_watched(run, json_object_get(root, "schedule_watched"), name);
    if (status == TG_OK)
        status = read_guard(&run->guard, json_object_get(root, "loss_guard"), name);
    if (status == TG_OK)
        status = read_best(&run->at, json_object_get(root, "best"), name);
    return status != TG_OK ? status : read_settings(config, json_object_get(root, "optimizer_options"), name);
}

tg_status tg_settings_parse(tg_saved_run *run, const char *text, size_t bytes, const char *name)
{
    json_error_t error;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        return tg_fail(TG_EFORMAT, "%s: line %d: %s", name, error.line, error.text);
    tg_saved_run read = {.texts = root};
    const tg_status status = read_run(&read, root, name);
    if (status != TG_OK)
        tg_saved_run_fini(&read);
    else
        *run = read;
    return status;
}

tg_status tg_settings_read(tg_saved_run *run, const char *directory)
{
    char *path = tg_file_join(directory, file_name);
    if (path == NULL)
        return tg_no_memory("a path", strlen(directory));
    const char *text;
    size_t bytes;
    tg_status status = tg_text_open(&text, &bytes, path);
    if (status == TG_OK) {
        status = tg_settings_parse(run, text, bytes, path);
        tg_text_close(text, bytes);
    }
    tg_heap_free(path);
    return status;
}

void tg_saved_run_fini(tg_saved_run *run)
{
    tg_heap_free((void *)run->config.setting);
    tg_heap_free(run->watched);
    json_decref(run->texts);
    *run = (tg_saved_run){0};
}

/* ---- merging ---- */

/* What a machine or a moment decides, rather than the run's results. */
static bool may_change(size_t option)
{
    switch (option) {
    case TG_TRAIN_RECOMPUTE:
    case TG_TRAIN_MEMORY:
    case TG_TRAIN_SAVE:
    case TG_TRAIN_UPDATES:
    case TG_TRAIN_THREADS:
    case TG_TRAIN_EVAL_EVERY:
    case TG_TRAIN_EVAL_BATCHES:
    case TG_TRAIN_SAVE_EVERY:
    case TG_TRAIN_KEEP:
    case TG_TRAIN_LOSS_GUARD:
    case TG_TRAIN_KEEP_BEST:
    case TG_TRAIN_SAMPLE_EVERY:
    case TG_TRAIN_SAMPLE_TOKENS:
    case TG_TRAIN_TENSORBOARD:
    case TG_TRAIN_TENSORBOARD_EVERY:
    case TG_TRAIN_LOG_EVERY: return true;
    default: return false;
    }
}

tg_status tg_settings_disagree(const char *what, const char *has, const char *wished)
{
    return tg_fail(TG_EINVAL, "the run to resume has %s %s, not %s: leave it out, or start a new run", what, has,
                   wished);
}

/* The same directory, however it is said. */
static bool same_place(const char *saved, const char *wished)
{
    char *found = realpath(wished, NULL);
    const bool same = saved != NULL && (strcmp(saved, wished) == 0 || (found != NULL && strcmp(saved, found) == 0));
    free(found);
    return same;
}

static const char *saved_setting(const tg_train_config *config, const char *name)
{
    for (size_t i = 0; i < config->settings; i++)
        if (strcmp(config->setting[i].name, name) == 0)
            return config->setting[i].value;
    return NULL;
}

/* With memory, a batch said alone is that of an update, which the run may have split. */
static bool is_batch_of_update(const tg_train_config *saved, const tg_train_config *wish)
{
    return wish->given[TG_TRAIN_MEMORY] && !wish->given[TG_TRAIN_ACCUMULATE] &&
           wish->option[TG_TRAIN_BATCH] == saved->option[TG_TRAIN_BATCH] * saved->option[TG_TRAIN_ACCUMULATE];
}

tg_status tg_settings_merge(tg_train_config *merged, const tg_saved_run *run, const tg_train_config *wish)
{
    const tg_train_config *saved = &run->config;
    tg_train_config result = *saved;
    for (size_t i = 0; i < TG_TRAIN_OPTIONS; i++) {
        const tg_option *option = &tg_train_options()->at[i];
        const bool chosen = i == TG_TRAIN_BATCH || i == TG_TRAIN_ACCUMULATE || i == TG_TRAIN_RECOMPUTE;
        result.given[i] = wish->given[i] || chosen; /* to fit into a memory: there is nothing left to choose */
        if (!wish->given[i] || wish->option[i] == saved->option[i] || (i == TG_TRAIN_BATCH && is_batch_of_update(saved, wish)))
            continue;
        char old[64], new[64];
        tg_option_print(old, sizeof old, option, saved->option[i]);
        tg_option_print(new, sizeof new, option, wish->option[i]);
        if (!may_change(i))
            return tg_settings_disagree(option->name, old, new);
        result.option[i] = wish->option[i];
    }
    if (wish->optimizer != NULL && strcmp(wish->optimizer, saved->optimizer) != 0)
        return tg_settings_disagree("optimizer", saved->optimizer, wish->optimizer);
    if (wish->schedule != NULL && strcmp(wish->schedule, saved->schedule) != 0)
        return tg_settings_disagree("schedule", saved->schedule, wish->schedule);
    for (size_t i = 0; i < wish->settings; i++) {
        const char *old = saved_setting(saved, wish->setting[i].name);
        if (old == NULL || strcmp(old, wish->setting[i].value) != 0)
            return tg_settings_disagree(wish->setting[i].name, old == NULL ? "by default" : old,
                                        wish->setting[i].value);
    }
    if (wish->init != NULL && run->says_init && !same_place(saved->init, wish->init))
        return tg_settings_disagree("init", saved->init != NULL ? saved->init : "none", wish->init);
    if (wish->eval_data != NULL && saved->eval_data == NULL) /* which training text is held out would be another */
        return tg_settings_disagree("eval_data", "none", wish->eval_data);
    if (wish->target != NULL && (saved->target == NULL || strcmp(wish->target, saved->target) != 0))
        return tg_settings_disagree("target", saved->target != NULL ? saved->target : "none", wish->target);
    result.data = wish->data != NULL ? wish->data : saved->data;
    result.labels = wish->labels != NULL ? wish->labels : saved->labels;
    result.eval_labels = wish->eval_labels != NULL ? wish->eval_labels : saved->eval_labels;
    result.eval_data = wish->eval_data != NULL ? wish->eval_data : saved->eval_data;
    result.sample_prompt = wish->sample_prompt != NULL ? wish->sample_prompt : saved->sample_prompt;
    result.max_seconds = wish->max_seconds;
    result.peak_flops = wish->peak_flops;
    result.out = wish->out;
    result.state_file = wish->state_file;
    result.weight_file = wish->weight_file;
    result.resume = true;
    *merged = result;
    return TG_OK;
}
