/* graph/convolution.h -- convolutions of images, by oneDNN, forward and both ways backward.
 *
 * Images lie as (images, height, width, channels), row-major: a row of an activation is a place of an image. Kernels
 * lie as files have them, (out, in / groups, kernel height, kernel width). The library may want kernels in another
 * order: a run lays them so first, which costs little beside a convolution. Sums are fp32, and the same on any number
 * of threads. */
#ifndef TG_GRAPH_CONVOLUTION_H
#define TG_GRAPH_CONVOLUTION_H

#include <stdbool.h>
#include <stddef.h>

#include "tiger/format.h"
#include "tiger/status.h"

/* Of height and width: [0] and [1]. */
typedef struct tg_window {
    size_t kernel[2], stride[2], padding[2], dilation[2];
    size_t groups; /* of channels; each sees its own inputs alone */
} tg_window;

/* Places that a window has along one side of an image; 0 where it does not fit. */
size_t tg_window_places(const tg_window *window, int side, size_t size);

typedef enum tg_convolution_way {
    TG_CONVOLVE,        /* y = x * w (+ bias) */
    TG_CONVOLVE_DATA,   /* dx of dy and w */
    TG_CONVOLVE_WEIGHTS /* dw, always fp32, of x and dy */
} tg_convolution_way;

typedef struct tg_convolution {
    tg_convolution_way way;
    tg_window window;
    size_t images, in, out; /* channels of x and of y */
    size_t size[2];         /* of x */
    tg_format format;       /* of both operands: fp32, or bf16 where products are native */
    tg_format to;           /* of y or dx: fp32 or `format` */
    bool bias;              /* y: + bias (out), fp32 */
} tg_convolution;

/* The compiled convolutions of one graph. */
typedef struct tg_convolutions tg_convolutions;

tg_status tg_convolutions_create(tg_convolutions **out);
void tg_convolutions_destroy(tg_convolutions *convolutions);

/* What the library's code takes for those that have been planned, beside that of products. */
size_t tg_convolutions_code_bytes(const tg_convolutions *convolutions);

/* Compiles one; *scratch_bytes is what its run needs. Planning the same again is free. */
tg_status tg_convolutions_plan(tg_convolutions *convolutions, const tg_convolution *convolution, size_t *scratch_bytes);
/* Runs a planned one: c <- of a and b, which are x and w, dy and w, or x and dy. `bias` NULL without; scratch is
 * aligned to a cache line. */
tg_status tg_convolutions_run(tg_convolutions *convolutions, const tg_convolution *convolution, const void *a,
                              const void *b, const float *bias, void *c, void *scratch);

#endif
