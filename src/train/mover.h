/* train/mover.h -- how a run moves its weights: a rule takes each gradient as it comes, tile by tile; a minimizer
 * evaluates the loss of the whole model several times an update. One table for each way: session, loop, plan and
 * checkpoints go through it and know of neither. */
#ifndef TG_TRAIN_MOVER_H
#define TG_TRAIN_MOVER_H

#include "store/metrics.h"
#include "train/session.h"

/* One update: what the loop wants of it, and what it came to. */
typedef struct tg_move {
    uint64_t update;                       /* made before this one */
    bool (*wants)(void *ctx, double loss); /* asked of every micro-batch of a rule; NULL: none is left out */
    void (*look)(void *ctx, const struct tg_call *call); /* shown the first micro-batch; NULL: nobody looks */
    void *wants_ctx, *look_ctx;

    uint32_t micro;           /* the micro-batch under way, from 0 */
    double loss;              /* of a rule: where its gradient was taken; of a minimizer: where it came to */
    double passes;            /* forward and backward through the update's tokens; forward alone is a third */
    double optimizer_seconds; /* spent beside forward and backward, on estimates of curvature too; what is folded or
                               * released while backward makes it is backward's */
    uint64_t evaluations;     /* times that its tokens were read */
    double lr;                /* NaN: there is none */
    double length;            /* of a minimizer's step */
    const char *line;         /* how its line search ended; NULL: a rule made the update */
    const char *stuck;        /* why it found nothing better on this batch; NULL: it did */
} tg_move;

/* Numbers and texts of an update's line in metrics.jsonl. */
#define TG_MOVE_FIELDS 16

struct tg_mover {
    /* From the configuration: options checked, the model's weights known, s->sink set. `outline`: to be planned only.
     */
    tg_status (*open)(tg_session *s, bool outline);
    void (*measure)(const tg_session *s, tg_optim_bytes *bytes);
    bool (*splits)(const tg_session *s);        /* whether an update may be cut into micro-batches */
    size_t (*micro_steps)(const tg_session *s); /* of an update, of a minimizer of an evaluation */
    tg_status (*allocate)(tg_session *s);
    /* The weights are filled. */
    tg_status (*begin)(tg_session *s, void (*on_event)(void *ctx, const tg_event *event), void *ctx);
    tg_status (*update)(tg_session *s, tg_move *step);
    /* Appends to field[*count], TG_MOVE_FIELDS at most. */
    tg_status (*tell)(const tg_session *s, const tg_move *step, tg_metric *field, size_t *count);
    const char *(*ended)(const tg_session *s); /* why no update is left to make; NULL: there is */
    tg_status (*save)(const tg_session *s, const char *path);
    tg_status (*load)(tg_session *s, const char *path);
    void (*close)(tg_session *s);
};

extern const tg_mover tg_mover_rule, tg_mover_minimizer;

/* Finds method and mover of config->optimizer; TG_ENOTFOUND. */
tg_status tg_mover_find(tg_session *s);

#endif
