/* mgh.h -- problems of More, Garbow & Hillstrom 1981 (ACM TOMS 7(1), 17-41), by their numbers there: f is the sum
 * of squares of m residuals. Each function writes residuals and, into a zeroed (m, n), their derivatives. */
#ifndef TG_TESTS_MGH_H
#define TG_TESTS_MGH_H

#include <math.h>
#include <stddef.h>
#include <string.h>

enum { MGH_N = 20, MGH_M = 99 };

#define J(i, k) j[(i) * n + (k)]

typedef struct mgh {
    const char *name;
    size_t n, m;
    void (*residuals)(size_t n, size_t m, double *r, double *j, const double *x);
    double start[4];   /* repeated when n is larger; problems with a start of their own have `begin` */
    void (*begin)(size_t n, double *x);
    double minima[3];  /* known values of local minima, NaN behind the last */
} mgh;

static void mgh_rosenbrock(size_t n, size_t m, double *r, double *j, const double *x) /* 1, 21 */
{
    for (size_t i = 0; i < m; i += 2) {
        r[i] = 10 * (x[i + 1] - x[i] * x[i]);
        r[i + 1] = 1 - x[i];
        J(i, i) = -20 * x[i], J(i, i + 1) = 10, J(i + 1, i) = -1;
    }
}

static void mgh_freudenstein_roth(size_t n, size_t m, double *r, double *j, const double *x) /* 2 */
{
    (void)m;
    const double y = x[1];
    r[0] = -13 + x[0] + ((5 - y) * y - 2) * y;
    r[1] = -29 + x[0] + ((y + 1) * y - 14) * y;
    J(0, 0) = J(1, 0) = 1, J(0, 1) = 10 * y - 3 * y * y - 2, J(1, 1) = 3 * y * y + 2 * y - 14;
}

static void mgh_powell_badly_scaled(size_t n, size_t m, double *r, double *j, const double *x) /* 3 */
{
    (void)m;
    r[0] = 1e4 * x[0] * x[1] - 1;
    r[1] = exp(-x[0]) + exp(-x[1]) - 1.0001;
    J(0, 0) = 1e4 * x[1], J(0, 1) = 1e4 * x[0], J(1, 0) = -exp(-x[0]), J(1, 1) = -exp(-x[1]);
}

static void mgh_brown_badly_scaled(size_t n, size_t m, double *r, double *j, const double *x) /* 4 */
{
    (void)m;
    r[0] = x[0] - 1e6, r[1] = x[1] - 2e-6, r[2] = x[0] * x[1] - 2;
    J(0, 0) = 1, J(1, 1) = 1, J(2, 0) = x[1], J(2, 1) = x[0];
}

static void mgh_beale(size_t n, size_t m, double *r, double *j, const double *x) /* 5 */
{
    static const double y[] = {1.5, 2.25, 2.625};
    for (size_t i = 0; i < m; i++) {
        const double power = (double)(i + 1);
        r[i] = y[i] - x[0] * (1 - pow(x[1], power));
        J(i, 0) = -(1 - pow(x[1], power)), J(i, 1) = x[0] * power * pow(x[1], power - 1);
    }
}

static void mgh_jennrich_sampson(size_t n, size_t m, double *r, double *j, const double *x) /* 6 */
{
    for (size_t i = 0; i < m; i++) {
        const double t = (double)(i + 1);
        r[i] = 2 + 2 * t - (exp(t * x[0]) + exp(t * x[1]));
        J(i, 0) = -t * exp(t * x[0]), J(i, 1) = -t * exp(t * x[1]);
    }
}

static void mgh_helical_valley(size_t n, size_t m, double *r, double *j, const double *x) /* 7 */
{
    (void)m;
    const double pi = 3.14159265358979323846, square = x[0] * x[0] + x[1] * x[1], root = sqrt(square);
    const double theta = atan(x[1] / x[0]) / (2 * pi) + (x[0] < 0 ? 0.5 : 0);
    r[0] = 10 * (x[2] - 10 * theta), r[1] = 10 * (root - 1), r[2] = x[2];
    J(0, 0) = 100 * x[1] / (2 * pi * square), J(0, 1) = -100 * x[0] / (2 * pi * square), J(0, 2) = 10;
    J(1, 0) = 10 * x[0] / root, J(1, 1) = 10 * x[1] / root, J(2, 2) = 1;
}

