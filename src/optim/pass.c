/* optim/pass.c -- the walk: every active tensor, block by block, through the rule.
 *
 * All blocks of all tensors form one list, which the threads share out; 16-bit storage is widened into arrays that stay in
 * the first-level cache, and rounded back. What a block computes depends on nothing but the block. */
#include <math.h>

#include "optim/optim.h"

#define BLOCKS_AT_ONCE 16  /* taken by a thread from the list at a time */
#define SERIAL_BLOCKS 4    /* fewer are not worth waking threads for */

/* fp32 copies of one block. */
typedef struct workspace {
    _Alignas(TG_CACHE_LINE) float x[TG_BLOCK];
    _Alignas(TG_CACHE_LINE) float g[TG_BLOCK];
    _Alignas(TG_CACHE_LINE) float slot[TG_MAX_SLOTS][TG_BLOCK];
    _Alignas(TG_CACHE_LINE) uint16_t before[TG_BLOCK];
    uint64_t wanted, frozen; /* weights the rule moved; of those, lost in rounding */
} workspace;

double tg_tree_sum(const double *v, size_t n)
{
    if (n <= 8) {
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += v[i];
        return sum;
    }
    const size_t half = n / 2;
    return tg_tree_sum(v, half) + tg_tree_sum(v + half, n - half);
}

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
            view.scalar[s] = e->slot[s];
    if (e->block_squares != NULL && !e->row_rms)
        view.rms = rms_of(e->block_squares, e->blocks, e->n);
    return view;
}

static void decay_of(const tg_optim *o, const tg_entry *e, const double *option, tg_pass *p)
{
    static const tg_decay wish[] = {TG_DECAY_OWN, TG_DECAY_COUPLED, TG_DECAY_DECOUPLED};
    const int chosen = (int)o->common[TG_COMMON_DECAY];
    const tg_decay decay = chosen == 0 || o->rule->decay == wish[chosen] ? o->rule->decay : wish[chosen];
    const bool spared = o->rule->spares_vectors && (e->param.role == TG_BIAS || e->param.role == TG_GAIN);
    const double lambda = spared ? 0 : option[o->rule->weight_decay];
    p->coupled = decay == TG_DECAY_COUPLED ? (float)lambda : 0;
    p->decoupled = decay == TG_DECAY_DECOUPLED && o->rule->decay != TG_DECAY_OWN
                       ? (float)(option[o->rule->lr] * lambda)
                       : 0;
}

/* What the rule prepares from: without a decay that the driver does. `option` is room for a copy. */
static tg_view rule_view(const tg_optim *o, const tg_entry *e, const tg_pass *p, double *option)
{
    tg_view view = tg_entry_view(o, e);
    if (p->coupled == 0 || o->rule->decay != TG_DECAY_OWN)
        return view;
    for (size_t i = 0; i < o->rule->info.options.count; i++)
        option[i] = view.option[i];
    option[o->rule->weight_decay] = 0;
    view.option = option;
    return view;
}

void tg_pass_prepare(tg_optim *o, size_t entry, const void *gradient, tg_format format, double scale)
{
    tg_entry *e = &o->entry[entry];
    tg_pass *p = &o->pass[entry];
    double option[TG_MAX_OPTIONS];
    *p = (tg_pass){.active = true,
                   .gradient = gradient,
                   .gradient_format = format,
                   .gradient_scale = (float)(o->common[TG_COMMON_MAXIMIZE] != 0 ? -scale : scale),
                   .weight_key = tg_key_make((uint64_t)o->common[TG_COMMON_SEED], TG_STREAM_WEIGHT, o->update + 1, entry)};
    decay_of(o, e, o->group[e->param.group].now, p);
    const tg_view view = rule_view(o, e, p, option);
    double scale_of_gradient;
    p->row_decay = 1;
    if (e->lazy && o->rule->fold != NULL)
        o->rule->fold(&view, &p->row_decay, &scale_of_gradient);
    if (!e->row_rms)
        o->rule->prepare(p->k, &view);
    else /* a row of several blocks needs its RMS from before the first of them is written */
        for (size_t row = 0; row < e->param.rows; row++)
            e->row_rms_now[row] = rms_of(e->block_squares + row * e->row_blocks, e->row_blocks, e->param.cols);
}

