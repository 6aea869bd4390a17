/* plot/table.c -- numbers as tab-separated text. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/text.h"
#include "tiger/engine/plot.h"

/* A name in the first line: signs that would end its column become blanks. */
static void append_name(tg_text *text, const char *name)
{
    for (const char *c = name; *c != '\0'; c++)
        tg_text_append(text, (unsigned char)*c < 0x20 ? " " : c, 1);
}

tg_status tg_table_write(const char *path, const char *const *name, const double *const *column, size_t columns,
                         size_t rows)
{
    tg_text text = {0};
    for (size_t c = 0; c < columns; c++) {
        append_name(&text, name[c]);
        tg_text_append(&text, c + 1 < columns ? "\t" : "\n", 1);
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            char number[TG_NUMBER_BYTES] = "nan";
            if (isfinite(column[c][r]))
                tg_number_print(number, column[c][r]);
            tg_text_append(&text, number, strlen(number));
            tg_text_append(&text, c + 1 < columns ? "\t" : "\n", 1);
        }
    const tg_status status =
        text.failed ? tg_no_memory("a table", text.room) : tg_file_write_whole(path, text.at, text.used);
    tg_text_free(&text);
    return status;
}
