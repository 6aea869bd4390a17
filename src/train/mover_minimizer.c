/* train/mover_minimizer.c -- weights moved by a minimizer: all that are trained are one point of n numbers in fp32, the
 * function is the model's mean loss over fixed sequences, and an update is one iteration.
 *
 * closure says which samples, or sequences of a text: `fresh` ones for each update, drawn as a rule's would be, the
 * same for all evaluations of that update (so that the change of a gradient is one of the point, not of the batch:
 * Schraudolph, Yu & Guenter 2007, AISTATS); `fixed`: those of the first update throughout; `all`: all the training
 * data, batch by batch. Dropout has the same key for the same sequences, and so is a part of the function. Products
 * with the Hessian are the minimizer's own central differences of gradients. The Fisher matrix is that of some samples
 * whose labels are drawn from the model. The point is put into the weights for an evaluation, and the best one at the
 * end. */
#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "model/model.h"
#include "tiger/minimize.h"
#include "train/mover.h"
#include "train/process.h"
#include "train/task.h"

#define MOST_CMAES 500 /* seconds a decomposition; the work grows with the cube */

struct tg_whole {
    tg_minimizer *minimizer;
    tg_objective objective;
    size_t n, bytes;
    int closure;         /* one of TG_CLOSURE_..., never AUTO */
    size_t micro_steps;  /* of an evaluation */
    double counted;      /* targets of the whole text, with `all` */
    uint32_t *lengths;   /* (B), with `all` */
    tg_session *session; /* while the minimizer is at work, */
    tg_move *step;       /* with what it does */
    float *gradient;     /* (n), of the evaluation under way; NULL: its value alone is wanted */
    bool broken;         /* the evaluation met NaN or Inf */
    tg_graph *single;    /* a batch of one sample, in the arena of the training's graph; NULL where not needed */
    float *root;         /* (objective.fisher_rows, n): its gradients */
    tg_status status;    /* of an evaluation that failed */
};

static size_t values_of(const tg_param *p) { return p->frozen ? 0 : p->rows * p->cols; }

/* Where a weight's numbers begin in the point. */
static size_t offset_of(const tg_model *model, size_t weight)
{
    size_t at = 0;
    for (size_t i = 0; i < weight; i++)
        at += values_of(tg_model_weight(model, i));
    return at;
}

static void put_point(const tg_model *model, const float *x)
{
    for (size_t i = 0; i < tg_model_weight_count(model); i++) {
        const tg_param *p = tg_model_weight(model, i);
        if (values_of(p) > 0)
            memcpy(p->data, x, values_of(p) * sizeof *x);
        x += values_of(p);
    }
}

/* The minimizer's own point: numbers of fp32, kept as doubles. */
static void put_best(const tg_model *model, const double *x)
{
    for (size_t i = 0; i < tg_model_weight_count(model); i++) {
        const tg_param *p = tg_model_weight(model, i);
        float *data = p->data;
        for (size_t k = 0; k < values_of(p); k++)
            data[k] = (float)x[k];
        x += values_of(p);
    }
}

/* ---- the sink: gradients into one vector ------------------------------------------------------------------------- */

static tg_status sink_tile(void *ctx, size_t weight, size_t row, size_t rows, const float *tile)
{
    const tg_whole *w = ctx;
    const tg_model *model = w->session->model;
    const size_t cols = tg_model_weight(model, weight)->cols;
    if (w->gradient == NULL)
        return TG_OK;
    float *to = w->gradient + offset_of(model, weight) + row * cols;
    for (size_t i = 0; i < rows * cols; i++)
        to[i] += tile[i];
    return TG_OK;
}

static tg_status sink_rows(void *ctx, size_t weight, const uint32_t *index, size_t rows, const float *tile)
{
    const tg_whole *w = ctx;
    const size_t cols = tg_model_weight(w->session->model, weight)->cols;
    for (size_t r = 0; r < rows; r++)
        sink_tile(ctx, weight, index[r], 1, tile + r * cols);
    return TG_OK;
}

static tg_status sink_reject(void *ctx, size_t weight)
{
    tg_whole *w = ctx;
    (void)weight;
    w->broken = true;
    return TG_OK;
}

static tg_status sink_complete(void *ctx, size_t weight)
{
    (void)ctx;
    (void)weight;
    return TG_OK;
}

/* ---- the function ------------------------------------------------------------------------------------------------ */