/* The block's gradient as the rule wants it: fp32, scaled, clipped, decay coupled in. */
static const float *gradient_block(const tg_optim *o, const tg_pass *p, workspace *w, const float *x, size_t first,
                                   size_t n)
{
    const float limit = (float)o->common[TG_COMMON_CLIP_VALUE];
    const char *source = (const char *)p->gradient + first * tg_format_bytes(p->gradient_format);
    if (p->gradient_format == TG_F32 && p->gradient_scale == 1.0f && p->coupled == 0 && limit == 0)
        return (const float *)(const void *)source;
    float *restrict g = w->g;
    o->kernels->widen(g, source, p->gradient_format, n);
    if (p->gradient_scale != 1.0f)
        for (size_t i = 0; i < n; i++)
            g[i] *= p->gradient_scale;
    if (limit > 0)
        for (size_t i = 0; i < n; i++)
            g[i] = g[i] > limit ? limit : g[i] < -limit ? -limit : g[i];
    if (p->coupled != 0)
        for (size_t i = 0; i < n; i++)
            g[i] += p->coupled * x[i];
    return g;
}

static float *load(const tg_optim *o, float *copy, const void *array, tg_format format, size_t first, size_t n)
{
    char *source = (char *)array + first * tg_format_bytes(format);
    if (format == TG_F32)
        return (float *)(void *)source;
    o->kernels->widen(copy, source, format, n);
    return copy;
}

static void store(const tg_optim *o, void *array, const float *values, tg_format format, size_t first, size_t n, tg_key key)
{
    if (format == TG_F32)
        return; /* worked in place */
    char *target = (char *)array + first * tg_format_bytes(format);
    if (o->rounding == TG_NEAREST)
        o->kernels->narrow(target, values, format, n);
    else
        o->kernels->narrow_stochastic(target, values, format, n, key, first);
}

static float *load_weights(const tg_optim *o, const tg_entry *e, workspace *w, size_t first, size_t n)
{
    if (e->compensation == NULL)
        return load(o, w->x, e->param.data, e->param.format, first, n);
    const uint16_t *x = (const uint16_t *)e->param.data + first, *c = (const uint16_t *)e->compensation + first;
    o->kernels->widen_pair(w->x, x, c, e->param.format, n);
    return w->x;
}

/* Counts the weights that the rule moved and rounding put back. */
static void store_counting(const tg_optim *o, const tg_entry *e, workspace *w, const float *x, size_t first, size_t n)
{
    uint16_t *stored = (uint16_t *)e->param.data + first;
    memcpy(w->before, stored, n * sizeof *stored);
    o->kernels->narrow(stored, x, e->param.format, n);
    for (size_t i = 0; i < n; i++) {
        const float was = e->param.format == TG_BF16 ? tg_bf16_to_f32(w->before[i]) : tg_f16_to_f32(w->before[i]);
        const bool moved = x[i] != was;
        w->wanted += moved;
        w->frozen += moved && stored[i] == w->before[i];
    }
}

static void store_weights(const tg_optim *o, const tg_entry *e, const tg_pass *p, workspace *w, const float *x,
                          size_t first, size_t n)
{
    if (e->compensation != NULL)
        o->kernels->narrow_pair((uint16_t *)e->param.data + first, (uint16_t *)e->compensation + first, x,
                                e->param.format, n);
    else if (o->rounding == TG_NEAREST && tg_is_half(e->param.format) && o->update == 0)
        store_counting(o, e, w, x, first, n);
    else
        store(o, e->param.data, x, e->param.format, first, n, p->weight_key);
}

