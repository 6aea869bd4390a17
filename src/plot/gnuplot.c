/* plot/gnuplot.c -- gnuplot as a child process, without a shell between.
 *
 * Its standard input, output and error are files without names: whatever it does and whenever it ends, nobody waits for
 * anybody, and no signal of a broken pipe reaches the program that uses this library. */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "plot/script.h"

#define GRID "\nset grid lt 1 lc rgb '#e0e0e0'"
#define PNG_TERMINAL "pngcairo noenhanced size 800,540 font 'Sans,11'" GRID
#define SVG_TERMINAL "svg noenhanced size 800,540 font 'Sans,14' background rgb 'white'" GRID
#define LINE_BYTES 2048
#define TERMINAL_BYTES 128

/* What is drawn: curves, or pixels. */
typedef struct drawing {
    const tg_plot *plot;
    const tg_plot_raster *raster; /* NULL: plot */
} drawing;

static tg_status write_drawing(tg_text *script, const drawing *d, const char *terminal, const char *output)
{
    return d->raster != NULL ? tg_raster_script(script, d->raster, terminal, output)
                             : tg_plot_script(script, d->plot, terminal, output);
}

extern char **environ;

static tg_status spawn(pid_t *child, int in, int out, int errors)
{
    char name[] = "gnuplot", no_settings[] = "-d", from_input[] = "-";
    char *words[] = {name, no_settings, from_input, NULL};
    posix_spawn_file_actions_t files;
    int error = posix_spawn_file_actions_init(&files);
    if (error != 0)
        return tg_fail_errno(error, "cannot start gnuplot");
    error = posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&files, errors, STDERR_FILENO);
    if (error == 0)
        error = posix_spawnp(child, name, &files, NULL, words, environ);
    posix_spawn_file_actions_destroy(&files);
    if (error == ENOENT)
        return tg_fail(TG_EUNSUPPORTED,
                       "gnuplot, which draws the plots, is not installed (Debian, Ubuntu: apt-get install "
                       "gnuplot-nox)");
    return error == 0 ? TG_OK : tg_fail_errno(error, "cannot start gnuplot");
}

/* The last line that gnuplot said, which is the one that says what is wrong. */
static tg_status complain(FILE *errors)
{
    char line[256], last[256] = "no reason given";
    rewind(errors);
    while (fgets(line, sizeof line, errors) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[strspn(line, " ^\t")] != '\0')
            memcpy(last, line, sizeof last);
    }
    return tg_fail(TG_EIO, "gnuplot failed: %s", last);
}

static tg_status wait_for(pid_t child, FILE *errors)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return tg_fail_errno(errno, "cannot wait for gnuplot");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? TG_OK : complain(errors);
}

/* Draws into `out`, which must not stay empty. */
static tg_status draw(const drawing *d, const char *terminal, int out)
{
    tg_text script = {0};
    struct stat drawn;
    pid_t child;
    FILE *in = tmpfile(), *errors = tmpfile();
    tg_status status = in == NULL || errors == NULL ? tg_fail_errno(errno, "cannot make a temporary file") : TG_OK;
    if (status == TG_OK)
        status = write_drawing(&script, d, terminal, NULL);
    if (status == TG_OK && (fwrite(script.at, 1, script.used, in) != script.used || fflush(in) != 0))
        status = tg_fail_errno(errno, "cannot write a temporary file");
    if (status == TG_OK) {
        rewind(in);
        status = spawn(&child, fileno(in), out, fileno(errors));
    }
    if (status == TG_OK)
        status = wait_for(child, errors);
    if (status == TG_OK && (fstat(out, &drawn) != 0 || drawn.st_size == 0))
        status = complain(errors);
    if (in != NULL)
        fclose(in);
    if (errors != NULL)
        fclose(errors);
    tg_text_free(&script);
    return status;
}

static tg_status draw_file(const drawing *d, const char *path, const char *terminal)
{
    tg_file file;
    tg_status status = tg_file_begin(&file, path);
    if (status != TG_OK)
        return status;
    status = draw(d, terminal, file.descriptor);
    if (status == TG_OK)
        return tg_file_commit(&file);
    tg_file_abort(&file);
    return status;
}

/* FILE.gp draws FILE.png. */
static tg_status write_script(const drawing *d, const char *path, const char *terminal)
{
    tg_text script = {0}, picture = {0};
    tg_text_append(&picture, path, strlen(path) - 3);
    tg_text_append(&picture, ".png", 5);
    tg_status status = picture.failed ? tg_no_memory("a plot", picture.room) : TG_OK;
    if (status == TG_OK)
        status = write_drawing(&script, d, terminal, picture.at);
    if (status == TG_OK)
        status = tg_file_write_whole(path, script.at, script.used);
    tg_text_free(&script);
    tg_text_free(&picture);
    return status;
}

static bool ends_in(const char *path, const char *suffix)
{
    const size_t bytes = strlen(path), wanted = strlen(suffix);
    return bytes > wanted && strcmp(path + bytes - wanted, suffix) == 0;
}

static tg_status to_file(const drawing *d, const char *path, const char *png, const char *svg)
{
    if (ends_in(path, ".png"))
        return draw_file(d, path, png);
    if (ends_in(path, ".svg"))
        return draw_file(d, path, svg);
    if (ends_in(path, ".gp"))
        return write_script(d, path, png);
    return tg_fail(TG_EINVAL, "a picture's name must end in .png, .svg or .gp (a gnuplot script), not '%s'", path);
}

tg_status tg_plot_file(const tg_plot *plot, const char *path)
{
    return to_file(&(drawing){.plot = plot}, path, PNG_TERMINAL, SVG_TERMINAL);
}

tg_status tg_plot_raster_file(const tg_plot_raster *raster, const char *path)
{
    char png[TERMINAL_BYTES], svg[TERMINAL_BYTES];
    const size_t width = raster->width * raster->zoom, height = raster->height * raster->zoom;
    if (width == 0 || height == 0)
        return tg_fail(TG_EINVAL, "there is nothing to draw: a picture of %zu x %zu", width, height);
    snprintf(png, sizeof png, "pngcairo noenhanced size %zu,%zu font 'Sans,9'", width, height);
    snprintf(svg, sizeof svg, "svg noenhanced size %zu,%zu font 'Sans,12' background rgb 'white'", width, height);
    return to_file(&(drawing){.raster = raster}, path, png, svg);
}

tg_status tg_plot_text(const tg_plot *plot, size_t columns, size_t rows, void (*line)(void *ctx, const char *line),
                       void *ctx)
{
    char terminal[96], text[LINE_BYTES];
    snprintf(terminal, sizeof terminal, "dumb noenhanced mono size %zu,%zu", columns, rows);
    tg_plot upright = *plot; /* such a terminal has no place for the words beside the y axis */
    if (upright.title == NULL)
        upright.title = upright.y_label;
    FILE *out = tmpfile();
    if (out == NULL)
        return tg_fail_errno(errno, "cannot make a temporary file");
    const tg_status status = draw(&(drawing){.plot = &upright}, terminal, fileno(out));
    rewind(out);
    while (status == TG_OK && fgets(text, sizeof text, out) != NULL) {
        text[strcspn(text, "\n\f")] = '\0';
        line(ctx, text);
    }
    fclose(out);
    return status;
}
