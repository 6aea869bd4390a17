/* train/curvature.c -- see curvature.h. Weights are put back from a copy: differences of fp32 sums would leave a trace. */
#include "train/curvature.h"

#include <string.h>

#include "base/fail.h"
#include "base/map.h"
#include "base/memory.h"
#include "train/task.h"

#define PROBE 1e-3 /* length of a probe: the error of a central difference falls with its square, that of rounding grows */

enum { GNB, HUTCHINSON }; /* the choices of the option `hessian` */

static int wanted(const tg_session *s)
{
    double hessian = GNB;
    if (tg_optim_get(s->optim, 0, "hessian", &hessian) != TG_OK)
        return GNB;
    return (int)hessian;
}

tg_status tg_curvature_check(const tg_session *s)
{
    if (!s->rule->observes)
        return TG_OK;
    if (tg_optim_gradient_place(s->optim) != TG_BUFFERED)
        return tg_fail(TG_EINVAL, "%s estimates the curvature from whole gradients: it needs gradients=buffered",
                       s->rule->name);
    for (size_t i = 0; wanted(s) == HUTCHINSON && i < tg_model_weight_count(s->model); i++)
        if (tg_model_weight(s->model, i)->format != TG_F32)
            return tg_fail(TG_EINVAL,
                           "hessian=hutchinson moves weights by less than 16 bits show: take precision fp32 or "
                           "mixed, or hessian=gnb");
    return TG_OK;
}

size_t tg_curvature_bytes(const tg_session *s)
{
    return s->rule != NULL && s->rule->observes && wanted(s) == HUTCHINSON ? tg_model_bytes(s->model) : 0;
}

tg_status tg_curvature_allocate(tg_session *s)
{
    const size_t bytes = tg_curvature_bytes(s);
    if (bytes == 0)
        return TG_OK;
    s->kept_weights = tg_alloc(NULL, bytes, 1);
    return s->kept_weights != NULL ? TG_OK : tg_no_memory("a copy of the weights", bytes);
}

/* Copies all weights to the copy, or back from it. */
static void copy_weights(const tg_session *s, bool back)
{
    char *kept = s->kept_weights;
    for (size_t i = 0; i < tg_model_weight_count(s->model); i++) {
        const tg_param *w = tg_model_weight(s->model, i);
        const size_t bytes = w->rows * w->cols * tg_format_bytes(w->format);
        memcpy(back ? w->data : kept, back ? kept : w->data, bytes);
        if (w->mapped)
            tg_map_rest(w->data, bytes);
        kept += bytes;
    }
}

/* Gradients of the update's first batch into the open window, with the scale that is set. */
static tg_status run_batch(tg_session *s, uint64_t update, bool draws, tg_run *run)
{
    *run = tg_session_run(s, update, 0);
    run->draws_labels = draws;
    tg_status status = tg_graph_run(s->train, run);
    return status == TG_OK ? tg_optim_micro_end(s->optim) : status;
}

static tg_status observe_drawn(tg_session *s, uint64_t update)
{
    tg_run run;
    tg_status status = tg_optim_set_gradient_scale(s->optim, s->loss_scale.scale);
    if (status == TG_OK)
        status = tg_optim_begin(s->optim, 1);
    if (status == TG_OK)
        status = run_batch(s, update, true, &run);
    return status == TG_OK ? tg_optim_observe(s->optim, NULL, TG_ESTIMATE_SQUARES, (double)run.targets_counted) : status;
}

/* One side of the difference: at the weights plus `length` times the signs, weighted by `sign`. */
static tg_status probe(tg_session *s, uint64_t update, double length, double sign)
{
    tg_run run;
    copy_weights(s, true);
    tg_status status = tg_optim_probe(s->optim, length);
    if (status == TG_OK)
        status = tg_optim_set_gradient_scale(s->optim, sign * s->loss_scale.scale);
    return status == TG_OK ? run_batch(s, update, false, &run) : status;
}

static tg_status observe_probed(tg_session *s, uint64_t update)
{
    copy_weights(s, false);
    tg_status status = tg_optim_begin(s->optim, 2);
    if (status == TG_OK)
        status = probe(s, update, PROBE, 1);
    if (status == TG_OK)
        status = probe(s, update, -PROBE, -1);
    copy_weights(s, true);
    if (status == TG_OK)
        status = tg_optim_set_gradient_scale(s->optim, 1);
    if (status == TG_OK) /* the window's mean is half of the difference */
        status = tg_optim_observe(s->optim, NULL, TG_ESTIMATE_PROBE, 1 / PROBE);
    return status == TG_OK ? tg_optim_refresh(s->optim) : status;
}

tg_status tg_curvature_observe(tg_session *s, uint64_t update)
{
    double interval;
    if (!s->rule->observes)
        return TG_OK;
    tg_status status = tg_optim_get(s->optim, 0, "interval", &interval);
    if (status != TG_OK || update % (uint64_t)interval != 0)
        return status;
    status = s->task->batch(s, update, 0);
    if (status != TG_OK)
        return status;
    return wanted(s) == HUTCHINSON ? observe_probed(s, update) : observe_drawn(s, update);
}