static void mgh_bard(size_t n, size_t m, double *r, double *j, const double *x) /* 8 */
{
    static const double y[] = {.14, .18, .22, .25, .29, .32, .35, .39, .37, .58, .73, .96, 1.34, 2.10, 4.39};
    for (size_t i = 0; i < m; i++) {
        const double u = (double)(i + 1), v = 16 - u, w = fmin(u, v), q = v * x[1] + w * x[2];
        r[i] = y[i] - (x[0] + u / q);
        J(i, 0) = -1, J(i, 1) = u * v / (q * q), J(i, 2) = u * w / (q * q);
    }
}

static void mgh_gaussian(size_t n, size_t m, double *r, double *j, const double *x) /* 9 */
{
    static const double y[] = {.0009, .0044, .0175, .0540, .1295, .2420, .3521, .3989};
    for (size_t i = 0; i < m; i++) {
        const double t = (7 - (double)i) / 2, u = t - x[2], e = exp(-x[1] * u * u / 2);
        r[i] = x[0] * e - y[i < 8 ? i : 14 - i];
        J(i, 0) = e, J(i, 1) = -x[0] * e * u * u / 2, J(i, 2) = x[0] * e * x[1] * u;
    }
}

static void mgh_gulf(size_t n, size_t m, double *r, double *j, const double *x) /* 11 */
{
    for (size_t i = 0; i < m; i++) {
        const double t = (double)(i + 1) / 100, y = 25 + pow(-50 * log(t), 2.0 / 3), u = fabs(y - x[1]);
        const double p = pow(u, x[2]), e = exp(-p / x[0]);
        r[i] = e - t;
        J(i, 0) = e * p / (x[0] * x[0]);
        J(i, 1) = e * x[2] * p / (x[0] * u) * (y > x[1] ? 1 : -1);
        J(i, 2) = -e * p * log(u) / x[0];
    }
}

static void mgh_box(size_t n, size_t m, double *r, double *j, const double *x) /* 12 */
{
    for (size_t i = 0; i < m; i++) {
        const double t = 0.1 * (double)(i + 1), d = exp(-t) - exp(-10 * t);
        r[i] = exp(-t * x[0]) - exp(-t * x[1]) - x[2] * d;
        J(i, 0) = -t * exp(-t * x[0]), J(i, 1) = t * exp(-t * x[1]), J(i, 2) = -d;
    }
}

static void mgh_powell_singular(size_t n, size_t m, double *r, double *j, const double *x) /* 13, 22 */
{
    for (size_t i = 0; i < m; i += 4) {
        const double b = x[i + 1] - 2 * x[i + 2], c = x[i] - x[i + 3];
        r[i] = x[i] + 10 * x[i + 1], r[i + 1] = sqrt(5) * (x[i + 2] - x[i + 3]), r[i + 2] = b * b;
        r[i + 3] = sqrt(10) * c * c;
        J(i, i) = 1, J(i, i + 1) = 10, J(i + 1, i + 2) = sqrt(5), J(i + 1, i + 3) = -sqrt(5);
        J(i + 2, i + 1) = 2 * b, J(i + 2, i + 2) = -4 * b;
        J(i + 3, i) = 2 * sqrt(10) * c, J(i + 3, i + 3) = -2 * sqrt(10) * c;
    }
}

static void mgh_wood(size_t n, size_t m, double *r, double *j, const double *x) /* 14 */
{
    (void)m;
    r[0] = 10 * (x[1] - x[0] * x[0]), r[1] = 1 - x[0], r[2] = sqrt(90) * (x[3] - x[2] * x[2]), r[3] = 1 - x[2];
    r[4] = sqrt(10) * (x[1] + x[3] - 2), r[5] = (x[1] - x[3]) / sqrt(10);
    J(0, 0) = -20 * x[0], J(0, 1) = 10, J(1, 0) = -1, J(2, 2) = -2 * sqrt(90) * x[2], J(2, 3) = sqrt(90), J(3, 2) = -1;
    J(4, 1) = J(4, 3) = sqrt(10), J(5, 1) = 1 / sqrt(10), J(5, 3) = -1 / sqrt(10);
}

