/* train/loop.c -- the training loop: one update after the other by the session's mover, told, evaluated, saved.
 *
 * Everything an update does is a function of weights, states, settings and its number: a resumed run goes on to the same
 * bits. */
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "store/directory.h"
#include "store/metrics.h"
#include "train/agree.h"
#include "train/board.h"
#include "train/checkpoint.h"
#include "train/mover.h"
#include "train/peak.h"
#include "train/process.h"
#include "train/sample.h"
#include "train/task.h"

/* Set by tg_train_stop, perhaps from a signal handler; the one thing signals can reach. */
static atomic_bool stop_wanted;

void tg_train_stop(void) { atomic_store(&stop_wanted, true); }

#define SAMPLE_TEMPERATURE 0.8 /* as of `tiger sample` */
#define MOST_SCORES 8
#define MOST_COURSES 16 /* that are watched; no optimizer has as many numbers */

typedef struct training {
    tg_session session;
    tg_train_config config;
    tg_train_listener listener;
    tg_metrics *metrics;
    tg_board *board; /* NULL: nothing for TensorBoard */
    tg_plan plan;
    tg_reached at;
    tg_evaluation validation;     /* the last of this process */
    uint64_t updates, first_update; /* wanted, made when this process began */
    uint64_t saved_update, good_update; /* of the newest checkpoint, and of the newest that followed no bad gradient */
    tg_move step;                 /* the last update, or the one under way */
    const char *ended;            /* why there is no update left to make; NULL: there is */
    bool stuck;                   /* the last update found nothing better */
    double opened, started, loss; /* when the run was opened, and when its first update began */
    double passes;                /* through the tokens of an update, in this process, and */
    uint64_t evaluations;         /* how often they were read */
    double work;                  /* as in tg_progress */
    bool eval_due;                /* work has come to where an evaluation is wanted */
    double update_seconds;        /* spent in updates, without evaluation and the like */
    double optimizer_seconds;     /* of these, beside forward and backward */
    double peak_flops;            /* NaN: not known */
    size_t bad_gradients;         /* of the update under way, of which the first was bad_tensor's */
    char bad_tensor[128];
    double bad_in_a_row;          /* updates, of the tensor that has had most */
    bool finite;                  /* the last update had no bad gradient */
    tg_status event_status;       /* a metrics line of an event could not be written */
} training;

static void note(const training *t, const char *format, ...) TG_PRINTF(2, 3);

static void note(const training *t, const char *format, ...)
{
    if (t->listener.note == NULL)
        return;
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    t->listener.note(t->listener.ctx, line);
}

static tg_status append(training *t, uint64_t update, const tg_metric *fields, size_t count)
{
    const tg_status status = t->metrics == NULL ? TG_OK : tg_metrics_append(t->metrics, update, fields, count);
    return status == TG_OK && t->board != NULL ? tg_board_metrics(t->board, update, fields, count) : status;
}

/* ---- events of the optimizer ---- */

static void on_event(void *ctx, const tg_event *event)
{
    training *t = ctx;
    const bool bad = event->kind == TG_EVENT_BAD_GRADIENT;
    if (bad && t->session.loss_scale.on) { /* told as one change of the scale */
        t->session.loss_scale.overflow = true;
        return;
    }
    if (bad && t->bad_gradients++ == 0) { /* told once, when the update has shown them all */
        snprintf(t->bad_tensor, sizeof t->bad_tensor, "%s", event->param);
        t->bad_in_a_row = event->value;
    } else if (bad)
        t->bad_in_a_row = fmax(t->bad_in_a_row, event->value);
    else if (event->kind == TG_EVENT_STALE_ROOT)
        note(t, "update %llu: a factor of %s has no root, basis or inverse: the last good one stays (%.0f times so far)",
             (unsigned long long)event->update, event->param, event->value);
    else if (event->value > 0)
        note(t, "rounding=nearest: the first update could not move %.1f %% of the weights; stochastic, weyl or kahan could",
             100 * event->value);
    static const char *const kind[] = {[TG_EVENT_BAD_GRADIENT] = "bad_gradient", [TG_EVENT_FROZEN_SHARE] = "frozen_share",
                                       [TG_EVENT_STALE_ROOT] = "stale_root"};
    const tg_metric fields[] = {{.name = "event", .text = kind[event->kind]},
                                {.name = "micro_step", .value = event->micro_step},
                                {.name = "tensor", .text = event->param},
                                {.name = "value", .value = event->value}};
    const tg_status status = append(t, event->update, fields, sizeof fields / sizeof *fields);
    if (t->event_status == TG_OK)
        t->event_status = status;
}

