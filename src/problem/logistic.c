/* problem/logistic.c -- logistic regression on a table, or on data that are drawn, with an l2 penalty that makes the
 * minimum unique.
 *
 *   f = mean over samples of log(1 + exp(-y a^T x)) + l2/2 |x|^2,    a = (normal numbers, 1),    y = -1 or 1
 *
 * The Fisher matrix of the likelihood, mean p (1-p) a a^T with p the model's probability of a label, and l2 I of the
 * penalty: labels do not appear, as the logit is the natural parameter, so it is the Hessian, and natural gradient is
 * Newton's method.
 *
 * Labels are drawn with the probabilities that a hidden x gives. The minimum is found when the problem is made, by
 * Newton's method with halved steps, to the rounding of double. */
#include <stdint.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/random.h"
#include "problem/problem.h"

enum { N, SAMPLES, L2, SEED };
#define DRAWS 0x6c6f6769u
#define STEPS 60

static const tg_option options[] = {
    [N] = TG_OPTION_VARIABLES(5, 2, 100),
    [SAMPLES] = {.name = "samples", .kind = TG_INTEGER, .value = 100, .least = 1, .most = 10000, .help = "of the data"},
    [L2] = {.name = "l2",
            .kind = TG_REAL,
            .value = 0.01,
            .least = 0,
            .most = 1e3,
            .above = 1,
            .help = "strength of the penalty"},
    [SEED] = TG_OPTION_SEED,
};

static size_t samples(const tg_problem *p) { return (size_t)p->option[SAMPLES]; }

/* y a^T x of a sample, whose row is already times y. */
static double margin(const double *row, const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += row[i] * x[i];
    return sum;
}

/* 1 / (1 + exp(m)), for any m. */
static double doubt(double m) { return m > 0 ? exp(-m) / (1 + exp(-m)) : 1 / (1 + exp(m)); }

static double evaluate(const tg_problem *p, const double *x, double *g)
{
    const double share = 1 / (double)samples(p);
    double sum = 0;
    for (size_t i = 0; i < p->n; i++) {
        sum += p->option[L2] / 2 * x[i] * x[i];
        if (g != NULL)
            g[i] = p->option[L2] * x[i];
    }
    for (size_t s = 0; s < samples(p); s++) {
        const double *row = p->data + s * p->n, m = margin(row, x, p->n);
        sum += share * ((m < 0 ? -m : 0) + log1p(exp(-fabs(m))));
        for (size_t i = 0; i < p->n && g != NULL; i++)
            g[i] -= share * doubt(m) * row[i];
    }
    return sum;
}

static void fisher(const tg_problem *p, double *product, const double *x, const double *v)
{
    for (size_t i = 0; i < p->n; i++)
        product[i] = p->option[L2] * v[i];
    for (size_t s = 0; s < samples(p); s++) {
        const double *row = p->data + s * p->n, d = doubt(margin(row, x, p->n));
        const double weight = d * (1 - d) / (double)samples(p) * margin(row, v, p->n);
        for (size_t i = 0; i < p->n; i++)
            product[i] += weight * row[i];
    }
}

/* (samples, n), every row times its label. */
static void draw(const tg_problem *p)
{
    const uint64_t seed = (uint64_t)p->option[SEED];
    const tg_key hidden = tg_key_make(seed, DRAWS, 0, 0), labels = tg_key_make(seed, DRAWS, 1, 0);
    for (size_t s = 0; s < samples(p); s++) {
        double *row = p->data + s * p->n, score = 0;
        const tg_key key = tg_key_make(seed, DRAWS, 2, s);
        for (size_t i = 0; i < p->n; i++) {
            row[i] = i + 1 < p->n ? (double)tg_random_normal(key, (uint32_t)i) : 1;
            score += 2 * (double)tg_random_normal(hidden, (uint32_t)i) * row[i];
        }
        const bool positive = (double)tg_random_uniform(labels, (uint32_t)s) > doubt(score);
        for (size_t i = 0; i < p->n && !positive; i++)
            row[i] = -row[i];
    }
}

