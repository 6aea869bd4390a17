/* schedule/schedule.h -- what a schedule is: one const descriptor, one file in schedule/, one line in schedules.inc.
 *
 * A schedule file holds the factor as a function of the stage's own update u; compose.c reads the text, checks every
 * value against the tables, gives each stage its place in the run, and moves u to it. */
#ifndef TG_SCHEDULE_SCHEDULE_H
#define TG_SCHEDULE_SCHEDULE_H

#include <math.h>
#include <stddef.h>

#include "tiger/schedule.h"

#define TG_MAX_SCHEDULE_OPTIONS 8

/* A stage as its factor function sees it. */
typedef struct tg_stage {
    const double *option; /* in the order of the schedule's table */
    const double *list; /* `items` rows of `list_width` numbers; the first of a row is an update, strictly ascending */
    size_t items;
    double length; /* T: updates the stage lasts, 0 when the stages before leave it nothing */
    double total;  /* updates of the whole run */
    double lr;     /* factor of the learning rate now; for kinds that follow it */
    const tg_schedule_state *state; /* what the stage remembers, NULL: nothing yet; for kinds that watch */
} tg_stage;

typedef struct tg_schedule_kind {
    tg_schedule_info info;
    size_t list_width; /* 0: takes no list; 1: UPDATE,...; 2: UPDATE=FACTOR,... */
    /* The factor at update u of the stage, 0 <= u <= length. */
    double (*factor)(const tg_stage *stage, double u);
    bool follows_lr;
    /* For kinds that watch evaluations, else NULL: one more. *state begins as factor 1, best infinite, 0 and 0. */
    void (*observe)(const tg_stage *stage, tg_schedule_state *state, double loss);
} tg_schedule_kind;

#define TG_SCHEDULE(name) extern const tg_schedule_kind tg_schedule_kind_##name;
#include "schedule/schedules.inc"
#undef TG_SCHEDULE

/* The first row of every schedule's options: how long the stage lasts. */
#define TG_SCHEDULE_UPDATES 0
#define TG_OPTION_UPDATES(default_, help_)                                                                             \
    {                                                                                                                  \
        .name = "updates", .kind = TG_REAL, .value = default_, .least = 0, .most = INFINITY, .help = help_             \
    }
#define TG_OPTION_STAGE_UPDATES TG_OPTION_UPDATES(0, "how long it lasts, as a number or a share below 1; 0: the rest")
#define TG_OPTION_MIN                                                                                                  \
    {                                                                                                                  \
        .name = "min", .kind = TG_REAL, .value = 0, .least = 0, .most = INFINITY, .help = "factor at the end"          \
    }
#define TG_OPTION_GAMMA(default_)                                                                                      \
    {                                                                                                                  \
        .name = "gamma", .kind = TG_REAL, .value = default_, .least = 0, .most = INFINITY, .above = 1,                 \
        .help = "what the factor is multiplied by each time"                                                           \
    }
#define TG_SCHEDULE_TABLE(options)                                                                                     \
    {                                                                                                                  \
        options, sizeof(options) / sizeof *(options)                                                                   \
    }

/* An option that counts updates, or below 1 is a share of the run, as whole updates. */
static inline double tg_stage_updates(const tg_stage *stage, double value)
{
    return rint(value < 1 ? value * stage->total : value);
}

/* How much of a span of updates is over at u: 0 .. 1; an empty span is over. */
static inline double tg_stage_progress(double u, double span) { return u < span ? u / span : 1; }

/* From `from` to `to` along half a cosine wave, x = 0 .. 1. */
static inline double tg_half_cosine(double from, double to, double x)
{
    return to + (from - to) * 0.5 * (1 + cos(3.14159265358979323846 * x));
}

#endif
