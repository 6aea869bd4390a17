/* plot/script.c -- a plot as a gnuplot script: the data inline, every text in double quotes.
 *
 * Within those gnuplot would expand backquotes and escapes. So nothing is left that could mean something: what is no
 * letter, digit, blank or part of a UTF-8 sign is written as an octal escape, control characters become blanks. (A
 * doubled quote in single quotes, which looks simpler, is read wrongly at the text's beginning by gnuplot 5.4.) With
 * noenhanced terminals _ and ^ are drawn as they are. */
#include "plot/script.h"

#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/number.h"

/* Okabe & Ito's, without the yellow that white swallows; beside them no two neighbours have the same dashes. */
#define COLOURS 7
#define DASHES 4
#define LINES (COLOURS * DASHES)
static const char *const colour[COLOURS] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                            "#e69f00", "#000000", "#56b4e9"};
static const char *const dash[DASHES] = {"solid", "(14,5)", "(4,4)", "(14,4,3,4)"};
static const int point_type[] = {7,  5, 9, 11,
                                 13, 4, 6, 8}; /* gnuplot's: filled circle, square, triangles, diamond, hollow */
#define MARKS (sizeof point_type / sizeof *point_type)
#define MARKS_ON_PATH 9

static void append(tg_text *script, const char *words) { tg_text_append(script, words, strlen(words)); }

static void append_quoted(tg_text *script, const char *text)
{
    bool escaped = false; /* gnuplot reads on while there are digits: they are escaped too */
    append(script, "\"");
    for (const char *c = text; *c != '\0'; c++) {
        const unsigned char byte = (unsigned char)*c;
        const bool digit = byte >= '0' && byte <= '9';
        const bool plain = byte >= 0x80 || byte == ' ' || (byte >= 'A' && byte <= 'Z') ||
                           (byte >= 'a' && byte <= 'z') || (digit && !escaped);
        escaped = !plain && byte >= 0x20 && byte != 0x7f;
        if (escaped)
            tg_text_format(script, "\\%03o", (unsigned)byte);
        else
            tg_text_append(script, plain ? c : " ", 1);
    }
    append(script, "\"");
}

static void append_setting(tg_text *script, const char *what, const char *text)
{
    if (text == NULL)
        return;
    append(script, what);
    append_quoted(script, text);
    append(script, "\n");
}

static void append_number(tg_text *script, double value)
{
    char number[TG_NUMBER_BYTES] = "NaN";
    if (isfinite(value))
        tg_number_print(number, value);
    append(script, number);
}

/* Whether gnuplot can show it on an axis of that kind. */
static bool shows(double value, bool log) { return isfinite(value) && (!log || value > 0); }

static bool append_data(tg_text *script, const tg_plot *plot, size_t index)
{
    const tg_curve *curve = &plot->curve[index];
    bool any = false;
    tg_text_format(script, "$curve%zu << END\n", index);
    for (size_t i = 0; i < curve->count; i++) {
        const bool seen = shows(curve->x[i], plot->x_log) && shows(curve->y[i], plot->y_log);
        append_number(script, seen ? curve->x[i] : NAN);
        append(script, " ");
        append_number(script, seen ? curve->y[i] : NAN);
        if (curve->low != NULL) {
            const bool banded = seen && shows(curve->low[i], plot->y_log) && shows(curve->high[i], plot->y_log);
            append(script, " ");
            append_number(script, banded ? curve->low[i] : NAN);
            append(script, " ");
            append_number(script, banded ? curve->high[i] : NAN);
        }
        append(script, "\n");
        any = any || seen;
    }
    append(script, "END\n");
    return any;
}