/* h <- the Hessian at x, then its Cholesky factor (n, n), lower; it is positive definite as l2 > 0. */
static void factor(const tg_problem *p, const double *x, double *h)
{
    const size_t n = p->n;
    for (size_t i = 0; i < n * n; i++)
        h[i] = i % (n + 1) == 0 ? p->option[L2] : 0;
    for (size_t s = 0; s < samples(p); s++) {
        const double *row = p->data + s * n, d = doubt(margin(row, x, n));
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j <= i; j++)
                h[i * n + j] += d * (1 - d) / (double)samples(p) * row[i] * row[j];
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = h[i * n + j];
            for (size_t k = 0; k < j; k++)
                sum -= h[i * n + k] * h[j * n + k];
            h[i * n + j] = i == j ? sqrt(sum) : sum / h[j * n + j];
        }
}

/* step <- (L L^T)^-1 step. */
static void solve(double *step, const double *l, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            step[i] -= l[i * n + k] * step[k];
        step[i] /= l[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t k = i + 1; k < n; k++)
            step[i] -= l[k * n + i] * step[k];
        step[i] /= l[i * n + i];
    }
}

/* scratch: n * n + 2 n. */
static void find_minimum(tg_problem *p, double *scratch)
{
    double *x = p->minimum, *h = scratch, *step = h + p->n * p->n, *trial = step + p->n;
    p->least = evaluate(p, x, NULL);
    for (int s = 0; s < STEPS; s++) {
        evaluate(p, x, step);
        factor(p, x, h);
        solve(step, h, p->n);
        double length = 1, f = INFINITY;
        for (; length > 1e-9; length /= 2) {
            for (size_t i = 0; i < p->n; i++)
                trial[i] = x[i] - length * step[i];
            f = evaluate(p, trial, NULL);
            if (f <= p->least)
                break;
        }
        if (!(f <= p->least))
            return;
        for (size_t i = 0; i < p->n; i++)
            x[i] = trial[i];
        if (f == p->least)
            return;
        p->least = f;
    }
}

/* (samples, n), every row times its label, with a 1 behind the table's numbers. */
static void copy(const tg_problem *p, const tg_problem_data *data)
{
    for (size_t s = 0; s < samples(p); s++)
        for (size_t i = 0; i < p->n; i++) {
            const double value = i + 1 < p->n ? data->feature[s * data->features + i] : 1;
            p->data[s * p->n + i] = data->second[s] ? value : -value;
        }
}

/* data: NULL where they are drawn. */
static tg_status make(tg_problem *p, const tg_problem_data *data)
{
    size_t square, values;
    double *scratch = NULL;
    if (tg_multiply(&square, p->n, p->n + 2) && tg_multiply(&values, samples(p), p->n)) {
        scratch = tg_heap_alloc(square, sizeof *scratch);
        p->data = tg_heap_alloc(values, sizeof *p->data);
        p->minimum = tg_heap_alloc(p->n, sizeof *p->minimum);
    }
    const bool room = scratch != NULL && p->data != NULL && p->minimum != NULL;
    if (room) {
        if (data != NULL)
            copy(p, data);
        else
            draw(p);
        find_minimum(p, scratch);
    }
    tg_heap_free(scratch);
    return room ? TG_OK : tg_no_memory("the data of a logistic regression", samples(p) * p->n * sizeof *p->data);
}

static tg_status prepare(tg_problem *p) { return make(p, NULL); }

static tg_status take(tg_problem *p, const tg_problem_data *data)
{
    p->option[N] = (double)p->n;
    p->option[SAMPLES] = (double)data->samples;
    return make(p, data);
}

const tg_problem_kind tg_problem_kind_logistic = {
    .info = {.name = "logistic",
             .title = "logistic regression, on data that are drawn or a table",
             .source = "the textbooks'",
             .equations = "f = mean log(1 + exp(-y a^T x)) + l2/2 |x|^2;  minimum found by Newton's method",
             .options = TG_PROBLEM_TABLE(options),
             .on_table = true},
    .period = 1,
    .low = {-3},
    .high = {3},
    .prepare = prepare,
    .take = take,
    .evaluate = evaluate,
    .fisher = fisher,
};
