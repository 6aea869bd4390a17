/* dense/count.c -- the count, one for each thread. */
#include "dense/count.h"

static _Thread_local tg_dense_operations counted;

tg_dense_operations tg_dense_counted(void) { return counted; }

void tg_dense_count(tg_format format, double operations)
{
    if (format == TG_BF16)
        counted.bf16 += operations;
    else
        counted.wide += operations;
}
