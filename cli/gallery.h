/* gallery.h -- curves of a picture, and what they own. */
#ifndef TIGER_CLI_GALLERY_H
#define TIGER_CLI_GALLERY_H

#include "command.h"
#include "tiger/engine/plot.h"

#define CLI_CURVES (8 * CLI_POSITIONALS)
#define CLI_CURVE_TITLE 160

typedef struct cli_gallery {
    tg_curve curve[CLI_CURVES];
    double *x[CLI_CURVES], *y[CLI_CURVES];
    char title[CLI_CURVES][CLI_CURVE_TITLE];
    size_t curves;
} cli_gallery;

/* A curve with room for `count` points in x[i], y[i], i the number of curves before. CLI_OK, or a line is printed and
 * the exit status given: too many, or no memory. The title is "". */
int cli_gallery_add(cli_gallery *g, const cli_args *args, size_t count);
void cli_gallery_free(cli_gallery *g); /* heap, itself included */

/* What `tiger plot` draws: each is told the command's arguments, and an empty gallery, and gives the exit status. */
int cli_plot_minimize(cli_gallery *g, const cli_args *args);
int cli_plot_surface(cli_gallery *g, const cli_args *args);
int cli_plot_histogram(cli_gallery *g, const cli_args *args);

#endif
