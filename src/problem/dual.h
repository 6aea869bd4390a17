/* problem/dual.h -- dual numbers: a value, and its derivative after one variable. */
#ifndef TG_PROBLEM_DUAL_H
#define TG_PROBLEM_DUAL_H

#include <stddef.h>

typedef struct dual {
    double v, d;
} dual;

/* A function of one or two arguments (b is then 0). */
typedef struct tg_dual_function {
    const char *name;
    size_t arguments;
    dual (*apply)(dual a, dual b);
} tg_dual_function;

extern const tg_dual_function tg_dual_functions[]; /* ends with a name NULL */
extern const char tg_dual_function_names[];        /* "sin cos ..." */

dual tg_dual_add(dual a, dual b);
dual tg_dual_subtract(dual a, dual b);
dual tg_dual_multiply(dual a, dual b);
dual tg_dual_divide(dual a, dual b);
dual tg_dual_power(dual a, dual b);
dual tg_dual_negative(dual a, dual b);

#endif
