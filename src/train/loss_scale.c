/* train/loss_scale.c -- see loss_scale.h. */
#include "train/loss_scale.h"

#include "base/fail.h"

#define START 0x1p16
#define MOST 0x1p24
#define PATIENCE 2000

void tg_loss_scale_init(tg_loss_scale *s, bool on) { *s = (tg_loss_scale){.scale = on ? START : 1, .on = on}; }

tg_status tg_loss_scale_after(tg_loss_scale *s, bool *changed)
{
    const double before = s->scale;
    *changed = false;
    if (!s->on)
        return TG_OK;
    if (s->overflow && s->scale <= 1)
        return tg_fail(TG_EDIVERGED, "gradients are not finite in fp16 even without loss scaling: lower the learning rate, "
                                     "or train with precision bf16");
    s->good = s->overflow ? 0 : s->good + 1;
    if (s->overflow)
        s->scale /= 2;
    if (s->good == PATIENCE) {
        s->good = 0;
        s->scale = s->scale < MOST ? 2 * s->scale : s->scale;
    }
    s->overflow = false;
    *changed = s->scale != before;
    return TG_OK;
}
