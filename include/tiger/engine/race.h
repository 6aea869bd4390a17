/* tiger/engine/race.h -- races: optimizers by settings by seeds on one training, and what their results allow to say. */
#ifndef TIGER_ENGINE_RACE_H
#define TIGER_ENGINE_RACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiger/engine/descent.h"
#include "tiger/engine/train.h"
#include "tiger/minimize.h"
#include "tiger/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- statistics ------------------------------------------------------------------------------------------------ */

/* Student's t with `freedom` > 0 degrees: the probability of |t| or more on both sides, and the value with that
 * probability (0 < p < 1). */
double tg_student_tails(double t, double freedom);
double tg_student_quantile(double p, double freedom);

/* A mean and its 95 % interval over independent values, by Student's t; NaN for low and high of fewer than two. */
typedef struct tg_interval {
    double mean, low, high;
} tg_interval;
tg_interval tg_mean_interval(const double *value, size_t count);

/* The paired t test of a - b (Student 1908): the mean difference with its interval, and p, the probability of a
 * difference as large where there is none. NaN for p and the interval of fewer than two pairs; p is 1 for pairs that all
 * are equal, and 0 when they differ by the same amount throughout. */
typedef struct tg_paired {
    tg_interval difference;
    double p;
} tg_paired;
tg_paired tg_paired_test(const double *a, const double *b, size_t count);

/* Corrects the p of several tests on one set of data (Holm 1979), in place: each may then be held against 0.05. NaN is
 * no test. */
void tg_holm_correct(double *p, size_t count);

/* ---- what is raced on ---------------------------------------------------------------------------------------------- */

typedef struct tg_race_task tg_race_task;
/* "training": a model on data; "problem": a textbook problem or a function as text. NULL when there is none. */
const tg_race_task *tg_race_task_find(const char *name);

/* By what a run is judged: its loss, here and below. */
typedef struct tg_race_measure {
    const char *key, *words; /* in files: "validation_loss"; in tables: "validation loss" */
    bool logarithmic;        /* above 0, over orders of magnitude: means are of logarithms, differences are factors */
} tg_race_measure;
/* The number that is averaged and tested, a loss or its decimal logarithm; and back. */
double tg_race_judged(const tg_race_measure *measure, double loss);
double tg_race_shown(const tg_race_measure *measure, double judged);

/* ---- contenders ---------------------------------------------------------------------------------------------------- */

/* One setting of a contender: what it is run with. */
typedef struct tg_race_point {
    tg_setting *setting;     /* of the method, of the task ("batch"), and "schedule" */
    size_t settings;
    char *label;             /* of what varies: "lr=0.001 beta2=0.99"; "" when nothing does */
    double lr;               /* NaN: the rule has none */
} tg_race_point;

/* "adamw lr=1e-3/3e-3 beta2=0.99": an optimizer, and options with one value or several. */
typedef struct tg_contender {
    const char *name;
    const tg_rule_info *rule;           /* what it is: one of the two, the other is NULL */
    const tg_minimizer_info *minimizer;
    char *title;             /* the name, and the options that have one value: "adamw beta2=0.99" */
    tg_race_point *point;    /* every combination of the values */
    size_t points;
} tg_contender;

/* Options may be the optimizer's, those every optimizer has, the task's, and "schedule". An optimizer without lr takes
 * `rates` values of the option table's search range. TG_EINVAL naming the word that is wrong. */
tg_status tg_contender_parse(tg_contender *contender, const char *text, size_t rates, const tg_race_task *task);
void tg_contender_fini(tg_contender *contender); /* fine on {0} */
const tg_option_table *tg_contender_options(const tg_contender *contender); /* of its rule or minimizer alone */

/* `count` learning rates over the search range of the rule's table, evenly on a log scale, of two digits. */
tg_status tg_race_rates(double *rate, size_t count, const tg_rule_info *rule);

/* ---- the race ------------------------------------------------------------------------------------------------------- */

