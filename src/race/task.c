/* race/task.c -- the tasks' list, and what is written of a run whatever its task is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "race/race.h"

static const tg_race_task *const tasks[] = {
#define TG_RACE_TASK(name) &tg_race_task_##name,
#include "race/tasks.inc"
#undef TG_RACE_TASK
};

const tg_race_task *tg_race_task_find(const char *name)
{
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (strcmp(tasks[i]->name, name) == 0)
            return tasks[i];
    return NULL;
}

tg_race_measure tg_race_measure_of(const tg_race_config *race) { return race->task->measure(race); }

double tg_race_judged(const tg_race_measure *measure, double loss) { return measure->logarithmic ? log10(loss) : loss; }

double tg_race_shown(const tg_race_measure *measure, double judged)
{
    return measure->logarithmic ? pow(10, judged) : judged;
}

/* ---- written down ---- */

json_t *tg_race_option_value(const tg_option *option, double value)
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

json_t *tg_race_method_object(const char *name, const tg_setting *setting, size_t settings)
{
    json_t *object = json_object();
    json_object_set_new(object, "optimizer", json_string(name));
    for (size_t i = 0; i < settings; i++)
        json_object_set_new(object, setting[i].name, json_string(setting[i].value));
    return object;
}

tg_status tg_race_settings(char **text, const tg_race_config *race, const tg_race_run *run)
{
    json_t *object = NULL;
    const tg_status status = race->task->settings(&object, race, run);
    if (status != TG_OK)
        return status;
    char *dumped = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);
    *text = dumped == NULL ? NULL : tg_heap_text(dumped);
    free(dumped);
    json_decref(object);
    return *text != NULL ? TG_OK
                         : tg_fail(TG_ENOMEM, "the settings of a run could not be written down: no memory, or a text "
                                              "that is no UTF-8");
}

tg_status tg_race_write_end(tg_metrics *metrics, const tg_race_end *end)
{
    const tg_metric fields[] = {{.name = "outcome", .text = end->finished ? "finished" : "diverged"},
                                {.name = "update_seconds", .value = end->busy / (double)end->updates},
                                {.name = "optimizer_seconds", .value = end->optimizer / (double)end->updates},
                                {.name = "state_bytes", .value = end->state_bytes},
                                {.name = "bytes_per_parameter", .value = end->bytes_per_parameter},
                                {.name = "parameters", .value = end->parameters}};
    const tg_status status = tg_metrics_append(metrics, end->updates, fields, sizeof fields / sizeof *fields);
    return status == TG_OK ? tg_metrics_sync(metrics) : status;
}
