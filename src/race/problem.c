/* race/problem.c -- the task of minimizing a textbook problem, or a function as text: judged by how far f is above its
 * least value, or by f where that is not known.
 *
 * A seed is a random start in the problem's box, and the seed of methods that draw: run S starts where
 * `tiger minimize --random-starts 1 --seed S` does. All runs are looked at after the same updates; one that has ended
 * stays where it is. Differences from the least value span orders of magnitude, so their logarithms are compared, and
 * what double cannot tell from the least value counts as 2^-52 of it, or of 1. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "race/race.h"
#include "tiger/engine/descent.h"

enum { WEIGHTS, TOLERANCE };

static const tg_option options[] = {
    [WEIGHTS] = {.name = "weights",
                 .kind = TG_CHOICE,
                 .choices = "fp32|bf16|fp16",
                 .help = "number format of an optimizer's variables; minimizers work in double"},
    [TOLERANCE] = {.name = "tolerance",
                   .kind = TG_REAL,
                   .least = 0,
                   .most = INFINITY,
                   .help = "end a run where the gradient's norm is not above it"},
};
static const tg_option_table table = {options, sizeof options / sizeof *options};
static const tg_format formats[] = {TG_F32, TG_BF16, TG_F16};

static const tg_option_table *task_options(void) { return &table; }

/* ---- what a run is made with ---- */

typedef struct setup {
    tg_descent_config config;
    tg_setting *setting; /* config.setting; the texts belong to the contender, but for that of the seed */
    char seed[32];
    double *start, *end; /* (n) */
} setup;

static bool has(const setup *made, const char *name)
{
    for (size_t i = 0; i < made->config.settings; i++)
        if (strcmp(made->setting[i].name, name) == 0)
            return true;
    return false;
}

/* A setting of the task itself; false when it is none. */
static bool set_own(tg_descent_config *config, const tg_setting *setting, tg_status *status)
{
    const size_t index = tg_option_find(&table, setting->name);
    double value = 0;
    if (strcmp(setting->name, "schedule") == 0)
        return config->schedule = setting->value, true;
    if (index == table.count)
        return false;
    *status = tg_option_parse(&value, &options[index], setting->value);
    if (index == WEIGHTS)
        config->weights = formats[(size_t)value];
    else
        config->tolerance = value;
    return true;
}

static void setup_fini(setup *made)
{
    tg_heap_free(made->setting);
    tg_heap_free(made->start);
    tg_heap_free(made->end);
}

static tg_status setup_init(setup *made, const tg_race_config *race, const tg_race_run *run)
{
    const tg_contender *contender = &race->contender[run->contender];
    const tg_race_point *point = &contender->point[run->point];
    const size_t n = tg_problem_variables(race->descent->problem);
    tg_status status = TG_OK;
    *made = (setup){.config = *race->descent,
                    .setting = tg_heap_alloc(point->settings + 2, sizeof(tg_setting)),
                    .start = tg_heap_alloc(n, sizeof(double)),
                    .end = tg_heap_alloc(n, sizeof(double))};
    if (made->setting == NULL || made->start == NULL || made->end == NULL)
        return tg_no_memory("a run's settings", point->settings * sizeof(tg_setting) + 2 * n * sizeof(double));
    tg_descent_config *c = &made->config;
    c->optimizer = contender->name;
    c->setting = made->setting;
    c->start = made->start;
    if (contender->minimizer != NULL)
        c->weights = TG_F32; /* what is said for all is for optimizers */
    c->settings = 0;
    for (size_t i = 0; i < point->settings && status == TG_OK; i++) {
        const tg_option_table *own = tg_contender_options(contender);
        const bool is_own = tg_option_find(own, point->setting[i].name) < own->count;
        if (is_own || !set_own(c, &point->setting[i], &status))
            made->setting[c->settings++] = point->setting[i];
    }
    snprintf(made->seed, sizeof made->seed, "%llu", (unsigned long long)run->seed);
    made->setting[c->settings++] = (tg_setting){"seed", made->seed};
    if (!has(made, "threads")) /* runs go on side by side */
        made->setting[c->settings++] = (tg_setting){"threads", "1"};
    tg_problem_random_start(c->problem, made->start, run->seed, 0);
    return status;
}

static json_t *problem_object(const tg_problem *problem)
{
    const tg_problem_info *info = tg_problem_get_info(problem);
    json_t *object = json_object();
    if (info == NULL)
        json_object_set_new(object, "expression", json_string(tg_problem_text(problem)));
    else
        json_object_set_new(object, "problem", json_string(info->name));
    if (tg_problem_data_name(problem) != NULL)
        json_object_set_new(object, "data", json_string(tg_problem_data_name(problem)));
    for (size_t i = 0; info != NULL && i < info->options.count; i++)
        json_object_set_new(object, info->options.at[i].name,
                            tg_race_option_value(&info->options.at[i], tg_problem_option(problem, i)));
    return object;
}

static uint64_t interval(const tg_race_config *race)
{
    return race->every > 0 ? race->every : (race->descent->updates + 499) / 500;
}

