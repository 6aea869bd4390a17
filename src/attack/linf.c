/* linf.c -- no pixel by more than eps: max_i |x_i - clean_i| <= eps (Goodfellow, Shlens & Szegedy 2015,
 * arXiv:1412.6572).
 *
 *   step: x_i += length sign(g_i)        project: x_i <- min(max(x_i, clean_i - eps), clean_i + eps) */
#include "attack/ball.h"

static void start(float *restrict x, size_t n, double eps, tg_key key)
{
    for (size_t i = 0; i < n; i++)
        x[i] += (float)eps * (2.0f * tg_random_uniform(key, (uint32_t)i) - 1.0f);
}

static void step(float *restrict x, const float *restrict g, size_t n, double length)
{
    for (size_t i = 0; i < n; i++)
        x[i] += (float)length * (float)((g[i] > 0.0f) - (g[i] < 0.0f));
}

static void project(float *restrict x, const float *restrict clean, size_t n, double eps)
{
    for (size_t i = 0; i < n; i++)
        x[i] = fminf(fmaxf(x[i], clean[i] - (float)eps), clean[i] + (float)eps);
}

const tg_ball tg_ball_linf = {.name = "linf", .start = start, .step = step, .project = project};
