/* problem/table.c -- the problems' list, and what all of them have in common. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/random.h"
#include "problem/expression.h"
#include "problem/problem.h"

#define STARTS 0x73746172u /* streams of random starts */

static const tg_problem_kind *const kinds[] = {
#define TG_PROBLEM(name) &tg_problem_kind_##name,
#include "problem/problems.inc"
#undef TG_PROBLEM
};

size_t tg_problem_count(void) { return sizeof kinds / sizeof *kinds; }

const tg_problem_info *tg_problem_at(size_t index) { return index < tg_problem_count() ? &kinds[index]->info : NULL; }

static const tg_problem_kind *find_kind(const char *name)
{
    for (size_t i = 0; i < tg_problem_count(); i++)
        if (strcmp(kinds[i]->info.name, name) == 0)
            return kinds[i];
    return NULL;
}

const tg_problem_info *tg_problem_find(const char *name)
{
    const tg_problem_kind *kind = find_kind(name);
    return kind != NULL ? &kind->info : NULL;
}

static tg_status fill(tg_problem *p, const double *option)
{
    const tg_option_table *table = &p->kind->info.options;
    for (size_t i = 0; i < table->count; i++) {
        p->option[i] = option != NULL ? option[i] : table->at[i].value;
        const tg_status status = tg_option_check(&table->at[i], p->option[i]);
        if (status != TG_OK)
            return status;
    }
    p->n = p->kind->n != 0 ? p->kind->n : (size_t)p->option[0];
    p->least = p->kind->least;
    return TG_OK;
}

static tg_status take(tg_problem *p, const tg_problem_data *data)
{
    p->n = data->features + 1;
    p->name = tg_heap_text(data->name);
    p->variable = tg_heap_alloc(p->n, sizeof *p->variable);
    if (p->name == NULL || p->variable == NULL)
        return tg_no_memory("the names of a table", p->n * sizeof *p->variable);
    for (size_t i = 0; i < p->n; i++) {
        p->variable[i] = tg_heap_text(i < data->features ? data->column[i] : "constant");
        if (p->variable[i] == NULL)
            return tg_no_memory("the names of a table", p->n * sizeof *p->variable);
    }
    return p->kind->take(p, data);
}

static tg_status check_data(const tg_problem_kind *kind, const tg_problem_data *data)
{
    size_t second = 0;
    if (kind->take == NULL)
        return tg_fail(TG_EINVAL, "%s is not made from a table", kind->info.name);
    for (size_t i = 0; i < data->samples; i++)
        second += data->second[i];
    if (second == 0 || second == data->samples)
        return tg_fail(TG_EINVAL, "%s: all samples are of one class", data->name);
    for (size_t i = 0; i < data->samples * data->features; i++)
        if (!isfinite(data->feature[i]))
            return tg_fail(TG_EINVAL, "%s: sample %zu has a number that is not finite", data->name,
                           i / data->features + 1);
    return TG_OK;
}

tg_status tg_problem_create(tg_problem **out, const char *name, const double *option)
{
    return tg_problem_create_on(out, name, option, NULL);
}

tg_status tg_problem_create_on(tg_problem **out, const char *name, const double *option, const tg_problem_data *data)
{
    const tg_problem_kind *kind = find_kind(name);
    if (kind == NULL)
        return tg_fail(TG_EINVAL, "there is no problem '%s'", name);
    if (data != NULL) {
        const tg_status status = check_data(kind, data);
        if (status != TG_OK)
            return status;
    }
    tg_problem *p = tg_heap_alloc(1, sizeof *p);
    if (p == NULL)
        return tg_no_memory("a problem", sizeof *p);
    p->kind = kind;
    tg_status status = fill(p, option);
    if (status == TG_OK && data != NULL)
        status = take(p, data);
    else if (status == TG_OK && kind->prepare != NULL)
        status = kind->prepare(p);
    if (status == TG_OK)
        *out = p;
    else
        tg_problem_destroy(p);
    return status;
}

