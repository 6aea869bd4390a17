/* tiger/engine/plot.h -- pictures of numbers: curves with labels, drawn by gnuplot, and the numbers themselves as a
 * table.
 *
 * gnuplot is looked for when it is needed. Where it is missing, drawing fails with TG_EUNSUPPORTED and a message that
 * says what to install; everything else works without it. */
#ifndef TIGER_ENGINE_PLOT_H
#define TIGER_ENGINE_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "tiger/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Texts are drawn as they are: nothing in them is a command. A point that is not finite leaves a gap. */
typedef struct tg_curve {
    const char *title; /* in the key; NULL: not there */
    const double *x, *y;
    size_t count;
    bool points; /* marked one by one, beside the line */
} tg_curve;

/* A vertical line. */
typedef struct tg_plot_mark {
    double x;
    const char *text;
} tg_plot_mark;

typedef struct tg_plot {
    const char *title, *x_label, *y_label; /* NULL: none */
    bool x_log, y_log;
    const tg_curve *curve;
    size_t curves;
    const tg_plot_mark *mark;
    size_t marks;
} tg_plot;

/* A PNG file: whole, or none and an error. TG_EINVAL when no curve has a point that could be drawn. */
tg_status tg_plot_png(const tg_plot *plot, const char *path);

/* The plot in characters, handed out line by line, without the newline. */
tg_status tg_plot_text(const tg_plot *plot, size_t columns, size_t rows, void (*line)(void *ctx, const char *line),
                       void *ctx);

/* A table of `columns` arrays of `rows` values as tab-separated text, names in its first line; whole, or none and an
 * error. Values read back to the same doubles; what is not finite is "nan". */
tg_status tg_table_write(const char *path, const char *const *name, const double *const *column, size_t columns,
                         size_t rows);

#ifdef __cplusplus
}
#endif
#endif
