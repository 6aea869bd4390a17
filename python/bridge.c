/* bridge.c -- libtiger for callers that know C functions but not C structs: Python's ctypes.
 *
 * Functions of libtiger with plain arguments are called directly. Those that take or give structs are wrapped here, so
 * that the layouts are the compiler's affair: what Python repeats in _native.py are the seven structs below and nothing
 * of include/tiger. Public headers only. */
#include "tiger/minimize.h"
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
    uint64_t options, slots, presets;
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

typedef struct tb_method {
    const char *name, *title, *source, *equations, *when_to_use;
    uint64_t options;
    int32_t needs, bounds; /* needs: tg_needs */
} tb_method;

typedef struct tb_minimum {
    const double *x;
    const char *phase, *stop, *text, *line;
    double value, gradient_norm, step;
    uint64_t iterations, evaluations, products, restarts, switches;
    int32_t reason, converged; /* reason: tg_stop */
} tb_minimum;

typedef int (*tb_function)(void *ctx, double *value, double *gradient, const double *x);
typedef int (*tb_function_f32)(void *ctx, double *value, float *gradient, const float *x);
typedef int (*tb_product)(void *ctx, double *product, const double *x, const double *v);

tg_status tb_method_at(tb_method *out, uint64_t index);
tg_status tb_minimizer_start(tg_minimizer *m, uint64_t n, tb_function evaluate, tb_function_f32 evaluate_f32,
                             int32_t value_only, tb_product hessian, tb_product fisher, const double *lower,
                             const double *upper, const double *x0);
tg_status tb_minimizer_iterate(tg_minimizer *m, int32_t *going);
void tb_minimizer_minimum(const tg_minimizer *m, tb_minimum *out);
tg_status tb_rule_at(tb_rule *out, uint64_t index);
tg_status tb_option_at(tb_option *out, uint64_t rule, uint64_t index);
tg_status tb_slot_at(tb_slot *out, uint64_t rule, uint64_t index);
tg_status tb_preset_at(const char **out, uint64_t rule, uint64_t index, uint64_t setting);
tg_status tb_option_test(uint64_t rule, uint64_t index, double value);
tg_status tb_add(tg_optim *o, const char *name, void *data, int32_t format, uint64_t rows, uint64_t cols, int32_t role,
                 int32_t group, uint64_t fan_in, int32_t frozen, int32_t layer, const char *bias);
tg_status tb_state_at(tb_state *out, const tg_optim *o, uint64_t index);
tg_status tb_check(const tg_optim *o);
uint64_t tb_allocator_bytes(void);
uint64_t tb_step_bytes(const tg_optim *o);
tg_status tb_step(tg_optim *o, void *room, const uint64_t *data, const int32_t *format, float scale);
tg_status tb_observe(tg_optim *o, void *room, const uint64_t *data, const int32_t *format, int32_t squares,
                     double scale);
tg_status tb_observe_layer(tg_optim *o, uint64_t param, const void *inputs, const void *gradients, int32_t format,
                           uint64_t rows, double scale, uint64_t first, uint64_t all);
void tb_listen(tg_optim *o, tb_listener *listener);

/* Tables by number: the rules', the one of options that every rule has, the minimizers', the one that they all have. */
static const tg_option_table *table_of(uint64_t number)
{
    const uint64_t rules = tg_rule_count();
    if (number < rules)
        return &tg_rule_at(number)->options;
    if (number == rules)
        return tg_optim_common_options();
    const tg_minimizer_info *method = tg_minimizer_at(number - rules - 1);
    return method == NULL ? tg_minimizer_common_options() : &method->options;
}

