/* problem/expression.c -- functions as text: read once into code for a stack, evaluated in dual numbers.
 *
 *     SUM     = PRODUCT { ("+" | "-") PRODUCT }
 *     PRODUCT = SIGNED { ("*" | "/") SIGNED }
 *     SIGNED  = ("+" | "-") SIGNED | POWER
 *     POWER   = PRIMARY [ ("^" | "**") SIGNED ]                 so -x^2 = -(x^2), 2^-x and x^y^z = x^(y^z) are read
 *     PRIMARY = NUMBER | NAME | NAME "(" SUM { "," SUM } ")" | "(" SUM ")" */
#include "problem/expression.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/sort.h"
#include "problem/dual.h"
#include "problem/problem.h"
#include "tiger/option.h"

#define MOST_TEXT 4096 /* and no text has more code than signs */
#define MOST_VARIABLES 512
#define MOST_DEPTH 64  /* of parentheses, signs and powers */
#define MOST_STACK 256 /* each level of depth leaves a sum and a product waiting, and a function's first argument */
#define NAME_BYTES 32

typedef enum code_kind { CODE_NUMBER, CODE_VARIABLE, CODE_UNARY, CODE_BINARY } code_kind;

typedef struct code {
    code_kind kind;
    double number;
    size_t variable;
    dual (*apply)(dual a, dual b);
} code;

struct expression {
    char text[MOST_TEXT + 1];
    char variable[MOST_VARIABLES][NAME_BYTES];
    size_t variables;
    size_t codes, room;
    code *code; /* heap */
};

typedef struct reader {
    expression *e;
    const char *at;
    size_t depth;
    size_t *column;
} reader;

/* ---- words ------------------------------------------------------------------------------------------------------- */

/* Of ASCII: ctype.h follows the program's locale. */
static bool digit(char c) { return c >= '0' && c <= '9'; }
static bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

static tg_status fail_at(const reader *r, const char *place, const char *format, ...) TG_PRINTF(3, 4);

static tg_status fail_at(const reader *r, const char *place, const char *format, ...)
{
    char what[256];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    *r->column = (size_t)(place - r->e->text) + 1;
    return tg_fail(TG_EINVAL, "expression, column %zu: %s", *r->column, what);
}

static void skip_blanks(reader *r) { r->at += strspn(r->at, " \t\n\r"); }

/* Whether `sign` stands here; moves over it. */
static bool take(reader *r, const char *sign)
{
    skip_blanks(r);
    const size_t bytes = strlen(sign);
    if (strncmp(r->at, sign, bytes) != 0)
        return false;
    r->at += bytes;
    return true;
}

static bool take_product_sign(reader *r)
{
    skip_blanks(r);
    return strncmp(r->at, "**", 2) != 0 && take(r, "*");
}

static tg_status append(const reader *r, code c)
{
    expression *e = r->e;
    if (e->codes == e->room) {
        const size_t room = 2 * e->room + 16;
        code *larger = tg_heap_resize(e->code, e->room, room, sizeof *larger);
        if (larger == NULL)
            return tg_no_memory("an expression", room * sizeof *larger);
        e->code = larger;
        e->room = room;
    }
    e->code[e->codes++] = c;
    return TG_OK;
}

static tg_status append_apply(const reader *r, code_kind kind, dual (*apply)(dual, dual))
{
    return append(r, (code){.kind = kind, .apply = apply});
}

/* ---- the grammar ------------------------------------------------------------------------------------------------- */

static tg_status read_sum(reader *r);

static tg_status read_number(reader *r)
{
    const char *begin = r->at;
    double value = 0;
    while (digit(*r->at) || *r->at == '.')
        r->at++;
    const size_t exponent = r->at[0] == 'e' || r->at[0] == 'E' ? 1 + (r->at[1] == '-' || r->at[1] == '+') : 0;
    if (exponent > 0 && digit(r->at[exponent])) {
        r->at += exponent;
        while (digit(*r->at))
            r->at++;
    }
    if (!tg_number_read(&value, begin, (size_t)(r->at - begin)))
        return fail_at(r, begin, "'%.*s' is no number", (int)(r->at - begin < 32 ? r->at - begin : 32), begin);
    if (letter(*r->at))
        return fail_at(r, r->at, "an operator is missing after the number %.*s",
                       (int)(r->at - begin < 32 ? r->at - begin : 32), begin);
    return append(r, (code){.kind = CODE_NUMBER, .number = value});
}

static const tg_dual_function *find_function(const char *name)
{
    const tg_dual_function *f = tg_dual_functions;
    while (f->name != NULL && strcmp(f->name, name) != 0)
        f++;
    return f->name != NULL ? f : NULL;
}

