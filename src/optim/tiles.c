/* optim/tiles.c -- the funnel: tiles of gradients on their way into the momentum or a gradient array.
 *
 * The first tile that a row gets in a window brings the decay with it, later ones only add: row_tiles counts them, and the
 * count keys the random stream, so that no two roundings of a value share their bits. */
#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "optim/optim.h"

#define PIECE ((size_t)8192)          /* values a thread works on at a time */

/* Where a tensor's tiles go. */
typedef struct target {
    void *array;
    tg_format format;
    double decay, scale; /* of the first tile of a row in this window, and of every tile */
    bool catches_up;     /* lazy: the decay of missed updates too */
} target;

void *tg_tiles_gradient(const tg_optim *o, const tg_entry *e)
{
    return e->gradient != NULL ? e->gradient : o->place == TG_RELEASED ? o->release_buffer : NULL;
}

static target target_of(const tg_optim *o, const tg_entry *e)
{
    if (!tg_entry_folds(o, e))
        return (target){.array = tg_tiles_gradient(o, e), .format = o->gradient_format, .scale = 1.0 / ((double)o->window * o->gradient_scale)};
    target t = {.array = e->state[0].data, .format = e->state[0].format, .catches_up = e->lazy};
    const tg_view view = tg_entry_view(o, e);
    o->rule->fold(&view, &t.decay, &t.scale);
    t.scale /= (o->common[TG_COMMON_MAXIMIZE] != 0 ? -1 : 1) * (double)o->window * o->gradient_scale;
    if (e->state[0].range != NULL)
        t.scale = ldexp(t.scale, e->state[0].range->exponent);
    return t;
}

static tg_key tile_key(const tg_optim *o, const tg_entry *e, uint8_t count)
{
    const uint64_t when = ((o->update + 1) << 32) | o->micro_step, what = (uint64_t)(e - o->entry) << 8 | count;
    return tg_key_make((uint64_t)o->common[TG_COMMON_SEED], tg_entry_folds(o, e) ? TG_STREAM_FOLD : TG_STREAM_GRADIENT,
                       when, what);
}

/* array[first .. first+n) <- decay array + scale g */
static void fold_span(const tg_optim *o, const target *t, size_t first, const float *g, size_t n, float decay, tg_key key)
{
    o->kernels->fold((char *)t->array + first * tg_format_bytes(t->format), t->format, g, decay, (float)t->scale, n,
                     o->rounding == TG_NEAREST ? NULL : &key, first);
}

static size_t piece_values(size_t n, size_t at) { return n - at < PIECE ? n - at : PIECE; }

static bool same_counts(const tg_entry *e, size_t row, size_t rows)
{
    return rows <= 1 || memcmp(e->row_tiles + row, e->row_tiles + row + 1, rows - 1) == 0;
}

static uint8_t next_count(uint8_t count) { return count == UINT8_MAX ? 1 : (uint8_t)(count + 1); }

/* Whole rows that are in the same state are one run of values. The tile is looked at and added under one wake-up of the
 * threads; false, and nothing was added, when something in it is not finite. */
static bool add_run(const tg_optim *o, tg_entry *e, const target *t, size_t row, size_t rows, const float *tile)
{
    const size_t n = rows * e->param.cols, first = row * e->param.cols;
    const uint8_t count = e->row_tiles[row];
    const float decay = count == 0 ? (float)t->decay : 1.0f;
    const tg_key key = tile_key(o, e, count);
    const bool guarded = o->guard != TG_GUARD_OFF;
    int bad = 0;
    if (n <= TG_SERIAL_VALUES) { /* even a team of one thread costs more than a small tile */
        bad = guarded && !o->kernels->all_finite(tile, TG_F32, n);
        if (!bad)
            fold_span(o, t, first, tile, n, decay, key);
    } else
#pragma omp parallel num_threads(tg_optim_threads(o))
    {
        if (guarded) {
#pragma omp for schedule(static) reduction(| : bad)
            for (size_t at = 0; at < n; at += PIECE)
                bad |= !o->kernels->all_finite(tile + at, TG_F32, piece_values(n, at));
        }
        if (!bad) { /* all threads see the same: the loop above ends with a barrier */
#pragma omp for schedule(static)
            for (size_t at = 0; at < n; at += PIECE)
                fold_span(o, t, first + at, tile + at, piece_values(n, at), decay, key);
        }
    }
    if (!bad)
        memset(e->row_tiles + row, next_count(count), rows);
    return !bad;
}

