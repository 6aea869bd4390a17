/* minimize_report.c -- the path of one run, and the table of several. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "human.h"
#include "minimize.h"

#define SHOWN 4  /* so many variables stand in the rows of a path, */
#define LISTED 8 /* and so many in lists */
#define NEAR 0.01

static void print_values(const double *x, size_t n)
{
    for (size_t i = 0; i < n && i < LISTED; i++)
        printf("%s%.6g", i == 0 ? "" : " ", x[i]);
    if (n > LISTED)
        printf(" ... (%zu)", n);
    putchar('\n');
}

void cli_minimize_print_head(const cli_minimization *m)
{
    const char *text = tg_problem_text(m->problem);
    printf("%s, %zu variable%s; %s in %s\n", text != NULL ? text : tg_problem_get_info(m->problem)->name, m->n,
           CLI_PLURAL(m->n), m->method[0].title,
           m->method[0].in_double ? "double"
                                  : (const char *[]){"fp32", "bf16", "fp16"}[(int)cli_number_of(m->args, "weights")]);
    printf("%10s %14s %14s", "update", "f", "|gradient|");
    for (size_t i = 0; i < m->n && m->n <= SHOWN; i++) {
        char name[64];
        tg_problem_variable_name(name, sizeof name, m->problem, i);
        printf(" %14s", name);
    }
    putchar('\n');
}

void cli_minimize_print_point(const cli_minimization *m, const tg_descent_point *point)
{
    printf("%10llu %14.6e %14.6e", (unsigned long long)point->update, point->value, point->slope);
    for (size_t i = 0; i < m->n && m->n <= SHOWN; i++)
        printf(" %14.6g", point->x[i]);
    putchar('\n');
}

void cli_minimize_print_end(const cli_minimization *m, const cli_outcome *outcome)
{
    const tg_descent_result *r = &outcome->result;
    printf("ended at update %llu: %s\n", (unsigned long long)r->updates, r->reason);
    printf("f            %.6e\n|gradient|   %.6e\nx            ", r->value, r->slope);
    print_values(m->end, m->n);
    if (tg_problem_minima(m->problem) > 0) {
        printf("distance     %.3e to the nearest known minimum, ", r->distance);
        tg_problem_minimum(m->problem, r->nearest, m->end);
        print_values(m->end, m->n);
        printf("above it     %.3e\n", r->value - tg_problem_least(m->problem));
    }
    printf("evaluations  %llu of f%s\n", (unsigned long long)r->evaluations,
           m->method[0].in_double ? ", with or without its gradient" : " and its gradient");
}

/* ---- several runs ------------------------------------------------------------------------------------------------ */

static int title_width(const cli_minimization *m)
{
    size_t width = strlen("optimizer");
    for (size_t i = 0; i < m->methods; i++)
        width = strlen(m->method[i].title) > width ? strlen(m->method[i].title) : width;
    return width > 48 ? 48 : (int)width;
}

static void print_runs(const cli_minimization *m)
{
    const int width = title_width(m);
    const bool known = tg_problem_minima(m->problem) > 0;
    printf("%-*s %14s %14s", width, "optimizer", "f", "|gradient|");
    if (known)
        printf(" %12s %12s", "above least", "distance");
    printf(" %9s %12s  %s\n", "updates", "evaluations", "ended by");
    for (size_t i = 0; i < m->methods; i++) {
        const tg_descent_result *r = &m->outcome[i].result;
        printf("%-*.*s %14.6e %14.6e", width, width, m->method[i].title, r->value, r->slope);
        if (known)
            printf(" %12.3e %12.3e", r->value - tg_problem_least(m->problem), r->distance);
        printf(" %9llu %12llu  %s\n", (unsigned long long)r->updates, (unsigned long long)r->evaluations, r->word);
    }
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y)) /* behind all numbers */
        return isnan(x) - isnan(y);
    return (x > y) - (x < y);
}

typedef struct spread {
    double least, median, most;
} spread;

/* Of a number of every run of a method; `scratch` has room for all. */
static spread spread_of(const cli_minimization *m, size_t method, double (*number)(const tg_descent_result *r),
                        double *scratch)
{
    for (size_t s = 0; s < m->starts; s++)
        scratch[s] = number(&m->outcome[method * m->starts + s].result);
    qsort(scratch, m->starts, sizeof *scratch, compare);
    const size_t half = m->starts / 2;
    const double median = m->starts % 2 == 1 ? scratch[half] : 0.5 * (scratch[half - 1] + scratch[half]);
    return (spread){scratch[0], median, scratch[m->starts - 1]};
}

static double value_of(const tg_descent_result *r) { return r->value; }
static double updates_of(const tg_descent_result *r) { return (double)r->updates; }

static void print_starts(const cli_minimization *m, double *scratch)
{
    const int width = title_width(m);
    const bool known = tg_problem_minima(m->problem) > 0;
    printf("%-*s %14s %14s %14s %9s", width, "optimizer", "least f", "median f", "largest f", "updates");
    printf(" %9s %9s%s\n", "converged", "diverged", known ? "     found" : "");
    for (size_t i = 0; i < m->methods; i++) {
        size_t converged = 0, diverged = 0, found = 0;
        for (size_t s = 0; s < m->starts; s++) {
            const tg_descent_result *r = &m->outcome[i * m->starts + s].result;
            converged += r->end == TG_DESCENT_TOLERANCE || r->end == TG_DESCENT_CONVERGED;
            diverged += r->end == TG_DESCENT_DIVERGED;
            found += r->distance <= NEAR;
        }
        const spread f = spread_of(m, i, value_of, scratch), updates = spread_of(m, i, updates_of, scratch);
        printf("%-*.*s %14.6e %14.6e %14.6e %9.0f", width, width, m->method[i].title, f.least, f.median, f.most,
               updates.median);
        printf(" %9zu %9zu", converged, diverged);
        printf(known ? " %9zu\n" : "\n", found);
    }
    printf("%zu starts each, uniform in the problem's box; converged, diverged%s: so many runs%s\n", m->starts,
           known ? ", found" : "", known ? " (found: ended within 0.01 of a known minimum)" : "");
}

void cli_minimize_print_table(const cli_minimization *m)
{
    const char *text = tg_problem_text(m->problem);
    double *scratch = m->starts > 1 ? calloc(m->starts, sizeof *scratch) : NULL;
    printf("%s, %zu variable%s\n", text != NULL ? text : tg_problem_get_info(m->problem)->name, m->n, CLI_PLURAL(m->n));
    if (m->starts == 1)
        print_runs(m);
    else if (scratch != NULL)
        print_starts(m, scratch);
    free(scratch);
}
