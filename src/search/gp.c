/* search/gp.c -- Bayesian optimisation (Jones, Schonlau & Welch 1998; Snoek, Larochelle & Adams 2012, NeurIPS 25).
 *
 *   a Gaussian process through the trials that have ended (process.h), its lengths, scale and noise by the largest
 *   likelihood; try the point of the largest expected improvement over the best trial
 *
 * The point: the best of draws from the whole cube and around the five best trials, then moved by ever shorter random
 * steps. Trials under way are taken to come to what the process expects of them. Values far above the rest, as close to
 * divergence, would set the scale: they are cut at twice the way from the best to the upper quartile. Cost: n^3 in the
 * trials; of more than 150 the best are used. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "search/process.h"
#include "search/search.h"

#define TRIALS_MOST 150
#define ANYWHERE 1000
#define AROUND 60 /* each of */
#define LEADERS 5
#define STEPS 200

typedef struct hunt {
    const tg_past *past;
    const tg_process *process;
    double best;                 /* the least value of all */
    double *point, *tried, gain; /* the best point so far, and one to try */
} hunt;

/* Whether a choice is meant, and its place: distances are of places. */
static void settle(const tg_space *space, double *point)
{
    for (size_t d = 0; d < space->count; d++) {
        const tg_dimension *dimension = &space->at[d];
        point[d] = fmin(1, fmax(0, point[d]));
        if (dimension->kind == TG_DIMENSION_CHOICE)
            point[d] = ((double)tg_dimension_choice(dimension, point[d]) + 0.5) / (double)dimension->choices;
    }
}

static void consider(hunt *h)
{
    double mean, variance;
    settle(h->past->space, h->tried);
    tg_process_predict(&mean, &variance, h->process, h->tried);
    const double gain = tg_expected_improvement(mean, variance, h->best);
    if (gain > h->gain) {
        h->gain = gain;
        memcpy(h->point, h->tried, h->past->space->count * sizeof *h->point);
    }
}

/* tried <- near `from`: numbers by normal steps, and one dimension's choice now and then drawn anew. */
static void step_from(hunt *h, const double *from, double length, tg_key key, uint32_t number)
{
    const tg_space *space = h->past->space;
    const tg_key own = tg_key_beside(key, number), other = tg_key_beside(key, (uint64_t)number << 32 | 1);
    for (size_t d = 0; d < space->count; d++) {
        const double u = (double)tg_random(other, (uint32_t)(2 * d)) * 0x1p-32;
        if (space->at[d].kind != TG_DIMENSION_CHOICE)
            h->tried[d] = from[d] + length * (double)tg_random_normal(own, (uint32_t)d);
        else
            h->tried[d] =
                u * (double)space->count < 0.5 ? (double)tg_random(other, (uint32_t)(2 * d + 1)) * 0x1p-32 : from[d];
    }
}

static void search(hunt *h)
{
    const size_t dimensions = h->past->space->count, leaders = h->past->count < LEADERS ? h->past->count : LEADERS;
    const tg_key anywhere = tg_past_key(h->past, 2), around = tg_past_key(h->past, 3), near = tg_past_key(h->past, 4);
    for (size_t i = 0; i < ANYWHERE; i++) {
        for (size_t d = 0; d < dimensions; d++)
            h->tried[d] = ((double)tg_random(anywhere, (uint32_t)(i * dimensions + d)) + 0.5) * 0x1p-32;
        consider(h);
    }
    for (size_t l = 0; l < leaders; l++)
        for (size_t i = 0; i < AROUND; i++) {
            step_from(h, h->past->point + l * dimensions, 0.1, around, (uint32_t)(l * AROUND + i));
            consider(h);
        }
    for (uint32_t i = 0; i < STEPS; i++) {
        step_from(h, h->point, 0.1 * pow(0.01, (double)i / STEPS), near, i);
        consider(h);
    }
}

/* The trials, values cut and then of mean 0 and variance 1. */
static void take(tg_process *p, const tg_past *past)
{
    const size_t n = past->count < TRIALS_MOST ? past->count : TRIALS_MOST, m = past->space->count;
    const double most = past->value[0] + 2 * (past->value[3 * n / 4] - past->value[0]);
    double mean = 0, square = 0;
    memcpy(p->point, past->point, n * m * sizeof *p->point);
    for (size_t i = 0; i < n; i++) {
        settle(past->space, p->point + i * m);
        p->value[i] = fmin(past->value[i], most);
        mean += p->value[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++)
        square += (p->value[i] - mean) * (p->value[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++)
        p->value[i] = (p->value[i] - mean) / (square > 0 ? sqrt(square) : 1);
    p->count = n;
}

/* Trials under way, each at its expected value. */
static void believe(tg_process *p, const tg_past *past)
{
    const size_t m = past->space->count;
    for (size_t i = 0; i < past->running && p->count < p->room; i++) {
        double variance, *point = p->point + p->count * m;
        memcpy(point, past->under_way + i * m, m * sizeof *point);
        settle(past->space, point);
        tg_process_predict(&p->value[p->count], &variance, p, point);
        p->count++;
        if (isinf(tg_process_likelihood(p, NULL))) { /* too near another one: it says nothing new */
            p->count--;
            tg_process_likelihood(p, NULL);
        }
    }
}

static tg_status suggest(double *point, const tg_past *past)
{
    const size_t m = past->space->count, n = past->count < TRIALS_MOST ? past->count : TRIALS_MOST;
    tg_process process = {0};
    bool *is_choice = tg_heap_alloc(m, sizeof *is_choice);
    double *tried = tg_heap_alloc(m, sizeof *tried);
    tg_status status = is_choice == NULL || tried == NULL ? tg_no_memory("a sampler", m * sizeof *tried) : TG_OK;
    for (size_t d = 0; d < m && status == TG_OK; d++)
        is_choice[d] = past->space->at[d].kind == TG_DIMENSION_CHOICE;
    if (status == TG_OK)
        status = tg_process_init(&process, n + past->running, m, is_choice);
    if (status == TG_OK) {
        take(&process, past);
        status = tg_process_fit(&process);
    }
    if (status == TG_OK) {
        hunt h = {
            .past = past, .process = &process, .best = process.value[0], .point = point, .tried = tried, .gain = -1};
        believe(&process, past);
        search(&h);
    }
    tg_process_fini(&process);
    tg_heap_free(tried);
    tg_heap_free(is_choice);
    return status;
}

const tg_sampler tg_sampler_gp = {
    .info = {"gp", "the largest expected improvement of a Gaussian process through the trials: few, dear trials",
             "Jones, Schonlau & Welch 1998, J. Global Optim. 13; Snoek, Larochelle & Adams 2012, NeurIPS 25"},
    .startup = 8,
    .suggest = suggest,
};
