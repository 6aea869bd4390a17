/* tiger/engine/plot.h -- pictures of numbers: curves with labels, over the contour lines of a surface if wanted, drawn
 * by gnuplot; and the numbers themselves as a table.
 *
 * Curves differ in colour (Okabe & Ito 2008: those who see no red, green or blue tell them apart) and in their dashes.
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
typedef enum tg_curve_style {
    TG_CURVE_LINE,
    TG_CURVE_POINTS, /* every point is marked, beside the line */
    TG_CURVE_PATH,   /* a solid line with a mark here and there */
    TG_CURVE_DOTS,   /* marks alone, black */
    TG_CURVE_STEPS   /* a histogram's outline: x the bins' middles */
} tg_curve_style;

typedef struct tg_curve {
    const char *title; /* in the key; NULL: not there */
    const double *x, *y;
    size_t count;
    tg_curve_style style;
    const double *low, *high; /* a band behind the curve, where both are finite; NULL: none. Not drawn with characters */
} tg_curve;

/* A vertical line. */
typedef struct tg_plot_mark {
    double x;
    const char *text;
} tg_plot_mark;

/* z of a grid (rows, columns), evenly spread over the box with its borders; contour lines at the levels. */
typedef struct tg_plot_surface {
    double x_low, x_high, y_low, y_high;
    size_t columns, rows; /* >= 2 */
    const double *z, *level;
    size_t levels;
} tg_plot_surface;

typedef struct tg_plot {
    const char *title, *x_label, *y_label; /* NULL: none */
    bool x_log, y_log;
    const tg_plot_surface *surface; /* NULL: none; the plot is as large as its box otherwise */
    const tg_curve *curve;
    size_t curves;
    const tg_plot_mark *mark;
    size_t marks;
} tg_plot;

/* Pixels, and words centred at places of them. */
typedef struct tg_plot_words {
    double x, y; /* in pixels of the raster, from its upper left corner */
    const char *text;
} tg_plot_words;

typedef struct tg_plot_raster {
    size_t width, height, zoom; /* pixels of the picture for one of the raster */
    const unsigned char *rgb;   /* (height, width, 3), the first row on top */
    const tg_plot_words *words;
    size_t labels;              /* how many words */
} tg_plot_raster;

/* Into a file whose name says what it is: FILE.png, FILE.svg, or FILE.gp, the gnuplot script with the data in it, which
 * draws FILE.png and is written without gnuplot. Whole, or none and an error. TG_EINVAL for other names, and when no
 * curve has a point that could be drawn. */
tg_status tg_plot_file(const tg_plot *plot, const char *path);

tg_status tg_plot_raster_file(const tg_plot_raster *raster, const char *path);

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
