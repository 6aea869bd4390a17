/* optim/matrix.c -- a whole matrix between the rule's `look`, which left its direction in one array, and its blocks. */
#include "base/fail.h"
#include "optim/optim.h"

bool tg_matrix_work(tg_optim *o, size_t entry, const tg_view *view)
{
    const tg_entry *e = &o->entry[entry];
    const tg_matrix m = {.rows = e->param.rows,
                         .cols = e->param.cols,
                         .d = o->direction,
                         .scratch = o->matrix_scratch,
                         .threads = tg_optim_threads(o)};
    const tg_status status = o->rule->matrix(&m, view);
    if (status != TG_OK && o->matrix_status == TG_OK)
        o->matrix_status = tg_fail(status, "%s was not updated: %s", e->param.name, tg_message());
    return status == TG_OK;
}
