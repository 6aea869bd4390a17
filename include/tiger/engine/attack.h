/* tiger/engine/attack.h -- adversarial examples: how little must change in an image before a trained classifier of
 * images tells another class, and how many images stand a change of a given size.
 *
 * Changes are measured on the scale of pixels from 0 to 1, before they are standardised; changed pixels stay within it.
 */
#ifndef TIGER_ENGINE_ATTACK_H
#define TIGER_ENGINE_ATTACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tiger/option.h"
#include "tiger/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TG_ATTACK_METHOD, TG_ATTACK_NORM, TG_ATTACK_STEPS, TG_ATTACK_STEP, TG_ATTACK_RANDOM_START, TG_ATTACK_RESTARTS,
    TG_ATTACK_SAMPLES, TG_ATTACK_BATCH, TG_ATTACK_SEED,
    TG_ATTACK_OPTIONS
};
/* Choices of options method and norm. */
enum { TG_ATTACK_PGD, TG_ATTACK_FGSM };
enum { TG_ATTACK_LINF, TG_ATTACK_L2 };

const tg_option_table *tg_attack_options(void);

typedef struct tg_attack_config {
    const char *directory;     /* of a model that tells classes of images */
    const char *data, *labels; /* images and their classes, as in training */
    const double *eps;         /* sizes of changes, in the norm; 0 to 1000 */
    size_t sizes;
    const char *target;        /* a class that all images are to be taken for; NULL: any but their own */
    double option[TG_ATTACK_OPTIONS];
} tg_attack_config;

void tg_attack_config_default(tg_attack_config *config);

/* What became of some images: the clean ones, the changed ones, and what the model tells of both. Of several restarts
 * the first that came through is shown, or the last. */
typedef struct tg_attacked {
    size_t size;                 /* index into eps */
    size_t count, channels, rows, cols;
    const float *clean, *changed; /* (count, channels, rows, cols), pixels from 0 to 1 */
    const int32_t *label, *choice_of_clean, *choice_of_changed; /* (count) */
    char *const *class_name;
} tg_attacked;

typedef struct tg_attack_row {
    double eps;
    size_t samples;  /* looked at; with a target, without those of that class */
    double accuracy; /* share that the model tells rightly, clean and after every restart */
    double reached;  /* share taken for the target after some restart; NaN: there is none */
    double loss;     /* mean over the samples of the true class's loss, of the last restart, in nats */
} tg_attack_row;

typedef struct tg_attack_listener {
    void (*row)(void *ctx, const tg_attack_row *row);             /* after each eps */
    tg_status (*attacked)(void *ctx, const tg_attacked *attacked); /* after each batch of each eps; may be NULL. What it
                                                                      gives but TG_OK ends the attack */
    void *ctx;
} tg_attack_listener;

/* Attacks the first `samples` images of the data (all: 0) with every eps. The model works as in evaluation, in fp32.
 * *clean <- the share that it tells rightly as they are. */
tg_status tg_attack_model(double *clean, const tg_attack_config *config, const tg_attack_listener *listener);

#ifdef __cplusplus
}
#endif
#endif