/* The grid's values, and from them the lines of the levels, in $contour. */
static void append_surface(tg_text *script, const tg_plot_surface *s)
{
    append(script, "$surface << END\n");
    for (size_t r = 0; r < s->rows; r++)
        for (size_t c = 0; c < s->columns; c++) {
            append_number(script, s->z[r * s->columns + c]);
            append(script, c + 1 < s->columns ? " " : "\n");
        }
    append(script, "END\nset contour base\nunset surface\nset cntrparam levels discrete ");
    for (size_t i = 0; i < s->levels; i++) {
        append(script, i > 0 ? "," : "");
        append_number(script, s->level[i]);
    }
    append(script, "\nset table $contour\nsplot $surface using (");
    const double box[] = {s->x_low, (s->x_high - s->x_low) / (double)(s->columns - 1), s->y_low,
                          (s->y_high - s->y_low) / (double)(s->rows - 1)};
    for (int axis = 0; axis < 2; axis++) {
        append_number(script, box[2 * axis]);
        tg_text_format(script, " + $%d*", axis + 1);
        append_number(script, box[2 * axis + 1]);
        append(script, axis == 0 ? "):(" : "):3 matrix\n");
    }
    append(script, "unset table\nset surface\nunset grid\n");
}

static void append_range(tg_text *script, const char *axis, double low, double high)
{
    tg_text_format(script, "set %srange [", axis);
    append_number(script, low);
    append(script, ":");
    append_number(script, high);
    append(script, "]\n");
}

static void append_mark(tg_text *script, const tg_plot_mark *mark, size_t index)
{
    append(script, "set arrow from first ");
    append_number(script, mark->x);
    append(script, ", graph 0 to first ");
    append_number(script, mark->x);
    append(script, ", graph 1 nohead dashtype 2 lc rgb '#606060'\nset label ");
    append_quoted(script, mark->text);
    append(script, " at first ");
    append_number(script, mark->x); /* one below the other, so that close marks can be read */
    tg_text_format(script, ", graph %.2f right offset -0.5,0\n", 0.95 - 0.07 * (double)(index % 8));
}

static void append_axes(tg_text *script, const tg_plot *plot)
{
    append(script, "set encoding utf8\nset key below height 1 width 2\nset autoscale fix\n");
    for (size_t i = 0; i < LINES; i++)
        tg_text_format(script, "set linetype %zu lc rgb '%s' dashtype %s pt %d\n", i + 1, colour[i % COLOURS],
                       dash[i % DASHES], point_type[i % MARKS]);
    tg_text_format(script, "set linetype cycle %d\n", LINES);
    append_setting(script, "set title ", plot->title);
    append_setting(script, "set xlabel ", plot->x_label);
    append_setting(script, "set ylabel ", plot->y_label);
    if (plot->x_log)
        append(script, "set logscale x\nset format x '%g'\n");
    if (plot->y_log)
        append(script, "set logscale y\nset format y '%g'\n");
    else if (plot->surface == NULL)
        append(script, "set offsets 0, 0, graph 0.04, graph 0.04\n");
}

/* What stands behind "with" for a curve; lines of paths are solid, for dashes that turn are not seen as such. */
static void append_style(tg_text *script, const tg_curve *curve, size_t index)
{
    const size_t apart = curve->count / MARKS_ON_PATH + 1, type = index % LINES + 1;
    switch (curve->style) {
    case TG_CURVE_LINE:
        tg_text_format(script, "lines lt %zu lw 2 ", type);
        break;
    case TG_CURVE_POINTS:
        tg_text_format(script, "linespoints lt %zu lw 2 ps 0.8 ", type);
        break;
    case TG_CURVE_PATH:
        tg_text_format(script, "linespoints lt %zu dt solid lw 2 ps 0.9 pi %zu ", type, apart);
        break;
    case TG_CURVE_DOTS:
        append(script, "points lc rgb '#000000' lw 2 ps 1.8 pt 3 ");
        break;
    case TG_CURVE_STEPS:
        tg_text_format(script, "histeps lt %zu lw 2 ", type);
        break;
    }
}

/* Behind all curves; a terminal of characters would fill them up. */
static void append_bands(tg_text *script, const tg_plot *plot)
{
    for (size_t i = 0; i < plot->curves; i++)
        if (plot->curve[i].low != NULL)
            tg_text_format(script, "$curve%zu using 1:3:4 with filledcurves fs transparent solid 0.18 noborder lc rgb '%s' notitle, ",
                           i, colour[i % COLOURS]);
}

