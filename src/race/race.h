/* race/race.h -- what a task is, a run's own settings, and its file. */
#ifndef TG_RACE_RACE_H
#define TG_RACE_RACE_H

#include <jansson.h>

#include "store/metrics.h"
#include "tiger/engine/race.h"

/* What the contenders are run on: one const descriptor, one file, one line in tasks.inc. */
struct tg_race_task {
    const char *name;
    /* What a contender may set beside the options of its method. */
    const tg_option_table *(*options)(void);
    tg_race_measure (*measure)(const tg_race_config *race);
    tg_status (*check)(const tg_race_config *race);
    /* *object <- all that the run's result follows from: an object of objects. Of a run that is NULL: what the race
     * gives all its contenders. */
    tg_status (*settings)(json_t **object, const tg_race_config *race, const tg_race_run *run);
    /* Makes the run and writes its evaluations: "update", the measure's key, "seconds", "evaluations" and, where
     * it is known, "distance"; then, unless it was stopped, its end. That it diverges is no failure. */
    tg_status (*make)(tg_metrics *metrics, const tg_race_config *race, const tg_race_run *run);
};

#define TG_RACE_TASK(name) extern const tg_race_task tg_race_task_##name;
#include "race/tasks.inc"
#undef TG_RACE_TASK

/* The last line of a run's file. */
typedef struct tg_race_end {
    uint64_t updates;
    bool finished;                                       /* rather than diverged */
    double busy;                                         /* seconds of all updates */
    double optimizer;                                    /* of these beside forward and backward; NaN: not asked */
    double state_bytes, bytes_per_parameter, parameters; /* NaN: not asked */
} tg_race_end;
tg_status tg_race_write_end(tg_metrics *metrics, const tg_race_end *end);

/* *text <- a run's settings, or of NULL what all have in common, on one line. Heap. */
tg_status tg_race_settings(char **text, const tg_race_config *race, const tg_race_run *run);
/* An option's value as JSON. */
json_t *tg_race_option_value(const tg_option *option, double value);
/* {"optimizer": name, then its settings}. */
json_t *tg_race_method_object(const char *name, const tg_setting *setting, size_t settings);

/* OUT/runs/NAME, or a file in it. Heap; NULL when there is no memory. */
char *tg_race_path(const tg_race_config *race, const tg_race_run *run, const char *file);

/* run's results <- its file, when there is one that was ended; else it is TG_RACE_OPEN. `settings`, when not NULL, must
 * be those in the file: TG_EINVAL naming the first that differs. */
tg_status tg_race_read_run(tg_race_run *run, const tg_race_config *race, const char *settings);

/* Both objects of objects, as settings are: TG_EINVAL naming the first value of `was`, written down in `path`, that
 * `is` has otherwise. */
tg_status tg_race_compare(const json_t *was, const json_t *is, const char *path);

/* Fails where `race` is without a run whose results stand in its OUT/race.json, which writing the race would lose. */
tg_status tg_race_check_earlier(const tg_race *race);

#endif