static void note_bad_gradients(training *t)
{
    const unsigned long long update = t->at.update + 1;
    if (t->bad_gradients == 1)
        note(t, "update %llu: the gradient of %s is not finite (%.0f in a row): guarded", update, t->bad_tensor,
             t->bad_in_a_row);
    else if (t->bad_gradients > 1)
        note(t, "update %llu: %zu gradients are not finite, the first of %s (%.0f updates in a row): guarded", update,
             t->bad_gradients, t->bad_tensor, t->bad_in_a_row);
    t->finite = t->bad_gradients == 0;
    t->bad_gradients = 0;
}

/* ---- losses that are left out ---- */

/* Asked by the run of a micro-batch; what is left out is told. */
static bool wants_gradient(void *ctx, double loss)
{
    training *t = ctx;
    double deviations = 0;
    if (tg_loss_guard_take(&t->session.guard, t->config.option[TG_TRAIN_LOSS_GUARD], loss, &deviations))
        return true;
    note(t, "update %llu: a loss of %.4f, %.1f standard deviations above the mean, was left out",
         (unsigned long long)t->at.update + 1, loss, deviations);
    const tg_metric fields[] = {{.name = "event", .text = "loss_spike"},
                                {.name = "micro_step", .value = t->step.micro + 1.0},
                                {.name = "value", .value = loss},
                                {.name = "deviations", .value = deviations}};
    const tg_status status = append(t, t->at.update + 1, fields, sizeof fields / sizeof *fields);
    if (t->event_status == TG_OK)
        t->event_status = status;
    return false;
}

/* ---- one update ---- */

/* Whether the update under way is one of those whose tensors TensorBoard is told of. */
static bool board_due(const training *t)
{
    const uint64_t every = (uint64_t)t->config.option[TG_TRAIN_TENSORBOARD_EVERY], update = t->at.update + 1;
    return t->board != NULL && (update % every == 0 || update == t->updates);
}

static tg_status move_loss_scale(training *t)
{
    tg_loss_scale *s = &t->session.loss_scale;
    const bool overflow = s->overflow;
    bool changed;
    const tg_status status = tg_loss_scale_after(s, &changed);
    if (status != TG_OK || !changed)
        return status;
    if (overflow)
        note(t, "update %llu: gradients overflowed fp16 and were left out: the loss scale is %g now",
             (unsigned long long)t->at.update + 1, s->scale);
    const tg_metric field = {.name = "loss_scale", .value = s->scale};
    return append(t, t->at.update + 1, &field, 1);
}

/* Adds what the update has taken. */
static void count_work(training *t)
{
    const tg_session *s = &t->session;
    const double before = t->work, every = t->config.eval_work;
    t->work += t->step.passes * (double)s->train->batch * (double)s->mover->micro_steps(s);
    t->eval_due = every > 0 && floor(t->work / every) > floor(before / every);
}

/* What a minimizer could not better on one batch is told once, until it can again. */
static void take_step(training *t)
{
    if (t->step.stuck != NULL && !t->stuck)
        note(t, "update %llu: on these sequences the search ends (%s): on with the next", (unsigned long long)t->at.update + 1,
             t->step.stuck);
    t->stuck = t->step.stuck != NULL;
    t->loss = t->step.loss;
    t->passes += t->step.passes;
    t->optimizer_seconds += t->step.optimizer_seconds;
    t->evaluations += t->step.evaluations;
    count_work(t);
    t->at.update++;
    t->ended = t->session.mover->ended(&t->session);
}

/* What a new run may begin with: the checkpoint from before the bad gradients, where that is still kept. */
static tg_status diverged(const training *t, tg_status status)
{
    uint64_t *updates = NULL;
    size_t count = 0;
    char told[1024], name[TG_CHECKPOINT_NAME_BYTES];
    bool kept = false;
    snprintf(told, sizeof told, "%s", tg_message());
    if (t->config.out != NULL && tg_checkpoint_list(&updates, &count, t->config.out) == TG_OK)
        for (size_t i = 0; i < count; i++)
            kept = kept || updates[i] == t->good_update;
    tg_heap_free(updates);
    if (!kept)
        return tg_fail(status, "%s", told);
    tg_checkpoint_name(name, t->good_update);
    return tg_fail(status, "%s; a new run may begin with the model from before: --init %s/%s", told, t->config.out,
                   name);
}

