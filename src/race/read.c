/* race/read.c -- a run's metrics.jsonl: {"settings": {...}} first, then its evaluations, then how it ended. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "race/race.h"

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static tg_status add_evaluation(tg_race_run *run, const json_t *line, const char *key)
{
    if (run->evaluations == run->room) {
        const size_t room = 2 * run->room + 32;
        double **const array[] = {&run->update, &run->loss, &run->seconds, &run->calls, &run->distance, &run->score};
        for (size_t i = 0; i < sizeof array / sizeof *array; i++) {
            double *grown = tg_heap_resize(*array[i], run->room, room, sizeof *grown);
            if (grown == NULL)
                return tg_no_memory("a run's evaluations", room * sizeof *grown);
            *array[i] = grown;
        }
        run->room = room;
    }
    const size_t at = run->evaluations++;
    run->update[at] = number(line, "update");
    run->loss[at] = number(line, key);
    run->seconds[at] = number(line, "seconds");
    run->calls[at] = number(line, "evaluations");
    run->distance[at] = number(line, "distance");
    run->score[at] = NAN;
    for (size_t i = 0; i < tg_score_count(); i++)
        if (tg_score_at(i)->main && json_is_number(json_object_get(line, tg_score_at(i)->name))) {
            run->scored = tg_score_at(i);
            run->score[at] = number(line, run->scored->name);
        }
    return TG_OK;
}

static void take_end(tg_race_run *run, const json_t *object, const char *outcome)
{
    run->outcome = strcmp(outcome, "finished") == 0 ? TG_RACE_FINISHED : TG_RACE_DIVERGED;
    run->update_seconds = number(object, "update_seconds");
    run->optimizer_seconds = number(object, "optimizer_seconds");
    run->state_bytes = number(object, "state_bytes");
    run->bytes_per_parameter = number(object, "bytes_per_parameter");
    run->parameters = number(object, "parameters");
    run->final_loss = run->outcome == TG_RACE_FINISHED && run->evaluations > 0 ? run->loss[run->evaluations - 1] : NAN;
}

tg_status tg_race_compare(const json_t *was, const json_t *is, const char *path)
{
    const char *part, *key;
    json_t *old, *value;
    json_object_foreach((json_t *)is, part, value)
    {
        const json_t *before = json_object_get(was, part);
        json_object_foreach((json_t *)before, key, old)
        {
            const json_t *now = json_object_get(value, key);
            if (now != NULL && json_equal(old, now))
                continue;
            char *a = json_dumps(old, JSON_ENCODE_ANY), *b = now == NULL ? NULL : json_dumps(now, JSON_ENCODE_ANY);
            const tg_status status =
                tg_fail(TG_EINVAL, "%s was made with %s %s, now it is %s: name another --out, or the same settings",
                        path, key, a == NULL ? "?" : a, b == NULL ? "left out" : b);
            free(a);
            free(b);
            return status;
        }
    }
    return json_equal(was, is)
               ? TG_OK
               : tg_fail(TG_EINVAL, "%s was made with other settings: name another --out, or the same settings", path);
}

static tg_status check_settings(const json_t *was, const char *settings, const char *path)
{
    json_t *is = json_loads(settings, 0, NULL);
    const tg_status status = is == NULL ? tg_no_memory("settings", strlen(settings)) : tg_race_compare(was, is, path);
    json_decref(is);
    return status;
}

static tg_status take_line(tg_race_run *run, const json_t *object, const char *key, const char *settings,
                           const char *path)
{
    const json_t *was = json_object_get(object, "settings");
    const char *outcome = json_string_value(json_object_get(object, "outcome"));
    if (was != NULL && settings != NULL)
        return check_settings(was, settings, path);
    if (outcome != NULL)
        take_end(run, object, outcome);
    else if (json_is_number(json_object_get(object, key)))
        return add_evaluation(run, object, key);
    return TG_OK;
}

static void forget(tg_race_run *run)
{
    run->outcome = TG_RACE_OPEN;
    run->evaluations = 0;
    run->scored = NULL;
    run->final_loss = run->update_seconds = run->optimizer_seconds = run->state_bytes = run->bytes_per_parameter = run->parameters = NAN;
}

/* A last line that is not whole belongs to a run that was killed, or goes on. */
static tg_status read_lines(tg_race_run *run, FILE *file, const char *key, const char *settings, const char *path)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t bytes;
    tg_status status = TG_OK;
    for (size_t n = 1; status == TG_OK && (bytes = getline(&line, &room, file)) > 0 && line[bytes - 1] == '\n'; n++) {
        json_error_t error;
        json_t *object = json_loadb(line, (size_t)bytes, 0, &error);
        status = object == NULL ? tg_fail(TG_EFORMAT, "%s: line %zu: %s", path, n, error.text)
                                : take_line(run, object, key, settings, path);
        json_decref(object);
    }
    free(line);
    return status;
}

tg_status tg_race_read_run(tg_race_run *run, const tg_race_config *race, const char *settings)
{
    char *path = tg_race_path(race, run, "metrics.jsonl");
    if (path == NULL)
        return tg_no_memory("a path", strlen(race->out));
    forget(run);
    tg_status status = TG_OK;
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        status = read_lines(run, file, tg_race_measure_of(race).key, settings, path);
        fclose(file);
    } else if (errno != ENOENT)
        status = tg_fail_errno(errno, "cannot open '%s'", path);
    if (run->outcome == TG_RACE_OPEN)
        forget(run);
    tg_heap_free(path);
    return status;
}
