/* plot/script.h -- a plot as a gnuplot script. */
#ifndef TG_PLOT_SCRIPT_H
#define TG_PLOT_SCRIPT_H

#include "base/text.h"
#include "tiger/engine/plot.h"

/* The script draws into the file `output`, NULL: to its standard output, on `terminal`, what follows gnuplot's set terminal.
 * TG_EINVAL when nothing could be drawn. */
tg_status tg_plot_script(tg_text *script, const tg_plot *plot, const char *terminal, const char *output);

/* The same for pixels; width and height are not 0. */
tg_status tg_raster_script(tg_text *script, const tg_plot_raster *raster, const char *terminal, const char *output);

#endif
