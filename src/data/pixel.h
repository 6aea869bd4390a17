/* data/pixel.h -- a pixel, 0 ... 255 as in files, and the feature that a model sees of it. */
#ifndef TG_DATA_PIXEL_H
#define TG_DATA_PIXEL_H

#include "tiger/engine/samples.h"

#define TG_PIXEL_MOST 255.0f

typedef struct tg_pixel_scale {
    float mean, by;
} tg_pixel_scale;

static inline tg_pixel_scale tg_pixel_scale_of(const tg_channel *c)
{
    return (tg_pixel_scale){(float)c->mean, (float)(1 / c->std)};
}

static inline float tg_pixel_feature(float pixel, tg_pixel_scale s) { return (pixel - s.mean) * s.by; }

#endif
