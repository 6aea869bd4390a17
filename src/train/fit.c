/* train/fit.c -- see fit.h.
 *
 * The fastest: recomputing makes the forward pass twice, 4/3 of the work. A micro-batch costs, beside its tokens, a
 * walk over all weights and over where their gradients go, about what the products of PASS_TOKENS tokens cost (measured
 * at 43M parameters in bf16). For one way of recomputing the largest micro-batch that fits is the fastest, and found
 * by bisection: smaller ones need no more memory. */
#include "train/fit.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "train/mover.h"
#include "train/process.h"

#define PASS_TOKENS 30.0
#define AGAIN (4.0 / 3.0)
#define MOST_PARTS 256 /* no number up to a million has more divisors */
#define SIZE_TEXT 24

typedef struct choice {
    size_t part; /* rows of a micro-batch */
    int recompute;
    size_t bytes; /* planned */
} choice;

typedef struct fit {
    tg_session *session;
    size_t limit, rows; /* of an update */
    size_t part[MOST_PARTS], parts;
    choice least;     /* the smallest seen; part 0: none */
    tg_status failed; /* of the last choice that could not be planned at all */
} fit;

static void say_bytes(char text[static SIZE_TEXT], size_t bytes)
{
    const bool large = bytes >= (size_t)1 << 30;
    snprintf(text, SIZE_TEXT, large ? "%.2f GiB" : "%.1f MiB", (double)bytes / (large ? 1 << 30 : 1 << 20));
}

static const char *recompute_name(int recompute)
{
    static const char *const name[] = {"none", "block", "sqrt"};
    return name[recompute];
}

/* ---- what may be chosen ---- */

static bool may_split(const tg_session *s)
{
    const tg_train_config *c = s->config;
    return !c->given[TG_TRAIN_ACCUMULATE] && s->mover->splits(s);
}

static void list_parts(fit *f)
{
    const tg_train_config *c = f->session->config;
    const size_t batch = (size_t)c->option[TG_TRAIN_BATCH];
    f->rows = batch * (size_t)c->option[TG_TRAIN_ACCUMULATE];
    if (!may_split(f->session)) {
        f->part[f->parts++] = batch;
        return;
    }
    for (size_t part = 1; part <= batch && f->parts < MOST_PARTS; part++)
        if (f->rows % part == 0)
            f->part[f->parts++] = part;
}

/* ---- trying ---- */

static tg_status apply(const fit *f, const choice *c)
{
    double *option = f->session->config->option;
    option[TG_TRAIN_BATCH] = (double)c->part;
    option[TG_TRAIN_ACCUMULATE] = (double)(f->rows / c->part);
    option[TG_TRAIN_RECOMPUTE] = c->recompute;
    return tg_session_graphs(f->session);
}

static bool fits(fit *f, choice *c)
{
    tg_plan plan;
    const tg_status status = apply(f, c);
    if (status != TG_OK) {
        f->failed = status;
        return false;
    }
    tg_session_plan(f->session, &plan);
    c->bytes = plan.peak_bytes;
    if (f->least.part == 0 || c->bytes < f->least.bytes)
        f->least = *c;
    return c->bytes <= f->limit;
}

/* *best <- the largest micro-batch that fits with a way of recomputing; false when none does. */
static bool largest(fit *f, choice *best, int recompute)
{
    size_t low = 0, high = f->parts; /* part[low] fits, part[high] does not */
    *best = (choice){.part = f->part[0], .recompute = recompute};
    if (!fits(f, best))
        return false;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        choice c = {.part = f->part[middle], .recompute = recompute};
        if (fits(f, &c)) {
            *best = c;
            low = middle;
        } else
            high = middle;
    }
    return true;
}

static double cost(const fit *f, const choice *c)
{
    const double tokens = (double)c->part * (double)tg_model_get_config(f->session->model)->context;
    return (tokens * (c->recompute == TG_RECOMPUTE_NONE ? 1 : AGAIN) + PASS_TOKENS) * (double)(f->rows / c->part);
}

/* ---- nothing fits ---- */

/* Appends to a list "a, b, c". */
static void append(char *text, size_t room, const char *what, size_t bytes)
{
    const size_t used = strlen(text);
    char size[SIZE_TEXT] = "";
    if (bytes > 0)
        say_bytes(size, bytes);
    snprintf(text + used, room - used, "%s%s%s%s%s", used > 0 ? ", " : "", what, bytes > 0 ? " (" : "", size,
             bytes > 0 ? " less)" : "");
}

