/* race/judge.c -- the best point of every contender, when it reached the target, and which differences are real. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/fail.h"
#include "base/memory.h"
#include "race/race.h"

const tg_race_run *tg_race_runs_of(const tg_race *race, size_t contender, size_t point)
{
    size_t before = 0;
    for (size_t c = 0; c < contender; c++)
        before += race->config->contender[c].points;
    return &race->run[(before + point) * race->config->seeds];
}

/* The point's mean final loss, as judged; NaN unless every seed finished. */
static double point_loss(const tg_race *race, size_t contender, size_t point)
{
    const tg_race_measure measure = tg_race_measure_of(race->config);
    const tg_race_run *run = tg_race_runs_of(race, contender, point);
    double sum = 0;
    for (size_t s = 0; s < race->config->seeds; s++)
        sum += tg_race_judged(&measure, run[s].final_loss);
    return sum / (double)race->config->seeds;
}

static size_t best_point(const tg_race *race, size_t contender)
{
    size_t best = SIZE_MAX;
    double least = INFINITY;
    for (size_t p = 0; p < race->config->contender[contender].points; p++) {
        const double loss = point_loss(race, contender, p);
        if (loss < least) {
            least = loss;
            best = p;
        }
    }
    return best;
}

/* Means over the seeds at an evaluation. */
typedef struct moment {
    double loss, update, seconds, calls;
} moment;

static moment moment_at(const tg_race_run *run, const tg_race *race, size_t i)
{
    const tg_race_measure measure = tg_race_measure_of(race->config);
    const double share = 1 / (double)race->config->seeds;
    moment m = {0};
    for (size_t s = 0; s < race->config->seeds; s++) {
        m.loss += share * tg_race_judged(&measure, run[s].loss[i]);
        m.update += run[s].update[i];
        m.seconds += share * run[s].seconds[i];
        m.calls += run[s].calls[i];
    }
    m.update /= (double)race->config->seeds; /* exact where all seeds have the same */
    m.calls /= (double)race->config->seeds;
    return m;
}

/* Where the mean loss first comes down to the target, on a straight line between two evaluations. */
static void find_target(tg_race_row *row, const tg_race *race, const tg_race_run *run, double target)
{
    moment before = {.loss = NAN};
    size_t count = run[0].evaluations;
    for (size_t s = 1; s < race->config->seeds; s++)
        count = run[s].evaluations < count ? run[s].evaluations : count;
    for (size_t i = 0; i < count; i++) {
        const moment now = moment_at(run, race, i);
        if (now.loss <= target) {
            const double share = before.loss > now.loss ? (before.loss - target) / (before.loss - now.loss) : 1;
            row->updates_to_target = before.update + share * (now.update - before.update);
            row->seconds_to_target = before.seconds + share * (now.seconds - before.seconds);
            row->calls_to_target = before.calls + share * (now.calls - before.calls);
            return;
        }
        before = now;
    }
}

/* Which neighbour the best lr lacks, among those that were tried with other settings the same or not. */
static int edge_of(const tg_contender *c, size_t point)
{
    bool lower = false, higher = false;
    for (size_t p = 0; p < c->points; p++) {
        lower = lower || c->point[p].lr < c->point[point].lr;
        higher = higher || c->point[p].lr > c->point[point].lr;
    }
    return lower - higher;
}

static void count_outcomes(tg_race_row *row, const tg_race *race)
{
    const size_t points = race->config->contender[row->contender].points;
    row->points = points;
    for (size_t p = 0; p < points; p++)
        for (size_t s = 0; s < race->config->seeds; s++)
            row->diverged += tg_race_runs_of(race, row->contender, p)[s].outcome == TG_RACE_DIVERGED;
}

