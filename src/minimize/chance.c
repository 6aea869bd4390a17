/* minimize/chance.c -- the order of a generation's values, and mirrors at bounds. */
#include "minimize/chance.h"

static bool before(const double *value, double a, double b)
{
    const double p = value[(size_t)a], q = value[(size_t)b];
    return p < q || (p == q && a < b);
}

/* Heap sort: no memory, no chance. */
static void sink(double *order, const double *value, size_t at, size_t count)
{
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && before(value, order[child], order[child + 1]);
        if (!before(value, order[at], order[child]))
            return;
        const double moved = order[at];
        order[at] = order[child];
        order[child] = moved;
    }
}

void tg_rank(double *order, const double *value, size_t count)
{
    for (size_t i = 0; i < count; i++)
        order[i] = (double)i;
    for (size_t i = count / 2; i-- > 0;)
        sink(order, value, i, count);
    for (size_t end = count; end-- > 1;) {
        const double last = order[0];
        order[0] = order[end];
        order[end] = last;
        sink(order, value, 0, end);
    }
}

double tg_mirror(double v, double low, double high)
{
    const double width = high - low;
    if (v >= low && v <= high)
        return v;
    if (!isfinite(width)) {
        v = v < low ? 2 * low - v : v;
        return v > high ? 2 * high - v : v;
    }
    if (!(width > 0))
        return low;
    const double way = fmod(fabs(v - low), 2 * width);
    return fmin(fmax(low + (way > width ? 2 * width - way : way), low), high);
}
