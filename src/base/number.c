/* base/number.c -- strtod and printf with the decimal point kept a point.
 *
 * Both follow the program's locale, and the program is somebody else's: a German one would read "1.5" as 1. uselocale
 * changes the calling thread only, and the "C" locale is static, so this neither races nor allocates. */
#include "base/number.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DIGITS 400 /* more than any number worth writing has */

static locale_t enter_c_locale(locale_t *c)
{
    *c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return *c == (locale_t)0 ? (locale_t)0 : uselocale(*c);
}

static void leave_c_locale(locale_t before, locale_t c)
{
    if (c == (locale_t)0)
        return;
    uselocale(before);
    freelocale(c);
}

bool tg_number_read(double *value, const char *text, size_t bytes)
{
    char copy[MAX_DIGITS + 1], *end;
    if (bytes == 0 || bytes > MAX_DIGITS)
        return false;
    for (size_t i = 0; i < bytes; i++)
        if (text[i] == '\0' || strchr("0123456789.eE+-", text[i]) == NULL)
            return false;
    memcpy(copy, text, bytes);
    copy[bytes] = '\0';

    locale_t c;
    const locale_t before = enter_c_locale(&c);
    const double read = strtod(copy, &end);
    leave_c_locale(before, c);
    if (end != copy + bytes || !isfinite(read))
        return false;
    *value = read;
    return true;
}

/* The last digit that is not 0 must stand for ones or more: its place is counted from the point, moved by the exponent.
 */
bool tg_number_is_whole(const char *text)
{
    long digits = 0, before_point = -1, last = 0, exponent = 0;
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (text[i] == 'e' || text[i] == 'E') {
            exponent = strtol(text + i + 1, NULL, 10);
            break;
        }
        if (text[i] == '.')
            before_point = digits;
        else if (text[i] >= '0' && text[i] <= '9') {
            digits++;
            last = text[i] != '0' ? digits : last;
        }
    }
    if (before_point < 0)
        before_point = digits;
    return last == 0 || exponent >= last - before_point;
}

void tg_number_print(char text[static TG_NUMBER_BYTES], double value)
{
    locale_t c;
    const locale_t before = enter_c_locale(&c);
    if (value == rint(value) && fabs(value) < 1e15) {
        snprintf(text, TG_NUMBER_BYTES, "%.0f", value);
    } else {
        for (int digits = 1; digits <= 17; digits++) {
            snprintf(text, TG_NUMBER_BYTES, "%.*g", digits, value);
            if (strtod(text, NULL) == value)
                break;
        }
    }
    leave_c_locale(before, c);
}
