/* train/mover.c -- which way a configuration's optimizer moves weights. */
#include "train/mover.h"

#include "base/fail.h"

tg_status tg_mover_find(tg_session *s)
{
    if (!tg_method_find(&s->method, s->config->optimizer))
        return tg_fail(TG_ENOTFOUND, "there is no optimizer '%s' (see: tiger list optimizers)", s->config->optimizer);
    s->mover = s->method.rule != NULL ? &tg_mover_rule : &tg_mover_minimizer;
    return TG_OK;
}
