/* train/descent_minimizer.c -- one minimizer on one textbook problem, in double.
 *
 * A minimizer's tolerance is on the gradient's largest entry: the one on the norm, over the root of n, is never looser.
 * The norm of a point that is shown is computed for it alone, and not counted among the evaluations. */
#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "tiger/minimize.h"
#include "train/descent.h"
#include "train/process.h"

typedef struct search {
    const tg_descent_config *config;
    tg_minimizer *minimizer;
    size_t n;
    double *x, *g; /* (n): of the point that is to be shown */
    tg_descent_point point;
    double busy; /* seconds, as in tg_descent_point */
    tg_descent_visit *visit;
    void *ctx;
    bool stopped; /* by the visitor */
} search;

static int evaluate(void *ctx, double *value, double *gradient, const double *x)
{
    *value = tg_problem_evaluate(ctx, x, gradient);
    return 0;
}

static int fisher_vector(void *ctx, double *product, const double *x, const double *v)
{
    tg_problem_fisher(ctx, product, x, v);
    return 0;
}

/* ---- making and releasing ---------------------------------------------------------------------------------------- */

static tg_status set_options(const search *s)
{
    const tg_descent_config *c = s->config;
    tg_status status = tg_minimizer_set_number(s->minimizer, "max_iter", (double)c->updates);
    if (status == TG_OK)
        status = tg_minimizer_set_number(s->minimizer, "tolerance_grad", c->tolerance / sqrt((double)s->n));
    for (size_t i = 0; i < c->settings && status == TG_OK; i++)
        status = tg_minimizer_set(s->minimizer, c->setting[i].name, c->setting[i].value);
    return status;
}

static tg_status make(search *s)
{
    const tg_descent_config *c = s->config;
    if (c->weights != TG_F32)
        return tg_fail(TG_EINVAL, "%s works in double: other weights than fp32 are for optimizers", c->optimizer);
    s->x = tg_heap_alloc(s->n, sizeof *s->x);
    s->g = tg_heap_alloc(s->n, sizeof *s->g);
    if (s->x == NULL || s->g == NULL)
        return tg_no_memory("a problem's variables", s->n * sizeof *s->x);
    if (c->start != NULL)
        memcpy(s->x, c->start, s->n * sizeof *s->x);
    else
        tg_problem_start(c->problem, s->x);
    const bool fisher = tg_problem_has_fisher(c->problem);
    if (!fisher && tg_minimizer_find(c->optimizer)->needs == TG_NEEDS_FISHER)
        return tg_fail(TG_EINVAL, "%s needs a Fisher matrix, which likelihoods have: the problem logistic",
                       c->optimizer);
    const tg_objective objective = {.n = s->n,
                                    .ctx = (void *)c->problem,
                                    .evaluate = evaluate,
                                    .parallel = true,
                                    .fisher_vector = fisher ? fisher_vector : NULL};
    tg_status status = tg_minimizer_create(&s->minimizer, c->optimizer, NULL);
    if (status == TG_OK)
        status = set_options(s);
    return status == TG_OK ? tg_minimizer_start(s->minimizer, &objective, s->x) : status;
}

static void release(search *s)
{
    tg_minimizer_destroy(s->minimizer);
    tg_heap_free(s->x);
    tg_heap_free(s->g);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* The point that waits is shown when it is known whether it is the last. */
static void show(search *s, bool last)
{
    s->point.x = s->x;
    s->point.last = last;
    if (s->visit != NULL && !s->visit(s->ctx, &s->point))
        s->stopped = !last;
}

static void take(search *s, const tg_minimum *now)
{
    memcpy(s->x, now->x, s->n * sizeof *s->x);
    s->point.update = now->iterations;
    s->point.evaluations = now->evaluations;
    s->point.value = tg_problem_evaluate(s->config->problem, s->x, s->g);
    s->point.slope = tg_descent_norm(s->g, s->n);
    s->point.seconds = s->busy;
}

static tg_status walk(search *s, tg_minimum *now)
{
    bool going = true;
    tg_minimizer_minimum(s->minimizer, now);
    take(s, now);
    while (going && !s->stopped) {
        const double began = tg_process_seconds();
        const tg_status status = tg_minimizer_iterate(s->minimizer, &going);
        s->busy += tg_process_seconds() - began;
        if (status != TG_OK)
            return status;
        tg_minimizer_minimum(s->minimizer, now);
        if (now->iterations > s->point.update)
            show(s, false);
        if (!s->stopped)
            take(s, now);
    }
    if (!s->stopped)
        show(s, true);
    return TG_OK;
}

static tg_descent_end end_of(tg_stop stop)
{
    switch (stop) {
    case TG_STOP_GRADIENT:
        return TG_DESCENT_TOLERANCE;
    case TG_STOP_CHANGE:
    case TG_STOP_TARGET:
    case TG_STOP_PRECISION:
        return TG_DESCENT_CONVERGED;
    case TG_STOP_ITERATIONS:
    case TG_STOP_EVALUATIONS:
        return TG_DESCENT_UPDATES;
    case TG_STOP_LINE_SEARCH:
        return TG_DESCENT_STUCK;
    case TG_STOP_NOT_FINITE:
        return TG_DESCENT_DIVERGED;
    case TG_STOP_NOT_YET:
    case TG_STOP_CALLER:
    case TG_STOP_COUNT:
        break;
    }
    return TG_DESCENT_STOPPED;
}

tg_status tg_descend_by_minimizer(tg_descent_result *result, double *x, const tg_descent_config *config,
                                  tg_descent_visit *visit, void *ctx)
{
    search s = {.config = config, .n = tg_problem_variables(config->problem), .visit = visit, .ctx = ctx};
    tg_minimum now = {0};
    tg_status status = make(&s);
    if (status == TG_OK)
        status = walk(&s, &now);
    if (status == TG_OK) {
        const tg_stop stop = s.stopped ? TG_STOP_CALLER : now.stop;
        *result = (tg_descent_result){.end = end_of(stop),
                                      .word = tg_stop_name(stop),
                                      .reason = tg_stop_text(stop),
                                      .updates = s.point.update,
                                      .evaluations = s.point.evaluations,
                                      .value = s.point.value,
                                      .slope = s.point.slope};
        memcpy(x, s.x, s.n * sizeof *x);
    }
    release(&s);
    return status;
}
