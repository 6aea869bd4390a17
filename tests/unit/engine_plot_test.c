/* Plots: texts stay texts in the script, what cannot be drawn is a gap or refused, tables read back; with gnuplot
 * there, pictures are whole or not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "plot/script.h"

static const double x[] = {1, 2.385, 30, 400}, y[] = {0.5, NAN, -2, 7.25};

static char folder[] = "/tmp/tiger-plot-XXXXXX";

static const char *inside(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state) { return (void)state, mkdtemp(folder) == NULL; }
static int remove_folder(void **state) { return (void)state, rmdir(folder); } /* fails when anything was left */

static bool exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

static char *script_of(const tg_plot *plot)
{
    tg_text script = {0};
    assert_int_equal(tg_plot_script(&script, plot, "dumb", NULL), TG_OK);
    char *text = calloc(script.used + 1, 1);
    memcpy(text, script.at, script.used);
    tg_text_free(&script);
    return text;
}

static void test_texts_are_quoted(void **state)
{
    (void)state;
    const tg_curve curve = {.title = "it's \\ `id`\nplot \xc3\xa4\"", .x = x, .y = y, .count = 4};
    const tg_plot_mark mark = {.x = 3, .text = "'"};
    const tg_plot plot = {
        .title = "''", .x_label = "$(id) @id %23s", .curve = &curve, .curves = 1, .mark = &mark, .marks = 1};
    char *script = script_of(&plot);
    assert_non_null(strstr(script, "title \"it\\047s \\134 \\140id\\140 plot \xc3\xa4\\042\"\n"));
    assert_non_null(strstr(script, "set title \"\\047\\047\"\n"));
    assert_non_null(strstr(script, "set xlabel \"\\044\\050id\\051 \\100id \\045\\062\\063s\"\n"));
    assert_non_null(strstr(script, "set label \"\\047\" at first 3"));
    assert_null(strstr(script, "\nplot \xc3"));
    assert_null(strstr(script, "set ylabel"));
    free(script);
}

static void test_gaps(void **state)
{
    (void)state;
    const tg_curve curve = {.x = x, .y = y, .count = 4};
    tg_plot plot = {.curve = &curve, .curves = 1};
    char *script = script_of(&plot);
    assert_non_null(strstr(script, "<< END\n1 0.5\nNaN NaN\n30 -2\n400 7.25\nEND\n"));
    free(script);
    plot.y_log = true;
    script = script_of(&plot);
    assert_non_null(strstr(script, "<< END\n1 0.5\nNaN NaN\nNaN NaN\n400 7.25\nEND\n"));
    free(script);
}

static void test_nothing_to_draw(void **state)
{
    (void)state;
    const double none[] = {NAN, -1, INFINITY}, some[] = {1, 2, 3};
    const tg_curve curve = {.x = some, .y = none, .count = 3};
    tg_plot plot = {.y_log = true, .curve = &curve, .curves = 1};
    assert_int_equal(tg_plot_file(&plot, inside("none.png")), TG_EINVAL);
    assert_string_equal(tg_message(), "there is nothing to plot: no curve has a point that could be drawn");
    plot.curves = 0;
    assert_int_equal(tg_plot_file(&plot, inside("none.png")), TG_EINVAL);
    assert_false(exists(inside("none.png")));
}

static void test_table(void **state)
{
    (void)state;
    const char *const name[] = {"a\tb", "loss"};
    const double *const column[] = {x, y};
    char line[64];
    assert_int_equal(tg_table_write(inside("t.tsv"), name, column, 2, 4), TG_OK);
    FILE *file = fopen(inside("t.tsv"), "r");
    assert_non_null(fgets(line, sizeof line, file));
    assert_string_equal(line, "a b\tloss\n");
    for (size_t i = 0; i < 4; i++) {
        char *rest;
        assert_non_null(fgets(line, sizeof line, file));
        assert_true(strtod(line, &rest) == x[i]);
        assert_int_equal(*rest, '\t');
        const double value = strtod(rest, &rest);
        assert_true(value == y[i] || (isnan(value) && isnan(y[i])));
        assert_string_equal(rest, "\n");
    }
    assert_null(fgets(line, sizeof line, file));
    fclose(file);
    unlink(inside("t.tsv"));
    assert_int_equal(tg_table_write(inside("not/t.tsv"), name, column, 2, 4), TG_ENOTFOUND);
}

static void test_no_memory(void **state)
{
    (void)state;
    const tg_curve curve = {.title = "loss", .x = x, .y = y, .count = 4};
    const tg_plot plot = {.curve = &curve, .curves = 1};
    const char *const name[] = {"x"};
    const double *const column[] = {x};
    tg_text script = {0};
    tg_memory_fail_at(1);
    assert_int_equal(tg_plot_script(&script, &plot, "dumb", NULL), TG_ENOMEM);
    tg_text_free(&script);
    tg_memory_fail_at(1);
    assert_int_equal(tg_table_write(inside("t.tsv"), name, column, 1, 4), TG_ENOMEM);
    tg_memory_fail_at(0);
    assert_false(exists(inside("t.tsv")));
}

