/* dense/count.h -- how many floating-point operations the calling thread has asked dense/ for. A multiply and an add
 * are two; what symmetry spares is not counted. */
#ifndef TG_DENSE_COUNT_H
#define TG_DENSE_COUNT_H

#include "tiger/format.h"

/* Products of bf16 matrices, and all else. */
typedef struct tg_dense_operations {
    double bf16, wide;
} tg_dense_operations;

/* Of this thread since it began. */
tg_dense_operations tg_dense_counted(void);
void tg_dense_count(tg_format format, double operations);

#endif
