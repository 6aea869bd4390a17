/* plot_minimize.c -- paths of tiger minimize: over contour lines, or as curves of f. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "gallery.h"
#include "picture.h"
#include "tiger/engine/descent.h"

#define GRID 61 /* points of the surface each way */
#define LEVELS 12
#define LOWEST 10       /* the first line is around the lowest tenth: narrower valleys fall between the grid points */
#define MOST_POINTS 400 /* of a curve of f */
#define STEP 0.004      /* of the box: points of a path that are nearer are left out */

enum { AUTO, SURFACE, CURVES }; /* the choices of --kind */

typedef struct box {
    double low[2], high[2];
} box;

/* ---- the surface ------------------------------------------------------------------------------------------------- */

/* "-2,2" of a flag into low and high; CLI_OK as well when it was not given. */
static int read_range(const cli_args *args, const char *flag, double *low, double *high)
{
    static const tg_option number = {.name = "the range", .kind = TG_REAL, .least = -1e12, .most = 1e12};
    const char *text = cli_text_of(args, flag), *comma = text != NULL ? strchr(text, ',') : NULL;
    char first[64];
    double from, to;
    if (text == NULL)
        return CLI_OK;
    snprintf(first, sizeof first, "%.*s", comma != NULL ? (int)(comma - text) : 0, text);
    if (comma == NULL || tg_option_parse(&from, &number, first) != TG_OK ||
        tg_option_parse(&to, &number, comma + 1) != TG_OK || !(from < to))
        return cli_usage(args, "--%s is two numbers, the lesser first: -2,2", flag);
    *low = from;
    *high = to;
    return CLI_OK;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Turns z into the root of its height above the least: beside a valley that grows as a straight line, which is what the
 * contour lines are interpolated by. Levels are evenly spread in the logarithm, from the lowest tenth of the box up. */
static size_t make_levels(double *level, double *z, size_t count, double least)
{
    double *sorted = malloc(count * sizeof *sorted);
    size_t finite = 0;
    if (sorted == NULL)
        return 0;
    for (size_t i = 0; i < count; i++)
        if (isfinite(z[i]) && !(z[i] >= least))
            least = z[i];
    for (size_t i = 0; i < count; i++) {
        z[i] = isfinite(z[i]) ? sqrt(z[i] - least) : NAN;
        if (isfinite(z[i]))
            sorted[finite++] = z[i];
    }
    qsort(sorted, finite, sizeof *sorted, compare);
    const double low = finite > 0 ? sorted[finite / LOWEST] : 0, high = finite > 0 ? sorted[finite - 1] : 0;
    free(sorted);
    if (!(low > 0) || !(high > low))
        return 0;
    for (size_t i = 0; i < LEVELS; i++)
        level[i] = low * pow(high / low, (double)i / LEVELS);
    return LEVELS;
}

/* The picture: the gallery's curves over the problem's surface. */
static int draw_surface(const cli_gallery *g, const cli_args *args, const tg_problem *problem, const box *b)
{
    char name[2][64];
    double level[LEVELS], *z = malloc(GRID * GRID * sizeof *z);
    if (z == NULL) {
        cli_usage(args, "no memory for a surface");
        return CLI_FAILED;
    }
    for (size_t r = 0; r < GRID; r++)
        for (size_t c = 0; c < GRID; c++) {
            const double x[] = {b->low[0] + (b->high[0] - b->low[0]) * (double)c / (GRID - 1),
                                b->low[1] + (b->high[1] - b->low[1]) * (double)r / (GRID - 1)};
            z[r * GRID + c] = tg_problem_evaluate(problem, x, NULL);
        }
    const tg_plot_surface surface = {.x_low = b->low[0],
                                     .x_high = b->high[0],
                                     .y_low = b->low[1],
                                     .y_high = b->high[1],
                                     .columns = GRID,
                                     .rows = GRID,
                                     .z = z,
                                     .level = level,
                                     .levels = make_levels(level, z, GRID * GRID, tg_problem_least(problem))};
    for (size_t i = 0; i < 2; i++)
        tg_problem_variable_name(name[i], sizeof name[i], problem, i);
    const char *text = tg_problem_text(problem);
    const tg_plot plot = {.title = text != NULL ? text : tg_problem_get_info(problem)->name,
                          .x_label = name[0],
                          .y_label = name[1],
                          .surface = &surface,
                          .curve = g->curve,
                          .curves = g->curves};
    int status = CLI_OK;
    if (surface.levels == 0)
        status = cli_usage(args, "the function is flat, or not finite, in this box: there are no contour lines");
    else
        status = cli_picture(args, &plot, cli_text_of(args, "out"));
    free(z);
    return status;
}

/* The known minima within the box, as dots. */
static int add_minima(cli_gallery *g, const cli_args *args, const tg_problem *problem, const box *b)
{
    const size_t known = tg_problem_minima(problem), i = g->curves;
    size_t shown = 0;
    if (known == 0)
        return CLI_OK;
    const int added = cli_gallery_add(g, args, known);
    if (added != CLI_OK)
        return added;
    for (size_t k = 0; k < known; k++) {
        double x[2];
        tg_problem_minimum(problem, k, x);
        if (x[0] < b->low[0] || x[0] > b->high[0] || x[1] < b->low[1] || x[1] > b->high[1])
            continue;
        g->x[i][shown] = x[0];
        g->y[i][shown++] = x[1];
    }
    g->curve[i].count = shown;
    g->curve[i].style = TG_CURVE_DOTS;
    snprintf(g->title[i], sizeof g->title[i], known == 1 ? "minimum" : "minima");
    return CLI_OK;
}

static int check_plane(const cli_args *args, const tg_problem *problem)
{
    const size_t n = tg_problem_variables(problem);
    return n == 2 ? CLI_OK : cli_usage(args, "a surface needs a function of 2 variables, not of %zu", n);
}

static int read_box(box *b, const cli_args *args, const tg_problem *problem)
{
    tg_problem_box(problem, b->low, b->high);
    const int status = read_range(args, "x-range", &b->low[0], &b->high[0]);
    return status == CLI_OK ? read_range(args, "y-range", &b->low[1], &b->high[1]) : status;
}

int cli_plot_surface(cli_gallery *g, const cli_args *args)
{
    tg_problem *problem = NULL;
    box b;
    if (args->positionals != 2)
        return cli_usage(args, "which surface? usage: tiger plot surface PROBLEM|EXPRESSION [options]");
    const char *what = args->positional[1];
    const tg_status made = tg_problem_find(what) != NULL ? tg_problem_create(&problem, what, NULL)
                                                         : tg_problem_parse(&problem, what, NULL);
    if (made != TG_OK)
        return cli_answer(args, made);
    int status = check_plane(args, problem);
    if (status == CLI_OK)
        status = read_box(&b, args, problem);
    if (status == CLI_OK)
        status = add_minima(g, args, problem, &b);
    if (status == CLI_OK)
        status = draw_surface(g, args, problem, &b);
    tg_problem_destroy(problem);
    return status;
}

/* ---- paths ------------------------------------------------------------------------------------------------------- */

/* All files' paths. */
typedef struct paths {
    tg_traces file[CLI_POSITIONALS];
    size_t files;
    const tg_trace *at[CLI_CURVES];
    size_t count;
} paths;

static int read_paths(paths *p, const cli_args *args)
{
    for (size_t i = 1; i < args->positionals; i++) {
        tg_traces *file = &p->file[p->files];
        const int status = cli_answer(args, tg_traces_read(file, args->positional[i]));
        if (status != CLI_OK)
            return status;
        p->files++;
        for (size_t t = 0; t < file->count; t++) {
            if (p->count == CLI_CURVES)
                return cli_usage(args, "more than %d paths in one picture", CLI_CURVES);
            p->at[p->count++] = &file->at[t];
        }
    }
    return CLI_OK;
}

static bool same_problem(const tg_problem *a, const tg_problem *b)
{
    const tg_problem_info *info = tg_problem_get_info(a);
    if (info != tg_problem_get_info(b))
        return false;
    if (info == NULL)
        return strcmp(tg_problem_text(a), tg_problem_text(b)) == 0;
    for (size_t i = 0; i < info->options.count; i++)
        if (tg_problem_option(a, i) != tg_problem_option(b, i))
            return false;
    return true;
}

static bool one_problem(const paths *p)
{
    for (size_t i = 1; i < p->count; i++)
        if (!same_problem(p->at[0]->problem, p->at[i]->problem))
            return false;
    return true;
}

/* Where the picture of a function that a user wrote down looks: around the paths. */
static void box_of_paths(box *b, const paths *p)
{
    *b = (box){{INFINITY, INFINITY}, {-INFINITY, -INFINITY}};
    for (size_t t = 0; t < p->count; t++)
        for (size_t i = 0; i < p->at[t]->count; i++)
            for (size_t v = 0; v < 2; v++) {
                const double x = p->at[t]->x[2 * i + v];
                b->low[v] = x < b->low[v] ? x : b->low[v];
                b->high[v] = x > b->high[v] && fabs(x) <= 1e12 ? x : b->high[v];
            }
    for (size_t v = 0; v < 2; v++) {
        const double low = fmax(b->low[v], -1e12), high = fmax(b->high[v], low), margin = 0.25 * (high - low) + 0.1;
        b->low[v] = low - margin;
        b->high[v] = high + margin;
    }
}

/* Points of a path that a reader could not tell from the last shown one are left out; its end is not. */
static int add_path(cli_gallery *g, const cli_args *args, const tg_trace *t, const box *b)
{
    const size_t i = g->curves;
    size_t shown = 0;
    const int added = cli_gallery_add(g, args, t->count);
    if (added != CLI_OK)
        return added;
    for (size_t k = 0; k < t->count; k++) {
        const double *x = t->x + 2 * k;
        const double across = shown == 0 ? 1 : (x[0] - g->x[i][shown - 1]) / (b->high[0] - b->low[0]);
        const double up = shown == 0 ? 1 : (x[1] - g->y[i][shown - 1]) / (b->high[1] - b->low[1]);
        if (k + 1 < t->count && hypot(across, up) < STEP)
            continue;
        g->x[i][shown] = x[0];
        g->y[i][shown++] = x[1];
    }
    g->curve[i].count = shown;
    g->curve[i].style = TG_CURVE_PATH;
    snprintf(g->title[i], sizeof g->title[i], "%s", t->title);
    return CLI_OK;
}

static int plot_over_surface(cli_gallery *g, const cli_args *args, const paths *p)
{
    const tg_problem *problem = p->at[0]->problem;
    box b;
    int status = check_plane(args, problem);
    if (status == CLI_OK && !one_problem(p))
        status = cli_usage(args, "the paths are of different functions: draw them with --kind curves");
    if (status != CLI_OK)
        return status;
    if (tg_problem_text(problem) != NULL)
        box_of_paths(&b, p);
    else
        tg_problem_box(problem, b.low, b.high);
    status = read_range(args, "x-range", &b.low[0], &b.high[0]);
    if (status == CLI_OK)
        status = read_range(args, "y-range", &b.low[1], &b.high[1]);
    for (size_t i = 0; i < p->count && status == CLI_OK; i++)
        status = add_path(g, args, p->at[i], &b);
    if (status == CLI_OK)
        status = add_minima(g, args, problem, &b);
    return status == CLI_OK ? draw_surface(g, args, problem, &b) : status;
}

/* ---- curves of f ------------------------------------------------------------------------------------------------- */

static int add_curve(cli_gallery *g, const cli_args *args, const tg_trace *t, double least)
{
    const size_t i = g->curves, count = t->count < MOST_POINTS ? t->count : MOST_POINTS;
    const int added = cli_gallery_add(g, args, count);
    if (added != CLI_OK)
        return added;
    for (size_t k = 0; k < count; k++) {
        const size_t from = count > 1 ? k * (t->count - 1) / (count - 1) : 0;
        g->x[i][k] = t->update[from];
        g->y[i][k] = t->value[from] - least;
    }
    snprintf(g->title[i], sizeof g->title[i], "%s", t->title);
    return CLI_OK;
}

/* Above the least f where that is known of all, on a logarithmic axis where nothing is below 0. */
static int plot_curves(cli_gallery *g, const cli_args *args, const paths *p)
{
    bool known = true, positive = true;
    int status = CLI_OK;
    for (size_t i = 0; i < p->count; i++)
        known = known && tg_problem_minima(p->at[i]->problem) > 0;
    for (size_t i = 0; i < p->count && status == CLI_OK; i++) {
        const double least = known ? tg_problem_least(p->at[i]->problem) : 0;
        for (size_t k = 0; k < p->at[i]->count; k++)
            positive = positive && !(p->at[i]->value[k] < 0);
        status = add_curve(g, args, p->at[i], least);
    }
    const tg_plot plot = {.x_label = "update",
                          .y_label = known ? "f above its least value" : "f",
                          .y_log = known || positive,
                          .curve = g->curve,
                          .curves = g->curves};
    return status == CLI_OK ? cli_picture(args, &plot, cli_text_of(args, "out")) : status;
}

int cli_plot_minimize(cli_gallery *g, const cli_args *args)
{
    if (args->positionals < 2)
        return cli_usage(args, "the file is missing; usage: tiger plot minimize FILE.jsonl... [options]");
    paths *p = calloc(1, sizeof *p);
    if (p == NULL) {
        cli_usage(args, "no memory for the paths");
        return CLI_FAILED;
    }
    int status = read_paths(p, args);
    if (status == CLI_OK) {
        const int kind = (int)cli_number_of(args, "kind");
        const bool plane = tg_problem_variables(p->at[0]->problem) == 2 && one_problem(p);
        status = kind == SURFACE || (kind == AUTO && plane) ? plot_over_surface(g, args, p) : plot_curves(g, args, p);
    }
    for (size_t i = 0; i < p->files; i++)
        tg_traces_fini(&p->file[i]);
    free(p);
    return status;
}
