/* train/descent_file.c -- paths of descents, in memory and as JSON Lines. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/text.h"
#include "tiger/engine/descent.h"

#define MOST_OPTIONS 16
#define MOST_TRACES 4096

/* ---- in memory --------------------------------------------------------------------------------------------------- */

void tg_trace_init(tg_trace *trace, const char *title, const tg_problem *problem)
{
    *trace = (tg_trace){.problem = problem, .n = tg_problem_variables(problem)};
    snprintf(trace->title, sizeof trace->title, "%s", title);
}

void tg_trace_fini(tg_trace *t)
{
    tg_heap_free(t->update);
    tg_heap_free(t->value);
    tg_heap_free(t->slope);
    tg_heap_free(t->x);
    tg_problem_destroy(t->owned);
    *t = (tg_trace){0};
}

static bool grow(double **values, size_t room, size_t wanted, size_t each)
{
    double *larger = tg_heap_resize(*values, room * each, wanted * each, sizeof *larger);
    if (larger != NULL)
        *values = larger;
    return larger != NULL;
}

tg_status tg_trace_append(tg_trace *t, const tg_descent_point *point)
{
    const bool points = t->n <= TG_TRACE_VARIABLES;
    if (t->count == t->room) {
        const size_t room = 2 * t->room + 64;
        if (!grow(&t->update, t->room, room, 1) || !grow(&t->value, t->room, room, 1) ||
            !grow(&t->slope, t->room, room, 1) || (points && !grow(&t->x, t->room, room, t->n)))
            return tg_no_memory("a path", room * sizeof *t->x);
        t->room = room;
    }
    t->update[t->count] = (double)point->update;
    t->value[t->count] = point->value;
    t->slope[t->count] = point->slope;
    if (points)
        memcpy(t->x + t->count * t->n, point->x, t->n * sizeof *t->x);
    t->count++;
    return TG_OK;
}