static double count_targets(const tg_session *s)
{
    double count = 0;
    for (size_t i = 0; i < s->places; i++)
        count += s->targets[i] >= 0;
    return count;
}

static bool never(void *ctx, double loss)
{
    (void)ctx;
    (void)loss;
    return false;
}

/* The samples of a micro-step, and its share of the mean loss. */
static tg_status read_batch(const tg_whole *w, size_t micro, tg_run *run, double *share)
{
    tg_session *s = w->session;
    if (w->closure != TG_CLOSURE_ALL) {
        *share = 1 / (double)w->micro_steps;
        return s->task->batch(s, run->update, (uint32_t)micro);
    }
    const tg_status status = s->task->window(s, micro, w->lengths);
    run->lengths = w->lengths;
    *share = count_targets(s) / w->counted;
    return status;
}

static tg_status run_micro_step(tg_whole *w, size_t micro, double *loss)
{
    tg_session *s = w->session;
    const bool first = micro == 0 && w->step->evaluations == 0;
    double share = 0;
    tg_run run = tg_session_run(s, w->closure == TG_CLOSURE_FRESH ? w->step->update : 0, (uint32_t)micro);
    run.wants = w->gradient == NULL ? never : NULL;
    run.look = first ? w->step->look : NULL;
    run.look_ctx = w->step->look_ctx;
    tg_status status = read_batch(w, micro, &run, &share);
    if (status != TG_OK || share == 0) /* nothing counts in it */
        return status;
    run.loss_scale = share;
    status = tg_graph_run(s->train, &run);
    *loss += share * run.loss;
    return status;
}

static int evaluate(void *ctx, double *value, float *gradient, const float *x)
{
    tg_whole *w = ctx;
    double loss = 0;
    const double began = tg_process_seconds();
    put_point(w->session->model, x);
    w->gradient = gradient;
    w->broken = false;
    w->status = TG_OK;
    if (gradient != NULL)
        memset(gradient, 0, w->n * sizeof *gradient);
    for (size_t micro = 0; w->status == TG_OK && micro < w->micro_steps; micro++)
        w->status = run_micro_step(w, micro, &loss);
    w->step->evaluations++;
    w->step->passes += gradient != NULL ? 1 : 1.0 / 3;
    *value = w->broken ? NAN : loss;
    w->step->optimizer_seconds -= tg_process_seconds() - began;
    return w->status != TG_OK;
}

/* ---- the Fisher matrix ------------------------------------------------------------------------------------------- */

/* row (n) <- the gradient of sample `at` of the session's batch, summed over its targets, which are drawn from the
 * model. Labels and dropout have the key of `number`. *count: how many targets; 0 where none counts or it is not
 * finite. */
static tg_status sample_gradient(tg_whole *w, float *row, size_t at, uint32_t number, double *count)
{
    const tg_session *s = w->session;
    const size_t time = w->single->time, first = at * time, features = s->feature_room / s->places;
    tg_run run = tg_session_run(s, w->step->update, number);
    memset(row, 0, w->n * sizeof *row);
    *count = 0;
    for (size_t i = 0; i < time; i++)
        *count += s->targets[first + i] >= 0;
    if (*count == 0)
        return TG_OK;
    run.tokens = s->tokens == NULL ? NULL : s->tokens + first;
    run.targets = s->targets + first;
    run.features = s->features == NULL ? NULL : s->features + first * features;
    run.values = s->values == NULL ? NULL : s->values + first;
    run.lengths = w->closure == TG_CLOSURE_ALL ? w->lengths + at : NULL;
    run.draws_labels = true;
    run.loss_scale = *count;
    w->gradient = row;
    w->broken = false;
    const tg_status status = tg_graph_run(w->single, &run);
    if (w->broken) {
        memset(row, 0, w->n * sizeof *row);
        *count = 0;
    }
    return status;
}

/* Rows whose products R^T R estimate the Fisher matrix of a target, at x: labels of one sample are drawn independently,
 * so that in the mean the square of their gradients' sum is the sum of squares. The samples are those of the function
 * in their order, again from the first with other draws where they are too few; of all the data each update takes the
 * next. */
