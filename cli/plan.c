/* plan.c -- tiger plan: the memory and the work of a training, without doing it. */
#include <stdio.h>

#include "args.h"
#include "report.h"
#include "setup.h"

static int run(const cli_args *args)
{
    tg_train_config config = {0};
    tg_plan plan;
    tg_plan_peer peer[TG_PLAN_PEERS];
    int status = cli_setup(&config, args);
    if (status != CLI_OK)
        goto done;
    tg_status planned = tg_train_plan(&plan, &config);
    if (planned == TG_OK)
        planned = tg_train_plan_peers(peer, &plan, &config);
    if (planned == TG_OK)
        cli_report_peers(&plan, peer, TG_PLAN_PEERS);
    status = cli_answer(args, planned);
done:
    cli_setup_fini(&config);
    return status;
}

const cli_command cli_plan = {
    .name = "plan",
    .summary = "shows the memory and the work of a training before it is started",
    .usage = "[options of tiger train]",
    .details = "Takes the flags of tiger train; nothing is written and no large memory is touched. Without --data the "
               "vocabulary is --vocab, or 256 bytes. Beside the plan stands what the same training takes with AdamW.",
    .arrange = cli_setup_arrange,
    .run = run,
};