static tg_status make_update(training *t)
{
    tg_session *s = &t->session;
    const double began = tg_process_seconds();
    const bool board = board_due(t);
    t->step = (tg_move){.update = t->at.update,
                        .wants = t->config.option[TG_TRAIN_LOSS_GUARD] > 0 ? wants_gradient : NULL,
                        .wants_ctx = t,
                        .look = board ? tg_board_look : NULL,
                        .look_ctx = t->board};
    tg_status status = board ? tg_board_before(t->board) : TG_OK;
    if (status == TG_OK)
        status = s->mover->update(s, &t->step);
    note_bad_gradients(t);
    if (status == TG_OK && board)
        status = tg_board_after(t->board, t->at.update + 1);
    if (status == TG_OK)
        status = move_loss_scale(t);
    if (status != TG_OK)
        return status == TG_EDIVERGED ? diverged(t, status) : status;
    t->update_seconds += tg_process_seconds() - began;
    take_step(t);
    return t->event_status;
}

/* ---- telling, evaluating, saving ---- */

/* Whether the run is at its end: all updates or all work done, or none left to do. */
static bool is_over(const training *t)
{
    const double most = t->config.max_work;
    return t->at.update >= t->updates || t->ended != NULL || (most > 0 && t->work >= most);
}

static bool due(const training *t, size_t option)
{
    const uint64_t every = (uint64_t)t->config.option[option];
    return is_over(t) || (every > 0 && t->at.update % every == 0);
}

static bool evaluation_due(const training *t)
{
    return t->config.eval_work > 0 ? is_over(t) || t->eval_due : due(t, TG_TRAIN_EVAL_EVERY);
}

/* The update's line: what every run has, and what the mover tells of it. */
static tg_status log_progress(training *t, const tg_progress *p)
{
    const tg_session *s = &t->session;
    tg_metric fields[4 + TG_MOVE_FIELDS] = {{.name = "loss", .value = p->loss}};
    size_t count = 1;
    const tg_status status = s->mover->tell(s, &t->step, fields, &count);
    if (status != TG_OK)
        return status;
    fields[count++] = (tg_metric){.name = s->task->per_second, .value = p->tokens_per_second};
    fields[count++] = (tg_metric){.name = "memory_bytes", .value = (double)p->memory_bytes};
    if (isfinite(p->utilisation))
        fields[count++] = (tg_metric){.name = "mfu", .value = p->utilisation};
    return append(t, t->at.update, fields, count);
}

/* Until the last update, or until the time is over. */
static double seconds_left(const training *t, double seconds)
{
    const double made = (double)(t->at.update - t->first_update);
    const double left = (double)(t->updates - t->at.update) * seconds / made, most = t->config.max_seconds;
    return most > 0 ? fmin(left, fmax(0, most - (tg_process_seconds() - t->opened))) : left;
}

static tg_status tell(training *t)
{
    const double flops = t->passes * t->plan.flops_per_update / t->update_seconds;
    const double seconds = tg_process_seconds() - t->started;
    const tg_progress p = {
        .update = t->at.update,
        .updates = t->updates,
        .loss = t->loss,
        .lr = t->step.lr,
        .tokens_per_second = (double)t->evaluations * t->plan.tokens_per_update / t->update_seconds,
        .rate = t->session.task->rate,
        .seconds_left = is_over(t) ? 0 : seconds_left(t, seconds),
        .optimizer_seconds = t->optimizer_seconds,
        .memory_bytes = tg_process_resident_bytes(),
        .flops_per_second = flops,
        .utilisation = flops / t->peak_flops,
        .work = t->work,
        .evaluations = t->step.evaluations,
        .step = t->step.length,
        .line_search = t->step.line,
    };
    if (t->listener.progress != NULL)
        t->listener.progress(t->listener.ctx, &p);
    if (!due(t, TG_TRAIN_LOG_EVERY))
        return TG_OK;
    return log_progress(t, &p);
}

/* A failure to write, with what is left: everything up to the checkpoint before. */
static tg_status not_saved(const training *t, tg_status status)
{
    if (status == TG_OK || t->saved_update == 0)
        return status;
    return tg_fail(status,
                   "%s; the checkpoint of update %llu is whole: when there is room, go on from it with --resume",
                   tg_message(), (unsigned long long)t->saved_update);
}

