/* plot.c -- tiger plot: schedules, and the losses of runs, as curves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "picture.h"
#include "tiger/engine/metrics.h"
#include "tiger/schedule.h"

#define MOST_POINTS 4000 /* of a schedule's curve: more than a picture has columns */
#define MOST_CURVES (8 * CLI_POSITIONALS)

static const cli_text texts[] = {
    {"out", "FILE.png", NULL, "the picture; without it the curves are drawn with characters"},
};

static const tg_option options[] = {
    {.name = "updates",
     .kind = TG_INTEGER,
     .value = 2000,
     .least = 1,
     .most = 9007199254740992.0,
     .help = "length of the run that a schedule is drawn for"},
};

/* Curves, and what they own. */
typedef struct gallery {
    tg_curve curve[MOST_CURVES];
    double *x[MOST_CURVES], *y[MOST_CURVES];
    char title[MOST_CURVES][160];
    size_t curves;
} gallery;

static void gallery_free(gallery *g)
{
    for (size_t i = 0; i < g->curves; i++) {
        free(g->x[i]);
        free(g->y[i]);
    }
    free(g);
}

/* A curve with room for `count` points; NULL, with a line printed, when there is none. */
static tg_curve *new_curve(gallery *g, const cli_args *args, size_t count)
{
    const size_t i = g->curves;
    if (i == MOST_CURVES) {
        cli_usage(args, "more than %d curves in one picture", MOST_CURVES);
        return NULL;
    }
    g->x[i] = malloc((count + 1) * sizeof *g->x[i]);
    g->y[i] = malloc((count + 1) * sizeof *g->y[i]);
    g->curves++;
    if (g->x[i] == NULL || g->y[i] == NULL) {
        cli_usage(args, "no memory for %zu points", count);
        return NULL;
    }
    g->curve[i] = (tg_curve){.title = g->title[i], .x = g->x[i], .y = g->y[i], .count = count};
    return &g->curve[i];
}

/* ---- schedules ---- */

/* The text's part that is about one course, without blanks around it. */
static void course_title(char *title, size_t bytes, const char *text, size_t course)
{
    for (; course > 0; course--)
        text += strcspn(text, ";") + 1;
    size_t length = strcspn(text, ";");
    for (; length > 0 && *text == ' '; length--)
        text++;
    while (length > 0 && text[length - 1] == ' ')
        length--;
    snprintf(title, bytes, "%.*s", (int)(length < bytes ? length : bytes - 1), text);
}

static int add_courses(gallery *g, const cli_args *args, const char *text, uint64_t updates)
{
    const size_t count = updates < MOST_POINTS ? (size_t)updates : MOST_POINTS;
    tg_schedule *schedule = NULL;
    if (tg_schedule_create(&schedule, text, updates, NULL) != TG_OK)
        return cli_failed(args);
    int status = CLI_OK;
    for (size_t c = 0; c < tg_schedule_courses(schedule) && status == CLI_OK; c++) {
        const size_t i = g->curves;
        if (new_curve(g, args, count) == NULL) {
            status = CLI_FAILED;
            break;
        }
        course_title(g->title[i], sizeof g->title[i], text, c);
        for (size_t p = 0; p < count; p++) {
            const uint64_t u = (uint64_t)((double)p * (double)updates / (double)count);
            g->x[i][p] = (double)u;
            g->y[i][p] = tg_schedule_course_factor(schedule, c, u);
        }
    }
    tg_schedule_destroy(schedule);
    return status;
}

static int plot_schedules(gallery *g, const cli_args *args)
{
    int status = CLI_OK;
    for (size_t i = 1; i < args->positionals && status == CLI_OK; i++)
        status = add_courses(g, args, args->positional[i], (uint64_t)cli_number_of(args, "updates"));
    const tg_plot plot = {
        .x_label = "update", .y_label = "factor of the base value", .curve = g->curve, .curves = g->curves};
    return status != CLI_OK ? status : cli_picture(args, &plot, cli_text_of(args, "out"));
}

/* ---- runs ---- */

static int add_series(gallery *g, const cli_args *args, const char *run, const char *name, const char *shown)
{
    tg_series series = {0};
    const size_t i = g->curves;
    if (tg_series_read(&series, run, name) != TG_OK)
        return cli_failed(args);
    int status = CLI_OK;
    if (series.count > 0 && new_curve(g, args, series.count) == NULL)
        status = CLI_FAILED;
    else if (series.count > 0) {
        memcpy(g->x[i], series.update, series.count * sizeof *series.update);
        memcpy(g->y[i], series.value, series.count * sizeof *series.value);
        snprintf(g->title[i], sizeof g->title[i], "%.120s: %s", run, shown);
        g->curve[i].points = strcmp(name, "loss") != 0;
    }
    tg_series_fini(&series);
    return status;
}

static int plot_runs(gallery *g, const cli_args *args)
{
    int status = CLI_OK;
    for (size_t i = 0; i < args->positionals && status == CLI_OK; i++) {
        status = add_series(g, args, args->positional[i], "loss", "training");
        if (status == CLI_OK)
            status = add_series(g, args, args->positional[i], "validation_loss", "validation");
    }
    const tg_plot plot = {
        .x_label = "update", .y_label = "loss (nats a token)", .curve = g->curve, .curves = g->curves};
    return status != CLI_OK ? status : cli_picture(args, &plot, cli_text_of(args, "out"));
}

static int arrange(cli_args *args)
{
    cli_add_group(args, &(cli_group){.title = "Options",
                                     .text = texts,
                                     .texts = sizeof texts / sizeof *texts,
                                     .table = {options, sizeof options / sizeof *options}});
    return CLI_OK;
}

static int run(const cli_args *args)
{
    const bool schedules = strcmp(args->positional[0], "schedule") == 0;
    if (schedules && args->positionals == 1)
        return cli_usage(args, "the schedule is missing; usage: tiger plot schedule TEXT... [options]");
    if (!schedules && cli_is_given(args, "updates"))
        return cli_usage(args, "--updates is for schedules: a run has its own");
    gallery *g = calloc(1, sizeof *g);
    if (g == NULL) {
        cli_usage(args, "no memory for the curves");
        return CLI_FAILED;
    }
    const int status = schedules ? plot_schedules(g, args) : plot_runs(g, args);
    gallery_free(g);
    return status;
}

const cli_command cli_plot = {
    .name = "plot",
    .summary = "draws schedules, or the losses of runs",
    .usage = "schedule TEXT... | RUN... [options]",
    .details =
        "tiger plot schedule \"warmup:100 > cosine\" draws a schedule's factors over a run; plateau is drawn as if "
        "every evaluation were a gain. RUN is a directory of tiger train, whose metrics.jsonl is read. Several are "
        "drawn into one picture. Drawing needs gnuplot (Debian: gnuplot-nox).",
    .positionals_least = 1,
    .positionals_most = CLI_POSITIONALS,
    .arrange = arrange,
    .run = run,
};
