/* minimize/drive.c -- the search: iterations, tolerances, generations, and the one call that does it all. */
#include <string.h>

#include "base/fail.h"
#include "minimize/minimize.h"

static const struct { const char *name, *text; } stops[TG_STOP_COUNT] = {
    [TG_STOP_NOT_YET] = {"not yet", "the search goes on"},
    [TG_STOP_GRADIENT] = {"gradient", "converged: no entry of the gradient is larger than tolerance_grad"},
    [TG_STOP_CHANGE] = {"change", "converged: value or point no longer change by more than tolerance_change"},
    [TG_STOP_TARGET] = {"target", "converged: the value has reached the target"},
    [TG_STOP_PRECISION] = {"precision", "converged to precision: rounding hides any further descent"},
    [TG_STOP_ITERATIONS] = {"iterations", "not converged: max_iter iterations are used up"},
    [TG_STOP_EVALUATIONS] = {"evaluations", "not converged: max_eval evaluations are used up"},
    [TG_STOP_LINE_SEARCH] = {"line search", "not converged: no step along the steepest descent is lower: is the gradient right?"},
    [TG_STOP_NOT_FINITE] = {"not finite", "not converged: the function is not finite at the start, or wherever a step led"},
    [TG_STOP_CALLER] = {"caller", "stopped by a callback"},
};

static const char *const line_ends[TG_LINE_COUNT] = {
    [TG_LINE_NONE] = "none",           [TG_LINE_FOUND] = "found",   [TG_LINE_BEST] = "best of those tried",
    [TG_LINE_PRECISION] = "precision", [TG_LINE_ASCENT] = "ascent", [TG_LINE_NOT_FINITE] = "not finite",
    [TG_LINE_EVALUATIONS] = "evaluations", [TG_LINE_CALLER] = "caller",
};

const char *tg_stop_name(tg_stop stop) { return (unsigned)stop < TG_STOP_COUNT ? stops[stop].name : "?"; }
const char *tg_stop_text(tg_stop stop) { return (unsigned)stop < TG_STOP_COUNT ? stops[stop].text : "?"; }
bool tg_stop_converged(tg_stop stop) { return stop >= TG_STOP_GRADIENT && stop <= TG_STOP_PRECISION; }
const char *tg_line_end_name(tg_line_end end) { return (unsigned)end < TG_LINE_COUNT ? line_ends[end] : "?"; }

void tg_minimizer_minimum(const tg_minimizer *m, tg_minimum *now)
{
    const bool gradients = m->kind->info.needs != TG_NEEDS_VALUE;
    *now = (tg_minimum){.value = NAN, .gradient_norm = NAN, .phase = m->kind->info.name};
    if (!m->started)
        return;
    const tg_run *r = m->run;
    now->x = m->at[TG_X];
    now->value = r->f;
    if (gradients && r->begun)
        now->gradient_norm = tg_gradient_size(m, m->at[TG_X], m->at[TG_G]);
    now->step = r->step;
    now->iterations = r->iterations;
    now->evaluations = r->evaluations;
    now->products = r->products;
    now->restarts = r->restarts;
    now->switches = r->switches;
    if (m->kind->phase != NULL)
        now->phase = m->kind->phase(m);
    now->stop = (tg_stop)r->stop;
    now->line = (tg_line_end)r->line;
}

/* ---- when to stop ------------------------------------------------------------------------------------------------------ */

static void tell_monitor(tg_minimizer *m)
{
    if (m->f.monitor == NULL)
        return;
    tg_minimum now;
    tg_minimizer_minimum(m, &now);
    if (m->f.monitor(m->f.ctx, &now) != 0 && m->run->stop == TG_STOP_NOT_YET)
        m->run->stop = TG_STOP_CALLER;
}

/* Many iterations in a row that lower neither value beyond its rounding nor the gradient: there is nothing left to gain. */
static void watch_flat(tg_minimizer *m, double gradient)
{
    enum { PATIENCE = 20 };
    tg_run *r = m->run;
    const bool gained = r->last_f - r->f > m->noise * fabs(r->f) || gradient < 0.9 * r->k[TG_MINIMIZER_SCALARS - 1];
    if (gained || !(r->flat > 0))
        r->k[TG_MINIMIZER_SCALARS - 1] = gradient;
    r->flat = gained ? 1 : r->flat + 1;
    if (r->flat > PATIENCE)
        r->stop = TG_STOP_PRECISION;
}

static void judge(tg_minimizer *m, bool moved)
{
    tg_run *r = m->run;
    const double change = m->common[TG_COMMON_TOLERANCE_CHANGE], gradient = tg_gradient_size(m, m->at[TG_X], m->at[TG_G]);
    if (r->stop != TG_STOP_NOT_YET)
        return;
    if (gradient <= m->common[TG_COMMON_TOLERANCE_GRAD])
        r->stop = TG_STOP_GRADIENT;
    else if (r->f <= m->common[TG_COMMON_TARGET])
        r->stop = TG_STOP_TARGET;
    else if (moved && change > 0 && (r->moved <= change || fabs(r->last_f - r->f) <= change * fmin(fabs(r->f), fabs(r->last_f))))
        r->stop = TG_STOP_CHANGE;
    else if (moved)
        watch_flat(m, gradient);
    if (r->stop == TG_STOP_NOT_YET && (double)r->iterations >= m->common[TG_COMMON_MAX_ITER])
        r->stop = TG_STOP_ITERATIONS;
}

