/* cmaes.c -- evolution strategy with covariance matrix adaptation (Hansen 2016, arXiv:1604.00772, figure 6 and table 1:
 * rank-one, rank-mu and active update), restarted with twice the population (IPOP; Auger & Hansen 2005).
 *
 *   x_k = mean + sigma B D z_k, z normal, C = B D^2 B^T        mean <- mean + sum w_i (x_i - mean), x_1 the lowest
 *   p_s <- (1-c_s) p_s + sqrt(c_s (2-c_s) mu) C^(-1/2) step    sigma <- sigma exp(c_s/d_s (|p_s| / E|z| - 1))
 *   p_c <- (1-c_c) p_c + h sqrt(c_c (2-c_c) mu) step
 *   C   <- (1 + c_1 (1-h) c_c (2-c_c) - c_1 - c_mu sum w) C + c_1 p_c p_c^T + c_mu sum w_i y_i y_i^T
 *
 * Bounds: candidates are mirrored into them, and learnt from where they land. A restart begins at the start, or, where
 * all entries are bounded, at a random point. B and D are renewed every 1/(10 n (c_1+c_mu)) generations, by Jacobi's
 * method. Memory: 3 n^2 + 2^restarts popsize n numbers. */
#include <float.h>
#include <string.h>

#include "minimize/chance.h"
#include "minimize/eigen.h"

enum { SIGMA, POPSIZE, RESTARTS, ACTIVE, TOLX, TOLFUN };
enum { MEAN = TG_OWN, START, SCALE, OLD_MEAN, STEP, P_SIGMA, P_C, C, B, D, WORK, POINTS, ORDER, WEIGHT, PAST };
enum { K_SIGMA, K_SIGMA0, K_MU, K_CS, K_DS, K_CC, K_C1, K_CMU, K_CHI, K_WSUM };
enum { AGE, LAMBDA, PARENTS, EIGEN_AGE, DRAWN, RESTART };

static const tg_option options[] = {
    [SIGMA] = {.name = "sigma", .kind = TG_REAL, .value = 0, .least = 0, .most = INFINITY, .search_least = 0.05,
               .search_most = 2, .search_log = 1,
               .help = "spread of the first candidates; 0: 0.3 of the way between bounds, 0.5 without"},
    [POPSIZE] = {.name = "popsize", .kind = TG_INTEGER, .value = 0, .least = 0, .most = 1e6, .search_least = 5,
                 .search_most = 200, .search_log = 1,
                 .help = "candidates of a generation; 0: 4 + 3 ln n; else at least 4"},
    [RESTARTS] = {.name = "restarts", .kind = TG_INTEGER, .value = 2, .least = 0, .most = 12,
                  .help = "restarts at most, each with twice the candidates"},
    [ACTIVE] = {.name = "active", .kind = TG_SWITCH, .value = 1, .help = "learn from the worst candidates, too"},
    [TOLX] = {.name = "tolx", .kind = TG_REAL, .value = 1e-11, .least = 0, .most = INFINITY,
              .help = "a run ends when the spread is below this share of the first"},
    [TOLFUN] = {.name = "tolfun", .kind = TG_REAL, .value = 1e-11, .least = 0, .most = INFINITY,
                .help = "a run ends when the values of the last generations differ by less"},
};

static const char *check(const tg_minimizer *m)
{
    return m->option[POPSIZE] == 0 || m->option[POPSIZE] >= 4 ? NULL : "popsize must be 0 or at least 4";
}

static size_t first_lambda(const tg_minimizer *m)
{
    return m->option[POPSIZE] > 0 ? (size_t)m->option[POPSIZE] : (size_t)(4 + 3 * log((double)m->n));
}

/* Generations whose best values a run is judged by. */
static size_t past(const tg_minimizer *m, size_t lambda) { return 10 + 30 * m->n / lambda; }

static void lay(tg_minimizer *m)
{
    const size_t most = first_lambda(m) << (int)m->option[RESTARTS];
    static const int vectors[] = {MEAN, START, SCALE, OLD_MEAN, STEP, P_SIGMA, P_C, D};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        tg_lay(m, (size_t)vectors[i], 1, m->n);
    tg_lay(m, C, m->n, m->n);
    tg_lay(m, B, m->n, m->n);
    tg_lay_scratch(m, WORK, m->n, m->n);
    tg_lay(m, POINTS, most, m->n);
    tg_lay(m, TG_VALUES, most, 1);
    tg_lay(m, ORDER, most, 1);
    tg_lay(m, WEIGHT, most, 1);
    tg_lay(m, PAST, past(m, first_lambda(m)), 1);
}

