/* minimize_run.c -- runs minimizers on the problems of tests/unit/mgh.h, and a few others, for tests/oracle/minimizers.py.
 *
 *   minimize_run problems                         a line "NAME N MINIMUM... : START..." each
 *   minimize_run evaluate PROBLEM                 lines of x on standard input, of "f g..." on standard output
 *   minimize_run METHOD PROBLEM [OPTION=VALUE]... a line "ITERATION EVALUATIONS f x..." after every iteration, and one of how it
 *                                                 ended: "end STOP EVALUATIONS f |g|" */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/mgh.h"
#include "tiger/minimize.h"

/* Further functions, as sums of squares too. */
static void sphere(size_t n, size_t m, double *r, double *j, const double *x)
{
    for (size_t i = 0; i < m; i++)
        r[i] = x[i], j[i * n + i] = 1;
}

static void ellipsoid(size_t n, size_t m, double *r, double *j, const double *x)
{
    for (size_t i = 0; i < m; i++) {
        j[i * n + i] = pow(1e3, (double)i / (double)(n - 1));
        r[i] = j[i * n + i] * x[i];
    }
}

static void chained_rosenbrock(size_t n, size_t m, double *r, double *j, const double *x)
{
    for (size_t i = 0; i < m / 2; i++) {
        r[2 * i] = 10 * (x[i + 1] - x[i] * x[i]), r[2 * i + 1] = 1 - x[i];
        j[2 * i * n + i] = -20 * x[i], j[2 * i * n + i + 1] = 10, j[(2 * i + 1) * n + i] = -1;
    }
}

static void rastrigin(size_t n, size_t m, double *r, double *j, const double *x)
{
    const double tau = 2 * 3.14159265358979323846;
    for (size_t i = 0; i < m; i++) {
        r[i] = sqrt(x[i] * x[i] + 10 - 10 * cos(tau * x[i]));
        j[i * n + i] = r[i] == 0 ? 0 : (x[i] + 5 * tau * sin(tau * x[i])) / r[i];
    }
}

static const mgh further[] = {
    {"sphere", 10, 10, sphere, {.7, .7, .7, .7}, NULL, {0, NAN}},
    {"ellipsoid", 10, 10, ellipsoid, {.7, .7, .7, .7}, NULL, {0, NAN}},
    {"chained_rosenbrock", 10, 18, chained_rosenbrock, {.1, .1, .1, .1}, NULL, {0, 3.986, NAN}},
    {"rastrigin", 5, 5, rastrigin, {3.3, 3.3, 3.3, 3.3}, NULL, {0, NAN}},
};

static mgh find(const char *name)
{
    for (size_t i = 0; i < MGH_COUNT; i++)
        if (strcmp(mgh_all[i].name, name) == 0)
            return mgh_all[i];
    for (size_t i = 0; i < sizeof further / sizeof *further; i++)
        if (strcmp(further[i].name, name) == 0)
            return further[i];
    return (mgh){.name = NULL};
}

static void print(size_t n, const double *v)
{
    for (size_t i = 0; i < n; i++)
        printf(" %.17g", v[i]);
    putchar('\n');
}

static int list(void)
{
    for (size_t i = 0; i < MGH_COUNT; i++) {
        double x[MGH_N];
        printf("%s %zu", mgh_all[i].name, mgh_all[i].n);
        for (const double *v = mgh_all[i].minima; !isnan(*v); v++)
            printf(" %.12g", *v);
        printf(" :");
        mgh_start(&mgh_all[i], x);
        print(mgh_all[i].n, x);
    }
    return 0;
}

static int evaluate(mgh *p)
{
    double x[MGH_N], g[MGH_N], f;
    for (size_t i = 0; scanf("%lf", &x[i]) == 1;) {
        i = (i + 1) % p->n;
        if (i != 0)
            continue;
        mgh_evaluate(p, &f, g, x);
        printf("%.17g", f);
        print(p->n, g);
        fflush(stdout);
    }
    return 0;
}

static int monitor(void *ctx, const tg_minimum *now)
{
    printf("%zu %zu %.17g", (size_t)now->iterations, (size_t)now->evaluations, now->value);
    print(((mgh *)ctx)->n, now->x);
    return 0;
}

int main(int argc, char **argv)
{
    double x[MGH_N];
    tg_setting settings[32] = {{NULL, NULL}};
    tg_minimum found;
    if (argc == 2 && strcmp(argv[1], "problems") == 0)
        return list();
    mgh p = find(argc > 2 ? argv[2] : "");
    if (p.name == NULL || argc > 30)
        return fprintf(stderr, "minimize_run: see its first lines\n"), 2;
    if (strcmp(argv[1], "evaluate") == 0)
        return evaluate(&p);
    for (int i = 3; i < argc; i++) {
        char *sign = strchr(argv[i], '=');
        if (sign == NULL)
            return fprintf(stderr, "minimize_run: OPTION=VALUE, not %s\n", argv[i]), 2;
        *sign = '\0';
        settings[i - 3] = (tg_setting){argv[i], sign + 1};
    }
    const tg_objective f = {.n = p.n, .ctx = &p, .evaluate = mgh_evaluate, .monitor = monitor};
    mgh_start(&p, x);
    if (tg_minimize(&found, x, argv[1], &f, settings) != TG_OK)
        return fprintf(stderr, "minimize_run: %s\n", tg_message()), 1;
    printf("end %s %zu %.17g %.17g\n", tg_stop_name(found.stop), (size_t)found.evaluations, found.value, found.gradient_norm);
    return 0;
}