static tg_status unknown_function(const reader *r, const char *place, const char *name)
{
    const char *nearest = NULL;
    size_t least = NAME_BYTES;
    for (const tg_dual_function *f = tg_dual_functions; f->name != NULL; f++) {
        const size_t distance = tg_name_distance(f->name, name);
        if (distance < least) {
            least = distance;
            nearest = f->name;
        }
    }
    if (nearest != NULL && tg_name_near(name, least))
        return fail_at(r, place, "there is no function '%s' (did you mean %s?)", name, nearest);
    return fail_at(r, place, "there is no function '%s' (there are: %s)", name, tg_dual_function_names);
}

/* Behind the name and its parenthesis. */
static tg_status read_call(reader *r, const char *place, const char *name)
{
    const tg_dual_function *f = find_function(name);
    size_t arguments = 0;
    if (f == NULL)
        return unknown_function(r, place, name);
    do {
        const tg_status status = read_sum(r);
        if (status != TG_OK)
            return status;
        arguments++;
    } while (take(r, ","));
    if (!take(r, ")"))
        return fail_at(r, r->at, "')' is missing after the arguments of %s", name);
    if (arguments != f->arguments)
        return fail_at(r, place, "%s takes %zu argument%s, not %zu", name, f->arguments, f->arguments == 1 ? "" : "s",
                       arguments);
    return append_apply(r, f->arguments == 1 ? CODE_UNARY : CODE_BINARY, f->apply);
}

static tg_status read_variable(reader *r, const char *place, const char *name)
{
    expression *e = r->e;
    size_t i = 0;
    if (find_function(name) != NULL)
        return fail_at(r, place, "'(' is missing after the function %s", name);
    while (i < e->variables && strcmp(e->variable[i], name) != 0)
        i++;
    if (i == MOST_VARIABLES)
        return fail_at(r, place, "more than %d variables", MOST_VARIABLES);
    if (i == e->variables)
        memcpy(e->variable[e->variables++], name, NAME_BYTES);
    return append(r, (code){.kind = CODE_VARIABLE, .variable = i});
}

static tg_status read_name(reader *r)
{
    const char *place = r->at;
    char name[NAME_BYTES] = "";
    while (letter(*r->at) || digit(*r->at))
        r->at++;
    const size_t bytes = (size_t)(r->at - place);
    if (bytes >= NAME_BYTES)
        return fail_at(r, place, "a name of more than %d letters", NAME_BYTES - 1);
    memcpy(name, place, bytes);
    if (strcmp(name, "pi") == 0)
        return append(r, (code){.kind = CODE_NUMBER, .number = TG_PI});
    if (strcmp(name, "e") == 0)
        return append(r, (code){.kind = CODE_NUMBER, .number = exp(1)});
    return take(r, "(") ? read_call(r, place, name) : read_variable(r, place, name);
}

static tg_status read_primary(reader *r)
{
    skip_blanks(r);
    const char *place = r->at;
    if (digit(*place) || *place == '.')
        return read_number(r);
    if (letter(*place))
        return read_name(r);
    if (*place == '\0')
        return fail_at(r, place, "it ends where a number, a variable or '(' should follow");
    if (!take(r, "("))
        return fail_at(r, place,
                       (unsigned char)*place > 0x20 && (unsigned char)*place < 0x7f
                           ? "a number, a variable or '(' should stand before '%c'"
                           : "a sign that means nothing (byte 0x%02x)",
                       (unsigned char)*place);
    const tg_status status = read_sum(r);
    if (status != TG_OK)
        return status;
    return take(r, ")") ? TG_OK : fail_at(r, place, "this '(' is never closed");
}

static tg_status read_signed(reader *r)
{
    skip_blanks(r);
    if (r->depth == MOST_DEPTH)
        return fail_at(r, r->at, "more than %d levels of parentheses, signs and powers", MOST_DEPTH);
    r->depth++;
    tg_status status = TG_OK;
    if (take(r, "-")) {
        status = read_signed(r);
        if (status == TG_OK)
            status = append_apply(r, CODE_UNARY, tg_dual_negative);
    } else if (take(r, "+")) {
        status = read_signed(r);
    } else {
        status = read_primary(r);
        if (status == TG_OK && (take(r, "^") || take(r, "**"))) {
            status = read_signed(r);
            if (status == TG_OK)
                status = append_apply(r, CODE_BINARY, tg_dual_power);
        }
    }
    r->depth--;
    return status;
}

typedef dual (*operation)(dual a, dual b);

/* NULL where none of this precedence stands. */
static operation take_product(reader *r)
{
    return take_product_sign(r) ? tg_dual_multiply : take(r, "/") ? tg_dual_divide : NULL;
}

static operation take_sum(reader *r) { return take(r, "+") ? tg_dual_add : take(r, "-") ? tg_dual_subtract : NULL; }

/* Operands with operators of one precedence between them, worked from the left. */
static tg_status read_chain(reader *r, tg_status (*operand)(reader *r), operation (*take_operator)(reader *r))
{
    operation apply = NULL;
    tg_status status = operand(r);
    while (status == TG_OK && (apply = take_operator(r)) != NULL) {
        status = operand(r);
        if (status == TG_OK)
            status = append_apply(r, CODE_BINARY, apply);
    }
    return status;
}

