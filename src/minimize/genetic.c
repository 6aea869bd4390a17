/* genetic.c -- a genetic algorithm on real numbers (Holland 1975; blend crossover: Eshelman & Schaffer 1993; simulated binary
 * crossover: Deb & Agrawal 1995, Complex Systems 9, eq. 13).
 *
 *   parents p, q: the lowest of `tournament` drawn each
 *   child: blend, uniform in [min - alpha |p-q|, max + alpha |p-q|]; sbx, (p + q)/2 -+ b (p - q)/2; else p
 *   each entry, with chance `mutation_rate`: + mutation s_i z, z normal, s_i the population's standard deviation there
 *
 * The best `elite` live on. The first population: the start and points around it, or anywhere between finite bounds. Memory:
 * 2 popsize + 2 numbers per entry of x. */
#include <float.h>
#include <string.h>

#include "minimize/chance.h"

enum { POPSIZE, TOURNAMENT, CROSSOVER, CROSSOVER_RATE, ALPHA, ETA, MUTATION_RATE, MUTATION, ELITE, PATIENCE, TOLX, SCALE };
enum { BLEND, SBX };
enum { PEOPLE = TG_OWN, HEIGHT, CHILDREN, ORDER, SPREAD, FIRST_SPREAD, SORTED };
enum { STALE };
enum { K_BEST };

static const tg_option options[] = {
    [POPSIZE] = {.name = "popsize", .kind = TG_INTEGER, .value = 0, .least = 0, .most = 1e6, .search_least = 10,
                 .search_most = 500, .search_log = 1, .help = "individuals; 0: 20 n, at least 60 and at most 300; else at least 4"},
    [TOURNAMENT] = {.name = "tournament", .kind = TG_INTEGER, .value = 2, .least = 1, .most = 1000,
                    .help = "individuals a parent is the best of"},
    [CROSSOVER] = {.name = "crossover", .kind = TG_CHOICE, .choices = "blend|sbx", .help = "how two parents make a child"},
    [CROSSOVER_RATE] = {.name = "crossover_rate", .kind = TG_REAL, .value = 0.9, .least = 0, .most = 1,
                        .help = "share of children with two parents"},
    [ALPHA] = {.name = "alpha", .kind = TG_REAL, .value = 0.6, .least = 0, .most = 10, .help = "reach of blend beyond the parents"},
    [ETA] = {.name = "eta", .kind = TG_REAL, .value = 2, .least = 0, .most = 1000, .help = "nearness of sbx to the parents"},
    [MUTATION_RATE] = {.name = "mutation_rate", .kind = TG_REAL, .value = 0, .least = 0, .most = 1,
                       .help = "chance of each entry; 0: 1/n"},
    [MUTATION] = {.name = "mutation", .kind = TG_REAL, .value = 0.5, .least = 0, .most = INFINITY,
                  .help = "size of a mutation over the population's spread"},
    [ELITE] = {.name = "elite", .kind = TG_INTEGER, .value = 2, .least = 0, .most = 1e6, .help = "the best that live on"},
    [PATIENCE] = {.name = "patience", .kind = TG_INTEGER, .value = 200, .least = 1, .most = 1e15,
                  .help = "generations without a better value that end the search"},
    [TOLX] = {.name = "tolx", .kind = TG_REAL, .value = 1e-11, .least = 0, .most = INFINITY,
              .help = "converged when the spread is below this share of the first"},
    [SCALE] = {.name = "scale", .kind = TG_REAL, .value = 0, .least = 0, .most = INFINITY,
               .help = "spread of the first population; 0: all between the bounds, 1 without"},
};

static size_t people(const tg_minimizer *m)
{
    if (m->option[POPSIZE] > 0)
        return (size_t)m->option[POPSIZE];
    return m->n < 3 ? 60 : m->n > 15 ? 300 : 20 * m->n;
}

