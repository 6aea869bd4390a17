/* base/option.c -- option tables: finding, reading, checking and printing options. */
#include "tiger/option.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/number.h"

#define MAX_NAME 64
#define TEXT_BYTES 512

/* ---- names --------------------------------------------------------------------------------------------------- */

static char folded(char c) { return c == '-' ? '_' : c; }

/* Whether `text`, of that length, is `name`. */
static bool same_name(const char *name, const char *text, size_t bytes)
{
    size_t i = 0;
    while (i < bytes && name[i] != '\0' && folded(name[i]) == folded(text[i]))
        i++;
    return i == bytes && name[i] == '\0';
}

size_t tg_option_find(const tg_option_table *table, const char *name)
{
    size_t i = 0;
    while (i < table->count && !same_name(table->at[i].name, name, strlen(name)))
        i++;
    return i;
}

size_t tg_name_distance(const char *a, const char *b)
{
    const size_t rows = strlen(a), cols = strlen(b);
    size_t row[MAX_NAME + 1]; /* distances of a's first i letters to every beginning of b (Wagner & Fischer 1974) */
    if (rows > MAX_NAME || cols > MAX_NAME)
        return rows > cols ? rows : cols;
    for (size_t j = 0; j <= cols; j++)
        row[j] = j;
    for (size_t i = 1; i <= rows; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= cols; j++) {
            size_t best = diagonal + (folded(a[i - 1]) != folded(b[j - 1]));
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[cols];
}

int tg_name_near(const char *name, size_t distance) { return distance <= 1 + strlen(name) / 4; }

size_t tg_option_nearest(const tg_option_table *table, const char *name)
{
    size_t best = table->count, least = (size_t)-1;
    for (size_t i = 0; i < table->count; i++) {
        const size_t distance = tg_name_distance(table->at[i].name, name);
        if (distance < least) {
            least = distance;
            best = i;
        }
    }
    return best < table->count && tg_name_near(name, least) ? best : table->count;
}

/* ---- choices ------------------------------------------------------------------------------------------------- */

/* The choice behind `choices`, and where the next one begins (NULL after the last). */
static size_t choice_bytes(const char *choices, const char **next)
{
    const char *bar = strchr(choices, '|');
    *next = bar == NULL ? NULL : bar + 1;
    return bar == NULL ? strlen(choices) : (size_t)(bar - choices);
}

static size_t choice_count(const char *choices)
{
    size_t count = 1;
    for (const char *c = choices; *c != '\0'; c++)
        count += *c == '|';
    return count;
}

static bool choice_read(double *value, const char *choices, const char *text)
{
    const char *next;
    int index = 0;
    for (const char *c = choices; c != NULL; c = next, index++) {
        const size_t bytes = choice_bytes(c, &next);
        if (same_name(text, c, bytes)) {
            *value = index;
            return true;
        }
    }
    return false;
}

static bool switch_read(double *value, const char *text)
{
    static const char *const names[] = {"off", "on", "false", "true", "no", "yes", "0", "1"};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(text, names[i]) == 0) {
            *value = i % 2;
            return true;
        }
    return false;
}

/* ---- bytes ---------------------------------------------------------------------------------------------------- */

static const char units[] = "KMGT";

/* "800M", "1.5GiB", "123456": units are of 1024, and parts of a byte are dropped. */
static bool bytes_read(double *value, const char *text)
{
    size_t length = strlen(text);
    if (length > 2 && strcmp(text + length - 2, "iB") == 0) {
        length -= 2;
        if (isdigit((unsigned char)text[length - 1]))
            return false;
    }
    const char *unit = length == 0 ? NULL : strchr(units, toupper((unsigned char)text[length - 1]));
    const bool scaled = unit != NULL && *unit != '\0';
    if (!tg_number_read(value, text, length - scaled))
        return false;
    *value = floor(ldexp(*value, scaled ? 10 * (int)(unit - units + 1) : 0));
    return true;
}

/* With the largest unit that leaves a whole number. */
static void bytes_print(char *text, size_t bytes, double value)
{
    int unit = 0;
    while (units[unit] != '\0' && value >= 1024 && fmod(value, 1024) == 0) {
        value /= 1024;
        unit++;
    }
    snprintf(text, bytes, "%.0f%.*s", value, unit > 0, unit > 0 ? &units[unit - 1] : "");
}

/* ---- ranges -------------------------------------------------------------------------------------------------- */

/* "beta < 1" is kept as beta <= the double before 1: people are to read the former. */
static const char *upper_bound(const tg_option *option, char number[static TG_NUMBER_BYTES])
{
    const double next = nextafter(option->most, INFINITY);
    const bool open = option->kind == TG_REAL && option->most != rint(option->most) && next == rint(next);
    tg_number_print(number, open ? next : option->most);
    return open ? "<" : "<=";
}

