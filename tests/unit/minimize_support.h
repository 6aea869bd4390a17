/* minimize_support.h -- what the tests of minimizers share: functions, and a search that must work. */
#ifndef TG_TESTS_MINIMIZE_SUPPORT_H
#define TG_TESTS_MINIMIZE_SUPPORT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tiger/minimize.h"

static inline void must(tg_status status)
{
    if (status != TG_OK)
        fail_msg("%s: %s", tg_status_name(status), tg_message());
}

static inline void assert_near(double value, double expected, double tolerance) /* cmocka's own compares in float */
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.17g is not within %g of %.17g", value, tolerance, expected);
}

/* f = sum of (i + 1) (x_i - c_i)^2 / 2 + coupling of neighbours: convex, with a minimum that is known. */
typedef struct quadratic {
    size_t n;
    const double *lower, *upper; /* no point outside may be asked for */
    int calls;
} quadratic;

static inline double quadratic_centre(size_t i) { return 0.385 + 0.71 * sin(1.7 * (double)i); }

static inline double quadratic_entry(size_t i, size_t k)
{
    return i == k ? 1.3 + 0.9 * (double)i : i + 1 == k || k + 1 == i ? -0.31 : 0;
}

static inline void quadratic_times(size_t n, double *out, const double *v)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = 0;
        for (size_t k = i == 0 ? 0 : i - 1; k < n && k <= i + 1; k++)
            out[i] += quadratic_entry(i, k) * v[k];
    }
}

static inline int quadratic_evaluate(void *ctx, double *value, double *gradient, const double *x)
{
    quadratic *q = ctx;
    double away[64], pull[64], sum = 2.385;
    q->calls++;
    for (size_t i = 0; i < q->n; i++) {
        assert_true(q->lower == NULL || (x[i] >= q->lower[i] && x[i] <= q->upper[i]));
        away[i] = x[i] - quadratic_centre(i);
    }
    quadratic_times(q->n, pull, away);
    for (size_t i = 0; i < q->n; i++)
        sum += 0.5 * away[i] * pull[i];
    *value = sum;
    if (gradient != NULL)
        memcpy(gradient, pull, q->n * sizeof *pull);
    return 0;
}

static inline int quadratic_product(void *ctx, double *product, const double *x, const double *v)
{
    (void)x;
    quadratic_times(((quadratic *)ctx)->n, product, v);
    return 0;
}

static inline int quadratic_value_in_parallel(void *ctx, double *value, double *gradient, const double *x)
{
    quadratic q = *(const quadratic *)ctx; /* calls are not counted: several threads are here */
    return quadratic_evaluate(&q, value, gradient, x);
}

static inline void start_at(size_t n, double *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = -1.23 + 0.57 * (double)(i % 5);
}

static inline tg_objective quadratic_objective(quadratic *q)
{
    return (tg_objective){.n = q->n, .ctx = q, .evaluate = quadratic_evaluate, .hessian_vector = quadratic_product,
                          .fisher_vector = quadratic_product};
}

static inline tg_minimum search(double *x, const char *method, const tg_objective *f, const tg_setting *settings)
{
    tg_minimum found = {.stop = TG_STOP_COUNT};
    must(tg_minimize(&found, x, method, f, settings));
    assert_true(found.stop != TG_STOP_NOT_YET && found.stop < TG_STOP_COUNT);
    assert_ptr_equal(found.x, x);
    return found;
}

static inline bool has_gradients(size_t method) { return tg_minimizer_at(method)->needs != TG_NEEDS_VALUE; }

#endif