static const char *check(const tg_minimizer *m)
{
    if (m->option[POPSIZE] > 0 && m->option[POPSIZE] < 4)
        return "popsize must be 0 or at least 4";
    return m->option[ELITE] < (double)people(m) ? NULL : "elite must be below popsize";
}

static void lay(tg_minimizer *m)
{
    const size_t count = people(m);
    tg_lay(m, PEOPLE, count, m->n);
    tg_lay(m, HEIGHT, count, 1);
    tg_lay(m, CHILDREN, count, m->n);
    tg_lay(m, TG_VALUES, count, 1);
    tg_lay(m, ORDER, count, 1);
    tg_lay(m, SORTED, count, 1);
    tg_lay(m, SPREAD, 1, m->n);
    tg_lay(m, FIRST_SPREAD, 1, m->n);
}

static void begin(tg_minimizer *m)
{
    m->run->candidates = people(m);
    m->run->k[K_BEST] = INFINITY;
}

static void first_generation(tg_minimizer *m)
{
    for (size_t k = 0; k < m->run->candidates; k++) {
        double *x = m->at[CHILDREN] + k * m->n;
        const tg_key key = tg_chance(m, 0x67656eu, 0, k);
        memcpy(x, m->at[TG_X], m->n * sizeof *x);
        for (size_t i = 0; i < m->n && k > 0; i++) {
            const double width = m->option[SCALE] > 0 ? INFINITY : tg_scale(m, i, 1, INFINITY);
            const double plain = m->option[SCALE] > 0 ? m->option[SCALE] : 1;
            if (isfinite(width))
                x[i] = m->at[TG_LOWER][i] + width * (double)tg_random_uniform(key, (uint32_t)i);
            else
                x[i] += plain * (double)tg_random_normal(key, (uint32_t)i);
        }
        tg_feasible(m, x);
    }
}

/* The winner of a tournament; `from`: where in the child's stream its draws begin. */
static const double *parent(const tg_minimizer *m, tg_key key, uint32_t from)
{
    size_t best = (size_t)tg_random_below(key, from, m->run->candidates);
    for (uint32_t i = 1; i < (uint32_t)m->option[TOURNAMENT]; i++) {
        const size_t other = (size_t)tg_random_below(key, from + i, m->run->candidates);
        best = m->at[HEIGHT][other] < m->at[HEIGHT][best] ? other : best;
    }
    return m->at[PEOPLE] + best * m->n;
}

static double cross(const tg_minimizer *m, double p, double q, double u)
{
    if (m->option[CROSSOVER] == BLEND) {
        const double low = fmin(p, q), width = fabs(p - q), alpha = m->option[ALPHA];
        return low - alpha * width + u * (1 + 2 * alpha) * width;
    }
    const double power = 1 / (m->option[ETA] + 1), side = u < 0.5 ? 0.5 : -0.5; /* which of the two children */
    u = u < 0.5 ? 2 * u : 2 * u - 1;
    return 0.5 * (p + q) + side * (u < 0.5 ? pow(2 * u, power) : pow(1 / (2 * (1 - u) + 1e-7), power)) * (p - q);
}

static void breed(tg_minimizer *m, double *x, size_t number)
{
    const tg_key choose = tg_chance(m, 0x746f75u, m->run->iterations, number);
    const tg_key mix = tg_chance(m, 0x6d6978u, m->run->iterations, number);
    const tg_key chance = tg_chance(m, 0x6d7574u, m->run->iterations, number);
    const tg_key jump = tg_chance(m, 0x6a6d70u, m->run->iterations, number);
    const double *p = parent(m, choose, 1), *q = parent(m, choose, 1001);
    const double rate = m->option[MUTATION_RATE] > 0 ? m->option[MUTATION_RATE] : 1 / (double)m->n;
    const bool two = (double)tg_random_uniform(choose, 0) <= m->option[CROSSOVER_RATE];
    for (size_t i = 0; i < m->n; i++) {
        x[i] = two ? cross(m, p[i], q[i], (double)tg_random_uniform(mix, (uint32_t)i)) : p[i];
        if ((double)tg_random_uniform(chance, (uint32_t)i) <= rate)
            x[i] += m->option[MUTATION] * m->at[SPREAD][i] * (double)tg_random_normal(jump, (uint32_t)i);
    }
    tg_feasible(m, x);
}

