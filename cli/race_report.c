/* race_report.c -- what a race has shown: the table, and pictures. */
#include "race_report.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "human.h"
#include "picture.h"
#include "system.h"

/* ---- the table ---- */

/* "1.8641 +- 0.0242"; of logarithms "1.2e-05 (4.1e-06 .. 3.7e-05)"; with `difference`, "+0.0242 +- 0.0101" or
 * "x 12 (3.9 .. 37)". */
static void print_interval(char *text, size_t bytes, tg_interval v, const tg_race_measure *measure, bool difference)
{
    const double size = fabs(v.mean), half = v.high - v.mean;
    const bool plain = size == 0 || (size >= 5e-5 && size < 1e5); /* four decimals show it */
    if (isnan(v.mean))
        snprintf(text, bytes, "-");
    else if (measure->logarithmic) {
        const int n = snprintf(text, bytes, difference ? "x %.2g" : "%.2e", tg_race_shown(measure, v.mean));
        if (isfinite(v.high) && n > 0 && (size_t)n < bytes)
            snprintf(text + n, bytes - (size_t)n, difference ? " (%.2g .. %.2g)" : " (%.1e .. %.1e)",
                     tg_race_shown(measure, v.low), tg_race_shown(measure, v.high));
    } else {
        const int n = snprintf(text, bytes, difference ? plain ? "%+.4f" : "%+.4g" : plain ? "%.4f" : "%.4g", v.mean);
        if (isfinite(half) && n > 0 && (size_t)n < bytes)
            snprintf(text + n, bytes - (size_t)n, plain ? " +- %.4f" : " +- %.2g", half);
    }
}

/* One row of what a column shows, as text. */
typedef void cell(char *text, size_t bytes, const tg_race *race, const tg_race_row *row);

static void number(char *text, size_t bytes, const char *format, double value)
{
    snprintf(text, bytes, isfinite(value) ? format : "-", value);
}

static void contender(char *text, size_t bytes, const tg_race *race, const tg_race_row *row)
{
    snprintf(text, bytes, "%s", race->config->contender[row->contender].title);
}

static void loss(char *text, size_t bytes, const tg_race *race, const tg_race_row *row)
{
    const tg_race_measure measure = tg_race_measure_of(race->config);
    print_interval(text, bytes, row->loss, &measure, false);
}

/* "96.31 % +- 0.44": the half of the interval in the mean's own format. */
static void score(char *text, size_t bytes, const tg_race *race, const tg_race_row *row)
{
    (void)race;
    snprintf(text, bytes, "-");
    if (row->scored == NULL || isnan(row->score.mean))
        return;
    const double times = row->scored->times, half = times * (row->score.high - row->score.mean);
    const int n = snprintf(text, bytes, row->scored->format, times * row->score.mean);
    if (isfinite(half) && n > 0 && (size_t)n < bytes)
        snprintf(text + n, bytes - (size_t)n, " +- %.2g", half);
}

/* What the race scores beside the loss; NULL: nothing. */
static const tg_score *score_of(const tg_race *race, const tg_race_row *row)
{
    const tg_score *found = NULL;
    for (size_t r = 0; r < race->config->contenders && found == NULL; r++)
        found = row[r].scored;
    return found;
}

static void distance(char *text, size_t bytes, const tg_race *race, const tg_race_row *row)
{
    (void)race;
    number(text, bytes, "%.2e", row->distance);
}

static void best(char *text, size_t bytes, const tg_race *race, const tg_race_row *row)
{
    const tg_contender *c = &race->config->contender[row->contender];
    snprintf(text, bytes, "%s", row->point == SIZE_MAX ? "none" : c->point[row->point].label);
}

static void updates(char *text, size_t bytes, const tg_race *race, const tg_race_row *row)
{
    (void)race;
    number(text, bytes, "%.0f", row->updates_to_target);
}

static void calls(char *text, size_t bytes, const tg_race *race, const tg_race_row *row)
{
    (void)race;
    number(text, bytes, "%.0f", row->calls_to_target);
}

static void seconds(char *text, size_t bytes, const tg_race *race, const tg_race_row *row)
{
    (void)race;
    number(text, bytes, row->seconds_to_target < 1 ? "%.2g" : "%.1f", row->seconds_to_target);
}

static void state(char *text, size_t bytes, const tg_race *race, const tg_race_row *row)
{
    (void)race;
    snprintf(text, bytes, "-");
    if (isfinite(row->state_bytes))
        cli_human_bytes(text, bytes, row->state_bytes);
}

static void milliseconds(char *text, size_t bytes, const tg_race *race, const tg_race_row *row)
{
    (void)race;
    number(text, bytes, row->update_seconds < 0.1 ? "%.3g" : "%.0f", 1e3 * row->update_seconds);
}

