/* scores.c -- see scores.h. Formats stand in the engine's table of scores, one number each. */
#include "scores.h"

#include <math.h>
#include <stdio.h>

#define WIDE 15 /* of a title */

void cli_scores_line(const tg_evaluation *e, const char *before, const char *behind)
{
    bool any = false;
    for (size_t i = 0; i < tg_score_count(); i++) {
        const tg_score *score = tg_score_at(i);
        const double value = tg_score_value(score, e);
        if (score->line == NULL || !isfinite(value))
            continue;
        fputs(any ? ", " : before, stdout);
        printf(score->line, score->times * value);
        any = true;
    }
    fputs(any ? behind : "", stdout);
}

void cli_scores_table(const tg_evaluation *e)
{
    for (size_t i = 0; i < tg_score_count(); i++) {
        const tg_score *score = tg_score_at(i);
        const double value = tg_score_value(score, e);
        if (isnan(value))
            continue;
        printf("%-*s", WIDE, score->title);
        printf(score->format, score->times * value);
        putchar('\n');
    }
}
