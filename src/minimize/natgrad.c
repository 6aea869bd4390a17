/* natgrad.c -- natural gradient (Amari 1998, Neural Comput. 10; Martens 2020, arXiv:1412.1193, section 6).
 *
 *   (F + damping I) d = -g, F the Fisher or Gauss-Newton matrix      x <- x + t d, t first 1, lowered until Armijo's
 * condition
 *
 * F comes from the caller, never from differences: there is no substitute for it. As products (fisher_vector), `solver`
 * dense fills F from n of them and takes Cholesky's factor; cg asks for them as it goes. As a root R (m, n), F = R^T R,
 * as the gradients of m samples are, `woodbury` solves by a matrix of m x m (Woodbury 1950):
 *
 *   (R^T R + damping I)^-1 g = (g - R^T (R R^T + damping I)^-1 R g) / damping
 *
 * On a linear model with Gaussian noise F is the Hessian and the step Newton's. Memory: 11 numbers per entry, and n^2
 * with dense; 6 per entry and m^2 with woodbury, beside the caller's R. */
#include "minimize/curved.h"
#include "minimize/eigen.h"

#include <string.h>

enum { SOLVER, DAMPING, RTOL, MAX_CG, LR, C1, MAX_LS, SAMPLES };
enum { SOLVE_AUTO, SOLVE_CG, SOLVE_DENSE, SOLVE_WOODBURY };
enum { DIRECTION = TG_OWN, WORK, MATRIX };
#define AUTO_DENSE 100
#define AUTO_DAMPING 1e-6
#define ROOT_DAMPING 1e-2 /* m samples say nothing of the other n - m directions: there the step is g / damping */

static const tg_option options[] = {
    [SOLVER] = {.name = "solver", .kind = TG_CHOICE, .choices = "auto|cg|dense|woodbury",
                .help = "auto: woodbury where the matrix is that of samples, dense for n <= 100, else cg"},
    [DAMPING] = {.name = "damping", .kind = TG_REAL, .value = -1, .least = -1, .most = INFINITY, .search_least = 1e-8,
                 .search_most = 1, .search_log = 1, .help = "added to the diagonal; -1: 1e-06, to a matrix of samples 0.01"},
    [RTOL] = {.name = "rtol", .kind = TG_REAL, .value = 1e-8, .least = 0, .above = 1, .most = 0x1.fffffffffffffp-1,
              .help = "share of the gradient that cg may leave"},
    [MAX_CG] = {.name = "max_cg", .kind = TG_INTEGER, .value = 0, .least = 0, .most = 1e15,
                .help = "products of an iteration at most with cg; 0: 2 n, at most 1000"},
    [LR] = {.name = "lr", .kind = TG_REAL, .value = 1, .least = 0, .above = 1, .most = INFINITY,
            .help = "length first tried"},
    [C1] = {.name = "c1", .kind = TG_REAL, .value = 1e-4, .least = 0, .above = 1, .most = 0.4999,
            .help = "share of the descent the slope promises that a step must make"},
    [MAX_LS] = {.name = "max_ls", .kind = TG_INTEGER, .value = 40, .least = 1, .most = 1000,
                .help = "evaluations in a line search at most"},
    [SAMPLES] = {.name = "samples", .kind = TG_INTEGER, .value = 64, .least = 1, .most = TG_DENSE_MOST,
                 .help = "of a model: gradients with labels drawn from it, which make its Fisher matrix"},
};

static int solver(const tg_minimizer *m)
{
    if (m->option[SOLVER] != SOLVE_AUTO)
        return (int)m->option[SOLVER];
    return m->f.fisher_root != NULL ? SOLVE_WOODBURY : m->n <= AUTO_DENSE ? SOLVE_DENSE : SOLVE_CG;
}

static double damping(const tg_minimizer *m)
{
    if (m->option[DAMPING] >= 0)
        return m->option[DAMPING];
    return solver(m) == SOLVE_WOODBURY ? ROOT_DAMPING : AUTO_DAMPING;
}

static const char *check(const tg_minimizer *m)
{
    const double given = m->option[DAMPING];
    if (given < 0 && given != -1)
        return "damping must not be below 0 (-1: as the matrix needs)";
    if (solver(m) == SOLVE_WOODBURY) {
        if (m->f.fisher_root == NULL)
            return "solver=woodbury is for a matrix of samples: fisher_root";
        if (m->f.fisher_rows == 0 || m->f.fisher_rows > TG_DENSE_MOST)
            return "a Fisher matrix is made of 1 to 2000 rows";
        return damping(m) > 0 ? NULL : "solver=woodbury divides by the damping: it must be above 0";
    }
    if (solver(m) == SOLVE_DENSE && m->n > TG_DENSE_MOST)
        return "a dense matrix is for 2000 numbers at most: use solver=cg";
    if (m->f.fisher_vector != NULL)
        return NULL;
    return m->f.fisher_root != NULL ? "the function gives the root of its Fisher matrix: use solver=woodbury"
                                    : "the function must give products with its Fisher matrix: fisher_vector";
}