/* Weights and rates of table 1 for this population. */
static void weigh(tg_minimizer *m, size_t lambda)
{
    const double n = (double)m->n;
    double *w = m->at[WEIGHT], *k = m->run->k, sum = 0, squares = 0, minus = 0, minus_squares = 0;
    const size_t parents = lambda / 2;
    for (size_t i = 0; i < lambda; i++) {
        w[i] = log(((double)lambda + 1) / 2) - log((double)i + 1);
        *(i < parents ? &sum : &minus) += w[i];
        *(i < parents ? &squares : &minus_squares) += w[i] * w[i];
    }
    const double mu = sum * sum / squares, mu_minus = minus * minus / minus_squares;
    k[K_MU] = mu;
    k[K_CS] = (mu + 2) / (n + mu + 5);
    k[K_DS] = 1 + 2 * fmax(0, sqrt((mu - 1) / (n + 1)) - 1) + k[K_CS];
    k[K_CC] = (4 + mu / n) / (n + 4 + 2 * mu / n);
    k[K_C1] = 2 / ((n + 1.3) * (n + 1.3) + mu);
    k[K_CMU] = fmin(1 - k[K_C1], 2 * (0.25 + mu - 2 + 1 / mu) / ((n + 2) * (n + 2) + mu));
    k[K_CHI] = sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n));
    const double limit =
        fmin(fmin(1 + k[K_C1] / k[K_CMU], 1 + 2 * mu_minus / (mu + 2)), (1 - k[K_C1] - k[K_CMU]) / (n * k[K_CMU]));
    k[K_WSUM] = 0;
    for (size_t i = 0; i < lambda; i++) {
        w[i] *= i < parents ? 1 / sum : m->option[ACTIVE] != 0 ? limit / -minus : 0;
        k[K_WSUM] += w[i];
    }
    m->run->c[LAMBDA] = m->run->candidates = lambda;
    m->run->c[PARENTS] = parents;
}

/* A run from its beginning: `at[MEAN]` is where. */
static void open_run(tg_minimizer *m, size_t lambda)
{
    tg_run *r = m->run;
    const size_t n = m->n;
    weigh(m, lambda);
    memset(m->at[P_SIGMA], 0, n * sizeof(double));
    memset(m->at[P_C], 0, n * sizeof(double));
    memset(m->at[C], 0, n * n * sizeof(double));
    memset(m->at[B], 0, n * n * sizeof(double));
    r->k[K_SIGMA] = 1;
    for (size_t i = 0; i < n; i++) {
        const double s = m->at[SCALE][i];
        m->at[C][i * n + i] = s * s;
        m->at[B][i * n + i] = 1;
        m->at[D][i] = s;
    }
    r->c[AGE] = r->c[EIGEN_AGE] = 0;
}

static void begin(tg_minimizer *m)
{
    for (size_t i = 0; i < m->n; i++) {
        m->at[SCALE][i] = m->option[SIGMA] > 0 ? m->option[SIGMA] : tg_scale(m, i, 0.3, 0.5);
        m->at[SCALE][i] = m->at[SCALE][i] > 0 ? m->at[SCALE][i] : DBL_EPSILON; /* bounds that meet */
    }
    memcpy(m->at[START], m->at[TG_X], m->n * sizeof(double));
    memcpy(m->at[MEAN], m->at[TG_X], m->n * sizeof(double));
    open_run(m, first_lambda(m));
}

static bool sound(const tg_minimizer *m, const tg_run *run)
{
    const uint64_t restarts = run->c[RESTART], lambda = run->c[LAMBDA];
    return restarts <= (uint64_t)m->option[RESTARTS] && lambda == first_lambda(m) << restarts &&
           run->candidates == lambda && run->c[PARENTS] == lambda / 2;
}

static double *ask(tg_minimizer *m)
{
    const size_t n = m->n;
    for (size_t k = 0; k < m->run->candidates; k++) {
        double *x = m->at[POINTS] + k * n;
        const tg_key key = tg_chance(m, 0x636d61u, m->run->iterations, k);
        memcpy(x, m->at[MEAN], n * sizeof *x);
        for (size_t i = 0; i < n; i++) /* rows of B are the axes */
            tg_axpy(n, x, m->run->k[K_SIGMA] * m->at[D][i] * (double)tg_random_normal(key, (uint32_t)i),
                    m->at[B] + i * n);
        tg_feasible(m, x);
    }
    return m->at[POINTS];
}

