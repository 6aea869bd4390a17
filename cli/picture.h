/* picture.h -- a plot into a file, or onto the screen. */
#ifndef TIGER_CLI_PICTURE_H
#define TIGER_CLI_PICTURE_H

#include "command.h"
#include "tiger/engine/plot.h"

/* Draws into the file `path` (.png, .svg, .gp) and says so, or with characters when `path` is NULL. Gives the exit
 * status.
 */
int cli_picture(const cli_args *args, const tg_plot *plot, const char *path);

#endif
