/* train/samples.c -- the tasks of models that learn from images and tables: a class, or a number, of each sample.
 *
 * Both read and draw the same; they differ in what an evaluation comes to:
 *
 *   accuracy = share of samples whose class is the model's first choice
 *   RMSE = sqrt(mean (output - value)^2), in the target's own units      R2 = 1 - sum (output - value)^2 / sum (value -
 *   mean value)^2, over what is evaluated */
#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "graph/run.h"
#include "model/model.h"
#include "train/task.h"

/* ---- settings ---- */

static tg_status check(const tg_train_config *c)
{
    static const size_t option[] = {TG_TRAIN_FORMAT, TG_TRAIN_SAMPLE_EVERY, TG_TRAIN_MASK_RATE, TG_TRAIN_MASK_RANDOM,
                                    TG_TRAIN_MASK_KEEP};
    const struct {
        const char *name;
        bool said;
    } others[] = {
        {"tokenizer", c->tokenizer != NULL}, {"vocab", c->vocab != 0}, {"sample_prompt", c->sample_prompt != NULL}};
    const char *name = NULL;
    for (size_t i = 0; i < sizeof others / sizeof *others && name == NULL; i++)
        name = others[i].said ? others[i].name : NULL;
    for (size_t i = 0; i < sizeof option / sizeof *option && name == NULL; i++)
        if (c->option[option[i]] != tg_train_options()->at[option[i]].value)
            name = tg_train_options()->at[option[i]].name;
    if (name != NULL)
        return tg_fail(TG_EINVAL, "%s is for models of language, and %s learns from samples", name,
                       c->model.info->name);
    if (c->eval_labels != NULL && c->eval_data == NULL)
        return tg_fail(TG_EINVAL, "eval_labels go with eval_data");
    if (c->eval_data != NULL && (c->labels != NULL) != (c->eval_labels != NULL))
        return tg_fail(TG_EINVAL, "%s",
                       c->labels != NULL ? "the labels of eval_data are missing: eval_labels"
                                         : "eval_labels go with labels");
    return TG_OK;
}

/* ---- data ---- */

static tg_target_kind kind_of(const tg_model_config *model)
{
    static const tg_target_kind kind[TG_TASK_COUNT] = {
        [TG_TASK_CLASSIFICATION] = TG_TARGET_CLASS, [TG_TASK_REGRESSION] = TG_TARGET_NUMBER};
    return kind[model->task];
}

static tg_status check_augmentation(const tg_train_config *c, const tg_schema *schema)
{
    const double crop = c->option[TG_TRAIN_CROP];
    if (!schema->images && c->option[TG_TRAIN_ADVERSARIAL] != 0)
        return tg_fail(TG_EINVAL, "adversarial is for images, and the data are a table");
    if (!schema->images && (crop != 0 || c->option[TG_TRAIN_FLIP] != 0))
        return tg_fail(TG_EINVAL, "%s is for images, and the data are a table", crop != 0 ? "crop" : "flip");
    if ((crop != 0 || c->option[TG_TRAIN_FLIP] != 0) && c->option[TG_TRAIN_CLOSURE] == TG_CLOSURE_ALL)
        return tg_fail(TG_EINVAL, "closure=all takes every sample as it is: without %s", crop != 0 ? "crop" : "flip");
    if (crop != 0 && (crop >= (double)schema->rows || crop >= (double)schema->cols))
        return tg_fail(TG_EINVAL, "crop: images of %zu x %zu cannot be moved by %g pixels", schema->rows, schema->cols,
                       crop);
    return TG_OK;
}

static tg_status open(tg_session *s, const char *from)
{
    const tg_train_config *c = s->config;
    const tg_samples_source source = {c->data, c->labels, c->target, kind_of(&c->model), false};
    const tg_samples_source evaluated = {c->eval_data, c->eval_labels, c->target, kind_of(&c->model), true};
    tg_schema *known = NULL;
    if (c->data == NULL)
        return TG_OK;
    tg_status status = from == NULL ? TG_OK : tg_schema_read(&known, from);
    if (status == TG_OK)
        status =
            tg_samples_open(&s->samples, &source, known, c->eval_data != NULL ? 0.0 : c->option[TG_TRAIN_VALIDATION]);
    if (status == TG_OK && tg_samples_own_split(s->samples) && c->given[TG_TRAIN_VALIDATION])
        status = tg_fail(
            TG_EINVAL,
            "validation: '%s' has a test file, which is held out; to hold out a share, name the files to train on, "
            "with commas between them",
            c->data);
    if (status == TG_OK && c->eval_data != NULL)
        status = tg_samples_open(&s->held_samples, &evaluated, tg_samples_schema(s->samples), 0.0);
    if (status == TG_OK)
        status = check_augmentation(c, tg_samples_schema(s->samples));
    tg_schema_destroy(known);
    return status;
}

