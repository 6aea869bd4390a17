/* train/session.c -- from a configuration to data, model, optimizer and graphs. */
#include "train/session.h"

#include <omp.h>
#include <string.h>

#include "base/addresses.h"
#include "base/fail.h"
#include "base/memory.h"
#include "graph/product.h"
#include "model/model.h"
#include "train/agree.h"
#include "train/board.h"
#include "train/curvature.h"
#include "train/fit.h"
#include "train/generate.h"
#include "train/mover.h"
#include "train/peak.h"
#include "train/process.h"
#include "train/task.h"

static tg_precision precision_of(const tg_train_config *c) { return (tg_precision)(int)c->option[TG_TRAIN_PRECISION]; }

/* ---- model ---- */

/* Room for a mapped file could not be had: tg_message says how much. */
static tg_status full(const char *file) { return tg_fail(TG_EIO, "%s: %s: is the disk full?", file, tg_message()); }

static tg_status open_model(tg_session *s, const char *checkpoint, bool outline)
{
    const tg_train_config *c = s->config;
    tg_model_config model = c->model;
    tg_status status = s->task->fit_model(s, &model, checkpoint != NULL || c->init != NULL);
    if (status == TG_OK) {
        status = tg_model_config_complete(&model);
        if (checkpoint == NULL && c->init != NULL)
            status = tg_agree_init(status, c->init, &model);
    }
    if (status != TG_OK)
        return status;
    s->task = tg_task_of(&model); /* data may have settled it */
    const tg_format format = tg_precision_weights(precision_of(c));
    if (outline)
        return tg_model_create_in(&s->model, &model, format, &tg_addresses);
    if (c->weight_file == NULL)
        return tg_model_create(&s->model, &model, format);
    status = tg_paged_create(&s->weight_pages, c->weight_file);
    if (status == TG_OK)
        status = tg_model_create_in(&s->model, &model, format, &s->weight_pages);
    return status == TG_ENOMEM ? full(c->weight_file) : status;
}

/* ---- graphs ---- */

tg_status tg_session_graphs(tg_session *s)
{
    const tg_train_config *c = s->config;
    const tg_format activations = tg_precision_activations(precision_of(c));
    const size_t batch = (size_t)c->option[TG_TRAIN_BATCH], time = tg_model_get_config(s->model)->context;
    tg_graph_destroy(s->attack);
    tg_graph_destroy(s->evaluate);
    tg_graph_destroy(s->train);
    s->attack = s->evaluate = s->train = NULL;
    if (!tg_multiply(&s->places, batch, time))
        return tg_fail(TG_EINVAL, "a batch of %zu x %zu tokens is too large", batch, time);
    tg_status status = tg_model_graph(&s->train, s->model, TG_TRAIN, activations, batch, time);
    if (status == TG_OK)
        status = tg_graph_plan(s->train, (tg_recompute)(int)c->option[TG_TRAIN_RECOMPUTE]);
    if (status == TG_OK)
        status = tg_model_graph(&s->evaluate, s->model, TG_EVALUATE, activations, batch, time);
    if (status == TG_OK)
        status = tg_graph_plan(s->evaluate, TG_RECOMPUTE_NONE);
    if (status != TG_OK || c->option[TG_TRAIN_ADVERSARIAL] == 0)
        return status;
    status = tg_model_graph(&s->attack, s->model, TG_ATTACK, activations, batch, time);
    return status == TG_OK ? tg_graph_plan(s->attack, (tg_recompute)(int)c->option[TG_TRAIN_RECOMPUTE]) : status;
}

/* What is learned, the model says: that of the checkpoint, where there is one. */
static tg_status open_data(tg_session *s, const char *checkpoint)
{
    tg_train_config *c = s->config;
    tg_status status = checkpoint == NULL ? TG_OK : tg_model_config_read(&c->model, checkpoint);
    if (status != TG_OK)
        return status;
    s->task = tg_task_of(&c->model);
    status = s->task->check(c);
    return status == TG_OK ? s->task->open(s, checkpoint != NULL ? checkpoint : c->init) : status;
}

