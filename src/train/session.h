/* train/session.h -- everything a training needs, made from its configuration: text, model, optimizer, graphs. */
#ifndef TG_TRAIN_SESSION_H
#define TG_TRAIN_SESSION_H

#include "attack/attack.h"
#include "graph/graph.h"
#include "graph/run.h"
#include "tiger/engine/method.h"
#include "tiger/engine/samples.h"
#include "tiger/engine/train.h"
#include "tiger/schedule.h"
#include "train/loss_guard.h"
#include "train/loss_scale.h"

typedef struct tg_mover tg_mover; /* train/mover.h */
typedef struct tg_whole tg_whole;
struct tg_task;

typedef struct tg_session {
    tg_train_config *config;       /* complete: nothing NULL but data, init, out and files; tg_fit chooses in it */
    const struct tg_task *task;    /* train/task.h: whose data are those that follow */
    tg_tokenizer *tokenizer;
    tg_corpus *corpus;             /* NULL: a plan without text */
    tg_corpus *held_out;           /* of eval_data; NULL: the validation split of `corpus` is */
    tg_samples *samples;           /* the same for a model that learns from samples */
    tg_samples *held_samples;
    tg_model *model;
    tg_method method;              /* config->optimizer, */
    const tg_mover *mover;         /* and how such a one moves weights: */
    const tg_rule_info *rule;      /* a rule, */
    tg_optim *optim;
    tg_whole *whole;               /* or a minimizer; NULL what is not there */
    tg_schedule *schedule;
    tg_loss_scale loss_scale;
    tg_loss_guard guard;
    tg_graph *train, *evaluate;    /* planned; allocated by tg_session_allocate */
    tg_graph *attack;              /* the same, of batches that are attacked before they are trained on; NULL: none are */
    tg_attacker attacker;          /* with `attack` */
    tg_sink sink;
    uint32_t *tokens;              /* one batch, (B,T); NULL with samples */
    int32_t *targets;
    float *features, *values;      /* of samples, (B,F) and (B); NULL with a text */
    size_t feature_room;           /* B * F */
    void *kept_weights;            /* train/curvature.h; NULL where not needed */
    tg_allocator paged;            /* of the states, with config->state_file */
    tg_allocator weight_pages;     /* of the weights, with config->weight_file */
    size_t places;                 /* B * T */
    size_t process_bytes;          /* resident before any of it was made */
    size_t asked_bytes;            /* planned for what was asked, where that does not fit into the memory; else 0 */
    size_t opening_bytes;          /* resident at most while text and tokenizer were read; 0: less than ever before */
} tg_session;

/* Opens data and tokenizer, creates the model (weights untouched), adds its weights to the optimizer, plans the graphs.
 * `checkpoint`: the directory of a model whose configuration and tokenizer are used instead; NULL: config's own. */
tg_status tg_session_open(tg_session *session, tg_train_config *config, const char *checkpoint);
/* The same to be planned only: no file is made, and the weights have no memory. */
tg_status tg_session_outline(tg_session *session, tg_train_config *config);
void tg_session_close(tg_session *session);

/* Makes and plans the graphs as config says now, instead of those there are. */
tg_status tg_session_graphs(tg_session *session);

/* Takes the memory that the plan speaks of. */
tg_status tg_session_allocate(tg_session *session);

/* What a run of the training graph on the session's batch reads; gradients go to the optimizer. */
tg_run tg_session_run(const tg_session *session, uint64_t update, uint32_t micro_step);

void tg_session_plan(const tg_session *session, tg_plan *plan);

/* Bytes that the planned training will take, once it has begun, beyond what the process and the data have taken before. */
size_t tg_session_room(const tg_plan *plan);

#endif
