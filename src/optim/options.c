/* optim/options.c -- the options every rule has, groups, and setting options by name. */
#include <string.h>

#include "base/fail.h"
#include "optim/optim.h"

static const tg_option common[TG_COMMON_OPTIONS] = {
    [TG_COMMON_DECAY] = {.name = "decay", .kind = TG_CHOICE, .least = 0, .most = 2, .choices = "auto|coupled|decoupled",
                         .help = "weight decay in the gradient, or beside it; auto: the rule's own way"},
    [TG_COMMON_MAXIMIZE] = {.name = "maximize", .kind = TG_SWITCH, .most = 1, .help = "climb instead of descend"},
    [TG_COMMON_ROUNDING] = {.name = "rounding", .kind = TG_CHOICE, .least = 0, .most = 3,
                            .choices = "stochastic|nearest|kahan|weyl",
                            .help = "of 16-bit weights and states; kahan keeps 2 bytes more a weight, weyl spreads a weight's "
                                    "draws evenly over updates"},
    [TG_COMMON_STATE_FORMAT] = {.name = "state_format", .kind = TG_CHOICE, .least = 0, .most = 3,
                                .choices = "auto|fp32|bf16|fp16",
                                .help = "of the states; auto: as the weights, second moments fp32"},
    [TG_COMMON_GRADIENTS] = {.name = "gradients", .kind = TG_CHOICE, .least = 0, .most = 3,
                             .choices = "auto|folded|buffered|released",
                             .help = "tiles go into the momentum, an array, or one tensor's array; auto: folded if possible"},
    [TG_COMMON_GRADIENT_FORMAT] = {.name = "gradient_format", .kind = TG_CHOICE, .least = 0, .most = 3,
                                   .choices = "auto|fp32|bf16|fp16", .help = "of buffered gradients; auto: fp32"},
    [TG_COMMON_CLIP_NORM] = {.name = "clip_norm", .kind = TG_REAL, .least = 0, .most = INFINITY,
                             .help = "scale gradients down to this global norm; 0: off"},
    [TG_COMMON_CLIP_VALUE] = {.name = "clip_value", .kind = TG_REAL, .least = 0, .most = INFINITY,
                              .help = "clamp every gradient value to +- this; 0: off"},
    [TG_COMMON_CLIP_ADAPTIVE] = {.name = "clip_adaptive", .kind = TG_REAL, .least = 0, .most = INFINITY,
                                 .help = "scale each tensor's gradient down to this share of its weights' RMS (AGC); 0: off"},
    [TG_COMMON_NAN_GUARD] = {.name = "nan_guard", .kind = TG_CHOICE, .least = 0, .most = 4,
                             .choices = "auto|shrink|skip|error|off",
                             .help = "what a gradient with NaN or Inf does to its tensor; auto: shrink for tiger, else skip"},
    [TG_COMMON_SHRINK] = {.name = "shrink", .kind = TG_REAL, .value = 0.99, .least = 0, .most = 1,
                          .help = "factor of nan_guard=shrink, towards the role's centre"},
    [TG_COMMON_SHRINK_NOISE] = {.name = "shrink_noise", .kind = TG_REAL, .least = 0, .most = INFINITY,
                                .help = "standard deviation of noise added after a shrink"},
    [TG_COMMON_NAN_BUDGET] = {.name = "nan_budget", .kind = TG_INTEGER, .value = 20, .least = 0, .most = 1e9,
                              .help = "bad updates of a tensor in a row that stop the training; 0: never"},
    [TG_COMMON_SEED] = {.name = "seed", .kind = TG_INTEGER, .value = 1, .least = 0, .most = TG_WHOLE_MOST,
                        .help = "of stochastic rounding"},
    [TG_COMMON_THREADS] = {.name = "threads", .kind = TG_INTEGER, .least = 0, .most = 4096,
                           .help = "0: as many as OpenMP says"},
};

static const tg_option_table common_table = TG_TABLE(common);

const tg_option_table *tg_optim_common_options(void) { return &common_table; }

static tg_status no_such_option(const tg_optim *o, const char *name)
{
    return tg_fail(TG_ENOTFOUND, "%s has no option '%s'", o->rule->info.name, name);
}

static tg_status check_group(const tg_optim *o, int group)
{
    if (group == TG_ALL_GROUPS || (group >= 0 && (size_t)group < o->groups))
        return TG_OK;
    return tg_fail(TG_EINVAL, "there is no parameter group %d (there are %zu)", group, o->groups);
}

