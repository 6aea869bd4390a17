/* attack.c -- projected gradient descent on the input (Madry et al. 2018, arXiv:1706.06083; one step of length eps from
 * the image itself is the fast gradient method of Goodfellow et al. 2015, arXiv:1412.6572).
 *
 *   x <- clean, or a place drawn from the ball B(clean, eps)
 *   steps times:   x <- [x + step d]  within B(clean, eps), then within 0 ... 255
 *
 * d is the direction in which the loss of the true class grows most in the ball's norm; of a target class: minus that.
 * x are pixels; the model sees (x - mean) / std of each channel, and gradients come back through that. Bringing a pixel
 * back into 0 ... 255 brings it nearer to the clean one, so what follows last leaves neither. */
#include "attack/attack.h"

#include <math.h>

#include "base/memory.h"
#include "data/pixel.h"
#include "graph/run.h"

#define PURPOSE 0x61747461636bu /* "attack" */
#define REACH 2.5               /* steps together go this many eps */

const tg_ball *tg_ball_at(size_t index)
{
    static const tg_ball *const ball[TG_BALL_COUNT] = {&tg_ball_linf, &tg_ball_l2};
    return ball[index];
}

/* ---- room ---- */

size_t tg_attacker_bytes(size_t size, size_t features) { return 3 * size * features * sizeof(float); }

tg_status tg_attacker_init(tg_attacker *a, const tg_schema *schema, size_t size)
{
    size_t room;
    *a = (tg_attacker){.schema = schema, .size = size, .features = tg_schema_features(schema)};
    if (!tg_multiply(&room, size, a->features))
        return tg_fail(TG_EINVAL, "a batch of %zu samples is too large", size);
    float **const part[] = {&a->clean, &a->pixels, &a->gradient};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        if ((*part[i] = tg_alloc(NULL, room, sizeof(float))) == NULL)
            return tg_no_memory("adversarial images", room * sizeof(float));
    return TG_OK;
}

void tg_attacker_fini(tg_attacker *a)
{
    float *const part[] = {a->clean, a->pixels, a->gradient};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        tg_free(NULL, part[i], a->size * a->features, sizeof(float));
    *a = (tg_attacker){0};
}

/* ---- pixels and features ---- */

/* What is done to the `places` pixels of one channel. */
typedef void channel_function(float *to, const float *from, size_t places, tg_pixel_scale s);

/* In files pixels are whole numbers: rounded, they are exact again. */
static void read_pixels(float *restrict pixel, const float *restrict feature, size_t places, tg_pixel_scale s)
{
    for (size_t p = 0; p < places; p++)
        pixel[p] = fminf(fmaxf(rintf(feature[p] / s.by + s.mean), 0.0f), TG_PIXEL_MOST);
}

static void show_pixels(float *restrict feature, const float *restrict pixel, size_t places, tg_pixel_scale s)
{
    for (size_t p = 0; p < places; p++)
        feature[p] = tg_pixel_feature(pixel[p], s);
}

static void of_channels(float *to, const float *from, const tg_attacker *a, size_t sample, channel_function *what)
{
    const size_t places = a->schema->rows * a->schema->cols;
    for (size_t c = 0; c < a->schema->channels; c++) {
        const size_t at = sample * a->features + c * places;
        what(to + at, from + at, places, tg_pixel_scale_of(&a->schema->channel[c]));
    }
}

/* The gradient of pixels from that of features, in its place. */
static void scale_gradient(const tg_attacker *a, size_t sample)
{
    const size_t places = a->schema->rows * a->schema->cols;
    for (size_t c = 0; c < a->schema->channels; c++) {
        const float by = tg_pixel_scale_of(&a->schema->channel[c]).by;
        float *g = a->gradient + sample * a->features + c * places;
        for (size_t p = 0; p < places; p++)
            g[p] *= by;
    }
}

void tg_attacker_take(tg_attacker *a, const float *features)
{
    for (size_t b = 0; b < a->size; b++)
        of_channels(a->clean, features, a, b, read_pixels);
}

/* ---- the attack ---- */

/* Back into the ball, and to pixels that exist. */
static void bring_back(const tg_attacker *a, const tg_attack *attack, size_t sample)
{
    float *x = a->pixels + sample * a->features;
    attack->ball->project(x, a->clean + sample * a->features, a->features, attack->eps * (double)TG_PIXEL_MOST);
    for (size_t i = 0; i < a->features; i++)
        x[i] = fminf(fmaxf(x[i], 0.0f), TG_PIXEL_MOST);
}

static void begin(const tg_attacker *a, float *features, const tg_attack *attack, uint64_t first, uint64_t restart)
{
#pragma omp parallel for schedule(static)
    for (size_t b = 0; b < a->size; b++) {
        float *x = a->pixels + b * a->features;
        for (size_t i = 0; i < a->features; i++)
            x[i] = a->clean[b * a->features + i];
        if (attack->random_start) {
            attack->ball->start(x, a->features, attack->eps * (double)TG_PIXEL_MOST,
                                tg_key_make(attack->seed, PURPOSE, first + b, restart));
            bring_back(a, attack, b);
        }
        of_channels(features, a->pixels, a, b, show_pixels);
    }
}

static void move(const tg_attacker *a, float *features, const tg_attack *attack)
{
    const double step = attack->step > 0 ? attack->step : REACH * attack->eps / (double)attack->steps;
    const double length = (attack->targeted ? -step : step) * (double)TG_PIXEL_MOST;
#pragma omp parallel for schedule(static)
    for (size_t b = 0; b < a->size; b++) {
        scale_gradient(a, b);
        attack->ball->step(a->pixels + b * a->features, a->gradient + b * a->features, a->features, length);
        bring_back(a, attack, b);
        of_channels(features, a->pixels, a, b, show_pixels);
    }
}

tg_status tg_attacker_run(tg_attacker *a, float *features, const tg_attack *attack, tg_graph *graph,
                          const int32_t *targets, uint64_t first, uint64_t restart)
{
    const size_t steps = attack->eps > 0 ? attack->steps : 0; /* nowhere to go to */
    begin(a, features, attack, first, restart);
    for (size_t i = 0; i < steps; i++) {
        tg_run run = {
            .features = features, .targets = targets, .dfeatures = a->gradient, .loss_scale = attack->loss_scale};
        const tg_status status = tg_graph_run(graph, &run);
        if (status != TG_OK)
            return status;
        if (!isfinite(run.loss))
            return tg_fail(TG_EDIVERGED, "the loss of adversarial images is not finite: the model is damaged");
        move(a, features, attack);
    }
    return TG_OK;
}
