/* search/process.h -- a Gaussian process over the unit cube (Rasmussen & Williams 2006, ch. 2 and 5).
 *
 *   y = f + noise;  f has mean 0 and covariance  s (1 + a + a^2/3) exp(-a),  a = sqrt(5 sum_d (x_d - x'_d)^2 / l_d^2)
 *
 * which is Matern's with 5/2, a length l_d for each dimension. Along a choice the distance of two different ones is 1. */
#ifndef TG_SEARCH_PROCESS_H
#define TG_SEARCH_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

#include "tiger/status.h"

typedef struct tg_process {
    size_t dimensions, count, room;
    const bool *is_choice; /* (dimensions), the caller's */
    double *point, *value; /* (room, dimensions), (room) */
    double *parameter;     /* (dimensions + 2): logarithms of the lengths, of s, and of the noise's variance */
    double *factor;        /* (room, room): lower, L L^T = covariance of the values */
    double *weight;        /* (room): that covariance's inverse times the values */
    double *work;          /* (room, room + dimensions + 2) */
} tg_process;

/* Room for `room` values; fini is fine on {0}. */
tg_status tg_process_init(tg_process *process, size_t room, size_t dimensions, const bool *is_choice);
void tg_process_fini(tg_process *process);

/* log p(values | points) with the parameters as they are, and its derivatives by them unless `gradient` is NULL; factor
 * and weight are made. -INFINITY where rounding leaves no factor. */
double tg_process_likelihood(tg_process *process, double *gradient);
/* Parameters <- those of the largest likelihood, within bounds, by lbfgs from two starts; factor and weight to them. */
tg_status tg_process_fit(tg_process *process);
/* Mean and variance of f at a point. */
void tg_process_predict(double *mean, double *variance, const tg_process *process, const double *point);

/* E[max(0, best - f)] of a normal f (Jones, Schonlau & Welch 1998, eq. 15). */
double tg_expected_improvement(double mean, double variance, double best);

#endif
