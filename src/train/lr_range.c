/* train/lr_range.c -- the learning-rate range test (Smith 2017, arXiv:1506.01186): a short training whose rate grows
 * from far too small to far too large. It is the training loop with an exponential schedule; here is what listens to
 * it.
 *
 * A loss is paired with the rate of the update before it, whose result it is. The slope at a point is that of the line
 * of least squares through the losses around it: the exponential average comes too late for that, and its differences
 * repeat the noise of the batches. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/number.h"
#include "tiger/engine/train.h"

#define DIVERGED 4.0 /* times the least smoothed loss */
#define LEAST_UPDATES 10
#define NEIGHBOURS 20 /* a slope is over 1/20 of the points on each side, */
#define LEAST_NEIGHBOURS 2

void tg_lr_range_fini(tg_lr_range *range)
{
    tg_heap_free(range->lr);
    tg_heap_free(range->loss);
    tg_heap_free(range->smoothed);
    *range = (tg_lr_range){0};
}

/* ---- judging ---- */

/* sum of x y over sum of x^2, both about their means, for the points first .. last. */
static double slope(const tg_lr_range *range, size_t first, size_t last)
{
    const double n = (double)(last - first + 1);
    double x = 0, y = 0, xx = 0, xy = 0;
    for (size_t i = first; i <= last; i++) {
        x += log(range->lr[i]) / n;
        y += range->loss[i] / n;
    }
    for (size_t i = first; i <= last; i++) {
        const double dx = log(range->lr[i]) - x;
        xx += dx * dx;
        xy += dx * (range->loss[i] - y);
    }
    return xx > 0 ? xy / xx : 0;
}

/* Whether the loss falls by more than the batches' noise alone would make its average: twice their distance from it. */
static bool falls(const tg_lr_range *range, size_t least)
{
    double most = range->smoothed[0], noise = 0;
    for (size_t i = 0; i <= least; i++) {
        const double apart = range->loss[i] - range->smoothed[i];
        most = fmax(most, range->smoothed[i]);
        noise += apart * apart / (double)(least + 1);
    }
    return most - range->smoothed[least] > 2 * sqrt(noise);
}

/* The steepest descent among the points up to the least loss. Neighbours beyond it count: they warn of the break. */
static double steepest(const tg_lr_range *range, size_t least)
{
    const size_t side = range->count / NEIGHBOURS > LEAST_NEIGHBOURS ? range->count / NEIGHBOURS : LEAST_NEIGHBOURS;
    const size_t end = isnan(range->diverged) ? range->count - 1 : range->count - 2; /* there is one: `least` */
    double best = 0, lr = NAN;
    for (size_t i = 0; i <= least; i++) {
        const double here = slope(range, i > side ? i - side : 0, i + side < end ? i + side : end);
        if (here < best) {
            best = here;
            lr = range->lr[i];
        }
    }
    return lr;
}

/* An exponential average on its way. */
typedef struct average {
    double smooth, sum, weight, least;
} average;

/* *smoothed <- the average with one more loss; true when it says that training diverges. */
static bool take(average *a, double *smoothed, double loss)
{
    const bool first = a->weight == 0;
    a->sum = a->smooth * a->sum + (1 - a->smooth) * loss;
    a->weight = a->smooth * a->weight + (1 - a->smooth);
    *smoothed = a->sum / a->weight;
    if (first || *smoothed < a->least)
        a->least = *smoothed;
    return !isfinite(loss) || *smoothed > DIVERGED * a->least;
}

void tg_lr_range_judge(tg_lr_range *range, double smooth)
{
    average so_far = {.smooth = smooth};
    size_t least = 0;
    range->diverged = range->suggested = range->last_stable = NAN;
    for (size_t i = 0; i < range->count; i++) {
        if (take(&so_far, &range->smoothed[i], range->loss[i])) {
            range->diverged = range->lr[i];
            range->count = i + 1;
        } else if (range->smoothed[i] < range->smoothed[least]) {
            least = i;
        }
    }
    if (range->count == 0 || !isfinite(range->smoothed[least]))
        return;
    range->last_stable = range->lr[least];
    range->suggested = falls(range, least) ? steepest(range, least) : NAN;
}

/* ---- listening to the loop ---- */

typedef struct hearer {
    tg_lr_range *range;
    const tg_train_listener *user;
    average so_far;
    double lr; /* of the update before */
    bool diverged;
} hearer;

static void on_plan(void *ctx, const tg_plan *plan)
{
    const hearer *h = ctx;
    if (h->user->plan != NULL)
        h->user->plan(h->user->ctx, plan);
}

static void on_note(void *ctx, const char *line)
{
    const hearer *h = ctx;
    if (h->user->note != NULL)
        h->user->note(h->user->ctx, line);
}

