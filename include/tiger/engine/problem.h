/* tiger/engine/problem.h -- textbook problems: functions of a few variables with exact gradients, known minima, a
 * standard start and a box, and functions that a user writes down. Everything is in double.
 *
 *     tg_problem *p;
 *     tg_problem_create(&p, "rosenbrock", NULL);     or     tg_problem_parse(&p, "100*(y-x^2)^2 + (1-x)^2", NULL);
 *     tg_problem_start(p, x);
 *     f = tg_problem_evaluate(p, x, gradient);
 *
 * A problem never changes once it is made, so any number of threads may evaluate it. */
#ifndef TIGER_ENGINE_PROBLEM_H
#define TIGER_ENGINE_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>

#include "tiger/option.h"
#include "tiger/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the family ------------------------------------------------------------------------------------------------ */

typedef struct tg_problem_info {
    const char *name, *title, *source;
    const char *equations; /* plain text, a line each */
    tg_option_table options;
    bool on_table; /* tg_problem_create_on takes it */
} tg_problem_info;

size_t tg_problem_count(void);
const tg_problem_info *tg_problem_at(size_t index);       /* NULL past the end */
const tg_problem_info *tg_problem_find(const char *name); /* NULL when there is none */

/* ---- one problem ----------------------------------------------------------------------------------------------- */

typedef struct tg_problem tg_problem;

/* Options in the order of the problem's table; NULL: the defaults. */
tg_status tg_problem_create(tg_problem **out, const char *name, const double *option);

/* A table of samples, for problems that are made from one: numbers, and which of two classes each is of. */
typedef struct tg_problem_data {
    const char *name; /* of the table, to be told apart by: its file and size */
    size_t samples, features;
    const char *const *column; /* (features): their names */
    const double *feature;     /* (samples, features) */
    const bool *second;        /* (samples): of the second class */
} tg_problem_data;

/* The same on the caller's samples, which are copied, in place of drawn ones: options that say what is drawn are passed
 * over. TG_EINVAL for problems that take none, and for tables without samples or with one class alone. */
tg_status tg_problem_create_on(tg_problem **out, const char *name, const double *option, const tg_problem_data *data);

/* A function as text: numbers, variables, which are sorted by name (x2 before x10), + - * / ^ (or **), parentheses, the
 * constants pi and e, and functions: tg_expression_functions has them. At most 4096 signs, 512 variables, 64 levels of
 * nesting. TG_EINVAL when it is wrong, with *column (unless NULL) the sign it is about, from 1; 0 when it is about
 * none. */
tg_status tg_problem_parse(tg_problem **out, const char *text, size_t *column);
const char *tg_expression_functions(void); /* "sin cos ..." */

void tg_problem_destroy(tg_problem *problem); /* NULL is fine */

/* The text of a function that was parsed, or NULL. */
const char *tg_problem_text(const tg_problem *problem);
/* The name of the table that the problem was made on, or NULL. */
const char *tg_problem_data_name(const tg_problem *problem);
const tg_problem_info *tg_problem_get_info(const tg_problem *problem); /* NULL for a parsed one */
size_t tg_problem_variables(const tg_problem *problem);
double tg_problem_option(const tg_problem *problem, size_t index);
/* "x", "y", "x7", or on a table a column's name: at most `bytes` with the 0. */
void tg_problem_variable_name(char *name, size_t bytes, const tg_problem *problem, size_t index);

/* f(x); and its gradient, unless `gradient` is NULL. Where f has a kink, one of the one-sided derivatives or 0; outside
 * of its domain NaN. */
double tg_problem_evaluate(const tg_problem *problem, const double *x, double *gradient);

/* Likelihoods have a Fisher matrix: product (n) <- that at x times v. A penalty's own second derivatives belong to it.
 */
bool tg_problem_has_fisher(const tg_problem *problem);
void tg_problem_fisher(const tg_problem *problem, double *product, const double *x, const double *v);

void tg_problem_start(const tg_problem *problem, double *x);
/* Where pictures look and random starts lie: low[i] <= x[i] <= high[i]. */
void tg_problem_box(const tg_problem *problem, double *low, double *high);
/* A point of the box, uniform, a function of (seed, number). */
void tg_problem_random_start(const tg_problem *problem, double *x, unsigned long long seed, unsigned long long number);

/* The known global minima: how many (0: none is known), where, and f there (NaN: not known). */
size_t tg_problem_minima(const tg_problem *problem);
void tg_problem_minimum(const tg_problem *problem, size_t index, double *x);
double tg_problem_least(const tg_problem *problem);
/* The Euclidean distance from x to the nearest of them, through *index (unless NULL) which; NaN when none is known. */
double tg_problem_distance(const tg_problem *problem, const double *x, size_t *index);

#ifdef __cplusplus
}
#endif
#endif
