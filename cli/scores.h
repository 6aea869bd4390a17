/* scores.h -- what an evaluation comes to, printed. */
#ifndef TIGER_CLI_SCORES_H
#define TIGER_CLI_SCORES_H

#include "tiger/engine/train.h"

/* Within a line: "perplexity 6.56, 2.7134 bits per byte", with `before` in front and `behind` at the end; nothing where
 * there is none. */
void cli_scores_line(const tg_evaluation *evaluation, const char *before, const char *behind);

/* A line each: "accuracy       96.50 %". */
void cli_scores_table(const tg_evaluation *evaluation);

#endif
