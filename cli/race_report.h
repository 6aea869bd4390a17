/* race_report.h -- what a race has shown: the table, and pictures. */
#ifndef TIGER_CLI_RACE_REPORT_H
#define TIGER_CLI_RACE_REPORT_H

#include "race.h"

void cli_race_print(const cli_race_task *task, const tg_race *race, const tg_race_row *row, double target);

/* What --pictures may be: how the names of pictures end. */
#define CLI_RACE_PICTURES "png|svg|gp"

/* OUT/curves.png, or as --pictures says: the best setting of every contender, with the 95 % interval over the seeds. Of problems
 * OUT/evaluations.png: the same over evaluations of the function. OUT/rates.png: final losses over learning rates. Gives
 * the exit status. */
int cli_race_draw(const cli_args *args, const tg_race *race, const tg_race_row *row);

#endif
