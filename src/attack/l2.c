/* l2.c -- the whole image by no more than eps: |x - clean| <= eps, the Euclidean norm (Madry et al. 2018,
 * arXiv:1706.06083).
 *
 *   step: x += length g / |g|        project: x <- clean + (x - clean) min(1, eps / |x - clean|)
 *
 * A place drawn evenly from the ball has a normal direction and a radius of eps u^(1/n), u uniform. Norms are sums in
 * double, in order: the same on any number of threads. */
#include <math.h>

#include "attack/ball.h"

static void start(float *restrict x, size_t n, double eps, tg_key key)
{
    double square = 0;
    for (size_t i = 0; i < n; i++) {
        const double z = (double)tg_random_normal(key, (uint32_t)i);
        square += z * z;
    }
    const double u = (double)tg_random_uniform(tg_key_beside(key, 1), 0);
    const double by = square > 0 ? eps * pow(u, 1.0 / (double)n) / sqrt(square) : 0;
    for (size_t i = 0; i < n; i++)
        x[i] += (float)(by * (double)tg_random_normal(key, (uint32_t)i));
}

static void step(float *restrict x, const float *restrict g, size_t n, double length)
{
    double square = 0;
    for (size_t i = 0; i < n; i++)
        square += (double)g[i] * (double)g[i];
    if (!(square > 0) || !isfinite(square))
        return;
    const double by = length / sqrt(square);
    for (size_t i = 0; i < n; i++)
        x[i] += (float)(by * (double)g[i]);
}

static void project(float *restrict x, const float *restrict clean, size_t n, double eps)
{
    double square = 0;
    for (size_t i = 0; i < n; i++)
        square += ((double)x[i] - (double)clean[i]) * ((double)x[i] - (double)clean[i]);
    if (square <= eps * eps)
        return;
    const double by = eps / sqrt(square);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((double)clean[i] + by * ((double)x[i] - (double)clean[i]));
}

const tg_ball tg_ball_l2 = {.name = "l2", .start = start, .step = step, .project = project};
