/* train/descent.c -- one optimizer on one textbook problem. */
#include "train/descent.h"

#include <math.h>

#include "base/fail.h"
#include "base/memory.h"
#include "tiger/minimize.h"
#include "tiger/schedule.h"
#include "train/courses.h"
#include "train/process.h"

#define FARTHEST 1e12
#define PROBE 1e-2 /* length of a probe: beyond the steps of fp32 around 1, short for a textbook's curvature */

typedef struct descent {
    const tg_descent_config *config;
    const tg_rule_info *rule;
    tg_optim *optim;
    tg_schedule *schedule;
    size_t n;
    void *weights;            /* (n), the optimizer's */
    double *x, *g;            /* (n) */
    double *kept, *up, *down; /* (n), for probes */
    float *gradient;          /* (n), what the optimizer is given */
    uint64_t evaluations;
    double busy; /* seconds, as in tg_descent_point */
} descent;

/* What a result says of an end that has no words of its own. */
static void explain(tg_descent_result *r)
{
    static const char *const words[] = {"tolerance", "updates", "diverged", "stopped"};
    static const char *const reasons[] = {"the gradient's norm is not above the tolerance", "all updates are used up",
                                          "f or its gradient is not finite, or a variable is beyond 1e12", "stopped"};
    r->word = words[r->end];
    r->reason = reasons[r->end];
}

double tg_descent_norm(const double *g, size_t n)
{
    double squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += g[i] * g[i];
    return sqrt(squares);
}

static double weight_at(const descent *d, size_t i)
{
    const tg_format format = d->config->weights;
    if (format == TG_F32)
        return (double)((const float *)d->weights)[i];
    const uint16_t half = ((const uint16_t *)d->weights)[i];
    return (double)(format == TG_BF16 ? tg_bf16_to_f32(half) : tg_f16_to_f32(half));
}

static void set_weight(const descent *d, size_t i, double value)
{
    const tg_format format = d->config->weights;
    if (format == TG_F32)
        ((float *)d->weights)[i] = (float)value;
    else
        ((uint16_t *)d->weights)[i] = format == TG_BF16 ? tg_f32_to_bf16((float)value) : tg_f32_to_f16((float)value);
}

/* ---- making and releasing ---------------------------------------------------------------------------------------- */

static tg_status allocate(descent *d)
{
    const size_t n = d->n;
    d->weights = tg_heap_alloc(n, sizeof(float));
    d->x = tg_heap_alloc(n, sizeof *d->x);
    d->g = tg_heap_alloc(n, sizeof *d->g);
    d->kept = tg_heap_alloc(n, sizeof *d->kept);
    d->up = tg_heap_alloc(n, sizeof *d->up);
    d->down = tg_heap_alloc(n, sizeof *d->down);
    d->gradient = tg_heap_alloc(n, sizeof *d->gradient);
    if (d->weights == NULL || d->x == NULL || d->g == NULL || d->kept == NULL || d->up == NULL || d->down == NULL ||
        d->gradient == NULL)
        return tg_no_memory("a problem's variables", n * sizeof *d->x);
    if (d->config->start == NULL)
        tg_problem_start(d->config->problem, d->x);
    for (size_t i = 0; i < n; i++) {
        set_weight(d, i, d->config->start != NULL ? d->config->start[i] : d->x[i]);
        d->x[i] = weight_at(d, i);
    }
    return TG_OK;
}

static tg_status make_optimizer(descent *d)
{
    const tg_descent_config *c = d->config;
    tg_status status = tg_optim_create(&d->optim, d->rule->name, NULL);
    for (size_t i = 0; i < c->settings && status == TG_OK; i++)
        status = tg_optim_set(d->optim, TG_ALL_GROUPS, c->setting[i].name, c->setting[i].value);
    const tg_param param = {
        .name = "x", .data = d->weights, .format = c->weights, .rows = 1, .cols = d->n, .role = TG_MATRIX};
    if (status == TG_OK)
        status = tg_optim_add(d->optim, &param, NULL);
    return status == TG_OK ? tg_optim_start(d->optim) : status;
}

static tg_status make(descent *d)
{
    const tg_descent_config *c = d->config;
    if (d->rule->observes && c->weights != TG_F32)
        return tg_fail(TG_EINVAL, "%s probes the curvature by less than 16 bits show: take weights fp32",
                       d->rule->name);
    tg_status status = allocate(d);
    if (status == TG_OK)
        status = make_optimizer(d);
    if (status == TG_OK)
        status = tg_schedule_create(&d->schedule, c->schedule != NULL ? c->schedule : "constant", c->updates, NULL);
    return status == TG_OK ? tg_courses_check(d->schedule, d->optim, d->rule, c->updates) : status;
}

