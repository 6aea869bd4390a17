/* train/loss_guard.c -- see loss_guard.h. */
#include "train/loss_guard.h"

#include <math.h>

#define PATIENCE 100 /* losses seen before one is left out, and about how many the mean is over */
#define LEAST 1e-6   /* of the mean: what fp32 makes of a loss that stands still is no deviation */

bool tg_loss_guard_take(tg_loss_guard *guard, double limit, double loss, double *deviations)
{
    const double deviation = fmax(sqrt(guard->variance), LEAST * fabs(guard->mean));
    const double most = guard->mean + limit * deviation;
    const bool judges = limit > 0 && guard->seen >= PATIENCE, good = !judges || loss <= most;
    const double d = (good ? loss : most) - guard->mean;
    if (!good)
        *deviations = (loss - guard->mean) / deviation;
    guard->seen++;
    guard->skipped += !good;
    const double a = fmax(1.0 / (double)guard->seen, 1.0 / PATIENCE);
    guard->mean += a * d;
    guard->variance = (1 - a) * (guard->variance + a * d * d);
    return good;
}

bool tg_loss_guard_is_sound(const tg_loss_guard *guard)
{
    return isfinite(guard->mean) && isfinite(guard->variance) && guard->variance >= 0 && guard->skipped <= guard->seen;
}
