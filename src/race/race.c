/* race/race.c -- the list of runs, and making one of them.
 *
 * A run writes what it was made with, then its evaluations, then how it ended: a directory without the last line is
 * that of a run that was cut short, and it is made again from its beginning. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "race/race.h"
#include "store/directory.h"

/* ---- names ---- */

#define MOST_NAME 160 /* of a directory; beyond it a hash tells runs apart */

/* "adamw beta2=0.99" and "lr=0.001" into "adamw_beta2=0.99_lr=0.001_seed=1". */
static char *name_of(const tg_race_config *race, const tg_race_run *run)
{
    const tg_contender *c = &race->contender[run->contender];
    const char *label = c->point[run->point].label;
    char text[1024];
    const int n = snprintf(text, sizeof text, "%s%s%s", c->title, label[0] != '\0' ? "_" : "", label);
    const uint64_t hash = tg_hash_text(tg_hash_text(tg_hash_text(TG_HASH_BEGIN, c->title), "_"), label);
    bool changed = n < 0 || n >= MOST_NAME;
    for (char *at = text; *at != '\0'; at++)
        if (*at == ' ')
            *at = '_';
        else if (!isalnum((unsigned char)*at) && strchr("._=+-", *at) == NULL) {
            *at = '_';
            changed = true;
        }
    char name[MOST_NAME + 64];
    if (changed)
        snprintf(name, sizeof name, "%.*s_%08x_seed=%llu", MOST_NAME, text, (unsigned)(hash ^ hash >> 32),
                 (unsigned long long)run->seed);
    else
        snprintf(name, sizeof name, "%.*s_seed=%llu", MOST_NAME, text, (unsigned long long)run->seed);
    return tg_heap_text(name);
}

/* ---- the list ---- */

static void run_fini(tg_race_run *run)
{
    tg_heap_free(run->name);
    tg_heap_free(run->update);
    tg_heap_free(run->loss);
    tg_heap_free(run->seconds);
    tg_heap_free(run->calls);
    tg_heap_free(run->distance);
    tg_heap_free(run->score);
}

void tg_race_close(tg_race *race)
{
    for (size_t i = 0; i < race->runs; i++)
        run_fini(&race->run[i]);
    tg_heap_free(race->run);
    *race = (tg_race){0};
}

static tg_status check_config(const tg_race_config *config)
{
    if (config->contenders == 0 || config->seeds == 0)
        return tg_fail(TG_EINVAL, "a race needs contenders and seeds");
    if (config->task == NULL)
        return tg_fail(TG_EINVAL, "a race needs a task");
    for (size_t a = 0; a < config->contenders; a++)
        for (size_t b = 0; b < a; b++)
            if (strcmp(config->contender[a].title, config->contender[b].title) == 0)
                return tg_fail(TG_EINVAL,
                               "two contenders are '%s': put their values into one, lr=1e-3/3e-3, or tell them apart",
                               config->contender[a].title);
    return config->task->check(config);
}

static tg_status open_run(tg_race_run *run, const tg_race_config *config)
{
    char *settings = NULL;
    run->name = name_of(config, run);
    if (run->name == NULL)
        return tg_no_memory("the name of a run", MOST_NAME);
    tg_status status = tg_race_settings(&settings, config, run);
    if (status == TG_OK)
        status = tg_race_read_run(run, config, settings);
    tg_heap_free(settings);
    return status;
}

tg_status tg_race_open(tg_race *race, const tg_race_config *config)
{
    tg_race r = {.config = config};
    size_t points = 0, runs;
    tg_status status = check_config(config);
    if (status != TG_OK)
        return status;
    for (size_t c = 0; c < config->contenders; c++)
        points += config->contender[c].points;
    if (!tg_multiply(&runs, points, config->seeds) || (r.run = tg_heap_alloc(runs, sizeof *r.run)) == NULL)
        return tg_no_memory("the runs of a race", points);
    status = tg_directory_make(config->out);
    for (size_t c = 0; c < config->contenders; c++)
        for (size_t p = 0; p < config->contender[c].points; p++)
            for (size_t s = 0; s < config->seeds && status == TG_OK; s++) {
                tg_race_run *run = &r.run[r.runs++];
                *run = (tg_race_run){.contender = c, .point = p, .seed = config->seed + s};
                status = open_run(run, config);
            }
    if (status == TG_OK)
        status = tg_race_check_earlier(&r);
    if (status == TG_OK)
        *race = r;
    else
        tg_race_close(&r);
    return status;
}

tg_status tg_race_read(tg_race *race, size_t index) { return tg_race_read_run(&race->run[index], race->config, NULL); }

/* ---- one run ---- */

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

static tg_status begin(tg_metrics **metrics, const tg_race *race, const tg_race_run *run)
{
    char *directory = tg_race_path(race->config, run, NULL), *path = tg_race_path(race->config, run, "metrics.jsonl");
    char *settings = NULL;
    tg_status status = directory == NULL || path == NULL ? tg_no_memory("a path", strlen(run->name)) : TG_OK;
    if (status == TG_OK)
        status = tg_directory_make(directory);
    if (status == TG_OK)
        status = tg_race_settings(&settings, race->config, run);
    if (status == TG_OK)
        status = tg_metrics_create(metrics, path);
    if (status == TG_OK)
        status = tg_metrics_append(*metrics, 0, &(tg_metric){.name = "settings", .json = settings}, 1);
    tg_heap_free(settings);
    tg_heap_free(path);
    tg_heap_free(directory);
    return status;
}

tg_status tg_race_make(const tg_race *race, size_t index)
{
    tg_metrics *metrics = NULL;
    tg_status status = begin(&metrics, race, &race->run[index]);
    if (status == TG_OK)
        status = race->config->task->make(metrics, race->config, &race->run[index]);
    tg_metrics_destroy(metrics);
    return status;
}
