/* plot.c -- tiger plot: schedules, the losses of runs, paths of minimizations, surfaces, histograms. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "gallery.h"
#include "picture.h"
#include "tiger/engine/metrics.h"
#include "tiger/schedule.h"

#define MOST_POINTS 4000 /* of a schedule's curve: more than a picture has columns */

static const cli_text texts[] = {
    {"out", "FILE", NULL,
     "the picture: FILE.png, FILE.svg, or FILE.gp, the gnuplot script; without it curves are drawn with characters"},
    {"tensor", "PATTERN", "*",
     "of a histogram: tensors to draw, as the shell's patterns; at most 8 are drawn one by one"},
    {"x-range", "LOW,HIGH", NULL, "of a surface (default: the problem's box, or around the paths)"},
    {"y-range", "LOW,HIGH", NULL, "likewise"},
};

static const tg_option options[] = {
    {.name = "updates",
     .kind = TG_INTEGER,
     .value = 2000,
     .least = 1,
     .most = TG_WHOLE_MOST,
     .help = "length of the run that a schedule is drawn for"},
    {.name = "kind", .kind = TG_CHOICE, .value = 0, .choices = "auto|surface|curves",
     .help = "paths over contour lines, or f over the updates; auto: the former for one function of 2 variables"},
    {.name = "bins", .kind = TG_INTEGER, .value = 100, .least = 1, .most = 10000, .help = "of a histogram"},
};

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

static int add_courses(cli_gallery *g, const cli_args *args, const char *text, uint64_t updates)
{
    const size_t count = updates < MOST_POINTS ? (size_t)updates : MOST_POINTS;
    tg_schedule *schedule = NULL;
    int status = cli_answer(args, tg_schedule_create(&schedule, text, updates, NULL));
    if (status != CLI_OK)
        return status;
    for (size_t c = 0; c < tg_schedule_courses(schedule) && status == CLI_OK; c++) {
        const size_t i = g->curves;
        status = cli_gallery_add(g, args, count);
        if (status != CLI_OK)
            break;
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

static int plot_schedules(cli_gallery *g, const cli_args *args)
{
    int status = CLI_OK;
    if (args->positionals == 1)
        return cli_usage(args, "the schedule is missing; usage: tiger plot schedule TEXT... [options]");
    for (size_t i = 1; i < args->positionals && status == CLI_OK; i++)
        status = add_courses(g, args, args->positional[i], (uint64_t)cli_number_of(args, "updates"));
    const tg_plot plot = {
        .x_label = "update", .y_label = "factor of the base value", .curve = g->curve, .curves = g->curves};
    return status != CLI_OK ? status : cli_picture(args, &plot, cli_text_of(args, "out"));
}

/* ---- runs ---- */

static int add_series(cli_gallery *g, const cli_args *args, const char *run, const char *name, const char *shown)
{
    tg_series series = {0};
    const size_t i = g->curves;
    int status = cli_answer(args, tg_series_read(&series, run, name));
    if (status != CLI_OK)
        return status;
    if (series.count > 0)
        status = cli_gallery_add(g, args, series.count);
    if (series.count > 0 && status == CLI_OK) {
        memcpy(g->x[i], series.update, series.count * sizeof *series.update);
        memcpy(g->y[i], series.value, series.count * sizeof *series.value);
        snprintf(g->title[i], sizeof g->title[i], "%.120s: %s", run, shown);
        g->curve[i].style = strcmp(name, "loss") != 0 ? TG_CURVE_POINTS : TG_CURVE_LINE;
    }
    tg_series_fini(&series);
    return status;
}

/* Losses of models of language are of tokens, whose rate their metrics have. */
static int counts_tokens(bool *tokens, const cli_args *args, const char *run)
{
    tg_series series = {0};
    const int status = cli_answer(args, tg_series_read(&series, run, "tokens_per_second"));
    *tokens = *tokens && series.count > 0;
    tg_series_fini(&series);
    return status;
}

static int plot_runs(cli_gallery *g, const cli_args *args)
{
    int status = CLI_OK;
    bool tokens = true;
    for (size_t i = 0; i < args->positionals && status == CLI_OK; i++) {
        status = add_series(g, args, args->positional[i], "loss", "training");
        if (status == CLI_OK)
            status = add_series(g, args, args->positional[i], "validation_loss", "validation");
        if (status == CLI_OK)
            status = counts_tokens(&tokens, args, args->positional[i]);
    }
    const tg_plot plot = {.x_label = "update",
                          .y_label = tokens ? "loss (nats a token)" : "loss",
                          .curve = g->curve,
                          .curves = g->curves};
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

/* What the first argument may say, and which options go with it; any other is a run. */
typedef struct subject {
    const char *word;
    int (*plot)(cli_gallery *g, const cli_args *args);
    const char *options; /* " a b ": those of the table that it has */
} subject;

static const subject subjects[] = {
    {"schedule", plot_schedules, " updates "},
    {"minimize", cli_plot_minimize, " kind x-range y-range "},
    {"surface", cli_plot_surface, " x-range y-range "},
    {"histogram", cli_plot_histogram, " tensor bins "},
    {NULL, plot_runs, " "},
};

static const subject *find_subject(const char *word)
{
    const subject *s = subjects;
    while (s->word != NULL && strcmp(s->word, word) != 0)
        s++;
    return s;
}

/* Options that say nothing about this subject are refused. */
static int check_options(const cli_args *args, const subject *s)
{
    for (size_t i = 0; i < args->given_count; i++) {
        const cli_given *given = &args->given[i];
        const char *name = given->is_option ? options[given->index].name : texts[given->index].name;
        char word[64];
        snprintf(word, sizeof word, " %s ", name);
        if (strcmp(name, "out") == 0 || strstr(s->options, word) != NULL)
            continue;
        if (s->word == NULL && strcmp(name, "updates") == 0)
            return cli_usage(args, "--updates is for schedules: a run has its own");
        return cli_usage(args, "--%s says nothing about %s", name, s->word != NULL ? s->word : "runs");
    }
    return CLI_OK;
}

static int run(const cli_args *args)
{
    const subject *s = find_subject(args->positional[0]);
    const int checked = check_options(args, s);
    if (checked != CLI_OK)
        return checked;
    cli_gallery *g = calloc(1, sizeof *g);
    if (g == NULL) {
        cli_usage(args, "no memory for the curves");
        return CLI_FAILED;
    }
    const int status = s->plot(g, args);
    cli_gallery_free(g);
    return status;
}

const cli_command cli_plot = {
    .name = "plot",
    .summary = "draws schedules, losses of runs, paths of minimizations, surfaces and histograms",
    .usage = "RUN... | schedule TEXT... | minimize FILE... | surface PROBLEM | histogram FILE [options]",
    .details =
        "RUN is a directory of tiger train, whose metrics.jsonl is read.\n"
        "tiger plot schedule \"warmup:100 > cosine\" draws a schedule's factors over a run; plateau is drawn as if "
        "every evaluation were a gain.\n"
        "tiger plot minimize FILE.jsonl draws the paths that tiger minimize --out wrote, of several files into one "
        "picture.\n"
        "tiger plot surface rosenbrock draws the contour lines of a problem, or of an expression in x and y.\n"
        "tiger plot histogram DIR draws how the values of a model are distributed; of its momentum: "
        "DIR/optimizer.safetensors.\n"
        "Drawing needs gnuplot (Debian: gnuplot-nox); writing its script does not.",
    .positionals_least = 1,
    .positionals_most = CLI_POSITIONALS,
    .arrange = arrange,
    .run = run,
};