static void lay(tg_minimizer *m)
{
    const int how = solver(m);
    tg_line_lay(m, false);
    tg_lay_scratch(m, DIRECTION, 1, m->n);
    tg_lay_scratch(m, WORK, how == SOLVE_WOODBURY ? 1 : 5, how == SOLVE_WOODBURY ? m->f.fisher_rows : m->n + 8);
    if (how == SOLVE_DENSE)
        tg_lay_scratch(m, MATRIX, m->n, m->n);
    if (how == SOLVE_WOODBURY)
        tg_lay_scratch(m, MATRIX, m->f.fisher_rows, m->f.fisher_rows);
}

static void begin(tg_minimizer *m) { m->run->step = 0; }

/* Sums by place modulo LANES: a compiler may keep them side by side, and the bits stay the same. */
#define LANES 8

static double add_lanes(const double *lane)
{
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

static double dot_rows(size_t n, const float *a, const float *b)
{
    double lane[LANES] = {0};
    for (size_t i = 0; i < n; i++)
        lane[i % LANES] += (double)a[i] * (double)b[i];
    return add_lanes(lane);
}

static double dot_row(size_t n, const float *a, const double *b)
{
    double lane[LANES] = {0};
    for (size_t i = 0; i < n; i++)
        lane[i % LANES] += (double)a[i] * b[i];
    return add_lanes(lane);
}

static bool solve_woodbury(tg_minimizer *m, double *d)
{
    const size_t n = m->n, rows = m->f.fisher_rows;
    const double lambda = damping(m);
    double *k = m->at[MATRIX], *c = m->at[WORK];
    const float *root = NULL;
    if (m->f.fisher_root(m->f.ctx, &root, m->at[TG_X]) != 0) {
        m->run->stop = TG_STOP_CALLER;
        return false;
    }
    for (size_t i = 0; i < n; i++)
        d[i] = -m->at[TG_G][i];
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = 0; j <= i; j++)
            k[i * rows + j] = dot_rows(n, root + i * n, root + j * n);
        k[i * rows + i] += lambda;
        c[i] = dot_row(n, root + i * n, d);
    }
    if (!tg_cholesky(rows, k)) /* not finite: the steepest descent */
        return true;
    tg_cholesky_solve(rows, k, c);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++)
            d[i] -= (double)root[r * n + i] * c[r];
    for (size_t i = 0; i < n; i++)
        d[i] /= lambda;
    return true;
}

static bool solve(tg_minimizer *m)
{
    const size_t n = m->n, most = m->option[MAX_CG] > 0 ? (size_t)m->option[MAX_CG] : n > 500 ? 1000 : 2 * n;
    double *d = m->at[DIRECTION], *f = m->at[MATRIX];
    if (solver(m) == SOLVE_WOODBURY)
        return solve_woodbury(m, d);
    if (solver(m) == SOLVE_CG)
        return tg_conjugate(m, d, true, damping(m), m->option[RTOL], most, m->at[WORK]) != TG_SOLVED_FAILED;
    if (!tg_matrix(m, f, true, m->at[WORK]))
        return false;
    for (size_t i = 0; i < n; i++) {
        f[i * n + i] += damping(m);
        d[i] = -m->at[TG_G][i];
    }
    if (tg_cholesky(n, f))
        tg_cholesky_solve(n, f, d); /* else the steepest descent: F was singular, and the damping too small */
    return true;
}

static void iterate(tg_minimizer *m)
{
    if (!solve(m)) {
        if (m->run->stop == TG_STOP_NOT_YET)
            m->run->stop = TG_STOP_NOT_FINITE;
        return;
    }
    tg_line l = {.d = m->at[DIRECTION],
                 .f0 = m->run->f,
                 .slope0 = tg_dot(m->n, m->at[TG_G], m->at[DIRECTION]),
                 .t = m->option[LR],
                 .c1 = m->option[C1],
                 .max_ls = (int)m->option[MAX_LS]};
    tg_line_backtrack_or_stop(m, &l);
}

const tg_minimizer_kind tg_minimizer_kind_natgrad = {
    .info = {.name = "natgrad",
             .title = "natural gradient: steps measured by the Fisher matrix",
             .source = "Amari 1998, Neural Comput. 10; Martens 2020, arXiv:1412.1193",
             .equations = "(F + damping I) d = -g\n"
                          "x <- x + t d, t first lr",
             .when_to_use = "likelihoods and least squares whose Fisher matrix is known, or drawn as of models",
             .needs = TG_NEEDS_FISHER,
             .options = TG_MINIMIZER_TABLE(options)},
    .check = check,
    .lay = lay,
    .begin = begin,
    .iterate = iterate,
};
