/* optim/place.c -- the driver's lowest file, which calls no other of it: where blocks lie, which rows rest, sums in a
 * fixed order, and the largest value that any thread has seen. */
#include "optim/optim.h"

tg_place tg_block_place(const tg_entry *e, size_t index)
{
    const size_t length = e->by_rows ? e->param.cols : e->n;
    const size_t row = e->by_rows ? index / e->row_blocks : 0;
    const size_t at = (e->by_rows ? index % e->row_blocks : index) * TG_BLOCK;
    return (tg_place){row, row * e->param.cols + at, length - at < TG_BLOCK ? length - at : TG_BLOCK};
}

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

static bool all_zero(const tg_pass *p, size_t first, size_t n)
{
    const unsigned char *bytes = (const unsigned char *)p->gradient + first * tg_format_bytes(p->gradient_format);
    const size_t count = n * tg_format_bytes(p->gradient_format);
    unsigned char any = 0;
    for (size_t i = 0; i < count; i++)
        any |= bytes[i];
    return any == 0;
}

bool tg_row_rests(const tg_entry *e, const tg_pass *p, size_t row)
{
    if (!e->lazy)
        return false;
    if (p->rows_from_gradient)
        return all_zero(p, row * e->param.cols, e->param.cols);
    return e->row_tiles[row] == 0;
}

void tg_range_see(tg_range *range, float most)
{
    float known;
    __atomic_load(&range->next, &known, __ATOMIC_RELAXED);
    while (most > known &&
           !__atomic_compare_exchange(&range->next, &known, &most, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}
