/* search/process.c -- see process.h. */
#include "search/process.h"

#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "tiger/minimize.h"

/* Bounds of lengths in a cube of side 1, of s for values of variance 1, and of the noise's variance. */
static const double length_least = 0.03, length_most = 30, scale_least = 0.03, scale_most = 30, noise_least = 1e-6,
                    noise_most = 1;

tg_status tg_process_init(tg_process *p, size_t room, size_t dimensions, const bool *is_choice)
{
    size_t square, all = 0;
    *p = (tg_process){.dimensions = dimensions, .room = room, .is_choice = is_choice};
    if (tg_multiply(&square, room, 2 * room + 2 * dimensions + 4) && tg_add_size(&all, square, dimensions + 2))
        p->point = tg_heap_alloc(all, sizeof(double));
    if (p->point == NULL)
        return tg_no_memory("a Gaussian process", all * sizeof(double));
    p->value = p->point + room * dimensions;
    p->weight = p->value + room;
    p->factor = p->weight + room;
    p->work = p->factor + room * room;
    p->parameter = p->work + room * (room + dimensions + 2);
    return TG_OK;
}

void tg_process_fini(tg_process *p)
{
    tg_heap_free(p->point);
    *p = (tg_process){0};
}

/* (x_d - x'_d)^2 / l_d^2 */
static double apart(const tg_process *p, size_t d, const double *x, const double *y)
{
    const double way = p->is_choice[d] ? (double)(x[d] != y[d]) : x[d] - y[d];
    return way * way * exp(-2 * p->parameter[d]);
}

/* The covariance of f at two points; *slope, times apart(d), is its derivative by the logarithm of l_d. */
static double covariance(const tg_process *p, const double *x, const double *y, double *slope)
{
    double sum = 0;
    for (size_t d = 0; d < p->dimensions; d++)
        sum += apart(p, d, x, y);
    const double a = sqrt(5 * sum), s = exp(p->parameter[p->dimensions]), fade = exp(-a);
    *slope = s * 5.0 / 3 * (1 + a) * fade;
    return s * (1 + a + a * a / 3) * fade;
}

/* factor <- Cholesky's of the values' covariance; false when rounding leaves none. */
static bool factorise(tg_process *p)
{
    const size_t n = p->count;
    double slope, *l = p->factor;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = covariance(p, p->point + i * p->dimensions, p->point + j * p->dimensions, &slope);
            if (i == j)
                sum += exp(p->parameter[p->dimensions + 1]);
            for (size_t k = 0; k < j; k++)
                sum -= l[i * n + k] * l[j * n + k];
            if (i == j && !(sum > 0))
                return false;
            l[i * n + j] = i == j ? sqrt(sum) : sum / l[j * n + j];
        }
    return true;
}

/* x <- L^-1 x, then perhaps L^-T of that. */
static void solve(const tg_process *p, double *x, bool whole)
{
    const size_t n = p->count;
    const double *l = p->factor;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            x[i] -= l[i * n + k] * x[k];
        x[i] /= l[i * n + i];
    }
    for (size_t i = n; whole && i-- > 0;) {
        for (size_t k = i + 1; k < n; k++)
            x[i] -= l[k * n + i] * x[k];
        x[i] /= l[i * n + i];
    }
}

/* gradient_j = sum over pairs of (w w^T - K^-1) dK/dparameter_j / 2 */
static void differentiate(const tg_process *p, double *gradient)
{
    const size_t n = p->count, m = p->dimensions;
    double *column = p->work, slope;
    memset(gradient, 0, (m + 2) * sizeof *gradient);
    for (size_t j = 0; j < n; j++) {
        memset(column, 0, n * sizeof *column);
        column[j] = 1;
        solve(p, column, true);
        for (size_t i = 0; i < n; i++) {
            const double *x = p->point + i * m, *y = p->point + j * m;
            const double by = 0.5 * (p->weight[i] * p->weight[j] - column[i]), k = covariance(p, x, y, &slope);
            for (size_t d = 0; d < m; d++)
                gradient[d] += by * slope * apart(p, d, x, y);
            gradient[m] += by * k;
        }
        gradient[m + 1] += 0.5 * (p->weight[j] * p->weight[j] - column[j]) * exp(p->parameter[m + 1]);
    }
}

