/* problem/parsed.c -- a problem that a user wrote down: start 1 in every variable, box from -5 to 5, no known minimum.
 */
#include "base/memory.h"
#include "problem/dual.h"
#include "problem/expression.h"
#include "problem/problem.h"

static double evaluate(const tg_problem *p, const double *x, double *g)
{
    return tg_expression_evaluate(p->expression, x, g);
}

static const tg_problem_kind parsed = {
    .info = {.name = "expression"},
    .period = 1,
    .start = {1},
    .low = {-5},
    .high = {5},
    .least = NAN,
    .evaluate = evaluate,
};

tg_status tg_problem_parse(tg_problem **out, const char *text, size_t *column)
{
    size_t ignored;
    tg_problem *p = tg_heap_alloc(1, sizeof *p);
    if (column == NULL)
        column = &ignored;
    *column = 0;
    if (p == NULL)
        return tg_no_memory("a problem", sizeof *p);
    const tg_status status = tg_expression_parse(&p->expression, text, column);
    if (status != TG_OK) {
        tg_problem_destroy(p);
        return status;
    }
    p->kind = &parsed;
    p->n = tg_expression_variables(p->expression);
    *out = p;
    return TG_OK;
}

const char *tg_expression_functions(void) { return tg_dual_function_names; }