static void of_optimizer(char *text, size_t bytes, const tg_race *race, const tg_race_row *row)
{
    (void)race;
    number(text, bytes, row->optimizer_seconds < 0.1 ? "%.3g" : "%.0f", 1e3 * row->optimizer_seconds);
}

typedef struct column {
    const char *head, *under;
    int width; /* at least; below 0: to the left */
    cell *print;
    bool scored; /* for trainings that have a score beside the loss */
    bool counted; /* where updates have cost something else than one evaluation each */
    bool known;  /* for problems whose least value is known, which are those compared by logarithms */
} column;

static const column columns[CLI_RACE_COLUMNS] = {
    [CLI_RACE_CONTENDER] = {.head = "contender", .under = "", .width = -22, .print = contender},
    [CLI_RACE_LOSS] = {.head = NULL, .under = "mean +- 95 %", .width = -18, .print = loss},
    [CLI_RACE_SCORE] = {.head = NULL, .under = "mean +- 95 %", .width = -18, .print = score, .scored = true},
    [CLI_RACE_DISTANCE] = {.head = "distance", .under = "", .width = 9, .print = distance, .known = true},
    [CLI_RACE_BEST] = {.head = "best of its grid", .under = "", .width = -18, .print = best},
    [CLI_RACE_UPDATES] = {.head = "updates", .under = "to target", .width = 9, .print = updates},
    [CLI_RACE_CALLS] = {.head = "evaluations", .under = "to target", .width = 11, .print = calls, .counted = true},
    [CLI_RACE_SECONDS] = {.head = "seconds", .under = "to target", .width = 9, .print = seconds},
    [CLI_RACE_STATE] = {.head = "state", .under = "", .width = 10, .print = state},
    [CLI_RACE_TIME] = {.head = "ms", .under = "an update", .width = 8, .print = milliseconds},
    [CLI_RACE_OPTIMIZER] = {.head = "of these", .under = "optimizer", .width = 9, .print = of_optimizer},
};

/* Whether evaluations say more than updates do. */
static bool counts(const tg_race *race)
{
    for (size_t i = 0; i < race->runs; i++)
        for (size_t e = 0; e < race->run[i].evaluations; e++)
            if (fabs(race->run[i].calls[e] - race->run[i].update[e]) > 1e-6)
                return true;
    return false;
}

#define CELL 160

/* Of a column: its head, its second line, then the rows. */
static void print_cell(char text[CELL], const column *c, const tg_race *race, const tg_race_row *row, size_t line)
{
    const tg_race_measure measure = tg_race_measure_of(race->config);
    if (line == 0 && c->scored)
        snprintf(text, CELL, "%s", score_of(race, row) == NULL ? "" : score_of(race, row)->title);
    else if (line == 0)
        snprintf(text, CELL, "%s", c->head != NULL ? c->head : measure.words);
    else if (line == 1)
        snprintf(text, CELL, "%s", c->head == NULL && measure.logarithmic ? "mean (95 %)" : c->under);
    else
        c->print(text, CELL, race, &row[line - 2]);
}

static void print_table(const cli_race_task *task, const tg_race *race, const tg_race_row *row)
{
    const size_t lines = race->config->contenders + 2;
    const bool known = tg_race_measure_of(race->config).logarithmic, counted = counts(race);
    int width[CLI_RACE_COLUMNS];
    char text[CELL];
    for (size_t c = 0; c < task->columns; c++) {
        width[c] = abs(columns[task->column[c]].width);
        for (size_t i = 0; i < lines; i++) {
            print_cell(text, &columns[task->column[c]], race, row, i);
            width[c] = (int)strlen(text) > width[c] ? (int)strlen(text) : width[c];
        }
    }
    for (size_t i = 0; i < lines; i++) {
        for (size_t c = 0; c < task->columns; c++) {
            const column *shown = &columns[task->column[c]];
            if ((shown->known && !known) || (shown->counted && !counted) ||
                (shown->scored && score_of(race, row) == NULL))
                continue;
            print_cell(text, shown, race, row, i);
            printf("%s%*s", c > 0 ? " " : "", shown->width < 0 ? -width[c] : width[c], text);
        }
        printf("%s\n", i >= 2 && row[i - 2].at_edge ? "  !" : "");
    }
}

