/* dense/arithmetic.h -- which arithmetic products of bf16 operands use on this machine.
 *
 * Where the CPU multiplies bf16 faster than fp32 (AMX; AVX512_BF16 by other makers than Intel, whose VDPBF16PS runs at
 * half the rate) oneDNN gets them as they are, "native"; elsewhere panels are widened into scratch and multiplied in
 * fp32, "widen". The environment variable TIGER_PRODUCTS=native|widen forces one. Sums are fp32 in both. */
#ifndef TG_DENSE_ARITHMETIC_H
#define TG_DENSE_ARITHMETIC_H

#include <stdbool.h>

#include "tiger/status.h"

typedef enum tg_arithmetic { TG_WIDEN, TG_NATIVE } tg_arithmetic;

/* `possible` and `faster`: of native products, as dense/onednn.h says. Fails where TIGER_PRODUCTS asks for what this
 * machine cannot do or names nothing known. */
tg_status tg_arithmetic_choose(tg_arithmetic *arithmetic, bool possible, bool faster);

#endif
