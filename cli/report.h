/* report.h -- what `train` and `plan` tell. */
#ifndef TIGER_CLI_REPORT_H
#define TIGER_CLI_REPORT_H

#include "command.h"
#include "tiger/engine/train.h"

/* The memory plan as a table, the work of an update, and what was chosen to fit. */
void cli_report_plan(const tg_plan *plan);
/* The same, beside what other ways of training the model would take. */
void cli_report_peers(const tg_plan *plan, const tg_plan_peer *peer, size_t peers);

#endif