static double stored_squares(const tg_optim *o, const tg_entry *e, workspace *w, size_t first, size_t n)
{
    return o->kernels->sum_squares_quick(load(o, w->x, e->param.data, e->param.format, first, n), n);
}

double tg_entry_rms(const tg_optim *o, const tg_entry *e)
{
    if (e->block_squares != NULL)
        return rms_of(e->block_squares, e->blocks, e->n);
    workspace w;
    double sum = 0;
    for (size_t first = 0; first < e->n; first += TG_BLOCK)
        sum += stored_squares(o, e, &w, first, e->n - first < TG_BLOCK ? e->n - first : TG_BLOCK);
    return e->n == 0 ? 0 : sqrt(sum / (double)e->n);
}

static bool all_zero(const tg_pass *p, size_t first, size_t n)
{
    const unsigned char *bytes = (const unsigned char *)p->gradient + first * tg_format_bytes(p->gradient_format);
    const size_t count = n * tg_format_bytes(p->gradient_format);
    unsigned char any = 0;
    for (size_t i = 0; i < count; i++)
        any |= bytes[i];
    return any == 0;
}

/* Whether the row stays as it is: lazy, and without a gradient. */
static bool row_rests(const tg_entry *e, const tg_pass *p, size_t row)
{
    if (!e->lazy)
        return false;
    if (p->rows_from_gradient)
        return all_zero(p, row * e->param.cols, e->param.cols);
    return e->row_tiles[row] == 0;
}

/* Averages of a lazy row decay for the updates it missed, when gradients come as arrays. Folded tiles do it themselves. */
static void catch_up(const tg_entry *e, const tg_pass *p, size_t row, const tg_block *b)
{
    const uint64_t missed = *e->updates - e->row_updates[row];
    if (missed == 0 || p->row_decay == 1)
        return;
    const float factor = (float)pow(p->row_decay, (double)missed);
    for (size_t i = 0; i < b->n; i++)
        b->slot[0][i] *= factor;
}

/* Where block number `index` of a tensor lies. */
static void locate(const tg_entry *e, size_t index, size_t *row, size_t *first, size_t *n)
{
    const size_t length = e->by_rows ? e->param.cols : e->n;
    *row = e->by_rows ? index / e->row_blocks : 0;
    const size_t at = (e->by_rows ? index % e->row_blocks : index) * TG_BLOCK;
    *first = *row * e->param.cols + at;
    *n = length - at < TG_BLOCK ? length - at : TG_BLOCK;
}

static float *load_slot(const tg_optim *o, const tg_entry *e, workspace *w, size_t s, size_t row, size_t first, size_t n)
{
    if (e->slot[s] == NULL)
        return NULL;
    switch (o->rule->info.slots[s].shape) {
    case TG_SLOT_ROW: return (float *)e->slot[s] + row;
    case TG_SLOT_COLUMN: return (float *)e->slot[s] + (first - row * e->param.cols);
    case TG_SLOT_SCALAR: return NULL;
    default: return load(o, w->slot[s], e->slot[s], e->slot_format[s], first, n);
    }
}

