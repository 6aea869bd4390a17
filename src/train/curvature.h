/* train/curvature.h -- estimates of the Hessian's diagonal, for optimizers that observe it (sophia). */
#ifndef TG_TRAIN_CURVATURE_H
#define TG_TRAIN_CURVATURE_H

#include "train/session.h"

/* Whether the optimizer's options, and the format of the weights, let it observe at all. */
tg_status tg_curvature_check(const tg_session *session);

/* Bytes beside the plan of the graph: a copy of the weights, for Hutchinson's estimate. */
size_t tg_curvature_bytes(const tg_session *session);
tg_status tg_curvature_allocate(tg_session *session);

/* Before update `update` (from 0): where the optimizer's interval says so, an estimate from the update's first batch.
 *
 * gnb (Liu et al. 2023, Alg. 2): labels are drawn from the model's own output, N of them, and N g^2 is the estimate.
 * hutchinson (Alg. 1): (g(x + e u) - g(x - e u)) / 2e is the Hessian times the random signs u; u times it the estimate. */
tg_status tg_curvature_observe(tg_session *session, uint64_t update);

#endif