static void close(tg_session *s)
{
    tg_samples_destroy(s->held_samples);
    tg_samples_destroy(s->samples);
    tg_free(NULL, s->features, s->feature_room, sizeof *s->features);
    tg_free(NULL, s->targets, s->places, sizeof *s->targets);
    tg_free(NULL, s->values, s->places, sizeof *s->values);
}

static tg_status check_size(const char *name, size_t asked, size_t there, bool fixed)
{
    if (asked == there || (asked == 0 && !fixed))
        return TG_OK;
    return tg_fail(TG_EINVAL, "the data have %zu %s, and %zu %s", there, name, asked,
                   fixed ? "are the model's" : "were asked for");
}

static tg_status fit_images(const tg_schema *schema, tg_model_config *model, bool fixed)
{
    tg_status status = check_size("channels", model->channels, schema->channels, fixed);
    if (status == TG_OK)
        status = check_size("rows", model->rows, schema->rows, fixed);
    if (status == TG_OK)
        status = check_size("columns", model->cols, schema->cols, fixed);
    model->channels = schema->channels;
    model->rows = schema->rows;
    model->cols = schema->cols;
    return status;
}

static tg_status fit_model(const tg_session *s, tg_model_config *model, bool fixed)
{
    if (s->samples == NULL)
        return TG_OK;
    const tg_schema *schema = tg_samples_schema(s->samples);
    const int task = schema->class_name != NULL ? TG_TASK_CLASSIFICATION : TG_TASK_REGRESSION;
    if (model->task == TG_TASK_AUTO)
        model->task = task;
    if (model->info->images && !schema->images)
        return tg_fail(TG_EINVAL, "%s learns from images, and the data are a table", model->info->name);
    tg_status status = model->info->images ? fit_images(schema, model, fixed) : TG_OK;
    if (status == TG_OK)
        status = check_size("features", model->features, tg_schema_features(schema), fixed);
    if (status == TG_OK)
        status = check_size(task == TG_TASK_CLASSIFICATION ? "classes" : "outputs", model->outputs,
                            tg_schema_outputs(schema), fixed);
    if (status == TG_OK && model->task != task)
        status = tg_fail(TG_EINVAL, "the model tells %s, and the data have %s",
                         task == TG_TASK_REGRESSION ? "classes" : "numbers",
                         task == TG_TASK_REGRESSION ? "numbers" : "classes");
    model->features = tg_schema_features(schema);
    model->outputs = tg_schema_outputs(schema);
    return status;
}

static tg_status check_data(const tg_session *s)
{
    return tg_samples_count(s->samples, TG_SPLIT_TRAIN) > 0 ? TG_OK
                                                            : tg_fail(TG_EINVAL, "there is no sample to train on");
}

static uint64_t hash(const tg_session *s, bool of_held_out)
{
    const tg_samples *samples = of_held_out ? s->held_samples : s->samples;
    return samples == NULL ? 0 : tg_samples_hash(samples);
}

/* ---- batches ---- */

static size_t features_of(const tg_session *s) { return tg_model_get_config(s->model)->features; }

static size_t bytes(const tg_session *s)
{
    return (s->samples == NULL ? 0 : tg_samples_bytes(s->samples)) +
           (s->held_samples == NULL ? 0 : tg_samples_bytes(s->held_samples)) +
           s->places * (features_of(s) * sizeof(float) + sizeof(int32_t) + sizeof(float)) +
           (s->attack == NULL ? 0 : tg_attacker_bytes(s->places, features_of(s)));
}

static tg_status allocate(tg_session *s)
{
    if (!tg_multiply(&s->feature_room, s->places, features_of(s)))
        return tg_fail(TG_EINVAL, "a batch of %zu samples is too large", s->places);
    s->features = tg_alloc(NULL, s->feature_room, sizeof *s->features);
    s->targets = tg_alloc(NULL, s->places, sizeof *s->targets);
    s->values = tg_alloc(NULL, s->places, sizeof *s->values);
    if (s->features == NULL || s->targets == NULL || s->values == NULL)
        return tg_no_memory("a batch", s->feature_room * sizeof *s->features);
    return s->attack == NULL ? TG_OK : tg_attacker_init(&s->attacker, tg_samples_schema(s->samples), s->places);
}