/* ---- with gradients ---------------------------------------------------------------------------------------------------- */

static void begin(tg_minimizer *m)
{
    tg_run *r = m->run;
    if (!tg_minimizer_evaluate(m, &r->f, m->at[TG_G], m->at[TG_X]))
        return;
    r->begun = 1;
    if (!isfinite(r->f)) {
        r->stop = TG_STOP_NOT_FINITE;
        return;
    }
    r->last_f = r->f;
    m->kind->begin(m);
    judge(m, false);
}

static void iterate_gradient(tg_minimizer *m)
{
    tg_run *r = m->run;
    if (!r->begun)
        begin(m);
    if (r->stop != TG_STOP_NOT_YET)
        return;
    r->last_f = r->f;
    m->kind->iterate(m);
    if (r->stop == TG_STOP_NOT_YET || r->stop == TG_STOP_PRECISION)
        r->iterations++;
    judge(m, true);
    tell_monitor(m);
}

/* ---- without ----------------------------------------------------------------------------------------------------------- */

static const double *ask(tg_minimizer *m)
{
    tg_run *r = m->run;
    const double *points = m->kind->ask(m); /* makes the same points again while `asked` is set */
    r->asked = 1;
    return points;
}

static void tell(tg_minimizer *m, const double *points)
{
    tg_run *r = m->run;
    double *values = m->at[TG_VALUES];
    for (size_t i = 0; i < r->candidates; i++) {
        values[i] = isnan(values[i]) ? INFINITY : values[i];
        tg_keep_best(m, points + i * m->n, values[i]);
    }
    r->asked = 0;
    r->begun = 1;
    m->kind->tell(m, points);
    r->iterations++;
    if (r->f <= m->common[TG_COMMON_TARGET])
        r->stop = TG_STOP_TARGET;
    else if (r->stop == TG_STOP_NOT_YET && (double)r->iterations >= m->common[TG_COMMON_MAX_ITER])
        r->stop = TG_STOP_ITERATIONS;
    tell_monitor(m);
}

static void iterate_generation(tg_minimizer *m)
{
    const double *points = ask(m);
    if (!tg_evaluate_all(m, points))
        return;
    tell(m, points);
}

static tg_status check_started(const tg_minimizer *m)
{
    return m->started ? TG_OK : tg_fail(TG_ESTATE, "the minimizer has not started: call tg_minimizer_start");
}

tg_status tg_minimizer_ask(tg_minimizer *m, const double **points, size_t *count)
{
    if (m->kind->ask == NULL)
        return tg_fail(TG_EUNSUPPORTED, "%s needs gradients and cannot be asked for points: use tg_minimizer_iterate",
                       m->kind->info.name);
    const tg_status status = check_started(m);
    if (status != TG_OK)
        return status;
    if (m->run->stop != TG_STOP_NOT_YET) {
        *count = 0;
        return TG_OK;
    }
    *points = ask(m);
    *count = m->run->candidates;
    return TG_OK;
}

tg_status tg_minimizer_tell(tg_minimizer *m, const double *values, size_t count)
{
    const tg_status status = check_started(m);
    if (status != TG_OK)
        return status;
    if (m->kind->ask == NULL || !m->run->asked)
        return tg_fail(TG_ESTATE, "no points are out: call tg_minimizer_ask first");
    if (count != m->run->candidates)
        return tg_fail(TG_EINVAL, "%zu points were asked for, %zu values told", (size_t)m->run->candidates, count);
    memcpy(m->at[TG_VALUES], values, count * sizeof *values);
    m->run->evaluations += count;
    tell(m, m->kind->ask(m));
    if (m->run->stop == TG_STOP_NOT_YET &&
        (double)(m->run->evaluations + m->run->candidates) > m->common[TG_COMMON_MAX_EVAL])
        m->run->stop = TG_STOP_EVALUATIONS;
    return TG_OK;
}

tg_status tg_minimizer_iterate(tg_minimizer *m, bool *going)
{
    const tg_status status = check_started(m);
    if (status != TG_OK)
        return status;
    if (m->kind->ask != NULL && m->f.evaluate == NULL && m->f.evaluate_f32 == NULL && m->f.batch == NULL)
        return tg_fail(TG_ESTATE, "the function has no callback: use tg_minimizer_ask and tg_minimizer_tell");
    if (m->run->stop == TG_STOP_NOT_YET)
        (m->kind->ask != NULL ? iterate_generation : iterate_gradient)(m);
    *going = m->run->stop == TG_STOP_NOT_YET;
    return TG_OK;
}

tg_status tg_minimize(tg_minimum *found, double *x, const char *method, const tg_objective *objective,
                      const tg_setting *settings)
{
    tg_minimizer *m = NULL;
    tg_minimum end;
    bool going = true;
    tg_status status = tg_minimizer_create(&m, method, NULL);
    for (; status == TG_OK && settings != NULL && settings->option != NULL; settings++)
        status = tg_minimizer_set(m, settings->option, settings->value);
    if (status == TG_OK)
        status = tg_minimizer_start(m, objective, x);
    while (status == TG_OK && going)
        status = tg_minimizer_iterate(m, &going);
    if (status == TG_OK) {
        tg_minimizer_minimum(m, &end);
        memcpy(x, end.x, objective->n * sizeof *x);
        *found = end;
        found->x = x;
    }
    tg_minimizer_destroy(m);
    return status;
}
