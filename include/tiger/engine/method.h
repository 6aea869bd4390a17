/* tiger/engine/method.h -- what may stand for "optimizer": a rule of tiger/optim.h, which moves weights by one gradient an
 * update, or a minimizer of tiger/minimize.h, which evaluates the whole function several times. One family to choose
 * from: rules first, then minimizers; no name is in both. */
#ifndef TIGER_ENGINE_METHOD_H
#define TIGER_ENGINE_METHOD_H

#include "tiger/minimize.h"
#include "tiger/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_method {
    const char *name, *title;
    const tg_rule_info *rule; /* one of the two; the other is NULL */
    const tg_minimizer_info *minimizer;
    const tg_option_table *options; /* its own */
    const tg_option_table *common;  /* those of all of its kind */
} tg_method;

size_t tg_method_count(void);
/* False, and *method all NULL, past the end or when there is no such name. */
bool tg_method_at(tg_method *method, size_t index);
bool tg_method_find(tg_method *method, const char *name);

#ifdef __cplusplus
}
#endif
#endif