/* values (seeds): room. */
static void fill_row(tg_race_row *row, const tg_race *race, double target, double *values)
{
    const size_t seeds = race->config->seeds;
    const tg_race_measure measure = tg_race_measure_of(race->config);
    row->loss = (tg_interval){NAN, NAN, NAN};
    row->updates_to_target = row->seconds_to_target = row->calls_to_target = row->distance = NAN;
    row->update_seconds = row->optimizer_seconds = row->state_bytes = row->bytes_per_parameter = NAN;
    row->score = row->loss;
    if (row->point == SIZE_MAX)
        return;
    const tg_race_run *run = tg_race_runs_of(race, row->contender, row->point);
    double sum = 0, optimizer = 0, distance = 0;
    for (size_t s = 0; s < seeds; s++) {
        values[s] = tg_race_judged(&measure, run[s].final_loss);
        sum += run[s].update_seconds;
        optimizer += run[s].optimizer_seconds;
        distance += run[s].distance[run[s].evaluations - 1];
    }
    row->distance = distance / (double)seeds;
    row->loss = tg_mean_interval(values, seeds);
    row->scored = run[0].scored;
    for (size_t s = 0; s < seeds; s++)
        values[s] = run[s].scored == NULL ? NAN : run[s].score[run[s].evaluations - 1];
    row->score = tg_mean_interval(values, seeds);
    find_target(row, race, run, target);
    row->update_seconds = sum / (double)seeds;
    row->optimizer_seconds = optimizer / (double)seeds;
    row->state_bytes = run[0].state_bytes;
    row->bytes_per_parameter = run[0].bytes_per_parameter;
    row->at_edge = edge_of(&race->config->contender[row->contender], row->point);
}

/* Rows without a result stand last. */
static int compare_rows(const void *a, const void *b)
{
    const tg_race_row *x = a, *y = b;
    const double u = x->loss.mean, v = y->loss.mean;
    if (isnan(u) || isnan(v))
        return isnan(u) - isnan(v) != 0 ? isnan(u) - isnan(v)
                                        : (x->contender > y->contender) - (x->contender < y->contender);
    return u != v ? (u > v) - (u < v) : (x->contender > y->contender) - (x->contender < y->contender);
}

/* Every row against the first, by seeds. values (2 * seeds) and p (contenders): room. */
static void compare_with_best(tg_race_row *row, const tg_race *race, double *values, double *p)
{
    const size_t seeds = race->config->seeds, count = race->config->contenders;
    const tg_race_measure measure = tg_race_measure_of(race->config);
    for (size_t r = 0; r < count; r++) {
        row[r].against_best = (tg_paired){{NAN, NAN, NAN}, NAN};
        if (r > 0 && row[r].point != SIZE_MAX && row[0].point != SIZE_MAX) {
            const tg_race_run *mine = tg_race_runs_of(race, row[r].contender, row[r].point);
            const tg_race_run *best = tg_race_runs_of(race, row[0].contender, row[0].point);
            for (size_t s = 0; s < seeds; s++) {
                values[s] = tg_race_judged(&measure, mine[s].final_loss);
                values[seeds + s] = tg_race_judged(&measure, best[s].final_loss);
            }
            row[r].against_best = tg_paired_test(values, values + seeds, seeds);
        }
        p[r] = row[r].against_best.p;
    }
    tg_holm_correct(p, count);
    for (size_t r = 0; r < count; r++)
        row[r].against_best.p = p[r];
}

tg_status tg_race_judge(tg_race_row **out, double *target, const tg_race *race)
{
    const size_t count = race->config->contenders, seeds = race->config->seeds;
    const tg_race_measure measure = tg_race_measure_of(race->config);
    tg_race_row *row = tg_heap_alloc(count, sizeof *row);
    double *values = tg_heap_alloc(2 * seeds + count, sizeof *values);
    if (row == NULL || values == NULL) {
        tg_heap_free(row);
        tg_heap_free(values);
        return tg_no_memory("the table of a race", count * sizeof *row);
    }
    for (size_t c = 0; c < count; c++)
        row[c] = (tg_race_row){.contender = c, .point = best_point(race, c)};
    if (isnan(*target) && row[0].point != SIZE_MAX)
        *target = tg_race_shown(&measure, point_loss(race, 0, row[0].point));
    for (size_t c = 0; c < count; c++) {
        count_outcomes(&row[c], race);
        fill_row(&row[c], race, tg_race_judged(&measure, *target), values);
    }
    qsort(row, count, sizeof *row, compare_rows);
    compare_with_best(row, race, values, values + 2 * seeds);
    tg_heap_free(values);
    *out = row;
    return TG_OK;
}

void tg_race_rows_free(tg_race_row *row) { tg_heap_free(row); }
