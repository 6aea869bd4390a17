/* base/sort.h -- sorting indexes: n log n whatever the input, no memory, no surprises from a C library's qsort. */
#ifndef TG_BASE_SORT_H
#define TG_BASE_SORT_H

#include <stddef.h>

/* Negative, 0 or positive as things a and b of ctx stand. */
typedef int tg_compare(const void *ctx, size_t a, size_t b);

/* Puts the `count` indexes of `order` in ascending order (heap sort: equal things may change places). */
void tg_sort(size_t *order, size_t count, tg_compare *compare, const void *ctx);

#endif
