/* natgrad.c -- natural gradient (Amari 1998, Neural Comput. 10; Martens 2020, arXiv:1412.1193, section 6).
 *
 *   (F + damping I) d = -g, F the Fisher or Gauss-Newton matrix      x <- x + t d, t first 1, lowered until Armijo's
 * condition
 *
 * F comes as products from the caller (fisher_vector), never from differences: there is no substitute for it. `solver`
 * dense fills F from n products and takes Cholesky's factor; cg asks for products as it goes. On a linear model with
 * Gaussian noise F is the Hessian and the step Newton's. Memory: 11 numbers per entry, and n^2 with dense. */
#include "minimize/curved.h"
#include "minimize/eigen.h"

#include <string.h>

enum { SOLVER, DAMPING, RTOL, MAX_CG, LR, C1, MAX_LS };
enum { SOLVE_AUTO, SOLVE_CG, SOLVE_DENSE };
enum { DIRECTION = TG_OWN, WORK, MATRIX };
#define AUTO_DENSE 100

static const tg_option options[] = {
    [SOLVER] = {.name = "solver", .kind = TG_CHOICE, .choices = "auto|cg|dense",
                .help = "auto: dense for n <= 100, else cg"},
    [DAMPING] = {.name = "damping", .kind = TG_REAL, .value = 1e-6, .least = 0, .most = INFINITY, .search_least = 1e-8,
                 .search_most = 1, .search_log = 1, .help = "added to the diagonal"},
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
};

static bool dense(const tg_minimizer *m)
{
    return m->option[SOLVER] == SOLVE_DENSE || (m->option[SOLVER] == SOLVE_AUTO && m->n <= AUTO_DENSE);
}

static const char *check(const tg_minimizer *m)
{
    if (dense(m) && m->n > TG_DENSE_MOST)
        return "a dense matrix is for 2000 numbers at most: use solver=cg";
    return m->f.fisher_vector != NULL ? NULL : "the function must give products with its Fisher matrix: fisher_vector";
}

static void lay(tg_minimizer *m)
{
    tg_line_lay(m, false);
    tg_lay(m, DIRECTION, 1, m->n);
    tg_lay(m, WORK, 5, m->n + 8);
    if (dense(m))
        tg_lay(m, MATRIX, m->n, m->n);
}

static void begin(tg_minimizer *m) { m->run->step = 0; }

static bool solve(tg_minimizer *m)
{
    const size_t n = m->n, most = m->option[MAX_CG] > 0 ? (size_t)m->option[MAX_CG] : n > 500 ? 1000 : 2 * n;
    double *d = m->at[DIRECTION], *f = m->at[MATRIX];
    if (!dense(m))
        return tg_conjugate(m, d, true, m->option[DAMPING], m->option[RTOL], most, m->at[WORK]) != TG_SOLVED_FAILED;
    if (!tg_matrix(m, f, true, m->at[WORK]))
        return false;
    for (size_t i = 0; i < n; i++) {
        f[i * n + i] += m->option[DAMPING];
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
             .when_to_use = "likelihoods and least squares whose Fisher or Gauss-Newton products the caller has",
             .needs = TG_NEEDS_FISHER,
             .options = TG_MINIMIZER_TABLE(options)},
    .check = check,
    .lay = lay,
    .begin = begin,
    .iterate = iterate,
};