/* The schedule is told of the evaluation, and the user of what it makes of it. */
static void watch(training *t)
{
    tg_schedule *schedule = t->session.schedule;
    const size_t courses = tg_schedule_courses(schedule);
    double before[MOST_COURSES];
    for (size_t i = 0; i < courses && i < MOST_COURSES; i++)
        before[i] = tg_schedule_course_factor(schedule, i, t->at.update);
    tg_schedule_observe(schedule, t->at.update, t->at.validation_loss);
    for (size_t i = 0; i < courses && i < MOST_COURSES; i++) {
        const double now = tg_schedule_course_factor(schedule, i, t->at.update);
        if (now != before[i] && t->at.update < t->updates)
            note(t, "update %llu: no gain for long enough: %s goes on with %g of its base value",
                 (unsigned long long)t->at.update, tg_schedule_course_option(schedule, i), now);
    }
}

/* Keeps the model when its validation loss is the least so far. */
static tg_status keep_best(training *t, bool *best)
{
    tg_reached *at = &t->at;
    *best = isfinite(at->validation_loss) && !(at->best_loss <= at->validation_loss); /* of NaN too: the first */
    if (!*best)
        return TG_OK;
    at->best_loss = at->validation_loss;
    at->best_update = at->update;
    if (t->config.out == NULL || t->config.option[TG_TRAIN_KEEP_BEST] == 0 || t->config.option[TG_TRAIN_SAVE] == 0)
        return TG_OK;
    return not_saved(t, tg_checkpoint_save_best(&t->session, at));
}

/* The loss, and the scores of its task. */
static tg_status log_evaluation(training *t, const tg_evaluation *e)
{
    tg_metric fields[1 + MOST_SCORES] = {{.name = "validation_loss", .value = e->loss}};
    size_t count = 1;
    for (size_t i = 0; i < tg_score_count() && count < sizeof fields / sizeof *fields; i++) {
        const tg_score *score = tg_score_at(i);
        const double value = tg_score_value(score, e);
        if (score->line != NULL && !isnan(value))
            fields[count++] = (tg_metric){.name = score->name, .value = value};
    }
    return append(t, t->at.update, fields, count);
}

static tg_status evaluate(training *t)
{
    tg_session *s = &t->session;
    tg_evaluation result = tg_evaluation_empty();
    bool best;
    if (!s->task->has_held_out(s))
        return TG_OK;
    tg_status status = s->task->evaluate(&result, s, (size_t)t->config.option[TG_TRAIN_EVAL_BATCHES]);
    if (status != TG_OK)
        return status;
    t->validation = result;
    t->at.validation_loss = result.loss;
    watch(t);
    status = keep_best(t, &best);
    if (status != TG_OK)
        return status;
    const tg_evaluated e = {t->at.update, result, best};
    if (t->listener.evaluated != NULL)
        t->listener.evaluated(t->listener.ctx, &e);
    return log_evaluation(t, &result);
}

/* ---- samples ---- */

static void add_piece(void *ctx, const char *bytes, size_t count) { tg_text_append(ctx, bytes, count); }

/* Its randomness is its own, keyed by the update: what is trained does not know of it. */
static tg_status sample(training *t)
{
    const tg_session *s = &t->session;
    const tg_loaded loaded = {.tokenizer = s->tokenizer, .model = s->model, .activations = s->train->format};
    const tg_sample_config config = {.prompt = t->config.sample_prompt,
                                     .tokens = (size_t)t->config.option[TG_TRAIN_SAMPLE_TOKENS],
                                     .temperature = SAMPLE_TEMPERATURE,
                                     .seed = (uint64_t)t->config.option[TG_TRAIN_SEED] + t->at.update};
    tg_text text = {0};
    tg_status status = tg_sample_model(&config, &loaded, s->train, add_piece, &text);
    tg_text_append(&text, "", 1); /* ends it */
    if (status == TG_OK && text.failed)
        status = tg_no_memory("a sample", text.room);
    if (status == TG_OK) {
        const tg_metric field = {.name = "sample", .text = text.at};
        if (t->listener.sampled != NULL)
            t->listener.sampled(t->listener.ctx, t->at.update, text.at);
        status = append(t, t->at.update, &field, 1);
    }
    tg_text_free(&text);
    return status;
}