static tg_status open_session(tg_session *session, tg_train_config *config, const char *checkpoint, bool outline)
{
    tg_session s = {.config = config, .process_bytes = tg_process_resident_bytes()};
    if (config->option[TG_TRAIN_THREADS] > 0)
        omp_set_num_threads((int)config->option[TG_TRAIN_THREADS]);
    tg_status status = tg_mover_find(&s);
    if (status == TG_OK)
        status =
            tg_schedule_create(&s.schedule, config->schedule, (uint64_t)config->option[TG_TRAIN_UPDATES], NULL);
    const size_t peak = tg_process_peak_bytes();
    if (status == TG_OK)
        status = open_data(&s, checkpoint);
    if (tg_process_peak_bytes() > peak)
        s.opening_bytes = tg_process_peak_bytes();
    if (status == TG_OK)
        status = open_model(&s, checkpoint, outline);
    if (status == TG_OK && s.task->begin != NULL)
        status = s.task->begin(&s);
    if (status == TG_OK)
        status = s.mover->open(&s, outline);
    if (status == TG_OK)
        status = config->option[TG_TRAIN_MEMORY] > 0 ? tg_fit(&s) : tg_session_graphs(&s);
    if (status != TG_OK)
        tg_session_close(&s);
    else
        *session = s;
    return status;
}

tg_status tg_session_open(tg_session *session, tg_train_config *config, const char *checkpoint)
{
    return open_session(session, config, checkpoint, false);
}

tg_status tg_session_outline(tg_session *session, tg_train_config *config)
{
    return open_session(session, config, NULL, true);
}

void tg_session_close(tg_session *s)
{
    const size_t kept = s->kept_weights == NULL ? 0 : tg_curvature_bytes(s);
    tg_attacker_fini(&s->attacker);
    tg_graph_destroy(s->attack);
    tg_graph_destroy(s->evaluate);
    tg_graph_destroy(s->train);
    if (s->mover != NULL)
        s->mover->close(s);
    tg_model_destroy(s->model);
    if (s->task != NULL)
        s->task->close(s);
    tg_schedule_destroy(s->schedule);
    tg_paged_destroy(&s->paged);
    tg_paged_destroy(&s->weight_pages);
    tg_free(NULL, s->kept_weights, kept, 1);
    memset(s, 0, sizeof *s);
}

tg_status tg_session_allocate(tg_session *s)
{
    tg_status status = s->mover->allocate(s);
    if (status == TG_ENOMEM && s->config->state_file != NULL)
        return full(s->config->state_file);
    if (status == TG_OK)
        status = tg_graph_allocate(s->train);
    if (status == TG_OK) /* one of them runs at a time */
        status = tg_graph_share(s->evaluate, s->train);
    if (status == TG_OK && s->attack != NULL)
        status = tg_graph_share(s->attack, s->train);
    if (status != TG_OK)
        return status;
    return s->task->allocate(s);
}

tg_run tg_session_run(const tg_session *s, uint64_t update, uint32_t micro_step)
{
    return (tg_run){.tokens = s->tokens,
                    .targets = s->targets,
                    .features = s->features,
                    .values = s->values,
                    .seed = (uint64_t)s->config->option[TG_TRAIN_SEED],
                    .update = update,
                    .micro_step = micro_step,
                    .loss_scale = s->loss_scale.scale,
                    .sink = s->sink};
}

/* What a run takes that no array shows: stacks of threads, buffers of the C library. */
#define RUNTIME_BYTES ((size_t)2500 << 10)

/* The code of products and convolutions. */
static size_t code_bytes(const tg_session *s)
{
    const tg_graph *graph = s->train;
    const bool native = graph->format == TG_BF16 && tg_products_arithmetic(graph->products) == TG_NATIVE;
    return tg_products_code_bytes(graph->products, native ? TG_BF16 : TG_F32) +
           tg_convolutions_code_bytes(graph->convolutions);
}

/* Values of mapped states that are worked on at a time, tiles of gradients and strips of an update alike, at most. */
#define STATES_AT_ONCE ((size_t)4 << 20)

/* Of files that are mapped, what is in memory at a time: the largest weight, a part of the states, what is counted. */
static size_t mapped_bytes(const tg_session *s, const tg_optim_bytes *optim)
{
    const size_t kept = optim->states + optim->kahan + optim->gradients;
    size_t largest = 0, mapped = 0;
    for (size_t i = 0; i < tg_model_weight_count(s->model); i++) {
        const tg_param *w = tg_model_weight(s->model, i);
        largest = w->rows * w->cols > largest ? w->rows * w->cols : largest;
    }
    const double share = (double)(largest < STATES_AT_ONCE ? largest : STATES_AT_ONCE) / (double)tg_model_parameters(s->model);
    if (s->config->weight_file != NULL)
        mapped += largest * tg_format_bytes(tg_precision_weights(precision_of(s->config)));
    if (s->config->state_file != NULL)
        mapped += optim->bookkeeping + (size_t)((double)kept * share);
    return mapped;
}

