/* optim/layer.c -- layers: which biases are worked with which matrices, and what goes into a layer and comes back on
 * its way into the second moments of its sides (Martens & Grosse 2015, arXiv:1503.05671, section 5).
 *
 * Inputs have a 1 behind them that stands for a joined bias: the factor's last row and column are sums of inputs.
 * Products are cut into fixed tiles and sums are taken in the order of rows, so the bits do not depend on the number of
 * threads. */
#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "dense/dense.h"
#include "optim/optim.h"

#define COLUMNS ((size_t)64) /* whose sums a thread takes at a time */
#define PIECE ((size_t)1 << 14)

/* ---- biases ---- */

static size_t find(const tg_optim *o, size_t near, const char *name)
{
    for (size_t i = 1; i <= o->entries; i++) { /* mostly it is the next */
        const size_t at = (near + i) % o->entries;
        if (strcmp(o->entry[at].param.name, name) == 0)
            return at;
    }
    return TG_ALONE;
}

static size_t inputs_of(const tg_param *p) { return p->layer == TG_LAYER_IN_BY_OUT ? p->rows : p->cols; }
static size_t outputs_of(const tg_param *p) { return p->layer == TG_LAYER_IN_BY_OUT ? p->cols : p->rows; }

tg_status tg_layers_check(const tg_optim *o)
{
    for (size_t i = 0; i < o->entries; i++) {
        const tg_param *p = &o->entry[i].param;
        const size_t at = p->bias == NULL ? TG_ALONE : find(o, i, p->bias);
        if (p->bias == NULL)
            continue;
        if (at == TG_ALONE)
            return tg_fail(TG_EINVAL, "the layer of %s has a bias '%s', which was not added", p->name, p->bias);
        const tg_param *b = &o->entry[at].param;
        if (b->layer != TG_NO_LAYER || b->rows * b->cols != outputs_of(p))
            return tg_fail(TG_EINVAL, "%s has %zu values and cannot be the bias of %s, which has %zu outputs", b->name,
                           b->rows * b->cols, p->name, outputs_of(p));
        for (size_t j = 0; j < i; j++)
            if (o->entry[j].param.bias != NULL && strcmp(o->entry[j].param.bias, p->bias) == 0)
                return tg_fail(TG_EINVAL, "%s is the bias of two layers", p->bias);
    }
    return TG_OK;
}

void tg_layers_join(tg_optim *o, size_t entry)
{
    tg_entry *e = &o->entry[entry];
    const bool can = o->rule->kept != NULL && e->whole && !e->param.frozen && e->param.bias != NULL;
    const size_t at = can ? find(o, entry, e->param.bias) : TG_ALONE;
    if (at == TG_ALONE || o->entry[at].param.frozen)
        return;
    e->mate = at;
    e->tall += e->param.layer == TG_LAYER_IN_BY_OUT;
    e->wide += e->param.layer == TG_LAYER_OUT_BY_IN;
    o->entry[at].whole = o->entry[at].joined = true;
    o->entry[at].mate = entry;
}

/* ---- second moments ---- */

/* One side of a layer, and how much of its factor stays. */
typedef struct side {
    const void *x; /* (rows, n) */
    size_t rows, n;
    tg_format format;
    bool one;      /* a 1 behind every row */
    float *factor; /* (n, n), or (n + 1, n + 1) */
    float keep, take;
} side;

/* The last row and column of a factor whose rows end with a 1. */
static void add_ones(const tg_optim *o, const side *s, const float *x, size_t rows, float keep)
{
    const size_t n = s->n, across = n + 1;
#pragma omp parallel for num_threads(tg_optim_threads(o)) schedule(static) if (rows * n > TG_SERIAL_VALUES)
    for (size_t first = 0; first < n; first += COLUMNS) {
        const size_t count = n - first < COLUMNS ? n - first : COLUMNS;
        double sum[COLUMNS] = {0};
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < count; c++)
                sum[c] += (double)x[r * n + first + c];
        for (size_t c = 0; c < count; c++) {
            float *last = &s->factor[n * across + first + c];
            *last = keep * *last + s->take * (float)sum[c];
            s->factor[(first + c) * across + n] = *last;
        }
    }
    s->factor[n * across + n] = keep * s->factor[n * across + n] + s->take * (float)rows;
}

/* 16-bit rows are widened some at a time. */
static tg_status gather(const tg_optim *o, const side *s)
{
    const size_t step = s->format == TG_F32 ? s->rows : TG_LAYER_ROWS, across = s->n + s->one;
    tg_status status = TG_OK;
    for (size_t row = 0; row < s->rows && status == TG_OK; row += step) {
        const size_t rows = s->rows - row < step ? s->rows - row : step;
        const char *from = (const char *)s->x + row * s->n * tg_format_bytes(s->format);
        const float keep = row == 0 ? s->keep : 1;
        if (s->format != TG_F32)
            o->kernels->widen(o->layer_rows, from, s->format, rows * s->n);
        const float *x = s->format == TG_F32 ? (const float *)s->x : o->layer_rows;
        const tg_dense_product p = {.m = s->n,
                                    .n = s->n,
                                    .k = rows,
                                    .transpose_a = true,
                                    .symmetric = true,
                                    .lda = s->n,
                                    .ldb = s->n,
                                    .ldc = across,
                                    .alpha = s->take,
                                    .beta = keep,
                                    .format = TG_F32};
        status = tg_dense_multiply(&p, x, x, s->factor, s->factor, tg_optim_threads(o));
        if (s->one && status == TG_OK)
            add_ones(o, s, x, rows, keep);
    }
    return status;
}

