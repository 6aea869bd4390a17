/* train/fit.h -- choosing what the user left open so that a run stays within the memory it may take. */
#ifndef TG_TRAIN_FIT_H
#define TG_TRAIN_FIT_H

#include "train/session.h"

/* Plans the session's graphs as its configuration says where that fits into its memory, else as the fastest choice of
 * recompute and of batch x accumulate (their product kept) that does; the choice goes into the configuration.
 * TG_ENOMEM, with what the least would take and what would help, when none does. */
tg_status tg_fit(tg_session *session);

#endif