static void release(descent *d)
{
    tg_optim_destroy(d->optim);
    tg_schedule_destroy(d->schedule);
    tg_heap_free(d->weights);
    tg_heap_free(d->x);
    tg_heap_free(d->g);
    tg_heap_free(d->kept);
    tg_heap_free(d->up);
    tg_heap_free(d->down);
    tg_heap_free(d->gradient);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* The gradient at the weights plus `length` times the signs, into `g`; the weights are put back. */
static tg_status gradient_beside(descent *d, double length, double *g)
{
    for (size_t i = 0; i < d->n; i++)
        d->kept[i] = weight_at(d, i);
    tg_status status = tg_optim_probe(d->optim, length);
    for (size_t i = 0; i < d->n; i++)
        d->x[i] = weight_at(d, i);
    tg_problem_evaluate(d->config->problem, d->x, g);
    d->evaluations++;
    for (size_t i = 0; i < d->n; i++) {
        set_weight(d, i, d->kept[i]);
        d->x[i] = d->kept[i];
    }
    return status == TG_OK ? tg_optim_refresh(d->optim) : status;
}

/* H u by a central difference, for rules that observe and when it is due. */
static tg_status observe(descent *d, uint64_t update)
{
    double interval = 1;
    if (!d->rule->observes)
        return TG_OK;
    tg_status status = tg_optim_get(d->optim, 0, "interval", &interval);
    if (status != TG_OK || update % (uint64_t)interval != 0)
        return status;
    status = gradient_beside(d, PROBE, d->up);
    if (status == TG_OK)
        status = gradient_beside(d, -PROBE, d->down);
    for (size_t i = 0; i < d->n; i++)
        d->gradient[i] = (float)((d->up[i] - d->down[i]) / (2 * PROBE));
    const tg_grad grad = {.data = d->gradient, .format = TG_F32};
    return status == TG_OK ? tg_optim_observe(d->optim, &grad, TG_ESTIMATE_PROBE, 1) : status;
}

/* One update, from the gradient at the point, in `g`. */
static tg_status step(descent *d, const tg_descent_point *at)
{
    const tg_grad grad = {.data = d->gradient, .format = TG_F32};
    if (tg_schedule_watches(d->schedule))
        tg_schedule_observe(d->schedule, at->update, at->value);
    tg_status status = observe(d, at->update);
    for (size_t i = 0; i < d->n; i++)
        d->gradient[i] = (float)d->g[i];
    if (status == TG_OK)
        status = tg_courses_apply(d->schedule, d->optim, d->rule, at->update);
    return status == TG_OK ? tg_optim_step(d->optim, &grad) : status;
}

static bool is_far(const descent *d, const tg_descent_point *at)
{
    bool far = !isfinite(at->value) || !isfinite(at->slope);
    for (size_t i = 0; i < d->n; i++)
        far = far || !(fabs(d->x[i]) <= FARTHEST);
    return far;
}

/* Whether the run ends at a point, and why. */
static bool is_end(tg_descent_end *end, const descent *d, const tg_descent_point *at)
{
    const tg_descent_config *c = d->config;
    if (is_far(d, at))
        return *end = TG_DESCENT_DIVERGED, true;
    if (at->slope <= c->tolerance)
        return *end = TG_DESCENT_TOLERANCE, true;
    return *end = TG_DESCENT_UPDATES, at->update == c->updates;
}

static tg_status walk(descent *d, tg_descent_result *result, tg_descent_visit *visit, void *ctx)
{
    for (uint64_t u = 0;; u++) {
        tg_descent_point at = {.update = u, .x = d->x};
        double began = tg_process_seconds();
        for (size_t i = 0; i < d->n; i++)
            d->x[i] = weight_at(d, i);
        at.value = tg_problem_evaluate(d->config->problem, d->x, d->g);
        at.slope = tg_descent_norm(d->g, d->n);
        at.evaluations = ++d->evaluations;
        at.last = is_end(&result->end, d, &at);
        at.seconds = d->busy += tg_process_seconds() - began;
        const bool going = visit == NULL || visit(ctx, &at);
        if (!at.last && !going)
            result->end = TG_DESCENT_STOPPED;
        if (at.last || !going) {
            result->updates = u;
            result->value = at.value;
            result->slope = at.slope;
            return TG_OK;
        }
        began = tg_process_seconds();
        const tg_status status = step(d, &at);
        d->busy += tg_process_seconds() - began;
        if (status != TG_OK)
            return status;
    }
}

static tg_status descend_by_rule(tg_descent_result *result, double *x, const tg_descent_config *config,
                                 const tg_rule_info *rule, tg_descent_visit *visit, void *ctx)
{
    descent d = {.config = config, .rule = rule, .n = tg_problem_variables(config->problem)};
    tg_descent_result r = {0};
    tg_status status = make(&d);
    if (status == TG_OK)
        status = walk(&d, &r, visit, ctx);
    if (status == TG_OK) {
        r.evaluations = d.evaluations;
        explain(&r);
        for (size_t i = 0; i < d.n; i++)
            x[i] = d.x[i];
        *result = r;
    }
    release(&d);
    return status;
}

tg_status tg_descend(tg_descent_result *result, double *x, const tg_descent_config *config, tg_descent_visit *visit,
                     void *ctx)
{
    const tg_rule_info *rule = tg_rule_find(config->optimizer);
    tg_descent_result r = {0};
    tg_status status = TG_OK;
    if (rule != NULL)
        status = descend_by_rule(&r, x, config, rule, visit, ctx);
    else if (tg_minimizer_find(config->optimizer) != NULL)
        status = tg_descend_by_minimizer(&r, x, config, visit, ctx);
    else
        status = tg_fail(TG_EINVAL, "there is no optimizer or minimizer '%s'", config->optimizer);
    if (status != TG_OK)
        return status;
    r.distance = tg_problem_distance(config->problem, x, &r.nearest);
    *result = r;
    return TG_OK;
}
