/* race/statistics.c -- means with intervals, the paired t test, and Holm's correction for several of them.
 *
 * Student's t (1908) through the regularised incomplete beta function: the probability of |t| or more with n degrees of
 * freedom is I_x(n/2, 1/2), x = n / (n + t^2) (Abramowitz & Stegun 26.7.1); I_x by its continued fraction (26.5.8),
 * evaluated by Lentz's method. Holm (1979): the i-th smallest of m p-values times m - i + 1, and never below those
 * before. */
#include <float.h>
#include <math.h>

#include "tiger/engine/race.h"

#define MOST_TERMS 10000
#define TINY 1e-300

static double away_from_zero(double v) { return fabs(v) < TINY ? TINY : v; }

/* The continued fraction, for x < (a + 1) / (a + b + 2), where it converges fast. */
static double beta_fraction(double x, double a, double b)
{
    double c = 1, d = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), f = d;
    for (int m = 1; m <= MOST_TERMS; m++) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 / away_from_zero(1 + even * d);
        c = away_from_zero(1 + even / c);
        f *= c * d;
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / away_from_zero(1 + odd * d);
        c = away_from_zero(1 + odd / c);
        f *= c * d;
        if (fabs(c * d - 1) < 4 * DBL_EPSILON)
            break;
    }
    return f;
}

/* I_x(a, b). */
static double incomplete_beta(double x, double a, double b)
{
    if (x <= 0 || x >= 1)
        return x <= 0 ? 0 : 1;
    const double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(x, a, b) / a : 1 - front * beta_fraction(1 - x, b, a) / b;
}

double tg_student_tails(double t, double freedom)
{
    return isinf(t) ? 0 : incomplete_beta(freedom / (freedom + t * t), freedom / 2, 0.5);
}

double tg_student_quantile(double p, double freedom)
{
    double low = 0, high = 1;
    while (tg_student_tails(high, freedom) > p && high < DBL_MAX / 2)
        high *= 2;
    for (int i = 0; i < 200 && low < high; i++) {
        const double middle = low + (high - low) / 2;
        if (middle == low || middle == high)
            break;
        *(tg_student_tails(middle, freedom) > p ? &low : &high) = middle;
    }
    return low + (high - low) / 2;
}

/* Mean and the standard error of it; the latter NaN for fewer than two. */
static double mean_of(double *error, const double *value, size_t count)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++)
        sum += value[i];
    const double mean = count == 0 ? NAN : sum / (double)count;
    for (size_t i = 0; i < count; i++)
        squares += (value[i] - mean) * (value[i] - mean);
    *error = count < 2 ? NAN : sqrt(squares / (double)(count - 1) / (double)count);
    return mean;
}

static tg_interval interval_of(double mean, double error, size_t count)
{
    const double reach = count < 2 ? NAN : error * tg_student_quantile(0.05, (double)(count - 1));
    return (tg_interval){mean, mean - reach, mean + reach};
}

tg_interval tg_mean_interval(const double *value, size_t count)
{
    double error;
    const double mean = mean_of(&error, value, count);
    return interval_of(mean, error, count);
}

tg_paired tg_paired_test(const double *a, const double *b, size_t count)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++)
        sum += a[i] - b[i];
    const double mean = count == 0 ? NAN : sum / (double)count;
    for (size_t i = 0; i < count; i++)
        squares += (a[i] - b[i] - mean) * (a[i] - b[i] - mean);
    const double error = count < 2 ? NAN : sqrt(squares / (double)(count - 1) / (double)count);
    const double p = count < 2    ? NAN
                     : mean == 0  ? 1
                     : error == 0 ? 0
                                  : tg_student_tails(mean / error, (double)(count - 1));
    return (tg_paired){interval_of(mean, error, count), p};
}

void tg_holm_correct(double *p, size_t count)
{
    size_t tests = 0;
    double floor = 0;
    for (size_t i = 0; i < count; i++)
        tests += !isnan(p[i]);
    for (size_t done = 0; done < tests; done++) { /* corrected ones are marked by their sign */
        size_t least = count;
        for (size_t i = 0; i < count; i++)
            if (p[i] >= 0 && (least == count || p[i] < p[least]))
                least = i;
        floor = fmax(floor, fmin(1, (double)(tests - done) * p[least]));
        p[least] = -(floor + TINY);
    }
    for (size_t i = 0; i < count; i++)
        p[i] = -p[i] <= TINY ? 0 : -p[i];
}
