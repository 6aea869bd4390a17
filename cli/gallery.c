/* gallery.c -- curves of a picture, and what they own. */
#include "gallery.h"

#include <stdlib.h>

#include "args.h"

int cli_gallery_add(cli_gallery *g, const cli_args *args, size_t count)
{
    const size_t i = g->curves;
    if (i == CLI_CURVES)
        return cli_usage(args, "more than %d curves in one picture", CLI_CURVES);
    g->x[i] = malloc((count + 1) * sizeof *g->x[i]);
    g->y[i] = malloc((count + 1) * sizeof *g->y[i]);
    g->curves++;
    if (g->x[i] == NULL || g->y[i] == NULL) {
        cli_usage(args, "no memory for %zu points", count);
        return CLI_FAILED;
    }
    g->curve[i] = (tg_curve){.title = g->title[i], .x = g->x[i], .y = g->y[i], .count = count};
    return CLI_OK;
}

void cli_gallery_free(cli_gallery *g)
{
    for (size_t i = 0; i < g->curves; i++) {
        free(g->x[i]);
        free(g->y[i]);
    }
    free(g);
}