/* out <- C^(-1/2) v; its squared length. */
static double whiten(const tg_minimizer *m, double *out, const double *v)
{
    double squares = 0;
    memset(out, 0, m->n * sizeof *out);
    for (size_t i = 0; i < m->n; i++) {
        const double *axis = m->at[B] + i * m->n, along = tg_dot(m->n, axis, v) / m->at[D][i];
        tg_axpy(m->n, out, along, axis);
        squares += along * along;
    }
    return squares;
}

/* The new mean and the paths; whether p_c moves (h of the paper). */
static bool move(tg_minimizer *m)
{
    const size_t n = m->n;
    double *k = m->run->k, *step = m->at[STEP], *white = m->at[WORK];
    memset(step, 0, n * sizeof *step);
    for (size_t i = 0; i < m->run->c[PARENTS]; i++) {
        const double *x = m->at[POINTS] + (size_t)m->at[ORDER][i] * n, w = m->at[WEIGHT][i];
        for (size_t j = 0; j < n; j++)
            step[j] += w * (x[j] - m->at[MEAN][j]);
    }
    tg_axpy(n, m->at[MEAN], 1, step);
    for (size_t j = 0; j < n; j++)
        step[j] /= k[K_SIGMA];
    whiten(m, white, step);
    const double scale = sqrt(k[K_CS] * (2 - k[K_CS]) * k[K_MU]);
    for (size_t j = 0; j < n; j++)
        m->at[P_SIGMA][j] = (1 - k[K_CS]) * m->at[P_SIGMA][j] + scale * white[j];
    const double length = sqrt(tg_dot(n, m->at[P_SIGMA], m->at[P_SIGMA]));
    const double grown = sqrt(1 - pow(1 - k[K_CS], 2 * ((double)m->run->c[AGE] + 1)));
    const bool moves = length / grown < (1.4 + 2 / ((double)n + 1)) * k[K_CHI];
    const double c_scale = moves ? sqrt(k[K_CC] * (2 - k[K_CC]) * k[K_MU]) : 0;
    for (size_t j = 0; j < n; j++)
        m->at[P_C][j] = (1 - k[K_CC]) * m->at[P_C][j] + c_scale * step[j];
    k[K_SIGMA0] = k[K_SIGMA];
    k[K_SIGMA] *= exp(fmin(1, k[K_CS] / k[K_DS] * (length / k[K_CHI] - 1)));
    return moves;
}

static void add_outer(size_t n, double *c, double w, const double *y)
{
    for (size_t i = 0; i < n; i++)
        tg_axpy(n, c + i * n, w * y[i], y);
}

/* The covariance, by steps from the old mean. */
static void adapt(tg_minimizer *m, bool moves)
{
    const size_t n = m->n;
    const double *k = m->run->k, late = moves ? 0 : k[K_CC] * (2 - k[K_CC]);
    double *c = m->at[C], *y = m->at[STEP], *white = m->at[WORK];
    const double keep = 1 + k[K_C1] * late - k[K_C1] - k[K_CMU] * k[K_WSUM];
    for (size_t i = 0; i < n * n; i++)
        c[i] *= keep;
    add_outer(n, c, k[K_C1], m->at[P_C]);
    for (size_t i = 0; i < m->run->c[LAMBDA]; i++) {
        const double *x = m->at[POINTS] + (size_t)m->at[ORDER][i] * n;
        double w = m->at[WEIGHT][i];
        if (w == 0)
            continue;
        for (size_t j = 0; j < n; j++)
            y[j] = (x[j] - m->at[OLD_MEAN][j]) / k[K_SIGMA0];
        if (w < 0)
            w *= (double)n / fmax(whiten(m, white, y), DBL_MIN);
        add_outer(n, c, k[K_CMU] * w, y);
    }
}