static tg_status save(training *t)
{
    char *directory = NULL;
    if (t->config.out == NULL || t->config.option[TG_TRAIN_SAVE] == 0)
        return TG_OK;
    tg_status status = tg_metrics_sync(t->metrics);
    if (status == TG_OK && t->board != NULL)
        status = tg_board_sync(t->board);
    if (status == TG_OK)
        status = tg_checkpoint_save(&t->session, &t->at, &directory);
    if (status != TG_OK)
        return not_saved(t, status);
    t->saved_update = t->at.update;
    if (t->finite)
        t->good_update = t->at.update;
    if (t->listener.saved != NULL)
        t->listener.saved(t->listener.ctx, t->at.update, directory);
    tg_heap_free(directory);
    return TG_OK;
}

/* The time is looked at after the first update of a process, so that every process gets on. */
static bool wants_to_stop(const training *t)
{
    const double most = t->config.max_seconds;
    if (most > 0 && t->at.update > t->first_update && tg_process_seconds() - t->opened >= most)
        return true;
    return atomic_load(&stop_wanted) || (t->listener.enough != NULL && t->listener.enough(t->listener.ctx));
}

static tg_status train(training *t)
{
    tg_status status = TG_OK;
    t->started = tg_process_seconds();
    while (status == TG_OK && !is_over(t) && !wants_to_stop(t)) {
        status = make_update(t);
        if (status == TG_OK)
            status = tell(t);
        if (status == TG_OK && evaluation_due(t))
            status = evaluate(t);
        if (status == TG_OK && t->config.option[TG_TRAIN_SAMPLE_EVERY] > 0 && due(t, TG_TRAIN_SAMPLE_EVERY))
            status = sample(t);
        if (status == TG_OK && due(t, TG_TRAIN_SAVE_EVERY))
            status = save(t);
    }
    if (status == TG_OK && !is_over(t) && t->saved_update != t->at.update) /* stopped by the user */
        status = save(t);
    return status;
}

/* ---- beginning ---- */

static tg_status check_fresh(const char *out)
{
    uint64_t *updates = NULL;
    size_t count = 0;
    const tg_status status = tg_checkpoint_list(&updates, &count, out);
    tg_heap_free(updates);
    if (status != TG_OK || count == 0)
        return status;
    return tg_fail(TG_EINVAL, "%s holds a run with checkpoints already: go on with --resume, or name another directory", out);
}

static tg_status open_metrics(training *t)
{
    char *path = tg_file_join(t->config.out, "metrics.jsonl");
    if (path == NULL)
        return tg_no_memory("a path", strlen(t->config.out));
    const tg_status status =
        t->at.update == 0 ? tg_metrics_create(&t->metrics, path) : tg_metrics_resume(&t->metrics, path, t->at.update);
    tg_heap_free(path);
    return status;
}

static tg_status fill_weights(training *t, const char *checkpoint)
{
    tg_session *s = &t->session;
    tg_status status = checkpoint != NULL       ? tg_model_load(s->model, checkpoint)
                       : t->config.init != NULL ? tg_model_load(s->model, t->config.init)
                                                : tg_model_initialize(s->model, (uint64_t)t->config.option[TG_TRAIN_SEED]);
    if (checkpoint == NULL && t->config.init != NULL)
        status = tg_agree_init(status, t->config.init, tg_model_get_config(s->model));
    if (status == TG_OK)
        status = s->mover->begin(s, on_event, t);
    if (status == TG_OK && checkpoint != NULL)
        status = tg_checkpoint_load_states(s, checkpoint);
    if (status == TG_OK)
        t->ended = s->mover->ended(s);
    return status;
}

static tg_status check_data(const training *t, const tg_saved_run *run)
{
    const tg_session *s = &t->session;
    const tg_train_config *c = &t->config;
    if (run->texts != NULL && run->corpus_hash != s->task->hash(s, false))
        return tg_fail(TG_EINVAL, "%s is not the %s that the run to resume was trained on", c->data, s->task->data);
    if (run->texts != NULL && c->eval_data != NULL && run->eval_hash != s->task->hash(s, true))
        return tg_fail(TG_EINVAL, "%s is not the %s that the run to resume was evaluated on", c->eval_data,
                       s->task->data);
    if (c->eval_data != NULL && c->given[TG_TRAIN_VALIDATION] && c->option[TG_TRAIN_VALIDATION] > 0)
        return tg_fail(TG_EINVAL, "either eval_data or validation: a part of the %s is held out, or another one is read",
                       s->task->data);
    return s->task->check_data(s);
}