/* A started optimizer's layout stands on its switches, its choices, and on which slots exist. */
static tg_status check_fixed(const tg_optim *o, const tg_option *option, size_t index, double value)
{
    if (!o->started)
        return TG_OK;
    if (option->kind == TG_SWITCH || option->kind == TG_CHOICE)
        return tg_fail(TG_ESTATE, "%s is fixed once the optimizer has started", option->name);
    if (o->rule->fixed != NULL && strcmp(o->rule->fixed, option->name) == 0)
        return tg_fail(TG_ESTATE, "%s is fixed once the optimizer has started", option->name);
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        if (o->rule->info.slots[s].when != NULL && strcmp(o->rule->info.slots[s].when, option->name) == 0)
            for (size_t g = 0; g < o->groups; g++)
                if ((o->group[g].value[index] == 0) != (value == 0))
                    return tg_fail(TG_ESTATE, "%s cannot become %s 0 once the optimizer has started", option->name,
                                   value == 0 ? "equal to" : "different from");
    return TG_OK;
}

static tg_status set_rule_option(tg_optim *o, int group, size_t index, double value)
{
    const tg_option *option = &o->rule->info.options.at[index];
    tg_status status = check_group(o, group);
    if (status == TG_OK)
        status = tg_option_check(option, value);
    if (status == TG_OK)
        status = check_fixed(o, option, index, value);
    for (size_t g = 0; status == TG_OK && g < o->groups; g++)
        if (group == TG_ALL_GROUPS || (size_t)group == g)
            o->group[g].value[index] = value;
    return status;
}

static tg_status set_common_option(tg_optim *o, int group, size_t index, double value)
{
    const tg_status status = tg_option_check(&common[index], value);
    if (status != TG_OK)
        return status;
    if (group != TG_ALL_GROUPS)
        return tg_fail(TG_EINVAL, "%s belongs to the whole optimizer, not to a group", common[index].name);
    if (o->started)
        return tg_fail(TG_ESTATE, "%s is fixed once the optimizer has started", common[index].name);
    o->common[index] = value;
    return TG_OK;
}

tg_status tg_optim_set_number(tg_optim *o, int group, const char *name, double value)
{
    const size_t own = tg_option_find(&o->rule->info.options, name), shared = tg_option_find(&common_table, name);
    if (own < o->rule->info.options.count)
        return set_rule_option(o, group, own, value);
    return shared < common_table.count ? set_common_option(o, group, shared, value) : no_such_option(o, name);
}

tg_status tg_optim_set(tg_optim *o, int group, const char *name, const char *text)
{
    const size_t own = tg_option_find(&o->rule->info.options, name), shared = tg_option_find(&common_table, name);
    const tg_option *option = own < o->rule->info.options.count ? &o->rule->info.options.at[own]
                              : shared < common_table.count     ? &common[shared]
                                                                : NULL;
    if (option == NULL)
        return no_such_option(o, name);
    double value;
    const tg_status status = tg_option_parse(&value, option, text);
    return status != TG_OK ? status : tg_optim_set_number(o, group, name, value);
}

tg_status tg_preset_find(const tg_preset **preset, const tg_rule_info *rule, const char *name)
{
    char known[256] = "";
    for (size_t i = 0; i < rule->preset_count; i++) {
        if (strcmp(rule->presets[i].name, name) == 0)
            return *preset = &rule->presets[i], TG_OK;
        if (strlen(known) + strlen(rule->presets[i].name) + 3 < sizeof known)
            strcat(strcat(known, i == 0 ? "" : ", "), rule->presets[i].name);
    }
    return known[0] != '\0'
               ? tg_fail(TG_ENOTFOUND, "%s has no preset '%.80s' (there are: %s)", rule->name, name, known)
               : tg_fail(TG_ENOTFOUND, "%s has no presets", rule->name);
}

tg_status tg_optim_preset(tg_optim *o, int group, const char *name)
{
    const tg_preset *preset = NULL;
    tg_status status = tg_preset_find(&preset, &o->rule->info, name);
    if (status == TG_OK && o->started)
        status = tg_fail(TG_ESTATE, "presets are chosen before the optimizer starts");
    if (status == TG_OK)
        status = check_group(o, group);
    for (size_t i = 0; status == TG_OK && i < preset->settings; i++)
        status = tg_optim_set(o, group, preset->setting[i].name, preset->setting[i].value);
    return status;
}

