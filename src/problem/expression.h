/* problem/expression.h -- functions as text. */
#ifndef TG_PROBLEM_EXPRESSION_H
#define TG_PROBLEM_EXPRESSION_H

#include <stddef.h>

#include "tiger/status.h"

typedef struct expression expression;

/* TG_EINVAL with *column, from 1, when the text is wrong. */
tg_status tg_expression_parse(expression **out, const char *text, size_t *column);
void tg_expression_destroy(expression *e); /* NULL is fine */

const char *tg_expression_text(const expression *e);
size_t tg_expression_variables(const expression *e);
const char *tg_expression_variable(const expression *e, size_t index);

/* f(x), and its gradient unless g is NULL: a walk over the code for each variable. */
double tg_expression_evaluate(const expression *e, const double *x, double *g);

#endif