static json_t *descent_object(const tg_race_config *race, const tg_descent_config *c, uint64_t seed)
{
    json_t *object = json_object();
    json_object_set_new(object, "updates", json_integer((json_int_t)c->updates));
    json_object_set_new(object, "every", json_integer((json_int_t)interval(race)));
    json_object_set_new(object, "tolerance", json_real(c->tolerance));
    json_object_set_new(object, "weights", json_string(tg_format_name(c->weights)));
    json_object_set_new(object, "schedule", json_string(c->schedule));
    json_object_set_new(object, "seed", json_integer((json_int_t)seed));
    return object;
}

static tg_status shared(json_t **object, const tg_race_config *race)
{
    json_t *descent = descent_object(race, race->descent, 0);
    json_object_del(descent, "seed");
    *object = json_pack("{s:o*, s:o*}", "problem", problem_object(race->descent->problem), "descent", descent);
    return TG_OK;
}

static tg_status settings(json_t **object, const tg_race_config *race, const tg_race_run *run)
{
    if (run == NULL)
        return shared(object, race);
    setup made;
    const tg_status status = setup_init(&made, race, run);
    const tg_descent_config *c = &made.config;
    if (status == TG_OK)
        *object = json_pack("{s:o*, s:o*, s:o*}", "problem", problem_object(c->problem), "optimizer",
                            tg_race_method_object(c->optimizer, c->setting, c->settings), "descent",
                            descent_object(race, c, run->seed));
    setup_fini(&made);
    return status;
}

/* ---- one run ---- */

typedef struct making {
    tg_metrics *metrics;
    const tg_problem *problem;
    uint64_t every, updates;
    uint64_t next;          /* the update whose line is next; beyond `updates`: there is none */
    tg_descent_point point; /* where the run was seen last; but for x */
    double distance;
    tg_status status;
} making;

static tg_status write_line(making *m)
{
    const double least = tg_problem_least(m->problem);
    const double above = fmax(m->point.value - least, DBL_EPSILON * fmax(1, fabs(least)));
    const bool known = !isnan(least);
    const tg_metric fields[] = {{.name = "f", .value = m->point.value},
                                {.name = "evaluations", .value = (double)m->point.evaluations},
                                {.name = "seconds", .value = m->point.seconds},
                                {.name = "above_least", .value = above},
                                {.name = "distance", .value = m->distance}};
    const tg_status status = tg_metrics_append(m->metrics, m->next, fields, known ? 5 : 3);
    const bool last = m->next == m->updates, whole = m->updates - m->next >= m->every;
    m->next = last ? m->updates + 1 : whole ? m->next + m->every : m->updates;
    return status;
}

/* The lines before `update`, from the point where the run then was. */
static void write_lines_before(making *m, uint64_t update)
{
    while (m->next < update && m->next <= m->updates && m->status == TG_OK)
        m->status = write_line(m);
}

static bool see(void *ctx, const tg_descent_point *point)
{
    making *m = ctx;
    write_lines_before(m, point->update);
    m->point = *point;
    m->distance = tg_problem_distance(m->problem, point->x, NULL);
    if (m->status == TG_OK && m->next == point->update && isfinite(point->value))
        m->status = write_line(m);
    return m->status == TG_OK;
}

static tg_status make(tg_metrics *metrics, const tg_race_config *race, const tg_race_run *run)
{
    setup made;
    tg_descent_result result = {0};
    tg_status status = setup_init(&made, race, run);
    making m = {
        .metrics = metrics, .problem = race->descent->problem, .every = interval(race), .updates = made.config.updates};
    if (status == TG_OK)
        status = tg_descend(&result, made.end, &made.config, see, &m);
    if (status == TG_OK)
        status = m.status;
    const bool finished = result.end != TG_DESCENT_DIVERGED;
    if (status == TG_OK && finished)
        write_lines_before(&m, m.updates + 1);
    if (status == TG_OK)
        status = m.status;
    if (status == TG_OK)
        status = tg_race_write_end(metrics, &(tg_race_end){.updates = result.updates > 0 ? result.updates : 1,
                                                           .finished = finished,
                                                           .busy = m.point.seconds,
                                                           .optimizer = NAN,
                                                           .state_bytes = NAN,
                                                           .bytes_per_parameter = NAN,
                                                           .parameters = (double)tg_problem_variables(m.problem)});
    setup_fini(&made);
    return status;
}

/* ---- the task ---- */

static tg_race_measure measure(const tg_race_config *race)
{
    const bool known = !isnan(tg_problem_least(race->descent->problem));
    return (tg_race_measure){.key = known ? "above_least" : "f", .words = known ? "f - f*" : "f", .logarithmic = known};
}

static tg_status check(const tg_race_config *race)
{
    return race->descent->updates > 0 ? TG_OK : tg_fail(TG_EINVAL, "a race needs updates");
}

const tg_race_task tg_race_task_problem = {
    .name = "problem", .options = task_options, .measure = measure, .check = check, .settings = settings, .make = make};
