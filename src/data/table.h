/* data/table.h -- a table read into numbers: all columns but the target, and the target as classes or numbers. */
#ifndef TG_DATA_TABLE_H
#define TG_DATA_TABLE_H

#include "tiger/engine/samples.h"

/* Starts as {0}; released by tg_table_fini. */
typedef struct tg_table {
    size_t rows, features;
    double *value;     /* (rows, features), as the file has them */
    int32_t *label;    /* (rows), where the target is a class */
    double *target;    /* (rows), where it is a number */
    tg_schema *schema; /* its names and classes; the statistics are not filled in */
} tg_table;

/* `known` NULL: the columns are the file's, and classes are the words there are, in order; else they are its own.
 * `path` is for messages. */
tg_status tg_table_parse(tg_table *table, const char *bytes, size_t count, const char *path, const char *target,
                         tg_target_kind kind, const tg_schema *known);
void tg_table_fini(tg_table *table);

#endif
