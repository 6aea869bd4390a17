/* layer/heads.h -- attention heads as matrices: their products, and their rows in and out of activations, where each is a
 * stripe of columns. Inline, because its users are compiled per instruction set. */
#ifndef TG_LAYER_HEADS_H
#define TG_LAYER_HEADS_H

#include "base/kernels.h"
#include "layer/finish.h"
#include "layer/rope.h"
#include "layer/rows.h"
#include "layer/work.h"

enum { Q, K, V };

typedef struct shape {
    size_t batch, time, heads, kv_heads, dim, past, capacity;
    double theta;
    const tg_rope_scaling *rope;
    bool causal, fused;
    float scale;
} shape;

/* One head's columns in an activation or its gradient, from the first token of a sequence. */
typedef struct head_view {
    void *first;
    size_t ld;
    tg_format format;
    bool add; /* writing: add to what is there */
} head_view;

/* Which: Q, K or V; tensor: the pointers of the call's inputs or their gradients. first is NULL where there is none. */
static inline head_view view(const shape *s, void *const *tensor, const bool *add, tg_format format, int which, size_t b,
                      size_t head)
{
    const size_t before[3] = {0, s->heads, s->heads + s->kv_heads};
    const size_t all = s->fused ? s->heads + 2 * s->kv_heads : which == Q ? s->heads : s->kv_heads;
    const int input = s->fused ? 0 : which;
    head_view v = {.ld = all * s->dim, .format = format, .add = add != NULL && add[input]};
    const size_t column = ((s->fused ? before[which] : 0) + head) * s->dim;
    if (tensor[input] != NULL)
        v.first = (void *)(uintptr_t)tg_at(tensor[input], format, b * s->time * v.ld + column);
    return v;
}

/* A matrix of rows, fp32 or an operand of products. */
typedef struct matrix {
    void *x;
    size_t ld;
} matrix;

/* C (m,n) = op(A) op(B), or C += . */
static inline tg_status multiply(tg_work *work, size_t m, size_t n, size_t k, matrix a, bool transpose_a, matrix b,
                                 bool transpose_b, matrix c, bool add)
{
    const tg_product p = {.m = m, .n = n, .k = k, .transpose_a = transpose_a, .transpose_b = transpose_b, .lda = a.ld,
                          .ldb = b.ld, .ldc = c.ld, .add = add, .alone = true};
    return tg_work_product(work, &p, a.x, b.x, NULL, c.x);
}

/* Rows of scores are padded, so that loops over them run in whole vectors. */
static inline size_t padded(size_t n) { return tg_round_up(n, TG_ROW_LANES); }

/* Rows from `row` on of a head as operands in format `to`, rotated when table is given: where they lie when that is all
 * there is to do in fp32, or packed into room (count, dim). `spare` (dim) is for rotations. */
static inline matrix load_head(void *room, float *spare, tg_format to, const head_view *v, size_t row, size_t count,
                               size_t dim, const float *table)
{
    if (v->format == TG_F32 && to == TG_F32 && table == NULL)
        return (matrix){tg_to(v->first, TG_F32, row * v->ld), v->ld};
    if (v->format == to && table == NULL) {
        const size_t bytes = dim * tg_value_bytes(to);
        for (size_t r = 0; r < count; r++)
            memcpy((char *)room + r * bytes, tg_at(v->first, to, (row + r) * v->ld), bytes);
        return (matrix){room, dim};
    }
    for (size_t r = 0; r < count; r++) {
        void *x = tg_to(room, to, r * dim);
        float *middle = to == TG_F32 ? x : spare;
        TG_PER_ISA(tg_kernels).widen(middle, tg_at(v->first, v->format, (row + r) * v->ld), v->format, dim);
        if (table != NULL)
            tg_rope(middle, table + (row + r) * dim, dim);
        if (to != TG_F32)
            TG_PER_ISA(tg_kernels).narrow(x, middle, to, dim);
    }
    return (matrix){room, dim};
}

/* Where rows from `row` on of a head are to be computed: in place, or in room, to be stored after. */
static inline matrix head_target(float *room, const head_view *v, size_t row, size_t dim, const float *table)
{
    return v->format == TG_F32 && table == NULL ? (matrix){tg_to(v->first, TG_F32, row * v->ld), v->ld}
                                                : (matrix){room, dim};
}

/* Brings what was computed in room (count, dim) home; it is spoiled. Rotated back when table is given. */
static inline void store_head(const head_view *v, size_t row, size_t count, size_t dim, float *room, const float *table)
{
    for (size_t r = 0; r < count; r++) {
        float *x = room + r * dim;
        if (table != NULL)
            tg_rope_back(x, table + (row + r) * dim, dim);
        tg_finish_row(v->first, v->format, (row + r) * v->ld, x, NULL, v->add, dim);
    }
}

#endif
