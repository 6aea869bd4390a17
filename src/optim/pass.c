/* optim/pass.c -- the walk: every active tensor, block by block, through the rule.
 *
 * All blocks of all tensors form one list, which the threads share out; 16-bit storage is widened into arrays that stay
 * in the first-level cache, and rounded back; or the rule's loop does both in registers (optim/each.h). What a block
 * computes depends on nothing but the block. */
#include <math.h>

#include "optim/optim.h"

#define BLOCKS_AT_ONCE 64   /* taken by a thread from the list at a time: long enough for the processor's prefetching */
#define BLOCKS_TO_REST 4096 /* of mapped memory in RAM at a time */

static double rms_of(const double *squares, size_t blocks, size_t n)
{
    return n == 0 ? 0 : sqrt(tg_tree_sum(squares, blocks) / (double)n);
}

/* As for the tensor's next update, without RMS: safe while blocks are being written. */
static tg_view entry_view(const tg_optim *o, const tg_entry *e)
{
    return (tg_view){
        .option = o->group[e->param.group].now,
        .t = *e->updates + 1,
        .role = e->param.role,
        .rows = e->param.rows,
        .cols = e->param.cols,
        .fan_in = e->param.fan_in,
    };
}

tg_view tg_entry_view(const tg_optim *o, const tg_entry *e)
{
    tg_view view = entry_view(o, e);
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        if (o->rule->info.slots[s].shape == TG_SLOT_SCALAR)
            view.scalar[s] = e->state[s].data;
    if (e->block_squares != NULL && !e->row_rms)
        view.rms = rms_of(e->block_squares, e->blocks, e->n);
    return view;
}

static void decay_of(const tg_optim *o, const tg_entry *e, const double *option, tg_pass *p)
{
    static const tg_decay wish[] = {TG_DECAY_OWN, TG_DECAY_COUPLED, TG_DECAY_DECOUPLED};
    const int chosen = (int)o->common[TG_COMMON_DECAY];
    const tg_decay decay = chosen == 0 ? o->rule->decay : wish[chosen];
    const bool spared = o->rule->spares_vectors && (e->param.role == TG_BIAS || e->param.role == TG_GAIN);
    const bool rest = o->rule->matrix != NULL && !e->whole;
    const double lambda = spared ? 0 : option[rest ? o->rule->rest_decay : o->rule->weight_decay];
    const double lr = option[o->rule->lr] * (rest ? option[o->rule->rest_lr] : 1);
    p->coupled = decay == TG_DECAY_COUPLED ? (float)lambda : 0;
    p->keep = decay == TG_DECAY_DECOUPLED && o->rule->decay != TG_DECAY_OWN
                  ? (float)(1 - lr * lambda) /* PyTorch's form */
                  : 1;
}

/* What the rule prepares from: without a decay that the driver does. `option` is room for a copy. */
static tg_view rule_view(const tg_optim *o, const tg_entry *e, const tg_pass *p, double *option)
{
    tg_view view = tg_entry_view(o, e);
    const bool own = o->rule->decay == TG_DECAY_OWN || o->rule->decay == TG_DECAY_INNER;
    if (!own || (p->coupled == 0 && p->keep == 1))
        return view;
    for (size_t i = 0; i < o->rule->info.options.count; i++)
        option[i] = view.option[i];
    option[o->rule->weight_decay] = 0;
    view.option = option;
    return view;
}

void tg_pass_prepare(tg_optim *o, size_t entry, const void *gradient, tg_format format, double scale, bool whole)
{
    tg_entry *e = &o->entry[entry];
    tg_pass *p = &o->pass[entry];
    double option[TG_MAX_OPTIONS];
    *p = (tg_pass){.active = true,
                   .gradient = gradient,
                   .gradient_format = format,
                   .rows_from_gradient = whole && e->lazy,
                   .gradient_scale = (float)(o->common[TG_COMMON_MAXIMIZE] != 0 ? -scale : scale),
                   .each_scale = 1};
    tg_block_keys(o, entry, p);
    decay_of(o, e, o->group[e->param.group].now, p);
    tg_view view = rule_view(o, e, p, option);
    double scale_of_gradient;
    p->row_decay = 1;
    if (e->lazy && o->rule->fold != NULL)
        o->rule->fold(&view, &p->row_decay, &scale_of_gradient);
    bool ranged = false;
    for (size_t s = 0; s < o->rule->info.slot_count; s++)
        if (e->state[s].range != NULL) {
            e->state[s].range->next = 0;
            ranged = true;
        }
    const bool one_walk = o->rule->each && o->rule->look == NULL && o->rule->factors == NULL && !ranged;
    if (one_walk && p->coupled == 0 && o->common[TG_COMMON_CLIP_VALUE] == 0) {
        p->each_scale = p->gradient_scale;
        p->gradient_scale = 1;
    }
    p->in_storage = tg_block_in_storage(o, e, p);
    if (!e->row_rms) {
        tg_look(o, entry, &view);
        if (o->rule->look != NULL || e->lines)
            tg_rest_entry(o, e);
    } else /* a row of several blocks needs its RMS from before the first of them is written */
        for (size_t row = 0; row < e->param.rows; row++)
            e->row_rms_now[row] = rms_of(e->block_squares + row * e->row_blocks, e->row_blocks, e->param.cols);
}