static tg_status read_product(reader *r) { return read_chain(r, read_signed, take_product); }
static tg_status read_sum(reader *r) { return read_chain(r, read_product, take_sum); }

static tg_status read_all(reader *r)
{
    const tg_status status = read_sum(r);
    if (status != TG_OK)
        return status;
    skip_blanks(r);
    if (*r->at == ')')
        return fail_at(r, r->at, "this ')' closes nothing");
    if (*r->at != '\0')
        return fail_at(r, r->at, "an operator is missing here");
    if (r->e->variables == 0)
        return fail_at(r, r->e->text, "there is no variable in it");
    return TG_OK;
}

/* ---- the order of variables -------------------------------------------------------------------------------------- */

/* As people sort: x before y, x2 before x10. */
static int compare_names(const char *a, const char *b)
{
    while (*a != '\0' && *b != '\0') {
        size_t i = 0, k = 0;
        while (digit(a[i]))
            i++;
        while (digit(b[k]))
            k++;
        if (i != k && i > 0 && k > 0)
            return i < k ? -1 : 1;
        if (*a != *b)
            return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
        a++;
        b++;
    }
    return (*a != '\0') - (*b != '\0');
}

static int compare_variables(const void *ctx, size_t a, size_t b)
{
    const expression *e = ctx;
    return compare_names(e->variable[a], e->variable[b]);
}

/* By name, wherever they stand in the text: a start is told, and a picture drawn, as (x, y) of "(y-x^2)^2", too. */
static tg_status sort_variables(expression *e)
{
    size_t order[MOST_VARIABLES], place[MOST_VARIABLES];
    char(*names)[NAME_BYTES] = tg_heap_alloc(e->variables, sizeof *names);
    if (names == NULL)
        return tg_no_memory("an expression", e->variables * sizeof *names);
    memcpy(names, e->variable, e->variables * sizeof *names);
    for (size_t i = 0; i < e->variables; i++)
        order[i] = i;
    tg_sort(order, e->variables, compare_variables, e);
    for (size_t i = 0; i < e->variables; i++) {
        place[order[i]] = i;
        memcpy(e->variable[i], names[order[i]], sizeof *names);
    }
    for (size_t i = 0; i < e->codes; i++)
        if (e->code[i].kind == CODE_VARIABLE)
            e->code[i].variable = place[e->code[i].variable];
    tg_heap_free(names);
    return TG_OK;
}

/* ---- an expression ----------------------------------------------------------------------------------------------- */

tg_status tg_expression_parse(expression **out, const char *text, size_t *column)
{
    *column = 0;
    const size_t bytes = strlen(text);
    if (bytes > MOST_TEXT)
        return tg_fail(TG_EINVAL, "an expression of more than %d signs", MOST_TEXT);
    expression *e = tg_heap_alloc(1, sizeof *e);
    if (e == NULL)
        return tg_no_memory("an expression", sizeof *e);
    memcpy(e->text, text, bytes);
    reader r = {.e = e, .at = e->text, .column = column};
    tg_status status = read_all(&r);
    if (status == TG_OK)
        status = sort_variables(e);
    if (status == TG_OK)
        *out = e;
    else
        tg_expression_destroy(e);
    return status;
}

void tg_expression_destroy(expression *e)
{
    if (e == NULL)
        return;
    tg_heap_free(e->code);
    tg_heap_free(e);
}

const char *tg_expression_text(const expression *e) { return e->text; }

size_t tg_expression_variables(const expression *e) { return e->variables; }

const char *tg_expression_variable(const expression *e, size_t index)
{
    return index < e->variables ? e->variable[index] : "";
}

/* Value, and derivative after variable `after`. */
static dual walk(const expression *e, const double *x, size_t after)
{
    dual stack[MOST_STACK];
    size_t top = 0;
    for (size_t i = 0; i < e->codes; i++) {
        const code *c = &e->code[i];
        if (c->kind == CODE_NUMBER) {
            stack[top++] = (dual){c->number, 0};
        } else if (c->kind == CODE_VARIABLE) {
            stack[top++] = (dual){x[c->variable], c->variable == after ? 1 : 0};
        } else if (c->kind == CODE_UNARY) {
            stack[top - 1] = c->apply(stack[top - 1], (dual){0, 0});
        } else {
            top--;
            stack[top - 1] = c->apply(stack[top - 1], stack[top]);
        }
    }
    return stack[0];
}

double tg_expression_evaluate(const expression *e, const double *x, double *g)
{
    dual f = walk(e, x, 0);
    const double value = f.v;
    for (size_t i = 0; i < e->variables && g != NULL; i++) {
        f = i == 0 ? f : walk(e, x, i);
        g[i] = f.d;
    }
    return value;
}
