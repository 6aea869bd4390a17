/* train/descent.h -- what stands behind tiger/engine/descent.h. */
#ifndef TG_TRAIN_DESCENT_H
#define TG_TRAIN_DESCENT_H

#include "tiger/engine/descent.h"

double tg_descent_norm(const double *g, size_t n);

/* tg_descend for the methods of tiger/minimize.h, all of *result but the distance. */
tg_status tg_descend_by_minimizer(tg_descent_result *result, double *x, const tg_descent_config *config,
                                  tg_descent_visit *visit, void *ctx);

#endif
