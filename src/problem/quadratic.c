/* problem/quadratic.c -- quadratics with a given spectrum, along the axes or turned.
 *
 *   f = x^T Q x / 2 - b^T x,    Q = V diag(e) V^T,    b = (b, ..., b)        minimum at V diag(1/e) V^T b
 *
 * V is the identity, or with `rotate` an orthogonal matrix, uniform over all of them: normal numbers orthonormalised
 * row by row (Gram & Schmidt, each row twice). The defaults are Q = diag(1, 2, ..., 10), b = 1. */
#include "base/fail.h"
#include "base/memory.h"
#include "base/random.h"
#include "problem/problem.h"

enum { N, SPECTRUM, CONDITION, B, ROTATE, SEED };
enum { LINEAR, GEOMETRIC, OUTLIER };
#define MOST_ROTATED 500
#define MATRICES 0x6d617472u

static const tg_option options[] = {
    [N] = TG_OPTION_VARIABLES(10, 2, 1e6),
    [SPECTRUM] = {.name = "spectrum",
                  .kind = TG_CHOICE,
                  .value = LINEAR,
                  .choices = "linear|geometric|outlier",
                  .help =
                      "eigenvalues from 1 to the condition: evenly, evenly in their logarithm, or all 1 but the last"},
    [CONDITION] = {.name = "condition",
                   .kind = TG_REAL,
                   .value = 10,
                   .least = 1,
                   .most = 1e12,
                   .help = "the largest eigenvalue; the least is 1"},
    [B] = {.name = "b", .kind = TG_REAL, .value = 1, .least = -1e6, .most = 1e6, .help = "every value of b"},
    [ROTATE] = {.name = "rotate", .kind = TG_SWITCH, .value = 0, .help = "turn it, up to n = 500"},
    [SEED] = TG_OPTION_SEED,
};

static double eigenvalue(const tg_problem *p, size_t i)
{
    const double condition = p->option[CONDITION], share = (double)i / (double)(p->n - 1);
    if (p->option[SPECTRUM] == GEOMETRIC)
        return pow(condition, share);
    if (p->option[SPECTRUM] == OUTLIER)
        return i + 1 == p->n ? condition : 1;
    return 1 + (condition - 1) * share;
}

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Rows of V^T: (n, n). */
static void make_rotation(double *rows, size_t n, uint64_t seed)
{
    for (size_t r = 0; r < n; r++) {
        double *row = rows + r * n;
        const tg_key key = tg_key_make(seed, MATRICES, r, 0);
        for (size_t i = 0; i < n; i++)
            row[i] = (double)tg_random_normal(key, (uint32_t)i);
        for (size_t pass = 0; pass < 2; pass++)
            for (size_t other = 0; other < r; other++) {
                const double along = dot(row, rows + other * n, n);
                for (size_t i = 0; i < n; i++)
                    row[i] -= along * rows[other * n + i];
            }
        const double length = sqrt(dot(row, row, n));
        for (size_t i = 0; i < n; i++)
            row[i] /= length;
    }
}

static tg_status prepare(tg_problem *p)
{
    const size_t n = p->n;
    const bool rotate = p->option[ROTATE] != 0;
    if (rotate && n > MOST_ROTATED)
        return tg_fail(TG_EINVAL, "rotate needs n <= %d, not %zu", MOST_ROTATED, n);
    p->minimum = tg_heap_alloc(n, sizeof *p->minimum);
    p->data = rotate ? tg_heap_alloc(n * n, sizeof *p->data) : NULL;
    if (p->minimum == NULL || (rotate && p->data == NULL))
        return tg_no_memory("a quadratic", n * sizeof *p->minimum * (rotate ? n : 1));
    if (rotate)
        make_rotation(p->data, n, (uint64_t)p->option[SEED]);
    for (size_t r = 0; r < n; r++) {
        double of_b = p->option[B]; /* row r of V^T b */
        if (!rotate) {
            p->minimum[r] = of_b / eigenvalue(p, r);
            continue;
        }
        of_b = 0;
        for (size_t i = 0; i < n; i++)
            of_b += p->data[r * n + i] * p->option[B];
        for (size_t i = 0; i < n; i++)
            p->minimum[i] += p->data[r * n + i] * of_b / eigenvalue(p, r);
    }
    p->least = 0;
    for (size_t i = 0; i < n; i++)
        p->least -= p->option[B] * p->minimum[i] / 2;
    return TG_OK;
}

static double evaluate(const tg_problem *p, const double *x, double *g)
{
    const size_t n = p->n;
    double sum = 0;
    for (size_t i = 0; i < n && g != NULL; i++)
        g[i] = -p->option[B];
    for (size_t r = 0; r < n; r++) {
        const double *row = p->data != NULL ? p->data + r * n : NULL;
        const double along = row != NULL ? dot(row, x, n) : x[r], push = eigenvalue(p, r) * along;
        sum += push * along / 2 - p->option[B] * x[r];
        if (g == NULL)
            continue;
        if (row == NULL)
            g[r] += push;
        for (size_t i = 0; i < n && row != NULL; i++)
            g[i] += push * row[i];
    }
    return sum;
}

const tg_problem_kind tg_problem_kind_quadratic = {
    .info = {.name = "quadratic",
             .title = "a quadratic with a given spectrum, along the axes or turned",
             .source = "the textbooks'",
             .equations = "f = x^T Q x / 2 - b^T x,  Q = V diag(e) V^T;  minimum at V diag(1/e) V^T b",
             .options = TG_PROBLEM_TABLE(options)},
    .period = 1,
    .low = {-2},
    .high = {2},
    .prepare = prepare,
    .evaluate = evaluate,
};
