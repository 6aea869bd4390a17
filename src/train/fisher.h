/* train/fisher.h -- what goes into linear layers and comes back, for optimizers that work layers (kfac). */
#ifndef TG_TRAIN_FISHER_H
#define TG_TRAIN_FISHER_H

#include "train/session.h"

/* Before update `update` (from 0): where rows are due, with fisher=sampled, a pass over the update's first batch whose
 * labels are drawn from the model's own output; it makes no gradient of a weight. */
tg_status tg_fisher_observe(tg_session *session, uint64_t update);

/* Where micro-step `micro` of an update hands its gradients: with fisher=empirical the first one its layers' rows too,
 * where they are due. */
tg_sink tg_fisher_sink(const tg_session *session, uint32_t micro);

#endif
