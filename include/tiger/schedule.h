/* tiger/schedule.h -- factors over the course of training.
 *
 * A schedule maps the update u = 0, 1, ... to a factor of a base value (learning rate, weight decay, gamma, ...). It is
 * a pure function of (u, total): nothing to save. As text it is one or more stages:
 *
 *     "warmup:100 > cosine:min=0.1"                  SCHEDULE  = STAGE { ">" STAGE }
 *     "wsd:0.2,shape=sqrt"                           STAGE     = NAME [ ":" ITEM { "," ITEM } ]
 *     "multistep:1000,2000,gamma=0.5"                ITEM      = OPTION "=" VALUE | VALUE | UPDATE | UPDATE "=" FACTOR
 *     "piecewise:0=0,1000=1,5000=0.1"
 *
 * An item that begins with a letter and has "=" sets an option; any other is a row of the list that the schedule takes
 * (updates ascending), or the value of its `first` option. Blanks around names, values and signs do not matter.
 *
 * Each stage sees u counted from its own start. Every stage has the option `updates`, how long it lasts: a number, or
 * below 1 a share of the run. Then the next begins. Where it is 0, the stage gets the rest of the run and must be the
 * last. Stages that a short run does not reach are not missed. */
#ifndef TIGER_SCHEDULE_H
#define TIGER_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

#include "tiger/memory.h"
#include "tiger/option.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_schedule tg_schedule;

/* *out <- the schedule that `text` describes, for a run of `total` updates (1 .. 2^53). TG_EINVAL with the column in
 * the text when it is wrong. Release with tg_schedule_destroy. */
tg_status tg_schedule_create(tg_schedule **out, const char *text, uint64_t total, const tg_allocator *allocator);
void tg_schedule_destroy(tg_schedule *schedule);

/* The factor at update u, >= 0 and finite; after the end, the last stage's value at its end. */
double tg_schedule_factor(const tg_schedule *schedule, uint64_t u);

/* The family: u counts from the stage's start, T is its length. `first` names the option that a value without a name
 * sets, or is NULL; `list` says how its list is written ("UPDATE=FACTOR,..."), or is NULL when it takes none. */
typedef struct tg_schedule_info {
    const char *name, *formula, *help, *first, *list;
    tg_option_table options;
} tg_schedule_info;

size_t tg_schedule_count(void);
const tg_schedule_info *tg_schedule_at(size_t index); /* NULL past the end */

#ifdef __cplusplus
}
#endif
#endif