static double *ask(tg_minimizer *m)
{
    if (m->run->iterations == 0) {
        first_generation(m);
        return m->at[CHILDREN];
    }
    for (size_t k = 0; k < m->run->candidates; k++)
        breed(m, m->at[CHILDREN] + k * m->n, k);
    return m->at[CHILDREN];
}

/* The best `elite` of the old ones take the places of the worst children. */
static void replace(tg_minimizer *m, const double *points)
{
    const size_t n = m->n, count = m->run->candidates, elite = m->run->iterations == 0 ? 0 : (size_t)m->option[ELITE];
    double *old = m->at[ORDER], *young = m->at[SORTED], *height = m->at[HEIGHT];
    tg_rank(old, height, count);
    tg_rank(young, m->at[TG_VALUES], count);
    for (size_t i = elite, at = 0; i < count; i++, at++) { /* the others' places are for the best children */
        const size_t to = (size_t)old[i], from = (size_t)young[at];
        memcpy(m->at[PEOPLE] + to * n, points + from * n, n * sizeof *points);
        height[to] = m->at[TG_VALUES][from];
    }
}

static void measure(tg_minimizer *m)
{
    const size_t n = m->n, count = m->run->candidates;
    for (size_t i = 0; i < n; i++) {
        double mean = 0, squares = 0;
        for (size_t k = 0; k < count; k++)
            mean += m->at[PEOPLE][k * n + i] / (double)count;
        for (size_t k = 0; k < count; k++)
            squares += (m->at[PEOPLE][k * n + i] - mean) * (m->at[PEOPLE][k * n + i] - mean);
        m->at[SPREAD][i] = sqrt(squares / (double)count);
    }
}

static void tell(tg_minimizer *m, const double *points)
{
    tg_run *r = m->run;
    double widest = 0;
    replace(m, points);
    measure(m);
    if (r->iterations == 0)
        memcpy(m->at[FIRST_SPREAD], m->at[SPREAD], m->n * sizeof(double));
    r->step = tg_max_abs(m->n, m->at[SPREAD]);
    for (size_t i = 0; i < m->n; i++)
        widest = fmax(widest, m->at[SPREAD][i] / fmax(m->at[FIRST_SPREAD][i], DBL_MIN));
    r->c[STALE] = r->f < r->k[K_BEST] ? 0 : r->c[STALE] + 1;
    r->k[K_BEST] = r->f;
    if (widest <= m->option[TOLX] || r->c[STALE] >= (uint64_t)m->option[PATIENCE])
        r->stop = isinf(r->f) ? TG_STOP_NOT_FINITE : TG_STOP_CHANGE;
}

const tg_minimizer_kind tg_minimizer_kind_genetic = {
    .info = {.name = "genetic",
             .title = "a population that mates, mutates and is selected",
             .source = "Holland 1975; Eshelman & Schaffer 1993; Deb & Agrawal 1995, Complex Systems 9",
             .equations = "parents: the lowest of `tournament` drawn; child: blend or sbx of two\n"
                          "each entry with chance mutation_rate: + mutation s_i z, s_i the population's spread\n"
                          "the best `elite` live on",
             .when_to_use = "functions with many minima along the axes; a look around before lbfgs",
             .needs = TG_NEEDS_VALUE,
             .bounds = true,
             .options = TG_MINIMIZER_TABLE(options)},
    .check = check,
    .lay = lay,
    .begin = begin,
    .ask = ask,
    .tell = tell,
};
