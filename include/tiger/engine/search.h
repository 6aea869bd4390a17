/* tiger/engine/search.h -- searching for settings: a space of them, samplers that propose, pruners that end what leads
 * nowhere, and a study that many processes work on, kept in Optuna's journal file.
 *
 *     tg_space space;                        what may vary, and between what
 *     tg_study *study;                       a file; Optuna opens it, and studies of Optuna's are gone on with
 *     tg_study_open(&study, &config);
 *     tg_study_ask(study, &trial);           settings to try
 *     tg_study_report(study, trial, step, loss, &prune) ...
 *     tg_study_tell(study, trial, TG_TRIAL_COMPLETE, loss);
 *
 * Values are minimised. A study may be used by one thread at a time; any number of processes may work on its file. */
#ifndef TIGER_ENGINE_SEARCH_H
#define TIGER_ENGINE_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiger/option.h"
#include "tiger/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- spaces ------------------------------------------------------------------------------------------------------ */

typedef enum tg_dimension_kind { TG_DIMENSION_REAL, TG_DIMENSION_WHOLE, TG_DIMENSION_CHOICE } tg_dimension_kind;

typedef struct tg_dimension {
    char *name;              /* of the option */
    tg_dimension_kind kind;
    double low, high;        /* of numbers: low <= v <= high */
    bool log;                /* what is drawn evenly is the logarithm */
    char **choice;           /* of choices: texts that the option reads */
    size_t choices;
} tg_dimension;

typedef struct tg_space {
    tg_dimension *at;
    size_t count;
} tg_space;

/* "lr=1e-4..1e-2 beta=0.9/0.95 weight_decay": a range, values to choose from, or an option's own search range. Names are
 * those of the tables, the first that has one. Text NULL: every option of tables[0] that has a search range and is not in
 * `fixed`. A range is logarithmic where the option's search range is; of options without one, where high >= 10 low > 0.
 * TG_EINVAL names the word that is wrong. */
tg_status tg_space_parse(tg_space *space, const char *text, const tg_option_table *tables, size_t count,
                         const tg_setting *fixed, size_t fixed_count);
void tg_space_fini(tg_space *space); /* fine on {0} */

#define TG_SPACE_TEXT 64
/* A dimension's value (of choices: the index) as text that the option reads back. */
void tg_dimension_print(char text[TG_SPACE_TEXT], const tg_dimension *dimension, double value);

/* ---- samplers and pruners ------------------------------------------------------------------------------------------ */

/* Names of families, for help and "did you mean"; NULL past the end. */
typedef struct tg_sampler_info {
    const char *name, *title, *source;
} tg_sampler_info;
const tg_sampler_info *tg_sampler_at(size_t index);
const tg_sampler_info *tg_pruner_at(size_t index);
/* How many trials a sampler has for a space: SIZE_MAX, or of "grid" the number of its points. */
size_t tg_sampler_trials(const char *sampler, const tg_space *space);

/* ---- studies ------------------------------------------------------------------------------------------------------- */

typedef enum tg_trial_state { /* as in the file */
    TG_TRIAL_RUNNING, TG_TRIAL_COMPLETE, TG_TRIAL_PRUNED, TG_TRIAL_FAILED, TG_TRIAL_WAITING
} tg_trial_state;

typedef struct tg_trial_step {
    uint64_t step;
    double value;
} tg_trial_step;

typedef struct tg_trial {
    size_t id;               /* in the file, over all its studies */
    tg_trial_state state;
    double value;            /* NaN: there is none */
    double *param;           /* one for each dimension; NaN: the trial has none that fits it */
    double *wanted;          /* likewise, of waiting trials: what somebody wants to be tried */
    tg_trial_step *step;     /* ascending */
    size_t steps, room;
    char *worker;            /* who began it; "" when nobody said */
} tg_trial;

typedef struct tg_study tg_study;

typedef struct tg_study_config {
    const char *path;        /* the journal; made when it does not exist */
    const char *name;        /* of the study in it */
    const tg_space *space;   /* outlives the study */
    const char *sampler, *pruner; /* by name */
    uint64_t seed;
    const char *settings;    /* what all trials share, one text: that of a study that is there must be the same. NULL: not
                                asked */
    const char *worker;      /* who this process is; NULL: host and process */
} tg_study_config;

/* TG_EINVAL for a study that maximises, has several values, or was made with other settings; TG_EFORMAT with the line's
 * number for what is no journal. */
tg_status tg_study_open(tg_study **out, const tg_study_config *config);
void tg_study_close(tg_study *study); /* NULL is fine */
/* Reads what others have written since. */
tg_status tg_study_refresh(tg_study *study);

/* Begins a trial: one that waits in the file, or what the sampler proposes from all that is known. */
tg_status tg_study_ask(tg_study *study, size_t *trial);
/* An intermediate value; *prune: the pruner would end it here. Steps ascend. NaN is written as none and prunes. */
tg_status tg_study_report(tg_study *study, size_t trial, uint64_t step, double value, bool *prune);
/* The end: TG_TRIAL_COMPLETE with a finite value, TG_TRIAL_PRUNED (value NaN: the last reported one, if any), or
 * TG_TRIAL_FAILED. */
tg_status tg_study_tell(tg_study *study, size_t trial, tg_trial_state state, double value);
/* Running trials that `worker` began become failed ones: it is gone. */
tg_status tg_study_forget(tg_study *study, const char *worker);
/* From hold to let_go no other process writes to the study; this one may. For who is about to end processes that work
 * on it: what they would leave behind in the midst of a write stops all others for half a minute. */
tg_status tg_study_hold(tg_study *study);
void tg_study_let_go(tg_study *study);

/* Trials of this study, in order; as of the last call. */
size_t tg_study_trials(const tg_study *study);
const tg_trial *tg_study_trial(const tg_study *study, size_t index);
/* The complete trial with the least value; SIZE_MAX: there is none. */
size_t tg_study_best(const tg_study *study);

#ifdef __cplusplus
}
#endif
#endif
