/* base/sort.c -- heap sort (Williams 1964, Floyd 1964). */
#include "base/sort.h"

static void sift(size_t *order, size_t root, size_t count, tg_compare *compare, const void *ctx)
{
    const size_t moved = order[root];
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && compare(ctx, order[child], order[child + 1]) < 0)
            child++;
        if (compare(ctx, moved, order[child]) >= 0)
            break;
        order[root] = order[child];
    }
    order[root] = moved;
}

void tg_sort(size_t *order, size_t count, tg_compare *compare, const void *ctx)
{
    for (size_t i = count / 2; i-- > 0;)
        sift(order, i, count, compare, ctx);
    for (size_t last = count; last-- > 1;) {
        const size_t top = order[0];
        order[0] = order[last];
        order[last] = top;
        sift(order, 0, last, compare, ctx);
    }
}
