/* train/method.c -- rules and minimizers as one family. */
#include "tiger/engine/method.h"

#include <string.h>

size_t tg_method_count(void) { return tg_rule_count() + tg_minimizer_count(); }

bool tg_method_at(tg_method *method, size_t index)
{
    const size_t rules = tg_rule_count();
    *method = (tg_method){0};
    if (index >= tg_method_count())
        return false;
    if (index < rules) {
        const tg_rule_info *rule = tg_rule_at(index);
        *method = (tg_method){.name = rule->name,
                              .title = rule->title,
                              .rule = rule,
                              .options = &rule->options,
                              .common = tg_optim_common_options()};
        return true;
    }
    const tg_minimizer_info *minimizer = tg_minimizer_at(index - rules);
    *method = (tg_method){.name = minimizer->name,
                          .title = minimizer->title,
                          .minimizer = minimizer,
                          .options = &minimizer->options,
                          .common = tg_minimizer_common_options()};
    return true;
}

bool tg_method_find(tg_method *method, const char *name)
{
    for (size_t i = 0; name != NULL && tg_method_at(method, i); i++)
        if (strcmp(method->name, name) == 0)
            return true;
    *method = (tg_method){0};
    return false;
}