static bool tile_is_finite(const tg_optim *o, const float *tile, size_t n)
{
    int bad = 0;
#pragma omp parallel for num_threads(tg_optim_threads(o)) schedule(static) reduction(| : bad) if (n > TG_SERIAL_VALUES)
    for (size_t at = 0; at < n; at += PIECE)
        bad |= !o->kernels->all_finite(tile + at, TG_F32, piece_values(n, at));
    return !bad;
}

static void add_row(const tg_optim *o, tg_entry *e, const target *t, size_t row, const float *values)
{
    const size_t cols = e->param.cols;
    const uint8_t count = e->row_tiles[row];
    const double missed = t->catches_up ? (double)(*e->updates - e->row_updates[row]) : 0;
    const float decay = count > 0 ? 1.0f : missed > 0 ? (float)pow(t->decay, missed + 1) : (float)t->decay;
    fold_span(o, t, row * cols, values, cols, decay, tile_key(o, e, count));
    e->row_tiles[row] = next_count(count);
    if (e->row_squares != NULL)
        e->row_squares[row] =
            tg_sum_squares(o, (const char *)t->array + row * cols * tg_format_bytes(t->format), t->format, cols);
}

static void add_rows(const tg_optim *o, tg_entry *e, const target *t, const uint32_t *index, size_t row, size_t rows,
                     const float *tile)
{
#pragma omp parallel for num_threads(tg_optim_threads(o)) schedule(static) if (rows * e->param.cols > TG_SERIAL_VALUES)
    for (size_t r = 0; r < rows; r++)
        add_row(o, e, t, index != NULL ? index[r] : row + r, tile + r * e->param.cols);
}

static tg_status check_tile(tg_optim *o, size_t param, size_t row, size_t rows)
{
    if (!o->started || o->window == 0 || o->micro_step >= o->window)
        return tg_fail(TG_ESTATE, "tiles are added inside an open window, between tg_optim_begin and tg_optim_end");
    if (o->place == TG_ARRAYS)
        return tg_fail(TG_ESTATE, "%s cannot fold gradients with these options: set gradients=buffered or released",
                       o->rule->info.name);
    if (param >= o->entries)
        return tg_fail(TG_EINVAL, "there is no parameter %zu (there are %zu)", param, o->entries);
    const tg_entry *e = &o->entry[param];
    if (row > e->param.rows || rows > e->param.rows - row)
        return tg_fail(TG_EINVAL, "%s has %zu rows, not %zu+%zu", e->param.name, e->param.rows, row, rows);
    if (e->released)
        return tg_fail(TG_ESTATE,
                       "%s has been updated already: its gradient was said to be complete (with gradients=buffered it may "
                       "come several times)",
                       e->param.name);
    return TG_OK;
}

static tg_status check_index(const tg_entry *e, const uint32_t *index, size_t rows)
{
    for (size_t r = 0; r < rows; r++)
        if (index[r] >= e->param.rows || (r > 0 && index[r] <= index[r - 1]))
            return tg_fail(TG_EINVAL, "%s: row numbers must ascend and be below %zu", e->param.name, e->param.rows);
    return TG_OK;
}

/* The one array that released gradients share belongs to one tensor at a time. */
static tg_status claim(tg_optim *o, size_t param)
{
    tg_entry *e = &o->entry[param];
    if (o->place != TG_RELEASED || e->gradient != NULL || o->release_owner == param)
        return TG_OK;
    if (o->release_owner < o->entries)
        return tg_fail(TG_ESTATE, "%s: complete the gradient of %s first, or mark it many_uses", e->param.name,
                       o->entry[o->release_owner].param.name);
    o->release_owner = param;
    return TG_OK;
}