/* The batch's images, of which `first` is the number of the first, become adversarial ones. */
static tg_status attack_batch(tg_session *s, uint64_t first)
{
    const double *option = s->config->option;
    const tg_attack attack = {.ball = tg_ball_at((size_t)option[TG_TRAIN_ADVERSARIAL_NORM]),
                              .eps = option[TG_TRAIN_ADVERSARIAL],
                              .step = option[TG_TRAIN_ADVERSARIAL_STEP],
                              .steps = (size_t)option[TG_TRAIN_ADVERSARIAL_STEPS],
                              .random_start = true,
                              .seed = (uint64_t)option[TG_TRAIN_SEED],
                              .loss_scale = s->loss_scale.scale};
    tg_attacker_take(&s->attacker, s->features);
    const tg_status status = tg_attacker_run(&s->attacker, s->features, &attack, s->attack, s->targets, first, 0);
    return status == TG_EDIVERGED ? TG_OK : status; /* the update itself will meet it, and its guard */
}

static tg_status batch(tg_session *s, uint64_t update, uint32_t micro_step)
{
    const double *option = s->config->option;
    tg_sample_batch b = {s->features, s->targets, s->values, s->places};
    const uint64_t of_update = s->places * (uint64_t)option[TG_TRAIN_ACCUMULATE];
    const tg_augmentation a = {(size_t)option[TG_TRAIN_CROP], option[TG_TRAIN_FLIP] != 0};
    const uint64_t first = update * of_update + micro_step * s->places;
    tg_samples_draw(s->samples, &b, &a, (uint64_t)option[TG_TRAIN_SEED], first);
    return s->attack == NULL ? TG_OK : attack_batch(s, first);
}

static size_t windows(const tg_session *s, size_t size)
{
    return s->samples == NULL ? 0 : (tg_samples_count(s->samples, TG_SPLIT_TRAIN) + size - 1) / size;
}

static tg_status window(tg_session *s, size_t index, uint32_t *lengths)
{
    tg_sample_batch b = {s->features, s->targets, s->values, s->places};
    (void)lengths; /* samples are no sequences */
    tg_samples_window(s->samples, TG_SPLIT_TRAIN, &b, index * s->places);
    return TG_OK;
}

/* ---- evaluation ---- */

/* What is gathered over the batches of an evaluation. */
typedef struct tally {
    double loss;         /* summed */
    double sum, squares; /* of the values */
    size_t count, hits;
    const tg_schema *schema;
} tally;

typedef void score_function(tg_evaluation *out, const tally *t);

static void score_classes(tg_evaluation *out, const tally *t) { out->accuracy = (double)t->hits / (double)t->count; }

static void score_numbers(tg_evaluation *out, const tally *t)
{
    const double n = (double)t->count, around = t->squares - t->sum * t->sum / n;
    out->rmse = sqrt(t->loss / n) * t->schema->target_std;
    out->r2 = around > 0 ? 1 - t->loss / around : (double)NAN;
}

static void add_values(tally *t, const tg_sample_batch *b)
{
    for (size_t r = 0; r < b->size; r++)
        if (b->labels[r] >= 0) {
            t->sum += (double)b->values[r];
            t->squares += (double)b->values[r] * (double)b->values[r];
        }
}

static tg_status evaluate_split(tg_evaluation *out, tg_graph *graph, const tg_samples *samples, tg_split split,
                                size_t batches, tg_sample_batch *b)
{
    const size_t count = tg_samples_count(samples, split), all = (count + b->size - 1) / b->size;
    const size_t wanted = batches == 0 || batches > all ? all : batches;
    tally t = {.schema = tg_samples_schema(samples)};
    tg_status status = TG_OK;
    for (size_t i = 0; status == TG_OK && i < wanted; i++) {
        const size_t index = (size_t)((double)i * (double)all / (double)wanted);
        tg_run run = {.features = b->features, .targets = b->labels, .values = b->values, .wants_hits = true};
        tg_samples_window(samples, split, b, index * b->size);
        status = tg_graph_run(graph, &run);
        t.loss += run.loss_sum;
        t.count += run.targets_counted;
        t.hits += run.hits;
        add_values(&t, b);
    }
    if (status != TG_OK)
        return status;
    score_function *const score = t.schema->class_name != NULL ? score_classes : score_numbers;
    out->loss = t.loss / (double)t.count;
    out->targets = t.count;
    score(out, &t);
    return TG_OK;
}