static void mgh_kowalik_osborne(size_t n, size_t m, double *r, double *j, const double *x) /* 15 */
{
    static const double y[] = {.1957, .1947, .1735, .1600, .0844, .0627, .0456, .0342, .0323, .0235, .0246};
    static const double at[] = {4, 2, 1, .5, .25, .167, .125, .1, .0833, .0714, .0625};
    for (size_t i = 0; i < m; i++) {
        const double u = at[i], p = u * u + u * x[1], q = u * u + u * x[2] + x[3];
        r[i] = y[i] - x[0] * p / q;
        J(i, 0) = -p / q, J(i, 1) = -x[0] * u / q, J(i, 2) = x[0] * p * u / (q * q), J(i, 3) = x[0] * p / (q * q);
    }
}

static void mgh_brown_dennis(size_t n, size_t m, double *r, double *j, const double *x) /* 16 */
{
    for (size_t i = 0; i < m; i++) {
        const double t = (double)(i + 1) / 5, a = x[0] + t * x[1] - exp(t), b = x[2] + x[3] * sin(t) - cos(t);
        r[i] = a * a + b * b;
        J(i, 0) = 2 * a, J(i, 1) = 2 * a * t, J(i, 2) = 2 * b, J(i, 3) = 2 * b * sin(t);
    }
}

static void mgh_osborne1(size_t n, size_t m, double *r, double *j, const double *x) /* 17 */
{
    static const double y[] = {.844, .908, .932, .936, .925, .908, .881, .850, .818, .784, .751, .718, .685, .658, .628,
                               .603, .580, .558, .538, .522, .506, .490, .478, .467, .457, .448, .438, .431, .424, .420,
                               .414, .411, .406};
    for (size_t i = 0; i < m; i++) {
        const double t = 10 * (double)i, e = exp(-t * x[3]), f = exp(-t * x[4]);
        r[i] = y[i] - (x[0] + x[1] * e + x[2] * f);
        J(i, 0) = -1, J(i, 1) = -e, J(i, 2) = -f, J(i, 3) = x[1] * t * e, J(i, 4) = x[2] * t * f;
    }
}

static void mgh_osborne1_begin(size_t n, double *x)
{
    static const double start[] = {.5, 1.5, -1, .01, .02};
    memcpy(x, start, n * sizeof *x);
}

static void mgh_biggs(size_t n, size_t m, double *r, double *j, const double *x) /* 18 */
{
    for (size_t i = 0; i < m; i++) {
        const double t = 0.1 * (double)(i + 1), a = exp(-t * x[0]), b = exp(-t * x[1]), c = exp(-t * x[4]);
        r[i] = x[2] * a - x[3] * b + x[5] * c - (exp(-t) - 5 * exp(-10 * t) + 3 * exp(-4 * t));
        J(i, 0) = -t * x[2] * a, J(i, 1) = t * x[3] * b, J(i, 2) = a, J(i, 3) = -b;
        J(i, 4) = -t * x[5] * c, J(i, 5) = c;
    }
}

static void mgh_biggs_begin(size_t n, double *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = i == 1 ? 2 : 1;
}

static void mgh_watson(size_t n, size_t m, double *r, double *j, const double *x) /* 20 */
{
    for (size_t i = 0; i < 29; i++) {
        const double t = (double)(i + 1) / 29;
        double slope = 0, sum = 0;
        for (size_t k = 0; k < n; k++) {
            slope += k == 0 ? 0 : (double)k * x[k] * pow(t, (double)k - 1);
            sum += x[k] * pow(t, (double)k);
        }
        r[i] = slope - sum * sum - 1;
        for (size_t k = 0; k < n; k++)
            J(i, k) = (k == 0 ? 0 : (double)k * pow(t, (double)k - 1)) - 2 * sum * pow(t, (double)k);
    }
    r[m - 2] = x[0], r[m - 1] = x[1] - x[0] * x[0] - 1;
    J(m - 2, 0) = 1, J(m - 1, 0) = -2 * x[0], J(m - 1, 1) = 1;
}

