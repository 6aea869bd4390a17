/* anneal.c -- simulated annealing (Kirkpatrick, Gelatt & Vecchi 1983, Science 220; Cauchy proposals: Szu & Hartley 1987, Phys.
 * Lett. A 122; logarithmic cooling: Geman & Geman 1984).
 *
 *   x' = x + scale sqrt(T/T0) z, z normal or Cauchy, every other time in one entry alone
 *   x <- x' with probability min(1, exp((f(x) - f(x')) / T))
 *   T = T0 final^(k/steps) (geometric), T0 ln 2 / ln(2 + k) (log)      k: iterations of this cycle
 *
 * `chains` walk side by side, so that a generation is worth several threads. A cycle of `steps` iterations over, the chains
 * begin a new one at the best point, at T0 again. T0 0: the mean difference of the first values. Memory: 2 chains numbers
 * per entry of x. */
#include <string.h>

#include "minimize/chance.h"

enum { CHAINS, COOLING, PROPOSAL, TEMPERATURE, FINAL, STEPS, RESTARTS, SCALE };
enum { GEOMETRIC, LOGARITHMIC };
enum { GAUSSIAN, CAUCHY };
enum { PLACE = TG_OWN, HEIGHT, POINTS };
enum { K_T0 };
enum { AGE, RESTART };

static const tg_option options[] = {
    [CHAINS] = {.name = "chains", .kind = TG_INTEGER, .value = 4, .least = 1, .most = 4096, .help = "walks side by side"},
    [COOLING] = {.name = "cooling", .kind = TG_CHOICE, .choices = "geometric|log", .help = "course of the temperature"},
    [PROPOSAL] = {.name = "proposal", .kind = TG_CHOICE, .choices = "gaussian|cauchy",
                  .help = "distribution of the steps; cauchy: some are very long"},
    [TEMPERATURE] = {.name = "temperature", .kind = TG_REAL, .value = 0, .least = 0, .most = INFINITY,
                     .help = "at a cycle's beginning, in units of the value; 0: from the first values"},
    [FINAL] = {.name = "final", .kind = TG_REAL, .value = 1e-10, .least = 0, .above = 1, .most = 1,
               .help = "share of it at a cycle's end (geometric)"},
    [STEPS] = {.name = "steps", .kind = TG_INTEGER, .value = 2000, .least = 1, .most = 1e15, .help = "iterations of a cycle"},
    [RESTARTS] = {.name = "restarts", .kind = TG_INTEGER, .value = 3, .least = 0, .most = 1e9,
                  .help = "further cycles, from the best point"},
    [SCALE] = {.name = "scale", .kind = TG_REAL, .value = 0, .least = 0, .most = INFINITY, .search_least = 0.01,
               .search_most = 10, .search_log = 1,
               .help = "length of steps at a cycle's beginning; 0: 0.3 of the way between bounds, 1 without"},
};

static void lay(tg_minimizer *m)
{
    const size_t chains = (size_t)m->option[CHAINS];
    tg_lay(m, PLACE, chains, m->n);
    tg_lay(m, HEIGHT, chains, 1);
    tg_lay(m, POINTS, chains, m->n);
    tg_lay(m, TG_VALUES, chains, 1);
}

static void begin(tg_minimizer *m)
{
    const size_t chains = (size_t)m->option[CHAINS];
    for (size_t k = 0; k < chains; k++) {
        memcpy(m->at[PLACE] + k * m->n, m->at[TG_X], m->n * sizeof(double));
        m->at[HEIGHT][k] = INFINITY;
    }
    m->run->candidates = chains;
    m->run->step = 1;
}

/* The temperature now, as a share of the first. */
static double share(const tg_minimizer *m)
{
    const double k = (double)m->run->c[AGE];
    return m->option[COOLING] == GEOMETRIC ? pow(m->option[FINAL], k / m->option[STEPS]) : log(2) / log(2 + k);
}