static const double height[] = {0, 1, 2, 3, 4, 5, 6, 7, NAN}, level[] = {0.385, 4.5};

static const tg_plot_surface surface = {.x_low = -1, .x_high = 3, .y_low = 2, .y_high = 2.5, .columns = 3, .rows = 3,
                                        .z = height, .level = level, .levels = 2};

static void test_surface(void **state)
{
    (void)state;
    const tg_plot plot = {.surface = &surface};
    char *script = script_of(&plot);
    assert_non_null(strstr(script, "$surface << END\n0 1 2\n3 4 5\n6 7 NaN\nEND\n"));
    assert_non_null(strstr(script, "levels discrete 0.385,4.5\n"));
    assert_non_null(strstr(script, "using (-1 + $1*2):(2 + $2*0.25):3 matrix\n"));
    assert_non_null(strstr(script, "set xrange [-1:3]\nset yrange [2:2.5]\n"));
    free(script);
}

/* No two of the first 28 lines look the same. */
static void test_lines_differ(void **state)
{
    (void)state;
    const tg_curve curve = {.x = x, .y = x, .count = 4};
    const tg_plot plot = {.curve = &curve, .curves = 1};
    char *script = script_of(&plot), look[28][64];
    const char *at = script;
    for (size_t i = 0; i < 28; i++) {
        int number = 0;
        at = strstr(at, "set linetype ");
        assert_int_equal(sscanf(at, "set linetype %d lc rgb %63[^\n]", &number, look[i]), 2);
        assert_int_equal(number, (int)i + 1);
        *strstr(look[i], " pt ") = '\0';
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(look[i], look[j]);
        at++;
    }
    free(script);
}

/* The script that is written draws the picture beside it. */
static void test_script_file(void **state)
{
    (void)state;
    const tg_curve curve = {.title = "loss", .x = x, .y = y, .count = 4, .style = TG_CURVE_PATH};
    const tg_plot plot = {.surface = &surface, .curve = &curve, .curves = 1};
    char text[4096] = "", *path = strdup(getenv("PATH"));
    setenv("PATH", "/nowhere", 1);
    assert_int_equal(tg_plot_file(&plot, inside("p.gp")), TG_OK); /* needs no gnuplot */
    setenv("PATH", path, 1);
    free(path);
    FILE *file = fopen(inside("p.gp"), "r");
    assert_true(fread(text, 1, sizeof text - 1, file) > 200);
    fclose(file);
    assert_non_null(strstr(text, "p\\056png\"\n"));
    assert_non_null(strstr(text, "linespoints lt 1 dt solid"));
    unlink(inside("p.gp"));
    const char *const bad[] = {"p.jpg", "p", ".png", "p.PNG", "png"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(tg_plot_file(&plot, bad[i]), TG_EINVAL);
        assert_non_null(strstr(tg_message(), "must end in .png, .svg or .gp"));
    }
}

/* ---- with gnuplot ---- */

static void need_gnuplot(void)
{
    if (system("gnuplot --version > /dev/null 2>&1") != 0) {
        print_message("gnuplot is not installed: skipped\n");
        skip();
    }
}

static void count_stars(void *ctx, const char *line)
{
    for (; *line != '\0'; line++)
        *(int *)ctx += *line == '*';
}

static void test_characters(void **state)
{
    (void)state;
    need_gnuplot();
    const tg_curve curve = {.title = "loss", .x = x, .y = x, .count = 4};
    const tg_plot plot = {.x_label = "update", .curve = &curve, .curves = 1};
    int stars = 0;
    assert_int_equal(tg_plot_text(&plot, 60, 20, count_stars, &stars), TG_OK);
    assert_true(stars > 20);
}

static void test_picture(void **state)
{
    (void)state;
    need_gnuplot();
    const char *evil = "'; system('touch pwned') #`touch pwned`$(touch pwned)\\";
    const tg_curve curve = {.title = evil, .x = x, .y = y, .count = 4};
    const tg_plot_mark mark = {.x = 30, .text = evil};
    const tg_plot plot = {
        .title = evil, .x_label = evil, .x_log = true, .curve = &curve, .curves = 1, .mark = &mark, .marks = 1};
    unsigned char head[8];
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(tg_plot_file(&plot, inside("p'.png")), TG_OK);
    FILE *file = fopen(inside("p'.png"), "rb");
    assert_int_equal(fread(head, 1, 8, file), 8);
    fclose(file);
    assert_memory_equal(head, "\x89PNG\r\n\x1a\n", 8);
    unlink(inside("p'.png")); /* and nothing else is there: the folder's removal tells */
    assert_int_equal(chdir("/"), 0);
}

