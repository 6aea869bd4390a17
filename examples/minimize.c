/* minimize.c -- libtiger fits an amplitude, a decay and a period to a damped swing that was measured with noise: from a start
 * far off genetic finds the right valley, in values alone, and lbfgs its lowest point. Run as `minimize`. */
#include <math.h>
#include <stdio.h>

#include "tiger/minimize.h"

enum { SAMPLES = 120, NUMBERS = 4 };
enum { AMPLITUDE, DECAY, FREQUENCY, PHASE };

typedef struct data { double t[SAMPLES], y[SAMPLES]; } data;

/* y(t) = amplitude exp(-decay t) sin(frequency t + phase); the mean square of what is left, and its gradient. */
static int misfit(void *ctx, double *value, double *gradient, const double *x)
{
    const data *d = ctx;
    double sum = 0, g[NUMBERS] = {0};
    for (int i = 0; i < SAMPLES; i++) {
        const double fall = exp(-x[DECAY] * d->t[i]), angle = x[FREQUENCY] * d->t[i] + x[PHASE];
        const double wave = fall * sin(angle), slope = x[AMPLITUDE] * fall * cos(angle);
        const double left = x[AMPLITUDE] * wave - d->y[i];
        sum += left * left / SAMPLES;
        g[AMPLITUDE] += 2 * left * wave / SAMPLES;
        g[DECAY] += -2 * left * x[AMPLITUDE] * wave * d->t[i] / SAMPLES;
        g[FREQUENCY] += 2 * left * slope * d->t[i] / SAMPLES;
        g[PHASE] += 2 * left * slope / SAMPLES;
    }
    *value = sum;
    for (int k = 0; gradient != NULL && k < NUMBERS; k++)
        gradient[k] = g[k];
    return 0;
}

int main(void)
{
    static data d;
    for (int i = 0; i < SAMPLES; i++) { /* the truth: 2.4, 0.31, 3.7, 0.6; the noise is a fixed one */
        d.t[i] = 0.07 * i;
        d.y[i] = 2.4 * exp(-0.31 * d.t[i]) * sin(3.7 * d.t[i] + 0.6) + 0.1 * sin(97.3 * i * i);
    }
    const double lower[NUMBERS] = {0, 0, 0.1, -3.2}, upper[NUMBERS] = {10, 2, 12, 3.2};
    const tg_objective f = {.n = NUMBERS, .ctx = &d, .evaluate = misfit, .parallel = true, .lower = lower, .upper = upper};
    const tg_setting coarse[] = {{"max_eval", "2400"}, {"seed", "7"}, {NULL, NULL}};
    double x[NUMBERS] = {1, 0.1, 9, 0};
    tg_minimum rough, fine;
    if (tg_minimize(&rough, x, "genetic", &f, coarse) != TG_OK || tg_minimize(&fine, x, "lbfgs", &f, NULL) != TG_OK)
        return fprintf(stderr, "minimize: %s\n", tg_message()), 1;
    printf("genetic: misfit %.6f after %d evaluations\n", rough.value, (int)rough.evaluations);
    printf("lbfgs:   misfit %.6f after %d more: %s\n", fine.value, (int)fine.evaluations, tg_stop_text(fine.stop));
    printf("amplitude %.3f, decay %.3f, frequency %.3f, phase %.3f\n", x[AMPLITUDE], x[DECAY], x[FREQUENCY], x[PHASE]);
    return tg_stop_converged(fine.stop) && fabs(x[FREQUENCY] - 3.7) < 0.02 && fabs(x[AMPLITUDE] - 2.4) < 0.1 ? 0 : 1;
}
