/* liblbfgs_run.c -- libLBFGS (Debian's liblbfgs-dev) on the problems of tests/unit/mgh.h: tests/oracle/minimizers.py compiles
 * it where the library is there. A line "NAME EVALUATIONS f |g|" each; stops when no entry of the gradient is above 1e-6. */
#include <lbfgs.h>
#include <stdio.h>

#include "../unit/mgh.h"

static int evaluations;

static lbfgsfloatval_t evaluate(void *ctx, const lbfgsfloatval_t *x, lbfgsfloatval_t *g, int n, lbfgsfloatval_t step)
{
    double f;
    (void)n, (void)step;
    evaluations++;
    mgh_evaluate(ctx, &f, g, x);
    return f;
}

static double largest(const double *g, int n)
{
    double most = 0;
    for (int i = 0; i < n; i++)
        most = fmax(most, fabs(g[i]));
    return most;
}

static int progress(void *ctx, const lbfgsfloatval_t *x, const lbfgsfloatval_t *g, lbfgsfloatval_t f, lbfgsfloatval_t xnorm,
                    lbfgsfloatval_t gnorm, lbfgsfloatval_t step, int n, int k, int ls)
{
    (void)ctx, (void)x, (void)f, (void)xnorm, (void)gnorm, (void)step, (void)k, (void)ls;
    return largest(g, n) <= 1e-6;
}

int main(void)
{
    for (size_t i = 0; i < MGH_COUNT; i++) {
        mgh p = mgh_all[i];
        double *x = lbfgs_malloc((int)p.n), g[MGH_N], f;
        lbfgs_parameter_t parameters;
        lbfgs_parameter_init(&parameters);
        parameters.epsilon = 1e-300;
        parameters.max_iterations = 5000;
        mgh_start(&p, x);
        evaluations = 0;
        lbfgs((int)p.n, x, &f, evaluate, progress, &p, &parameters);
        mgh_evaluate(&p, &f, g, x);
        printf("%s %d %.17g %.17g\n", p.name, evaluations, f, largest(g, (int)p.n));
        lbfgs_free(x);
    }
    return 0;
}
