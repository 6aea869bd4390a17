/* data/table.c -- see table.h.
 *
 * The file is walked to count rows and to see whether the target has words, to gather its classes, and to read the
 * numbers. Every row must have the cells that the header has. */
#include "data/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/utf8.h"
#include "data/csv.h"
#include "data/schema.h"

#define SHOWN 60 /* bytes of a cell in a message */
#define TARGET (-1)
#define UNREAD (-2)

/* The file under way. */
typedef struct reading {
    const char *bytes, *path;
    size_t count;
    char **name; /* (columns): of the header */
    int *role;   /* (columns): a feature's index, TARGET or UNREAD */
    size_t columns, rows, features;
    const char *target;
    bool words;        /* the target has some that are no numbers */
    char **class_name; /* found so far, ascending; room is a power of two */
    size_t classes;
} reading;

static int shown(const tg_cell *cell) { return cell->bytes < SHOWN ? (int)cell->bytes : SHOWN; }

/* Names of columns and classes are kept as text, in samples.json. */
static tg_status check_text(const reading *r, const tg_cell *cell)
{
    uint32_t code_point;
    for (size_t at = 0, n; at < cell->bytes; at += n)
        if ((n = tg_utf8_decode(&code_point, cell->text + at, cell->bytes - at)) == 0)
            return tg_fail(TG_EFORMAT, "'%s' line %zu, column %zu: byte %zu of the name is no UTF-8", r->path,
                           cell->line, cell->column, at + 1);
    return TG_OK;
}

/* ---- the header ---- */

static tg_status add_name(reading *r, const tg_cell *cell)
{
    tg_status status = check_text(r, cell);
    if (status != TG_OK)
        return status;
    char **name = tg_heap_resize(r->name, r->columns, r->columns + 1, sizeof *name);
    char *text = tg_heap_alloc(cell->bytes + 1, 1);
    if (name != NULL)
        r->name = name;
    if (name == NULL || text == NULL) {
        tg_heap_free(text);
        return tg_no_memory("the names of columns", cell->bytes);
    }
    if (cell->bytes > 0)
        memcpy(text, cell->text, cell->bytes);
    for (size_t i = 0; i < r->columns; i++)
        if (strcmp(r->name[i], text) == 0) {
            status = tg_fail(TG_EFORMAT, "'%s' line %zu: columns %zu and %zu are both named '%.*s'", r->path,
                             cell->line, i + 1, cell->column, shown(cell), text);
            tg_heap_free(text);
            return status;
        }
    r->name[r->columns++] = text;
    return TG_OK;
}

static tg_status read_header(reading *r, tg_csv *csv)
{
    tg_cell cell;
    bool more = true;
    tg_status status;
    do {
        status = tg_csv_next(csv, &cell, &more);
        if (status == TG_OK && !more)
            return tg_fail(TG_EFORMAT, "'%s' has no line: a table begins with the names of its columns", r->path);
        if (status == TG_OK)
            status = add_name(r, &cell);
    } while (status == TG_OK && !cell.last);
    return status;
}

static size_t column_of(const reading *r, const char *name)
{
    size_t i = 0;
    while (i < r->columns && strcmp(r->name[i], name) != 0)
        i++;
    return i;
}

static tg_status no_column(const reading *r, const char *name)
{
    char there[200] = "";
    size_t used = 0;
    for (size_t i = 0; i < r->columns && used < sizeof there - 1; i++) {
        const int n = snprintf(there + used, sizeof there - used, "%s%s", i > 0 ? ", " : "", r->name[i]);
        used += n > 0 ? (size_t)n : 0;
    }
    return tg_fail(TG_EINVAL, "'%s' has no column '%.80s'; there are: %s", r->path, name, there);
}

/* Which column is what. */
static tg_status give_roles(reading *r, const tg_schema *known)
{
    const size_t target = column_of(r, r->target);
    r->role = tg_heap_alloc(r->columns, sizeof *r->role);
    if (r->role == NULL)
        return tg_no_memory("the columns", r->columns * sizeof *r->role);
    if (target == r->columns)
        return no_column(r, r->target);
    for (size_t i = 0; i < r->columns; i++)
        r->role[i] = i == target ? TARGET : known != NULL ? UNREAD : (int)r->features++;
    for (size_t c = 0; known != NULL && c < known->channels; c++) {
        const size_t at = column_of(r, known->channel[c].name);
        if (at == r->columns || at == target)
            return no_column(r, known->channel[c].name);
        r->role[at] = (int)c;
    }
    r->features = known != NULL ? known->channels : r->features;
    if (r->features == 0 || r->features > TG_MOST_FEATURES)
        return tg_fail(TG_EFORMAT, "'%s' has %zu columns beside '%.80s'; there must be 1 to %zu", r->path, r->features,
                       r->target, TG_MOST_FEATURES);
    return TG_OK;
}

/* ---- walking ---- */