/* What another graph takes beside the training's arena, where it does not fit into that. */
static size_t bytes_beside(const tg_session *s, const tg_graph *graph)
{
    return graph != NULL && graph->arena_bytes > s->train->arena_bytes ? graph->arena_bytes : 0;
}

/* Of the attacks on one micro-batch. */
static double attack_flops(const tg_session *s)
{
    return s->attack == NULL ? 0 : s->attack->flops * s->config->option[TG_TRAIN_ADVERSARIAL_STEPS];
}

/* What large blocks occupy beyond their bytes. */
static size_t slack(const tg_session *s)
{
    const size_t weights = s->config->weight_file == NULL ? tg_alloc_slack(tg_model_bytes(s->model)) : 0;
    return weights + tg_alloc_slack(s->train->arena_bytes);
}

/* The machine's peak is measured before the rest is taken, and before most of what the runtime will take. */
static size_t before_measuring(const tg_plan *plan) { return plan->process_bytes - RUNTIME_BYTES / 2 + plan->data_bytes; }

size_t tg_session_room(const tg_plan *plan)
{
    const size_t before = before_measuring(plan);
    return plan->peak_bytes > before ? plan->peak_bytes - before : 0;
}

void tg_session_plan(const tg_session *s, tg_plan *plan)
{
    const tg_train_config *c = s->config;
    tg_optim_bytes optim = {0};
    s->mover->measure(s, &optim);
    *plan = (tg_plan){
        .weights_bytes = tg_model_bytes(s->model),
        .states_bytes = optim.states + optim.kahan + optim.bookkeeping,
        .gradients_bytes = optim.gradients,
        .activations_bytes =
            s->train->arena_bytes - s->train->scratch_bytes + bytes_beside(s, s->evaluate) + bytes_beside(s, s->attack),
        .scratch_bytes =
            s->train->scratch_bytes + s->train->library_bytes + tg_curvature_bytes(s) + optim.beside + slack(s) +
            (c->option[TG_TRAIN_SAMPLE_EVERY] > 0 ? tg_generator_bytes(tg_model_get_config(s->model)) : 0) +
            (c->option[TG_TRAIN_TENSORBOARD] != 0 ? tg_board_bytes(s) : 0),
        .mapped_bytes = mapped_bytes(s, &optim),
        .weights_on_disk = c->weight_file != NULL,
        .states_on_disk = c->state_file != NULL,
        .data_bytes = s->task->bytes(s),
        .process_bytes = s->process_bytes + RUNTIME_BYTES + code_bytes(s),
        .parameters = tg_model_parameters(s->model),
        .model = *tg_model_get_config(s->model),
        .items = s->task->items,
        .batch = (size_t)c->option[TG_TRAIN_BATCH],
        .accumulate = (size_t)c->option[TG_TRAIN_ACCUMULATE],
        .recompute = (int)c->option[TG_TRAIN_RECOMPUTE],
        .limit_bytes = (size_t)c->option[TG_TRAIN_MEMORY],
        .asked_bytes = s->asked_bytes,
        .available_bytes = tg_process_available_bytes(),
    };
    plan->disk_bytes = (plan->weights_on_disk ? plan->weights_bytes : 0) +
                       (plan->states_on_disk ? plan->states_bytes + plan->gradients_bytes : 0);
    plan->peak_bytes = plan->weights_bytes + plan->states_bytes + plan->gradients_bytes - plan->disk_bytes +
                       plan->mapped_bytes + plan->activations_bytes + plan->scratch_bytes + plan->data_bytes +
                       plan->process_bytes;
    if (plan->peak_bytes < s->opening_bytes)
        plan->peak_bytes = s->opening_bytes;
    const size_t measuring = before_measuring(plan) + tg_peak_bytes(s->train, tg_session_room(plan));
    if (c->peak_flops == 0 && plan->peak_bytes < measuring)
        plan->peak_bytes = measuring;
    plan->evaluates = s->method.minimizer != NULL;
    plan->flops_per_update = (s->train->flops + attack_flops(s)) * (double)s->mover->micro_steps(s);
    plan->tokens_per_update = (double)s->places * (double)s->mover->micro_steps(s);
    plan->bytes_per_parameter =
        (double)(plan->weights_bytes + plan->states_bytes + plan->gradients_bytes) / (double)plan->parameters;
}
