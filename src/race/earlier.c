/* race/earlier.c -- what stands in OUT/race.json from an earlier race, which this one would write anew.
 *
 * A race may grow: its runs are all in the file's successor again when contenders or seeds are added. One that is
 * without some of them, be it of other contenders or of other settings, would lose their results. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "race/race.h"

static bool has_run(const tg_race *race, const char *name)
{
    for (size_t i = 0; i < race->runs; i++)
        if (strcmp(race->run[i].name, name) == 0)
            return true;
    return false;
}

/* Whether what the races give all their contenders is the same; which says more than the name of a run that is missing.
 */
static tg_status check_shared(const tg_race *race, const json_t *earlier, const char *path)
{
    const char *task = json_string_value(json_object_get(earlier, "task"));
    const json_t *was = json_object_get(earlier, "settings");
    char *settings = NULL;
    if (task == NULL || strcmp(task, race->config->task->name) != 0)
        return tg_fail(TG_EINVAL, "%s is of a race on a %s, this one is on a %s: name another --out", path,
                       task == NULL ? "?" : task, race->config->task->name);
    tg_status status = tg_race_settings(&settings, race->config, NULL);
    json_t *is = status == TG_OK ? json_loads(settings, 0, NULL) : NULL;
    if (status == TG_OK && was != NULL) /* files of older versions are without */
        status = is == NULL ? tg_no_memory("settings", strlen(settings)) : tg_race_compare(was, is, path);
    json_decref(is);
    tg_heap_free(settings);
    return status;
}

static tg_status check(const tg_race *race, const json_t *earlier, const char *path)
{
    const json_t *runs = json_object_get(earlier, "runs");
    const char *first = NULL;
    size_t missing = 0, i;
    json_t *run;
    if (!json_is_array(runs))
        return tg_fail(TG_EINVAL, "%s is not what a race writes: name another --out", path);
    json_array_foreach(runs, i, run)
    {
        const char *name = json_string_value(json_object_get(run, "name"));
        if (name == NULL || has_run(race, name))
            continue;
        if (missing++ == 0)
            first = name;
    }
    const tg_status status = missing == 0 ? TG_OK : check_shared(race, earlier, path);
    if (missing == 0 || status != TG_OK)
        return status;
    return tg_fail(
        TG_EINVAL,
        "%s has %zu run%s that this race is without, as %s: name the contenders and seeds of all (what has ended "
        "is not made again), or another --out",
        path, missing, missing == 1 ? "" : "s", first);
}

tg_status tg_race_check_earlier(const tg_race *race)
{
    char *path = tg_file_join(race->config->out, "race.json");
    json_error_t error;
    tg_status status = TG_OK;
    if (path == NULL)
        return tg_no_memory("a path", strlen(race->config->out));
    if (access(path, F_OK) == 0) {
        json_t *earlier = json_load_file(path, 0, &error);
        status = earlier == NULL
                     ? tg_fail(TG_EFORMAT, "%s: line %d: %s; name another --out", path, error.line, error.text)
                     : check(race, earlier, path);
        json_decref(earlier);
    }
    tg_heap_free(path);
    return status;
}