static void mgh_penalty1(size_t n, size_t m, double *r, double *j, const double *x) /* 23 */
{
    double sum = -0.25;
    for (size_t i = 0; i < n; i++) {
        r[i] = sqrt(1e-5) * (x[i] - 1);
        J(i, i) = sqrt(1e-5), J(m - 1, i) = 2 * x[i];
        sum += x[i] * x[i];
    }
    r[m - 1] = sum;
}

static void mgh_count_begin(size_t n, double *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (double)(i + 1);
}

static void mgh_variably_dimensioned(size_t n, size_t m, double *r, double *j, const double *x) /* 25 */
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)(i + 1) * (x[i] - 1);
    for (size_t i = 0; i < n; i++) {
        r[i] = x[i] - 1;
        J(i, i) = 1, J(m - 2, i) = (double)(i + 1), J(m - 1, i) = 2 * sum * (double)(i + 1);
    }
    r[m - 2] = sum, r[m - 1] = sum * sum;
}

static void mgh_variably_begin(size_t n, double *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = 1 - (double)(i + 1) / (double)n;
}

static void mgh_trigonometric(size_t n, size_t m, double *r, double *j, const double *x) /* 26 */
{
    double sum = (double)n;
    for (size_t i = 0; i < n; i++)
        sum -= cos(x[i]);
    for (size_t i = 0; i < m; i++) {
        r[i] = sum + (double)(i + 1) * (1 - cos(x[i])) - sin(x[i]);
        for (size_t k = 0; k < n; k++)
            J(i, k) = sin(x[k]);
        J(i, i) += (double)(i + 1) * sin(x[i]) - cos(x[i]);
    }
}

static void mgh_tenth_begin(size_t n, double *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = 1 / (double)n;
}

static void mgh_brown_almost_linear(size_t n, size_t m, double *r, double *j, const double *x) /* 27 */
{
    double sum = 0, product = 1;
    for (size_t i = 0; i < n; i++)
        sum += x[i], product *= x[i];
    for (size_t i = 0; i + 1 < m; i++) {
        r[i] = x[i] + sum - (double)(n + 1);
        for (size_t k = 0; k < n; k++)
            J(i, k) = k == i ? 2 : 1;
    }
    r[m - 1] = product - 1;
    for (size_t k = 0; k < n; k++) {
        double others = 1;
        for (size_t i = 0; i < n; i++)
            others *= i == k ? 1 : x[i];
        J(m - 1, k) = others;
    }
}

static void mgh_boundary_value(size_t n, size_t m, double *r, double *j, const double *x) /* 28 */
{
    const double h = 1 / (double)(n + 1);
    for (size_t i = 0; i < m; i++) {
        const double u = x[i] + (double)(i + 1) * h + 1;
        r[i] = 2 * x[i] - (i == 0 ? 0 : x[i - 1]) - (i + 1 == n ? 0 : x[i + 1]) + h * h * u * u * u / 2;
        J(i, i) = 2 + 1.5 * h * h * u * u;
        if (i > 0)
            J(i, i - 1) = -1;
        if (i + 1 < n)
            J(i, i + 1) = -1;
    }
}

static void mgh_boundary_begin(size_t n, double *x)
{
    for (size_t i = 0; i < n; i++) {
        const double t = (double)(i + 1) / (double)(n + 1);
        x[i] = t * (t - 1);
    }
}

