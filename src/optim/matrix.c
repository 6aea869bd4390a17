/* optim/matrix.c -- a whole matrix between the rule's `look`, which left its direction in one array, and its blocks;
 * and where a layer's bias lies in that array. */
#include "base/fail.h"
#include "optim/optim.h"

/* Where the bias that is joined to this matrix begins in its direction, and how far its values lie apart. */
static float *bias_of(const tg_optim *o, const tg_entry *matrix, size_t *apart)
{
    const bool column = matrix->wide != matrix->param.cols;
    *apart = column ? matrix->wide : 1;
    return o->direction + matrix->first_direction + (column ? matrix->param.cols : matrix->n);
}

float *tg_direction_of(const tg_optim *o, const tg_entry *e, const tg_place *at, tg_workspace *w, bool filled)
{
    if (!e->joined)
        return o->direction + e->first_direction + at->first + at->row * (e->wide - e->param.cols);
    size_t apart;
    float *bias = bias_of(o, &o->entry[e->mate], &apart);
    if (apart == 1)
        return bias + at->first;
    for (size_t i = 0; filled && i < at->n; i++)
        w->d[i] = bias[(at->first + i) * apart];
    return w->d;
}

void tg_direction_keep(const tg_optim *o, const tg_entry *e, const tg_place *at, const tg_workspace *w)
{
    size_t apart = 1;
    float *bias = e->joined ? bias_of(o, &o->entry[e->mate], &apart) : NULL;
    for (size_t i = 0; apart > 1 && i < at->n; i++)
        bias[(at->first + i) * apart] = w->d[i];
}

static void clear_bias(const tg_optim *o, const tg_entry *matrix)
{
    size_t apart;
    float *bias = bias_of(o, matrix, &apart);
    for (size_t i = 0; i < o->entry[matrix->mate].n; i++)
        bias[i * apart] = 0;
}

bool tg_matrix_work(tg_optim *o, size_t entry, const tg_view *view)
{
    const tg_entry *e = &o->entry[entry];
    tg_matrix m = {.rows = e->tall,
                   .cols = e->wide,
                   .d = o->direction + e->first_direction,
                   .scratch = o->matrix_scratch,
                   .threads = tg_optim_threads(o)};
    if (e->mate != TG_ALONE && !o->pass[e->mate].active)
        clear_bias(o, e);
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        if (tg_slot_is_square(&o->rule->info.slots[s]))
            m.slot[s] = e->state[s].data;
    const tg_status status = o->rule->matrix(&m, view);
    o->entry[entry].measure = m.measure;
    if (status != TG_OK && e->mate != TG_ALONE)
        o->pass[e->mate].active = false;
    if (status != TG_OK && o->matrix_status == TG_OK)
        o->matrix_status = tg_fail(status, "%s was not updated: %s", e->param.name, tg_message());
    if (m.failures > 0)
        tg_optim_tell(o, TG_EVENT_STALE_ROOT, e->param.name, m.failures);
    return status == TG_OK;
}