double tg_process_likelihood(tg_process *p, double *gradient)
{
    const double log_2pi = 1.8378770664093453;
    const size_t n = p->count;
    if (!factorise(p))
        return -INFINITY;
    memcpy(p->weight, p->value, n * sizeof *p->weight);
    solve(p, p->weight, true);
    double sum = -0.5 * (double)n * log_2pi;
    for (size_t i = 0; i < n; i++)
        sum -= 0.5 * p->value[i] * p->weight[i] + log(p->factor[i * n + i]);
    if (gradient != NULL)
        differentiate(p, gradient);
    return sum;
}

static int evaluate(void *ctx, double *value, double *gradient, const double *x)
{
    tg_process *p = ctx;
    memcpy(p->parameter, x, (p->dimensions + 2) * sizeof *x);
    *value = -tg_process_likelihood(p, gradient);
    for (size_t i = 0; gradient != NULL && i < p->dimensions + 2; i++)
        gradient[i] = -gradient[i];
    return 0;
}

/* Of the bounds in `low` and `high`, and a start with lengths of `length`. */
static void lay(const tg_process *p, double *low, double *high, double *start, double length)
{
    const size_t m = p->dimensions;
    for (size_t d = 0; d < m; d++) {
        low[d] = log(length_least);
        high[d] = log(length_most);
        start[d] = log(length);
    }
    low[m] = log(scale_least), high[m] = log(scale_most), start[m] = 0;
    low[m + 1] = log(noise_least), high[m + 1] = log(noise_most), start[m + 1] = log(1e-2);
}

tg_status tg_process_fit(tg_process *p)
{
    static const double lengths[] = {0.3, 2};
    static const tg_setting settings[] = {{"max_iter", "60"}, {"threads", "1"}, {NULL, NULL}};
    const size_t m = p->dimensions + 2;
    double *low = tg_heap_alloc(4 * m, sizeof *low), *high = low + m, *x = high + m, *best = x + m, least = INFINITY;
    if (low == NULL)
        return tg_no_memory("a Gaussian process", 4 * m * sizeof *low);
    tg_status status = TG_OK;
    for (size_t s = 0; s < sizeof lengths / sizeof *lengths && status == TG_OK; s++) {
        tg_minimum found;
        lay(p, low, high, x, lengths[s]);
        if (s == 0)
            memcpy(best, x, m * sizeof *x);
        const tg_objective f = {.n = m, .ctx = p, .evaluate = evaluate, .lower = low, .upper = high};
        status = tg_minimize(&found, x, "lbfgs", &f, settings);
        if (status == TG_OK && found.value < least) {
            least = found.value;
            memcpy(best, x, m * sizeof *x);
        }
    }
    memcpy(p->parameter, best, m * sizeof *best);
    tg_heap_free(low);
    if (status == TG_OK && isinf(tg_process_likelihood(p, NULL)))
        status = tg_fail(TG_EDIVERGED, "trials too close to each other leave a Gaussian process no covariance");
    return status;
}

void tg_process_predict(double *mean, double *variance, const tg_process *p, const double *point)
{
    double *across = p->work, slope, sum = 0, explained = 0;
    for (size_t i = 0; i < p->count; i++) {
        across[i] = covariance(p, p->point + i * p->dimensions, point, &slope);
        sum += across[i] * p->weight[i];
    }
    solve(p, across, false);
    for (size_t i = 0; i < p->count; i++)
        explained += across[i] * across[i];
    *mean = sum;
    *variance = fmax(0, exp(p->parameter[p->dimensions]) - explained);
}

double tg_expected_improvement(double mean, double variance, double best)
{
    const double s = sqrt(variance), by = best - mean, z = s > 0 ? by / s : 0;
    if (!(s > 0))
        return fmax(0, by);
    return by * 0.5 * erfc(-z / sqrt(2)) + s * exp(-0.5 * z * z) / sqrt(8 * atan(1));
}
