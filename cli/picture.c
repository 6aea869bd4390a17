/* picture.c -- a plot into a file, or onto the screen. */
#include "picture.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "args.h"

#define COLUMNS 80 /* where no terminal says its own size */
#define ROWS 24

static void print_line(void *ctx, const char *line)
{
    (void)ctx;
    puts(line);
}

static int on_screen(const cli_args *args, const tg_plot *plot)
{
    struct winsize size;
    size_t columns = COLUMNS, rows = ROWS;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40 && size.ws_row >= 12) {
        columns = size.ws_col;
        rows = size.ws_row - 1u; /* the prompt's line */
    }
    return cli_answer(args, tg_plot_text(plot, columns, rows, print_line, NULL));
}

int cli_picture(const cli_args *args, const tg_plot *plot, const char *path)
{
    if (path == NULL)
        return on_screen(args, plot);
    const tg_status status = tg_plot_file(plot, path);
    if (status != TG_OK)
        return cli_answer(args, status);
    printf("plot: %s\n", path);
    return CLI_OK;
}
