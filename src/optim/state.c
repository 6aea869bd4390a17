/* optim/state.c -- states as named arrays; saving, loading, and what is remembered of the weights. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/code8.h"
#include "base/fail.h"
#include "base/map.h"
#include "optim/optim.h"
#include "store/safetensors_stream.h"

#define FORMAT_TAG "tiger-optimizer-1"
#define STRIP ((size_t)8 << 20) /* bytes of a file in memory at once */

static const char updates_name[] = "tensor_updates", bad_name[] = "tensor_bad_updates";

/* Appends a view; with o->state NULL only counts it and its name's bytes. */
typedef struct listing {
    tg_optim *o;
    size_t count, name_bytes;
} listing;

static void list(listing *l, const char *param, const char *slot, tg_format format, const void *data, size_t rows,
                 size_t cols, unsigned rank)
{
    const size_t bytes = (param == NULL ? 0 : strlen(param) + 1) + strlen(slot) + 1;
    if (l->o->state != NULL) {
        char *name = l->o->state_names + l->name_bytes;
        snprintf(name, bytes, "%s%s%s", param == NULL ? "" : param, param == NULL ? "" : "/", slot);
        l->o->state[l->count] = (tg_named_tensor){.name = name,
                                                  .format = format,
                                                  .rank = rank,
                                                  .shape = {rows, cols},
                                                  .data = data,
                                                  .bytes = rows * (rank == 2 ? cols : 1) * tg_format_bytes(format)};
    }
    l->count++;
    l->name_bytes += bytes;
}

static void list_slot(listing *l, const tg_entry *e, size_t s)
{
    const tg_slot *slot = &l->o->rule->info.slots[s];
    const size_t cols = slot->shape == TG_SLOT_FULL ? e->param.cols : slot->shape == TG_SLOT_LEFT ? e->left : e->right;
    /* Codes do not lie in the order of the weights. */
    const bool flat = e->state[s].format == TG_U8 || (slot->shape != TG_SLOT_FULL && !tg_slot_is_square(slot));
    const size_t rows = flat                              ? tg_slot_values(e, slot)
                        : slot->shape == TG_SLOT_RIGHT ? e->wide
                        : slot->shape == TG_SLOT_LEFT  ? e->tall
                                                       : e->param.rows;
    list(l, e->param.name, slot->name, e->state[s].format, e->state[s].data, rows, flat ? 1 : cols, flat ? 1 : 2);
}

/* fp16: {exponent, most} as the driver keeps them. 8-bit: the scales. */
static void list_beside(listing *l, const tg_entry *e, size_t s)
{
    char name[128];
    const tg_state *state = &e->state[s];
    snprintf(name, sizeof name, "%s_%s", l->o->rule->info.slots[s].name, state->scale != NULL ? "scale" : "range");
    if (state->scale != NULL)
        list(l, e->param.name, name, TG_F32, state->scale, tg_slot_scales(e), 1, 1);
    if (state->range != NULL)
        list(l, e->param.name, name, TG_U32, state->range, sizeof *state->range / sizeof(uint32_t), 1, 1);
}

static void list_all(listing *l)
{
    tg_optim *o = l->o;
    list(l, NULL, updates_name, TG_U64, o->tensor_updates, o->entries, 1, 1);
    list(l, NULL, bad_name, TG_U32, o->tensor_bad, o->entries, 1, 1);
    for (size_t i = 0; i < o->entries; i++) {
        const tg_entry *e = &o->entry[i];
        const tg_param *p = &e->param;
        for (size_t s = 0; s < o->rule->info.slot_count; s++)
            if (!p->frozen && e->state[s].data != NULL) {
                list_slot(l, e, s);
                list_beside(l, e, s);
            }
        if (e->compensation != NULL)
            list(l, p->name, "compensation", p->format, e->compensation, p->rows, p->cols, 2);
        if (e->row_updates != NULL)
            list(l, p->name, "row_updates", TG_U32, e->row_updates, p->rows, 1, 1);
    }
}

tg_status tg_optim_describe_states(tg_optim *o)
{
    listing l = {.o = o};
    list_all(&l);
    tg_named_tensor *state = tg_heap_alloc(l.count, sizeof *state);
    char *names = tg_heap_alloc(l.name_bytes, 1);
    if (state == NULL || names == NULL) {
        tg_heap_free(state);
        tg_heap_free(names);
        return tg_no_memory("names of the states", l.name_bytes);
    }
    o->state = state;
    o->state_names = names;
    o->states = l.count;
    l = (listing){.o = o};
    list_all(&l);
    return TG_OK;
}

size_t tg_optim_state_count(const tg_optim *o) { return o->states; }

const tg_named_tensor *tg_optim_state(const tg_optim *o, size_t index)
{
    return index < o->states ? &o->state[index] : NULL;
}

