/* optim/look.c -- what a rule must know of a whole tensor before its first block is updated: means of squares of the
 * gradient's rows and columns, or a sum over all blocks. Sums are taken in fixed orders. */
#include "optim/optim.h"

#define COLUMNS_AT_ONCE ((size_t)256)

static void measure_rows(const tg_optim *o, const tg_entry *e, const tg_pass *p)
{
    const size_t cols = e->param.cols;
#pragma omp parallel num_threads(tg_optim_threads(o)) if (e->n > TG_SERIAL_VALUES)
    {
        tg_workspace w;
#pragma omp for schedule(static)
        for (size_t row = 0; row < e->param.rows; row++) {
            double sum = 0;
            for (size_t i = 0; i < e->row_blocks; i++) {
                const tg_place at = tg_block_place(e, row * e->row_blocks + i);
                const float *x = p->coupled == 0 ? NULL : tg_block_weights(o, e, &w, &at);
                sum += o->kernels->sum_squares(tg_block_gradient(o, p, &w, x, &at), at.n);
            }
            e->line_squares[row] = sum / (double)cols;
        }
    }
}

static void measure_columns(const tg_optim *o, const tg_entry *e, const tg_pass *p)
{
    const size_t rows = e->param.rows, cols = e->param.cols;
#pragma omp parallel num_threads(tg_optim_threads(o)) if (e->n > TG_SERIAL_VALUES)
    {
        tg_workspace w;
#pragma omp for schedule(static)
        for (size_t col = 0; col < cols; col += COLUMNS_AT_ONCE) {
            double sum[COLUMNS_AT_ONCE] = {0};
            const size_t n = cols - col < COLUMNS_AT_ONCE ? cols - col : COLUMNS_AT_ONCE;
            for (size_t row = 0; row < rows; row++) {
                const tg_place at = {row, row * cols + col, n};
                const float *x = p->coupled == 0 ? NULL : tg_block_weights(o, e, &w, &at);
                const float *g = tg_block_gradient(o, p, &w, x, &at);
                for (size_t i = 0; i < n; i++)
                    sum[i] += (double)g[i] * (double)g[i];
            }
            for (size_t i = 0; i < n; i++)
                e->line_squares[rows + col + i] = sum[i] / (double)rows;
        }
    }
}

static void move_lines(const tg_optim *o, const tg_entry *e, const tg_pass *p, const tg_view *view)
{
    tg_factors f = {.row_squares = e->line_squares, .row_k = e->row_k};
    bool columns = false;
    for (size_t s = 0; s < o->rule->info.slot_count; s++) {
        const tg_slot_shape shape = o->rule->info.slots[s].shape;
        columns = columns || shape == TG_SLOT_COLUMN;
        if (shape == TG_SLOT_ROW || shape == TG_SLOT_COLUMN)
            f.slot[s] = e->state[s].data;
    }
    measure_rows(o, e, p);
    if (columns) {
        measure_columns(o, e, p);
        f.col_squares = e->line_squares + e->param.rows;
    }
    o->rule->factors(&f, view);
}

static double look_at_block(const tg_optim *o, size_t entry, size_t index, tg_workspace *w)
{
    const tg_entry *e = &o->entry[entry];
    const tg_pass *p = &o->pass[entry];
    const tg_place at = tg_block_place(e, index);
    tg_stored stored;
    tg_block b = {.n = at.n, .keep = 1, .scale = 1, .stored = tg_block_stored(o, entry, &at, &stored)};
    if (b.stored != NULL)
        return o->rule->look(&b, p->k);
    b.x = tg_block_weights(o, e, w, &at);
    tg_block_states(o, e, w, &at, &b);
    b.g = p->gradient == NULL ? NULL : tg_block_gradient(o, p, w, b.x, &at);
    b.d = e->whole ? tg_direction_of(o, e, &at, w, false) : NULL;
    const double sum = o->rule->look(&b, p->k);
    if (e->whole)
        tg_direction_keep(o, e, &at, w);
    if (o->rule->look_moves)
        tg_block_store_states(o, entry, &b, &at, b.g == NULL ? 1 : 0);
    return sum;
}

void tg_look(tg_optim *o, size_t entry, tg_view *view)
{
    tg_entry *e = &o->entry[entry];
    if (e->lines && o->rule->factors != NULL)
        move_lines(o, e, &o->pass[entry], view);
    o->rule->prepare(o->pass[entry].k, view);
    if (o->rule->kept == NULL || !e->whole) /* those of layers: tg_pass_agree, when the steps are known */
        tg_range_choose(o, entry);
    if (!e->looks)
        return;
#pragma omp parallel num_threads(tg_optim_threads(o)) if (e->n > TG_SERIAL_VALUES)
    {
        tg_workspace w;
#pragma omp for schedule(static)
        for (size_t index = 0; index < e->blocks; index++)
            e->block_sums[index] = look_at_block(o, entry, index, &w);
    }
    view->look = tg_tree_sum(e->block_sums, e->blocks);
    o->rule->prepare(o->pass[entry].k, view);
    if (tg_entry_is_matrix(e))
        o->pass[entry].active = tg_matrix_work(o, entry, view);
}
