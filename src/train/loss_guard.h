/* train/loss_guard.h -- micro-batches whose loss is far above its running mean are left out.
 *
 *   x is left out when  x > m + z s,   s = max(sqrt(v), 1e-6 |m|)
 *   d <- min(x, m + z s) - m,   a = max(1/n, 1/100)      m <- m + a d      v <- (1 - a) (v + a d^2)
 *
 * An exponential mean and variance (West 1979, Comm. ACM 22:532) over about a hundred micro-batches, the plain ones of
 * the first hundred; none is left out before those. A loss that is left out counts as the bound it exceeded: a level
 * that stays high widens the bound by a sixth at a time for z = 6, and is learned from again after some updates. */
#ifndef TG_TRAIN_LOSS_GUARD_H
#define TG_TRAIN_LOSS_GUARD_H

#include <stdbool.h>
#include <stdint.h>

typedef struct tg_loss_guard {
    double mean, variance;
    uint64_t seen, skipped; /* losses */
} tg_loss_guard;

/* Takes a finite loss in. False: it is to be left out; *deviations <- its distance from the mean, in standard ones. */
bool tg_loss_guard_take(tg_loss_guard *guard, double limit, double loss, double *deviations);

/* Whether a guard can have come to this. */
bool tg_loss_guard_is_sound(const tg_loss_guard *guard);

#endif