static void print_differences(const tg_race *race, const tg_race_row *row)
{
    const tg_race_measure measure = tg_race_measure_of(race->config);
    const size_t count = race->config->contenders;
    if (count < 2 || isnan(row[1].against_best.difference.mean)) /* rows without a result stand last */
        return;
    printf("\nAgainst %s, by seeds (paired t test%s, Holm's correction for %zu test%s):\n",
           race->config->contender[row[0].contender].title, measure.logarithmic ? " of logarithms" : "", count - 1,
           CLI_PLURAL(count - 1));
    int width = 22;
    for (size_t c = 0; c < count; c++)
        width = (int)strlen(race->config->contender[c].title) > width ? (int)strlen(race->config->contender[c].title)
                                                                      : width;
    for (size_t r = 1; r < count; r++) {
        const tg_paired *t = &row[r].against_best;
        const char *title = race->config->contender[row[r].contender].title;
        char difference[96];
        if (isnan(t->difference.mean))
            continue;
        print_interval(difference, sizeof difference, t->difference, &measure, true);
        printf("%-*s %-*s ", width, title, measure.logarithmic ? 32 : 22, difference);
        if (isnan(t->p))
            printf("one seed: no test\n");
        else
            printf("p = %.2g: %s\n", t->p, t->p < 0.05 ? "real" : "may be chance");
    }
}

static void print_remarks(const tg_race *race, const tg_race_row *row)
{
    for (size_t r = 0; r < race->config->contenders; r++) {
        const tg_contender *c = &race->config->contender[row[r].contender];
        if (row[r].diverged > 0)
            printf("%s: %zu of %zu runs diverged\n", c->title, row[r].diverged, row[r].points * race->config->seeds);
        if (row[r].at_edge)
            printf("! %s: its best learning rate is the %s that was tried; the true best may lie beyond\n", c->title,
                   row[r].at_edge < 0 ? "least" : "largest");
    }
}

void cli_race_print(const cli_race_task *task, const tg_race *race, const tg_race_row *row, double target)
{
    const tg_race_measure measure = tg_race_measure_of(race->config);
    const size_t seeds = race->config->seeds;
    putchar('\n');
    print_table(task, race, row);
    if (isfinite(target))
        printf(measure.logarithmic ? "\ntarget: %.3e; " : "\ntarget: %.4f; ", target);
    else
        printf("\nno target: no run of %s has come to one; ", race->config->contender[0].title);
    printf("%zu seed%s each\n", seeds, CLI_PLURAL(seeds));
    print_remarks(race, row);
    print_differences(race, row);
}

/* ---- pictures ---- */

static int draw(const cli_args *args, const tg_race *race, const tg_plot *plot, const char *name)
{
    static const tg_option endings = {.kind = TG_CHOICE, .choices = CLI_RACE_PICTURES};
    char file[64], ending[8];
    tg_option_print(ending, sizeof ending, &endings, cli_number_of(args, "pictures"));
    snprintf(file, sizeof file, "%s.%s", name, ending);
    char *path = cli_path_join(race->config->out, file);
    const int status = path == NULL ? cli_usage(args, "no memory for a path") : cli_picture(args, plot, path);
    free(path);
    return status;
}

/* What losses are drawn over. */
typedef struct axis {
    const char *label, *file;
    bool log;
    double (*at)(const tg_race *race, const tg_race_run *run, size_t i); /* of the runs of a point */
} axis;

static double update_at(const tg_race *race, const tg_race_run *run, size_t i)
{
    double sum = 0;
    for (size_t s = 0; s < race->config->seeds; s++)
        sum += run[s].update[i];
    return sum / (double)race->config->seeds;
}

static double calls_at(const tg_race *race, const tg_race_run *run, size_t i)
{
    double sum = 0;
    for (size_t s = 0; s < race->config->seeds; s++)
        sum += run[s].calls[i];
    return sum / (double)race->config->seeds;
}

static const axis over_updates = {"update", "curves", false, update_at};
static const axis over_calls = {"evaluations, mean (log scale)", "evaluations", true, calls_at};

/* One curve's arrays, one behind the other in `room` (4 * count). */
static tg_curve mean_curve(const axis *over, const tg_race *race, const tg_race_row *row, double *room, size_t count,
                           double *values)
{
    const tg_race_measure measure = tg_race_measure_of(race->config);
    const tg_race_run *run = tg_race_runs_of(race, row->contender, row->point);
    double *x = room, *y = room + count, *low = room + 2 * count, *high = room + 3 * count;
    for (size_t i = 0; i < count; i++) {
        for (size_t s = 0; s < race->config->seeds; s++)
            values[s] = tg_race_judged(&measure, run[s].loss[i]);
        const tg_interval v = tg_mean_interval(values, race->config->seeds);
        x[i] = over->at(race, run, i);
        y[i] = tg_race_shown(&measure, v.mean);
        low[i] = tg_race_shown(&measure, v.low);
        high[i] = tg_race_shown(&measure, v.high);
    }
    return (tg_curve){.title = race->config->contender[row->contender].title,
                      .x = x,
                      .y = y,
                      .count = count,
                      .low = race->config->seeds > 1 ? low : NULL,
                      .high = high};
}

/* Evaluations that all seeds of a row have. */
static size_t shared_evaluations(const tg_race *race, const tg_race_row *row)
{
    size_t least = SIZE_MAX;
    const tg_race_run *run = tg_race_runs_of(race, row->contender, row->point);
    for (size_t s = 0; s < race->config->seeds; s++)
        least = run[s].evaluations < least ? run[s].evaluations : least;
    return least;
}

