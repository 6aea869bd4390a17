/* tiger/schedule.h -- factors over the course of training.
 *
 * A schedule maps the update u = 0, 1, ... to a factor of a base value (learning rate, weight decay, gamma, ...). It is
 * a pure function of (u, total): nothing to save. Its text form is NAME[:VALUE][,NAME=VALUE...], and stages are joined
 * by '>':  "warmup:100 > cosine:min=0.1". A stage with a length of its own (warmup) hands over to the next when it
 * ends; the last stage gets the rest of `total`, and sees u counted from its own start. */
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

/* *out <- the schedule that `text` describes, for a run of `total` updates (>= 1). TG_EINVAL with the place in the
 * text when it is wrong. Release with tg_schedule_destroy. */
tg_status tg_schedule_create(tg_schedule **out, const char *text, uint64_t total, const tg_allocator *allocator);
void tg_schedule_destroy(tg_schedule *schedule);

/* The factor at update u; after the end, the last stage's value at its end. */
double tg_schedule_factor(const tg_schedule *schedule, uint64_t u);

/* The family: name, one line, options. `first` names the option that a value without a name sets, or is NULL. */
typedef struct tg_schedule_info {
    const char *name, *formula, *help, *first;
    tg_option_table options;
} tg_schedule_info;

size_t tg_schedule_count(void);
const tg_schedule_info *tg_schedule_at(size_t index); /* NULL past the end */

#ifdef __cplusplus
}
#endif
#endif
