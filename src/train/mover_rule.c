/* train/mover_rule.c -- weights moved by a rule of libtiger: the gradients of an update's micro-batches run into the
 * optimizer tile by tile, and at its end the rule is applied. */
#include <string.h>

#include "base/fail.h"
#include "model/model.h"
#include "train/courses.h"
#include "train/curvature.h"
#include "train/fisher.h"
#include "train/mover.h"
#include "train/process.h"
#include "train/task.h"

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static tg_status set_options(tg_optim *o, const tg_train_config *c)
{
    tg_status status = tg_optim_set_number(o, TG_ALL_GROUPS, "seed", c->option[TG_TRAIN_SEED]);
    const bool scales = c->option[TG_TRAIN_PRECISION] == TG_PRECISION_FP16; /* overflows belong to loss scaling: */
    if (status == TG_OK && scales) /* weights stay put, and it says when they are too many */
        status = tg_optim_set(o, TG_ALL_GROUPS, "nan_guard", "skip");
    if (status == TG_OK && scales)
        status = tg_optim_set_number(o, TG_ALL_GROUPS, "nan_budget", 0);
    for (size_t i = 0; status == TG_OK && i < c->settings; i++)
        status = tg_optim_set(o, TG_ALL_GROUPS, c->setting[i].name, c->setting[i].value);
    return status;
}

/* Biases and norms form a group of their own, which does not decay: as everybody trains transformers. */
static tg_status add_weights(tg_optim *o, const tg_model *model)
{
    int vectors;
    tg_status status = tg_optim_add_group(o, &vectors);
    if (status == TG_OK)
        status = tg_optim_set_number(o, vectors, "weight_decay", 0);
    for (size_t i = 0; status == TG_OK && i < tg_model_weight_count(model); i++) {
        tg_param weight = *tg_model_weight(model, i);
        weight.group = weight.role == TG_BIAS || weight.role == TG_GAIN ? vectors : 0;
        status = tg_optim_add(o, &weight, NULL);
    }
    return status;
}

/* Where gradients go: from the graph into the optimizer. */

static tg_status sink_tile(void *optim, size_t weight, size_t row, size_t rows, const float *tile)
{
    return tg_optim_accumulate(optim, weight, row, rows, tile);
}

static tg_status sink_rows(void *optim, size_t weight, const uint32_t *index, size_t rows, const float *tile)
{
    return tg_optim_accumulate_rows(optim, weight, index, rows, tile);
}

static tg_status sink_reject(void *optim, size_t weight) { return tg_optim_reject(optim, weight); }
static tg_status sink_complete(void *optim, size_t weight) { return tg_optim_complete(optim, weight); }

static tg_status open(tg_session *s, bool outline)
{
    const tg_train_config *c = s->config;
    const bool paged = c->state_file != NULL && !outline;
    s->rule = s->method.rule;
    if (c->option[TG_TRAIN_CLOSURE] != TG_CLOSURE_AUTO)
        return tg_fail(TG_EINVAL, "closure says what a minimizer evaluates (lbfgs, cg, ...): %s takes each batch once",
                       s->rule->name);
    tg_status status = paged ? tg_paged_create(&s->paged, c->state_file) : TG_OK;
    if (status == TG_OK)
        status = tg_optim_create(&s->optim, c->optimizer, paged ? &s->paged : NULL);
    if (status == TG_OK)
        status = set_options(s->optim, c);
    if (status == TG_OK)
        status = add_weights(s->optim, s->model);
    /* The engine's layers make tiles: where they cannot be folded they need an array. */
    if (status == TG_OK && tg_optim_gradient_place(s->optim) == TG_ARRAYS)
        status = tg_optim_set(s->optim, TG_ALL_GROUPS, "gradients", "buffered");
    tg_loss_scale_init(&s->loss_scale, c->option[TG_TRAIN_PRECISION] == TG_PRECISION_FP16);
    if (status == TG_OK)
        status = tg_courses_check(s->schedule, s->optim, s->rule, (uint64_t)c->option[TG_TRAIN_UPDATES]);
    tg_optim_bytes bytes;
    if (status == TG_OK)
        status = tg_optim_measure(s->optim, &bytes); /* checks the options against each other */
    if (status == TG_OK && tg_optim_gradient_place(s->optim) == TG_RELEASED && c->option[TG_TRAIN_ACCUMULATE] > 1)
        status = tg_fail(TG_EINVAL, "gradients=released updates each tensor at once: it goes with accumulate=1 only");
    s->sink = (tg_sink){sink_tile, sink_rows, sink_reject, sink_complete, s->optim, NULL, NULL};
    return status == TG_OK ? tg_curvature_check(s) : status;
}

