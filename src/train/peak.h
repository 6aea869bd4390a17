/* train/peak.h -- what the machine can do at most in a training's products: the bound its utilisation is a share of. */
#ifndef TG_TRAIN_PEAK_H
#define TG_TRAIN_PEAK_H

#include "graph/graph.h"

/* *flops <- operations a second (a multiply and an add are two) of a large square product on the run's threads, in the
 * arithmetic that the graph's products use: the best of some, within about a quarter of a second. The square is as large
 * as the threads want it, or smaller where that would take more than `room` bytes. */
tg_status tg_peak_measure(double *flops, const tg_graph *graph, size_t room);

/* Memory it takes meanwhile: more than `room` only where the smallest square does. */
size_t tg_peak_bytes(const tg_graph *graph, size_t room);

#endif
