/* train/settings.h -- a run's settings as they stand in trainer.json, so that a run can be taken up again by its directory
 * alone. */
#ifndef TG_TRAIN_SETTINGS_H
#define TG_TRAIN_SETTINGS_H

#include "tiger/engine/train.h"
#include "tiger/schedule.h"
#include "train/loss_guard.h"
#include "train/loss_scale.h"

/* How far a run has come. */
typedef struct tg_reached {
    uint64_t update;        /* made */
    double validation_loss; /* of the last evaluation; NaN before the first */
    double best_loss;       /* the least of them, and its update */
    uint64_t best_update;
} tg_reached;

/* What a checkpoint says about its run, beside weights and states. */
typedef struct tg_saved_run {
    tg_train_config config; /* texts belong to `texts`; model as in config.json */
    tg_reached at;
    bool says_init;                  /* what its weights began as: not said by early versions */
    uint64_t corpus_hash, eval_hash; /* of the texts; eval_hash 0 without eval_data */
    tg_loss_guard guard;
    tg_schedule_state *watched; /* what the schedule's courses remember; none unless it watches evaluations */
    size_t courses;
    double loss_scale;      /* 1 where it is off */
    uint64_t loss_scale_good;
    void *texts;            /* what owns the texts (the parsed JSON) */
} tg_saved_run;

/* DIRECTORY/trainer.json. */
tg_status tg_settings_write(const tg_train_config *config, const tg_schedule *schedule, const tg_loss_scale *loss_scale,
                            const tg_loss_guard *guard, const tg_reached *at, uint64_t corpus_hash, uint64_t eval_hash,
                            const char *directory);
tg_status tg_settings_read(tg_saved_run *run, const char *directory);
tg_status tg_settings_parse(tg_saved_run *run, const char *text, size_t bytes, const char *name); /* `name`: for messages */
void tg_saved_run_fini(tg_saved_run *run);

/* TG_EINVAL: the run to resume has another `what` than is wished. */
tg_status tg_settings_disagree(const char *what, const char *has, const char *wished);
/* *merged <- the saved run's settings, with what `wish` may change; TG_EINVAL naming the first thing that disagrees. */
tg_status tg_settings_merge(tg_train_config *merged, const tg_saved_run *run, const tg_train_config *wish);

#endif