/* What is done with every cell; row from 0. */
typedef tg_status take_cell(void *ctx, reading *r, const tg_cell *cell, size_t row);

static tg_status check_end(const reading *r, const tg_cell *cell)
{
    if (cell->last == (cell->column == r->columns))
        return TG_OK;
    return tg_fail(TG_EFORMAT, "'%s' line %zu: the row has %s %zu cells, the header %zu", r->path, cell->line,
                   cell->last ? "only" : "more than", cell->column, r->columns);
}

static tg_status walk(reading *r, take_cell *take, void *ctx)
{
    tg_csv csv;
    tg_cell cell = {0};
    bool more = true;
    size_t row = 0;
    tg_csv_begin(&csv, r->bytes, r->count, r->path);
    tg_status status = TG_OK;
    for (bool header = true; status == TG_OK && more; header = header && !cell.last) {
        status = tg_csv_next(&csv, &cell, &more);
        if (status != TG_OK || !more || header)
            continue;
        status = check_end(r, &cell);
        if (status == TG_OK)
            status = take(ctx, r, &cell, row);
        row += cell.last;
    }
    tg_csv_end(&csv);
    r->rows = row;
    return status;
}

static tg_status no_number(const reading *r, const tg_cell *cell)
{
    const char *name = r->name[cell->column - 1];
    if (cell->bytes == 0)
        return tg_fail(TG_EFORMAT, "'%s' line %zu, column %zu (%.80s): the cell is empty, and a number is needed",
                       r->path, cell->line, cell->column, name);
    return tg_fail(TG_EFORMAT,
                   "'%s' line %zu, column %zu (%.80s): '%.*s' is no number, and only the target may have words: write "
                   "the column as numbers, or leave it out",
                   r->path, cell->line, cell->column, name, shown(cell), cell->text);
}

/* A number that a float can hold. */
static tg_status read_number(double *value, const reading *r, const tg_cell *cell)
{
    return tg_number_read(value, cell->text, cell->bytes) && isfinite((float)*value) ? TG_OK : no_number(r, cell);
}

/* ---- classes ---- */

static int compare(const char *name, const tg_cell *cell)
{
    const size_t bytes = strlen(name);
    const int order = memcmp(name, cell->text, bytes < cell->bytes ? bytes : cell->bytes);
    return order != 0 ? order : (bytes > cell->bytes) - (bytes < cell->bytes);
}

