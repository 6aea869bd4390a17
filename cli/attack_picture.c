/* attack_picture.c -- a picture of adversarial examples. */
#include "attack_picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "tiger/engine/plot.h"

#define TILE 112 /* pixels of the picture that an image has at least */
#define GAP 24   /* above a row, for its words */
#define BESIDE 8 /* between images */
enum { CLEAN, ADDED, CHANGED, TILES };

static int no_memory(const cli_args *args)
{
    cli_usage(args, "no memory for a picture");
    return CLI_FAILED;
}

/* ---- taking examples ---- */

static void caption(char text[64], const char *what, const char *class_name)
{
    snprintf(text, 64, "%s: %.40s", what, class_name);
}

int cli_examples_take(cli_examples *e, const cli_args *args, const tg_attacked *a)
{
    const size_t n = a->channels * a->rows * a->cols;
    e->channels = a->channels;
    e->rows = a->rows;
    e->cols = a->cols;
    for (size_t i = 0; i < a->count && e->count < e->wanted; i++) {
        if (a->choice_of_clean[i] != a->label[i] || a->choice_of_changed[i] == a->label[i])
            continue;
        if (e->clean == NULL)
            e->clean = malloc(e->wanted * n * sizeof *e->clean);
        if (e->changed == NULL)
            e->changed = malloc(e->wanted * n * sizeof *e->changed);
        if (e->clean == NULL || e->changed == NULL)
            return no_memory(args);
        memcpy(e->clean + e->count * n, a->clean + i * n, n * sizeof *e->clean);
        memcpy(e->changed + e->count * n, a->changed + i * n, n * sizeof *e->changed);
        caption(e->caption[e->count][0], "clean", a->class_name[a->choice_of_clean[i]]);
        caption(e->caption[e->count][1], "adversarial", a->class_name[a->choice_of_changed[i]]);
        e->count++;
    }
    return CLI_OK;
}

void cli_examples_free(cli_examples *e)
{
    free(e->clean);
    free(e->changed);
    e->clean = e->changed = NULL;
}

/* ---- drawing ---- */

/* Where things stand, in pixels of the raster. */
typedef struct sheet {
    size_t zoom, gap, beside, width, height;
    unsigned char *rgb;
} sheet;

static sheet sheet_of(const cli_examples *e)
{
    const size_t larger = e->rows > e->cols ? e->rows : e->cols;
    sheet s = {.zoom = (TILE + larger - 1) / larger};
    s.gap = (GAP + s.zoom - 1) / s.zoom;
    s.beside = (BESIDE + s.zoom - 1) / s.zoom;
    s.width = TILES * e->cols + (TILES + 1) * s.beside;
    s.height = e->count * (e->rows + s.gap) + s.beside;
    return s;
}

static size_t left_of(const sheet *s, const cli_examples *e, size_t tile)
{
    return s->beside + tile * (e->cols + s->beside);
}
static size_t top_of(const sheet *s, const cli_examples *e, size_t row) { return s->gap + row * (e->rows + s->gap); }

static unsigned char shade(double value) { return (unsigned char)lrint(255 * fmin(fmax(value, 0), 1)); }

/* One, two or more than three channels are shown by their first. */
static void draw_tile(const sheet *s, const cli_examples *e, size_t row, size_t tile, double largest)
{
    const size_t places = e->rows * e->cols, at = row * e->channels * places;
    for (size_t p = 0; p < places; p++)
        for (size_t c = 0; c < 3; c++) {
            const size_t from = at + (e->channels == 3 ? c * places : 0) + p;
            const double clean = (double)e->clean[from], changed = (double)e->changed[from];
            const double value = tile == CLEAN   ? clean
                                 : tile == ADDED ? 0.5 + 0.5 * (changed - clean) / largest
                                                 : changed;
            const size_t y = top_of(s, e, row) + p / e->cols, x = left_of(s, e, tile) + p % e->cols;
            s->rgb[3 * (y * s->width + x) + c] = shade(value);
        }
}

static void draw_row(const sheet *s, const cli_examples *e, size_t row)
{
    const size_t n = e->channels * e->rows * e->cols;
    double largest = 1e-6;
    for (size_t i = row * n; i < (row + 1) * n; i++)
        largest = fmax(largest, fabs((double)e->changed[i] - (double)e->clean[i]));
    for (size_t tile = 0; tile < TILES; tile++)
        draw_tile(s, e, row, tile, largest);
}

static void write_words(tg_plot_words *words, const sheet *s, const cli_examples *e)
{
    for (size_t row = 0; row < e->count; row++)
        for (size_t tile = 0; tile < TILES; tile++)
            words[row * TILES + tile] =
                (tg_plot_words){.x = (double)left_of(s, e, tile) + 0.5 * (double)e->cols,
                                .y = (double)top_of(s, e, row) - 0.5 * (double)s->gap,
                                .text = tile == ADDED ? "added" : e->caption[row][tile == CHANGED]};
}

int cli_examples_draw(const cli_examples *e, const cli_args *args, const char *path)
{
    if (e->count == 0) {
        printf("no examples: no image that the model was right about was changed enough; no %s\n", path);
        return CLI_OK;
    }
    sheet s = sheet_of(e);
    tg_plot_words *words = malloc(e->count * TILES * sizeof *words);
    s.rgb = malloc(3 * s.width * s.height);
    int status = words == NULL || s.rgb == NULL ? no_memory(args) : CLI_OK;
    if (status == CLI_OK) {
        memset(s.rgb, 255, 3 * s.width * s.height);
        for (size_t row = 0; row < e->count; row++)
            draw_row(&s, e, row);
        write_words(words, &s, e);
        const tg_plot_raster raster = {.width = s.width,
                                       .height = s.height,
                                       .zoom = s.zoom,
                                       .rgb = s.rgb,
                                       .words = words,
                                       .labels = e->count * TILES};
        status = cli_answer(args, tg_plot_raster_file(&raster, path));
    }
    if (status == CLI_OK)
        printf("examples: %s\n", path);
    free(words);
    free(s.rgb);
    return status;
}
