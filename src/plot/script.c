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

/* Told apart on white, also by those who see no red or no green. */
#define COLOURS 8
#define DASHES 4
static const char *const colour[COLOURS] = {"#0060b0", "#d55e00", "#009e73", "#8a2be2",
                                            "#000000", "#cc6699", "#56b4e9", "#a07800"};

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
        append(script, "\n");
        any = any || seen;
    }
    append(script, "END\n");
    return any;
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
    for (size_t i = 0; i < COLOURS * DASHES; i++) /* solid first, then dashed in the same colours */
        tg_text_format(script, "set linetype %zu lc rgb '%s' dashtype %zu\n", i + 1, colour[i % COLOURS],
                       1 + i / COLOURS);
    tg_text_format(script, "set linetype cycle %d\n", COLOURS * DASHES);
    append_setting(script, "set title ", plot->title);
    append_setting(script, "set xlabel ", plot->x_label);
    append_setting(script, "set ylabel ", plot->y_label);
    if (plot->x_log)
        append(script, "set logscale x\nset format x '%g'\n");
    if (plot->y_log)
        append(script, "set logscale y\nset format y '%g'\n");
    else
        append(script, "set offsets 0, 0, graph 0.04, graph 0.04\n");
}

tg_status tg_plot_script(tg_text *script, const tg_plot *plot, const char *terminal)
{
    bool any = false;
    append(script, "set terminal ");
    append(script, terminal);
    append(script, "\n");
    append_axes(script, plot);
    for (size_t i = 0; i < plot->marks; i++)
        if (shows(plot->mark[i].x, plot->x_log))
            append_mark(script, &plot->mark[i], i);
    for (size_t i = 0; i < plot->curves; i++)
        any = append_data(script, plot, i) || any;
    append(script, "plot ");
    for (size_t i = 0; i < plot->curves; i++) {
        const tg_curve *curve = &plot->curve[i];
        tg_text_format(script, "%s$curve%zu using 1:2 with %s lw 2 pt 7 ps 0.6 ", i == 0 ? "" : ", ", i,
                       curve->points ? "linespoints" : "lines");
        append(script, "title ");
        append_quoted(script, curve->title != NULL ? curve->title : "");
    }
    append(script, "\n");
    if (script->failed)
        return tg_no_memory("a plot", script->room);
    return any ? TG_OK : tg_fail(TG_EINVAL, "there is nothing to plot: no curve has a point that could be drawn");
}