void tg_pass_agree(tg_optim *o, size_t first, size_t end)
{
    double measured = 0, option[TG_MAX_OPTIONS];
    if (o->rule->kept == NULL)
        return;
    for (size_t i = first; i < end; i++)
        measured += o->pass[i].active && tg_entry_is_matrix(&o->entry[i]) ? o->entry[i].measure : 0;
    for (size_t i = first; i < end; i++) {
        if (!o->pass[i].active || !o->entry[i].whole)
            continue;
        tg_view view = rule_view(o, &o->entry[i], &o->pass[i], option);
        view.measured = measured;
        o->rule->prepare(o->pass[i].k, &view);
        tg_range_choose(o, i);
    }
}

double tg_entry_rms(const tg_optim *o, const tg_entry *e)
{
    if (e->block_squares != NULL)
        return rms_of(e->block_squares, e->blocks, e->n);
    double sum = 0;
    for (size_t index = 0; index < e->blocks; index++) {
        const tg_place at = tg_block_place(e, index);
        sum += tg_block_squares(o, e, &at);
    }
    return e->n == 0 ? 0 : sqrt(sum / (double)e->n);
}

/* Averages of a lazy row decay for the updates it missed, when gradients come as arrays. Folded tiles do it themselves.
 */
static void catch_up(const tg_optim *o, const tg_entry *e, const tg_pass *p, size_t row, const tg_block *b)
{
    const uint64_t missed = *e->updates - e->row_updates[row];
    if (missed == 0 || p->row_decay == 1)
        return;
    o->kernels->multiply(b->slot[0], (float)pow(p->row_decay, (double)missed), b->n);
}

static void update_block(const tg_optim *o, size_t entry, size_t index, tg_workspace *w)
{
    const tg_entry *e = &o->entry[entry];
    const tg_pass *p = &o->pass[entry];
    const tg_place at = tg_block_place(e, index);
    const float *k = p->k;
    float row_k[TG_MAX_SCALARS];
    if (tg_row_rests(e, p, at.row))
        return;
    if (e->row_rms) {
        double option[TG_MAX_OPTIONS];
        tg_view view = rule_view(o, e, p, option);
        view.rms = e->row_rms_now[at.row];
        o->rule->prepare(row_k, &view);
        k = row_k;
    }
    tg_stored stored;
    tg_codes codes;
    tg_block b = {.n = at.n,
                  .keep = p->keep,
                  .scale = p->each_scale,
                  .row_k = tg_row_scalars(e, at.row),
                  .stored = tg_block_stored(o, entry, &at, &stored),
                  .codes = tg_block_codes(o, entry, &at, &codes)};
    if (b.stored != NULL) {
        o->rule->block(&b, k);
        if (e->block_squares != NULL)
            e->block_squares[index] = tg_block_squares(o, e, &at);
        return;
    }
    b.x = tg_block_weights(o, e, w, &at);
    tg_block_states(o, e, w, &at, &b);
    b.d = e->whole ? tg_direction_of(o, e, &at, w, true) : NULL;
    b.g = p->gradient == NULL || e->whole ? NULL : tg_block_gradient(o, p, w, b.x, &at);
    if (b.g != NULL && e->lazy)
        catch_up(o, e, p, at.row, &b);
    if (p->keep != 1 && !o->rule->each)
        o->kernels->multiply(b.x, p->keep, at.n);

    o->rule->block(&b, k);

    const double squares = tg_block_store_weights(o, e, w, b.x, &at, p->weight_key);
    if (e->block_squares != NULL)
        e->block_squares[index] = squares;
    if (b.g == NULL)
        tg_range_note(o, e, &b); /* a folded slot 0 was only read */
    if (!e->looks || !o->rule->look_moves)
        tg_block_store_states(o, entry, &b, &at, b.g == NULL ? 1 : 0);
}

/* The tensor among first..end-1 that holds block `block`. */
static size_t entry_of(const tg_optim *o, size_t first, size_t end, size_t block)
{
    while (end - first > 1) {
        const size_t middle = first + (end - first) / 2;
        if (o->entry[middle].first_block <= block)
            first = middle;
        else
            end = middle;
    }
    return first;
}

