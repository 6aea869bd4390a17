/* race/write.c -- a race as JSON: {"task", "settings": {...} that all runs share, "measure", "target", "rows": [...],
 * "runs": [...]}. Where the measure is compared by its logarithm, means and bounds stand as it stands itself, and
 * differences as factors. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "race/race.h"

static json_t *number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static json_t *numbers(const double *value, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, number(value[i]));
    return array;
}

static json_t *interval(tg_interval v, const tg_race_measure *measure)
{
    return json_pack("{s:o, s:o, s:o}", "mean", number(tg_race_shown(measure, v.mean)), "low",
                     number(tg_race_shown(measure, v.low)), "high", number(tg_race_shown(measure, v.high)));
}

static json_t *row_object(const tg_race_row *row, const tg_race *race)
{
    const tg_race_measure measure = tg_race_measure_of(race->config);
    const tg_contender *c = &race->config->contender[row->contender];
    json_t *object = json_object();
    json_object_set_new(object, "optimizer", json_string(c->name));
    json_object_set_new(object, "contender", json_string(c->title));
    json_object_set_new(object, "best", row->point == SIZE_MAX ? json_null() : json_string(c->point[row->point].label));
    json_object_set_new(object, "at_edge", json_boolean(row->at_edge != 0));
    json_object_set_new(object, "diverged", json_integer((json_int_t)row->diverged));
    json_object_set_new(object, "points", json_integer((json_int_t)row->points));
    json_object_set_new(object, "final_loss", interval(row->loss, &measure));
    if (row->scored != NULL)
        json_object_set_new(object, row->scored->name, interval(row->score, &(tg_race_measure){0}));
    json_object_set_new(object, "updates_to_target", number(row->updates_to_target));
    json_object_set_new(object, "distance", number(row->distance));
    json_object_set_new(object, "evaluations_to_target", number(row->calls_to_target));
    json_object_set_new(object, "seconds_to_target", number(row->seconds_to_target));
    json_object_set_new(object, "update_seconds", number(row->update_seconds));
    json_object_set_new(object, "optimizer_seconds", number(row->optimizer_seconds));
    json_object_set_new(object, "state_bytes", number(row->state_bytes));
    json_object_set_new(object, "bytes_per_parameter", number(row->bytes_per_parameter));
    json_object_set_new(object, "against_best", interval(row->against_best.difference, &measure));
    json_object_set_new(object, "p_holm", number(row->against_best.p));
    return object;
}

/* *object <- a run's settings, or of NULL those that all share. */
static tg_status settings_object(json_t **object, const tg_race *race, const tg_race_run *run)
{
    char *settings = NULL;
    const tg_status status = tg_race_settings(&settings, race->config, run);
    if (status == TG_OK)
        *object = json_loads(settings, 0, NULL);
    tg_heap_free(settings);
    return status;
}

static tg_status run_object(json_t **out, const tg_race_run *run, const tg_race *race)
{
    static const char *const outcome[] = {"open", "finished", "diverged"};
    json_t *settings = NULL;
    const tg_race_measure measure = tg_race_measure_of(race->config);
    const tg_status status = settings_object(&settings, race, run);
    if (status != TG_OK)
        return status;
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(run->name));
    json_object_set_new(object, "seed", json_integer((json_int_t)run->seed));
    json_object_set_new(object, "settings", settings);
    json_object_set_new(object, "outcome", json_string(outcome[run->outcome]));
    json_object_set_new(object, "final_loss", number(run->final_loss));
    json_object_set_new(object, "update_seconds", number(run->update_seconds));
    json_object_set_new(object, "optimizer_seconds", number(run->optimizer_seconds));
    json_object_set_new(object, "update", numbers(run->update, run->evaluations));
    json_object_set_new(object, measure.key, numbers(run->loss, run->evaluations));
    json_object_set_new(object, "evaluations", numbers(run->calls, run->evaluations));
    json_object_set_new(object, "distance", numbers(run->distance, run->evaluations));
    if (run->scored != NULL)
        json_object_set_new(object, run->scored->name, numbers(run->score, run->evaluations));
    json_object_set_new(object, "seconds", numbers(run->seconds, run->evaluations));
    *out = object;
    return TG_OK;
}

tg_status tg_race_write(const tg_race *race, const tg_race_row *row, double target, const char *path)
{
    json_t *rows = json_array(), *runs = json_array(), *shared = NULL;
    const tg_race_measure measure = tg_race_measure_of(race->config);
    tg_status status = settings_object(&shared, race, NULL);
    for (size_t c = 0; c < race->config->contenders; c++)
        json_array_append_new(rows, row_object(&row[c], race));
    for (size_t i = 0; i < race->runs && status == TG_OK; i++) {
        json_t *run = NULL;
        status = run_object(&run, &race->run[i], race);
        if (status == TG_OK)
            json_array_append_new(runs, run);
    }
    json_t *object = json_pack("{s:s, s:o*, s:s, s:b, s:o, s:o*, s:o*}", "task", race->config->task->name, "settings",
                               shared, "measure", measure.key, "logarithmic", measure.logarithmic, "target",
                               number(target), "rows", rows, "runs", runs);
    char *text = object == NULL || status != TG_OK ? NULL : json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    if (status == TG_OK)
        status = text == NULL ? tg_no_memory("a race's results", 0) : tg_file_write_whole(path, text, strlen(text));
    free(text);
    json_decref(object);
    return status;
}