static int fisher_root(void *ctx, const float **root, const double *x)
{
    tg_whole *w = ctx;
    tg_session *s = w->session;
    const size_t rows = w->objective.fisher_rows, batch = s->train->batch, samples = batch * w->micro_steps;
    const size_t begin = w->closure == TG_CLOSURE_ALL ? (size_t)(w->step->update % samples) * rows % samples : 0;
    double counted = 0, share = 0;
    size_t open = SIZE_MAX; /* the micro-step whose batch is there */
    put_best(s->model, x);
    w->status = TG_OK;
    for (size_t j = 0; w->status == TG_OK && j < rows; j++) {
        const size_t sample = (begin + j) % samples;
        double count = 0;
        if (sample / batch != open) {
            tg_run run = {.update = w->closure == TG_CLOSURE_FRESH ? w->step->update : 0};
            open = sample / batch;
            w->status = read_batch(w, open, &run, &share);
        }
        if (w->status == TG_OK)
            w->status = sample_gradient(w, w->root + j * w->n, sample % batch, (uint32_t)j, &count);
        counted += count;
    }
    const float scale = counted > 0 ? (float)(1 / sqrt(counted)) : 0;
    for (size_t i = 0; i < rows * w->n; i++)
        w->root[i] *= scale;
    *root = w->root;
    return w->status != TG_OK;
}

static size_t root_bytes(const tg_whole *w) { return w->objective.fisher_rows * w->n * sizeof *w->root; }

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static int closure_of(const tg_session *s)
{
    const int said = (int)s->config->option[TG_TRAIN_CLOSURE];
    if (said != TG_CLOSURE_AUTO)
        return said;
    return s->method.minimizer->needs == TG_NEEDS_VALUE ? TG_CLOSURE_FIXED : TG_CLOSURE_FRESH;
}

/* What goes with rules alone. */
static tg_status check(const tg_session *s)
{
    const tg_train_config *c = s->config;
    const char *name = s->method.name;
    if (c->option[TG_TRAIN_PRECISION] != TG_PRECISION_FP32)
        return tg_fail(TG_EINVAL, "%s compares losses that differ little, which 16 bits hide: take precision fp32",
                       name);
    if (strcmp(c->schedule, "constant") != 0)
        return tg_fail(TG_EINVAL, "%s finds the length of each step itself: there is nothing for a schedule to drive",
                       name);
    if (c->option[TG_TRAIN_LOSS_GUARD] > 0)
        return tg_fail(TG_EINVAL, "loss_guard leaves batches out, and %s needs the same ones in every evaluation",
                       name);
    if (c->option[TG_TRAIN_ADVERSARIAL] > 0)
        return tg_fail(TG_EINVAL,
                       "adversarial images move with the weights, and %s needs the same ones in every "
                       "evaluation",
                       name);
    if (c->state_file != NULL || c->weight_file != NULL)
        return tg_fail(TG_EINVAL,
                       "%s goes over all of its memory many times an update: files for states or weights are "
                       "for optimizers that go tensor by tensor",
                       name);
    if (s->method.minimizer->needs == TG_NEEDS_VALUE && closure_of(s) == TG_CLOSURE_FRESH)
        return tg_fail(TG_EINVAL,
                       "%s remembers losses, which those of other sequences cannot be held against: take "
                       "closure fixed or all",
                       name);
    return TG_OK;
}

static tg_status set_options(tg_minimizer *m, const tg_train_config *c)
{
    tg_status status = tg_minimizer_set_number(m, "seed", c->option[TG_TRAIN_SEED]);
    for (size_t i = 0; status == TG_OK && i < c->settings; i++)
        status = tg_minimizer_set(m, c->setting[i].name, c->setting[i].value);
    return status;
}

static tg_status set_fisher(tg_whole *w)
{
    double samples;
    const tg_status status = tg_minimizer_get(w->minimizer, "samples", &samples);
    size_t count;
    if (status != TG_OK)
        return status;
    w->objective.fisher_root = fisher_root;
    w->objective.fisher_rows = (size_t)samples;
    if (!tg_multiply(&count, w->objective.fisher_rows, w->n) || !tg_multiply(&count, count, sizeof *w->root))
        return tg_fail(TG_EINVAL, "%zu gradients of %zu weights are too many: take fewer samples",
                       w->objective.fisher_rows, w->n);
    return TG_OK;
}

/* Matrices of n x n numbers are soon beyond any machine, and their eigenvectors beyond any patience: said before
 * anything is written. */