/* State `index` where it holds values of weights; else NULL, with the message. */
static const tg_state *find_state(const tg_optim *o, size_t index, const tg_entry **entry, size_t *slot)
{
    const void *data = index < o->states ? o->state[index].data : NULL;
    for (size_t i = 0; i < o->entries; i++)
        for (*slot = 0; *slot < o->rule->info.slot_count; ++*slot)
            if (o->entry[i].state[*slot].data == data && data != NULL) {
                *entry = &o->entry[i];
                return &o->entry[i].state[*slot];
            }
    tg_fail(TG_EINVAL, "state %zu holds no values of weights", index);
    return NULL;
}

tg_status tg_optim_state_values(const tg_optim *o, size_t index, float *values)
{
    const tg_entry *e;
    size_t slot;
    const tg_state *state = find_state(o, index, &e, &slot);
    if (state == NULL)
        return TG_EINVAL;
    const size_t n = tg_slot_values(e, &o->rule->info.slots[slot]);
    if (state->format == TG_U8)
        o->kernels->decode(values, state->data, state->scale, state->is_signed, n);
    else if (state->format == TG_F64)
        *values = (float)*(const double *)state->data;
    else
        o->kernels->widen(values, state->data, state->format, n);
    for (size_t i = 0; state->range != NULL && i < n; i++)
        values[i] = ldexpf(values[i], -state->range->exponent);
    return TG_OK;
}

/* Value `at` of a state, as tg_optim_state_values gives it. */
static float value_at(const tg_optim *o, const tg_entry *e, const tg_state *state, size_t at)
{
    float value;
    if (state->format == TG_F64)
        return (float)((const double *)state->data)[at];
    if (state->format == TG_U8)
        o->kernels->decode(&value, (const uint8_t *)state->data + tg_code_place(at, e->n), state->scale + at / TG_CODES,
                           state->is_signed, 1);
    else
        o->kernels->widen(&value, (const char *)state->data + at * tg_format_bytes(state->format), state->format, 1);
    return state->range == NULL ? value : ldexpf(value, -state->range->exponent);
}

tg_status tg_optim_state_values_at(const tg_optim *o, size_t index, const size_t *at, size_t count, float *values)
{
    const tg_entry *e;
    size_t slot;
    const tg_state *state = find_state(o, index, &e, &slot);
    if (state == NULL)
        return TG_EINVAL;
    const size_t n = tg_slot_values(e, &o->rule->info.slots[slot]);
    for (size_t i = 0; i < count; i++)
        if (at[i] >= n)
            return tg_fail(TG_EINVAL, "state %zu has %zu values and none at %zu", index, n, at[i]);
    for (size_t i = 0; i < count; i++)
        values[i] = value_at(o, e, state, at[i]);
    return TG_OK;
}

static tg_status check_between_updates(const tg_optim *o)
{
    if (!o->started || o->window != 0)
        return tg_fail(TG_ESTATE, "states are saved and loaded between updates of a started optimizer");
    return TG_OK;
}

tg_status tg_optim_save(const tg_optim *o, const char *path)
{
    const tg_status status = check_between_updates(o);
    if (status != TG_OK)
        return status;
    char updates[24];
    snprintf(updates, sizeof updates, "%llu", (unsigned long long)o->update);
    const char *const metadata[] = {"format", FORMAT_TAG, "rule", o->rule->info.name, "updates", updates};
    const bool mapped = o->allocator != NULL && o->allocator->mapped;
    return (mapped ? tg_safetensors_write_mapped : tg_safetensors_write)(path, o->state, o->states, metadata, 3);
}

static tg_status check_metadata(const tg_optim *o, const tg_safetensors *file, const char *path, uint64_t *updates)
{
    const char *format = tg_safetensors_metadata(file, "format"), *rule = tg_safetensors_metadata(file, "rule");
    const char *made = tg_safetensors_metadata(file, "updates");
    if (format == NULL || strcmp(format, FORMAT_TAG) != 0 || rule == NULL || made == NULL)
        return tg_fail(TG_EFORMAT, "%s: holds no states of an optimizer", path);
    if (strcmp(rule, o->rule->info.name) != 0)
        return tg_fail(TG_EFORMAT, "%s: states of %s, not of %s", path, rule, o->rule->info.name);
    char *end;
    *updates = strtoull(made, &end, 10);
    if (end == made || *end != '\0')
        return tg_fail(TG_EFORMAT, "%s: '%s' is no number of updates", path, made);
    return TG_OK;
}

typedef struct shape_text {
    char text[24 * TG_TENSOR_MAX_RANK];
} shape_text;

static shape_text print_shape(const tg_named_tensor *t) /* "(1000, 37)" */
{
    shape_text s = {"("};
    size_t used = 1;
    for (unsigned d = 0; d < t->rank; d++)
        used += (size_t)snprintf(s.text + used, sizeof s.text - used, d == 0 ? "%llu" : ", %llu",
                                 (unsigned long long)t->shape[d]);
    snprintf(s.text + used, sizeof s.text - used, ")");
    return s;
}