static bool has_held_out(const tg_session *s)
{
    return s->held_samples != NULL || tg_samples_count(s->samples, TG_SPLIT_VALIDATION) > 0;
}

static tg_status evaluate(tg_evaluation *out, tg_session *s, size_t batches)
{
    tg_sample_batch b = {s->features, s->targets, s->values, s->places};
    const bool apart = s->held_samples != NULL;
    return evaluate_split(out, s->evaluate, apart ? s->held_samples : s->samples,
                          apart ? TG_SPLIT_TRAIN : TG_SPLIT_VALIDATION, batches, &b);
}

static tg_status evaluate_samples(tg_evaluation *out, const tg_loaded *directory, const tg_samples *samples,
                                  size_t size)
{
    const size_t count = tg_samples_count(samples, TG_SPLIT_TRAIN);
    const size_t features = tg_model_get_config(directory->model)->features;
    tg_sample_batch b = {.size = size < count ? size : count};
    size_t room;
    tg_graph *graph = NULL;
    if (!tg_multiply(&room, b.size, features))
        return tg_fail(TG_EINVAL, "a batch of %zu is too large", size);
    b.features = tg_alloc(NULL, room, sizeof *b.features);
    b.labels = tg_alloc(NULL, b.size, sizeof *b.labels);
    b.values = tg_alloc(NULL, b.size, sizeof *b.values);
    tg_status status = b.features == NULL || b.labels == NULL || b.values == NULL
                           ? tg_no_memory("a batch", room * sizeof *b.features)
                           : tg_evaluation_graph(&graph, directory, b.size, 1);
    if (status == TG_OK)
        status = evaluate_split(out, graph, samples, TG_SPLIT_TRAIN, 0, &b);
    tg_graph_destroy(graph);
    tg_free(NULL, b.features, room, sizeof *b.features);
    tg_free(NULL, b.labels, b.size, sizeof *b.labels);
    tg_free(NULL, b.values, b.size, sizeof *b.values);
    return status;
}

static tg_status evaluate_file(tg_evaluation *out, const tg_loaded *directory, const tg_evaluate_config *config)
{
    const tg_samples_source source = {config->data, config->labels, config->target,
                                      kind_of(tg_model_get_config(directory->model)), true};
    tg_samples *samples = NULL;
    tg_status status = config->format == TG_FORMAT_TEXT ? tg_samples_open(&samples, &source, directory->schema, 0.0)
                                                        : tg_fail(TG_EINVAL, "format is for models of language");
    if (status == TG_OK)
        status = evaluate_samples(out, directory, samples, config->batch);
    tg_samples_destroy(samples);
    return status;
}

/* ---- directories ---- */

static tg_status write(const tg_session *s, const char *directory)
{
    return tg_schema_write(tg_samples_schema(s->samples), directory);
}

static tg_status load(tg_loaded *directory, const tg_model_config *config, const char *path)
{
    const tg_status status = tg_schema_read(&directory->schema, path);
    if (status != TG_OK)
        return status;
    const tg_schema *schema = directory->schema;
    const bool classes = config->task == TG_TASK_CLASSIFICATION;
    if (config->info->images && (schema->channels != config->channels || schema->rows != config->rows ||
                                 schema->cols != config->cols || !schema->images))
        return tg_fail(TG_EFORMAT, "%s: samples.json has images of %zu x %zu x %zu, and config.json of %zu x %zu x %zu",
                       path, schema->channels, schema->rows, schema->cols, config->channels, config->rows,
                       config->cols);
    if (tg_schema_features(schema) == config->features && tg_schema_outputs(schema) == config->outputs &&
        classes == (schema->class_name != NULL))
        return TG_OK;
    return tg_fail(TG_EFORMAT, "%s: samples.json has %zu features and %zu outputs, and config.json %zu and %zu", path,
                   tg_schema_features(schema), tg_schema_outputs(schema), config->features, config->outputs);
}

#define OF_SAMPLES                                                                                                     \
    .rate = "samples", .per_second = "samples_per_second", .items = "samples", .data = "data", .check = check,         \
    .open = open, .close = close, .fit_model = fit_model, .allocate = allocate, .bytes = bytes,                        \
    .check_data = check_data, .batch = batch, .windows = windows, .window = window, .hash = hash,                      \
    .has_held_out = has_held_out, .evaluate = evaluate, .write = write, .load = load, .evaluate_file = evaluate_file

const tg_task tg_task_classification = {OF_SAMPLES};
const tg_task tg_task_regression = {OF_SAMPLES};