static void on_progress(void *ctx, const tg_progress *p)
{
    hearer *h = ctx;
    if (p->update > 1) {
        h->range->lr[h->range->count] = h->lr;
        h->range->loss[h->range->count] = p->loss;
        h->diverged = take(&h->so_far, &h->range->smoothed[h->range->count++], p->loss);
    }
    h->lr = p->lr;
    if (h->user->progress != NULL)
        h->user->progress(h->user->ctx, p);
}

static bool enough(void *ctx)
{
    const hearer *h = ctx;
    return h->diverged || (h->user->enough != NULL && h->user->enough(h->user->ctx));
}

/* ---- running ---- */

static tg_status check(const tg_train_config *config, double from, double to, double smooth)
{
    if (!(from > 0) || !(to > from) || isinf(to))
        return tg_fail(TG_EINVAL, "a range of learning rates must be 0 < from < to, not %g to %g", from, to);
    if (!(smooth >= 0 && smooth < 1))
        return tg_fail(TG_EINVAL, "smooth must be a number, 0 <= smooth < 1, not %g", smooth);
    if (config->option[TG_TRAIN_UPDATES] < LEAST_UPDATES)
        return tg_fail(TG_EINVAL, "a range of learning rates needs at least %d updates", LEAST_UPDATES);
    for (size_t i = 0; i < config->settings; i++)
        if (tg_name_distance(config->setting[i].name, "lr") == 0)
            return tg_fail(TG_EINVAL, "lr is what is looked for: leave it out");
    return TG_OK;
}

static tg_status allocate(tg_lr_range *range, size_t room)
{
    range->lr = tg_heap_alloc(room, sizeof *range->lr);
    range->loss = tg_heap_alloc(room, sizeof *range->loss);
    range->smoothed = tg_heap_alloc(room, sizeof *range->smoothed);
    const bool all = range->lr != NULL && range->loss != NULL && range->smoothed != NULL;
    return all ? TG_OK : tg_no_memory("the losses of a range test", 3 * room * sizeof(double));
}

/* The loop's own words for a rate that grows from update to update. */
static tg_status train(tg_lr_range *range, tg_train_config *config, tg_setting *setting, double from, double to,
                       hearer *h)
{
    char schedule[64] = "exponential:", lr[TG_NUMBER_BYTES];
    const double updates = config->option[TG_TRAIN_UPDATES];
    tg_number_print(schedule + strlen(schedule), pow(to / from, 1 / (updates - 1)));
    tg_number_print(lr, from);
    if (config->settings > 0)
        memcpy(setting, config->setting, config->settings * sizeof *setting);
    setting[config->settings++] = (tg_setting){"lr", lr};
    config->setting = setting;
    config->schedule = schedule;
    const tg_train_listener listener = {
        .plan = on_plan, .progress = on_progress, .note = on_note, .enough = enough, .ctx = h};
    tg_train_result result = {0};
    const tg_status status = tg_train_run(&result, config, &listener);
    if (status != TG_OK && status != TG_EDIVERGED)
        return status;
    tg_lr_range_judge(range, h->so_far.smooth);
    if (status == TG_EDIVERGED) /* the optimizer's guard gave up: that is an answer too */
        range->diverged = h->lr;
    range->interrupted = status == TG_OK && result.interrupted && !h->diverged;
    return TG_OK;
}

tg_status tg_lr_range_run(tg_lr_range *range, const tg_train_config *config, double from, double to, double smooth,
                          const tg_train_listener *listener)
{
    static const tg_train_listener nobody = {0};
    tg_lr_range result = {0};
    hearer h = {.range = &result, .user = listener != NULL ? listener : &nobody, .so_far = {.smooth = smooth}};
    tg_train_config trial = *config;
    trial.out = NULL;
    trial.resume = false;
    trial.option[TG_TRAIN_VALIDATION] = 0; /* so that there is nothing to evaluate */
    trial.eval_data = trial.eval_labels = NULL;
    trial.option[TG_TRAIN_SAMPLE_EVERY] = trial.option[TG_TRAIN_LOSS_GUARD] = trial.option[TG_TRAIN_TENSORBOARD] = 0;
    trial.peak_flops = -1;
    tg_status status = check(config, from, to, smooth);
    if (status != TG_OK)
        return status;
    tg_setting *setting = tg_heap_alloc(config->settings + 1, sizeof *setting);
    status = setting == NULL ? tg_no_memory("settings", (config->settings + 1) * sizeof *setting)
                             : allocate(&result, (size_t)config->option[TG_TRAIN_UPDATES]);
    if (status == TG_OK)
        status = train(&result, &trial, setting, from, to, &h);
    tg_heap_free(setting);
    if (status == TG_OK)
        *range = result;
    else
        tg_lr_range_fini(&result);
    return status;
}
