/* attack/attack.h -- the optimizer turned on the input: images of a batch are changed, within a ball around each, until
 * a model's loss on them is large, or that of a class of our choice small. */
#ifndef TG_ATTACK_ATTACK_H
#define TG_ATTACK_ATTACK_H

#include <stdbool.h>

#include "attack/ball.h"
#include "graph/graph.h"
#include "tiger/engine/samples.h"

/* Lengths are on the scale of pixels from 0 to 1. */
typedef struct tg_attack {
    const tg_ball *ball;
    double eps, step; /* 0: 2.5 eps / steps, so that every place of the ball can be come to */
    size_t steps;
    bool random_start, targeted; /* targeted: the loss of the targets is to become small */
    uint64_t seed;
    double loss_scale; /* of the graph's gradients; 0 means 1 */
} tg_attack;

/* Places of options norm and the like: choices in this order. */
#define TG_BALLS "linf|l2"
#define TG_BALL_COUNT 2
const tg_ball *tg_ball_at(size_t index);

/* Room for the images of a batch. Starts as {0}. */
typedef struct tg_attacker {
    const tg_schema *schema;
    size_t size, features;            /* B, F */
    float *clean, *pixels, *gradient; /* (B, F): pixels 0 ... 255 */
} tg_attacker;

size_t tg_attacker_bytes(size_t size, size_t features);
tg_status tg_attacker_init(tg_attacker *attacker, const tg_schema *schema, size_t size);
void tg_attacker_fini(tg_attacker *attacker); /* fine on {0} */

/* The batch whose images are to be attacked: features as tg_samples_draw and tg_samples_window make them. */
void tg_attacker_take(tg_attacker *attacker, const float *features);
/* features <- adversarial images in place of those taken. `graph` is of TG_ATTACK and this batch. Random starts are
 * keyed by seed, `first` (the number of the batch's first sample) and `restart`. TG_EDIVERGED: the model's loss is not
 * finite. */
tg_status tg_attacker_run(tg_attacker *attacker, float *features, const tg_attack *attack, tg_graph *graph,
                          const int32_t *targets, uint64_t first, uint64_t restart);

#endif