static tg_status check_state(const tg_named_tensor *ours, const tg_named_tensor *theirs, const char *path)
{
    if (theirs == NULL)
        return tg_fail(TG_EFORMAT, "%s: there is no state '%s': it was saved of other parameters or options", path,
                       ours->name);
    if (theirs->format != ours->format)
        return tg_fail(TG_EFORMAT, "%s: %s is %s here, %s in the file", path, ours->name, tg_format_name(ours->format),
                       tg_format_name(theirs->format));
    bool same = theirs->rank == ours->rank;
    for (unsigned d = 0; same && d < ours->rank; d++)
        same = theirs->shape[d] == ours->shape[d];
    return same ? TG_OK
                : tg_fail(TG_EFORMAT, "%s: %s is %s here, %s in the file", path, ours->name, print_shape(ours).text,
                          print_shape(theirs).text);
}

/* Every state is in the file, and the file holds no other. */
static tg_status check_states(const tg_optim *o, const tg_safetensors *file, const char *path)
{
    for (size_t i = 0; i < o->states; i++) {
        const tg_status status = check_state(&o->state[i], tg_safetensors_find(file, o->state[i].name), path);
        if (status != TG_OK)
            return status;
    }
    for (size_t i = 0; tg_safetensors_count(file) > o->states; i++) {
        const char *name = tg_safetensors_at(file, i)->name;
        size_t at = 0;
        while (at < o->states && strcmp(o->state[at].name, name) != 0)
            at++;
        if (at == o->states)
            return tg_fail(TG_EFORMAT, "%s: state '%s' has no place here: it was saved of other parameters or options",
                           path, name);
    }
    return TG_OK;
}

/* A row cannot have moved after its tensor's last update. */
static tg_status check_rows(const tg_optim *o, const tg_safetensors *file, const char *path)
{
    const tg_named_tensor *made = tg_safetensors_find(file, updates_name);
    for (size_t i = 0; i < o->entries; i++) {
        const tg_entry *e = &o->entry[i];
        if (e->row_updates == NULL)
            continue;
        char name[1024];
        snprintf(name, sizeof name, "%s/row_updates", e->param.name);
        const tg_named_tensor *rows = tg_safetensors_find(file, name);
        uint64_t most;
        memcpy(&most, (const char *)made->data + i * sizeof most, sizeof most);
        for (size_t r = 0; rows != NULL && r < e->param.rows; r++) {
            uint32_t row;
            memcpy(&row, (const char *)rows->data + r * sizeof row, sizeof row);
            if (row > most)
                return tg_fail(TG_EFORMAT, "%s: %s says update %u of %llu", path, name, row, (unsigned long long)most);
        }
    }
    return TG_OK;
}

/* In strips, and the file's pages go when one is read: there is never a second copy of the states in memory. */
static void load_state(const tg_optim *o, const tg_named_tensor *state, const void *data)
{
    for (size_t at = 0; at < state->bytes; at += STRIP) {
        const size_t now = state->bytes - at < STRIP ? state->bytes - at : STRIP;
        char *to = (char *)state->data + at;
        memcpy(to, (const char *)data + at, now);
        tg_map_forget((const char *)data + at, now);
        if (o->allocator != NULL && o->allocator->mapped)
            tg_map_rest(to, now);
    }
}

tg_status tg_optim_load(tg_optim *o, const char *path)
{
    tg_safetensors *file = NULL;
    uint64_t updates = 0;
    tg_status status = check_between_updates(o);
    if (status == TG_OK)
        status = tg_safetensors_open(&file, path, o->allocator);
    if (status == TG_OK)
        status = check_metadata(o, file, path, &updates);
    if (status == TG_OK)
        status = check_states(o, file, path);
    if (status == TG_OK)
        status = check_rows(o, file, path);
    if (status == TG_OK) {
        for (size_t i = 0; i < o->states; i++) /* from here on nothing can fail */
            load_state(o, &o->state[i], tg_safetensors_find(file, o->state[i].name)->data);
        o->update = updates;
        status = tg_optim_refresh(o);
    }
    tg_safetensors_destroy(file);
    return status;
}

tg_status tg_optim_refresh(tg_optim *o)
{
    if (!o->started)
        return tg_fail(TG_ESTATE, "call tg_optim_start first");
    for (size_t i = 0; i < o->entries; i++)
        tg_entry_measure(o, &o->entry[i]);
    return TG_OK;
}

tg_status tg_optim_set_updates(tg_optim *o, uint64_t updates)
{
    const tg_status status = check_between_updates(o);
    if (status == TG_OK)
        o->update = updates;
    return status;
}

tg_status tg_optim_rms(const tg_optim *o, size_t param, double *rms)
{
    if (!o->started || param >= o->entries)
        return tg_fail(param >= o->entries ? TG_EINVAL : TG_ESTATE, "there is no started parameter %zu", param);
    *rms = tg_entry_rms(o, &o->entry[param]);
    return TG_OK;
}