static void test_drawing(void **state)
{
    (void)state;
    need_gnuplot();
    const tg_curve_style styles[] = {TG_CURVE_LINE, TG_CURVE_POINTS, TG_CURVE_PATH, TG_CURVE_DOTS, TG_CURVE_STEPS};
    char head[64] = "";
    for (size_t i = 0; i < 5; i++) {
        const tg_curve curve = {.title = "loss", .x = x, .y = x, .count = 4, .style = styles[i]};
        const tg_plot plot = {.curve = &curve, .curves = 1, .surface = i % 2 == 0 ? &surface : NULL};
        assert_int_equal(tg_plot_file(&plot, inside("p.svg")), TG_OK);
        FILE *file = fopen(inside("p.svg"), "rb");
        assert_int_equal(fread(head, 1, 60, file), 60);
        fclose(file);
        assert_non_null(strstr(head, "<svg"));
        unlink(inside("p.svg"));
    }
}

static void test_raster(void **state)
{
    static const unsigned char rgb[] = {1, 2, 3, 255, 0, 16, 0, 0, 0, 9, 8, 7, 6, 5, 4, 250, 251, 252};
    const tg_plot_words words[] = {{1.5, 0.25, "it's `a`"}};
    tg_plot_raster raster = {.width = 3, .height = 2, .zoom = 40, .rgb = rgb, .words = words, .labels = 1};
    tg_text script = {0};
    (void)state;
    assert_int_equal(tg_raster_script(&script, &raster, "dumb", NULL), TG_OK);
    tg_text_append(&script, "", 1);
    assert_non_null(strstr(script.at, "set label \"it\\047s \\140a\\140\" at first 1.5, first 0.25 center"));
    assert_non_null(strstr(script.at, "\n66051 16711696 0\n591879 394500 16448508\n"));
    assert_non_null(strstr(script.at, "set yrange [2:0]\n")); /* the first row on top */
    tg_text_free(&script);
    assert_int_equal(tg_plot_raster_file(&raster, inside("p.jpg")), TG_EINVAL);
    raster.height = 0;
    assert_int_equal(tg_plot_raster_file(&raster, inside("p.png")), TG_EINVAL);
    assert_false(exists(inside("p.png")));
    raster.height = 2;
    need_gnuplot();
    assert_int_equal(tg_plot_raster_file(&raster, inside("p.png")), TG_OK);
    unsigned char head[24] = {0};
    FILE *file = fopen(inside("p.png"), "rb");
    assert_int_equal(fread(head, 1, sizeof head, file), sizeof head);
    fclose(file);
    assert_memory_equal(head + 1, "PNG", 3);
    assert_true(head[18] == 0 && head[19] == 120 && head[22] == 0 && head[23] == 80); /* 3 x 2, each 40 wide */
    assert_int_equal(remove(inside("p.png")), 0);
}

static void test_no_gnuplot(void **state)
{
    (void)state;
    const tg_curve curve = {.x = x, .y = x, .count = 4};
    const tg_plot plot = {.curve = &curve, .curves = 1};
    char *path = strdup(getenv("PATH"));
    setenv("PATH", "/nowhere", 1);
    assert_int_equal(tg_plot_file(&plot, inside("p.png")), TG_EUNSUPPORTED);
    assert_non_null(strstr(tg_message(), "gnuplot-nox"));
    setenv("PATH", path, 1);
    free(path);
    assert_false(exists(inside("p.png")));
}

/* A gnuplot that fails is told with its own last words, and leaves no file. */
static void test_failing_gnuplot(void **state)
{
    (void)state;
    const tg_curve curve = {.x = x, .y = x, .count = 4};
    const tg_plot plot = {.curve = &curve, .curves = 1};
    char *path = strdup(getenv("PATH"));
    FILE *file = fopen(inside("gnuplot"), "w");
    fputs("#!/bin/sh\necho half\necho 'line 7: out of paint' >&2\nexit 3\n", file);
    fclose(file);
    chmod(inside("gnuplot"), 0755);
    setenv("PATH", folder, 1);
    assert_int_equal(tg_plot_file(&plot, inside("p.png")), TG_EIO);
    assert_string_equal(tg_message(), "gnuplot failed: line 7: out of paint");
    setenv("PATH", path, 1);
    free(path);
    assert_false(exists(inside("p.png")));
    unlink(inside("gnuplot"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_are_quoted), cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_nothing_to_draw),  cmocka_unit_test(test_table),
        cmocka_unit_test(test_no_memory),        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_picture),          cmocka_unit_test(test_no_gnuplot),
        cmocka_unit_test(test_failing_gnuplot), cmocka_unit_test(test_surface),
        cmocka_unit_test(test_lines_differ),     cmocka_unit_test(test_script_file),
        cmocka_unit_test(test_drawing),          cmocka_unit_test(test_raster),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