static bool is_finite(const tg_optim *o, const void *x, tg_format format, size_t n)
{
    int bad = 0;
#pragma omp parallel for num_threads(tg_optim_threads(o)) schedule(static) reduction(| : bad) if (n > TG_SERIAL_VALUES)
    for (size_t at = 0; at < n; at += PIECE)
        bad |= !o->kernels->all_finite((const char *)x + at * tg_format_bytes(format), format,
                                       n - at < PIECE ? n - at : PIECE);
    return !bad;
}

static tg_status check(const tg_optim *o, size_t param, const tg_layer_rows *rows)
{
    if (!o->started)
        return tg_fail(TG_ESTATE, "call tg_optim_start first");
    if (param >= o->entries)
        return tg_fail(TG_EINVAL, "there is no parameter %zu (there are %zu)", param, o->entries);
    if (o->rule->kept == NULL)
        return tg_fail(TG_EUNSUPPORTED, "%s has no use for the rows of layers", o->rule->info.name);
    if (rows->format != TG_F32 && !tg_is_half(rows->format))
        return tg_fail(TG_EINVAL, "%s: a layer's rows must be fp32, bf16 or fp16, not %s", o->entry[param].param.name,
                       tg_format_name(rows->format));
    if (rows->rows > 0 && (rows->inputs == NULL || rows->gradients == NULL))
        return tg_fail(TG_EINVAL, "%s: a layer's rows need inputs and gradients", o->entry[param].param.name);
    if ((rows->all > 0 || rows->first > 0) && (rows->first >= rows->all || rows->rows > rows->all - rows->first))
        return tg_fail(TG_EINVAL, "%s: rows %zu to %zu are no part of %zu rows", o->entry[param].param.name, rows->first,
                       rows->first + rows->rows, rows->all);
    if (!(rows->scale > 0) || isinf(rows->scale))
        return tg_fail(TG_EINVAL, "%s: the scale of a layer's gradients must be a number > 0, not %g",
                       o->entry[param].param.name, rows->scale);
    return TG_OK;
}

bool tg_optim_observes_layer(const tg_optim *o, size_t param)
{
    return o->started && param < o->entries && o->rule->kept != NULL && tg_entry_is_matrix(&o->entry[param]) &&
           !o->entry[param].param.frozen;
}

bool tg_optim_layers_due(const tg_optim *o)
{
    double interval;
    if (!o->started || o->rule->kept == NULL || tg_optim_get(o, 0, "interval", &interval) != TG_OK)
        return false;
    bool due = o->update % (uint64_t)interval == 0, any = false;
    for (size_t i = 0; i < o->entries; i++)
        if (tg_optim_observes_layer(o, i)) {
            any = true;
            due = due || *(const double *)o->entry[i].state[o->rule->batches].data == 0;
        }
    return due && any;
}

tg_status tg_optim_observe_layer(tg_optim *o, size_t param, const tg_layer_rows *rows)
{
    tg_status status = check(o, param, rows);
    if (status != TG_OK || !tg_optim_observes_layer(o, param) || rows->rows == 0)
        return status;
    const tg_entry *e = &o->entry[param];
    const size_t all = rows->all == 0 ? rows->rows : rows->all;
    const bool whole = rows->rows == all;
    const size_t in = inputs_of(&e->param), out = outputs_of(&e->param), left = o->rule->factor;
    if (!is_finite(o, rows->inputs, rows->format, rows->rows * in) ||
        !is_finite(o, rows->gradients, rows->format, rows->rows * out))
        return whole ? TG_OK : tg_fail(TG_EINVAL, "%s: NaN or Inf in a part of a layer's rows", e->param.name);
    const tg_view view = tg_entry_view(o, e);
    if (o->window == 0)
        tg_optim_schedule_groups(o);
    if (rows->first == 0)
        ++*(double *)e->state[o->rule->batches].data;
    const double kept = o->rule->kept(&view), take = 1 - kept, squares = o->gradient_scale * o->gradient_scale;
    const float keep = rows->first == 0 ? (float)kept : 1.0f;
    const bool swapped = e->param.layer == TG_LAYER_IN_BY_OUT;
    const side sides[] = {{rows->inputs, rows->rows, in, rows->format, e->mate != TG_ALONE,
                           e->state[left + !swapped].data, keep, (float)(take / (double)all)},
                          {rows->gradients, rows->rows, out, rows->format, false, e->state[left + swapped].data, keep,
                           (float)(take * rows->scale / squares)}};
    const tg_dense_operations before = tg_dense_counted();
    status = gather(o, &sides[0]);
    if (status == TG_OK)
        status = gather(o, &sides[1]);
    tg_optim_take_count(o, &before);
    return status;
}
