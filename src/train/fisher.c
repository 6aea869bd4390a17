/* train/fisher.c -- see fisher.h. Nothing of the rows is kept: the optimizer sums their products where they lie. */
#include "train/fisher.h"
#include "train/task.h"

enum { SAMPLED, EMPIRICAL }; /* the choices of the option `fisher` */

static tg_status take_layer(void *optim, size_t weight, const tg_layer_rows *rows)
{
    return tg_optim_observe_layer(optim, weight, rows);
}

static bool observes(void *optim, size_t weight) { return tg_optim_observes_layer(optim, weight); }

/* Whether rows of this kind are due now. */
static bool due(const tg_session *s, int kind)
{
    double fisher = SAMPLED;
    if (!s->rule->layers || !tg_optim_layers_due(s->optim))
        return false;
    return tg_optim_get(s->optim, 0, "fisher", &fisher) == TG_OK && (int)fisher == kind;
}

tg_sink tg_fisher_sink(const tg_session *s, uint32_t micro)
{
    tg_sink sink = s->sink;
    if (micro > 0 || !due(s, EMPIRICAL))
        return sink;
    sink.layer = take_layer;
    sink.observes = observes;
    return sink;
}

tg_status tg_fisher_observe(tg_session *s, uint64_t update)
{
    if (!due(s, SAMPLED))
        return TG_OK;
    tg_run run = tg_session_run(s, update, 0);
    run.sink = (tg_sink){.ctx = s->optim, .layer = take_layer, .observes = observes};
    run.draws_labels = true;
    tg_status status = s->task->batch(s, update, 0);
    if (status == TG_OK)
        status = tg_optim_set_gradient_scale(s->optim, s->loss_scale.scale);
    return status == TG_OK ? tg_graph_run(s->train, &run) : status;
}