static double *ask(tg_minimizer *m)
{
    const size_t n = m->n;
    const bool first = m->run->iterations == 0;
    const double spread = sqrt(share(m));
    for (size_t k = 0; k < m->run->candidates; k++) {
        double *x = m->at[POINTS] + k * n;
        const tg_key key = tg_chance(m, 0x616e6eu, m->run->iterations, k);
        memcpy(x, m->at[PLACE] + k * n, n * sizeof *x);
        const size_t alone = m->run->iterations % 2 == 0 ? n : (size_t)tg_random_below(key, UINT32_MAX, n);
        for (size_t i = 0; i < n && !(first && k == 0); i++) { /* the start itself is the first chain's first point */
            if (alone < n && i != alone)
                continue;
            const double z = m->option[PROPOSAL] == GAUSSIAN
                                 ? (double)tg_random_normal(key, (uint32_t)i)
                                 : tan(3.14159265358979323846 * ((double)tg_random_uniform(key, (uint32_t)i) - 0.5));
            x[i] += spread * (m->option[SCALE] > 0 ? m->option[SCALE] : tg_scale(m, i, 0.3, 1)) * fmin(fmax(z, -1e9), 1e9);
        }
        tg_feasible(m, x);
    }
    return m->at[POINTS];
}

/* The mean difference of finite values from the first chain's: what a step of full length changes. */
static double first_temperature(const tg_minimizer *m)
{
    const double *value = m->at[TG_VALUES];
    double sum = 0;
    size_t count = 0;
    for (size_t k = 1; k < m->run->candidates; k++)
        if (isfinite(value[k] - value[0])) {
            sum += fabs(value[k] - value[0]);
            count++;
        }
    const double height = isfinite(value[0]) && value[0] != 0 ? fabs(value[0]) : 1;
    return sum > 0 ? sum / (double)count : height;
}

static void cool(tg_minimizer *m)
{
    tg_run *r = m->run;
    if (++r->c[AGE] < (uint64_t)m->option[STEPS])
        return;
    if (r->c[RESTART] >= (uint64_t)m->option[RESTARTS]) {
        r->stop = isinf(r->f) ? TG_STOP_NOT_FINITE : TG_STOP_CHANGE;
        return;
    }
    r->c[RESTART]++;
    r->restarts++;
    r->c[AGE] = 0;
    for (size_t k = 0; k < r->candidates; k++) {
        memcpy(m->at[PLACE] + k * m->n, m->at[TG_X], m->n * sizeof(double));
        m->at[HEIGHT][k] = r->f;
    }
}

static void tell(tg_minimizer *m, const double *points)
{
    tg_run *r = m->run;
    const tg_key key = tg_chance(m, 0x616363u, r->iterations, 0);
    if (r->iterations == 0)
        r->k[K_T0] = m->option[TEMPERATURE] > 0 ? m->option[TEMPERATURE] : first_temperature(m);
    const double temperature = r->k[K_T0] * share(m);
    for (size_t k = 0; k < r->candidates; k++) {
        const double rise = m->at[TG_VALUES][k] - m->at[HEIGHT][k]; /* NaN: both infinite */
        if (!(rise <= 0) && !((double)tg_random_uniform(key, (uint32_t)k) < exp(-rise / temperature)))
            continue;
        memcpy(m->at[PLACE] + k * m->n, points + k * m->n, m->n * sizeof *points);
        m->at[HEIGHT][k] = m->at[TG_VALUES][k];
    }
    r->step = sqrt(share(m));
    cool(m);
}

const tg_minimizer_kind tg_minimizer_kind_anneal = {
    .info = {.name = "anneal",
             .title = "simulated annealing: uphill steps, ever more rarely",
             .source = "Kirkpatrick, Gelatt & Vecchi 1983, Science 220; Szu & Hartley 1987, Phys. Lett. A 122",
             .equations = "x' = x + scale sqrt(T/T0) z, z normal or Cauchy; every other time in one entry alone\n"
                          "x <- x' with probability min(1, exp((f(x) - f(x')) / T))\n"
                          "T = T0 final^(k/steps) or T0 ln 2 / ln(2 + k)",
             .when_to_use = "functions with many minima, and steps; where cmaes is stuck",
             .needs = TG_NEEDS_VALUE,
             .bounds = true,
             .options = TG_MINIMIZER_TABLE(options)},
    .lay = lay,
    .begin = begin,
    .ask = ask,
    .tell = tell,
};