static void append_curves(tg_text *script, const tg_plot *plot, bool bands)
{
    append(script, "plot ");
    if (bands)
        append_bands(script, plot);
    if (plot->surface != NULL)
        tg_text_format(script, "$contour using 1:2 with lines lc rgb '#b0b0b0' lw 1 dt solid notitle%s",
                       plot->curves > 0 ? ", " : "");
    for (size_t i = 0; i < plot->curves; i++) {
        tg_text_format(script, "%s$curve%zu using 1:2 with ", i == 0 ? "" : ", ", i);
        append_style(script, &plot->curve[i], i);
        append(script, "title ");
        append_quoted(script, plot->curve[i].title != NULL ? plot->curve[i].title : "");
    }
    append(script, "\n");
}

/* Marks at the ends of a logarithmic axis, which knows no offsets, would be cut in half. */
static void append_room(tg_text *script, const tg_plot *plot)
{
    double low = INFINITY, high = 0;
    for (size_t c = 0; c < plot->curves; c++)
        for (size_t i = 0; plot->curve[c].style == TG_CURVE_POINTS && i < plot->curve[c].count; i++) {
            const double x = plot->curve[c].x[i];
            if (shows(x, true) && shows(plot->curve[c].y[i], plot->y_log)) {
                low = fmin(low, x);
                high = fmax(high, x);
            }
        }
    if (plot->x_log && low <= high) {
        const double room = fmax(1.1, pow(high / low, 0.05));
        append_range(script, "x", low / room, high * room);
    }
}

tg_status tg_plot_script(tg_text *script, const tg_plot *plot, const char *terminal, const char *output)
{
    bool any = plot->surface != NULL;
    append(script, "set terminal ");
    append(script, terminal);
    append(script, "\n");
    append_setting(script, "set output ", output);
    append_axes(script, plot);
    if (plot->surface != NULL) {
        append_surface(script, plot->surface);
        append_range(script, "x", plot->surface->x_low, plot->surface->x_high);
        append_range(script, "y", plot->surface->y_low, plot->surface->y_high);
    }
    append_room(script, plot);
    for (size_t i = 0; i < plot->marks; i++)
        if (shows(plot->mark[i].x, plot->x_log))
            append_mark(script, &plot->mark[i], i);
    for (size_t i = 0; i < plot->curves; i++)
        any = append_data(script, plot, i) || any;
    append_curves(script, plot, strncmp(terminal, "dumb", 4) != 0);
    if (script->failed)
        return tg_no_memory("a plot", script->room);
    return any ? TG_OK : tg_fail(TG_EINVAL, "there is nothing to plot: no curve has a point that could be drawn");
}

/* ---- pixels ---- */

/* A value a pixel, 0xrrggbb. */
static void append_pixels(tg_text *script, const tg_plot_raster *raster)
{
    append(script, "$raster << END\n");
    for (size_t r = 0; r < raster->height; r++)
        for (size_t c = 0; c < raster->width; c++) {
            const unsigned char *p = raster->rgb + 3 * (r * raster->width + c);
            tg_text_format(script, "%u%s", (unsigned)p[0] << 16 | (unsigned)p[1] << 8 | p[2],
                           c + 1 < raster->width ? " " : "\n");
        }
    append(script, "END\n");
}

tg_status tg_raster_script(tg_text *script, const tg_plot_raster *raster, const char *terminal, const char *output)
{
    append(script, "set terminal ");
    append(script, terminal);
    append(script, "\n");
    append_setting(script, "set output ", output);
    append(script, "set encoding utf8\nunset border\nunset tics\nunset key\nunset grid\n"
                   "set margins at screen 0, screen 1, screen 0, screen 1\n");
    append_range(script, "x", 0, (double)raster->width);
    append_range(script, "y", (double)raster->height, 0);
    for (size_t i = 0; i < raster->labels; i++) {
        append(script, "set label ");
        append_quoted(script, raster->words[i].text);
        append(script, " at first ");
        append_number(script, raster->words[i].x);
        append(script, ", first ");
        append_number(script, raster->words[i].y);
        append(script, " center front\n");
    }
    append_pixels(script, raster);
    append(script, "plot $raster matrix using ($1+0.5):($2+0.5):(int($3)>>16):((int($3)>>8)&255):(int($3)&255) "
                   "with rgbimage\n");
    return script->failed ? tg_no_memory("a picture", script->room) : TG_OK;
}
