/* gallery.c -- curves of a picture, and what they own. */
#include "gallery.h"

#include <stdlib.h>

#include "args.h"

bool cli_gallery_add(cli_gallery *g, const cli_args *args, size_t count)
{
    const size_t i = g->curves;
    if (i == CLI_CURVES) {
        cli_usage(args, "more than %d curves in one picture", CLI_CURVES);
        return false;
    }
    g->x[i] = malloc((count + 1) * sizeof *g->x[i]);
    g->y[i] = malloc((count + 1) * sizeof *g->y[i]);
    g->curves++;
    if (g->x[i] == NULL || g->y[i] == NULL) {
        cli_usage(args, "no memory for %zu points", count);
        return false;
    }
    g->curve[i] = (tg_curve){.title = g->title[i], .x = g->x[i], .y = g->y[i], .count = count};
    return true;
}

void cli_gallery_free(cli_gallery *g)
{
    for (size_t i = 0; i < g->curves; i++) {
        free(g->x[i]);
        free(g->y[i]);
    }
    free(g);
}