static void mgh_integral_equation(size_t n, size_t m, double *r, double *j, const double *x) /* 29 */
{
    const double h = 1 / (double)(n + 1);
    for (size_t i = 0; i < m; i++) {
        const double t = (double)(i + 1) * h;
        r[i] = x[i];
        for (size_t k = 0; k < n; k++) {
            const double s = (double)(k + 1) * h, u = x[k] + s + 1, w = h / 2 * (k <= i ? (1 - t) * s : t * (1 - s));
            r[i] += w * u * u * u;
            J(i, k) = 3 * w * u * u + (k == i);
        }
    }
}

static void mgh_broyden_tridiagonal(size_t n, size_t m, double *r, double *j, const double *x) /* 30 */
{
    for (size_t i = 0; i < m; i++) {
        r[i] = (3 - 2 * x[i]) * x[i] - (i == 0 ? 0 : x[i - 1]) - (i + 1 == n ? 0 : 2 * x[i + 1]) + 1;
        J(i, i) = 3 - 4 * x[i];
        if (i > 0)
            J(i, i - 1) = -1;
        if (i + 1 < n)
            J(i, i + 1) = -2;
    }
}

static void mgh_broyden_banded(size_t n, size_t m, double *r, double *j, const double *x) /* 31 */
{
    for (size_t i = 0; i < m; i++) {
        r[i] = x[i] * (2 + 5 * x[i] * x[i]) + 1;
        J(i, i) = 2 + 15 * x[i] * x[i];
        for (size_t k = i < 5 ? 0 : i - 5; k < n && k <= i + 1; k++)
            if (k != i) {
                r[i] -= x[k] * (1 + x[k]);
                J(i, k) = -1 - 2 * x[k];
            }
    }
}

static void mgh_linear(size_t n, size_t m, double *r, double *j, const double *x) /* 32 */
{
    double sum = 0;
    for (size_t k = 0; k < n; k++)
        sum += x[k];
    for (size_t i = 0; i < m; i++) {
        r[i] = (i < n ? x[i] : 0) - 2 / (double)m * sum - 1;
        for (size_t k = 0; k < n; k++)
            J(i, k) = (k == i) - 2 / (double)m;
    }
}

static void mgh_chebyquad(size_t n, size_t m, double *r, double *j, const double *x) /* 35 */
{
    memset(r, 0, m * sizeof *r);
    for (size_t k = 0; k < n; k++) {
        const double u = 2 * x[k] - 1;
        double t0 = 1, t1 = u, d0 = 0, d1 = 2;
        for (size_t i = 0; i < m; i++) {
            r[i] += t1 / (double)n;
            J(i, k) = d1 / (double)n;
            const double t2 = 2 * u * t1 - t0, d2 = 4 * t1 + 2 * u * d1 - d0;
            t0 = t1, t1 = t2, d0 = d1, d1 = d2;
        }
    }
    for (size_t i = 1; i < m; i += 2) /* the integral of T_i over [0, 1], i even and counted from 1 */
        r[i] += 1 / ((double)(i + 1) * (double)(i + 1) - 1);
}

static void mgh_chebyquad_begin(size_t n, double *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (double)(i + 1) / (double)(n + 1);
}

