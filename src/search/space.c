/* search/space.c -- what may vary: read from option tables and texts, points and values, Optuna's distributions. */
#include "search/space.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/number.h"

#define DIGITS 4
#define DECADE 10.0

void tg_space_fini(tg_space *space)
{
    for (size_t i = 0; i < space->count; i++) {
        for (size_t c = 0; c < space->at[i].choices; c++)
            tg_heap_free(space->at[i].choice[c]);
        tg_heap_free(space->at[i].choice);
        tg_heap_free(space->at[i].name);
    }
    tg_heap_free(space->at);
    *space = (tg_space){0};
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static char *piece(const char *text, size_t bytes)
{
    char *copy = tg_heap_alloc(bytes + 1, 1);
    if (copy != NULL)
        memcpy(copy, text, bytes);
    return copy;
}

/* A new last dimension, empty but for its name. */
static tg_status append(tg_dimension **out, tg_space *space, const char *name)
{
    tg_dimension *grown = tg_heap_resize(space->at, space->count, space->count + 1, sizeof *grown);
    if (grown == NULL)
        return tg_no_memory("a search space", sizeof *grown);
    space->at = grown;
    *out = &grown[space->count];
    (*out)->name = tg_heap_text(name);
    if ((*out)->name == NULL)
        return tg_no_memory("a search space", strlen(name));
    space->count++;
    return TG_OK;
}

static bool is_number(const tg_option *option)
{
    return option->kind == TG_REAL || option->kind == TG_INTEGER || option->kind == TG_BYTES;
}

static tg_status add_range(tg_space *space, const tg_option *option, double low, double high)
{
    tg_dimension *d = NULL;
    const bool searched = option->search_least < option->search_most;
    const tg_status status = append(&d, space, option->name);
    if (status != TG_OK)
        return status;
    d->kind = option->kind == TG_REAL ? TG_DIMENSION_REAL : TG_DIMENSION_WHOLE;
    d->low = low;
    d->high = high;
    d->log = low > 0 && (searched ? option->search_log != 0 : high >= DECADE * low);
    return TG_OK;
}

/* "a/b/c", `bytes` long, each a value of the option. */
static tg_status add_choices(tg_space *space, const tg_option *option, const char *text, size_t bytes)
{
    tg_dimension *d = NULL;
    tg_status status = append(&d, space, option->name);
    if (status != TG_OK)
        return status;
    d->kind = TG_DIMENSION_CHOICE;
    for (size_t at = 0; at <= bytes && status == TG_OK;) {
        const char *slash = memchr(text + at, '/', bytes - at);
        const size_t length = slash != NULL ? (size_t)(slash - text) - at : bytes - at;
        char **grown = tg_heap_resize(d->choice, d->choices, d->choices + 1, sizeof *grown);
        double value;
        if (grown == NULL)
            return tg_no_memory("a search space", bytes);
        d->choice = grown;
        grown[d->choices] = piece(text + at, length);
        if (grown[d->choices] == NULL)
            return tg_no_memory("a search space", length);
        d->choices++;
        status = tg_option_parse(&value, option, grown[d->choices - 1]);
        at += length + 1;
    }
    for (size_t i = 0; i < d->choices; i++)
        for (size_t j = 0; j < i && status == TG_OK; j++)
            if (strcmp(d->choice[i], d->choice[j]) == 0)
                status = tg_fail(TG_EINVAL, "%s: '%s' is there twice", d->name, d->choice[i]);
    return status;
}

static tg_status parse_number(double *value, const tg_option *option, const char *text, size_t bytes)
{
    char *copy = piece(text, bytes);
    if (copy == NULL)
        return tg_no_memory("a search space", bytes);
    const tg_status status = tg_option_parse(value, option, copy);
    tg_heap_free(copy);
    return status;
}

static const char *two_dots(const char *text, size_t bytes)
{
    for (size_t i = 0; i + 1 < bytes; i++)
        if (text[i] == '.' && text[i + 1] == '.')
            return text + i;
    return NULL;
}

/* What stands behind "name=". */
static tg_status add_said(tg_space *space, const tg_option *option, const char *text, size_t bytes)
{
    const char *dots = is_number(option) ? two_dots(text, bytes) : NULL;
    double low, high;
    if (dots == NULL && memchr(text, '/', bytes) != NULL)
        return add_choices(space, option, text, bytes);
    if (dots == NULL)
        return tg_fail(TG_EINVAL,
                       "%s: '%.*s' is neither a range (1e-4..1e-2) nor a choice (0.9/0.95): one value is a flag",
                       option->name, (int)bytes, text);
    tg_status status = parse_number(&low, option, text, (size_t)(dots - text));
    if (status == TG_OK)
        status = parse_number(&high, option, dots + 2, bytes - (size_t)(dots - text) - 2);
    if (status == TG_OK && !(low < high))
        status = tg_fail(TG_EINVAL, "%s: the range %.*s has nothing in it", option->name, (int)bytes, text);
    return status == TG_OK ? add_range(space, option, low, high) : status;
}

static bool has(const tg_space *space, const char *name)
{
    for (size_t i = 0; i < space->count; i++)
        if (strcmp(space->at[i].name, name) == 0)
            return true;
    return false;
}

static bool is_fixed(const tg_option *option, const tg_setting *fixed, size_t count)
{
    const tg_option_table one = {option, 1};
    for (size_t i = 0; i < count; i++)
        if (tg_option_find(&one, fixed[i].name) == 0)
            return true;
    return false;
}

static tg_status unknown(const char *name, const tg_option_table *tables, size_t count)
{
    for (size_t t = 0; t < count; t++) {
        const size_t near = tg_option_nearest(&tables[t], name);
        if (near < tables[t].count)
            return tg_fail(TG_EINVAL, "no option '%s' to search (did you mean %s?)", name, tables[t].at[near].name);
    }
    return tg_fail(TG_EINVAL, "no option '%s' to search", name);
}

static tg_status add_word(tg_space *space, const char *word, size_t bytes, const tg_option_table *tables, size_t count,
                          const tg_setting *fixed, size_t fixed_count)
{
    const char *equals = memchr(word, '=', bytes);
    char *name = piece(word, equals != NULL ? (size_t)(equals - word) : bytes);
    const tg_option *option = NULL;
    tg_status status = name == NULL ? tg_no_memory("a search space", bytes) : TG_OK;
    for (size_t t = 0; t < count && option == NULL && name != NULL; t++) {
        const size_t at = tg_option_find(&tables[t], name);
        option = at < tables[t].count ? &tables[t].at[at] : NULL;
    }
    if (status == TG_OK && option == NULL)
        status = unknown(name, tables, count);
    else if (status == TG_OK && has(space, option->name))
        status = tg_fail(TG_EINVAL, "%s is there twice", option->name);
    else if (status == TG_OK && is_fixed(option, fixed, fixed_count))
        status = tg_fail(TG_EINVAL, "%s has a value and is to be searched: leave out one of the two", option->name);
    else if (status == TG_OK && equals != NULL)
        status = add_said(space, option, equals + 1, bytes - (size_t)(equals - word) - 1);
    else if (status == TG_OK && !(option->search_least < option->search_most))
        status =
            tg_fail(TG_EINVAL, "%s has no search range of its own: say one, as %s=1..2", option->name, option->name);
    else if (status == TG_OK)
        status = add_range(space, option, option->search_least, option->search_most);
    tg_heap_free(name);
    return status;
}

static tg_status own_ranges(tg_space *space, const tg_option_table *table, const tg_setting *fixed, size_t fixed_count)
{
    tg_status status = TG_OK;
    for (size_t i = 0; i < table->count && status == TG_OK; i++) {
        const tg_option *o = &table->at[i];
        if (o->search_least < o->search_most && !is_fixed(o, fixed, fixed_count))
            status = add_range(space, o, o->search_least, o->search_most);
    }
    return status;
}

tg_status tg_space_parse(tg_space *space, const char *text, const tg_option_table *tables, size_t count,
                         const tg_setting *fixed, size_t fixed_count)
{
    tg_space made = {0};
    tg_status status = text == NULL ? own_ranges(&made, &tables[0], fixed, fixed_count) : TG_OK;
    for (const char *at = text; at != NULL && status == TG_OK;) {
        at += strspn(at, " ");
        const size_t bytes = strcspn(at, " ");
        if (bytes == 0)
            break;
        status = add_word(&made, at, bytes, tables, count, fixed, fixed_count);
        at += bytes;
    }
    if (status == TG_OK && made.count == 0)
        status = tg_fail(TG_EINVAL, "nothing is to be searched: no option has a range");
    if (status == TG_OK)
        *space = made;
    else
        tg_space_fini(&made);
    return status;
}

/* ---- points and values ------------------------------------------------------------------------------------------- */

/* Whole numbers take the half below and above them along, so that the ends are as likely as others. */
static void ends(const tg_dimension *d, double *low, double *high)
{
    const double half = d->kind == TG_DIMENSION_WHOLE ? 0.5 : 0;
    *low = d->log ? log(d->low - half) : d->low - half;
    *high = d->log ? log(d->high + half) : d->high + half;
}

size_t tg_dimension_choice(const tg_dimension *d, double unit)
{
    const double at = floor(unit * (double)d->choices);
    return at < 0 ? 0 : at >= (double)d->choices ? d->choices - 1 : (size_t)at;
}

double tg_dimension_to_unit(const tg_dimension *d, double value)
{
    double low, high;
    if (d->kind == TG_DIMENSION_CHOICE)
        return (value + 0.5) / (double)d->choices;
    ends(d, &low, &high);
    return low == high ? 0.5 : ((d->log ? log(value) : value) - low) / (high - low);
}

double tg_dimension_from_unit(const tg_dimension *d, double unit)
{
    double low, high;
    if (d->kind == TG_DIMENSION_CHOICE)
        return (double)tg_dimension_choice(d, unit);
    ends(d, &low, &high);
    double value = low + unit * (high - low);
    value = d->log ? exp(value) : value;
    if (d->kind == TG_DIMENSION_WHOLE) {
        value = round(value);
    } else if (value != 0) { /* printed in 17 digits it must be short: the double nearest to a decimal of four */
        const double places = DIGITS - 1 - floor(log10(fabs(value)));
        value = places >= 0 ? round(value * pow(10, places)) / pow(10, places)
                            : round(value / pow(10, -places)) * pow(10, -places);
    }
    return fmin(d->high, fmax(d->low, value));
}

void tg_dimension_print(char text[TG_SPACE_TEXT], const tg_dimension *d, double value)
{
    char number[TG_NUMBER_BYTES];
    if (d->kind == TG_DIMENSION_CHOICE) {
        snprintf(text, TG_SPACE_TEXT, "%s", d->choice[(size_t)value]);
        return;
    }
    tg_number_print(number, value);
    snprintf(text, TG_SPACE_TEXT, "%s", number);
}

/* ---- as Optuna has them
 * ----------------------------------------------------------------------------------------------- */

bool tg_dimension_holds(const tg_dimension *d, double value)
{
    if (d->kind == TG_DIMENSION_CHOICE)
        return value >= 0 && value < (double)d->choices && value == floor(value);
    return value >= d->low && value <= d->high && (d->kind == TG_DIMENSION_REAL || value == floor(value));
}

static const char *class_of(const tg_dimension *d)
{
    static const char *const names[] = {[TG_DIMENSION_REAL] = "FloatDistribution",
                                        [TG_DIMENSION_WHOLE] = "IntDistribution",
                                        [TG_DIMENSION_CHOICE] = "CategoricalDistribution"};
    return names[d->kind];
}

char *tg_dimension_json(const tg_dimension *d)
{
    json_t *attributes = json_object();
    if (d->kind == TG_DIMENSION_CHOICE) {
        json_t *choices = json_array();
        for (size_t i = 0; i < d->choices; i++)
            json_array_append_new(choices, json_string(d->choice[i]));
        json_object_set_new(attributes, "choices", choices);
    } else {
        const bool real = d->kind == TG_DIMENSION_REAL;
        json_object_set_new(attributes, "step", real ? json_null() : json_integer(1));
        json_object_set_new(attributes, "low", real ? json_real(d->low) : json_integer((json_int_t)d->low));
        json_object_set_new(attributes, "high", real ? json_real(d->high) : json_integer((json_int_t)d->high));
        json_object_set_new(attributes, "log", json_boolean(d->log));
    }
    json_t *whole = json_pack("{s:s, s:o}", "name", class_of(d), "attributes", attributes);
    char *text = whole != NULL ? json_dumps(whole, JSON_ENSURE_ASCII) : NULL;
    json_decref(whole);
    return text;
}

static bool same_choices(const tg_dimension *d, const json_t *choices)
{
    if (json_array_size(choices) != d->choices)
        return false;
    for (size_t i = 0; i < d->choices; i++) {
        const char *text = json_string_value(json_array_get(choices, i));
        if (text == NULL || strcmp(text, d->choice[i]) != 0)
            return false;
    }
    return true;
}

bool tg_dimension_agrees(const tg_dimension *d, const char *distribution)
{
    json_t *whole = json_loads(distribution, 0, NULL);
    const json_t *attributes = json_object_get(whole, "attributes");
    const char *name = json_string_value(json_object_get(whole, "name"));
    const bool same = name != NULL && strcmp(name, class_of(d)) == 0 &&
                      (d->kind == TG_DIMENSION_CHOICE ? same_choices(d, json_object_get(attributes, "choices"))
                                                      : json_is_true(json_object_get(attributes, "log")) == d->log);
    json_decref(whole);
    return same;
}

double tg_dimension_meant(const tg_dimension *d, const json_t *value)
{
    double number = json_is_number(value) ? json_number_value(value) : NAN;
    for (size_t i = 0; i < d->choices; i++)
        if (json_is_string(value) && strcmp(json_string_value(value), d->choice[i]) == 0)
            number = (double)i;
    if (d->kind == TG_DIMENSION_CHOICE && !json_is_string(value))
        number = NAN;
    return tg_dimension_holds(d, number) ? number : NAN;
}
