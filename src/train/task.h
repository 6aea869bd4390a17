/* train/task.h -- what a model learns to tell, as far as the training loop must know: its data, its batches, its
 * scores.
 *
 * One descriptor a task; the loop, its plan and its checkpoints ask it for everything that depends on what data are. */
#ifndef TG_TRAIN_TASK_H
#define TG_TRAIN_TASK_H

#include "train/loaded.h"
#include "train/session.h"

typedef struct tg_task {
    const char *rate;       /* what is counted in a second: "tok", "samples" */
    const char *per_second; /* the same in metrics.jsonl: "tokens_per_second" */
    const char *items;      /* of an update: "tokens" */
    const char *data;       /* what is learned from: "text" */
    /* Settings that mean nothing here are refused, by name. */
    tg_status (*check)(const tg_train_config *config);
    /* Opens the data, and what makes numbers of them: a tokenizer, a schema. `from`: the directory that has it; NULL:
     * as config says. */
    tg_status (*open)(tg_session *s, const char *from);
    void (*close)(tg_session *s); /* fine on what was not opened */
    /* The model's sizes that data give; `fixed`: it has them already, and they must fit. */
    tg_status (*fit_model)(const tg_session *s, tg_model_config *model, bool fixed);
    tg_status (*begin)(tg_session *s);            /* once there is a model; may be NULL */
    tg_status (*allocate)(tg_session *s);         /* one batch */
    size_t (*bytes)(const tg_session *s);         /* of data, what makes numbers of them, and one batch */
    tg_status (*check_data)(const tg_session *s); /* enough to train on? */
    /* Fills the session's batch with that of a micro-step. */
    tg_status (*batch)(tg_session *s, uint64_t update, uint32_t micro_step);
    /* All of the training data in order: how many batches of `size` that is (0: none are open), and one of them as the
     * session's batch, with the lengths of its sequences, (B). */
    size_t (*windows)(const tg_session *s, size_t size);
    tg_status (*window)(tg_session *s, size_t index, uint32_t *lengths);
    uint64_t (*hash)(const tg_session *s, bool held_out); /* 0: there are none */
    bool (*has_held_out)(const tg_session *s);
    tg_status (*evaluate)(tg_evaluation *out, tg_session *s, size_t batches);
    /* What makes numbers of data, into a model's directory. */
    tg_status (*write)(const tg_session *s, const char *directory);
    /* A model's directory: the same opened and closed, and an evaluation. */
    tg_status (*load)(tg_loaded *directory, const tg_model_config *config, const char *path);
    tg_status (*evaluate_file)(tg_evaluation *out, const tg_loaded *directory, const tg_evaluate_config *config);
} tg_task;

extern const tg_task tg_task_language, tg_task_classification, tg_task_regression;

const tg_task *tg_task_of(const tg_model_config *model);

/* An evaluation with every score NaN. */
tg_evaluation tg_evaluation_empty(void);

/* A graph for evaluation, planned and allocated. */
tg_status tg_evaluation_graph(tg_graph **out, const tg_loaded *directory, size_t batch, size_t time);

#endif
