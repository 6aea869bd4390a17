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

/* "1.8641 +- 0.0242"; with `sign`, "+0.0242 +- 0.0101". */
static void print_interval(char *text, size_t bytes, tg_interval v, bool sign)
{
    if (isnan(v.mean))
        snprintf(text, bytes, "-");
    else if (isfinite(v.high))
        snprintf(text, bytes, sign ? "%+.4f +- %.4f" : "%.4f +- %.4f", v.mean, v.high - v.mean);
    else
        snprintf(text, bytes, sign ? "%+.4f" : "%.4f", v.mean);
}

static void print_number(char *text, size_t bytes, const char *format, double value)
{
    snprintf(text, bytes, isfinite(value) ? format : "-", value);
}

static void print_row(const tg_race *race, const tg_race_row *row)
{
    const tg_contender *c = &race->config->contender[row->contender];
    char loss[64], updates[64], seconds[64], state[32] = "-", time[32];
    print_interval(loss, sizeof loss, row->loss, false);
    print_number(updates, sizeof updates, "%.0f", row->updates_to_target);
    print_number(seconds, sizeof seconds, "%.1f", row->seconds_to_target);
    print_number(time, sizeof time, "%.1f", 1e3 * row->update_seconds);
    if (isfinite(row->state_bytes))
        cli_human_bytes(state, sizeof state, row->state_bytes);
    printf("%-22s %-18s %-18s %9s %9s %10s %8s%s\n", c->title, loss,
           row->point == SIZE_MAX ? "none" : c->point[row->point].label, updates, seconds, state, time,
           row->at_edge ? "  !" : "");
}

static void print_differences(const tg_race *race, const tg_race_row *row)
{
    const size_t count = race->config->contenders;
    if (count < 2 || row[0].point == SIZE_MAX)
        return;
    printf("\nAgainst %s, by seeds (paired t test, Holm's correction for %zu tests):\n",
           race->config->contender[row[0].contender].title, count - 1);
    for (size_t r = 1; r < count; r++) {
        const tg_paired *t = &row[r].against_best;
        const char *title = race->config->contender[row[r].contender].title;
        char difference[64];
        if (isnan(t->difference.mean))
            continue;
        print_interval(difference, sizeof difference, t->difference, true);
        if (isnan(t->p))
            printf("%-22s %-22s one seed: no test\n", title, difference);
        else
            printf("%-22s %-22s p = %.2g: %s\n", title, difference, t->p, t->p < 0.05 ? "real" : "may be chance");
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

void cli_race_print(const tg_race *race, const tg_race_row *row, double target)
{
    printf("\n%-22s %-18s %-18s %9s %9s %10s %8s\n", "contender", "validation loss", "best of its grid", "updates",
           "seconds", "state", "ms");
    printf("%-22s %-18s %-18s %9s %9s %10s %8s\n", "", "mean +- 95 %", "", "to target", "to target", "", "an update");
    for (size_t r = 0; r < race->config->contenders; r++)
        print_row(race, &row[r]);
    printf("\ntarget: %.4f; %zu seed%s each\n", target, race->config->seeds, race->config->seeds == 1 ? "" : "s");
    print_remarks(race, row);
    print_differences(race, row);
}

/* ---- pictures ---- */

static int draw(const cli_args *args, const tg_race *race, const tg_plot *plot, const char *name)
{
    char *path = cli_path_join(race->config->out, name);
    const int status = path == NULL ? cli_usage(args, "no memory for a path") : cli_picture(args, plot, path);
    free(path);
    return status;
}

/* One curve's arrays, one behind the other in `room` (4 * count). */
static tg_curve mean_curve(const tg_race *race, const tg_race_row *row, double *room, size_t count, double *values)
{
    const tg_race_run *run = tg_race_runs_of(race, row->contender, row->point);
    double *x = room, *y = room + count, *low = room + 2 * count, *high = room + 3 * count;
    for (size_t i = 0; i < count; i++) {
        for (size_t s = 0; s < race->config->seeds; s++)
            values[s] = run[s].loss[i];
        const tg_interval v = tg_mean_interval(values, race->config->seeds);
        x[i] = run[0].update[i];
        y[i] = v.mean;
        low[i] = v.low;
        high[i] = v.high;
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

static int draw_curves(const cli_args *args, const tg_race *race, const tg_race_row *row)
{
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
            curve[curves++] = mean_curve(race, &row[r], at, count, room);
            at += 4 * count;
        }
        const tg_plot plot = {.x_label = "update",
                              .y_label = "validation loss, mean and 95 % interval",
                              .curve = curve,
                              .curves = curves};
        status = draw(args, race, &plot, "curves.png");
    }
    free(curve);
    free(room);
    return status;
}

/* Of one contender: the best mean final loss at every learning rate, by rates. */
static size_t rate_curve(const tg_race *race, size_t contender, double *x, double *y, double *values)
{
    const tg_contender *c = &race->config->contender[contender];
    size_t count = 0;
    for (size_t p = 0; p < c->points; p++) {
        const tg_race_run *run = tg_race_runs_of(race, contender, p);
        for (size_t s = 0; s < race->config->seeds; s++)
            values[s] = run[s].final_loss;
        const double loss = tg_mean_interval(values, race->config->seeds).mean;
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
        const tg_plot plot = {.x_label = "learning rate (log scale)",
                              .y_label = "final validation loss",
                              .x_log = true,
                              .curve = curve,
                              .curves = curves};
        if (several)
            status = draw(args, race, &plot, "rates.png");
    }
    free(curve);
    free(room);
    return status;
}

int cli_race_draw(const cli_args *args, const tg_race *race, const tg_race_row *row)
{
    const int status = row[0].point == SIZE_MAX ? CLI_OK : draw_curves(args, race, row);
    return status != CLI_OK ? status : draw_rates(args, race);
}
