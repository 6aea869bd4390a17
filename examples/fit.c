/* fit.c -- libtiger alone fits a small network: two interleaved half-moons told apart. Run as `fit [OPTIMIZER]`.
 *
 *   h = tanh(W1 x + b1)     p = sigmoid(w2 h + b2)     loss = mean cross-entropy */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tiger/optim.h"

enum { SAMPLES = 400, HIDDEN = 24, UPDATES = 600 };

/* The network's tensors; their gradients have the same shape. */
typedef struct net { float w1[HIDDEN][2], b1[HIDDEN], w2[HIDDEN], b2; } net;

/* The mean loss, and its gradient in *d, over points on two arcs with a little scatter: no chance, no file. */
static double loss_and_gradient(const net *n, net *d)
{
    double loss = 0;
    memset(d, 0, sizeof *d);
    for (int i = 0; i < SAMPLES; i++) {
        const int moon = i % 2;
        const double arc = 3.14159265 * (i / 2) / (SAMPLES / 2 - 1);
        const float x = (float)(moon ? 1 - cos(arc) : cos(arc)) + 0.12f * (float)sin(7.3 * i);
        const float y = (float)(moon ? 0.5 - sin(arc) : sin(arc)) + 0.12f * (float)cos(11.7 * i);
        float h[HIDDEN], z = n->b2;
        for (int j = 0; j < HIDDEN; j++)
            z += n->w2[j] * (h[j] = tanhf(n->w1[j][0] * x + n->w1[j][1] * y + n->b1[j]));
        const float p = 1 / (1 + expf(-z)), dz = (p - (float)moon) / SAMPLES;
        loss -= log(moon ? p : 1 - p) / SAMPLES;
        for (int j = 0; j < HIDDEN; j++) {
            const float da = dz * n->w2[j] * (1 - h[j] * h[j]);
            d->w1[j][0] += da * x;
            d->w1[j][1] += da * y;
            d->b1[j] += da;
            d->w2[j] += dz * h[j];
        }
        d->b2 += dz;
    }
    return loss;
}

int main(int argc, char **argv)
{
    net n = {.b2 = 0}, d;
    for (int j = 0; j < HIDDEN; j++) { /* irregular starting weights */
        n.w1[j][0] = (float)sin(3.7 * j + 1);
        n.w1[j][1] = (float)cos(5.1 * j + 2);
        n.w2[j] = 0.3f * (float)sin(2.3 * j + 3);
    }
    /* The role of a tensor decides how rules like Tiger step it. */
    const tg_param w1 = {.name = "w1", .data = n.w1, .format = TG_F32, .rows = HIDDEN, .cols = 2, .role = TG_MATRIX};
    const tg_param b1 = {.name = "b1", .data = n.b1, .format = TG_F32, .rows = 1, .cols = HIDDEN, .role = TG_BIAS};
    const tg_param w2 = {.name = "w2", .data = n.w2, .format = TG_F32, .rows = 1, .cols = HIDDEN, .role = TG_MATRIX};
    const tg_param b2 = {.name = "b2", .data = &n.b2, .format = TG_F32, .rows = 1, .cols = 1, .role = TG_BIAS};
    const tg_grad grads[] = {{d.w1, TG_F32, 1}, {d.b1, TG_F32, 1}, {d.w2, TG_F32, 1}, {&d.b2, TG_F32, 1}}; /* in order */
    const double before = loss_and_gradient(&n, &d);

    tg_optim *optim = NULL; /* calls give TG_OK, which is 0, or the kind of failure; tg_message() has the line to show */
    int failed = tg_optim_create(&optim, argc > 1 ? argv[1] : "tiger", NULL) ||
                 tg_optim_set(optim, TG_ALL_GROUPS, "lr", "1e-2") || tg_optim_add(optim, &w1, NULL) ||
                 tg_optim_add(optim, &b1, NULL) || tg_optim_add(optim, &w2, NULL) || tg_optim_add(optim, &b2, NULL) ||
                 tg_optim_start(optim); /* the states are allocated here, and nothing later */
    for (int u = 0; u < UPDATES && !failed; u++) {
        loss_and_gradient(&n, &d);
        failed = tg_optim_step(optim, grads) != TG_OK;
    }
    tg_optim_destroy(optim);
    if (failed)
        return fprintf(stderr, "fit: %s\n", tg_message()), 1;
    const double after = loss_and_gradient(&n, &d);
    printf("libtiger %s: loss %.4f before, %.4f after %d updates\n", tg_version(), before, after, UPDATES);
    return after < 0.1 * before ? 0 : 1;
}