static const char *default_schedule(const tg_train_config *c)
{
    return c->default_schedule != NULL ? c->default_schedule : "constant";
}

/* Settings of the newest checkpoint under the user's, or the user's with defaults filled in. */
static tg_status settle_config(training *t, const tg_train_config *wish, const tg_saved_run *run,
                               const char *checkpoint)
{
    t->config = *wish;
    if (run->texts != NULL) {
        tg_status status = tg_settings_merge(&t->config, run, wish);
        if (status == TG_OK)
            status = tg_agree_check(wish, checkpoint);
        if (status != TG_OK)
            return status;
    }
    if (t->config.optimizer == NULL)
        t->config.optimizer = "tiger";
    if (t->config.schedule == NULL)
        t->config.schedule = default_schedule(wish);
    t->updates = (uint64_t)t->config.option[TG_TRAIN_UPDATES];
    t->at = run->texts != NULL ? run->at : (tg_reached){.validation_loss = NAN, .best_loss = NAN};
    t->first_update = t->saved_update = t->good_update = t->at.update;
    if (t->config.data == NULL && wish->resume)
        return tg_fail(TG_EINVAL, "there is no checkpoint in %s to resume from, and no data to begin with", wish->out);
    if (t->config.data == NULL)
        return tg_fail(TG_EINVAL, "there is nothing to train on: name it with data");
    if (run->texts != NULL && t->at.update > t->updates)
        return tg_fail(TG_EINVAL, "the run has made %llu updates already, more than %llu",
                       (unsigned long long)t->at.update, (unsigned long long)t->updates);
    return TG_OK;
}

/* A schedule that watches evaluations needs some, and what the run to resume remembers of them. */
static tg_status settle_schedule(training *t, const tg_saved_run *run)
{
    const tg_session *s = &t->session;
    const double every = t->config.option[TG_TRAIN_EVAL_EVERY];
    if (!tg_schedule_watches(s->schedule))
        return TG_OK;
    if (!s->task->has_held_out(s) || every == 0 || every >= (double)t->updates)
        return tg_fail(TG_EINVAL, "the schedule watches evaluations, and the run has none before its end: it needs "
                                  "validation > 0 or eval_data, and 0 < eval_every < updates");
    if (run->texts == NULL)
        return TG_OK;
    if (run->courses != tg_schedule_courses(s->schedule))
        return tg_fail(TG_EFORMAT, "trainer.json: \"schedule_watched\" does not fit the schedule '%s'",
                       t->config.schedule);
    for (size_t i = 0; i < run->courses; i++)
        if (tg_schedule_set_state(s->schedule, i, &run->watched[i]) != TG_OK)
            return tg_fail(TG_EFORMAT, "trainer.json: %s", tg_message());
    return TG_OK;
}

/* What the run's utilisation is a share of. Measured before the run's own memory is taken. */
static tg_status find_peak(training *t)
{
    t->peak_flops = t->config.peak_flops > 0 ? t->config.peak_flops : NAN;
    return t->config.peak_flops == 0 ? tg_peak_measure(&t->peak_flops, t->session.train, tg_session_room(&t->plan)) : TG_OK;
}

/* A text that the run to resume knows, and that is not there any more, may lie elsewhere. */
static tg_status not_opened(const training *t, tg_status status, const tg_train_config *wish)
{
    const struct {
        const char *name, *said, *saved;
    } file[] = {{"data", wish->data, t->config.data},
                {"eval_data", wish->eval_data, t->config.eval_data},
                {"labels", wish->labels, t->config.labels},
                {"eval_labels", wish->eval_labels, t->config.eval_labels}};
    for (size_t i = 0; status == TG_ENOTFOUND && i < sizeof file / sizeof *file; i++) {
        const char *at = file[i].said == NULL && file[i].saved != NULL ? strstr(tg_message(), file[i].saved) : NULL;
        if (at != NULL && strchr("'/", at[strlen(file[i].saved)]) != NULL)
            return tg_fail(status, "%s; if it has moved, say where with %s", tg_message(), file[i].name);
    }
    return status;
}