static int draw_curves(const axis *over, const cli_args *args, const tg_race *race, const tg_race_row *row)
{
    const tg_race_measure measure = tg_race_measure_of(race->config);
    const size_t contenders = race->config->contenders;
    size_t points = 0, curves = 0;
    for (size_t r = 0; r < contenders && row[r].point != SIZE_MAX; r++)
        points += shared_evaluations(race, &row[r]);
    tg_curve *curve = calloc(contenders, sizeof *curve);
    double *room = calloc(4 * points + race->config->seeds, sizeof *room);
    int status = CLI_FAILED;
    if (curve == NULL || room == NULL)
        cli_usage(args, "no memory for a picture");
    else {
        double *at = room + race->config->seeds;
        for (size_t r = 0; r < contenders && row[r].point != SIZE_MAX; r++) {
            const size_t count = shared_evaluations(race, &row[r]);
            curve[curves++] = mean_curve(over, race, &row[r], at, count, room);
            at += 4 * count;
        }
        char label[128];
        snprintf(label, sizeof label, "%s, %smean and 95 %% interval", measure.words,
                 measure.logarithmic ? "geometric " : "");
        const tg_plot plot = {.x_label = over->label,
                              .x_log = over->log,
                              .y_label = label,
                              .y_log = measure.logarithmic,
                              .curve = curve,
                              .curves = curves};
        status = draw(args, race, &plot, over->file);
    }
    free(curve);
    free(room);
    return status;
}

/* Of one contender: the best mean final loss at every learning rate, by rates. */
static size_t rate_curve(const tg_race *race, size_t contender, double *x, double *y, double *values)
{
    const tg_race_measure measure = tg_race_measure_of(race->config);
    const tg_contender *c = &race->config->contender[contender];
    size_t count = 0;
    for (size_t p = 0; p < c->points; p++) {
        const tg_race_run *run = tg_race_runs_of(race, contender, p);
        for (size_t s = 0; s < race->config->seeds; s++)
            values[s] = tg_race_judged(&measure, run[s].final_loss);
        const double loss = tg_race_shown(&measure, tg_mean_interval(values, race->config->seeds).mean);
        if (!isfinite(loss) || !isfinite(c->point[p].lr))
            continue;
        size_t at = 0;
        while (at < count && x[at] < c->point[p].lr)
            at++;
        if (at < count && x[at] == c->point[p].lr) {
            y[at] = fmin(y[at], loss);
            continue;
        }
        memmove(x + at + 1, x + at, (count - at) * sizeof *x);
        memmove(y + at + 1, y + at, (count - at) * sizeof *y);
        x[at] = c->point[p].lr;
        y[at] = loss;
        count++;
    }
    return count;
}

static int draw_rates(const cli_args *args, const tg_race *race)
{
    const size_t contenders = race->config->contenders;
    const tg_race_measure measure = tg_race_measure_of(race->config);
    size_t points = 0, curves = 0;
    bool several = false;
    for (size_t c = 0; c < contenders; c++)
        points += race->config->contender[c].points;
    tg_curve *curve = calloc(contenders, sizeof *curve);
    double *room = calloc(2 * points + race->config->seeds, sizeof *room);
    int status = CLI_OK;
    if (curve == NULL || room == NULL) {
        cli_usage(args, "no memory for a picture");
        status = CLI_FAILED;
    } else {
        double *at = room + race->config->seeds;
        for (size_t c = 0; c < contenders; c++) {
            const size_t most = race->config->contender[c].points;
            const size_t count = rate_curve(race, c, at, at + most, room);
            several = several || count > 1;
            if (count > 0)
                curve[curves++] = (tg_curve){.title = race->config->contender[c].title,
                                             .x = at,
                                             .y = at + most,
                                             .count = count,
                                             .style = TG_CURVE_POINTS};
            at += 2 * most;
        }
        char label[128];
        snprintf(label, sizeof label, "%s at the end", measure.words);
        const tg_plot plot = {.x_label = "learning rate (log scale)",
                              .y_label = label,
                              .y_log = measure.logarithmic,
                              .x_log = true,
                              .curve = curve,
                              .curves = curves};
        if (several)
            status = draw(args, race, &plot, "rates");
    }
    free(curve);
    free(room);
    return status;
}

int cli_race_draw(const cli_args *args, const tg_race *race, const tg_race_row *row)
{
    const bool any = row[0].point != SIZE_MAX;
    int status = any ? draw_curves(&over_updates, args, race, row) : CLI_OK;
    if (status == CLI_OK && any && counts(race))
        status = draw_curves(&over_calls, args, race, row);
    return status != CLI_OK ? status : draw_rates(args, race);
}
