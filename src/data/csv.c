/* data/csv.c -- see csv.h. */
#include "data/csv.h"

#include <string.h>

#include "base/fail.h"
#include "base/memory.h"

static bool is_line_end(char c) { return c == '\n' || c == '\r'; }

/* ---- beginning ---- */

static char find_separator(const char *at, const char *end)
{
    static const char separators[] = ",;\t";
    size_t count[sizeof separators - 1] = {0};
    bool quoted = false;
    for (; at < end && (quoted || !is_line_end(*at)); at++) {
        quoted = quoted != (*at == '"');
        for (size_t i = 0; i < sizeof separators - 1 && !quoted; i++)
            count[i] += *at == separators[i];
    }
    size_t most = 0;
    for (size_t i = 1; i < sizeof separators - 1; i++)
        most = count[i] > count[most] ? i : most;
    return separators[most];
}

void tg_csv_begin(tg_csv *csv, const char *bytes, size_t count, const char *path)
{
    static const char mark[] = "\xef\xbb\xbf";
    const size_t skip = count >= 3 && memcmp(bytes, mark, 3) == 0 ? 3 : 0;
    *csv = (tg_csv){.at = bytes + skip, .end = bytes + count, .path = path, .line = 1};
    csv->separator = find_separator(csv->at, csv->end);
}

void tg_csv_end(tg_csv *csv) { tg_text_free(&csv->text); }

/* ---- cells ---- */

static tg_status wrong(const tg_csv *csv, const tg_cell *cell, const char *cause)
{
    return tg_fail(TG_EFORMAT, "'%s' line %zu, column %zu: %s", csv->path, cell->line, cell->column, cause);
}

/* Steps over one line end: \n, \r\n or \r. */
static void end_line(tg_csv *csv)
{
    csv->at += csv->at[0] == '\r' && csv->at + 1 < csv->end && csv->at[1] == '\n' ? 2 : 1;
    csv->line++;
}

/* From behind the opening quote to behind the closing one. */
static tg_status read_quoted(tg_csv *csv, tg_cell *cell)
{
    csv->text.used = 0;
    for (;;) {
        const char *quote = memchr(csv->at, '"', (size_t)(csv->end - csv->at));
        if (quote == NULL)
            return wrong(csv, cell, "the quotes of this cell do not close");
        for (const char *c = csv->at; c < quote; c++)
            csv->line += *c == '\n';
        tg_text_append(&csv->text, csv->at, (size_t)(quote - csv->at));
        csv->at = quote + 1;
        if (csv->at == csv->end || *csv->at != '"')
            break;
        tg_text_append(&csv->text, "\"", 1);
        csv->at++;
    }
    if (csv->text.failed)
        return tg_no_memory("a cell", csv->text.room);
    if (csv->at < csv->end && *csv->at != csv->separator && !is_line_end(*csv->at))
        return wrong(csv, cell, "something stands behind the quotes of this cell");
    cell->text = csv->text.at == NULL ? "" : csv->text.at;
    cell->bytes = csv->text.used;
    return TG_OK;
}

static void read_plain(tg_csv *csv, tg_cell *cell)
{
    cell->text = csv->at;
    while (csv->at < csv->end && *csv->at != csv->separator && !is_line_end(*csv->at))
        csv->at++;
    cell->bytes = (size_t)(csv->at - cell->text);
    while (cell->bytes > 0 && cell->text[0] == ' ') {
        cell->text++;
        cell->bytes--;
    }
    while (cell->bytes > 0 && cell->text[cell->bytes - 1] == ' ')
        cell->bytes--;
}

tg_status tg_csv_next(tg_csv *csv, tg_cell *cell, bool *more)
{
    while (!csv->in_row && csv->at < csv->end && is_line_end(*csv->at))
        end_line(csv);
    *more = csv->in_row || csv->at < csv->end;
    if (!*more)
        return TG_OK;
    csv->column = csv->in_row ? csv->column + 1 : 1;
    *cell = (tg_cell){.line = csv->line, .column = csv->column};
    cell->quoted = csv->at < csv->end && *csv->at == '"';
    csv->at += cell->quoted;
    tg_status status = TG_OK;
    if (cell->quoted)
        status = read_quoted(csv, cell);
    else
        read_plain(csv, cell);
    if (status == TG_OK && memchr(cell->text, '\0', cell->bytes) != NULL)
        status = wrong(csv, cell, "a byte of 0: this is no text");
    if (status != TG_OK)
        return status;
    cell->last = csv->at == csv->end || is_line_end(*csv->at);
    csv->in_row = !cell->last;
    if (!cell->last)
        csv->at++; /* over the separator */
    else if (csv->at < csv->end)
        end_line(csv);
    return TG_OK;
}