/* What the user could say instead, with the bytes that it saves where they are known. */
static void list_remedies(char *text, size_t room, const fit *f, const tg_plan *plan)
{
    const tg_train_config *c = f->session->config;
    text[0] = '\0';
    if (f->parts == 1 && f->part[0] > 1 && !c->resume)
        append(text, room, "a smaller --batch", 0);
    if (c->given[TG_TRAIN_RECOMPUTE] && c->option[TG_TRAIN_RECOMPUTE] == TG_RECOMPUTE_NONE)
        append(text, room, "--recompute block", 0);
    if (plan->evaluates) {
        append(text, room, "--optimizer tiger, which keeps a value a weight", plan->states_bytes - plan->weights_bytes);
        append(text, room, "a shorter --context", 0);
        return;
    }
    if (plan->gradients_bytes > 0 && c->state_file == NULL)
        append(text, room, "--optimizer tiger, which keeps no gradients", plan->gradients_bytes);
    if (c->option[TG_TRAIN_PRECISION] == TG_PRECISION_FP32 || c->option[TG_TRAIN_PRECISION] == TG_PRECISION_MIXED)
        append(text, room, "--precision bf16", plan->weights_bytes / 2);
    if (c->state_file == NULL)
        append(text, room, "--state-file FILE", plan->states_bytes + plan->gradients_bytes);
    if (c->weight_file == NULL)
        append(text, room, "--weight-file FILE", plan->weights_bytes);
    if (c->model.task == TG_TASK_LANGUAGE)
        append(text, room, "a shorter --context", 0);
}

static tg_status refuse(fit *f)
{
    const choice least = f->least;
    char limit[SIZE_TEXT], peak[SIZE_TEXT], training[SIZE_TEXT], arena[SIZE_TEXT], rest[SIZE_TEXT], remedies[512];
    tg_plan plan;
    if (least.part == 0) /* there is no plan at all, and the message says why */
        return f->failed;
    const tg_status status = apply(f, &least);
    if (status != TG_OK)
        return status;
    tg_session_plan(f->session, &plan);
    const size_t kept = plan.weights_bytes + plan.states_bytes + plan.gradients_bytes - plan.disk_bytes;
    const size_t work = plan.activations_bytes + plan.scratch_bytes;
    say_bytes(limit, f->limit);
    say_bytes(peak, plan.peak_bytes);
    say_bytes(training, kept);
    say_bytes(arena, work);
    say_bytes(rest, plan.peak_bytes - kept - work);
    list_remedies(remedies, sizeof remedies, f, &plan);
    return tg_fail(
        TG_ENOMEM,
        "nothing stays within %s: the least is %s (weights, states and gradients %s, activations and scratch %s, "
        "the rest %s) with batch %zu, accumulate %zu, recompute %s; what helps: %s",
        limit, peak, training, arena, rest, least.part, f->rows / least.part, recompute_name(least.recompute),
        remedies);
}

/* ---- choosing ---- */

static tg_status choose(fit *f)
{
    const tg_train_config *c = f->session->config;
    const bool any = !c->given[TG_TRAIN_RECOMPUTE];
    const int asked = (int)c->option[TG_TRAIN_RECOMPUTE];
    choice best = {0};
    for (int way = TG_RECOMPUTE_NONE; way <= TG_RECOMPUTE_SQRT; way++) {
        choice here;
        if ((any || way == asked) && largest(f, &here, way) && (best.part == 0 || cost(f, &here) < cost(f, &best)))
            best = here;
    }
    return best.part == 0 ? refuse(f) : apply(f, &best);
}

tg_status tg_fit(tg_session *session)
{
    const tg_train_config *c = session->config;
    fit f = {.session = session, .limit = (size_t)c->option[TG_TRAIN_MEMORY]};
    list_parts(&f);
    choice asked = {.part = (size_t)c->option[TG_TRAIN_BATCH], .recompute = (int)c->option[TG_TRAIN_RECOMPUTE]};
    if (fits(&f, &asked))
        return TG_OK;
    session->asked_bytes = asked.bytes;
    return choose(&f);
}