/* B and D of C; false when C is no covariance any more. */
static bool decompose(tg_minimizer *m)
{
    const size_t n = m->n;
    double *value = m->at[D], least = INFINITY, most = 0;
    memcpy(m->at[WORK], m->at[C], n * n * sizeof(double));
    if (!tg_eigen(n, value, m->at[B], m->at[WORK]))
        return false;
    for (size_t i = 0; i < n; i++) {
        least = fmin(least, value[i]);
        most = fmax(most, value[i]);
    }
    if (!(least > 0) || !(most < 1e14 * least))
        return false;
    for (size_t i = 0; i < n; i++)
        value[i] = sqrt(value[i]);
    m->run->c[EIGEN_AGE] = m->run->c[AGE];
    return true;
}

/* Whether this run has nothing left to gain. */
static bool exhausted(tg_minimizer *m)
{
    const size_t n = m->n, lambda = m->run->c[LAMBDA], window = past(m, lambda), age = m->run->c[AGE];
    const double *value = m->at[TG_VALUES], *order = m->at[ORDER], sigma = m->run->k[K_SIGMA];
    const double best = value[(size_t)order[0]], worst = value[(size_t)order[lambda - 1]];
    double low = best, high = worst, spread = 0, share = 0;
    bool frozen = true;
    m->at[PAST][age % window] = best;
    for (size_t i = 0; i < window && i <= age; i++) {
        low = fmin(low, m->at[PAST][i]);
        high = fmax(high, m->at[PAST][i]);
    }
    for (size_t i = 0; i < n; i++) {
        const double s = sigma * sqrt(fmax(m->at[C][i * n + i], 0)), mean = m->at[MEAN][i];
        spread = fmax(spread, s);
        share = fmax(share, fmax(s, sigma * fabs(m->at[P_C][i])) / m->at[SCALE][i]);
        frozen = frozen && mean + 0.2 * s == mean;
    }
    m->run->step = spread;
    return share < m->option[TOLX] || !(share < 1e20) || frozen ||
           (age + 1 >= window && high - low < m->option[TOLFUN]) || (isinf(best) && age + 1 >= window);
}

static void restart(tg_minimizer *m)
{
    tg_run *r = m->run;
    const tg_key key = tg_chance(m, 0x697067u, r->iterations, 0);
    if (r->c[RESTART] >= (uint64_t)m->option[RESTARTS]) {
        r->stop = isinf(r->f) ? TG_STOP_NOT_FINITE : TG_STOP_CHANGE;
        return;
    }
    r->c[RESTART]++;
    r->restarts++;
    memcpy(m->at[MEAN], m->at[START], m->n * sizeof(double));
    for (size_t i = 0; m->bounded && i < m->n; i++)
        if (isfinite(tg_scale(m, i, 1, INFINITY)))
            m->at[MEAN][i] = m->at[TG_LOWER][i] + (double)tg_random_uniform(key, (uint32_t)i) * tg_scale(m, i, 1, 0);
    open_run(m, 2 * r->c[LAMBDA]);
}

static void tell(tg_minimizer *m, const double *points)
{
    tg_run *r = m->run;
    const double *k = r->k, lazy = 1 / (10 * (double)m->n * (k[K_C1] + k[K_CMU]));
    (void)points;
    tg_rank(m->at[ORDER], m->at[TG_VALUES], r->candidates);
    memcpy(m->at[OLD_MEAN], m->at[MEAN], m->n * sizeof(double));
    adapt(m, move(m));
    bool over = exhausted(m);
    r->c[AGE]++;
    if (!over && (double)(r->c[AGE] - r->c[EIGEN_AGE]) > lazy)
        over = !decompose(m);
    if (over)
        restart(m);
}

const tg_minimizer_kind tg_minimizer_kind_cmaes = {
    .info = {.name = "cmaes",
             .title = "evolution strategy that learns the covariance of good steps",
             .source = "Hansen 2016, arXiv:1604.00772; restarts: Auger & Hansen 2005, CEC",
             .equations = "x_k = mean + sigma B D z_k, z_k normal, C = B D^2 B^T\n"
                          "mean <- mean + sum w_i (x_i - mean), x_1 the lowest\n"
                          "C, sigma: by the paths of the mean and the lowest and highest candidates",
             .when_to_use = "rugged, noisy or ill-conditioned functions without gradients, up to some hundred numbers",
             .needs = TG_NEEDS_VALUE,
             .bounds = true,
             .options = TG_MINIMIZER_TABLE(options)},
    .check = check,
    .lay = lay,
    .begin = begin,
    .ask = ask,
    .tell = tell,
    .sound = sound,
};
