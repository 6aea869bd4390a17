/* search/study.c -- studies: opened, asked for trials, told what came of them. */
#define _XOPEN_SOURCE 700 /* gethostname */
#include "search/study.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/number.h"
#include "search/space.h"

enum { CREATE_STUDY, DELETE_STUDY, STUDY_USER, STUDY_SYSTEM, CREATE_TRIAL, TRIAL_PARAM, TRIAL_STATE, TRIAL_STEP };

void tg_study_close(tg_study *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->trials; i++)
        tg_trial_fini(&s->trial[i]);
    for (size_t i = 0; i < s->studies; i++)
        tg_heap_free(s->known[i]);
    tg_journal_fini(&s->journal);
    tg_heap_free(s->known);
    tg_heap_free(s->owner);
    tg_heap_free(s->trial);
    tg_heap_free(s->name);
    tg_heap_free(s->worker);
    tg_heap_free(s->settings);
    tg_heap_free(s);
}

size_t tg_study_trials(const tg_study *s) { return s->trials; }

const tg_trial *tg_study_trial(const tg_study *s, size_t index) { return index < s->trials ? &s->trial[index] : NULL; }

size_t tg_study_best(const tg_study *s)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < s->trials; i++)
        if (s->trial[i].state == TG_TRIAL_COMPLETE && !isnan(s->trial[i].value) &&
            (best == SIZE_MAX || s->trial[i].value < s->trial[best].value))
            best = i;
    return best;
}

tg_status tg_study_refresh(tg_study *s) { return tg_journal_read(&s->journal, tg_study_replay, s); }

/* ---- records ----------------------------------------------------------------------------------------------------- */

static void begin_record(tg_text *lines, const tg_study *s, int operation)
{
    tg_text_format(lines, "{\"op_code\":%d,\"worker_id\":", operation);
    tg_text_quoted(lines, s->worker);
}

static void end_record(tg_text *lines) { tg_text_append(lines, "}\n", 2); }

static void put_text(tg_text *lines, const char *name, const char *text)
{
    tg_text_format(lines, ",\"%s\":", name);
    tg_text_quoted(lines, text);
}

static void put_count(tg_text *lines, const char *name, uint64_t count)
{
    tg_text_format(lines, ",\"%s\":%" PRIu64, name, count);
}

/* A number as Python reads it; NaN as it writes it. */
static void put_value(tg_text *lines, const char *before, double value, const char *after)
{
    char number[TG_NUMBER_BYTES] = "NaN";
    if (!isnan(value))
        tg_number_print(number, value);
    tg_text_append(lines, before, strlen(before));
    tg_text_append(lines, number, strlen(number));
    tg_text_append(lines, after, strlen(after));
}

/* The time, as "2026-01-01T00:00:00.000000+00:00". */
static void put_time(tg_text *lines, const char *name)
{
    struct timespec t;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &utc);
    tg_text_format(lines, ",\"%s\":\"%04d-%02d-%02dT%02d:%02d:%02d.%06ld+00:00\"", name, utc.tm_year + 1900,
                   utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, t.tv_nsec / 1000);
}

static void put_study(tg_text *lines, const tg_study *s)
{
    begin_record(lines, s, CREATE_STUDY);
    put_text(lines, "study_name", s->name);
    tg_text_append(lines, ",\"directions\":[1]", 17);
    end_record(lines);
}

static void put_settings(tg_text *lines, const tg_study *s, size_t study, const char *settings)
{
    begin_record(lines, s, STUDY_USER);
    put_count(lines, "study_id", study);
    tg_text_format(lines, ",\"user_attr\":{\"settings\":");
    tg_text_quoted(lines, settings);
    tg_text_append(lines, "}", 1);
    end_record(lines);
}

static tg_status put_params(tg_text *lines, const tg_study *s, size_t id, const double *value)
{
    for (size_t d = 0; d < s->space->count; d++) {
        char *distribution = tg_dimension_json(&s->space->at[d]);
        if (distribution == NULL)
            return tg_no_memory("a trial", 1);
        begin_record(lines, s, TRIAL_PARAM);
        put_count(lines, "trial_id", id);
        put_text(lines, "param_name", s->space->at[d].name);
        put_value(lines, ",\"param_value_internal\":", value[d], "");
        put_text(lines, "distribution", distribution);
        end_record(lines);
        free(distribution);
    }
    return TG_OK;
}

