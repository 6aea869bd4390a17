/* report.h -- what `train` and `plan` tell. */
#ifndef TIGER_CLI_REPORT_H
#define TIGER_CLI_REPORT_H

#include "command.h"
#include "tiger/engine/train.h"

/* The memory plan as a table, and the work of an update. */
void cli_report_plan(const tg_plan *plan);

#endif
