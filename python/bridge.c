/* bridge.c -- libtiger for callers that know C functions but not C structs: Python's ctypes.
 *
 * Functions of libtiger with plain arguments are called directly. Those that take or give structs are wrapped here, so
 * that the layouts are the compiler's affair: what Python repeats in _native.py are the five structs below and nothing
 * of include/tiger. Public headers only. */
#include "tiger/optim.h"

#define TB_MAX_RANK TG_TENSOR_MAX_RANK

typedef struct tb_option {
    const char *name, *choices, *help; /* choices: NULL but for a choice */
    double value, least, most;
    int32_t kind, above;
} tb_option;

typedef struct tb_slot {
    const char *name, *when; /* when: NULL for always */
    int32_t shape, codes;    /* tg_slot_shape, tg_slot_codes */
} tb_slot;

typedef struct tb_rule {
    const char *name, *title, *source, *equations, *when_to_use;
    uint64_t options, slots;
    int32_t folds, matrices;
} tb_rule;

typedef struct tb_state {
    const char *name, *format;
    const void *data;
    uint64_t bytes, rank, shape[TB_MAX_RANK];
} tb_state;

typedef struct tb_listener {
    void (*event)(int32_t kind, const char *param, double value);
} tb_listener;

tg_status tb_rule_at(tb_rule *out, uint64_t index);
tg_status tb_option_at(tb_option *out, uint64_t rule, uint64_t index);
tg_status tb_slot_at(tb_slot *out, uint64_t rule, uint64_t index);
tg_status tb_option_test(uint64_t rule, uint64_t index, double value);
tg_status tb_add(tg_optim *o, const char *name, void *data, int32_t format, uint64_t rows, uint64_t cols, int32_t role,
                 int32_t group, uint64_t fan_in, int32_t frozen);
tg_status tb_state_at(tb_state *out, const tg_optim *o, uint64_t index);
tg_status tb_check(const tg_optim *o);
uint64_t tb_allocator_bytes(void);
uint64_t tb_step_bytes(const tg_optim *o);
tg_status tb_step(tg_optim *o, void *room, const uint64_t *data, const int32_t *format, float scale);
tg_status tb_observe(tg_optim *o, void *room, const uint64_t *data, const int32_t *format, int32_t squares,
                     double scale);
void tb_listen(tg_optim *o, tb_listener *listener);

/* Past the last rule's index stands the table of the options that every rule has. */
static const tg_option_table *table_of(uint64_t rule)
{
    const tg_rule_info *info = tg_rule_at(rule);
    return info == NULL ? tg_optim_common_options() : &info->options;
}

tg_status tb_rule_at(tb_rule *out, uint64_t index)
{
    const tg_rule_info *r = tg_rule_at(index);
    if (r == NULL)
        return TG_ENOTFOUND;
    *out = (tb_rule){r->name,        r->title,         r->source,     r->equations,
                     r->when_to_use, r->options.count, r->slot_count, r->folds, r->matrices};
    return TG_OK;
}

tg_status tb_option_at(tb_option *out, uint64_t rule, uint64_t index)
{
    const tg_option_table *table = table_of(rule);
    if (index >= table->count)
        return TG_ENOTFOUND;
    const tg_option *o = &table->at[index];
    *out = (tb_option){o->name, o->choices, o->help, o->value, o->least, o->most, (int32_t)o->kind, o->above};
    return TG_OK;
}

tg_status tb_slot_at(tb_slot *out, uint64_t rule, uint64_t index)
{
    const tg_rule_info *r = tg_rule_at(rule);
    if (r == NULL || index >= r->slot_count)
        return TG_ENOTFOUND;
    *out = (tb_slot){r->slots[index].name, r->slots[index].when, (int32_t)r->slots[index].shape,
                     (int32_t)r->slots[index].codes};
    return TG_OK;
}

tg_status tb_option_test(uint64_t rule, uint64_t index, double value)
{
    return tg_option_check(&table_of(rule)->at[index], value);
}

tg_status tb_add(tg_optim *o, const char *name, void *data, int32_t format, uint64_t rows, uint64_t cols, int32_t role,
                 int32_t group, uint64_t fan_in, int32_t frozen)
{
    const tg_param param = {
        .name = name,
        .data = data,
        .format = (tg_format)format,
        .rows = rows,
        .cols = cols,
        .role = (tg_role)role,
        .group = group,
        .fan_in = fan_in,
        .frozen = frozen != 0,
    };
    return tg_optim_add(o, &param, NULL);
}

tg_status tb_state_at(tb_state *out, const tg_optim *o, uint64_t index)
{
    const tg_named_tensor *t = tg_optim_state(o, index);
    if (t == NULL)
        return TG_ENOTFOUND;
    *out = (tb_state){
        .name = t->name, .format = tg_format_name(t->format), .data = t->data, .bytes = t->bytes, .rank = t->rank};
    for (unsigned d = 0; d < t->rank; d++)
        out->shape[d] = t->shape[d];
    return TG_OK;
}

/* Whether the options fit each other, before anything is allocated. */
tg_status tb_check(const tg_optim *o)
{
    tg_optim_bytes bytes;
    return tg_optim_measure(o, &bytes);
}

uint64_t tb_allocator_bytes(void) { return sizeof(tg_allocator); }

uint64_t tb_step_bytes(const tg_optim *o) { return tg_optim_param_count(o) * sizeof(tg_grad); }

static const tg_grad *fill(void *room, const tg_optim *o, const uint64_t *data, const int32_t *format, float scale)
{
    tg_grad *grads = room;
    const size_t count = tg_optim_param_count(o);
    for (size_t i = 0; i < count; i++)
        grads[i] = (tg_grad){.data = (const void *)(uintptr_t)data[i], .format = (tg_format)format[i], .scale = scale};
    return grads;
}

/* One update. data[i]: address of parameter i's gradient, 0 for none. `room`: tb_step_bytes of the caller's. */
tg_status tb_step(tg_optim *o, void *room, const uint64_t *data, const int32_t *format, float scale)
{
    return tg_optim_step(o, fill(room, o, data, format, scale));
}

/* From the same arrays: an estimate of the Hessian's diagonal, `scale` g^2 when they are gradients, else as it is. */
tg_status tb_observe(tg_optim *o, void *room, const uint64_t *data, const int32_t *format, int32_t squares,
                     double scale)
{
    return tg_optim_observe(o, fill(room, o, data, format, 1), squares != 0 ? TG_ESTIMATE_SQUARES : TG_ESTIMATE_PLAIN,
                            scale);
}

static void forward(void *ctx, const tg_event *event)
{
    ((const tb_listener *)ctx)->event((int32_t)event->kind, event->param, event->value);
}

/* Tells `listener` of every event; it must outlive the optimizer. */
void tb_listen(tg_optim *o, tb_listener *listener) { tg_optim_on_event(o, forward, listener); }