static void put_state(tg_text *lines, const tg_study *s, size_t id, tg_trial_state state, double value)
{
    begin_record(lines, s, TRIAL_STATE);
    put_count(lines, "trial_id", id);
    put_count(lines, "state", (uint64_t)state);
    if (isnan(value))
        tg_text_append(lines, ",\"values\":null", 14);
    else
        put_value(lines, ",\"values\":[", value, "]");
    put_time(lines, state == TG_TRIAL_RUNNING ? "datetime_start" : "datetime_complete");
    end_record(lines);
}

/* Under the lock: writes the lines, and takes them in as all other readers do. */
static tg_status write_lines(tg_study *s, tg_text *lines)
{
    const tg_status status = tg_journal_append(&s->journal, lines);
    lines->used = 0;
    return status == TG_OK ? tg_study_refresh(s) : status;
}

/* Locks, and reads what was written before. */
static tg_status enter(tg_study *s)
{
    tg_status status = tg_journal_lock(&s->journal);
    if (status == TG_OK)
        status = tg_study_refresh(s);
    if (status == TG_OK && s->mine == TG_NO_STUDY)
        status = tg_fail(TG_ENOTFOUND, "'%s': somebody has deleted the study '%s'", s->journal.path, s->name);
    if (status != TG_OK)
        tg_journal_unlock(&s->journal);
    return status;
}

