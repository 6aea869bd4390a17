/* train/courses.c -- the schedule's courses on the optimizer's options.
 *
 * The groups of a run differ in one thing, that vectors do not decay, and no decay is legal times any factor: group 0
 * speaks for all. */
#include "train/courses.h"

#include "base/fail.h"

#define MOST_LOOKS 10000

tg_status tg_courses_value(double *value, const tg_schedule *schedule, const tg_optim *optim, size_t course, uint64_t u)
{
    double base;
    const tg_status status = tg_optim_get(optim, 0, tg_schedule_course_option(schedule, course), &base);
    if (status == TG_OK)
        *value = base * tg_schedule_course_factor(schedule, course, u);
    return status;
}

static tg_status find(const tg_option **option, const tg_rule_info *rule, const char *name)
{
    const tg_option_table *const table = &rule->options;
    const size_t found = tg_option_find(table, name), nearest = tg_option_nearest(table, name);
    if (found == table->count && nearest < table->count)
        return tg_fail(TG_EINVAL, "the schedule drives %s, which %s does not have (did you mean %s?)", name, rule->name,
                       table->at[nearest].name);
    if (found == table->count)
        return tg_fail(TG_EINVAL, "the schedule drives %s, which %s does not have (see: tiger list optimizers %s)",
                       name, rule->name, rule->name);
    if (table->at[found].kind != TG_REAL)
        return tg_fail(TG_EINVAL, "the schedule drives %s, which is no real number", name);
    *option = &table->at[found];
    return TG_OK;
}

static tg_status check_value(const tg_schedule *schedule, const tg_optim *optim, const tg_rule_info *rule,
                             size_t course, uint64_t u)
{
    const tg_option *option = NULL;
    double value = 0;
    tg_status status = find(&option, rule, tg_schedule_course_option(schedule, course));
    if (status == TG_OK)
        status = tg_courses_value(&value, schedule, optim, course, u);
    if (status == TG_OK && tg_option_check(option, value) != TG_OK)
        status =
            tg_fail(TG_EINVAL, "the schedule goes too far at update %llu: %s", (unsigned long long)u, tg_message());
    return status;
}

tg_status tg_courses_check(const tg_schedule *schedule, const tg_optim *optim, const tg_rule_info *rule,
                           uint64_t updates)
{
    const uint64_t looks = updates < MOST_LOOKS ? updates : MOST_LOOKS;
    tg_status status = TG_OK;
    for (size_t course = 0; course < tg_schedule_courses(schedule); course++)
        for (uint64_t i = 0; status == TG_OK && i < looks; i++)
            status = check_value(schedule, optim, rule, course, updates / looks * i);
    return status;
}

tg_status tg_courses_apply(const tg_schedule *schedule, tg_optim *optim, const tg_rule_info *rule, uint64_t u)
{
    tg_status status = TG_OK;
    for (size_t course = 0; status == TG_OK && course < tg_schedule_courses(schedule); course++) {
        status = check_value(schedule, optim, rule, course, u);
        if (status == TG_OK)
            status = tg_optim_scale(optim, tg_schedule_course_option(schedule, course),
                                    tg_schedule_course_factor(schedule, course, u));
    }
    return status;
}
