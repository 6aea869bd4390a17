/* base/number.h -- numbers as text, the same in every locale. */
#ifndef TG_BASE_NUMBER_H
#define TG_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

#define TG_NUMBER_BYTES 32 /* room for any text tg_number_print makes */

/* *value <- the number that all `bytes` of `text` spell in decimal: "3", "-.5", "1e-3". False for anything else
 * (blanks, hexadecimal, inf, nan, what no double holds); *value is then as it was. */
bool tg_number_read(double *value, const char *text, size_t bytes);

/* Whether what tg_number_read reads is a whole number as it is written: "3", "1.50e1", not "3.00000000000000000001",
 * which reads as 3. */
bool tg_number_is_whole(const char *text);

/* Writes the shortest text that tg_number_read reads back to the same double, integers below 1e15 without exponent. */
void tg_number_print(char text[static TG_NUMBER_BYTES], double value);

#endif
