/* search/replay.c -- the records of Optuna's journal, one function an operation. What Optuna refuses (a second study of
 * one name, a change of a trial that has ended) it writes all the same, and every reader passes it over: so does this
 * one. */
#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "search/space.h"
#include "search/study.h"

#define MINIMISE 1

void tg_trial_fini(tg_trial *t)
{
    tg_heap_free(t->param);
    tg_heap_free(t->step);
    tg_heap_free(t->worker);
    *t = (tg_trial){0};
}

/* False when the record has no whole number of that name from 0 on. */
static bool number_of(size_t *number, const json_t *record, const char *name)
{
    const json_t *value = json_object_get(record, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *number = (size_t)json_integer_value(value);
    return true;
}

static const char *text_of(const json_t *record, const char *name)
{
    const char *text = json_string_value(json_object_get(record, name));
    return text != NULL ? text : "";
}

/* ---- studies ---- */

static bool is_there(const tg_study *s, size_t study) { return study < s->studies && s->known[study] != NULL; }

static tg_status create_study(tg_study *s, const json_t *record)
{
    const char *name = text_of(record, "study_name");
    const json_t *directions = json_object_get(record, "directions");
    for (size_t i = 0; i < s->studies; i++)
        if (s->known[i] != NULL && strcmp(s->known[i], name) == 0)
            return TG_OK;
    char **grown = tg_heap_resize(s->known, s->studies, s->studies + 1, sizeof *grown);
    if (grown == NULL)
        return tg_no_memory("a journal's studies", sizeof *grown);
    s->known = grown;
    grown[s->studies] = tg_heap_text(name);
    if (grown[s->studies] == NULL)
        return tg_no_memory("a journal's studies", strlen(name));
    if (strcmp(name, s->name) == 0) {
        s->mine = s->studies;
        s->minimises =
            json_array_size(directions) == 1 && json_integer_value(json_array_get(directions, 0)) == MINIMISE;
    }
    s->studies++;
    return TG_OK;
}

static tg_status delete_study(tg_study *s, const json_t *record)
{
    size_t study;
    if (!number_of(&study, record, "study_id") || !is_there(s, study))
        return TG_OK;
    tg_heap_free(s->known[study]);
    s->known[study] = NULL;
    if (study != s->mine)
        return TG_OK;
    for (size_t i = 0; i < s->owners; i++)
        s->owner[i] = SIZE_MAX;
    for (size_t i = 0; i < s->trials; i++)
        tg_trial_fini(&s->trial[i]);
    tg_heap_free(s->settings);
    s->settings = NULL;
    s->trials = 0;
    s->mine = TG_NO_STUDY;
    return TG_OK;
}

static tg_status study_attribute(tg_study *s, const json_t *record)
{
    size_t study;
    const char *settings = json_string_value(json_object_get(json_object_get(record, "user_attr"), "settings"));
    if (settings == NULL || !number_of(&study, record, "study_id") || study != s->mine || s->mine == TG_NO_STUDY)
        return TG_OK;
    char *copy = tg_heap_text(settings);
    if (copy == NULL)
        return tg_no_memory("a study", strlen(settings));
    tg_heap_free(s->settings);
    s->settings = copy;
    return TG_OK;
}

/* ---- trials ---- */

static void set_param(const tg_study *s, tg_trial *t, const char *name, double value, const char *distribution)
{
    for (size_t d = 0; d < s->space->count; d++)
        if (strcmp(s->space->at[d].name, name) == 0 && tg_dimension_holds(&s->space->at[d], value) &&
            tg_dimension_agrees(&s->space->at[d], distribution))
            t->param[d] = value;
}

static tg_status set_step(tg_trial *t, uint64_t step, double value)
{
    size_t at = t->steps;
    while (at > 0 && t->step[at - 1].step >= step)
        at--;
    if (at < t->steps && t->step[at].step == step) { /* the last word counts */
        t->step[at].value = value;
        return TG_OK;
    }
    if (t->steps == t->room) {
        tg_trial_step *grown = tg_heap_resize(t->step, t->room, 2 * t->room + 8, sizeof *grown);
        if (grown == NULL)
            return tg_no_memory("a trial's steps", sizeof *grown);
        t->step = grown;
        t->room = 2 * t->room + 8;
    }
    memmove(t->step + at + 1, t->step + at, (t->steps - at) * sizeof *t->step);
    t->step[at] = (tg_trial_step){step, value};
    t->steps++;
    return TG_OK;
}

static double value_of(const json_t *record)
{
    const json_t *values = json_object_get(record, "values");
    const json_t *value = json_is_array(values) ? json_array_get(values, 0) : json_object_get(record, "value");
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static bool set_state(tg_trial *t, const json_t *record)
{
    size_t state;
    if (!number_of(&state, record, "state"))
        return true;
    if (state > TG_TRIAL_WAITING)
        return false;
    t->state = (tg_trial_state)state;
    return true;
}

/* What a trial that comes with more than its beginning has: enqueued ones, and whole ones of elsewhere. */
static tg_status fill(const tg_study *s, tg_trial *t, const json_t *record)
{
    const json_t *fixed = json_object_get(json_object_get(record, "system_attrs"), "fixed_params");
    const json_t *distributions = json_object_get(record, "distributions");
    tg_status status = TG_OK;
    const char *name;
    json_t *value;
    for (size_t d = 0; d < s->space->count; d++)
        t->wanted[d] = tg_dimension_meant(&s->space->at[d], json_object_get(fixed, s->space->at[d].name));
    json_object_foreach(json_object_get(record, "params"), name, value)
        set_param(s, t, name, json_is_number(value) ? json_number_value(value) : NAN, text_of(distributions, name));
    json_object_foreach(json_object_get(record, "intermediate_values"), name, value)
    {
        double step;
        const tg_option number = {.name = "step", .kind = TG_INTEGER, .least = 0, .most = TG_WHOLE_MOST};
        if (status == TG_OK && tg_option_parse(&step, &number, name) == TG_OK)
            status = set_step(t, (uint64_t)step, json_is_number(value) ? json_number_value(value) : NAN);
    }
    t->value = value_of(record);
    return status;
}

static tg_status begin_trial(tg_trial *t, const tg_study *s, const json_t *record)
{
    *t = (tg_trial){.id = s->owners, .state = TG_TRIAL_RUNNING, .value = NAN};
    t->param = tg_heap_alloc(2 * s->space->count, sizeof *t->param);
    t->worker = tg_heap_text(text_of(record, "worker_id"));
    if (t->param == NULL || t->worker == NULL)
        return tg_no_memory("a trial", 2 * s->space->count * sizeof *t->param);
    t->wanted = t->param + s->space->count;
    for (size_t d = 0; d < 2 * s->space->count; d++)
        t->param[d] = NAN;
    if (!set_state(t, record))
        return tg_fail(TG_EFORMAT, "a trial in a state that there is not");
    return fill(s, t, record);
}

static tg_status make_room(void **at, size_t *room, size_t used, size_t size)
{
    if (used < *room)
        return TG_OK;
    void *grown = tg_heap_resize(*at, *room, 2 * *room + 16, size);
    if (grown == NULL)
        return tg_no_memory("a journal's trials", size);
    *at = grown;
    *room = 2 * *room + 16;
    return TG_OK;
}

static tg_status create_trial(tg_study *s, const json_t *record)
{
    size_t study;
    if (!number_of(&study, record, "study_id") || !is_there(s, study))
        return TG_OK;
    tg_status status = make_room((void **)&s->owner, &s->owner_room, s->owners, sizeof *s->owner);
    if (status == TG_OK && study == s->mine)
        status = make_room((void **)&s->trial, &s->trial_room, s->trials, sizeof *s->trial);
    if (status == TG_OK && study == s->mine) {
        status = begin_trial(&s->trial[s->trials], s, record);
        if (status != TG_OK)
            tg_trial_fini(&s->trial[s->trials]);
    }
    if (status != TG_OK)
        return status;
    s->owner[s->owners++] = study == s->mine ? s->trials++ : SIZE_MAX;
    return TG_OK;
}

/* The trial that a record changes; NULL: another study's, none, or one that has ended. */
static tg_trial *open_trial(const tg_study *s, const json_t *record)
{
    size_t id;
    if (!number_of(&id, record, "trial_id") || id >= s->owners || s->owner[id] == SIZE_MAX)
        return NULL;
    tg_trial *t = &s->trial[s->owner[id]];
    return tg_trial_ended(t) ? NULL : t;
}

static tg_status trial_param(tg_study *s, const json_t *record)
{
    tg_trial *t = open_trial(s, record);
    const json_t *value = json_object_get(record, "param_value_internal");
    if (t != NULL && json_is_number(value))
        set_param(s, t, text_of(record, "param_name"), json_number_value(value), text_of(record, "distribution"));
    return TG_OK;
}

static tg_status trial_state(tg_study *s, const json_t *record)
{
    tg_trial *t = open_trial(s, record);
    size_t state;
    if (t == NULL)
        return TG_OK;
    if (!number_of(&state, record, "state") || state > TG_TRIAL_WAITING)
        return tg_fail(TG_EFORMAT, "a trial in a state that there is not");
    if (state == TG_TRIAL_RUNNING && t->state != TG_TRIAL_WAITING)
        return TG_OK; /* another worker was first */
    if (state == TG_TRIAL_RUNNING) {
        char *worker = tg_heap_text(text_of(record, "worker_id"));
        if (worker == NULL)
            return tg_no_memory("a trial", 1);
        tg_heap_free(t->worker);
        t->worker = worker;
    }
    t->state = (tg_trial_state)state;
    const double value = value_of(record);
    if (!isnan(value))
        t->value = value;
    return TG_OK;
}

static tg_status trial_step(tg_study *s, const json_t *record)
{
    tg_trial *t = open_trial(s, record);
    const json_t *value = json_object_get(record, "intermediate_value");
    size_t step;
    if (t == NULL || !number_of(&step, record, "step"))
        return TG_OK;
    return set_step(t, step, json_is_number(value) ? json_number_value(value) : NAN);
}

tg_status tg_study_replay(void *study, const json_t *record)
{
    static tg_status (*const operations[])(tg_study *, const json_t *) = {
        create_study, delete_study, study_attribute, NULL, create_trial,
        trial_param,  trial_state,  trial_step,      NULL, NULL};
    size_t operation;
    if (!number_of(&operation, record, "op_code") || operation >= sizeof operations / sizeof *operations)
        return tg_fail(TG_EFORMAT, "an op_code that there is not");
    return operations[operation] != NULL ? operations[operation](study, record) : TG_OK;
}
