/* problem/dual.h -- dual numbers: a value, and its derivative after one variable. */
#ifndef TG_PROBLEM_DUAL_H
#define TG_PROBLEM_DUAL_H

#include <stddef.h>

typedef struct dual {
    double v, d;
} dual;

/* A function of one or two arguments (b is then 0). */
typedef struct dual_function {
    const char *name;
    size_t arguments;
    dual (*apply)(dual a, dual b);
} dual_function;

extern const dual_function dual_functions[]; /* ends with a name NULL */
extern const char dual_function_names[];     /* "sin cos ..." */

dual dual_add(dual a, dual b);
dual dual_subtract(dual a, dual b);
dual dual_multiply(dual a, dual b);
dual dual_divide(dual a, dual b);
dual dual_power(dual a, dual b);
dual dual_negative(dual a, dual b);

#endif