static tg_status check_room(const tg_whole *w, const char *name)
{
    const size_t available = tg_process_available_bytes(), bytes = w->bytes + root_bytes(w);
    if (strcmp(name, "cmaes") == 0 && w->n > MOST_CMAES)
        return tg_fail(TG_EINVAL,
                       "cmaes finds the eigenvectors of an n x n matrix every few generations, and the "
                       "model has n = %zu weights: %d at most; genetic and anneal take more, lbfgs any",
                       w->n, MOST_CMAES);
    if (available == 0 || bytes <= available)
        return TG_OK;
    return tg_fail(TG_ENOMEM,
                   "%s keeps %.3g GiB for %zu weights, and this machine has %.3g GiB available: lbfgs with a "
                   "small history_size keeps least, or an optimizer such as tiger",
                   name, (double)bytes / (1 << 30), w->n, (double)available / (1 << 30));
}

static tg_status open(tg_session *s, bool outline)
{
    tg_status status = check(s);
    tg_whole *w = status == TG_OK ? tg_heap_alloc(1, sizeof *w) : NULL;
    if (w == NULL)
        return status == TG_OK ? tg_no_memory("a minimizer", sizeof *w) : status;
    s->whole = w;
    w->closure = closure_of(s);
    w->n = offset_of(s->model, tg_model_weight_count(s->model));
    w->objective = (tg_objective){.n = w->n, .ctx = w, .evaluate_f32 = evaluate};
    s->sink = (tg_sink){sink_tile, sink_rows, sink_reject, sink_complete, w, NULL, NULL};
    tg_loss_scale_init(&s->loss_scale, false);
    status = tg_minimizer_create(&w->minimizer, s->method.name, NULL);
    if (status == TG_OK)
        status = set_options(w->minimizer, s->config);
    if (status == TG_OK && s->method.minimizer->needs == TG_NEEDS_FISHER)
        status = set_fisher(w);
    if (status == TG_OK)
        status = tg_minimizer_measure(w->minimizer, &w->objective, &w->bytes);
    return status == TG_OK && !outline ? check_room(w, s->method.name) : status; /* a plan may be of what cannot run */
}

static void measure(const tg_session *s, tg_optim_bytes *bytes)
{
    const size_t states = s->whole->bytes, root = root_bytes(s->whole);
    *bytes =
        (tg_optim_bytes){.states = states, .gradients = root, .beside = tg_alloc_slack(states) + tg_alloc_slack(root)};
}

static bool splits(const tg_session *s)
{
    (void)s;
    return true;
}

static size_t micro_steps(const tg_session *s)
{
    const size_t all =
        s->whole->closure == TG_CLOSURE_ALL ? s->task->windows(s, (size_t)s->config->option[TG_TRAIN_BATCH]) : 0;
    return all > 0 ? all : (size_t)s->config->option[TG_TRAIN_ACCUMULATE];
}

static tg_status allocate(tg_session *s)
{
    tg_whole *w = s->whole;
    w->lengths = tg_heap_alloc(s->train->batch, sizeof *w->lengths);
    if (w->lengths == NULL)
        return tg_no_memory("a batch", s->train->batch * sizeof *w->lengths);
    if (root_bytes(w) == 0)
        return TG_OK;
    w->root = tg_alloc(NULL, root_bytes(w), 1);
    return w->root != NULL ? TG_OK : tg_no_memory("gradients of samples", root_bytes(w));
}

static tg_status plan_single(tg_session *s)
{
    tg_graph **single = &s->whole->single;
    tg_status status = tg_model_graph(single, s->model, TG_TRAIN, s->train->format, 1, s->train->time);
    if (status == TG_OK)
        status = s->train->mixes_samples
                     ? tg_fail(TG_EINVAL,
                               "%s takes the gradients of single samples, and with batch norm there are "
                               "none: group norm has them",
                               s->method.name)
                     : tg_graph_plan(*single, (tg_recompute)(int)s->config->option[TG_TRAIN_RECOMPUTE]);
    return status == TG_OK ? tg_graph_share(*single, s->train) : status;
}

static tg_status count_all(tg_session *s)
{
    tg_whole *w = s->whole;
    tg_status status = TG_OK;
    w->counted = 0;
    for (size_t micro = 0; status == TG_OK && micro < w->micro_steps; micro++) {
        status = s->task->window(s, micro, w->lengths);
        w->counted += count_targets(s);
    }
    if (status == TG_OK && w->counted == 0)
        return tg_fail(TG_EINVAL, "the %s has nothing that counts", s->task->data);
    if (status == TG_OK && s->train->mixes_samples && w->counted != (double)(w->micro_steps * s->places))
        return tg_fail(TG_EINVAL, "closure=all: with batch norm the %.0f samples must be whole batches of %zu",
                       w->counted, s->places);
    return status;
}