static tg_status begin(training *t, const tg_train_config *wish, const tg_saved_run *run, const char *checkpoint)
{
    tg_status status = settle_config(t, wish, run, checkpoint);
    if (status == TG_OK)
        status = not_opened(t, tg_session_open(&t->session, &t->config, checkpoint), wish);
    if (status == TG_OK)
        status = check_data(t, run);
    if (run->texts != NULL && t->session.loss_scale.on) {
        t->session.loss_scale.scale = run->loss_scale;
        t->session.loss_scale.good = run->loss_scale_good;
    }
    t->session.guard = run->guard;
    if (status == TG_OK)
        status = settle_schedule(t, run);
    if (status != TG_OK)
        return status;
    tg_session_plan(&t->session, &t->plan);
    status = find_peak(t);
    if (status != TG_OK)
        return status;
    if (t->listener.plan != NULL)
        t->listener.plan(t->listener.ctx, &t->plan);
    if (checkpoint != NULL)
        note(t, "resuming after update %llu", (unsigned long long)t->at.update);
    else if (wish->resume)
        note(t, "no checkpoint in %s: starting from the beginning", wish->out);
    if (t->session.train->advice[0] != '\0')
        note(t, "%s", t->session.train->advice);
    status = tg_session_allocate(&t->session);
    if (status == TG_OK)
        status = fill_weights(t, checkpoint);
    if (status == TG_OK && t->config.out != NULL)
        status = tg_directory_make(t->config.out);
    if (status == TG_OK && t->config.out != NULL)
        status = open_metrics(t);
    if (status == TG_OK && t->config.out != NULL && t->config.option[TG_TRAIN_TENSORBOARD] != 0)
        status = tg_board_open(&t->board, &t->session, t->at.update);
    return status;
}

static void report(const training *t, tg_train_result *result)
{
    const double seconds = tg_process_seconds() - t->started, made = (double)(t->at.update - t->first_update);
    *result = (tg_train_result){
        .updates = t->at.update,
        .train_loss = t->loss,
        .validation_loss = t->at.validation_loss,
        .validation = t->validation,
        .rate = t->session.task->rate,
        .best_loss = t->at.best_loss,
        .best_update = t->at.best_update,
        .seconds = seconds,
        .tokens_per_second = (double)t->evaluations * t->plan.tokens_per_update / t->update_seconds,
        .update_seconds = t->update_seconds / made,
        .optimizer_seconds = t->optimizer_seconds / made,
        .peak_flops = t->peak_flops,
        .utilisation = t->passes * t->plan.flops_per_update / t->update_seconds / t->peak_flops,
        .peak_bytes = tg_process_peak_bytes(),
        .planned_bytes = t->plan.peak_bytes,
        .interrupted = !is_over(t),
        .ended = t->at.update < t->updates ? t->ended : NULL,
        .evaluations = t->evaluations,
    };
}

tg_status tg_train_run(tg_train_result *result, const tg_train_config *config, const tg_train_listener *listener)
{
    training t = {.loss = NAN, .validation = tg_evaluation_empty(), .opened = tg_process_seconds()};
    tg_saved_run run = {0};
    char *checkpoint = NULL;
    if (listener != NULL)
        t.listener = *listener;
    tg_status status = TG_OK;
    if (config->out != NULL)
        status = config->resume ? tg_checkpoint_newest(&checkpoint, &run, config->out) : check_fresh(config->out);
    if (status == TG_OK)
        status = begin(&t, config, &run, checkpoint);
    if (status != TG_OK && checkpoint != NULL)
        status = tg_checkpoint_not_read(status, checkpoint, config->out);
    if (status == TG_OK)
        status = train(&t);
    if (status == TG_OK)
        report(&t, result);
    tg_board_close(t.board);
    tg_metrics_destroy(t.metrics);
    tg_session_close(&t.session);
    tg_saved_run_fini(&run);
    tg_heap_free(checkpoint);
    return status;
}

tg_status tg_train_plan(tg_plan *plan, const tg_train_config *config)
{
    tg_train_config complete = *config;
    if (complete.optimizer == NULL)
        complete.optimizer = "tiger";
    if (complete.schedule == NULL)
        complete.schedule = default_schedule(config);
    tg_session session;
    const tg_status status = tg_session_outline(&session, &complete);
    if (status != TG_OK)
        return status;
    tg_session_plan(&session, plan);
    tg_session_close(&session);
    return TG_OK;
}