tg_status tb_rule_at(tb_rule *out, uint64_t index)
{
    const tg_rule_info *r = tg_rule_at(index);
    if (r == NULL)
        return TG_ENOTFOUND;
    *out = (tb_rule){r->name,        r->title,         r->source,     r->equations,
                     r->when_to_use, r->options.count, r->slot_count, r->preset_count,
                     r->folds,       r->matrices};
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

/* out[4] <- the name and the source of a preset, and of its setting number `setting` the option and the value. */
tg_status tb_preset_at(const char **out, uint64_t rule, uint64_t index, uint64_t setting)
{
    const tg_rule_info *r = tg_rule_at(rule);
    if (r == NULL || index >= r->preset_count || setting >= r->presets[index].settings)
        return TG_ENOTFOUND;
    const tg_preset *preset = &r->presets[index];
    out[0] = preset->name;
    out[1] = preset->source;
    out[2] = preset->setting[setting].name;
    out[3] = preset->setting[setting].value;
    return TG_OK;
}

tg_status tb_option_test(uint64_t rule, uint64_t index, double value)
{
    return tg_option_check(&table_of(rule)->at[index], value);
}

tg_status tb_add(tg_optim *o, const char *name, void *data, int32_t format, uint64_t rows, uint64_t cols, int32_t role,
                 int32_t group, uint64_t fan_in, int32_t frozen, int32_t layer, const char *bias)
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
        .layer = (tg_layer_form)layer,
        .bias = bias,
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

tg_status tb_observe_layer(tg_optim *o, uint64_t param, const void *inputs, const void *gradients, int32_t format,
                           uint64_t rows, double scale, uint64_t first, uint64_t all)
{
    const tg_layer_rows layer = {.inputs = inputs,
                                 .gradients = gradients,
                                 .format = (tg_format)format,
                                 .rows = rows,
                                 .scale = scale,
                                 .first = first,
                                 .all = all};
    return tg_optim_observe_layer(o, param, &layer);
}

static void forward(void *ctx, const tg_event *event)
{
    ((const tb_listener *)ctx)->event((int32_t)event->kind, event->param, event->value);
}

/* Tells `listener` of every event; it must outlive the optimizer. */
void tb_listen(tg_optim *o, tb_listener *listener) { tg_optim_on_event(o, forward, listener); }

/* ---- minimizers ---- */

tg_status tb_method_at(tb_method *out, uint64_t index)
{
    const tg_minimizer_info *i = tg_minimizer_at(index);
    if (i == NULL)
        return TG_ENOTFOUND;
    *out = (tb_method){i->name,        i->title,         i->source,         i->equations,
                       i->when_to_use, i->options.count, (int32_t)i->needs, i->bounds};
    return TG_OK;
}

/* Functions that are missing are NULL. */
tg_status tb_minimizer_start(tg_minimizer *m, uint64_t n, tb_function evaluate, tb_function_f32 evaluate_f32,
                             int32_t value_only, tb_product hessian, tb_product fisher, const double *lower,
                             const double *upper, const double *x0)
{
    const tg_objective f = {.n = n, .evaluate = evaluate, .evaluate_f32 = evaluate_f32, .value_only = value_only != 0,
                            .hessian_vector = hessian, .fisher_vector = fisher, .lower = lower, .upper = upper};
    return tg_minimizer_start(m, &f, x0);
}

tg_status tb_minimizer_iterate(tg_minimizer *m, int32_t *going)
{
    bool more = false;
    const tg_status status = tg_minimizer_iterate(m, &more);
    *going = more;
    return status;
}

void tb_minimizer_minimum(const tg_minimizer *m, tb_minimum *out)
{
    tg_minimum now;
    tg_minimizer_minimum(m, &now);
    *out = (tb_minimum){
        .x = now.x,
        .phase = now.phase,
        .stop = tg_stop_name(now.stop),
        .text = tg_stop_text(now.stop),
        .line = tg_line_end_name(now.line),
        .value = now.value,
        .gradient_norm = now.gradient_norm,
        .step = now.step,
        .iterations = now.iterations,
        .evaluations = now.evaluations,
        .products = now.products,
        .restarts = now.restarts,
        .switches = now.switches,
        .reason = (int32_t)now.stop,
        .converged = tg_stop_converged(now.stop),
    };
}
