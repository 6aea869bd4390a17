/* optim/matrix.c -- a whole matrix between the rule's `look`, which left its direction in one array, and its blocks;
 * and where a layer's bias lies in that array. */
#include "base/fail.h"
#include "optim/optim.h"

void tg_optim_take_count(tg_optim *o, const tg_dense_operations *before)
{
    const tg_dense_operations now = tg_dense_counted();
    o->operations.bf16 += now.bf16 - before->bf16;
    o->operations.wide += now.wide - before->wide;
}

void tg_optim_count(const tg_optim *o, tg_optim_operations *operations) { *operations = o->operations; }

/* One walk: what tg_matrix_walk was told. */
typedef struct walk {
    float *array;
    void (*step)(const tg_block *b, const float *k);
    bool moves;
} walk;

/* Sees what fp16 states would have to hold, on copies of all that `step` may write. */
static void try_block(const tg_optim *o, const tg_entry *e, const walk *how, const tg_place *at, const float *k,
                      tg_workspace *w, tg_block *b)
{
    b->d = memcpy(w->d, b->d, at->n * sizeof *b->d);
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        if (b->slot[s] != NULL && b->slot[s] != w->slot[s])
            b->slot[s] = memcpy(w->slot[s], b->slot[s], at->n * sizeof *b->slot[s]);
    how->step(b, k);
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        if (e->state[s].range != NULL)
            tg_range_see(e->state[s].range, o->kernels->max_abs(b->slot[s], at->n));
}

static void walk_blocks(const tg_optim *o, size_t entry, const walk *how, bool trial)
{
    const tg_entry *e = &o->entry[entry];
    const float *k = o->pass[entry].k;
#pragma omp parallel num_threads(tg_optim_threads(o)) if (e->n > TG_SERIAL_VALUES)
    {
        tg_workspace w;
#pragma omp for schedule(static)
        for (size_t index = 0; index < e->blocks; index++) {
            const tg_place at = tg_block_place(e, index);
            tg_block b = {.n = at.n, .d = how->array + at.first};
            tg_block_states(o, e, &w, &at, &b);
            if (trial) {
                try_block(o, e, how, &at, k, &w, &b);
                continue;
            }
            how->step(&b, k);
            if (how->moves)
                tg_block_store_states(o, entry, &b, &at, 0);
        }
    }
}

void tg_matrix_walk(const tg_matrix *m, float *array, void (*step)(const tg_block *b, const float *k), bool moves)
{
    tg_optim *o = m->optim;
    const walk how = {array, step, moves};
    bool ranged = false;
    for (size_t s = 0; moves && s < o->rule->info.slot_count; s++)
        if (o->entry[m->entry].state[s].range != NULL) {
            o->entry[m->entry].state[s].range->next = 0;
            ranged = true;
        }
    if (ranged) {
        walk_blocks(o, m->entry, &how, true);
        tg_range_fit(o, m->entry);
    }
    walk_blocks(o, m->entry, &how, false);
    for (size_t s = 0; moves && s < TG_MAX_SLOTS; s++) /* the next walk rounds with draws of its own */
        o->pass[m->entry].slot_key[s] = tg_key_beside(o->pass[m->entry].slot_key[s], 1);
}

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
                   .threads = tg_optim_threads(o),
                   .optim = o,
                   .entry = entry};
    if (e->mate != TG_ALONE && !o->pass[e->mate].active)
        clear_bias(o, e);
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        if (tg_slot_is_square(&o->rule->info.slots[s]))
            m.slot[s] = e->state[s].data;
    const tg_dense_operations before = tg_dense_counted();
    const tg_status status = o->rule->matrix(&m, view);
    tg_optim_take_count(o, &before);
    o->entry[entry].measure = m.measure;
    if (status != TG_OK && e->mate != TG_ALONE)
        o->pass[e->mate].active = false;
    if (status != TG_OK && o->matrix_status == TG_OK)
        o->matrix_status = tg_fail(status, "%s was not updated: %s", e->param.name, tg_message());
    if (m.failures > 0)
        tg_optim_tell(o, TG_EVENT_STALE_ROOT, e->param.name, m.failures);
    if (m.still)
        o->pass[entry].keep = 1;
    return status == TG_OK;
}
