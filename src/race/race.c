/* race/race.c -- the list of runs, and making one of them.
 *
 * A run is a training that keeps no checkpoint. It writes what it was made with, then its evaluations, then how it
 * ended: a directory without the last line is that of a run that was cut short, and it is made again from its
 * beginning. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "race/race.h"
#include "store/directory.h"
#include "store/metrics.h"
#include "train/process.h"

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
    if (config->train->data == NULL)
        return tg_fail(TG_EINVAL, "a race needs data to train on");
    for (size_t a = 0; a < config->contenders; a++)
        for (size_t b = 0; b < a; b++)
            if (strcmp(config->contender[a].title, config->contender[b].title) == 0)
                return tg_fail(TG_EINVAL,
                               "two contenders are '%s': put their values into one, lr=1e-3/3e-3, or tell them apart",
                               config->contender[a].title);
    return TG_OK;
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
                *run = (tg_race_run){
                    .contender = c, .point = p, .seed = (uint64_t)config->train->option[TG_TRAIN_SEED] + s};
                status = open_run(run, config);
            }
    if (status == TG_OK)
        *race = r;
    else
        tg_race_close(&r);
    return status;
}

tg_status tg_race_read(tg_race *race, size_t index) { return tg_race_read_run(&race->run[index], race->config, NULL); }

/* ---- one run ---- */

typedef struct making {
    tg_metrics *metrics;
    double mark, busy; /* when the updates were last seen to go on; seconds they have taken */
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
    m->updates = progress->update;
    m->last_loss = progress->loss;
}

static void on_evaluated(void *ctx, const tg_evaluated *evaluated)
{
    making *m = ctx;
    const double loss = evaluated->of.loss;
    const tg_metric fields[] = {{.name = "validation_loss", .value = loss},
                                {.name = "loss", .value = m->last_loss},
                                {.name = "seconds", .value = m->busy}};
    const tg_status status = tg_metrics_append(m->metrics, evaluated->update, fields, sizeof fields / sizeof *fields);
    if (m->status == TG_OK)
        m->status = status;
    m->last_loss = loss;
    m->mark = tg_process_seconds(); /* what the evaluation took is not the updates' */
}

static tg_status write_end(making *m, bool finished)
{
    const tg_metric fields[] = {
        {.name = "outcome", .text = finished ? "finished" : "diverged"},
        {.name = "update_seconds", .value = m->busy / (double)m->updates},
        {.name = "state_bytes", .value = (double)(m->plan.states_bytes + m->plan.gradients_bytes)},
        {.name = "bytes_per_parameter", .value = m->plan.bytes_per_parameter},
        {.name = "parameters", .value = (double)m->plan.parameters}};
    const tg_status status = tg_metrics_append(m->metrics, m->updates, fields, sizeof fields / sizeof *fields);
    return status == TG_OK ? tg_metrics_sync(m->metrics) : status;
}

static tg_status begin(making *m, const tg_race *race, const tg_race_run *run)
{
    char *directory = tg_race_path(race->config, run, NULL), *path = tg_race_path(race->config, run, "metrics.jsonl");
    char *settings = NULL;
    tg_status status = directory == NULL || path == NULL ? tg_no_memory("a path", strlen(run->name)) : TG_OK;
    if (status == TG_OK)
        status = tg_directory_make(directory);
    if (status == TG_OK)
        status = tg_race_settings(&settings, race->config, run);
    if (status == TG_OK)
        status = tg_metrics_create(&m->metrics, path);
    if (status == TG_OK)
        status = tg_metrics_append(m->metrics, 0, &(tg_metric){.name = "settings", .json = settings}, 1);
    tg_heap_free(settings);
    tg_heap_free(path);
    tg_heap_free(directory);
    return status;
}

tg_status tg_race_make(const tg_race *race, size_t index)
{
    const tg_race_run *run = &race->run[index];
    making m = {.status = TG_OK};
    tg_train_result result = {0};
    tg_race_setup setup = {0};
    tg_status status = tg_race_setup_init(&setup, race->config, run);
    if (status == TG_OK)
        status = begin(&m, race, run);
    if (status == TG_OK) {
        const tg_train_listener listener = {
            .plan = on_plan, .progress = on_progress, .evaluated = on_evaluated, .ctx = &m};
        status = tg_train_run(&result, &setup.config, &listener);
        const bool diverged =
            status == TG_EDIVERGED || (status == TG_OK && !result.interrupted && !isfinite(m.last_loss));
        if (m.status != TG_OK)
            status = m.status;
        else if (diverged || (status == TG_OK && !result.interrupted))
            status = write_end(&m, !diverged);
    }
    tg_metrics_destroy(m.metrics);
    tg_race_setup_fini(&setup);
    return status;
}