tg_status tg_optim_get(const tg_optim *o, int group, const char *name, double *value)
{
    const size_t own = tg_option_find(&o->rule->info.options, name), shared = tg_option_find(&common_table, name);
    const tg_status status = check_group(o, group);
    if (status != TG_OK)
        return status;
    if (own < o->rule->info.options.count)
        *value = o->group[group == TG_ALL_GROUPS ? 0 : group].value[own];
    else if (shared < common_table.count)
        *value = o->common[shared];
    else
        return no_such_option(o, name);
    return TG_OK;
}

tg_status tg_optim_scale(tg_optim *o, const char *name, double factor)
{
    const size_t own = tg_option_find(&o->rule->info.options, name);
    if (own >= o->rule->info.options.count)
        return no_such_option(o, name);
    if (o->rule->info.options.at[own].kind != TG_REAL)
        return tg_fail(TG_EINVAL, "%s is no number that a schedule could scale", name);
    if (!(factor >= 0) || isinf(factor))
        return tg_fail(TG_EINVAL, "the factor of %s must be a number >= 0, not %g", name, factor);
    o->factor[own] = factor;
    return TG_OK;
}

tg_status tg_optim_add_group(tg_optim *o, int *group)
{
    if (o->started)
        return tg_fail(TG_ESTATE, "groups are added before the optimizer starts");
    tg_group *grown = tg_heap_resize(o->group, o->groups, o->groups + 1, sizeof *grown);
    if (grown == NULL)
        return tg_no_memory("a parameter group", sizeof *grown);
    o->group = grown;
    grown[o->groups] = grown[0];
    *group = (int)o->groups++;
    return TG_OK;
}

void tg_optim_schedule_groups(tg_optim *o)
{
    for (size_t g = 0; g < o->groups; g++)
        for (size_t i = 0; i < o->rule->info.options.count; i++)
            o->group[g].now[i] = o->group[g].value[i] * o->factor[i];
}

/* Which way gradients go, and whether the options allow it. */
tg_status tg_optim_check_options(const tg_optim *o)
{
    const bool clips = o->common[TG_COMMON_CLIP_NORM] > 0 || o->common[TG_COMMON_CLIP_VALUE] > 0 ||
                       o->common[TG_COMMON_CLIP_ADAPTIVE] > 0;
    const bool coupled = o->common[TG_COMMON_DECAY] == 1 || (o->common[TG_COMMON_DECAY] == 0 && o->rule->decay == TG_DECAY_COUPLED);
    if (o->common[TG_COMMON_STATE_FORMAT] != 0 && o->rule->info.slot_count > 0 &&
        o->rule->info.slots[0].codes != TG_CODES_NONE)
        return tg_fail(TG_EINVAL, "%s keeps its states in 8 bits: leave out state_format, or take the rule without 8bit",
                       o->rule->info.name);
    for (size_t g = 0; g < o->groups; g++) {
        const double *value = o->group[g].value;
        const char *wrong = o->rule->check == NULL ? NULL : o->rule->check(value);
        if (wrong != NULL)
            return tg_fail(TG_EINVAL, "%s: %s", o->rule->info.name, wrong);
        if (o->place != TG_FOLDED)
            continue;
        if (o->rule->can_fold == NULL || !o->rule->can_fold(value))
            return tg_fail(TG_EINVAL, "%s cannot fold gradients into its state with these options: use gradients=buffered",
                           o->rule->info.name);
        if (coupled && value[o->rule->weight_decay] > 0)
            return tg_fail(TG_EINVAL, "coupled weight decay needs the whole gradient: use gradients=buffered or decay=decoupled");
    }
    if (o->place == TG_FOLDED && clips)
        return tg_fail(TG_EINVAL, "clipping needs the whole gradient, and folded gradients are never whole: use "
                                  "gradients=buffered, or no clipping");
    if (o->common[TG_COMMON_CLIP_NORM] > 0 && o->common[TG_COMMON_CLIP_ADAPTIVE] > 0)
        return tg_fail(TG_EINVAL, "clip_norm and clip_adaptive would scale the same gradients: leave one of them out");
    for (size_t i = 0; o->place == TG_RELEASED && o->rule->kept != NULL && i < o->entries; i++)
        if (o->entry[i].param.layer != TG_NO_LAYER)
            return tg_fail(TG_EINVAL, "%s weighs the steps of all layers together: use gradients=buffered instead of released",
                           o->rule->info.name);
    if (o->place == TG_RELEASED && o->common[TG_COMMON_CLIP_NORM] > 0)
        return tg_fail(TG_EINVAL, "clip_norm needs all gradients at once: use gradients=buffered instead of released");
    return TG_OK;
}