static void update_blocks(const tg_optim *o, size_t first, size_t end, size_t block, size_t block_end, tg_workspace *w)
{
    for (size_t i = entry_of(o, first, end, block); block < block_end; i++) {
        const tg_entry *e = &o->entry[i];
        const size_t stop = e->first_block + e->blocks < block_end ? e->first_block + e->blocks : block_end;
        if (o->pass[i].active)
            for (; block < stop; block++)
                update_block(o, i, block - e->first_block, w);
        block = stop;
    }
}

/* Lazy rows remember the update they were at. */
static void note_rows(tg_entry *e, const tg_pass *p)
{
    for (size_t row = 0; row < e->param.rows; row++)
        if (!tg_row_rests(e, p, row))
            e->row_updates[row] = (uint32_t)(*e->updates + 1);
}

/* Blocks start..stop-1 of the list, all of tensors first..end-1. */
static void run_blocks(tg_optim *o, size_t first, size_t end, size_t start, size_t stop)
{
    const size_t blocks = stop - start, chunks = (blocks + BLOCKS_AT_ONCE - 1) / BLOCKS_AT_ONCE;
    uint64_t wanted = 0, frozen = 0;
    size_t values = 0;
    for (size_t i = first; i < end; i++)
        values += o->pass[i].active ? o->entry[i].n : 0;
#pragma omp parallel num_threads(tg_optim_threads(o)) if (values > TG_SERIAL_VALUES) reduction(+ : wanted, frozen)
    {
        tg_workspace w;
        w.wanted = w.frozen = 0;
#pragma omp for schedule(dynamic)
        for (size_t c = 0; c < chunks; c++) {
            const size_t at = start + c * BLOCKS_AT_ONCE;
            update_blocks(o, first, end, at, stop - at < BLOCKS_AT_ONCE ? stop : at + BLOCKS_AT_ONCE, &w);
        }
        wanted += w.wanted;
        frozen += w.frozen;
    }
    o->moves_wanted += wanted;
    o->moves_frozen += frozen;
}

/* A mapped tensor is walked in strips, and its memory let go of behind each. */
static void run_mapped(tg_optim *o, size_t entry)
{
    const tg_entry *e = &o->entry[entry];
    for (size_t at = 0; o->pass[entry].active && at < e->blocks; at += BLOCKS_TO_REST) {
        const size_t end = e->blocks - at < BLOCKS_TO_REST ? e->blocks : at + BLOCKS_TO_REST;
        const tg_place begin = tg_block_place(e, at), last = tg_block_place(e, end - 1);
        run_blocks(o, entry, entry + 1, e->first_block + at, e->first_block + end);
        tg_rest_values(o, e, begin.first, last.first + last.n - begin.first);
    }
}

void tg_pass_run(tg_optim *o, size_t first, size_t end)
{
    bool mapped = false;
    for (size_t i = first; i < end; i++)
        mapped = mapped || tg_rests(o, &o->entry[i]);
    for (size_t i = first; mapped && i < end; i++)
        run_mapped(o, i);
    if (!mapped && first < end)
        run_blocks(o, first, end, o->entry[first].first_block,
                   o->entry[end - 1].first_block + o->entry[end - 1].blocks);
    for (size_t i = first; i < end; i++) {
        tg_entry *e = &o->entry[i];
        if (!o->pass[i].active)
            continue;
        if (e->lazy)
            note_rows(e, &o->pass[i]);
        tg_range_after(o, i);
        ++*e->updates;
        o->pass[i].active = false;
        if (mapped)
            tg_rest_entry(o, e); /* what was done to it since its last strip */
    }
}

void tg_entry_map(tg_optim *o, size_t entry, void (*map)(float *x, size_t n, size_t first, const void *ctx),
                  const void *ctx, tg_key key)
{
    tg_entry *e = &o->entry[entry];
#pragma omp parallel num_threads(tg_optim_threads(o)) if (e->n > TG_SERIAL_VALUES)
    {
        tg_workspace w;
#pragma omp for schedule(static)
        for (size_t index = 0; index < e->blocks; index++) {
            const tg_place at = tg_block_place(e, index);
            float *x = tg_block_weights(o, e, &w, &at);
            map(x, at.n, at.first, ctx);
            const double squares = tg_block_store_weights(o, e, &w, x, &at, key);
            if (e->block_squares != NULL)
                e->block_squares[index] = squares;
        }
    }
    tg_rest_entry(o, e);
}

void tg_entry_measure(tg_optim *o, tg_entry *e)
{
    if (e->block_squares == NULL)
        return;
#pragma omp parallel for num_threads(tg_optim_threads(o)) schedule(static) if (e->n > TG_SERIAL_VALUES)
    for (size_t index = 0; index < e->blocks; index++) {
        const tg_place at = tg_block_place(e, index);
        e->block_squares[index] = tg_block_squares(o, e, &at);
    }
    tg_rest_entry(o, e);
}