void tg_problem_destroy(tg_problem *p)
{
    if (p == NULL)
        return;
    tg_heap_free(p->data);
    tg_heap_free(p->minimum);
    for (size_t i = 0; p->variable != NULL && i < p->n; i++)
        tg_heap_free(p->variable[i]);
    tg_heap_free(p->variable);
    tg_heap_free(p->name);
    expression_destroy(p->expression);
    tg_heap_free(p);
}

const char *tg_problem_text(const tg_problem *p)
{
    return p->expression != NULL ? expression_text(p->expression) : NULL;
}

const char *tg_problem_data_name(const tg_problem *p) { return p->name; }

const tg_problem_info *tg_problem_get_info(const tg_problem *p)
{
    return p->expression != NULL ? NULL : &p->kind->info;
}

size_t tg_problem_variables(const tg_problem *p) { return p->n; }

double tg_problem_option(const tg_problem *p, size_t index)
{
    return index < p->kind->info.options.count ? p->option[index] : NAN;
}

void tg_problem_variable_name(char *name, size_t bytes, const tg_problem *p, size_t index)
{
    if (p->expression != NULL)
        snprintf(name, bytes, "%s", expression_variable(p->expression, index));
    else if (p->variable != NULL)
        snprintf(name, bytes, "%s", p->variable[index]);
    else if (p->n <= 2)
        snprintf(name, bytes, "%s", index == 0 ? "x" : "y");
    else
        snprintf(name, bytes, "x%zu", index + 1);
}

double tg_problem_evaluate(const tg_problem *p, const double *x, double *gradient)
{
    return p->kind->evaluate(p, x, gradient);
}

bool tg_problem_has_fisher(const tg_problem *p) { return p->kind->fisher != NULL; }

void tg_problem_fisher(const tg_problem *p, double *product, const double *x, const double *v)
{
    p->kind->fisher(p, product, x, v);
}

void tg_problem_start(const tg_problem *p, double *x)
{
    for (size_t i = 0; i < p->n; i++)
        x[i] = p->kind->start[i % p->kind->period];
}

void tg_problem_box(const tg_problem *p, double *low, double *high)
{
    for (size_t i = 0; i < p->n; i++) {
        low[i] = p->kind->low[i % p->kind->period];
        high[i] = p->kind->high[i % p->kind->period];
    }
}

void tg_problem_random_start(const tg_problem *p, double *x, unsigned long long seed, unsigned long long number)
{
    const tg_key key = tg_key_make(seed, STARTS, number, 0);
    for (size_t i = 0; i < p->n; i++) {
        const double low = p->kind->low[i % p->kind->period], high = p->kind->high[i % p->kind->period];
        x[i] = low + (high - low) * (double)tg_random_uniform(key, (uint32_t)i);
    }
}

size_t tg_problem_minima(const tg_problem *p) { return p->minimum != NULL ? 1 : p->kind->minima; }

void tg_problem_minimum(const tg_problem *p, size_t index, double *x)
{
    for (size_t i = 0; i < p->n; i++)
        x[i] = p->minimum != NULL ? p->minimum[i] : p->kind->minimum[index][i % p->kind->period];
}

double tg_problem_least(const tg_problem *p) { return tg_problem_minima(p) > 0 ? p->least : NAN; }

double tg_problem_distance(const tg_problem *p, const double *x, size_t *index)
{
    double least = NAN;
    for (size_t m = 0; m < tg_problem_minima(p); m++) {
        double squares = 0;
        for (size_t i = 0; i < p->n; i++) {
            const double at = p->minimum != NULL ? p->minimum[i] : p->kind->minimum[m][i % p->kind->period];
            squares += tg_square(x[i] - at);
        }
        if (m > 0 && !(sqrt(squares) < least))
            continue;
        least = sqrt(squares);
        if (index != NULL)
            *index = m;
    }
    return least;
}