static const mgh mgh_all[] = {
    {"rosenbrock", 2, 2, mgh_rosenbrock, {-1.2, 1}, NULL, {0, NAN}},
    {"freudenstein_roth", 2, 2, mgh_freudenstein_roth, {.5, -2}, NULL, {0, 48.9842536793, NAN}},
    {"powell_badly_scaled", 2, 2, mgh_powell_badly_scaled, {0, 1}, NULL, {0, NAN}},
    {"brown_badly_scaled", 2, 3, mgh_brown_badly_scaled, {1, 1}, NULL, {0, NAN}},
    {"beale", 2, 3, mgh_beale, {1, 1}, NULL, {0, NAN}},
    {"jennrich_sampson", 2, 10, mgh_jennrich_sampson, {.3, .4}, NULL, {124.362182356, NAN}},
    {"helical_valley", 3, 3, mgh_helical_valley, {-1, 0, 0}, NULL, {0, NAN}},
    {"bard", 3, 15, mgh_bard, {1, 1, 1}, NULL, {8.21487730657e-3, 17.4286, NAN}},
    {"gaussian", 3, 15, mgh_gaussian, {.4, 1, 0}, NULL, {1.12793276962e-8, NAN}},
    {"gulf", 3, 99, mgh_gulf, {5, 2.5, .15}, NULL, {0, .038, NAN}},
    {"box", 3, 10, mgh_box, {0, 10, 20}, NULL, {0, NAN}},
    {"powell_singular", 4, 4, mgh_powell_singular, {3, -1, 0, 1}, NULL, {0, NAN}},
    {"wood", 4, 6, mgh_wood, {-3, -1, -3, -1}, NULL, {0, NAN}},
    {"kowalik_osborne", 4, 11, mgh_kowalik_osborne, {.25, .39, .415, .39}, NULL, {3.07505603849e-4, 1.02734e-3, NAN}},
    {"brown_dennis", 4, 20, mgh_brown_dennis, {25, 5, -5, -1}, NULL, {85822.2016264, NAN}},
    {"osborne1", 5, 33, mgh_osborne1, {0}, mgh_osborne1_begin, {5.46489469749e-5, NAN}},
    {"biggs", 6, 13, mgh_biggs, {0}, mgh_biggs_begin, {0, 5.65564992504e-3, NAN}},
    {"watson", 6, 31, mgh_watson, {0, 0, 0, 0}, NULL, {2.28767005355e-3, NAN}},
    {"extended_rosenbrock", 20, 20, mgh_rosenbrock, {-1.2, 1, -1.2, 1}, NULL, {0, NAN}},
    {"extended_powell", 16, 16, mgh_powell_singular, {3, -1, 0, 1}, NULL, {0, NAN}},
    {"penalty1", 10, 11, mgh_penalty1, {0}, mgh_count_begin, {7.08765146709e-5, NAN}},
    {"variably_dimensioned", 10, 12, mgh_variably_dimensioned, {0}, mgh_variably_begin, {0, NAN}},
    {"trigonometric", 10, 10, mgh_trigonometric, {0}, mgh_tenth_begin, {0, 2.79506122969e-5, NAN}},
    {"brown_almost_linear", 10, 10, mgh_brown_almost_linear, {.5, .5, .5, .5}, NULL, {0, 1, NAN}},
    {"boundary_value", 10, 10, mgh_boundary_value, {0}, mgh_boundary_begin, {0, NAN}},
    {"integral_equation", 10, 10, mgh_integral_equation, {0}, mgh_boundary_begin, {0, NAN}},
    {"broyden_tridiagonal", 10, 10, mgh_broyden_tridiagonal, {-1, -1, -1, -1}, NULL, {0, NAN}},
    {"broyden_banded", 10, 10, mgh_broyden_banded, {-1, -1, -1, -1}, NULL, {0, NAN}},
    {"linear", 10, 20, mgh_linear, {1, 1, 1, 1}, NULL, {10, NAN}},
    {"chebyquad", 8, 8, mgh_chebyquad, {0}, mgh_chebyquad_begin, {3.51687372568e-3, NAN}},
};
enum { MGH_COUNT = sizeof mgh_all / sizeof *mgh_all };

static void mgh_start(const mgh *p, double *x)
{
    if (p->begin != NULL)
        p->begin(p->n, x);
    for (size_t i = 0; p->begin == NULL && i < p->n; i++)
        x[i] = p->start[i % 4];
}

/* A callback of tg_objective; ctx is the problem. */
static int mgh_evaluate(void *ctx, double *value, double *gradient, const double *x)
{
    const mgh *p = ctx;
    double r[MGH_M], j[MGH_M * MGH_N], sum = 0;
    memset(j, 0, p->n * p->m * sizeof *j);
    p->residuals(p->n, p->m, r, j, x);
    for (size_t i = 0; i < p->m; i++)
        sum += r[i] * r[i];
    *value = sum;
    for (size_t k = 0; gradient != NULL && k < p->n; k++) {
        gradient[k] = 0;
        for (size_t i = 0; i < p->m; i++)
            gradient[k] += 2 * r[i] * j[i * p->n + k];
    }
    return 0;
}

#undef J

#endif
