/* optim/matrix.c -- a whole matrix between the rule's `look`, which left its direction in one array, and its blocks. */
#include "base/fail.h"
#include "optim/optim.h"

bool tg_matrix_work(tg_optim *o, size_t entry, const tg_view *view)
{
    const tg_entry *e = &o->entry[entry];
    tg_matrix m = {.rows = e->param.rows,
                         .cols = e->param.cols,
                         .d = o->direction,
                         .scratch = o->matrix_scratch,
                         .threads = tg_optim_threads(o)};
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        if (tg_slot_is_square(&o->rule->info.slots[s]))
            m.slot[s] = e->state[s].data;
    const tg_status status = o->rule->matrix(&m, view);
    if (status != TG_OK && o->matrix_status == TG_OK)
        o->matrix_status = tg_fail(status, "%s was not updated: %s", e->param.name, tg_message());
    if (m.failures > 0)
        tg_optim_tell(o, TG_EVENT_STALE_ROOT, e->param.name, m.failures);
    return status == TG_OK;
}