/* The place of a class among ascending names, or the one it would have. */
static size_t find_class(char *const *class_name, size_t classes, const tg_cell *cell, bool *found)
{
    size_t low = 0, high = classes;
    *found = false;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = compare(class_name[middle], cell);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static tg_status add_class(reading *r, const tg_cell *cell)
{
    bool found;
    const size_t at = find_class(r->class_name, r->classes, cell, &found);
    const tg_status status = found ? TG_OK : check_text(r, cell);
    if (found || status != TG_OK)
        return status;
    if (r->classes == TG_MOST_CLASSES)
        return tg_fail(TG_EFORMAT, "'%s' line %zu: more than %d classes in column '%.80s'", r->path, cell->line,
                       TG_MOST_CLASSES, r->target);
    if ((r->classes & (r->classes - 1)) == 0) {
        char **grown = tg_heap_resize(r->class_name, r->classes, r->classes == 0 ? 1 : 2 * r->classes, sizeof *grown);
        if (grown == NULL)
            return tg_no_memory("the classes", 2 * r->classes * sizeof *grown);
        r->class_name = grown;
    }
    char *name = tg_heap_alloc(cell->bytes + 1, 1);
    if (name == NULL)
        return tg_no_memory("a class", cell->bytes);
    memcpy(name, cell->text, cell->bytes);
    memmove(r->class_name + at + 1, r->class_name + at, (r->classes - at) * sizeof *r->class_name);
    r->class_name[at] = name;
    r->classes++;
    return TG_OK;
}

/* The first walk. */
static tg_status look(void *ctx, reading *r, const tg_cell *cell, size_t row)
{
    const bool *gather = ctx;
    double number;
    (void)row;
    if (r->role[cell->column - 1] != TARGET)
        return TG_OK;
    if (cell->bytes == 0)
        return tg_fail(TG_EFORMAT, "'%s' line %zu, column %zu (%.80s): the target is empty", r->path, cell->line,
                       cell->column, r->target);
    if (!r->words && !tg_number_read(&number, cell->text, cell->bytes))
        r->words = true;
    return *gather ? add_class(r, cell) : TG_OK;
}

/* ---- reading ---- */

static tg_status take_label(tg_table *t, const reading *r, const tg_cell *cell, size_t row)
{
    bool found;
    const size_t at = find_class(t->schema->class_name, t->schema->classes, cell, &found);
    t->label[row] = (int32_t)at;
    return found ? TG_OK
                 : tg_fail(TG_EFORMAT, "'%s' line %zu, column %zu (%.80s): '%.*s' is none of the %zu classes", r->path,
                           cell->line, cell->column, r->target, shown(cell), cell->text, t->schema->classes);
}

/* The second walk. */
static tg_status take(void *ctx, reading *r, const tg_cell *cell, size_t row)
{
    tg_table *t = ctx;
    const int role = r->role[cell->column - 1];
    if (role == UNREAD)
        return TG_OK;
    if (role != TARGET)
        return read_number(&t->value[row * t->features + (size_t)role], r, cell);
    return t->label != NULL ? take_label(t, r, cell, row) : read_number(&t->target[row], r, cell);
}

static tg_status make_schema(tg_table *t, reading *r, bool classes)
{
    tg_schema *s = NULL;
    const tg_status status = tg_schema_create(&s, r->features, classes ? r->classes : 0);
    if (status != TG_OK)
        return status;
    bool all = (s->target = tg_heap_text(r->target)) != NULL;
    for (size_t i = 0; i < r->columns; i++)
        if (r->role[i] >= 0)
            all = (s->channel[r->role[i]].name = tg_heap_text(r->name[i])) != NULL && all;
    for (size_t i = 0; i < s->classes; i++) {
        s->class_name[i] = r->class_name[i];
        r->class_name[i] = NULL;
    }
    t->schema = s;
    return all ? TG_OK : tg_no_memory("a schema", r->columns);
}

/* Are classes wanted, or numbers? */
static tg_status settle(bool *classes, const reading *r, tg_target_kind kind, const tg_schema *known)
{
    *classes =
        known != NULL ? known->class_name != NULL : kind == TG_TARGET_CLASS || (kind == TG_TARGET_AUTO && r->words);
    if (r->rows == 0)
        return tg_fail(TG_EFORMAT, "'%s' has no row behind its header", r->path);
    if (known == NULL && *classes && r->classes < 2)
        return tg_fail(TG_EFORMAT, "'%s': column '%.80s' has %zu class: there is nothing to tell apart", r->path,
                       r->target, r->classes);
    if (known == NULL && kind == TG_TARGET_NUMBER && r->words)
        return tg_fail(TG_EINVAL, "'%s': column '%.80s' has words, and a number is to be predicted", r->path,
                       r->target);
    return TG_OK;
}

static tg_status fill(tg_table *t, reading *r, bool classes, const tg_schema *known)
{
    size_t values;
    tg_status status = known != NULL ? tg_schema_copy(&t->schema, known) : make_schema(t, r, classes);
    if (status != TG_OK)
        return status;
    t->rows = r->rows;
    t->features = r->features;
    if (!tg_multiply(&values, t->rows, t->features) || (t->value = tg_alloc(NULL, values, sizeof *t->value)) == NULL)
        return tg_no_memory("a table", t->rows * t->features * sizeof *t->value);
    if (classes)
        t->label = tg_alloc(NULL, t->rows, sizeof *t->label);
    else
        t->target = tg_alloc(NULL, t->rows, sizeof *t->target);
    if (t->label == NULL && t->target == NULL)
        return tg_no_memory("a table", t->rows * sizeof *t->target);
    return walk(r, take, t);
}

static void reading_fini(reading *r)
{
    for (size_t i = 0; i < r->columns; i++)
        tg_heap_free(r->name[i]);
    for (size_t i = 0; i < r->classes; i++)
        tg_heap_free(r->class_name[i]);
    tg_heap_free(r->name);
    tg_heap_free(r->class_name);
    tg_heap_free(r->role);
}

tg_status tg_table_parse(tg_table *table, const char *bytes, size_t count, const char *path, const char *target,
                         tg_target_kind kind, const tg_schema *known)
{
    reading r = {.bytes = bytes, .count = count, .path = path, .target = target};
    bool classes, gather = known == NULL && kind == TG_TARGET_CLASS;
    tg_table t = {0};
    tg_csv csv;
    tg_csv_begin(&csv, bytes, count, path);
    tg_status status = read_header(&r, &csv);
    tg_csv_end(&csv);
    if (status == TG_OK)
        status = give_roles(&r, known);
    if (status == TG_OK)
        status = walk(&r, look, &gather);
    if (status == TG_OK && known == NULL && kind == TG_TARGET_AUTO && r.words) {
        gather = true;
        status = walk(&r, look, &gather);
    }
    if (status == TG_OK)
        status = settle(&classes, &r, kind, known);
    if (status == TG_OK)
        status = fill(&t, &r, classes, known);
    reading_fini(&r);
    if (status == TG_OK)
        *table = t;
    else
        tg_table_fini(&t);
    return status;
}

void tg_table_fini(tg_table *t)
{
    tg_free(NULL, t->value, t->rows * t->features, sizeof *t->value);
    tg_free(NULL, t->label, t->rows, sizeof *t->label);
    tg_free(NULL, t->target, t->rows, sizeof *t->target);
    tg_schema_destroy(t->schema);
    *t = (tg_table){0};
}
