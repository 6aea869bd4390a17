/* tiger/schedule.h -- factors over the course of training.
 *
 * A schedule maps the update u = 0, 1, ... to factors of base values: of the learning rate, and of any other number of
 * the optimizer that it names. As text it is one or more courses, each of one or more stages:
 *
 *     "warmup:100 > cosine:min=0.1"                  SCHEDULE  = COURSE { ";" COURSE }
 *     "onecycle; momentum=onecycle:counter=0.9"      COURSE    = [ OPTION "=" ] STAGE { ">" STAGE }
 *     "multistep:1000,2000,gamma=0.5"                STAGE     = NAME [ ":" ITEM { "," ITEM } ]
 *     "piecewise:0=0,1000=1,5000=0.1"                ITEM      = OPTION "=" VALUE | VALUE | UPDATE | UPDATE "=" FACTOR
 *
 * A course without OPTION drives lr. An item that begins with a letter and has "=" sets an option of its stage; any
 * other is a row of the list that the schedule takes (updates ascending), or the value of its `first` option. Blanks
 * around names, values and signs do not matter.
 *
 * Each stage sees u counted from its own start. Every stage has the option `updates`, how long it lasts: a number, or
 * below 1 a share of the run. Then the next begins. Where it is 0, the stage gets the rest of the run and must be the
 * last. Stages that a short run does not reach are not missed.
 *
 * Factors are pure functions of (u, total), but for the stage `plateau`, which watches the evaluations it is told of by
 * tg_schedule_observe. What it remembers can be read and put back: a resumed run goes on to the same bits. */
#ifndef TIGER_SCHEDULE_H
#define TIGER_SCHEDULE_H

#include <stdbool.h>
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

/* The factor of lr at update u, >= 0 and finite; after the end, the last stage's value at its end. 1 when no course
 * drives lr. */
double tg_schedule_factor(const tg_schedule *schedule, uint64_t u);

/* ---- courses ----------------------------------------------------------------------------------------------------- */

size_t tg_schedule_courses(const tg_schedule *schedule);                           /* >= 1, in the order of the text */
const char *tg_schedule_course_option(const tg_schedule *schedule, size_t course); /* "lr", "weight_decay" */
double tg_schedule_course_factor(const tg_schedule *schedule, size_t course, uint64_t u);

/* ---- what plateau watches ---------------------------------------------------------------------------------------- */

/* Whether there is a stage that has to be told of evaluations. */
bool tg_schedule_watches(const tg_schedule *schedule);

/* Tells every course of an evaluation's loss after `updates` updates; it counts for the factors from u = updates on. */
void tg_schedule_observe(tg_schedule *schedule, uint64_t updates, double loss);

/* What a course remembers of its evaluations; all 0: none yet. */
typedef struct tg_schedule_state {
    uint32_t stage;    /* which stage, from 1, they were told to */
    double factor;     /* reached */
    double best;       /* least loss, infinite before the first finite one */
    uint64_t waited;   /* evaluations without a gain, in a row */
    uint64_t cooldown; /* evaluations still to let pass */
} tg_schedule_state;

void tg_schedule_get_state(const tg_schedule *schedule, size_t course, tg_schedule_state *state);
/* TG_EINVAL when it is none that this course can have. */
tg_status tg_schedule_set_state(tg_schedule *schedule, size_t course, const tg_schedule_state *state);

/* ---- the family -------------------------------------------------------------------------------------------------- */

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