static void update_block(const tg_optim *o, size_t entry, size_t index, workspace *w)
{
    const tg_entry *e = &o->entry[entry];
    const tg_pass *p = &o->pass[entry];
    const tg_rule_info *info = &o->rule->info;
    size_t row, first, n;
    locate(e, index, &row, &first, &n);
    if (row_rests(e, p, row))
        return;

    const float *k = p->k;
    float row_k[TG_MAX_SCALARS];
    if (e->row_rms) {
        double option[TG_MAX_OPTIONS];
        tg_view view = rule_view(o, e, p, option);
        view.rms = e->row_rms_now[row];
        o->rule->prepare(row_k, &view);
        k = row_k;
    }
    tg_block b = {.n = n, .x = load_weights(o, e, w, first, n)};
    for (size_t s = 0; s < info->slot_count; s++)
        b.slot[s] = load_slot(o, e, w, s, row, first, n);
    b.g = p->gradient == NULL ? NULL : gradient_block(o, p, w, b.x, first, n);
    if (b.g != NULL && e->lazy)
        catch_up(e, p, row, &b);
    if (p->decoupled != 0)
        for (size_t i = 0; i < n; i++)
            b.x[i] -= p->decoupled * b.x[i];

    o->rule->block(&b, k);

    store_weights(o, e, p, w, b.x, first, n);
    for (size_t s = b.g == NULL ? 1 : 0; s < info->slot_count; s++) /* a folded slot 0 was only read */
        if (e->slot[s] != NULL && info->slots[s].shape == TG_SLOT_FULL)
            store(o, e->slot[s], b.slot[s], e->slot_format[s], first, n,
                  tg_key_make((uint64_t)o->common[TG_COMMON_SEED], TG_STREAM_SLOT + s, o->update + 1, entry));
    if (e->block_squares != NULL)
        e->block_squares[index] = stored_squares(o, e, w, first, n);
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

static void update_blocks(const tg_optim *o, size_t first, size_t end, size_t block, size_t block_end, workspace *w)
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
        if (!row_rests(e, p, row))
            e->row_updates[row] = (uint32_t)(*e->updates + 1);
}

void tg_pass_run(tg_optim *o, size_t first, size_t end)
{
    if (first >= end)
        return;
    const size_t start = o->entry[first].first_block, stop = o->entry[end - 1].first_block + o->entry[end - 1].blocks;
    const size_t blocks = stop - start, chunks = (blocks + BLOCKS_AT_ONCE - 1) / BLOCKS_AT_ONCE;
    uint64_t wanted = 0, frozen = 0;
#pragma omp parallel num_threads(tg_optim_threads(o)) if (blocks > SERIAL_BLOCKS) reduction(+ : wanted, frozen)
    {
        workspace w;
        w.wanted = w.frozen = 0;
#pragma omp for schedule(dynamic)
        for (size_t c = 0; c < chunks; c++) {
            const size_t at = start + c * BLOCKS_AT_ONCE;
            update_blocks(o, first, end, at, stop - at < BLOCKS_AT_ONCE ? stop : at + BLOCKS_AT_ONCE, &w);
        }
        wanted += w.wanted;
        frozen += w.frozen;
    }
    for (size_t i = first; i < end; i++) {
        tg_entry *e = &o->entry[i];
        if (!o->pass[i].active)
            continue;
        if (e->lazy)
            note_rows(e, &o->pass[i]);
        ++*e->updates;
        o->pass[i].active = false;
    }
    o->moves_wanted += wanted;
    o->moves_frozen += frozen;
}

void tg_entry_map(tg_optim *o, size_t entry, void (*map)(float *x, size_t n, size_t first, const void *ctx), const void *ctx,
                  tg_key key)
{
    tg_entry *e = &o->entry[entry];
    const tg_pass pass = {.weight_key = key};
#pragma omp parallel num_threads(tg_optim_threads(o)) if (e->blocks > SERIAL_BLOCKS)
    {
        workspace w;
#pragma omp for schedule(static)
        for (size_t index = 0; index < e->blocks; index++) {
            size_t row, first, n;
            locate(e, index, &row, &first, &n);
            float *x = load_weights(o, e, &w, first, n);
            map(x, n, first, ctx);
            store_weights(o, e, &pass, &w, x, first, n);
            if (e->block_squares != NULL)
                e->block_squares[index] = stored_squares(o, e, &w, first, n);
        }
    }
}

void tg_entry_measure(tg_optim *o, tg_entry *e)
{
    if (e->block_squares == NULL)
        return;
#pragma omp parallel num_threads(tg_optim_threads(o)) if (e->blocks > SERIAL_BLOCKS)
    {
        workspace w;
#pragma omp for schedule(static)
        for (size_t index = 0; index < e->blocks; index++) {
            size_t row, first, n;
            locate(e, index, &row, &first, &n);
            e->block_squares[index] = stored_squares(o, e, &w, first, n);
        }
    }
}
