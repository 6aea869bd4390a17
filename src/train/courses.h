/* train/courses.h -- the schedule's courses on the optimizer's options. */
#ifndef TG_TRAIN_COURSES_H
#define TG_TRAIN_COURSES_H

#include "tiger/optim.h"
#include "tiger/schedule.h"

/* TG_EINVAL when a course drives what the optimizer does not have, or leads it to a value that is not legal; looked at
 * are up to 10,000 updates of the run of `updates`, evenly spread. */
tg_status tg_courses_check(const tg_schedule *schedule, const tg_optim *optim, const tg_rule_info *rule,
                           uint64_t updates);

/* Scales the options for update u. */
tg_status tg_courses_apply(const tg_schedule *schedule, tg_optim *optim, const tg_rule_info *rule, uint64_t u);

/* *value <- what a course makes of its option at update u. */
tg_status tg_courses_value(double *value, const tg_schedule *schedule, const tg_optim *optim, size_t course,
                           uint64_t u);

#endif