static tg_status leave(tg_study *s, tg_text *lines, tg_status status)
{
    if (status == TG_OK && (lines->used > 0 || lines->failed))
        status = write_lines(s, lines);
    tg_journal_unlock(&s->journal);
    tg_text_free(lines);
    return status;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static tg_status name_worker(tg_study *s, const char *worker)
{
    char host[128] = "host", text[192];
    if (gethostname(host, sizeof host) != 0)
        host[0] = '\0';
    host[sizeof host - 1] = '\0';
    snprintf(text, sizeof text, "%s-%ld", host, (long)getpid());
    s->worker = tg_heap_text(worker != NULL ? worker : text);
    return s->worker != NULL ? TG_OK : tg_no_memory("a study", sizeof text);
}

static tg_status init(tg_study *s, const tg_study_config *config)
{
    s->journal.descriptor = -1;
    s->mine = TG_NO_STUDY;
    s->space = config->space;
    s->seed = config->seed;
    s->sampler = tg_sampler_find(config->sampler);
    s->pruner = tg_pruner_find(config->pruner);
    if (s->sampler == NULL || s->pruner == NULL)
        return tg_fail(TG_EINVAL, "there is no %s '%s'", s->sampler == NULL ? "sampler" : "pruner",
                       s->sampler == NULL ? config->sampler : config->pruner);
    s->name = tg_heap_text(config->name);
    if (s->name == NULL)
        return tg_no_memory("a study", strlen(config->name));
    const tg_status status = name_worker(s, config->worker);
    return status == TG_OK ? tg_journal_open(&s->journal, config->path) : status;
}

/* Makes the study where there is none; its settings are those that this process was told. */
static tg_status found(tg_study *s, const char *settings)
{
    tg_text lines = {0};
    tg_status status = tg_journal_lock(&s->journal);
    if (status != TG_OK)
        return status;
    status = tg_study_refresh(s);
    if (status == TG_OK && s->mine == TG_NO_STUDY) {
        put_study(&lines, s);
        if (settings != NULL)
            put_settings(&lines, s, s->studies, settings);
    }
    return leave(s, &lines, status);
}

static tg_status check(const tg_study *s, const char *settings)
{
    if (!s->minimises)
        return tg_fail(TG_EINVAL, "'%s': the study '%s' does not minimise one value", s->journal.path, s->name);
    if (settings != NULL && s->settings != NULL && strcmp(settings, s->settings) != 0)
        return tg_fail(TG_EINVAL, "'%s': the study '%s' was made with other settings: %s", s->journal.path, s->name,
                       s->settings);
    return TG_OK;
}

tg_status tg_study_open(tg_study **out, const tg_study_config *config)
{
    tg_study *s = tg_heap_alloc(1, sizeof *s);
    if (s == NULL)
        return tg_no_memory("a study", sizeof *s);
    tg_status status = init(s, config);
    if (status == TG_OK)
        status = found(s, config->settings);
    if (status == TG_OK)
        status = check(s, config->settings);
    if (status != TG_OK)
        tg_study_close(s);
    else
        *out = s;
    return status;
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

/* A trial in the order of samplers. */
typedef struct rank {
    const tg_trial *trial;
    double value;
    uint64_t step;
} rank;

static double last_of(const tg_trial *t) { return t->steps > 0 ? t->step[t->steps - 1].value : NAN; }

static int class_of(const rank *r) { return isnan(r->value) ? 2 : r->trial->state == TG_TRIAL_COMPLETE ? 0 : 1; }

static int compare(const void *a, const void *b)
{
    const rank *x = a, *y = b;
    if (class_of(x) != class_of(y))
        return class_of(x) - class_of(y);
    if (class_of(x) == 1 && x->step != y->step)
        return x->step < y->step ? 1 : -1;
    if (x->value != y->value && class_of(x) != 2)
        return x->value < y->value ? -1 : 1;
    return (x->trial > y->trial) - (x->trial < y->trial);
}

static bool is_whole(const tg_study *s, const tg_trial *t)
{
    for (size_t d = 0; d < s->space->count; d++)
        if (isnan(t->param[d]))
            return false;
    return true;
}

static void to_point(double *point, const tg_study *s, const tg_trial *t)
{
    for (size_t d = 0; d < s->space->count; d++)
        point[d] = tg_dimension_to_unit(&s->space->at[d], t->param[d]);
}

/* Trials that ended without a number, as by divergence, count as the worst; failed ones do not count. */
static void recall(tg_past *past, const tg_study *s, rank *order, double *point, double *value, double *under_way)
{
    const size_t m = s->space->count;
    for (size_t i = 0; i < s->trials; i++) {
        const tg_trial *t = &s->trial[i];
        if (!is_whole(s, t))
            continue;
        if (t->state == TG_TRIAL_RUNNING)
            to_point(under_way + past->running++ * m, s, t);
        if (t->state != TG_TRIAL_COMPLETE && t->state != TG_TRIAL_PRUNED)
            continue;
        const double v = t->state == TG_TRIAL_COMPLETE ? t->value : last_of(t);
        order[past->count++] =
            (rank){.trial = t, .value = isfinite(v) ? v : NAN, .step = t->steps > 0 ? t->step[t->steps - 1].step : 0};
    }
    qsort(order, past->count, sizeof *order, compare);
    for (size_t i = 0; i < past->count; i++) {
        const double before = i > 0 ? value[i - 1] : isnan(order[0].value) ? 0 : order[0].value;
        to_point(point + i * m, s, order[i].trial);
        value[i] = order[i].value > before ? order[i].value : before;
    }
}

static tg_status propose(double *param, const tg_study *s)
{
    const size_t m = s->space->count, n = s->trials + 1;
    tg_past past = {.space = s->space, .number = s->trials, .seed = s->seed};
    double *memory = tg_heap_alloc(n * (2 * m + 1) + m, sizeof *memory);
    rank *order = tg_heap_alloc(n, sizeof *order);
    tg_status status = memory == NULL || order == NULL ? tg_no_memory("a sampler", n * m * sizeof *memory) : TG_OK;
    if (status == TG_OK) {
        double *point = memory, *under_way = point + n * m, *value = under_way + n * m, *unit = value + n;
        recall(&past, s, order, point, value, under_way);
        past.point = point;
        past.value = value;
        past.under_way = under_way;
        status = past.count < s->sampler->startup ? tg_sampler_draw(unit, &past) : s->sampler->suggest(unit, &past);
        for (size_t d = 0; d < m && status == TG_OK; d++)
            param[d] = tg_dimension_from_unit(&s->space->at[d], unit[d]);
    }
    tg_heap_free(order);
    tg_heap_free(memory);
    return status;
}

/* The first trial that waits; SIZE_MAX: none does. */
static size_t waiting(const tg_study *s)
{
    for (size_t i = 0; i < s->trials; i++)
        if (s->trial[i].state == TG_TRIAL_WAITING)
            return i;
    return SIZE_MAX;
}

static void put_trial(tg_text *lines, const tg_study *s)
{
    begin_record(lines, s, CREATE_TRIAL);
    put_count(lines, "study_id", s->mine);
    put_time(lines, "datetime_start");
    end_record(lines);
}

tg_status tg_study_ask(tg_study *s, size_t *trial)
{
    tg_text lines = {0};
    double *param = tg_heap_alloc(s->space->count, sizeof *param);
    tg_status status = param == NULL ? tg_no_memory("a trial", s->space->count * sizeof *param) : enter(s);
    if (status != TG_OK) {
        tg_heap_free(param);
        return status;
    }
    const size_t waits = waiting(s), index = waits != SIZE_MAX ? waits : s->trials;
    status = propose(param, s);
    if (status == TG_OK && waits != SIZE_MAX) {
        put_state(&lines, s, s->trial[waits].id, TG_TRIAL_RUNNING, NAN);
        for (size_t d = 0; d < s->space->count; d++)
            if (!isnan(s->trial[waits].wanted[d]))
                param[d] = s->trial[waits].wanted[d];
    } else if (status == TG_OK) {
        put_trial(&lines, s);
    }
    if (status == TG_OK)
        status = put_params(&lines, s, waits != SIZE_MAX ? s->trial[waits].id : s->owners, param);
    status = leave(s, &lines, status);
    tg_heap_free(param);
    if (status == TG_OK)
        *trial = index;
    return status;
}

/* ---- telling
 * --------------------------------------------------------------------------------------------------------- */

/* Enters, and sees that the trial is this process's to tell of. */
static tg_status enter_trial(tg_study *s, size_t trial)
{
    tg_status status = enter(s);
    if (status == TG_OK && trial >= s->trials)
        status = tg_fail(TG_EINVAL, "the study '%s' has no trial %zu", s->name, trial);
    else if (status == TG_OK && s->trial[trial].state != TG_TRIAL_RUNNING)
        status = tg_fail(TG_ESTATE, "trial %zu of the study '%s' has ended, told by somebody else", trial, s->name);
    if (status != TG_OK)
        tg_journal_unlock(&s->journal);
    return status;
}

tg_status tg_study_report(tg_study *s, size_t trial, uint64_t step, double value, bool *prune)
{
    tg_text lines = {0};
    tg_status status = enter_trial(s, trial);
    if (status != TG_OK)
        return status;
    begin_record(&lines, s, TRIAL_STEP);
    put_count(&lines, "trial_id", s->trial[trial].id);
    put_count(&lines, "step", step);
    put_value(&lines, ",\"intermediate_value\":", isfinite(value) ? value : NAN, "");
    end_record(&lines);
    status = leave(s, &lines, status);
    if (status == TG_OK)
        *prune = !isfinite(value) || s->pruner->prunes(s, &s->trial[trial]);
    return status;
}

tg_status tg_study_tell(tg_study *s, size_t trial, tg_trial_state state, double value)
{
    tg_text lines = {0};
    if ((state == TG_TRIAL_COMPLETE && !isfinite(value)) || state == TG_TRIAL_RUNNING || state == TG_TRIAL_WAITING)
        return tg_fail(TG_EINVAL, "a trial ends complete with a finite value, pruned, or failed");
    const tg_status status = enter_trial(s, trial);
    if (status != TG_OK)
        return status;
    if (state == TG_TRIAL_PRUNED && !isfinite(value)) {
        const double last = last_of(&s->trial[trial]);
        value = isfinite(last) ? last : NAN;
    }
    put_state(&lines, s, s->trial[trial].id, state, value);
    return leave(s, &lines, status);
}

tg_status tg_study_forget(tg_study *s, const char *worker)
{
    tg_text lines = {0};
    const tg_status status = enter(s);
    if (status != TG_OK)
        return status;
    for (size_t i = 0; i < s->trials; i++)
        if (s->trial[i].state == TG_TRIAL_RUNNING && strcmp(s->trial[i].worker, worker) == 0)
            put_state(&lines, s, s->trial[i].id, TG_TRIAL_FAILED, NAN);
    return leave(s, &lines, status);
}

tg_status tg_study_hold(tg_study *s) { return tg_journal_lock(&s->journal); }

void tg_study_let_go(tg_study *s) { tg_journal_unlock(&s->journal); }