static void measure(const tg_session *s, tg_optim_bytes *bytes)
{
    tg_optim_measure(s->optim, bytes); /* was checked when the session was opened */
}

static bool splits(const tg_session *s) { return tg_optim_gradient_place(s->optim) != TG_RELEASED; }

static size_t micro_steps(const tg_session *s) { return (size_t)s->config->option[TG_TRAIN_ACCUMULATE]; }

static tg_status allocate(tg_session *s)
{
    const tg_status status = tg_optim_start(s->optim);
    return status == TG_OK ? tg_curvature_allocate(s) : status;
}

static tg_status begin(tg_session *s, void (*on_event)(void *ctx, const tg_event *event), void *ctx)
{
    tg_optim_on_event(s->optim, on_event, ctx);
    return tg_optim_refresh(s->optim);
}

/* ---- an update --------------------------------------------------------------------------------------------------- */

static tg_status run_micro_step(tg_session *s, tg_move *step)
{
    tg_run run = tg_session_run(s, step->update, step->micro);
    run.sink = tg_fisher_sink(s, step->micro);
    run.wants = step->wants;
    run.wants_ctx = step->wants_ctx;
    run.look = step->micro == 0 ? step->look : NULL;
    run.look_ctx = step->look_ctx;
    tg_status status = s->task->batch(s, step->update, step->micro);
    if (status == TG_OK)
        status = tg_graph_run(s->train, &run);
    if (status == TG_OK)
        status = tg_optim_micro_end(s->optim);
    step->loss += run.loss;
    return status;
}

static tg_status update(tg_session *s, tg_move *step)
{
    const uint32_t steps = (uint32_t)micro_steps(s);
    const double began = tg_process_seconds();
    tg_status status = tg_courses_apply(s->schedule, s->optim, s->rule, step->update);
    if (status == TG_OK)
        status = tg_curvature_observe(s, step->update);
    if (status == TG_OK)
        status = tg_fisher_observe(s, step->update);
    if (status == TG_OK)
        status = tg_optim_set_gradient_scale(s->optim, s->loss_scale.scale);
    if (status == TG_OK)
        status = tg_optim_begin(s->optim, steps);
    step->optimizer_seconds = tg_process_seconds() - began;
    for (step->micro = 0; status == TG_OK && step->micro < steps; step->micro++)
        status = run_micro_step(s, step);
    const double passed = tg_process_seconds();
    if (status == TG_OK)
        status = tg_optim_end(s->optim);
    step->optimizer_seconds += tg_process_seconds() - passed;
    if (status == TG_OK)
        status = tg_optim_get(s->optim, 0, "lr", &step->lr);
    step->lr *= tg_schedule_factor(s->schedule, step->update);
    step->loss /= steps;
    step->passes = 1;
    step->evaluations = 1;
    return status;
}

/* The rate, and the other options that the schedule drives. */
static tg_status tell(const tg_session *s, const tg_move *step, tg_metric *field, size_t *count)
{
    field[(*count)++] = (tg_metric){.name = "lr", .value = step->lr};
    for (size_t i = 0; i < tg_schedule_courses(s->schedule) && *count < TG_MOVE_FIELDS; i++) {
        tg_metric *next = &field[*count];
        next->name = tg_schedule_course_option(s->schedule, i);
        const tg_status status = tg_courses_value(&next->value, s->schedule, s->optim, i, step->update);
        if (status != TG_OK)
            return status;
        *count += strcmp(next->name, "lr") != 0;
    }
    return TG_OK;
}

static const char *ended(const tg_session *s)
{
    (void)s;
    return NULL;
}

static tg_status save(const tg_session *s, const char *path) { return tg_optim_save(s->optim, path); }
static tg_status load(tg_session *s, const char *path) { return tg_optim_load(s->optim, path); }
static void close(tg_session *s) { tg_optim_destroy(s->optim); }

const tg_mover tg_mover_rule = {
    .open = open,
    .measure = measure,
    .splits = splits,
    .micro_steps = micro_steps,
    .allocate = allocate,
    .begin = begin,
    .update = update,
    .tell = tell,
    .ended = ended,
    .save = save,
    .load = load,
    .close = close,
};
