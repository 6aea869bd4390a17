/* attack/ball.h -- how far a perturbation may go: the ball of a norm around an image.
 *
 * One descriptor a norm. Lengths and pixels are on the scale of files, 0 ... 255; x, clean and g have the n pixels of
 * one image. */
#ifndef TG_ATTACK_BALL_H
#define TG_ATTACK_BALL_H

#include <stddef.h>

#include "base/random.h"

typedef struct tg_ball {
    const char *name;
    /* x += a perturbation drawn evenly from the ball */
    void (*start)(float *x, size_t n, double eps, tg_key key);
    /* x += the step of that length in this norm along which the loss grows most; none where there is no gradient. A
     * negative length: it shrinks. */
    void (*step)(float *x, const float *g, size_t n, double length);
    /* x <- the nearest place in the ball around `clean` */
    void (*project)(float *x, const float *clean, size_t n, double eps);
} tg_ball;

extern const tg_ball tg_ball_linf, tg_ball_l2;

#endif