/* Both bounds around the name, or one behind it: "0 <= beta < 1", "0 <= lr". */
void tg_option_range(char *text, size_t bytes, const tg_option *option)
{
    char low[TG_NUMBER_BYTES], high[TG_NUMBER_BYTES];
    const bool below = isfinite(option->least), above = isfinite(option->most);
    const char *const low_sign = option->above ? "<" : "<=", *const high_sign = upper_bound(option, high);
    tg_number_print(low, option->least);
    if (option->kind == TG_CHOICE)
        snprintf(text, bytes, "%s", option->choices);
    else if (option->kind == TG_SWITCH)
        snprintf(text, bytes, "on|off");
    else if (option->kind == TG_BYTES)
        snprintf(text, bytes, "bytes, as 800M or 1.5G");
    else if (below && above)
        snprintf(text, bytes, "%s %s %s %s %s", low, low_sign, option->name, high_sign, high);
    else if (below)
        snprintf(text, bytes, "%s %s %s", low, low_sign, option->name);
    else if (above)
        snprintf(text, bytes, "%s %s %s", option->name, high_sign, high);
    else
        snprintf(text, bytes, "any %snumber", option->kind == TG_INTEGER ? "whole " : "");
}

/* What an error line says a value must be: "a number >= 0", "one of rms, dim, none". */
static void describe(char text[static TEXT_BYTES], const tg_option *option)
{
    const char *const noun = option->kind == TG_INTEGER ? "a whole number" : "a number";
    char bound[TG_NUMBER_BYTES];
    if (option->kind == TG_CHOICE) {
        size_t used = (size_t)snprintf(text, TEXT_BYTES, "one of ");
        for (const char *c = option->choices; *c != '\0' && used + 3 < TEXT_BYTES; c++) {
            text[used++] = *c == '|' ? ',' : *c;
            if (*c == '|')
                text[used++] = ' ';
        }
        text[used] = '\0';
    } else if (option->kind == TG_SWITCH) {
        snprintf(text, TEXT_BYTES, "on or off");
    } else if (option->kind == TG_BYTES) {
        snprintf(text, TEXT_BYTES, "a number of bytes, as 800M or 1.5G");
    } else if (isfinite(option->least) && isfinite(option->most)) {
        char range[TEXT_BYTES / 2];
        tg_option_range(range, sizeof range, option);
        snprintf(text, TEXT_BYTES, "%s, %s", noun, range);
    } else if (isfinite(option->least)) {
        tg_number_print(bound, option->least);
        snprintf(text, TEXT_BYTES, "%s %s %s", noun, option->above ? ">" : ">=", bound);
    } else if (isfinite(option->most)) {
        const char *const sign = upper_bound(option, bound);
        snprintf(text, TEXT_BYTES, "%s %s %s", noun, sign, bound);
    } else {
        snprintf(text, TEXT_BYTES, "%s", noun);
    }
}

static tg_status refuse(const tg_option *option, const char *text)
{
    char wanted[TEXT_BYTES];
    describe(wanted, option);
    return tg_fail(TG_EINVAL, "%s must be %s, not '%s'", option->name, wanted, text);
}

/* ---- values -------------------------------------------------------------------------------------------------- */

static bool legal(const tg_option *option, double value)
{
    switch (option->kind) {
    case TG_SWITCH:
        return value == 0 || value == 1;
    case TG_CHOICE:
        return value >= 0 && value < (double)choice_count(option->choices) && value == rint(value);
    case TG_INTEGER:
    case TG_BYTES:
        if (value != rint(value) || fabs(value) > TG_WHOLE_MOST)
            return false;
        break;
    case TG_REAL:
        break;
    }
    return isfinite(value) && value <= option->most && (option->above ? value > option->least : value >= option->least);
}

tg_status tg_option_parse(double *value, const tg_option *option, const char *text)
{
    double read = 0;
    const bool understood = option->kind == TG_CHOICE   ? choice_read(&read, option->choices, text)
                            : option->kind == TG_SWITCH ? switch_read(&read, text)
                            : option->kind == TG_BYTES  ? bytes_read(&read, text)
                                                        : tg_number_read(&read, text, strlen(text));
    const bool rounded = option->kind == TG_INTEGER && !tg_number_is_whole(text);
    if (!understood || rounded || !legal(option, read))
        return refuse(option, text);
    *value = read;
    return TG_OK;
}

tg_status tg_option_check(const tg_option *option, double value)
{
    char number[TG_NUMBER_BYTES];
    if (legal(option, value))
        return TG_OK;
    tg_number_print(number, value);
    return refuse(option, number);
}

void tg_option_print(char *text, size_t bytes, const tg_option *option, double value)
{
    char number[TG_NUMBER_BYTES];
    if (option->kind == TG_SWITCH && legal(option, value)) {
        snprintf(text, bytes, "%s", value != 0 ? "on" : "off");
    } else if (option->kind == TG_CHOICE && legal(option, value)) {
        const char *choice = option->choices, *next;
        size_t length = choice_bytes(choice, &next);
        for (double i = 0; i < value; i++) {
            choice = next;
            length = choice_bytes(choice, &next);
        }
        snprintf(text, bytes, "%.*s", (int)length, choice);
    } else if (isnan(value)) {
        snprintf(text, bytes, "required");
    } else if (option->kind == TG_BYTES && legal(option, value)) {
        bytes_print(text, bytes, value);
    } else {
        tg_number_print(number, value);
        snprintf(text, bytes, "%s", number);
    }
}
