/* data/csv.h -- the cells of a table as text: RFC 4180, with commas, semicolons or tabs between cells. */
#ifndef TG_DATA_CSV_H
#define TG_DATA_CSV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"
#include "tiger/status.h"

/* A cell's text, good until the next call; a cell within quotes may hold separators, line ends and "" for a quote. */
typedef struct tg_cell {
    const char *text; /* not ended with 0 */
    size_t bytes;
    size_t line, column; /* from 1; the line it begins in */
    bool quoted, last;   /* last: of its row */
} tg_cell;

/* Starts by tg_csv_begin; tg_csv_end releases what it holds. */
typedef struct tg_csv {
    const char *at, *end, *path;
    char separator;
    size_t line, column;
    bool in_row;  /* cells of a row are under way */
    tg_text text; /* a cell whose quotes had to be taken out */
} tg_csv;

/* The separator is the one of comma, semicolon and tab that the first line has most of; a byte order mark is skipped.
 * `path` is for messages and lives as long. */
void tg_csv_begin(tg_csv *csv, const char *bytes, size_t count, const char *path);
void tg_csv_end(tg_csv *csv);

/* *more <- whether there was another cell. Lines without any character are no rows. TG_EFORMAT, with line and column,
 * for quotes that do not close or have something behind them, and for a 0 byte. */
tg_status tg_csv_next(tg_csv *csv, tg_cell *cell, bool *more);

#endif
