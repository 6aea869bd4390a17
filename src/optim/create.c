/* optim/create.c -- making an optimizer, adding parameters, starting and releasing it. */
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "dense/dense.h"
#include "optim/optim.h"

TG_ISA_DECLARE(const tg_rule_table, tg_rules);

static const tg_rule *const *rules(void) { return TG_ISA_PICK(tg_rules)->at; }

static const char *const role_names[TG_ROLE_COUNT] = {"matrix", "embedding", "bias", "gain"};

const char *tg_role_name(tg_role role) { return (unsigned)role < TG_ROLE_COUNT ? role_names[role] : "?"; }

size_t tg_rule_count(void)
{
    size_t count = 0;
    while (rules()[count] != NULL)
        count++;
    return count;
}

static const tg_rule *find_rule(const char *name)
{
    for (size_t i = 0; rules()[i] != NULL; i++)
        if (strcmp(rules()[i]->info.name, name) == 0)
            return rules()[i];
    return NULL;
}

const tg_rule_info *tg_rule_at(size_t index) { return index < tg_rule_count() ? &rules()[index]->info : NULL; }

const tg_rule_info *tg_rule_find(const char *name)
{
    const tg_rule *rule = find_rule(name);
    return rule == NULL ? NULL : &rule->info;
}

static tg_status no_such_rule(const char *name)
{
    char known[512] = "";
    if (strcmp(name, "shampoo") == 0 || strcmp(name, "soap") == 0 || strcmp(name, "kfac") == 0) /* left out of this build */
        return tg_dense_need_lapack(name);
    for (size_t i = 0; rules()[i] != NULL; i++) {
        const size_t used = strlen(known);
        if (used + strlen(rules()[i]->info.name) + 3 < sizeof known)
            strcat(strcat(known, i == 0 ? "" : ", "), rules()[i]->info.name);
    }
    return tg_fail(TG_ENOTFOUND, "there is no optimizer '%s' (there are %s)", name, known);
}

tg_status tg_optim_create(tg_optim **out, const char *name, const tg_allocator *allocator)
{
    const tg_rule *rule = find_rule(name);
    if (rule == NULL)
        return no_such_rule(name);
    tg_optim *o = tg_heap_alloc(1, sizeof *o);
    tg_group *group = o == NULL ? NULL : tg_heap_alloc(1, sizeof *group);
    if (group == NULL) {
        tg_heap_free(o);
        return tg_no_memory("an optimizer", sizeof *o + sizeof *group);
    }
    if (allocator != NULL) {
        o->allocator_copy = *allocator;
        o->allocator = &o->allocator_copy;
    }
    o->rule = rule;
    o->kernels = tg_kernels_get();
    o->group = group;
    o->groups = 1;
    o->gradient_scale = 1;
    for (size_t i = 0; i < rule->info.options.count; i++) {
        group->value[i] = rule->info.options.at[i].value;
        o->factor[i] = 1;
    }
    for (size_t i = 0; i < TG_COMMON_OPTIONS; i++)
        o->common[i] = tg_optim_common_options()->at[i].value;
    *out = o;
    return TG_OK;
}

void tg_optim_destroy(tg_optim *o)
{
    if (o == NULL)
        return;
    for (size_t i = 0; i < o->entries; i++)
        tg_heap_free((char *)o->entry[i].param.name), tg_heap_free((char *)o->entry[i].param.bias);
    tg_free(o->allocator, o->memory, o->memory_bytes, 1);
    tg_heap_free(o->state);
    tg_heap_free(o->state_names);
    tg_heap_free(o->entry);
    tg_heap_free(o->group);
    tg_heap_free(o);
}

static tg_status check_param(const tg_optim *o, const tg_param *p)
{
    size_t n, bytes;
    if (o->started)
        return tg_fail(TG_ESTATE, "parameters are added before the optimizer starts");
    if (p->name == NULL || p->name[0] == '\0')
        return tg_fail(TG_EINVAL, "parameter %zu has no name", o->entries);
    if (p->format != TG_F32 && !tg_is_half(p->format))
        return tg_fail(TG_EINVAL, "%s: weights must be fp32, bf16 or fp16, not %s", p->name, tg_format_name(p->format));
    if (!tg_multiply(&n, p->rows, p->cols) || !tg_multiply(&bytes, n, 4 * sizeof(double)))
        return tg_fail(TG_EINVAL, "%s: %zu x %zu values are too many", p->name, p->rows, p->cols);
    if (p->data == NULL && n > 0)
        return tg_fail(TG_EINVAL, "%s has no data", p->name);
    if ((uintptr_t)p->data % tg_format_bytes(p->format) != 0)
        return tg_fail(TG_EINVAL, "%s is not aligned to its format's %zu bytes", p->name, tg_format_bytes(p->format));
    if ((unsigned)p->role >= TG_ROLE_COUNT)
        return tg_fail(TG_EINVAL, "%s: there is no role number %d", p->name, (int)p->role);
    if ((unsigned)p->layer >= TG_LAYER_FORM_COUNT)
        return tg_fail(TG_EINVAL, "%s: there is no form of a layer number %d", p->name, (int)p->layer);
    if (p->bias != NULL && p->layer == TG_NO_LAYER)
        return tg_fail(TG_EINVAL, "%s has a bias and no layer that adds it: set tg_param.layer too", p->name);
    if (p->group < 0 || (size_t)p->group >= o->groups)
        return tg_fail(TG_EINVAL, "%s: there is no parameter group %d (there are %zu)", p->name, p->group, o->groups);
    return TG_OK;
}