typedef struct tg_race_config {
    const tg_race_task *task;
    const tg_train_config *train; /* of a training: what all runs share; out, resume, optimizer and setting are not used */
    const tg_descent_config *descent; /* of a problem, likewise; optimizer, setting and start are not used */
    uint64_t every;               /* of a problem: updates between evaluations that are kept; 0: a 500th of all */
    const tg_contender *contender;
    size_t contenders;
    uint64_t seed;                /* the first; */
    size_t seeds;                 /* so many: the same data and first weights, or the same start, for every contender */
    const char *out;              /* directory: OUT/runs/NAME/metrics.jsonl for each run, which a later race takes up */
} tg_race_config;

typedef enum tg_race_outcome { TG_RACE_OPEN, TG_RACE_FINISHED, TG_RACE_DIVERGED } tg_race_outcome;

/* One run. Arrays of `evaluations`: the updates made, the loss, the seconds that the updates alone took; of problems, else
 * NaN, evaluations of the function so far and the distance to its nearest known minimum. */
typedef struct tg_race_run {
    size_t contender, point;
    uint64_t seed;
    char *name;                   /* "adamw_lr=0.001_seed=1": of its directory */
    tg_race_outcome outcome;
    double *update, *loss, *seconds, *calls, *distance, *score;
    const tg_score *scored;       /* what `score` is; NULL: the loss alone is judged */
    size_t evaluations, room;
    double final_loss;            /* of the last evaluation; NaN unless finished */
    double update_seconds;        /* of one update, in the mean; */
    double optimizer_seconds;     /* of these beside forward and backward; NaN: not known */
    double state_bytes;           /* of the optimizer: states, gradients it keeps, bookkeeping */
    double bytes_per_parameter;   /* weights + states + gradients */
    double parameters;
} tg_race_run;

typedef struct tg_race {
    const tg_race_config *config; /* the caller's */
    tg_race_run *run;             /* ordered by contender, point, seed */
    size_t runs;
} tg_race;

/* All runs, with the results of those that were made by an earlier race in `out`, which is made when it does not exist.
 * TG_EINVAL when that race had other settings, or contenders or seeds that are not in this one. */
tg_status tg_race_open(tg_race *race, const tg_race_config *config);
/* Makes run `index` from its beginning, in this process, and writes down what comes of it. That it diverges is a result;
 * stopped by tg_train_stop it stays open. */
tg_status tg_race_make(const tg_race *race, size_t index);
/* Reads what another process made of run `index`. */
tg_status tg_race_read(tg_race *race, size_t index);
void tg_race_close(tg_race *race); /* fine on {0} */
tg_race_measure tg_race_measure_of(const tg_race_config *config);
/* The runs of a point, one for each seed. */
const tg_race_run *tg_race_runs_of(const tg_race *race, size_t contender, size_t point);

/* ---- what it says ---------------------------------------------------------------------------------------------------- */

/* A contender at the point with the least mean final loss, of those at which every seed finished. Losses are as judged:
 * logarithms where the measure is. */
typedef struct tg_race_row {
    size_t contender, point;      /* point == SIZE_MAX: no point has all its seeds */
    size_t diverged, points;      /* runs that did; points tried */
    int at_edge;                  /* of several learning rates its own is the least (-1) or the largest (+1); else 0 */
    tg_interval loss;             /* final, over the seeds */
    tg_interval score;            /* final, of what `scored` says; NULL: there is none */
    const tg_score *scored;
    double distance;              /* to the nearest known minimum, final, in the mean; NaN: none is known */
    double updates_to_target, seconds_to_target; /* of the mean of the seeds' losses; NaN: it stays above */
    double calls_to_target;       /* evaluations of the function; of problems */
    double update_seconds, optimizer_seconds, state_bytes, bytes_per_parameter;
    tg_paired against_best;       /* its final losses less those of the best row; p is Holm's */
} tg_race_row;

/* rows (contenders), the best first. `target`: a loss; NaN: that of the best point of contender 0. Its value is given
 * back. Heap: release with tg_race_rows_free. */
tg_status tg_race_judge(tg_race_row **row, double *target, const tg_race *race);
void tg_race_rows_free(tg_race_row *row);

/* Everything as JSON: settings that all share, runs with their evaluations, rows. Whole, or none and an error. */
tg_status tg_race_write(const tg_race *race, const tg_race_row *row, double target, const char *path);

#ifdef __cplusplus
}
#endif
#endif