void tg_traces_fini(tg_traces *traces)
{
    for (size_t i = 0; i < traces->count; i++)
        tg_trace_fini(&traces->at[i]);
    tg_heap_free(traces->at);
    *traces = (tg_traces){0};
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void append(tg_text *text, const char *words) { tg_text_append(text, words, strlen(words)); }

static void append_number(tg_text *text, double value)
{
    char number[TG_NUMBER_BYTES] = "null";
    if (isfinite(value))
        tg_number_print(number, value);
    append(text, number);
}

/* What is not UTF-8 has no place in JSON. */
static bool append_head(tg_text *text, const tg_trace *trace)
{
    const tg_problem_info *info = tg_problem_get_info(trace->problem);
    append(text, "{\"run\": ");
    bool valid = tg_text_quoted(text, trace->title);
    append(text, info != NULL ? ", \"problem\": " : ", \"expression\": ");
    valid = tg_text_quoted(text, info != NULL ? info->name : tg_problem_text(trace->problem)) && valid;
    for (size_t i = 0; info != NULL && i < info->options.count; i++) {
        append(text, i == 0 ? ", \"options\": {\"" : ", \"");
        append(text, info->options.at[i].name);
        append(text, "\": ");
        append_number(text, tg_problem_option(trace->problem, i));
        append(text, i + 1 == info->options.count ? "}" : "");
    }
    append(text, "}\n");
    return valid;
}

static void append_point(tg_text *text, const tg_trace *trace, size_t i)
{
    append(text, "{\"update\": ");
    append_number(text, trace->update[i]);
    append(text, ", \"f\": ");
    append_number(text, trace->value[i]);
    append(text, ", \"gradient\": ");
    append_number(text, trace->slope[i]);
    for (size_t v = 0; trace->x != NULL && v < trace->n; v++) {
        append(text, v == 0 ? ", \"x\": [" : ", ");
        append_number(text, trace->x[i * trace->n + v]);
        append(text, v + 1 == trace->n ? "]" : "");
    }
    append(text, "}\n");
}

tg_status tg_traces_write(const tg_trace *trace, size_t count, const char *path)
{
    tg_text text = {0};
    bool valid = true;
    for (size_t t = 0; t < count; t++)
        if (tg_problem_data_name(trace[t].problem) != NULL)
            return tg_fail(TG_EUNSUPPORTED, "'%s': paths on a table are not written, as nothing could draw them without it",
                           path);
    for (size_t t = 0; t < count; t++) {
        valid = append_head(&text, &trace[t]) && valid;
        for (size_t i = 0; i < trace[t].count; i++)
            append_point(&text, &trace[t], i);
    }
    tg_status status = TG_OK;
    if (text.failed)
        status = tg_no_memory("a file of paths", text.room);
    else if (!valid)
        status = tg_fail(TG_EINVAL, "'%s': a title or an expression is not UTF-8", path);
    else
        status = tg_file_write_whole(path, text.at, text.used);
    tg_text_free(&text);
    return status;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

typedef struct place {
    const char *file;
    size_t line;
} place;

static tg_status make_named(tg_problem **out, const json_t *head, const char *name, const place *at)
{
    const tg_problem_info *info = tg_problem_find(name);
    double option[MOST_OPTIONS];
    if (info == NULL)
        return tg_fail(TG_EFORMAT, "%s: line %zu: there is no problem of that name", at->file, at->line);
    for (size_t i = 0; i < info->options.count && i < MOST_OPTIONS; i++) {
        const json_t *value = json_object_get(json_object_get(head, "options"), info->options.at[i].name);
        option[i] = json_is_number(value) ? json_number_value(value) : info->options.at[i].value;
    }
    return tg_problem_create(out, name, option);
}

static tg_status read_head(tg_traces *traces, const json_t *head, const place *at)
{
    const char *title = json_string_value(json_object_get(head, "run"));
    const char *name = json_string_value(json_object_get(head, "problem"));
    const char *text = json_string_value(json_object_get(head, "expression"));
    tg_problem *problem = NULL;
    if (title == NULL || (name == NULL) == (text == NULL))
        return tg_fail(TG_EFORMAT, "%s: line %zu: a run has a text \"run\", and one of \"problem\" and \"expression\"",
                       at->file, at->line);
    if (traces->count == MOST_TRACES)
        return tg_fail(TG_EFORMAT, "%s: more than %d runs", at->file, MOST_TRACES);
    tg_trace *larger = tg_heap_resize(traces->at, traces->count, traces->count + 1, sizeof *larger);
    if (larger == NULL)
        return tg_no_memory("a file of paths", (traces->count + 1) * sizeof *larger);
    traces->at = larger;
    tg_status status = name != NULL ? make_named(&problem, head, name, at) : tg_problem_parse(&problem, text, NULL);
    if (status == TG_EINVAL)
        status = tg_fail(TG_EFORMAT, "%s: line %zu: %s", at->file, at->line, tg_message());
    if (status != TG_OK)
        return status;
    tg_trace_init(&traces->at[traces->count], title, problem);
    traces->at[traces->count++].owned = problem;
    return TG_OK;
}

/* NaN for null, which stands for what was not finite. */
static double number_of(const json_t *value) { return json_is_number(value) ? json_number_value(value) : (double)NAN; }

static tg_status read_point(tg_trace *trace, const json_t *line, const place *at)
{
    double x[TG_TRACE_VARIABLES];
    const json_t *values = json_object_get(line, "x"), *update = json_object_get(line, "update");
    const bool points = trace->n <= TG_TRACE_VARIABLES;
    if (!json_is_number(update) || !(json_number_value(update) >= 0 && json_number_value(update) <= 0x1p53) ||
        (points && json_array_size(values) != trace->n))
        return tg_fail(TG_EFORMAT, "%s: line %zu: a point has an \"update\" and an \"x\" of %zu numbers", at->file,
                       at->line, trace->n);
    for (size_t i = 0; points && i < trace->n; i++)
        x[i] = number_of(json_array_get(values, i));
    return tg_trace_append(trace, &(tg_descent_point){.update = (uint64_t)json_number_value(update),
                                                      .value = number_of(json_object_get(line, "f")),
                                                      .slope = number_of(json_object_get(line, "gradient")),
                                                      .x = x});
}

static tg_status read_line(tg_traces *traces, const char *line, size_t bytes, const place *at)
{
    json_error_t error;
    json_t *object = json_loadb(line, bytes, 0, &error);
    tg_status status = TG_OK;
    if (object == NULL)
        status = tg_fail(TG_EFORMAT, "%s: line %zu: %s", at->file, at->line, error.text);
    else if (!json_is_object(object))
        status = tg_fail(TG_EFORMAT, "%s: line %zu is no JSON object", at->file, at->line);
    else if (json_object_get(object, "run") != NULL)
        status = read_head(traces, object, at);
    else if (traces->count == 0)
        status = tg_fail(TG_EFORMAT, "%s: line %zu: no run has begun; is this a file of tiger minimize --out?",
                         at->file, at->line);
    else
        status = read_point(&traces->at[traces->count - 1], object, at);
    json_decref(object);
    return status;
}

tg_status tg_traces_parse(tg_traces *traces, const char *text, size_t bytes, const char *file)
{
    tg_traces read = {0};
    place at = {.file = file, .line = 1};
    tg_status status = TG_OK;
    for (size_t used = 0; status == TG_OK && used < bytes; at.line++) {
        const char *line = text + used, *end = memchr(line, '\n', bytes - used);
        const size_t length = end != NULL ? (size_t)(end - line) : bytes - used;
        status = read_line(&read, line, length, &at);
        used += length + 1;
    }
    if (status == TG_OK && read.count == 0)
        status = tg_fail(TG_EFORMAT, "%s: there is no run in it", file);
    if (status == TG_OK)
        *traces = read;
    else
        tg_traces_fini(&read);
    return status;
}

tg_status tg_traces_read(tg_traces *traces, const char *path)
{
    tg_map map = {0};
    tg_status status = tg_map_open(&map, path);
    if (status == TG_OK)
        status = tg_traces_parse(traces, map.at != NULL ? map.at : "", map.bytes, path);
    tg_map_close(&map);
    return status;
}
