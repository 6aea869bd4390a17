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
                o->kernels->add_squares(sum, tg_block_gradient(o, p, &w, x, &at), TG_F32, n);
            }
            for (size_t i = 0; i < n; i++)
                e->line_squares[rows + col + i] = sum[i] / (double)rows;
        }
    }
}

/* A block's gradient as it is stored, where that is as the rule wants it; the one below it is asked for. */
static const void *stored_gradient(const tg_optim *o, const tg_entry *e, const tg_pass *p, const tg_place *at)
{
    const size_t size = tg_format_bytes(p->gradient_format), bytes = at->n * size;
    const char *source = (const char *)p->gradient + at->first * size;
    if (p->gradient_scale != 1 || p->coupled != 0 || o->common[TG_COMMON_CLIP_VALUE] != 0)
        return NULL;
    for (size_t i = 0; at->row + 1 < e->param.rows && i < bytes; i += TG_CACHE_LINE)
        __builtin_prefetch(source + e->param.cols * size + i, 0, 3);
    return source;
}

static void measure_strip(const tg_optim *o, const tg_entry *e, const tg_pass *p, size_t strip, tg_workspace *w)
{
    const size_t rows = e->param.rows, first = strip * TG_BLOCK;
    double sum[TG_BLOCK] = {0};
    for (size_t row = 0; row < rows; row++) {
        const size_t index = row * e->row_blocks + strip;
        const tg_place at = tg_block_place(e, index);
        const void *g = stored_gradient(o, e, p, &at);
        if (g != NULL) {
            e->block_sums[index] = o->kernels->add_squares(sum, g, p->gradient_format, at.n);
            continue;
        }
        const float *x = p->coupled == 0 ? NULL : tg_block_weights(o, e, w, &at);
        e->block_sums[index] = o->kernels->add_squares(sum, tg_block_gradient(o, p, w, x, &at), TG_F32, at.n);
    }
    for (size_t i = 0; i < TG_BLOCK && first + i < e->param.cols; i++)
        e->line_squares[rows + first + i] = sum[i] / (double)rows;
}

/* Rows and columns in one walk down each column of blocks, to the same bits as in two walks. */
static void measure_both(const tg_optim *o, const tg_entry *e, const tg_pass *p)
{
#pragma omp parallel num_threads(tg_optim_threads(o)) if (e->n > TG_SERIAL_VALUES)
    {
        tg_workspace w;
#pragma omp for schedule(static)
        for (size_t strip = 0; strip < e->row_blocks; strip++)
            measure_strip(o, e, p, strip, &w);
#pragma omp for schedule(static)
        for (size_t row = 0; row < e->param.rows; row++) {
            double sum = 0;
            for (size_t i = 0; i < e->row_blocks; i++)
                sum += e->block_sums[row * e->row_blocks + i];
            e->line_squares[row] = sum / (double)e->param.cols;
        }
    }
}

/* Whether so few columns of blocks keep the threads busy for less time than two walks take. */
static bool one_walk_is_enough(const tg_optim *o, const tg_entry *e)
{
    const size_t threads = (size_t)tg_optim_threads(o), turns = (e->row_blocks + threads - 1) / threads;
    return e->looks && turns * threads < 2 * e->row_blocks;
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
    if (columns && one_walk_is_enough(o, e))
        measure_both(o, e, p);
    else {
        measure_rows(o, e, p);
        if (columns)
            measure_columns(o, e, p);
    }
    f.col_squares = columns ? e->line_squares + e->param.rows : NULL;
    o->rule->factors(&f, view);
}

static double look_at_block(const tg_optim *o, size_t entry, size_t index, tg_workspace *w)
{
    const tg_entry *e = &o->entry[entry];
    const tg_pass *p = &o->pass[entry];
    const tg_place at = tg_block_place(e, index);
    tg_stored stored;
    tg_block b = {.n = at.n,
                  .keep = 1,
                  .scale = 1,
                  .row_k = tg_row_scalars(e, at.row),
                  .stored = tg_block_stored(o, entry, &at, &stored)};
    if (b.stored != NULL)
        return o->rule->look(&b, p->k);
    if (!o->rule->look_spares_x || p->coupled != 0)
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