static tg_status begin(tg_session *s, void (*on_event)(void *ctx, const tg_event *event), void *ctx)
{
    tg_whole *w = s->whole;
    (void)on_event; /* events are of rules */
    (void)ctx;
    w->micro_steps = micro_steps(s);
    tg_status status = w->closure == TG_CLOSURE_ALL ? count_all(s) : TG_OK;
    if (status == TG_OK && w->root != NULL)
        status = plan_single(s);
    if (status != TG_OK)
        return status;
    double *x = tg_alloc(NULL, w->n, sizeof *x), *next = x;
    if (x == NULL)
        return tg_no_memory("a point", w->n * sizeof *x);
    for (size_t i = 0; i < tg_model_weight_count(s->model); i++) {
        const tg_param *p = tg_model_weight(s->model, i);
        for (size_t k = 0; k < values_of(p); k++)
            *next++ = (double)((const float *)p->data)[k];
    }
    status = tg_minimizer_start(w->minimizer, &w->objective, x);
    tg_free(NULL, x, w->n, sizeof *x);
    return status;
}

/* ---- an update --------------------------------------------------------------------------------------------------- */

/* With fresh sequences a search that is through with one batch goes on with the next. */
static bool is_end(const tg_whole *w, tg_stop stop)
{
    if (w->closure != TG_CLOSURE_FRESH)
        return stop != TG_STOP_NOT_YET;
    return stop == TG_STOP_TARGET || stop == TG_STOP_ITERATIONS || stop == TG_STOP_EVALUATIONS;
}

static tg_status update(tg_session *s, tg_move *step)
{
    tg_whole *w = s->whole;
    tg_minimum now;
    bool going;
    w->session = s;
    w->step = step;
    const double began = tg_process_seconds();
    tg_status status = w->closure == TG_CLOSURE_FRESH ? tg_minimizer_refresh(w->minimizer, NULL) : TG_OK;
    if (status == TG_OK)
        status = tg_minimizer_iterate(w->minimizer, &going);
    if (status != TG_OK || w->status != TG_OK)
        return status != TG_OK ? status : w->status;
    step->optimizer_seconds += tg_process_seconds() - began; /* less that of the evaluations */
    tg_minimizer_minimum(w->minimizer, &now);
    put_best(s->model, now.x);
    if (now.stop == TG_STOP_NOT_FINITE)
        return tg_fail(TG_EDIVERGED,
                       "update %llu: the loss is not finite, where the weights are or wherever a step led",
                       (unsigned long long)step->update + 1);
    step->loss = now.value;
    step->lr = NAN;
    step->length = now.step;
    step->line = tg_line_end_name(now.line);
    step->stuck = now.stop != TG_STOP_NOT_YET && !is_end(w, now.stop) ? tg_stop_text(now.stop) : NULL;
    return TG_OK;
}

static tg_status tell(const tg_session *s, const tg_move *step, tg_metric *field, size_t *count)
{
    tg_minimum now;
    tg_minimizer_minimum(s->whole->minimizer, &now);
    const tg_metric mine[] = {{.name = "evaluations", .value = (double)step->evaluations},
                              {.name = "step", .value = step->length},
                              {.name = "line_search", .text = step->line},
                              {.name = "phase", .text = now.phase},
                              {.name = "gradient_max", .value = now.gradient_norm},
                              {.name = "all_evaluations", .value = (double)now.evaluations},
                              {.name = "restarts", .value = (double)now.restarts}};
    memcpy(field + *count, mine, sizeof mine);
    *count += sizeof mine / sizeof *mine;
    return TG_OK;
}

static const char *ended(const tg_session *s)
{
    tg_minimum now;
    tg_minimizer_minimum(s->whole->minimizer, &now);
    return is_end(s->whole, now.stop) ? tg_stop_text(now.stop) : NULL;
}

static tg_status save(const tg_session *s, const char *path) { return tg_minimizer_save(s->whole->minimizer, path); }
static tg_status load(tg_session *s, const char *path) { return tg_minimizer_load(s->whole->minimizer, path); }

static void close(tg_session *s)
{
    if (s->whole == NULL)
        return;
    tg_minimizer_destroy(s->whole->minimizer);
    tg_graph_destroy(s->whole->single);
    tg_free(NULL, s->whole->root, root_bytes(s->whole), 1);
    tg_heap_free(s->whole->lengths);
    tg_heap_free(s->whole);
}

const tg_mover tg_mover_minimizer = {
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
