/* minimize/chance.h -- random numbers of methods without gradients: functions of (seed, method, generation, candidate,
 * place), so that any number of threads and a resumed search draw the same. */
#ifndef TG_MINIMIZE_CHANCE_H
#define TG_MINIMIZE_CHANCE_H

#include "base/random.h"
#include "minimize/minimize.h"

/* Folded into [low, high] as by mirrors at both ends; infinite ends are none. */
double tg_mirror(double v, double low, double high);

/* An array as the function will see it: within the bounds, in fp32 where the function is. */
static inline void tg_feasible(const tg_minimizer *m, double *x)
{
    for (size_t i = 0; i < m->n; i++) {
        if (m->bounded)
            x[i] = tg_mirror(x[i], m->at[TG_LOWER][i], m->at[TG_UPPER][i]);
        if (m->f.evaluate_f32 != NULL)
            x[i] = (double)(float)x[i];
        if (m->bounded) /* a bound that is no fp32 number */
            x[i] = fmin(fmax(x[i], m->at[TG_LOWER][i]), m->at[TG_UPPER][i]);
    }
}

/* A length that suits entry i: `share` of the way between finite bounds, else `plain`. */
static inline double tg_scale(const tg_minimizer *m, size_t i, double share, double plain)
{
    const double width = m->bounded ? m->at[TG_UPPER][i] - m->at[TG_LOWER][i] : INFINITY;
    return isfinite(width) ? share * width : plain;
}

static inline tg_key tg_chance(const tg_minimizer *m, uint64_t purpose, uint64_t generation, uint64_t candidate)
{
    return tg_key_make((uint64_t)m->common[TG_COMMON_SEED], purpose, generation, candidate);
}

/* The indexes of `count` values from the lowest up; equal ones in their order, so that the result is one. */
void tg_rank(double *order, const double *value, size_t count);

#endif
