/* train/loss_scale.h -- dynamic loss scaling for fp16 activations (Micikevicius et al. 2018, arXiv:1710.03740): gradients are
 * carried backward times a power of two, so that small ones do not vanish; exact, for it is a power of two. */
#ifndef TG_TRAIN_LOSS_SCALE_H
#define TG_TRAIN_LOSS_SCALE_H

#include <stdbool.h>
#include <stdint.h>

#include "tiger/status.h"

typedef struct tg_loss_scale {
    double scale;      /* 1 where scaling is off */
    uint64_t good;     /* updates without an overflow since the scale last changed */
    bool on, overflow; /* overflow: in the update under way */
} tg_loss_scale;

void tg_loss_scale_init(tg_loss_scale *s, bool on);

/* After an update: halves the scale when something overflowed, doubles it after 2000 good updates. *changed is whether it
 * is another now. TG_EDIVERGED when gradients overflow even without a scale. */
tg_status tg_loss_scale_after(tg_loss_scale *s, bool *changed);

#endif