static tg_status grow(tg_optim *o)
{
    if (o->entries < o->entry_room)
        return TG_OK;
    const size_t room = o->entry_room == 0 ? 16 : 2 * o->entry_room;
    tg_entry *grown = tg_heap_resize(o->entry, o->entry_room, room, sizeof *grown);
    if (grown == NULL)
        return tg_no_memory("a list of parameters", room * sizeof *grown);
    o->entry = grown;
    o->entry_room = room;
    return TG_OK;
}

tg_status tg_optim_add(tg_optim *o, const tg_param *param, size_t *index)
{
    tg_status status = check_param(o, param);
    if (status == TG_OK)
        status = grow(o);
    if (status != TG_OK)
        return status;
    tg_entry *e = &o->entry[o->entries];
    *e = (tg_entry){.param = *param};
    e->param.name = tg_heap_text(param->name);
    e->param.bias = param->bias == NULL ? NULL : tg_heap_text(param->bias);
    if (e->param.name == NULL || (param->bias != NULL && e->param.bias == NULL)) {
        tg_heap_free((char *)e->param.name), tg_heap_free((char *)e->param.bias);
        return tg_no_memory("a parameter's name", strlen(param->name) + 1);
    }
    if (e->param.fan_in == 0)
        e->param.fan_in = param->cols == 0 ? 1 : param->cols;
    if (index != NULL)
        *index = o->entries;
    o->entries++;
    return TG_OK;
}

static int compare_names(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static tg_status check_names(const tg_optim *o)
{
    const char **name = tg_heap_alloc(o->entries, sizeof *name);
    if (name == NULL)
        return tg_no_memory("a list of names", o->entries * sizeof *name);
    tg_status status = TG_OK;
    for (size_t i = 0; i < o->entries; i++)
        name[i] = o->entry[i].param.name;
    qsort(name, o->entries, sizeof *name, compare_names);
    for (size_t i = 1; status == TG_OK && i < o->entries; i++)
        if (strcmp(name[i - 1], name[i]) == 0)
            status = tg_fail(TG_EINVAL, "two parameters are named '%s'", name[i]);
    tg_heap_free(name);
    return status;
}

tg_status tg_optim_start(tg_optim *o)
{
    if (o->started)
        return tg_fail(TG_ESTATE, "the optimizer has already started");
    tg_optim_resolve(o);
    tg_status status = tg_optim_check_options(o);
    if (status == TG_OK)
        status = check_names(o);
    if (status == TG_OK)
        status = tg_layers_check(o);
    if (status == TG_OK)
        status = tg_optim_layout(o);
    if (status != TG_OK)
        return status;
    status = tg_optim_describe_states(o);
    if (status != TG_OK) {
        tg_free(o->allocator, o->memory, o->memory_bytes, 1);
        o->memory = NULL;
        return status;
    }
    o->threads = (int)o->common[TG_COMMON_THREADS];
    o->release_owner = o->entries;
    o->started = true;
    return tg_optim_refresh(o);
}

void tg_optim_on_event(tg_optim *o, void (*event)(void *ctx, const tg_event *event), void *ctx)
{
    o->event = event;
    o->event_ctx = ctx;
}

uint64_t tg_optim_updates(const tg_optim *o) { return o->update; }
size_t tg_optim_param_count(const tg_optim *o) { return o->entries; }

const tg_param *tg_optim_param(const tg_optim *o, size_t index)
{
    return index < o->entries ? &o->entry[index].param : NULL;
}

tg_gradient_place tg_optim_gradient_place(const tg_optim *o)
{
    tg_optim resolved = *o;
    if (!o->started)
        tg_optim_resolve(&resolved);
    return resolved.place;
}
