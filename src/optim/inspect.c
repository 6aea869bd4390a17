/* optim/inspect.c -- one look at whole gradients before they are used: is every value finite, and how long are they? */
#include <math.h>

#include "optim/optim.h"

double tg_sum_squares(const tg_optim *o, const void *values, tg_format format, size_t n)
{
    float copy[TG_BLOCK];
    double sum = 0;
    if (format == TG_F32)
        return o->kernels->sum_squares(values, n);
    for (size_t at = 0; at < n; at += TG_BLOCK) {
        const size_t now = n - at < TG_BLOCK ? n - at : TG_BLOCK;
        o->kernels->widen(copy, (const char *)values + at * tg_format_bytes(format), format, now);
        sum += o->kernels->sum_squares(copy, now);
    }
    return sum;
}

/* A piece's sum of squares; NaN when it holds NaN or Inf. */
static double look_at(const tg_optim *o, const tg_grad *grad, size_t first, size_t n, bool squares_wanted)
{
    const char *values = (const char *)grad->data + first * tg_format_bytes(grad->format);
    if (o->guard != TG_GUARD_OFF && !o->kernels->all_finite(values, grad->format, n))
        return NAN;
    if (!squares_wanted)
        return 0;
    const double scale = grad->scale > 0 ? (double)grad->scale : 1;
    return tg_sum_squares(o, values, grad->format, n) / (scale * scale);
}

static void inspect_piece(const tg_optim *o, const tg_grad *grads, size_t first, size_t end, size_t piece,
                          bool squares_wanted)
{
    while (end - first > 1) { /* the tensor that holds it */
        const size_t middle = first + (end - first) / 2;
        if (o->entry[middle].first_piece <= piece)
            first = middle;
        else
            end = middle;
    }
    const tg_entry *e = &o->entry[first];
    if (grads[first].data == NULL || e->param.frozen)
        return;
    const size_t index = piece - e->first_piece, at = index * TG_PIECE, left = e->n - at;
    e->piece_squares[index] = look_at(o, &grads[first], at, left < TG_PIECE ? left : TG_PIECE, squares_wanted);
}

double tg_inspect(tg_optim *o, const tg_grad *grads, size_t first, size_t end)
{
    const bool squares_wanted = o->common[TG_COMMON_CLIP_NORM] > 0 || o->common[TG_COMMON_CLIP_ADAPTIVE] > 0;
    if (first < end && (squares_wanted || o->guard != TG_GUARD_OFF)) {
        const size_t start = o->entry[first].first_piece, stop = o->entry[end - 1].first_piece + o->entry[end - 1].pieces;
#pragma omp parallel for num_threads(tg_optim_threads(o)) schedule(dynamic, 4) if (o->values > TG_SERIAL_VALUES)
        for (size_t piece = start; piece < stop; piece++)
            inspect_piece(o, grads, first, end, piece, squares_wanted);
    }
    double squares = 0;
    for (size_t i = first; i < end; i++) {
        tg_entry *e = &o->entry[i];
        if (grads[i].data == NULL || e->param.frozen || e->n == 0)
            continue;
        const double sum = squares_wanted || o->guard != TG_GUARD_OFF ? tg_tree_sum(e->piece_squares, e->pieces) : 0;
        e->bad = isnan(sum);
        e->seen = true;
        e->gradient_squares = sum;
        squares += e->bad ? 0 : sum;
    }
    return sqrt(squares);
}
