/* optim/rest.c -- letting go of mapped memory: weights and states in files need not stay in RAM once they are worked
 * on.
 *
 * Without this the system would find out by itself, late: until then everything that was ever touched counts as the
 * process's memory. */
#include "base/map.h"
#include "optim/optim.h"

bool tg_rests(const tg_optim *o, const tg_entry *e)
{
    return e->param.mapped || (o->allocator != NULL && o->allocator->mapped);
}

static void rest(void *array, tg_format format, size_t first, size_t n)
{
    if (array != NULL)
        tg_map_rest((char *)array + first * tg_format_bytes(format), n * tg_format_bytes(format));
}

void tg_rest_values(const tg_optim *o, const tg_entry *e, size_t first, size_t n)
{
    if (e->param.mapped)
        rest(e->param.data, e->param.format, first, n);
    if (o->allocator == NULL || !o->allocator->mapped)
        return;
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        if (o->rule->info.slots[s].shape == TG_SLOT_FULL)
            rest(e->state[s].data, e->state[s].format, first, n);
    rest(e->compensation, e->param.format, first, n);
    rest(tg_tiles_gradient(o, e), o->gradient_format, first, n);
}

void tg_rest_entry(const tg_optim *o, const tg_entry *e)
{
    if (tg_rests(o, e))
        tg_rest_values(o, e, 0, e->n);
}