/* fp16: how many tiles lie on each other with this one, at most, bounds what the momentum can come to. */
static void make_room(tg_optim *o, const tg_entry *e, const uint32_t *index, size_t row, size_t rows, const float *tile)
{
    unsigned most = 0;
    if (e->state[0].range == NULL)
        return;
    for (size_t r = 0; r < rows; r++) {
        const unsigned count = e->row_tiles[index != NULL ? index[r] : row + r];
        most = count > most ? count : most;
    }
    const tg_view view = tg_entry_view(o, e);
    double decay, scale;
    o->rule->fold(&view, &decay, &scale);
    tg_range_of_tile(o, (size_t)(e - o->entry), tile, rows * e->param.cols, scale / ((double)o->window * o->gradient_scale),
                     most + 1);
}

static tg_status add_tile(tg_optim *o, size_t param, const uint32_t *index, size_t row, size_t rows, const float *tile)
{
    tg_entry *e = &o->entry[param];
    if (e->param.frozen || e->bad || rows == 0 || e->param.cols == 0)
        return TG_OK;
    const tg_status status = claim(o, param);
    if (status != TG_OK)
        return status;
    if (tg_entry_folds(o, e))
        make_room(o, e, index, row, rows, tile);
    const target t = target_of(o, e);
    bool good;
    if (index == NULL && !t.catches_up && e->row_squares == NULL && same_counts(e, row, rows)) {
        good = add_run(o, e, &t, row, rows, tile);
    } else {
        good = o->guard == TG_GUARD_OFF || tile_is_finite(o, tile, rows * e->param.cols);
        if (good)
            add_rows(o, e, &t, index, row, rows, tile);
    }
    e->seen = e->seen || good;
    e->bad = e->bad || !good;
    if (o->allocator != NULL && o->allocator->mapped)
        tg_rest_values(o, e, index == NULL ? row * e->param.cols : 0, index == NULL ? rows * e->param.cols : e->n);
    return TG_OK;
}

tg_status tg_optim_accumulate(tg_optim *o, size_t param, size_t row, size_t rows, const float *tile)
{
    const tg_status status = check_tile(o, param, row, rows);
    return status != TG_OK ? status : add_tile(o, param, NULL, row, rows, tile);
}

tg_status tg_optim_accumulate_rows(tg_optim *o, size_t param, const uint32_t *index, size_t rows, const float *tile)
{
    tg_status status = check_tile(o, param, 0, rows);
    if (status == TG_OK)
        status = check_index(&o->entry[param], index, rows);
    return status != TG_OK ? status : add_tile(o, param, index, 0, rows, tile);
}

tg_status tg_optim_reject(tg_optim *o, size_t param)
{
    if (param == TG_ALL_PARAMS) {
        if (o->window == 0 || o->micro_step >= o->window)
            return tg_fail(TG_ESTATE, "gradients are rejected inside an open window");
        for (size_t i = 0; i < o->entries; i++)
            o->entry[i].bad = true;
        return TG_OK;
    }
    const tg_status status = check_tile(o, param, 0, 0);
    if (status == TG_OK)
        o->entry[param].bad = true;
    return status;
}

tg_status tg_optim_set_gradient_scale(tg_optim *o, double scale)
{
    if (scale == 0 || !isfinite(scale))
        return tg_fail(TG_EINVAL, "the scale of gradients must be a number other than 0, not %g", scale);
    o->gradient_scale = scale;
    return TG_OK;
}

static void settle_row(const tg_optim *o, tg_entry *e, const target *t, size_t row)
{
    const size_t cols = e->param.cols;
    if (!tg_entry_folds(o, e)) {
        memset((char *)t->array + row * cols * tg_format_bytes(t->format), 0, cols * tg_format_bytes(t->format));
        return;
    }
    static const float zero[TG_BLOCK];
    for (size_t at = 0; at < cols; at += TG_BLOCK)
        fold_span(o, t, row * cols + at, zero, cols - at < TG_BLOCK ? cols - at : TG_BLOCK, (float)t->decay,
                  tile_key(o, e, 0));
}

void tg_tiles_settle(tg_optim *o, tg_entry *e)
{
    if (e->lazy || memchr(e->row_tiles, 0, e->param.rows) == NULL)
        return;
    const target t = target_of(o, e);
#pragma omp parallel for num_threads(tg_optim_threads(o)) schedule(static) if (e->n > TG_SERIAL_VALUES)
    for (size_t row = 0; row < e->param.rows; row++)
        if (e->row_tiles[row] == 0)
            settle_row(o, e, &t, row);
    tg_rest_entry(o, e);
}
